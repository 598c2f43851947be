import { execFile } from 'node:child_process';
import { watch } from 'node:fs';
import { link, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Stage } from './stage.ts';
import { temporaryFolder } from './stt.ts';

const PLACER = fileURLToPath(new URL('./fixtures/placer.mjs', import.meta.url));

/** Most steps that placing the tree of the fixture takes, whatever stands there. */
const MAX_STEPS = 40;

/** Runs the fixture: what it printed, or undefined where it killed itself. */
async function place(
  inbox: string,
  collision: string,
  step = -1,
  noLinks?: string,
): Promise<unknown> {
  try {
    const args = [PLACER, inbox, collision, String(step)];
    const env = { ...process.env, ...(noLinks === undefined ? {} : { NO_LINKS: noLinks }) };
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000, env });
    return JSON.parse(stdout);
  } catch (error) {
    if ((error as { signal?: string }).signal === 'SIGKILL') return undefined;
    throw error;
  }
}

/** All files and folders below a folder, with the text of files, but for what is ours. */
async function texts(root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const all = await readdir(root, { recursive: true });
  for (const path of all.filter((name) => !name.startsWith('.stt-')).sort()) {
    const stats = await lstat(join(root, path));
    found[path] = stats.isFile()
      ? await readFile(join(root, path), 'utf8')
      : `folder ${(stats.mode & 0o777).toString(8)}`;
  }
  return found;
}

/** What is left of the transfer, beside the record. */
async function leftovers(inbox: string): Promise<string[]> {
  return (await readdir(inbox)).filter((name) => /^\.stt-.*\.(tree|part)$/.test(name));
}

async function plant(inbox: string, collision: string): Promise<void> {
  if (collision === 'refuse') return;
  await mkdir(join(inbox, 't/sub'), { recursive: true });
  await writeFile(join(inbox, 't/one'), 'old');
  await writeFile(join(inbox, 't/sub/mine'), 'mine');
  await writeFile(join(inbox, 'f2.txt'), 'old');
  await mkdir(join(inbox, 'empty'), { mode: 0o755 });
}

