import { execFile } from 'node:child_process';
import { lstatSync, readdirSync, statSync } from 'node:fs';
import {
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { content, MIB, Stage, sha256, until } from './stage.ts';
import type { Finished } from './stt.ts';
import { MAIN, STEP_MS, Stt, seedFile, startRecv, stt, temporaryFolder } from './stt.ts';
import { Terminal } from './terminal.ts';

const LONG = process.env['CI_LONG'] === '1';

type Tree = Record<string, string>;

/** Everything below a folder: permissions, and the hash or the target. */
async function look(root: string, at = ''): Promise<Tree> {
  const tree: Tree = {};
  for (const name of (await readdir(join(root, at))).sort()) {
    const path = join(at, name);
    const stats = await lstat(join(root, path));
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isSymbolicLink()) tree[path] = `-> ${await readlink(join(root, path))}`;
    else if (stats.isDirectory()) Object.assign(tree, { [path]: mode }, await look(root, path));
    else {
      const time = Math.trunc(stats.mtimeMs);
      tree[path] = `${mode} ${time} ${sha256(await readFile(join(root, path)))}`;
    }
  }
  return tree;
}

/** Writes files, and the folders that they are in. */
async function plant(root: string, files: Readonly<Record<string, Buffer | string>>) {
  for (const [path, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), bytes);
  }
}

/** A stage whose sender sends `data`, a folder. */
async function grove(files: Readonly<Record<string, Buffer | string>>): Promise<Stage> {
  const stage = await Stage.make(Buffer.alloc(0));
  await rm(stage.file);
  await mkdir(stage.file);
  await plant(stage.file, files);
  return stage;
}

/** Bytes of finished and unfinished files in the inbox. Nothing comes by a link of this process while it looks. */
function arrived(stage: Stage): number {
  let bytes = 0;
  for (const path of readdirSync(stage.inbox, { recursive: true, encoding: 'utf8' })) {
    const found = lstatSync(join(stage.inbox, path), { throwIfNoEntry: false });
    if (found?.isFile() === true) bytes += found.size;
  }
  return bytes;
}

/** Waits until so many have. */
async function arrives(stage: Stage, bytes: number): Promise<void> {
  await until(async () => (arrived(stage) > bytes ? true : undefined), `${bytes} bytes to arrive`);
}

