import { execFile } from 'node:child_process';
import fs, { statSync } from 'node:fs';
import {
  chmod,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { loadNodeSecret, thisMachine } from '../../ts/cli/node-seed.ts';
import {
  claim,
  forget,
  freeName,
  KEEP_MS,
  MAX_KEPT,
  sweep,
  sweepClaims,
} from '../../ts/cli/transfer/claim.ts';
import { readDone, removeDone, removePlaceholder, writeDone } from '../../ts/cli/transfer/done.ts';
import { lives, ownerText, parseOwner, thisProcess } from '../../ts/cli/transfer/owner.ts';
import { Part, partKey } from '../../ts/cli/transfer/part.ts';
import { content, MIB, Stage, sha256 } from './stage.ts';
import { Stt, temporaryFolder } from './stt.ts';

const KEY = 'ab'.repeat(16);
const CLAIMER = fileURLToPath(new URL('./fixtures/claimer.mjs', import.meta.url));

/** A process of this machine that is no more. */
async function deadPid(): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['-p', 'process.pid']);
  return Number(stdout);
}

/** A part as another process has left it. */
async function leftBy(folder: string, owner: ReturnType<typeof thisProcess>, text: string) {
  const path = join(folder, `.stt-${KEY}.${ownerText(owner)}.part`);
  await writeFile(path, text);
  return path;
}