describe('a receiver that is killed while its roots get their names', () => {
  test.each(['refuse', 'rename', 'overwrite'])('goes on from every step: %s', async (collision) => {
    const whole = await temporaryFolder();
    await plant(whole, collision);
    const names = await place(whole, collision);
    const expected = await texts(whole);
    expect(names).toEqual(
      collision === 'rename'
        ? ['t (1)', 'f1.txt', 'f2 (1).txt', 'empty (1)']
        : ['t', 'f1.txt', 'f2.txt', 'empty'],
    );
    let kills = 0;
    for (; kills < MAX_STEPS; kills += 1) {
      const inbox = await temporaryFolder();
      await plant(inbox, collision);
      if ((await place(inbox, collision, kills)) !== undefined) break;
      expect(await place(inbox, collision), `killed at step ${kills}`).toEqual(names);
      expect(await texts(inbox), `killed at step ${kills}`).toEqual(expected);
      expect(await leftovers(inbox), `killed at step ${kills}`).toEqual([]);
    }
    expect(kills).toBeGreaterThan(9);
    expect(kills).toBeLessThan(MAX_STEPS);
  });

  test('replaces nothing more where the receiver comes back without --overwrite', async () => {
    const whole = await temporaryFolder();
    await plant(whole, 'overwrite');
    await place(whole, 'overwrite');
    const expected = await texts(whole);
    for (let kills = 0; ; kills += 1) {
      const inbox = await temporaryFolder();
      await plant(inbox, 'overwrite');
      if ((await place(inbox, 'overwrite', kills)) !== undefined) break;
      const before = await texts(inbox);
      // What stands there stays; what is new, and the permissions of what was placed, may still come.
      const files = Object.entries(before).filter(([, text]) => !text.startsWith('folder '));
      // Where the last step was done already there is nothing left to refuse.
      const again = await place(inbox, 'refuse');
      if (again === 'TargetExistsError')
        expect(await texts(inbox), `killed at step ${kills}`).toMatchObject(
          Object.fromEntries(files),
        );
      else expect([kills, before]).toEqual([kills, expected]);
      await place(inbox, 'overwrite');
      expect([kills, await texts(inbox)]).toEqual([kills, expected]);
    }
  });

  test('knows a file that has both of its names, and one of somebody else', async () => {
    const inbox = await temporaryFolder();
    // Step 0 comes before the plan; t takes three, f1.txt two: f2.txt has not been begun.
    expect(await place(inbox, 'refuse', 6)).toBeUndefined();
    const here = (await readdir(inbox)).filter((name) => !name.startsWith('.stt-'));
    expect(here.sort()).toEqual(['f1.txt', 't']);
    await writeFile(join(inbox, 'f2.txt'), 'of somebody else');
    expect(await place(inbox, 'refuse')).toBe('TargetExistsError');
    expect(await readFile(join(inbox, 'f2.txt'), 'utf8')).toBe('of somebody else');
    await rm(join(inbox, 'f2.txt'));
    const [tree] = (await readdir(inbox)).filter((name) => name.endsWith('.tree'));
    await link(join(inbox, tree as string, 'tree/f2.txt'), join(inbox, 'f2.txt'));
    expect(await place(inbox, 'refuse')).toEqual(['t', 'f1.txt', 'f2.txt', 'empty']);
    expect((await lstat(join(inbox, 'f2.txt'))).nlink).toBe(1);
  });

  test.each(['refuse', 'rename'])(
    'goes on from a name that was taken on a disk without hard links: %s',
    async (collision) => {
      const inbox = await temporaryFolder();
      const name = join(inbox, 'f1.txt');
      expect(await place(inbox, collision, -1, name)).toBeUndefined();
      expect((await lstat(name)).size).toBe(0);
      expect(await place(inbox, collision, -1, '')).toEqual(['t', 'f1.txt', 'f2.txt', 'empty']);
      expect(await readFile(name, 'utf8')).toBe('f1.txt');
      expect(await leftovers(inbox)).toEqual([]);
      // What somebody has put something into is nobody else's.
      const other = await temporaryFolder();
      expect(await place(other, 'refuse', -1, join(other, 'f1.txt'))).toBeUndefined();
      await writeFile(join(other, 'f1.txt'), 'mine');
      expect(await place(other, 'refuse', -1, '')).toBe('TargetExistsError');
      expect(await readFile(join(other, 'f1.txt'), 'utf8')).toBe('mine');
    },
  );

  test.each(['a full folder', 'a link'])('replaces nothing but its own: %s', async (what) => {
    const inbox = await temporaryFolder();
    // The name of t is taken, and t is not there yet.
    expect(await place(inbox, 'refuse', 2)).toBeUndefined();
    expect(await readdir(join(inbox, 't'))).toEqual([]);
    if (what === 'a link') {
      await rm(join(inbox, 't'), { recursive: true });
      await symlink('.', join(inbox, 't'));
    } else {
      await writeFile(join(inbox, 't/mine'), 'mine');
    }
    expect(await place(inbox, 'refuse')).toBe('TargetExistsError');
    if (what !== 'a link') expect(await readdir(join(inbox, 't'))).toEqual(['mine']);
    expect(await place(inbox, 'rename')).toEqual(['t (1)', 'f1.txt', 'f2.txt', 'empty']);
  });
});

test('a folder whose receiver is killed as it appears is whole in the end, and its sender hears of it', async () => {
  const stage = await Stage.make(Buffer.alloc(0));
  stage.env = { XDG_STATE_HOME: join(stage.folder, 'state') };
  await rm(stage.file);
  await mkdir(stage.file);
  for (let n = 0; n < 400; n += 1) await writeFile(join(stage.file, `f${n}`), `${n} `.repeat(50));
  const recv = await stage.recv();
  const watcher = watch(stage.inbox, (_event, name) => {
    if (name === 'data.bin') recv.child.kill('SIGKILL');
  });
  const send = stage.send('--resume-timeout', '20s');
  try {
    await recv.finished;
  } finally {
    watcher.close();
  }
  // Where the kill came too late for the sender not to hear of it, there is nobody for this one.
  const second = await stage.recv();
  const { code, stderr } = await send.end();
  expect([code, stderr]).toEqual([0, expect.any(String)]);
  second.child.kill('SIGTERM');
  await second.end();
  expect(await texts(join(stage.inbox, 'data.bin'))).toEqual(await texts(stage.file));
  expect((await readdir(stage.inbox)).filter((name) => !name.startsWith('.stt-'))).toEqual([
    'data.bin',
  ]);
  expect(await leftovers(stage.inbox)).toEqual([]);
});