describe('a folder', () => {
  test('arrives as it is: permissions, times, links that stay in it, empty folders', async () => {
    const stage = await grove({
      'a/one': 'one',
      'a/b/two': content(1, 3 * MIB),
      'a/empty-file': '',
      'Ünïcödé/x': 'x',
    });
    const at = (path: string): string => join(stage.file, path);
    await mkdir(at('empty'));
    await symlink('../a/b/two', at('empty/link'));
    await symlink('b', at('a/folder-link'));
    await chmod(at('a/one'), 0o4755);
    await chmod(at('a/b/two'), 0o400);
    await chmod(at('a/b'), 0o500);
    await chmod(at('empty'), 0o1750);
    await utimes(at('a/one'), 1_000_000_000, 1_000_000_000);
    await utimes(at('a'), 1_100_000_000, 1_100_000_000);
    const recv = await stage.recv();
    const sent = await stage.send().end();
    const received = await recv.end();
    expect([sent.code, received.code, sent.stderr, received.stderr]).toEqual([0, 0, '', '']);
    const [there, here] = [await look(stage.inbox), await look(stage.folder)];
    const expected: Tree = {};
    for (const [path, what] of Object.entries(here))
      if (path.startsWith('data.bin')) expected[path] = what.replace(/^[1-7](?=\d{3}\b)/, '');
    expect(there).toEqual(expected);
    expect((await stat(join(stage.inbox, 'data.bin/a'))).mtimeMs).toBe(1_100_000_000_000);
    const counts = { files: 4, folders: 5, links: 2, bytes: 3 * MIB + 4, verified: true };
    expect(sent.records.at(-1)).toMatchObject({ event: 'sent', ...counts, skipped: 0 });
    expect(received.records.at(-1)).toMatchObject({ event: 'received', ...counts, missing: 0 });
    expect(sent.records.at(-1)?.['sha256']).toBe(received.records.at(-1)?.['sha256']);
  });

  test('goes without what leads out of it, and without pipes, each with a word', async () => {
    const stage = await grove({ 'a/one': 'one' });
    const at = (path: string): string => join(stage.file, path);
    await promisify(execFile)('mkfifo', [at('pipe')]);
    await symlink('/etc/passwd', at('absolute'));
    await symlink('../seed', at('a/fine-up-but-out'));
    await symlink('../../seed', at('a/out'));
    await symlink('a/../../seed', at('sly'));
    const recv = await stage.recv();
    const { code, records } = await stage.send().end();
    expect(code).toBe(0);
    const skipped = records.filter(({ event }) => event === 'skipped');
    expect(skipped.map(({ path, why }) => [String(path).split('/').at(-1), why])).toEqual([
      ['out', 'is a link that leads out of the tree'],
      ['absolute', 'is a link that leads to an absolute path'],
      ['pipe', 'is a pipe'],
      ['sly', 'is a link that leads up after a name'],
    ]);
    expect(records.at(-1)).toMatchObject({ files: 1, links: 1, skipped: 4 });
    expect((await recv.end()).code).toBe(0);
  });

  test.runIf(process.platform === 'linux')(
    'of which something cannot be read goes without it, and the sender ends with 6',
    async (context) => {
      const stage = await grove({ 'a/one': 'one', 'shut/two': 'two' });
      // Root reads everything, and somebody else may not reach this checkout.
      if (process.getuid?.() === 0) {
        const ids = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
        const run = promisify(execFile);
        await run('setpriv', [...ids, 'test', '-r', MAIN]).catch(() =>
          context.skip('no other user can run this checkout'),
        );
        await run('chown', ['-R', '65534:65534', stage.folder]);
        stage.wrappers = { send: ['setpriv', ...ids] };
      }
      await chmod(join(stage.file, 'shut'), 0);
      onTestFinished(() => chmod(join(stage.file, 'shut'), 0o700));
      const bytes = (name: string): Buffer => Buffer.from(`${stage.file}/a/${name}`, 'latin1');
      await writeFile(bytes('latin-\u00e9'), 'x');
      await symlink(Buffer.from('\u00e9', 'latin1'), bytes('link'));
      const recv = await stage.recv();
      const { code, stderr, records } = await stage.send().end();
      expect([code, stderr]).toEqual([
        6,
        expect.stringMatching(/^3 paths could not be read, .* All else is there\.\nTry: see to/m),
      ]);
      const skipped = records.filter(({ event }) => event === 'skipped');
      expect(skipped.map(({ path, why }) => [String(path).split('/').at(-1), why])).toEqual([
        ['latin-\ufffd', 'its name is not UTF-8'],
        ['link', 'is a link whose target is not UTF-8'],
        ['shut', 'EACCES'],
      ]);
      expect(records.find(({ event }) => event === 'sent')).toMatchObject({ files: 1, skipped: 3 });
      expect((await recv.end()).code).toBe(0);
      const there = await readdir(join(stage.inbox, 'data.bin'), { recursive: true });
      expect(there.sort()).toEqual(['a', 'a/one', 'shut']);
    },
  );

  test.each(['--rename', '--overwrite', 'nothing'])('whose name is taken: %s', async (flag) => {
    const stage = await grove({ 'a/one': 'new', two: 'two' });
    await plant(join(stage.inbox, 'data.bin'), { 'a/one': 'old', 'a/mine': 'mine' });
    // What stands in the place of a file is replaced, and nothing is written through it.
    await writeFile(join(stage.folder, 'outside'), 'outside');
    await symlink(join(stage.folder, 'outside'), join(stage.inbox, 'data.bin/two'));
    const recv = await stage.recv(...(flag === 'nothing' ? [] : [flag]));
    const sent = await stage.send().end();
    const { code, stderr } = await recv.end();
    const text = (path: string): Promise<string> => readFile(join(stage.inbox, path), 'utf8');
    expect(await text('data.bin/a/mine')).toBe('mine');
    expect(await readFile(join(stage.folder, 'outside'), 'utf8')).toBe('outside');
    if (flag === 'nothing') {
      expect([sent.code, code]).toEqual([5, 6]);
      expect(stderr).toMatch(/data\.bin exists already .*\nTry: allow it with --overwrite/);
      expect(await text('data.bin/a/one')).toBe('old');
    } else {
      expect([sent.code, code]).toEqual([0, 0]);
      const place = flag === '--rename' ? 'data (1).bin' : 'data.bin';
      expect([await text(`${place}/a/one`), await text(`${place}/two`)]).toEqual(['new', 'two']);
      expect((await lstat(join(stage.inbox, place, 'two'))).isFile()).toBe(true);
    }
    expect((await readdir(stage.inbox)).filter((name) => name.startsWith('.stt'))).toEqual([]);
  });

  test('never goes through a link that stands in the place of a folder there', async () => {
    const stage = await grove({ 'a/one': 'new' });
    const outside = join(stage.folder, 'outside');
    await mkdir(outside);
    await mkdir(join(stage.inbox, 'data.bin'));
    await symlink(outside, join(stage.inbox, 'data.bin/a'));
    const recv = await stage.recv('--overwrite');
    expect((await stage.send().end()).code).toBe(5);
    expect((await recv.end()).code).toBe(6);
    expect(await readdir(outside)).toEqual([]);
  });

  test.each<[string, Readonly<Record<string, string>>, string | undefined]>([
    ['a folder onto a file', { 'data.bin': 'mine' }, undefined],
    ['a folder onto a link', {}, 'data.bin'],
    ['a folder onto a file inside', { 'data.bin/a': 'mine' }, undefined],
    ['a folder onto a link inside', { 'data.bin/mine': 'mine' }, 'data.bin/a'],
    ['a file onto a folder inside', { 'data.bin/a/one/mine': 'mine' }, undefined],
  ])(
    'cannot be put over another kind of thing, and nothing is sent: %s',
    async (_name, files, link) => {
      const stage = await grove({ 'a/one': 'new', two: 'two' });
      await plant(stage.inbox, files);
      if (link !== undefined) await symlink(stage.folder, join(stage.inbox, link));
      const before = await look(stage.inbox);
      const recv = await stage.recv('--overwrite');
      const sent = await stage.send().end();
      const { code, stderr } = await recv.end();
      expect([sent.code, sent.stderr]).toEqual([
        5,
        expect.stringMatching(/declined: .* folder in /),
      ]);
      expect([code, stderr]).toEqual([
        6,
        expect.stringMatching(/ folder in .*\nTry: move it away/),
      ]);
      expect(await look(stage.inbox)).toEqual(before);
    },
  );

  test('larger than --max-size in all is refused before anything is made', async () => {
    const stage = await grove({ one: content(1, 600_000), two: content(2, 600_000) });
    const recv = await stage.recv('--max-size', '1M');
    const { code, stderr } = await stage.send().end();
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(/declined: .*more than 1\.00 MiB in all/),
    ]);
    const received = await recv.end();
    expect([received.code, received.stderr]).toEqual([
      6,
      expect.stringMatching(/more than 1\.00 MiB in all.*\nTry: raise --max-size\./),
    ]);
    expect(await readdir(stage.inbox)).toEqual([]);
  });

  test('with two names that some disks do not tell apart is refused by its sender', async () => {
    const stage = await grove({ 'a/Name': '1', 'a/name': '2' });
    const { code, stderr } = await stage.send().end();
    expect([code, stderr]).toEqual([6, expect.stringMatching(/is there twice.*\nTry: rename/)]);
  });
});

