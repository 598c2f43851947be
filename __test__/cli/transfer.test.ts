import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SttEndpoint } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { addPeer } from '../../ts/cli/peers/book.ts';
import { closedPort } from '../contract/pair.ts';
import { MIB, Stage } from './stage.ts';
import { Stt, seedFile, startRecv, stt, temporaryFolder } from './stt.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function stage(): Promise<{ folder: string; inbox: string; seed: string }> {
  const folder = await temporaryFolder();
  const inbox = join(folder, 'inbox');
  await mkdir(inbox);
  return { folder, inbox, seed: await seedFile(folder) };
}

/** Runs a command with its stdout where nothing fits, and into a pipe whose reader has gone. */
const FULL = ['sh', '-c', 'exec "$@" >/dev/full', 'sh'];
const CUT = ['bash', '-c', 'exec "$@" > >(exec true)', 'bash'];

/** A transfer that has begun and is far from its end. */
async function midway(...more: string[]) {
  const place = await Stage.make(Buffer.alloc(64 * MIB));
  const link = await place.goFarAway();
  const [recv, send] = [await place.recv(), place.send(...more)];
  await send.record(({ event }) => event === 'progress');
  return { inbox: place.inbox, recv, send, link };
}

describe('stt send and stt recv', () => {
  test.each([0, 1, 31, 32, 33, 1_000_000])(
    'move a file of %i bytes, verified on both sides',
    async (size) => {
      const { folder, inbox, seed } = await stage();
      const bytes = randomBytes(size);
      await writeFile(join(folder, 'a.bin'), bytes);
      const { recv, port, nodeId } = await startRecv(inbox, seed);
      const sent = await stt([
        'send',
        join(folder, 'a.bin'),
        `127.0.0.1:${port}`,
        '--peer-id',
        nodeId,
        '--seed-file',
        seed,
        '--json',
      ]);
      const received = await recv.end();
      expect(sent).toMatchObject({ code: 0 });
      expect(received).toMatchObject({ code: 0 });
      expect(sent.records.at(-1)).toMatchObject({
        schema: 1,
        event: 'sent',
        bytes: size,
        sha256: sha256(bytes),
        verified: true,
        transport: 'udp',
      });
      expect(received.records.at(-1)).toMatchObject({
        schema: 1,
        event: 'received',
        name: 'a.bin',
        sha256: sha256(bytes),
      });
      expect(sha256(await readFile(join(inbox, 'a.bin')))).toBe(sha256(bytes));
      expect(await readdir(inbox)).toEqual(['a.bin']);
    },
  );

  test('move a file over a WebSocket, at the number of the UDP port', async () => {
    const { folder, inbox, seed } = await stage();
    const bytes = randomBytes(1_000_000);
    await writeFile(join(folder, 'a.bin'), bytes);
    const { recv, port } = await startRecv(inbox, seed, '--websocket');
    const to = ['send', join(folder, 'a.bin'), `127.0.0.1:${port}`, '--transport', 'websocket'];
    const sent = await stt([...to, '--seed-file', seed, '--json']);
    const received = await recv.end();
    expect([sent.code, received.code]).toEqual([0, 0]);
    expect(received.records[0]).toMatchObject({ event: 'listening', port, websocketPort: port });
    const sessionId = sent.records.find(({ event }) => event === 'session')?.['sessionId'];
    expect(sessionId).toMatch(/^[0-9a-f]+$/);
    expect(sent.records.at(-1)).toMatchObject({ transport: 'websocket', sessionId, moves: 0 });
    expect(received.records.at(-1)).toMatchObject({
      transport: 'websocket',
      sessionId,
      bytesByCarrier: { udp: 0, websocket: 1_000_000 },
    });
    expect(sha256(await readFile(join(inbox, 'a.bin')))).toBe(sha256(bytes));
  });

  test('a pipe is sent as "-" under the name that is given', async () => {
    const { inbox, seed } = await stage();
    const { recv, port } = await startRecv(inbox, seed);
    const sent = await stt(
      ['send', '-', `127.0.0.1:${port}`, '--name', 'notes.txt', '--seed-file', seed],
      { input: 'from a pipe' },
    );
    expect(sent).toMatchObject({ code: 0 });
    expect((await recv.end()).code).toBe(0);
    expect(await readFile(join(inbox, 'notes.txt'), 'utf8')).toBe('from a pipe');
  });

  test.skipIf(process.platform === 'win32')(
    'a named pipe is waited for, and a signal ends the wait',
    async () => {
      const { folder, inbox, seed } = await stage();
      const { recv, port } = await startRecv(inbox, seed, '--forever');
      const pipe = join(folder, 'pipe');
      execFileSync('mkfifo', [pipe]);
      const args = ['send', pipe, `127.0.0.1:${port}`, '--seed-file', seed, '--json'];
      const waiting = new Stt(args);
      await waiting.record(({ event }) => event === 'session');
      waiting.child.kill('SIGINT');
      const ended = await waiting.end();
      expect([ended.code, ended.stderr]).toEqual([
        130,
        expect.stringMatching(/^ended by SIGINT\.\nTry: ./),
      ]);
      // It was not the last resort that ended it, after its time.
      expect(ended.records.at(-1)).toMatchObject({ event: 'error', exitCode: 130 });
      const sent = new Stt([...args, '--name', 'notes.txt']);
      await sent.record(({ event }) => event === 'session');
      await writeFile(pipe, 'from a named pipe');
      expect((await sent.end()).code).toBe(0);
      expect(await readFile(join(inbox, 'notes.txt'), 'utf8')).toBe('from a named pipe');
      // Also where it is read before anybody is called, which holds a thread.
      const stuck = new Stt(['ping', `127.0.0.1:${port}`, '--seed-file', pipe]);
      const fd = await open(pipe, 'w');
      onTestFinished(() => fd.close());
      stuck.child.kill('SIGINT');
      expect((await stuck.end()).code).toBe(130);
      recv.child.kill('SIGINT');
      expect((await recv.end()).code).toBe(130);
    },
  );

  test.runIf(existsSync('/dev/full'))(
    'stdout on a disk that is full: 6, and the sender is told',
    async () => {
      const { folder, seed } = await stage();
      for (const args of [
        ['id', '--seed-file', seed],
        ['explain', '0x0101', '--json'],
        ['completion', 'bash'],
      ]) {
        const { code, stderr } = await stt(args, { wrapper: FULL });
        expect([args, code, stderr]).toEqual([
          args,
          6,
          expect.stringMatching(/^stdout: ENOSPC: .*\nTry: ./m),
        ]);
      }
      const file = join(folder, 'a.bin');
      await writeFile(file, Buffer.alloc(1_000_000));
      const send = ['send', '--seed-file', seed, '--resume-timeout', '3s', file];
      const port = await closedPort();
      const listen = ['recv', '-', '--listen', `127.0.0.1:${port}`, '--seed-file', seed];
      for (const [wrapper, why] of [
        [FULL, /^ENOSPC: stdout takes no more: the disk is full\.$/m],
        [CUT, /^EPIPE: stdout takes no more: whoever read it has ended\.$/m],
      ] as const) {
        const recv = new Stt(listen, { wrapper });
        await recv.said(/^listening on/m);
        const sent = await stt([...send, `127.0.0.1:${port}`]);
        const received = await recv.end();
        expect([received.code, received.stderr, sent.code]).toEqual([
          6,
          expect.stringMatching(why),
          5,
        ]);
      }
    },
  );

  test('a peer that is known under several hosts is reached by the one that answers', async () => {
    const { folder, inbox, seed } = await stage();
    const { recv, port, nodeId } = await startRecv(inbox, seed, '--forever');
    // At the first nobody listens, at the second somebody who says nothing.
    const silent = createSocket('udp4').bind(port, '127.0.0.3');
    onTestFinished(() => void silent.close());
    await once(silent, 'listening');
    const hosts = ['127.0.0.2', '127.0.0.3', 'localhost'];
    const peer = { name: 'desk', nodeId, hosts, port, pairedAt: 0 };
    await addPeer(peer, join(folder, 'stt', 'peers.json'));
    const env = { XDG_CONFIG_HOME: folder };
    const file = join(folder, 'a.bin');
    await writeFile(file, 'x');
    const sent = await stt(['send', file, 'desk', '--seed-file', seed, '--json'], { env });
    expect([sent.code, sent.stderr]).toEqual([0, '']);
    const pinged = await stt(['ping', 'desk', '-c', '1', '--seed-file', seed, '--json'], { env });
    expect(pinged.records[0]).toMatchObject({ address: `desk:${port}`, peerNodeId: nodeId });
    const found = await stt(['doctor', 'desk', '--seed-file', seed, '--json'], { env });
    expect([found.code, found.records[0]]).toEqual([
      0,
      expect.objectContaining({
        check: 'name',
        addresses: expect.arrayContaining(['127.0.0.2', '127.0.0.3', '127.0.0.1']),
      }),
    ]);
    recv.child.kill('SIGINT');
    await recv.end();
  });

  test('a host of a peer that another node has by now is passed by', async () => {
    const { folder, inbox, seed } = await stage();
    const { recv, port, nodeId } = await startRecv(inbox, seed, '--forever');
    const other = await SttEndpoint.create({
      sharedSeed: Buffer.from((await readFile(seed, 'utf8')).trim(), 'hex'),
      host: '127.0.0.2',
      port,
    });
    onTestFinished(() => other.destroy());
    await other.serve(() => {}, { onError: () => {} }).ready;
    const env = { XDG_CONFIG_HOME: folder };
    const known = (...hosts: readonly string[]): Promise<string> =>
      addPeer(
        { name: 'desk', nodeId, hosts, port, pairedAt: 0 },
        join(folder, 'stt', 'peers.json'),
      );
    await known('127.0.0.2', '127.0.0.1');
    const ping = ['-c', '1', '--seed-file', seed, '--json'];
    const found = await stt(['ping', 'desk', ...ping], { env });
    expect([found.code, found.stderr]).toEqual([0, '']);
    await known('127.0.0.2', '127.0.0.3');
    const lost = await stt(['ping', 'desk', ...ping], { env });
    expect([lost.code, lost.records.at(-1)]).toMatchObject([4, { code: '0x0103' }]);
    recv.child.kill('SIGINT');
    await recv.end();
  });

  test('the names of unfinished files are refused by the sender', async () => {
    const { folder, seed } = await stage();
    const own = join(folder, '.stt-x.part');
    await writeFile(own, 'x');
    for (const args of [[own], ['-', '--name', '.stt-x.part'], [seed, '--name', '.STT-y.done']]) {
      const [path = '', ...more] = args;
      const { code, stderr } = await stt([
        'send',
        path,
        '127.0.0.1:9',
        '--seed-file',
        seed,
        ...more,
      ]);
      expect([args, code, stderr]).toEqual([
        args,
        6,
        expect.stringMatching(/cannot be sent: .* kept for unfinished files\.\nTry: ./),
      ]);
    }
  });

  test('a file that exists is kept; --overwrite replaces it, --rename numbers the new one', async () => {
    const { folder, inbox, seed } = await stage();
    await writeFile(join(folder, 'a.txt'), 'new');
    await writeFile(join(inbox, 'a.txt'), 'old');
    const attempt = async (
      ...options: string[]
    ): Promise<[number | null, number | null, string]> => {
      const { recv, port } = await startRecv(inbox, seed, ...options);
      const sent = await stt([
        'send',
        join(folder, 'a.txt'),
        `127.0.0.1:${port}`,
        '--seed-file',
        seed,
      ]);
      return [sent.code, (await recv.end()).code, sent.stderr];
    };
    const [sendCode, recvCode, stderr] = await attempt();
    expect([sendCode, recvCode]).toEqual([5, 6]);
    expect(stderr).toContain('a.txt exists already');
    expect(await readFile(join(inbox, 'a.txt'), 'utf8')).toBe('old');
    expect((await attempt('--rename')).slice(0, 2)).toEqual([0, 0]);
    expect(await readFile(join(inbox, 'a (1).txt'), 'utf8')).toBe('new');
    expect((await attempt('--overwrite')).slice(0, 2)).toEqual([0, 0]);
    expect(await readFile(join(inbox, 'a.txt'), 'utf8')).toBe('new');
    expect((await readdir(inbox)).sort()).toEqual(['a (1).txt', 'a.txt']);
  });

  test('--max-size refuses before a byte is sent', async () => {
    const { folder, inbox, seed } = await stage();
    await writeFile(join(folder, 'big'), Buffer.alloc(2_000));
    const { recv, port } = await startRecv(inbox, seed, '--max-size', '1K');
    const sent = await stt(['send', join(folder, 'big'), `127.0.0.1:${port}`, '--seed-file', seed]);
    expect(sent.code).toBe(5);
    expect(sent.stderr).toContain('at most 1.00 KiB');
    expect((await recv.end()).code).toBe(6);
    expect(await readdir(inbox)).toEqual([]);
  });

  test('--forever takes several senders, side by side', async () => {
    const { folder, inbox, seed } = await stage();
    const { recv, port } = await startRecv(inbox, seed, '--forever');
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map((name) => writeFile(join(folder, name), randomBytes(300_000))));
    const results = await Promise.all(
      names.map((name) =>
        stt(['send', join(folder, name), `127.0.0.1:${port}`, '--seed-file', seed]),
      ),
    );
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    recv.child.kill('SIGTERM');
    expect((await recv.end()).code).toBe(143);
    for (const name of names)
      expect(sha256(await readFile(join(inbox, name)))).toBe(
        sha256(await readFile(join(folder, name))),
      );
  });

  test('a receiver killed in the middle leaves nothing under the final name, and the sender ends with 5', async () => {
    const { inbox, recv, send, link } = await midway('--resume-timeout', '500ms');
    recv.child.kill('SIGKILL');
    await link.refuse();
    const sent = await send.end();
    expect([sent.code, sent.stderr]).toEqual([
      5,
      expect.stringMatching(
        /^0x0[12][0-9a-f]{2} [A-Z_]+: .*\nTry: .* were sent; to go on from there: stt send \S+ 127/m,
      ),
    ]);
    expect(sent.stderr).not.toContain('    at ');
    expect((await readdir(inbox)).filter((name) => !/^\.stt-.*\.part$/.test(name))).toEqual([]);
  });

  test('with --no-resume a cut leaves nothing at all, and both sides end with an error', async () => {
    const { inbox, recv, send } = await midway('--no-resume');
    send.child.kill('SIGINT');
    expect((await send.end()).code).toBe(130);
    expect((await recv.end()).code).toBe(5);
    expect(await readdir(inbox)).toEqual([]);
  });

  test('a full disk is told to both sides and leaves no file', async (context) => {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) {
      return context.skip('needs root on Linux to mount a small file system');
    }
    const { folder, inbox, seed } = await stage();
    await writeFile(join(folder, 'big'), Buffer.alloc(8 * 1024 * 1024));
    // A mount namespace of the child's own: nothing is left to unmount whatever happens.
    const script = `mount -t tmpfs -o size=4m none "${inbox}" && "$@"; code=$?; ls -A "${inbox}" >&2; exit $code`;
    const wrapper = ['unshare', '--mount', 'sh', '-c', script, 'sh'];
    const recv = new Stt(
      ['recv', inbox, '--listen', '127.0.0.1:0', '--seed-file', seed, '--json'],
      { wrapper },
    );
    const { port } = await recv.record(({ event }) => event === 'listening');
    // From a pipe the size is unknown, so the disk fills in the middle.
    const cat = await readFile(join(folder, 'big'), 'latin1');
    const sent = await stt(
      ['send', '-', `127.0.0.1:${String(port)}`, '--name', 'big', '--seed-file', seed],
      { input: cat },
    );
    expect(sent.code).toBe(5);
    expect(sent.stderr).toContain('the disk is full');
    const received = await recv.end();
    expect(received.code).toBe(6);
    expect(received.stderr).toContain('ENOSPC');
    expect(received.stderr).not.toMatch(/\.part|^big$/m);
  });

  test('a file behind stdout that takes only a part of the last bytes is no success', async (context) => {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) {
      return context.skip('needs root on Linux to mount a small file system');
    }
    const { folder, inbox, seed } = await stage();
    const file = join(folder, 'big');
    await writeFile(file, Buffer.alloc(1024 * 1024 + 1_000, 7));
    const script = `mount -t tmpfs -o size=1m none "${inbox}" && exec "$@" > "${inbox}/out"`;
    const wrapper = ['unshare', '--mount', 'sh', '-c', script, 'sh'];
    const port = await closedPort();
    const listen = ['recv', '-', '--listen', `127.0.0.1:${port}`, '--seed-file', seed];
    const recv = new Stt(listen, { wrapper });
    await recv.said(/^listening on/m);
    const send = ['send', '--seed-file', seed, '--resume-timeout', '3s', file];
    const sent = await stt([...send, `127.0.0.1:${port}`]);
    const received = await recv.end();
    expect([received.code, received.stderr, sent.code]).toEqual([
      6,
      expect.stringContaining('ENOSPC: stdout takes no more: the disk is full.'),
      5,
    ]);
  });

  test('progress goes to stderr and results alone to stdout', async () => {
    const { folder, inbox, seed } = await stage();
    await writeFile(join(folder, 'a'), 'x');
    const { recv, port } = await startRecv(inbox, seed);
    const sent = await stt(['send', join(folder, 'a'), `127.0.0.1:${port}`, '--seed-file', seed]);
    await recv.end();
    expect(sent.stdout).toMatch(/^sent a: 1 B in [\d.]+ s \(.*\)\nsha256 [0-9a-f]{64}\n$/);
    expect((await stat(join(inbox, 'a'))).size).toBe(1);
  });
});
