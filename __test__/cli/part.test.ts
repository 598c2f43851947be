import { execFile } from 'node:child_process';
import { link, open, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { claim, forget, freeName, MAX_KEPT, sweep } from '../../ts/cli/transfer/claim.ts';
import { readDone, removeDone, writeDone } from '../../ts/cli/transfer/done.ts';
import { lives, ownerText, parseOwner, thisProcess } from '../../ts/cli/transfer/owner.ts';
import { Part, partKey } from '../../ts/cli/transfer/part.ts';
import { content, MIB, sha256 } from './stage.ts';
import { temporaryFolder } from './stt.ts';

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

describe('an unfinished file', () => {
  test('has one owner at a time, whoever tries', { timeout: 60_000 }, async () => {
    const folder = await temporaryFolder();
    // The first of them takes over, whoever it is.
    await leftBy(folder, { ...thisProcess(), pid: await deadPid() }, 'dead');
    const runs = await Promise.all(
      [1, 2, 3, 4].map(() =>
        promisify(execFile)(process.execPath, [CLAIMER, folder, KEY, '25'], { timeout: 50_000 }),
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
    expect(await part.commit('a', 'rename', 1_600_000_000_000, record)).toBe('a');
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
    const committed = part.commit('a', 'refuse', 1_000_000_000_000, undefined);
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