test('a file is not sent to where a folder has its name, whatever is allowed', async () => {
  const stage = await Stage.make(content(1, MIB));
  await mkdir(join(stage.inbox, 'data.bin'));
  const recv = await stage.recv('--overwrite');
  const sent = await stage.send().end();
  const { code, stderr } = await recv.end();
  expect([sent.code, sent.stderr]).toEqual([5, expect.stringMatching(/declined: .* a folder in /)]);
  expect([code, stderr]).toEqual([6, expect.stringMatching(/ a folder in .*\nTry: move it away/)]);
  expect(await readdir(stage.inbox)).toEqual(['data.bin']);
});

test('a path that is given twice is called that, whatever it is written like', async () => {
  const stage = await grove({ one: '1' });
  const to = [`127.0.0.1:${stage.port}`, '--seed-file', stage.seed];
  const twice = [stage.file, `${stage.folder}/./data.bin`];
  const { code, stderr } = await stt(['send', ...twice, ...to], { env: stage.env });
  expect([code, stderr]).toEqual([2, expect.stringMatching(/data\.bin" is given twice\.\nTry: /)]);
  const { code: again } = await stt(['send', stage.file, stage.file, ...to], { env: stage.env });
  expect(again).toBe(2);
});

test('several paths arrive beside each other, and several with --name do not leave', async () => {
  const stage = await grove({ one: '1' });
  await writeFile(join(stage.folder, 'extra.txt'), 'extra');
  const recv = await stage.recv();
  const paths = [stage.file, join(stage.folder, 'extra.txt')];
  const rest = [`127.0.0.1:${stage.port}`, '--seed-file', stage.seed];
  const wrong = await stt(['send', ...paths, ...rest, '--name', 'x'], { env: stage.env });
  expect(wrong.code).toBe(2);
  const { code, stdout } = await stt(['send', ...paths, ...rest], { env: stage.env });
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/^sent data\.bin and 1 more: 2 files in 1 folder, 6 B/),
  ]);
  expect((await recv.end()).code).toBe(0);
  expect((await readdir(stage.inbox)).sort()).toEqual(['data.bin', 'extra.txt']);
});