describe('the claims of senders', () => {
  test("go when their process is gone, and another machine's after a week", async () => {
    const folder = await temporaryFolder();
    const own = thisProcess();
    const mine = (await claim(folder, 'cd'.repeat(16))).path;
    const dead = await leftBy(folder, { ...own, pid: await deadPid() }, '');
    const living = await leftBy(
      folder,
      { ...own, pid: process.ppid, start: await startOf(process.ppid) },
      '',
    );
    const [fresh, old] = await Promise.all(
      ['0badcafe', '0badf00d'].map((host) => leftBy(folder, { ...own, host }, '')),
    );
    const weekAgo = new Date(Date.now() - KEEP_MS - 1_000);
    await utimes(old as string, weekAgo, weekAgo);
    await sweepClaims(folder);
    const left = (await readdir(folder)).map((name) => join(folder, name)).sort();
    expect(left).toEqual([mine, living, fresh].sort());
    expect(left).not.toContain(dead);
    forget(mine);
  });

  test('are swept by a receiver, too', async () => {
    const state = await temporaryFolder();
    const folder = join(state, 'stt', 'sending');
    await mkdir(folder, { recursive: true });
    await leftBy(folder, { ...thisProcess(), pid: await deadPid() }, '');
    const stage = await Stage.make(content(1, 10));
    const args = [
      'recv',
      stage.inbox,
      '--listen',
      '127.0.0.1:0',
      '--json',
      '--seed-file',
      stage.seed,
    ];
    const recv = new Stt(args, { env: { XDG_STATE_HOME: state } });
    await recv.record(({ event }) => event === 'listening');
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('the secret of a home folder', () => {
  const output = { note: () => undefined };

  test('gives each machine that shares it node seeds of its own, the same every time', async () => {
    vi.stubEnv('XDG_STATE_HOME', await temporaryFolder());
    onTestFinished(() => void vi.unstubAllEnvs());
    const seeds = async (machine: string, file?: string) => {
      const secret = await loadNodeSecret(file, output, async () => machine);
      const seed = secret.seedFor('recv', '0.0.0.0', '7788');
      return [Buffer.from(seed).toString('hex'), secret.name('send', 'a file')];
    };
    const one = await seeds('one');
    const other = await seeds('other');
    expect(await seeds('one')).toEqual(one);
    expect(new Set([...one, ...other]).size).toBe(4);
    const file = join(await temporaryFolder(), 'named');
    expect(await seeds('one', file)).toEqual(await seeds('other', file));
    expect(await thisMachine()).toMatch(/./);
  });
});

describe('the permissions of a file', () => {
  test.each([0o600, 0o750, 0o444, 0o4755])('are those that it has: %o', async (mode) => {
    const stage = await Stage.make(content(1, 4 * MIB));
    await chmod(stage.file, mode);
    await stage.goFarAway();
    const recv = await stage.recv();
    const send = stage.send();
    await stage.reaches(MIB);
    const before = statSync(join(stage.inbox, stage.part()?.name as string));
    await stage.comeNear();
    const [sent, received] = [await send.end(), await recv.end()];
    expect([sent.code, received.code]).toEqual([0, 0]);
    expect(before.mode & 0o7777).toBe(0o600);
    const { mode: after } = await stat(join(stage.inbox, 'data.bin'));
    expect(after & 0o7777).toBe(mode & 0o777 & ~process.umask());
  });

  test('are what is usual where the sender tells none', async () => {
    const folder = await temporaryFolder();
    const part = await Part.open(folder, KEY);
    await part.commit('name', 'refuse', { modified: null, mode: null }, undefined);
    const { mode } = await stat(join(folder, 'name'));
    expect(mode & 0o7777).toBe(0o666 & ~process.umask());
  });
});

describe('an unfinished file', () => {
  test('has one owner at a time, whoever tries', async () => {
    const folder = await temporaryFolder();
    // The first of them takes over, whoever it is.
    await leftBy(folder, { ...thisProcess(), pid: await deadPid() }, 'dead');
    const met = join(await temporaryFolder(), 'met');
    const runs = await Promise.all(
      [1, 2, 3, 4].map(() =>
        promisify(execFile)(process.execPath, [CLAIMER, folder, KEY, '25', met], {
          timeout: 120_000,
        }),
      ),
    );
    const counts = runs.map(({ stdout }) => JSON.parse(stdout));
    const sum = (name: string): number => counts.reduce((all, count) => all + count[name], 0);
    expect(sum('broken')).toBe(0);
    expect(sum('had')).toBe(100);
    expect(sum('busy')).toBeGreaterThan(0);
    // Nothing is left but what the last one left.
    expect((await readdir(folder)).filter((name) => name !== freeName(KEY))).toEqual([]);
  });

  test('has one owner in this process, too', async () => {
    const folder = await temporaryFolder();
    const part = await Part.open(folder, KEY);
    await expect(Part.open(folder, KEY)).rejects.toMatchObject({ name: 'ClaimBusyError' });
    await part.discard();
    await (await Part.open(folder, KEY)).discard();
    expect(await readdir(folder)).toEqual([]);
  });

  test('that cannot get its name leaves no record of having it', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'name'));
    const part = await Part.open(folder, KEY);
    await part.write([Buffer.from('bytes')]);
    const record = { bytes: 5, sha256: 'cd'.repeat(32) };
    const commit = part.commit('name', 'overwrite', { modified: null, mode: null }, record);
    await expect(commit).rejects.toMatchObject({ name: 'TargetExistsError' });
    await part.release();
    expect((await readdir(folder)).sort()).toEqual([freeName(KEY), 'name']);
  });

  test('is taken over from a dead process, and not from a living one', async () => {
    const folder = await temporaryFolder();
    const own = thisProcess();
    const dead = await leftBy(folder, { ...own, pid: await deadPid() }, 'of the dead');
    const part = await Part.open(folder, KEY);
    expect(part.length).toBe('of the dead'.length);
    await part.discard();
    await expect(stat(dead)).rejects.toMatchObject({ code: 'ENOENT' });
    // The parent of this process lives; on Linux its start is known, elsewhere its file is fresh.
    const parent = { ...own, pid: process.ppid, start: await startOf(process.ppid) };
    await leftBy(folder, parent, 'of the living');
    await expect(Part.open(folder, KEY)).rejects.toMatchObject({ name: 'ClaimBusyError' });
    expect(await readdir(folder)).toHaveLength(1);
  });

  test('of another machine is left alone while it is touched', () => {
    const foreign = { ...thisProcess(), host: '00000000', pid: 1 };
    expect(lives(foreign, Date.now() - 60_000)).toBe(true);
    expect(lives(foreign, Date.now() - 150_000)).toBe(false);
    expect(parseOwner(ownerText(foreign))).toEqual(foreign);
    expect(parseOwner('0000000-1-1')).toBeUndefined();
  });

  test.runIf(process.platform === 'linux')(
    'of a process whose number another one has now is not its',
    () => {
      const reused = { ...thisProcess(), pid: process.ppid, start: '1' };
      expect(lives(reused, Date.now())).toBe(false);
    },
  );

  test('is bound to its sender by its name', () => {
    expect(partKey('node-a', KEY)).toMatch(/^[0-9a-f]{32}$/);
    expect(partKey('node-a', KEY)).not.toBe(partKey('node-b', KEY));
    expect(partKey('node-a', KEY)).not.toBe(partKey('node-a', 'cd'.repeat(16)));
  });

  test('that is another file as well is not written to', async () => {
    const folder = await temporaryFolder();
    const precious = join(folder, 'precious');
    await writeFile(precious, 'precious');
    for (const lead of [link, symlink]) {
      await lead(precious, join(folder, freeName(KEY)));
      const part = await Part.open(folder, KEY);
      expect(part.length).toBe(0);
      await part.write([Buffer.from('other')]);
      await part.discard();
    }
    expect(await readFile(precious, 'utf8')).toBe('precious');
  });

  test('tells beginnings of itself, each with its hash', async () => {
    const folder = await temporaryFolder();
    const bytes = content(1, 40 * MIB + 17);
    const part = await Part.open(folder, KEY);
    expect(await part.marks(() => undefined)).toEqual([]);
    await part.write([bytes]);
    const marks = await part.marks(() => undefined);
    expect(marks.length).toBeLessThanOrEqual(33);
    expect(marks.at(-1)?.length).toBe(bytes.length);
    expect(marks[0]?.length).toBe(2 * MIB);
    for (const { length, sha256: told } of marks)
      expect([length, told]).toEqual([length, sha256(bytes.subarray(0, length))]);
    const gone = new Error('gone');
    await expect(
      part.marks(() => {
        throw gone;
      }),
    ).rejects.toBe(gone);
    await part.release();
    const next = await Part.open(folder, KEY);
    expect(next.length).toBe(bytes.length);
    await next.truncate(MIB);
    expect(await next.digest()).toEqual(Buffer.from(sha256(bytes.subarray(0, MIB)), 'hex'));
    await next.discard();
  });

  test('leaves a record until its sender knows, and only while the file stands there', async () => {
    const folder = await temporaryFolder();
    const part = await Part.open(folder, KEY);
    await part.write([Buffer.from('all of it')]);
    const record = { bytes: 9, sha256: sha256(Buffer.from('all of it')) };
    expect(
      await part.commit('a', 'rename', { modified: 1_600_000_000_000, mode: null }, record),
    ).toBe('a');
    expect(await readDone(folder, KEY)).toEqual({ name: 'a', ...record });
    await writeFile(join(folder, 'a'), 'ALL OF IT');
    expect(await readDone(folder, KEY)).toBeUndefined();
    await removeDone(folder, KEY);
    expect(await readdir(folder)).toEqual(['a']);
    // A record that leads out of the folder is none.
    const outside = JSON.stringify({ name: '../a', ...record, identity: 'x' });
    await writeFile(join(folder, `.stt-${KEY}.done`), outside);
    expect(await readDone(folder, KEY)).toBeUndefined();
  });

  test('has a record that follows no link', async () => {
    const folder = await temporaryFolder();
    const precious = join(folder, 'precious');
    await writeFile(precious, 'precious');
    await symlink(precious, join(folder, `.stt-${KEY}.done`));
    const record = { name: 'precious', bytes: 8, sha256: sha256(Buffer.from('precious')) };
    await writeDone(folder, KEY, precious, record);
    expect(await readFile(precious, 'utf8')).toBe('precious');
    expect(await readDone(folder, KEY)).toEqual(record);
    expect(await readdir(folder)).toHaveLength(2);
  });

  test('is kept for its time when its name is taken, however old the file it comes from', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a'), 'another');
    const part = await Part.open(folder, KEY);
    await part.write([Buffer.from('all of it')]);
    const committed = part.commit(
      'a',
      'refuse',
      { modified: 1_000_000_000_000, mode: null },
      undefined,
    );
    await expect(committed).rejects.toMatchObject({ name: 'TargetExistsError' });
    await part.release();
    await sweep(folder);
    expect((await readdir(folder)).sort()).toEqual([freeName(KEY), 'a']);
  });

  test('is not whole when the disk has refused some of it, even if it takes the rest', async () => {
    const folder = await temporaryFolder();
    const part = await Part.open(folder, KEY);
    const probe = await open(join(folder, 'probe'), 'w');
    const lost = new Error('EIO');
    const datasync = vi.spyOn(Object.getPrototypeOf(probe), 'datasync').mockRejectedValueOnce(lost);
    await probe.close();
    try {
      await part.write([Buffer.alloc(32 * MIB)]);
      await expect(part.digest()).rejects.toBe(lost);
      expect(datasync).toHaveBeenCalledOnce();
    } finally {
      datasync.mockRestore();
      await part.discard();
    }
  });

  test('is not durable once the disk has refused it, however well the next sync ends', async () => {
    const folder = await temporaryFolder();
    const lost = new Error('EIO');
    // What another process has left may never have been brought to the disk.
    await writeFile(join(folder, freeName(KEY)), Buffer.alloc(3 * MIB));
    const part = await Part.open(folder, KEY);
    const sync = await failingOnce('sync', folder, lost);
    await expect(part.marks(() => undefined)).rejects.toBe(lost);
    await expect(part.marks(() => undefined)).rejects.toBe(lost);
    await expect(part.digest()).rejects.toBe(lost);
    await part.release();
    // The system tells once: whoever asks it again is told that all is well.
    expect(sync).toHaveBeenCalledOnce();
    expect(await readdir(folder)).toEqual([]);
  });

  test('is kept up to what a sync has brought to the disk, and no further', async () => {
    const folder = await temporaryFolder();
    const bytes = content(3, 3 * MIB);
    const part = await Part.open(folder, KEY);
    await part.write([bytes.subarray(0, 2 * MIB)]);
    expect((await part.marks(() => undefined)).at(-1)?.length).toBe(2 * MIB);
    await part.write([bytes.subarray(2 * MIB)]);
    await failingOnce('sync', folder, new Error('EIO'));
    await part.release();
    const next = await Part.open(folder, KEY);
    expect([next.length, await next.digest()]).toEqual([
      2 * MIB,
      Buffer.from(sha256(bytes.subarray(0, 2 * MIB)), 'hex'),
    ]);
    await next.discard();
  });

  test('is for its owner alone until it has a name, whatever the sender’s is', async () => {
    const folder = await temporaryFolder();
    const modeOf = async (name: string): Promise<number> =>
      (await stat(join(folder, name))).mode & 0o777;
    const open = { modified: null, mode: 0o644 };
    const committed = async (name: string, fault?: 'rename' | 'link'): Promise<unknown> => {
      const part = await Part.open(folder, KEY);
      await part.write([Buffer.from('all of it')]);
      if (fault !== undefined) await failing(fault, 'EIO');
      const end = await part
        .commit(name, fault === 'rename' ? 'overwrite' : 'refuse', open, undefined)
        .catch((error) => error);
      vi.restoreAllMocks();
      syncBuiltinESMExports();
      await part.release();
      return end;
    };
    await writeFile(join(folder, 'taken'), 'another');
    expect(await committed('taken')).toMatchObject({ name: 'TargetExistsError' });
    expect(await modeOf(freeName(KEY))).toBe(0o600);
    for (const fault of ['link', 'rename'] as const) {
      expect(await committed('named', fault)).toMatchObject({ code: 'EIO' });
      expect(await modeOf(freeName(KEY))).toBe(0o600);
    }
    expect(await committed('named')).toBe('named');
    expect(await modeOf('named')).toBe(0o644 & ~process.umask());
  });

  test('gets its name on a disk that has neither modes nor hard links', async () => {
    const folder = await temporaryFolder();
    const part = await Part.open(folder, KEY);
    await part.write([Buffer.from('all of it')]);
    await failing('link', 'EPERM');
    const chmod = await failingOnce('chmod', folder, systemError('EPERM'));
    const record = { bytes: 9, sha256: sha256(Buffer.from('all of it')) };
    expect(await part.commit('a', 'refuse', { modified: null, mode: 0o644 }, record)).toBe('a');
    expect(chmod).toHaveBeenCalled();
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('all of it');
    await removeDone(folder, KEY);
    expect(await readdir(folder)).toEqual(['a']);
  });

  test('leaves no empty file under its name on a disk without hard links where that fails', async () => {
    const folder = await temporaryFolder();
    const part = await Part.open(folder, KEY);
    await part.write([Buffer.from('all of it')]);
    await failing('link', 'EPERM');
    await failing('rename', 'EIO', (_from, to) => to === join(folder, 'a'));
    const committed = part.commit('a', 'refuse', { modified: null, mode: null }, undefined);
    await expect(committed).rejects.toMatchObject({ code: 'EIO' });
    vi.restoreAllMocks();
    syncBuiltinESMExports();
    await part.release();
    expect(await readdir(folder)).toEqual([freeName(KEY)]);
  });

  test('knows the empty file that took its name before a kill, and nothing else under it', async () => {
    const folder = await temporaryFolder();
    const [noted, name] = [join(folder, `.stt-${KEY}.done`), join(folder, 'a')];
    const file = join(folder, freeName(KEY));
    const note = async (bytes: string): Promise<void> => {
      await writeFile(file, bytes);
      const record = { name: 'a', bytes: bytes.length, sha256: sha256(Buffer.from(bytes)) };
      await writeDone(folder, KEY, file, record);
    };
    const left = async (): Promise<string[]> => {
      await removePlaceholder(folder, KEY);
      return (await readdir(folder)).sort();
    };
    await note('all of it');
    expect(await left()).toHaveLength(2);
    await writeFile(name, '', { mode: 0o600 });
    expect(await left()).toEqual([freeName(KEY)]);
    // What is open to others, has something in it, or was there before, is somebody's own.
    await note('all of it');
    await writeFile(name, '', { mode: 0o644 });
    await chmod(name, 0o644);
    expect(await left()).toContain('a');
    await chmod(name, 0o600);
    await writeFile(name, 'x');
    expect(await left()).toContain('a');
    await writeFile(name, '');
    await utimes(name, 1, 1);
    expect(await left()).toContain('a');
    await unlink(name);
    await symlink(noted, name);
    expect(await left()).toContain('a');
    await unlink(name);
    // A file that is empty in the end has its name already.
    await note('');
    await rename(file, name);
    expect(await left()).toEqual([`.stt-${KEY}.done`, 'a']);
  });

  test('is one of a bounded number', async () => {
    const folder = await temporaryFolder();
    const name = (n: number): string => freeName(n.toString(16).padStart(32, '0'));
    for (let n = 0; n < MAX_KEPT + 5; n += 1) await writeFile(join(folder, name(n)), 'x');
    const { path } = await claim(folder, KEY);
    await sweep(folder);
    expect(await readdir(folder)).toHaveLength(MAX_KEPT + 1);
    forget(path);
  });
});

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code, syscall: 'test' });
}

/** Has the next call of that method of a file fail, and every other as it would. */
async function failingOnce(method: 'sync' | 'chmod', folder: string, error: Error) {
  const path = join(folder, 'probe');
  const probe = await open(path, 'w');
  const spy = vi.spyOn(Object.getPrototypeOf(probe), method).mockRejectedValueOnce(error);
  onTestFinished(() => void spy.mockRestore());
  await probe.close();
  await unlink(path);
  return spy;
}

/** Has calls of a function of node:fs/promises fail by that code, all or those that are meant. */
async function failing(
  name: 'link' | 'rename',
  code: string,
  isMeant: (from: unknown, to: unknown) => boolean = () => true,
): Promise<void> {
  const real = fs.promises[name].bind(fs.promises);
  vi.spyOn(fs.promises, name).mockImplementation((from, to) =>
    isMeant(from, to) ? Promise.reject(systemError(code)) : real(from, to),
  );
  syncBuiltinESMExports();
  onTestFinished(() => {
    vi.restoreAllMocks();
    syncBuiltinESMExports();
  });
}

async function startOf(pid: number): Promise<string> {
  if (process.platform !== 'linux') return '1';
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] as string;
}
