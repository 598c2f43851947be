import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import {
  chmod,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
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
import { readDone, removeDone, writeDone } from '../../ts/cli/transfer/done.ts';
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

async function startOf(pid: number): Promise<string> {
  if (process.platform !== 'linux') return '1';
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] as string;
}