describe('a folder that is cut off', () => {
  /** What the last session of a command did not send again; lanes tell of it in any order. */
  const resumptions = ({ records }: Finished): { name: string; offset: number }[] => {
    const begin = records.findLastIndex(
      ({ event }) => event === 'session' || event === 'suspended',
    );
    const told = records.slice(begin + 1).filter(({ event }) => event === 'resumed');
    return told
      .map((record) => record as unknown as { name: string; offset: number })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  };

  const many = (): Record<string, Buffer> => {
    const files: Record<string, Buffer> = { 'big/one': content(1, 8 * MIB) };
    for (let n = 0; n < 60; n += 1) files[`small/${n}`] = content(n + 2, 100_000);
    return files;
  };

  test.each(['receiver', 'sender'] as const)(
    'by kill -9 of the %s goes on, and files that were whole are not sent again',
    async (who) => {
      const stage = await grove(many());
      const total = 8 * MIB + 60 * 100_000;
      await stage.goFarAway();
      let recv = await stage.recv();
      let send = stage.send();
      await arrives(stage, total / 3);
      const victim = who === 'receiver' ? recv : send;
      victim.child.kill('SIGKILL');
      await victim.end();
      await stage.comeNear();
      // Nothing is seen of it under its own name.
      expect((await readdir(stage.inbox)).every((name) => name.startsWith('.stt-'))).toBe(true);
      if (who === 'receiver') recv = await stage.recv();
      else send = stage.send();
      const [sent, received] = [await send.end(), await recv.end()];
      expect([sent.code, received.code]).toEqual([0, 0]);
      expect(await look(join(stage.inbox, 'data.bin'))).toEqual(await look(stage.file));
      expect(await readdir(stage.inbox)).toEqual(['data.bin']);
      const last = sent.records.at(-1) as Record<string, number>;
      expect(last['resumedFiles']).toBeGreaterThan(5);
      const again = who === 'receiver' ? total * 1.6 : total * 0.8;
      expect(last['bytesSent']).toBeLessThan(again);
      // What stood unfinished counts as well, and both say the same.
      const { resumedFrom = 0, bytesSent = 0 } = last;
      expect(received.records.at(-1)?.['resumedFrom']).toBe(resumedFrom);
      const [here, there] = [resumptions(sent), resumptions(received)];
      expect(there).toEqual(here);
      expect(here.reduce((sum, { offset }) => sum + offset, 0)).toBe(resumedFrom);
      expect(here[0]?.name).toBe('data.bin');
      if (who === 'sender') expect(bytesSent + resumedFrom).toBe(total);
    },
  );

  test('by SIGINT says how to go on, leaves nothing open, and does', async () => {
    const stage = await grove(many());
    await stage.goFarAway();
    const recv = await stage.recv();
    const send = stage.send();
    await arrives(stage, 2 * MIB);
    send.child.kill('SIGINT');
    const { code, stderr } = await send.end();
    await stage.comeNear();
    expect([code, stderr]).toEqual([
      130,
      expect.stringMatching(
        /^ended by SIGINT\.\nTry: .* of 13\.72 MiB were sent; to go on from there: stt send /m,
      ),
    ]);
    const again = await stage.send().end();
    expect(again.code).toBe(0);
    expect(again.records.at(-1)?.['resumedFiles']).toBeGreaterThan(0);
    expect((await recv.end()).code).toBe(0);
  });

  test('again and again within one file tells each time all that stands there', async () => {
    const stage = await grove({ big: content(1, 32 * MIB), small: 'whole' });
    await stage.goFarAway();
    const recv = await stage.recv();
    let before = 0;
    for (let round = 1; round <= 3; round += 1) {
      const send = stage.send();
      await arrives(stage, before + 2 * MIB);
      send.child.kill('SIGINT');
      await send.end();
      const { bytes } = await recv.record(
        ({ event, bytes }) => event === 'suspended' && Number(bytes) > before,
      );
      // It waits as long anew as this grows; nothing comes meanwhile.
      expect(bytes).toBe(arrived(stage));
      before = bytes as number;
    }
    await stage.comeNear();
    expect((await stage.send().end()).code).toBe(0);
    const { code, records } = await recv.end();
    expect([code, records.filter(({ event }) => event === 'suspended').length]).toEqual([0, 3]);
    expect(await look(join(stage.inbox, 'data.bin'))).toEqual(await look(stage.file));
  });

  test('and has changed since: what is new is sent, what is gone is not there', async () => {
    const stage = await grove(many());
    await stage.goFarAway();
    const recv = await stage.recv();
    const send = stage.send();
    await arrives(stage, 4 * MIB);
    send.child.kill('SIGKILL');
    await send.end();
    await stage.comeNear();
    await rm(join(stage.file, 'small/0'));
    await writeFile(join(stage.file, 'small/1'), content(999, 100_000));
    expect((await stage.send().end()).code).toBe(0);
    expect((await recv.end()).code).toBe(0);
    expect(await look(join(stage.inbox, 'data.bin'))).toEqual(await look(stage.file));
  });

  test('has the permissions and times that it has now, also of files that were there already', async () => {
    const files = Array.from({ length: 12 }, (_, n) => `short/${n}`);
    const stage = await grove({
      ...Object.fromEntries(files.map((path, n) => [path, `the text of ${n}`])),
      'a/long': content(1, 1.2 * MIB),
      'a/empty': '',
      'z/last': content(2, 24 * MIB),
    });
    files.push('a/long', 'a/empty');
    const [recv, send] = [await stage.recv(), stage.send()];
    const staged = async (): Promise<string | undefined> => {
      const [tree] = (await readdir(stage.inbox)).filter((name) => name.endsWith('.tree'));
      const at = join(stage.inbox, String(tree), 'tree/data.bin');
      const stats = await Promise.allSettled(files.map((path) => stat(join(at, path))));
      // One that is just being written is not whole yet.
      const whole = (nth: number): boolean => {
        const found = stats[nth];
        return found?.status === 'fulfilled' && (found.value.size > 0 || files[nth] === 'a/empty');
      };
      return stats.every((_, nth) => whole(nth)) ? at : undefined;
    };
    const there = await until(staged, 'all files but the last');
    for (const { child, finished } of [recv, send]) {
      child.kill('SIGKILL');
      await finished;
    }
    for (const [nth, path] of files.entries()) {
      const at = join(stage.file, path);
      if (nth % 3 === 0) await chmod(at, 0o600);
      else if (nth % 3 === 1) await utimes(at, 1_000_000_000, 1_000_000_000);
      // As a receiver leaves it that is killed before it has set the time.
      else await utimes(join(there, path), new Date(), new Date());
    }
    const expected = await look(stage.file);
    const again = await stage.recv();
    const [sent, received] = [await stage.send().end(), await again.end()];
    expect([sent.code, received.code, sent.stderr, received.stderr]).toEqual([0, 0, '', '']);
    expect(sent.records.at(-1)?.['resumedFiles']).toBe(files.length);
    expect(await look(join(stage.inbox, 'data.bin'))).toEqual(expected);
  });

  test('and whose files vanish on the way: all else is there, the receiver hears of it, and the sender ends with 6', async () => {
    const stage = await grove(many());
    await stage.goFarAway();
    const recv = await stage.recv();
    const send = stage.send();
    await arrives(stage, MIB);
    // Nobody reads meanwhile, and the windows are small: the last files have not been opened.
    recv.child.kill('SIGSTOP');
    await rm(join(stage.file, 'small'), { recursive: true });
    recv.child.kill('SIGCONT');
    await stage.comeNear();
    const [sent, received] = [await send.end(), await recv.end()];
    expect([sent.code, sent.stderr]).toEqual([
      6,
      expect.stringMatching(
        /^\d+ files could not be read, .*small\/\d+.* All else is there\.\nTry: /m,
      ),
    ]);
    const { missing, files } = received.records.at(-1) as Record<string, number>;
    expect(received.code).toBe(0);
    expect(missing).toBeGreaterThan(5);
    const there = await look(join(stage.inbox, 'data.bin'));
    expect(there['big/one']).toContain(sha256(content(1, 8 * MIB)));
    const small = Object.keys(there).filter((path) => path.startsWith('small/'));
    expect([small.length, files]).toEqual([60 - (missing as number), small.length + 1]);
  });

  test('whose --deadline passes says how to go on, and does', async () => {
    const stage = await grove(many());
    const recv = await stage.recv();
    const link = await stage.goFarAway();
    const send = stage.send('--deadline', '8s');
    await arrives(stage, MIB);
    // The sender hears nothing more, and is heard.
    link.intercept(({ towards, forward }) => {
      if (towards === 'target') forward();
    });
    const { code, stderr } = await send.end();
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(
        /^the deadline of 8 s passed .*\nTry: .* to go on from there: stt send /m,
      ),
    ]);
    await stage.comeNear();
    const again = await stage.send().end();
    expect([again.code, again.stderr]).toEqual([0, '']);
    expect(again.records.at(-1)?.['resumedFiles']).toBeGreaterThan(0);
    expect((await recv.end()).code).toBe(0);
    expect(await look(join(stage.inbox, 'data.bin'))).toEqual(await look(stage.file));
  });
});

test('two folders at once into one come whole, and only one gets a name that both have', async () => {
  const one = await grove({ 'x/one': content(1, 2 * MIB) });
  const two = await grove({ 'x/two': content(2, 2 * MIB) });
  const recv = await one.recv('--forever', '--rename');
  const to = [`127.0.0.1:${one.port}`, '--seed-file', one.seed];
  const sends = [one, two].map(
    (stage) => new Stt(['send', stage.file, ...to], { env: { ...stage.env } }),
  );
  for (const send of sends) expect((await send.end()).code).toBe(0);
  recv.child.kill('SIGTERM');
  await recv.end();
  const names = ['data (1).bin', 'data.bin'];
  expect((await readdir(one.inbox)).sort()).toEqual(names);
  const found = await Promise.all(names.map((name) => readdir(join(one.inbox, name, 'x'))));
  expect(found.flat().sort()).toEqual(['one', 'two']);
});

describe('stdout as the place to receive at', () => {
  test('has the bytes alone; what is said goes to stderr', async () => {
    const stage = await Stage.make(Buffer.from('just this\n'));
    const listen = ['--listen', `127.0.0.1:${stage.port}`, '--seed-file', stage.seed];
    const recv = new Stt(['recv', '-', ...listen], { env: stage.env });
    await recv.said(/listening on/);
    expect((await stage.send().end()).code).toBe(0);
    const { code, stdout, stderr } = await recv.end();
    expect([code, stdout]).toEqual([0, 'just this\n']);
    expect(stderr).toMatch(/received data\.bin: 10 B/);
  });

  test('goes on after a break, and takes no folder', async () => {
    const stage = await Stage.make(content(1, 8 * MIB));
    await stage.goFarAway();
    const out = join(stage.folder, 'out');
    const listen = ['--listen', `127.0.0.1:${stage.port}`, '--seed-file', stage.seed];
    const into = ['sh', '-c', 'out=$1; shift; exec "$@" > "$out"', 'sh', out];
    const recv = new Stt(['recv', '-', ...listen], { env: stage.env, wrapper: into });
    await recv.said(/listening on/);
    const first = stage.send();
    const some = async () => (statSync(out).size > 2 * MIB ? true : undefined);
    await until(some, 'some of it on stdout');
    first.child.kill('SIGKILL');
    await first.end();
    await stage.comeNear();
    const { code, records } = await stage.send().end();
    expect(code).toBe(0);
    expect(records.at(-1)?.['resumedFrom']).toBeGreaterThan(2 * MIB);
    expect((await recv.end()).code).toBe(0);
    expect(sha256(await readFile(out))).toBe(sha256(stage.bytes));
    expect((await stt(['recv', '-', '--json', ...listen])).code).toBe(2);
  });

  test.runIf(process.platform !== 'win32').each([
    ['closed', '>&-'],
    ['ignored', '1<>/dev/null'],
  ])(
    'that is %s is refused before anything comes; other commands do not mind',
    async (_what, to) => {
      const seed = await seedFile(await temporaryFolder());
      const wrapper = ['sh', '-c', `exec "$@" ${to}`, 'sh'];
      const listen = ['--listen', '127.0.0.1:0', '--seed-file', seed];
      const recv = new Stt(['recv', '-', ...listen], { wrapper });
      const [said] = await recv.said(/^.+$/m);
      expect(said).toMatch(/^stdout is closed, or ignored/);
      const { code, stderr } = await recv.end();
      expect([code, stderr]).toEqual([6, expect.stringMatching(/^stdout is .*\nTry: .*\n$/)]);
      const id = await stt(['id', '--seed-file', seed], { wrapper });
      expect([id.code, id.stderr]).toEqual([0, '']);
    },
  );

  test.runIf(process.platform !== 'win32')(
    'that is > /dev/null keeps nothing, as was said',
    async () => {
      const stage = await Stage.make(Buffer.from('for nobody\n'));
      const listen = ['--listen', `127.0.0.1:${stage.port}`, '--seed-file', stage.seed];
      const wrapper = ['sh', '-c', 'exec "$@" > /dev/null', 'sh'];
      const recv = new Stt(['recv', '-', ...listen], { env: stage.env, wrapper });
      await recv.said(/listening on/);
      expect((await stage.send().end()).code).toBe(0);
      expect((await recv.end()).code).toBe(0);
    },
  );
});

test.runIf(process.platform === 'linux' && process.getuid?.() === 0)(
  'a disk that is full refuses a folder that has no room, and one that fills goes on with room again',
  async () => {
    const stage = await grove({ one: content(1, 20 * MIB), 'two/x': content(2, 20 * MIB) });
    const run = promisify(execFile);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', stage.inbox]);
    onTestFinished(async () => void (await run('umount', ['-l', stage.inbox])));
    await stage.goFarAway();
    const refuser = await stage.recv();
    const refused = await stage.send().end();
    expect([refused.code, (await refuser.end()).code]).toEqual([5, 6]);
    expect(refused.stderr).toMatch(/declined: .*needs .* more; the disk has .* free/);
    // Somebody else fills it meanwhile.
    await rm(join(stage.file, 'one'));
    const recv = await stage.recv();
    const send = stage.send();
    await arrives(stage, 2 * MIB);
    await writeFile(join(stage.inbox, 'filler'), Buffer.alloc(24 * MIB)).catch(() => undefined);
    await stage.comeNear();
    expect((await send.end()).code).toBe(5);
    const { code, stderr } = await recv.end();
    expect([code, stderr]).toEqual([
      6,
      expect.stringMatching(/ENOSPC.*the disk is full.*\nTry: free/),
    ]);
    expect((await readdir(stage.inbox)).filter((name) => !name.startsWith('.stt-'))).toEqual([
      'filler',
    ]);
    await rm(join(stage.inbox, 'filler'));
    const recvAgain = await stage.recv();
    const again = await stage.send().end();
    expect([again.code, (await recvAgain.end()).code]).toEqual([0, 0]);
    expect(again.records.at(-1)?.['bytesSent']).toBeLessThan(19 * MIB);
    expect(await readdir(stage.inbox)).toEqual(['data.bin']);
    expect(await look(join(stage.inbox, 'data.bin'))).toEqual(await look(stage.file));
  },
);

test.runIf(process.platform === 'linux' && process.getuid?.() === 0)(
  'a file that a disk had no room for in the middle goes on with room again',
  async () => {
    const stage = await Stage.make(content(1, 20 * MIB));
    const run = promisify(execFile);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', stage.inbox]);
    onTestFinished(async () => void (await run('umount', ['-l', stage.inbox])));
    await stage.goFarAway();
    const recv = await stage.recv();
    const send = stage.send();
    await stage.reaches(2 * MIB);
    await writeFile(join(stage.inbox, 'filler'), Buffer.alloc(24 * MIB)).catch(() => undefined);
    await stage.comeNear();
    expect((await send.end()).code).toBe(5);
    const { code, stderr } = await recv.end();
    expect([code, stderr]).toEqual([
      6,
      expect.stringMatching(/ENOSPC.*the disk is full.*\nTry: free some space, then run the same/),
    ]);
    await rm(join(stage.inbox, 'filler'));
    const recvAgain = await stage.recv();
    const again = await stage.send().end();
    expect([again.code, (await recvAgain.end()).code]).toEqual([0, 0]);
    expect(again.records.at(-1)?.['resumedFrom']).toBeGreaterThanOrEqual(MIB);
    expect(await stage.received()).toEqual(stage.expected());
  },
);

test(`a folder of ${LONG ? 20_000 : 2_000} small files`, async () => {
  const count = LONG ? 20_000 : 2_000;
  const stage = await grove({});
  for (let folder = 0; folder < count / 100; folder += 1) {
    const files: Record<string, string> = {};
    for (let n = 0; n < 100; n += 1) files[`d${folder}/f${n}`] = `${folder} ${n}`;
    await plant(stage.file, files);
  }
  stage.env = { XDG_STATE_HOME: join(stage.folder, 'state') };
  const recv = await stage.recv();
  const started = performance.now();
  const send = stage.send();
  const { code, records } = await send.finished;
  console.log(`${count} files: ${Math.round(performance.now() - started)} ms`);
  expect([code, (await recv.end()).code]).toEqual([0, 0]);
  expect(records.at(-1)).toMatchObject({ files: count, folders: count / 100 + 1 });
  const all = await readdir(join(stage.inbox, 'data.bin'), { recursive: true });
  expect(all).toHaveLength(count + count / 100);
  expect(await readFile(join(stage.inbox, 'data.bin/d3/f7'), 'utf8')).toBe('3 7');
});

test.runIf(LONG)(
  'a file of 4 GiB with holes goes on from its middle',
  { timeout: 600_000 },
  async () => {
    const stage = await grove({});
    const file = await open(join(stage.file, 'sparse'), 'w');
    await file.truncate(4 * 1024 * MIB);
    for (const at of [0, 1_500 * MIB, 4_000 * MIB])
      await file.write(content(at + 1, MIB), 0, MIB, at);
    await file.close();
    stage.env = { XDG_STATE_HOME: join(stage.folder, 'state') };
    let recv = await stage.recv();
    const send = stage.send();
    const half = async () => (arrived(stage) > 2_000 * MIB ? true : undefined);
    await until(half, 'half of it', 20 * STEP_MS);
    recv.child.kill('SIGKILL');
    await recv.end();
    recv = await stage.recv();
    const { code, records } = await send.finished;
    expect([code, (await recv.finished).code]).toEqual([0, 0]);
    expect(records.at(-1)?.['bytesSent']).toBeLessThan(5 * 1024 * MIB);
    const sum = async (path: string) =>
      (await promisify(execFile)('sha256sum', [path])).stdout.slice(0, 64);
    expect(await sum(join(stage.inbox, 'data.bin/sparse'))).toBe(
      await sum(join(stage.file, 'sparse')),
    );
  },
);

test('a person sees the whole and each file with rate and time left, and Ctrl-C says how to go on', async () => {
  const stage = await grove({ one: content(1, 24 * MIB), 'a/two': content(2, 24 * MIB) });
  await stage.goFarAway();
  await stage.recv('--forever');
  const to = [`127.0.0.1:${stage.via}`, '--seed-file', stage.seed];
  const shown = new Terminal(['send', stage.file, ...to], { env: stage.env });
  const line = (label: string): RegExp =>
    new RegExp(`^${label} +\\[.{24}\\] +\\d+ % +[\\d.]+ \\w+ +[\\d.]+ [kMG]?B/s \\d*:\\d\\d`, 'm');
  await shown.shows(line('data\\.bin 0/2'));
  await shown.shows(line('data\\.bin/a/two'));
  await shown.shows(line('data\\.bin/one'));
  shown.type('\x03');
  expect(await shown.end()).toBe(130);
  expect(shown.screen).toMatch(
    /ended by SIGINT\.\nTry: .* of 48\.00 MiB were sent; to go on from there: stt send /,
  );
});

test('a folder goes over a WebSocket as well', async () => {
  const stage = await grove({ 'a/b': content(1, 2 * MIB), c: 'c' });
  const inbox = await temporaryFolder();
  const { recv, port } = await startRecv(inbox, stage.seed, '--websocket');
  const to = [`127.0.0.1:${port}`, '--seed-file', stage.seed, '--transport', 'websocket', '--json'];
  const sent = await stt(['send', stage.file, ...to], { env: stage.env });
  expect([sent.code, (await recv.end()).code]).toEqual([0, 0]);
  expect(sent.records.at(-1)).toMatchObject({ transport: 'websocket', files: 2 });
  expect(await look(join(inbox, 'data.bin'))).toEqual(await look(stage.file));
});
