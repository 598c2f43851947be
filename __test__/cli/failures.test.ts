import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SttEndpoint } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { networkSalt } from '../../ts/cli/commands/keygen.ts';
import { describeFailure } from '../../ts/cli/failure.ts';
import { addPeer } from '../../ts/cli/peers/book.ts';
import { AuthenticationError, ConnectionTimeoutError } from '../../ts/errors/classes.ts';
import { closedPort } from '../contract/pair.ts';
import { Stt, seedFile, startRecv, stt, temporaryFolder } from './stt.ts';

/** A UDP socket of another program. */
async function foreignSocket(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  return (socket.address() as AddressInfo).port;
}

/** Two lines, the first with what happened, the second with what to try; never a stack trace. */
function expectTwoLines(stderr: string, headline: RegExp): void {
  const lines = stderr.trimEnd().split('\n');
  expect(lines.at(-2)).toMatch(headline);
  expect(lines.at(-1)).toMatch(/^Try: ./);
  expect(stderr).not.toMatch(/^\s+at /m);
}

describe('what a mistake gets', () => {
  test('no command and unknown options: usage, 2', async () => {
    for (const args of [
      ['recv', '--nonsense'],
      ['frobnicate'],
      ['send', 'only-one'],
      ['recv', '.', '--listen', '99999'],
      ['recv', '.', '--max-size', 'much'],
      ['send', 'a', 'b', '--deadline', 'soon'],
    ]) {
      const { code, stderr } = await stt(args);
      expect([args, code]).toEqual([args, 2]);
      expectTwoLines(stderr, /^(error: |--max-size: |--deadline: )/);
    }
  });

  test('what to try is what would help: carrier, clock, seed and node told apart', () => {
    const hint = (error: Error): string => describeFailure(error).hint;
    const timeout = (transport: 'udp' | 'websocket'): string =>
      hint(new ConnectionTimeoutError('It did not answer.', { context: { transport } }));
    expect(timeout('udp')).toMatch(/that UDP passes/);
    expect(timeout('websocket')).toMatch(/recv --websocket.*that TCP passes/);
    const refused = (subcode: number, answeredBy?: string): string =>
      hint(
        new AuthenticationError('It is not the one.', {
          subcode,
          context: answeredBy === undefined ? {} : { answeredBy },
        }),
      );
    expect(refused(2)).toMatch(/clocks.*NTP/);
    expect(refused(3)).toMatch(/same seed.*stt pair/);
    expect(refused(0, 'a'.repeat(64))).toMatch(/correct the address, or --peer-id/);
  });

  test('what the parser refuses is told to programs as well: 2', async () => {
    for (const [args, message] of [
      [['ping', '--json', '--nonsense'], "error: unknown option '--nonsense'"],
      [['ping', '--json'], "error: missing required argument 'peer'"],
      [['sedn', 'a', 'b', '--json'], "error: unknown command 'sedn' (Did you mean send?)"],
    ] as const) {
      const { code, records, stderr } = await stt(args);
      expect([code, records]).toEqual([
        2,
        [
          {
            schema: 1,
            event: 'error',
            code: 'CLI',
            message,
            hint: expect.any(String),
            exitCode: 2,
          },
        ],
      ]);
      expectTwoLines(stderr, /^error: /);
    }
  });

  test('a duration that no timer can wait for, wherever one is taken: 2', async () => {
    for (const args of [
      ['ping', '127.0.0.1', '-i', '25d'],
      ['ping', '127.0.0.1', '--timeout', '600h'],
      ['pair', '--expires', '30d'],
      ['send', 'a', '127.0.0.1', '--deadline', '40d'],
      ['recv', '--resume-timeout', '1000000h'],
      ['tunnel', '8080', 'a:b:80', '--outage', '30d'],
    ]) {
      const { code, stderr } = await stt(args);
      expect([args, code]).toEqual([args, 2]);
      expectTwoLines(stderr, /is longer than 24 days, the longest that can be waited\.$/);
    }
  });

  test('a seed in the place of its file, or of a peer, is refused, and not repeated: 2', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const hex = 'c0ffee'.repeat(11).slice(0, 64);
    const base64 = Buffer.from(hex, 'hex').toString('base64url');
    for (const secret of [hex, base64]) {
      for (const args of [
        ['ping', '127.0.0.1', '--seed-file', secret],
        ['ping', '127.0.0.1', `--seed-file=./${secret}`],
        ['ping', secret, '--seed-file', seed],
        ['send', ` ${secret}`, '127.0.0.1', '--seed-file', seed],
        ['ping', '127.0.0.1', '--timeout', secret],
        ['explain', secret],
        [secret],
        ['tunnel', `${secret}:80`, 'desk:localhost:80'],
        ['tunnel', '--serve', '--allow', `${secret}:80`],
        ['tunnel', '--serve', `--allow=localhost:${secret}`],
        ['doctor', `${secret}:port`],
        ['send', `--nooption${secret}`],
        ['send', seed, '127.0.0.1', `--no-option${secret}=${folder}`],
        ['ping', '127.0.0.1', `-x${secret}`],
        [`send${secret}`],
        ['recv', folder, '--seed-file', seed, '--node-seed-file', secret],
        ['pair', '--print', '--seed-file', secret],
        ['keygen', '--out', secret],
      ]) {
        const { code, stdout, stderr } = await stt([...args, '--json'], { cwd: folder });
        expect([args, code]).toEqual([args, 2]);
        expectTwoLines(stderr, /a word of this command line, which .*, is a seed itself\.$/);
        expect(`${stdout}${stderr}`).not.toContain(secret);
      }
      const env = { STT_SEED_FILE: secret };
      const named = await stt(['ping', '127.0.0.1', '--json'], { env });
      expectTwoLines(named.stderr, /^the name of the seed file is a seed itself\.$/);
      expect(`${named.stdout}${named.stderr}`).not.toContain(secret);
      // What a file may be called, and what a node id looks like, is none.
      const id = ['ping', '127.0.0.1:9', '--peer-id', hex, '--seed-file', seed, '--timeout', '1s'];
      expect((await stt(id)).code).toBe(3);
      expect(await readdir(folder)).toEqual(['seed']);
    }
  });

  test('the seed in use is none of the names and node ids that look like one: 2', async () => {
    const folder = await temporaryFolder();
    const [seed, own] = [await seedFile(folder), await seedFile(folder, 'own')];
    const [used, node] = await Promise.all(
      [seed, own].map(async (path) => (await readFile(path, 'utf8')).trim()),
    );
    for (const hex of [used as string, node as string]) {
      for (const secret of [
        hex,
        hex.toUpperCase(),
        Buffer.from(hex, 'hex').toString('base64url'),
      ]) {
        for (const given of [['--name', secret], [`--name=${secret}.txt`], ['--peer-id', secret]]) {
          const args = ['send', seed, '127.0.0.1:9', ...given, '--json', '--no-resume'];
          const files = ['--seed-file', seed, '--node-seed-file', own];
          const { code, stdout, stderr } = await stt([...args, ...files]);
          expect([given, code]).toEqual([given, 2]);
          expectTwoLines(stderr, /a word of this command line, which .*, is a seed itself\.$/);
          expect(`${stdout}${stderr}`.toLowerCase()).not.toContain(secret.toLowerCase());
        }
      }
    }
  });

  test('a command that finds another one there says so: 5', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const bench = new Stt(['bench', '--listen', '127.0.0.1:0', '--seed-file', seed, '--json']);
    const { address, port } = await bench.record(({ event }) => event === 'listening');
    const peer = `${address}:${port}`;
    for (const path of [seed, folder]) {
      const { code, stderr } = await stt(['send', path, peer, '--seed-file', seed]);
      expect(code).toBe(5);
      expectTwoLines(stderr, /^what listens there is not "stt recv"\.$/);
    }
    const tunnel = await stt(['tunnel', '0', `${peer}:localhost:80`, '--seed-file', seed]);
    expect(tunnel.code).toBe(5);
    expect(tunnel.stderr).not.toContain('connecting again');
    expectTwoLines(tunnel.stderr, /^what answers there is not "stt tunnel --serve"\.$/);
    const lost = await stt(['tunnel', '--seed-file', seed]);
    expect(lost.code).toBe(2);
    expectTwoLines(lost.stderr, /^error: a port here and PEER:HOST:PORT are needed, or --serve\.$/);
  });

  test('a peer, a peer id, a carrier or a variable that cannot be: usage, 2', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const attempt = (peer: string, more: string[], env: NodeJS.ProcessEnv = {}) =>
      stt(['send', seed, peer, '--seed-file', seed, ...more], { env });
    for (const [wrong, headline] of [
      [attempt('127.0.0.1:0', []), /^the peer must have a port from 1 to 65535/],
      [attempt('127.0.0.1:70000', []), /^the peer must have a port/],
      [attempt('999.1.1.1', []), /^the peer has neither a host name nor an IP address/],
      [attempt('127.0.0.1', ['--peer-id', 'abc']), /^--peer-id must be 64 hex digits/],
      [attempt('localhost:abc', []), /^the peer has no number behind its colon/],
      [attempt(':7788', []), /^the peer has no host/],
      [attempt('[::1', []), /^the peer has a bracket that is not closed/],
      [attempt('http://host', []), /^the peer is a URL, and no host/],
      [
        attempt('127.0.0.1', [], { STT_KEEP_ALIVE_TIMEOUT: 'soon' }),
        /^STT_KEEP_ALIVE_TIMEOUT must be/,
      ],
    ] as const) {
      const { code, stderr } = await wrong;
      expect([code, stderr]).toEqual([2, expect.any(String)]);
      expectTwoLines(stderr, headline);
    }
  });

  test('help and version end with 0', async () => {
    expect((await stt(['--help'])).stdout).toContain('send');
    expect((await stt(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('stdout has no name that could be taken: 2', async () => {
    for (const option of ['--overwrite', '--rename', '--forever']) {
      const { code, stderr } = await stt(['recv', '-', option]);
      expect(code).toBe(2);
      expectTwoLines(stderr, new RegExp(`${option} does not go with "recv -"`));
    }
  });

  test('what has no name of its own is sent under another: 6', async () => {
    const seed = await seedFile(await temporaryFolder());
    const { code, stderr } = await stt(['send', '/', '127.0.0.1', '--seed-file', seed]);
    expect(code).toBe(6);
    expectTwoLines(stderr, /"\/" has no name of its own/);
  });

  test.each([
    ['recv', ['recv', '.', '--listen', 'nowhere.invalid:0']],
    [
      'recv --websocket',
      ['recv', '.', '--listen', '127.0.0.1:0', '--websocket', 'nowhere.invalid:0'],
    ],
    ['bench --websocket', ['bench', '--listen', '127.0.0.1:0', '--websocket', 'nowhere.invalid:0']],
    [
      'tunnel --serve --websocket',
      ['tunnel', '--serve', '--listen', '127.0.0.1:0', '--websocket', 'nowhere.invalid:0'],
    ],
    ['tunnel', ['tunnel', 'nowhere.invalid:0', '127.0.0.1:localhost:80']],
  ])('a host to listen on that has no address, of %s: 8', async (_of, args) => {
    const folder = await temporaryFolder();
    const { code, stderr } = await stt([...args, '--seed-file', await seedFile(folder)]);
    expect(code).toBe(8);
    expectTwoLines(stderr, /no address to listen on by the name "nowhere\.invalid"/);
  });

  test('a file that does not exist: 6', async () => {
    const folder = await temporaryFolder();
    const { code, stderr } = await stt([
      'send',
      join(folder, 'none'),
      '127.0.0.1',
      '--seed-file',
      await seedFile(folder),
    ]);
    expect(code).toBe(6);
    expectTwoLines(stderr, /ENOENT/);
  });

  test('a folder with a name that no other takes, and a file in place of a folder: 6', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const odd = join(folder, 'odd');
    await mkdir(join(odd, 'a:b'), { recursive: true });
    const sent = await stt(['send', odd, '127.0.0.1', '--seed-file', seed]);
    expect(sent.code).toBe(6);
    expectTwoLines(
      sent.stderr,
      /a:b" cannot be sent: .* holds a ":", which no file on Windows can have/,
    );
    const received = await stt(['recv', seed, '--listen', '127.0.0.1:0', '--seed-file', seed]);
    expect(received.code).toBe(6);
    expectTwoLines(received.stderr, /is not a folder/);
  });

  test('a busy port: 8', async () => {
    const folder = await temporaryFolder();
    const port = await foreignSocket();
    const { code, stderr } = await stt([
      'recv',
      folder,
      '--listen',
      `127.0.0.1:${port}`,
      '--seed-file',
      await seedFile(folder),
    ]);
    expect(code).toBe(8);
    expectTwoLines(stderr, /EADDRINUSE/);
  });

  test('no seed, a missing one, one that others can read, one that is none, a placeholder: 4', async () => {
    const folder = await temporaryFolder();
    const env = { XDG_CONFIG_HOME: folder, STT_SEED_FILE: undefined };
    const attempt = (args: string[]): ReturnType<typeof stt> =>
      stt(['recv', folder, '--listen', '127.0.0.1:0', ...args], { env });
    const none = await attempt([]);
    expect(none.code).toBe(4);
    expectTwoLines(none.stderr, /there is no seed/);
    const missing = await attempt(['--seed-file', join(folder, 'none')]);
    expect(missing.code).toBe(4);
    expectTwoLines(missing.stderr, /no such file/);
    const open = await seedFile(folder, 'open');
    await chmod(open, 0o644);
    const readable = await attempt(['--seed-file', open]);
    expect(readable.code).toBe(4);
    expectTwoLines(readable.stderr, /can be read by others/);
    await writeFile(join(folder, 'text'), 'my favourite seed\n', { mode: 0o600 });
    const text = await attempt(['--seed-file', join(folder, 'text')]);
    expect(text.code).toBe(4);
    expectTwoLines(text.stderr, /does not hold a seed/);
    await writeFile(join(folder, 'zeros'), `${'00'.repeat(32)}\n`, { mode: 0o600 });
    const zeros = await attempt(['--seed-file', join(folder, 'zeros')]);
    expect(zeros.code).toBe(4);
    expectTwoLines(zeros.stderr, /^the seed is refused: .*placeholder/);
    await writeFile(join(folder, 'short'), `${'a7'.repeat(16)}\n`, { mode: 0o600 });
    const short = await attempt(['--seed-file', join(folder, 'short')]);
    expect(short.code).toBe(4);
    expectTwoLines(short.stderr, /^the seed has 16 bytes; 32 or more are needed/);
  });

  test('a host that has no address: 3', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { code, stderr } = await stt(['send', seed, 'nowhere.invalid:7788', '--seed-file', seed]);
    expect(code).toBe(3);
    expectTwoLines(stderr, /^0x0104 NETWORK_UNREACHABLE: /);
  });

  test('nobody listens: 3, at once', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const port = await closedPort();
    const { code, stderr } = await stt(['send', seed, `127.0.0.1:${port}`, '--seed-file', seed]);
    expect(code).toBe(3);
    expectTwoLines(stderr, /^0x0102 CONNECTION_REFUSED: /);
  });

  test('somebody listens and never answers: 3 after --timeout', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const port = await foreignSocket();
    const { code, stderr, records } = await stt([
      'send',
      seed,
      `127.0.0.1:${port}`,
      '--seed-file',
      seed,
      '--timeout',
      '700ms',
      '--json',
    ]);
    expect(code).toBe(3);
    expectTwoLines(stderr, /^0x0101 CONNECTION_TIMEOUT: /);
    expect(records.at(-1)).toMatchObject({
      schema: 1,
      event: 'error',
      code: '0x0101',
      codeName: 'CONNECTION_TIMEOUT',
      exitCode: 3,
    });
  });

  test('another seed, and another peer id: 4', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { port } = await startRecv(folder, seed);
    const other = await stt([
      'send',
      seed,
      `127.0.0.1:${port}`,
      '--seed-file',
      await seedFile(folder, 'other'),
    ]);
    expect(other.code).toBe(4);
    expectTwoLines(other.stderr, /^0x0103 AUTHENTICATION_FAILED: /);
    const pinned = await stt([
      'send',
      seed,
      `127.0.0.1:${port}`,
      '--seed-file',
      seed,
      '--peer-id',
      'ab'.repeat(32),
    ]);
    expect(pinned.code).toBe(4);
    expectTwoLines(pinned.stderr, /^0x0103 AUTHENTICATION_FAILED: /);
  });

  test('a pin of the list of peers is told by the name of the peer, and not by a flag: 4', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { port } = await startRecv(folder, seed);
    const env = { XDG_CONFIG_HOME: folder };
    const book = join(folder, 'stt', 'peers.json');
    const peer = { name: 'desk', nodeId: 'ab'.repeat(32), port, pairedAt: 0 };
    for (const hosts of [['127.0.0.1'], ['127.0.0.1', '127.0.0.2']]) {
      await addPeer({ ...peer, hosts }, book);
      for (const args of [
        ['send', seed, 'desk'],
        ['ping', 'desk'],
        ['tunnel', '0', 'desk:a:1'],
      ]) {
        const { code, stderr } = await stt([...args, '--seed-file', seed], { env });
        expect([args, code]).toEqual([args, 4]);
        expectTwoLines(
          stderr,
          /, not (ab){32} that desk was paired with\. "stt peers" has what is known of desk\.$/,
        );
        expect(stderr).toMatch(
          /^Try: see in "stt peers" where desk should be; .*"stt peers rm desk"/m,
        );
        expect(stderr).not.toContain('--peer-id');
      }
      const { stderr } = await stt(['doctor', 'desk', '--seed-file', seed], { env });
      expect(stderr).not.toContain('--peer-id');
    }
  });

  test('of a peer with several hosts none of which has an address, the hosts are told: 3', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const env = { XDG_CONFIG_HOME: folder };
    const hosts = ['one.invalid', 'two.invalid'];
    const peer = { name: 'desk', nodeId: 'ab'.repeat(32), hosts, port: 7788, pairedAt: 0 };
    await addPeer(peer, join(folder, 'stt', 'peers.json'));
    const none = /None of the hosts of desk has an address: one\.invalid, two\.invalid\./;
    const ping = await stt(['ping', 'desk', '--seed-file', seed], { env });
    expect(ping.code).toBe(3);
    expectTwoLines(ping.stderr, none);
    const doctor = await stt(['doctor', 'desk', '--seed-file', seed, '--json'], { env });
    expect([doctor.code, doctor.records[0], doctor.records.at(-1)]).toMatchObject([
      3,
      { check: 'name', message: expect.stringMatching(none) },
      { advice: expect.stringMatching(/^Correct the hosts of the peer/) },
    ]);
  });

  test('a deadline that passes: 5', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const port = await foreignSocket();
    const { code, stderr } = await stt([
      'send',
      seed,
      `127.0.0.1:${port}`,
      '--seed-file',
      seed,
      '--deadline',
      '500ms',
    ]);
    expect(code).toBe(5);
    expectTwoLines(stderr, /deadline of 500 ms/);
  });

  test('SIGINT and SIGTERM while waiting: 130 and 143', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const { recv } = await startRecv(folder, seed);
      recv.child.kill(signal);
      expect((await recv.end()).code).toBe(code);
    }
  });

  test.each([
    '../evil',
    '/etc/evil',
    'a/b',
    'a\\b',
    '..',
    '',
    'CON',
    'a\u0000b',
    'a\u202egpj.exe',
    'x'.repeat(300),
  ])('a hostile name from the network, %j, is refused on both sides', async (name) => {
    const folder = await temporaryFolder();
    const inbox = await temporaryFolder();
    const seed = await seedFile(folder);
    const { recv, port, nodeId } = await startRecv(inbox, seed);
    const endpoint = await SttEndpoint.create({
      sharedSeed: (await readFile(seed, 'utf8')).trim(),
    });
    onTestFinished(() => endpoint.close());
    const session = await endpoint.connect(
      { address: '127.0.0.1', port },
      { peerNodeId: nodeId, transport: 'udp' },
    );
    const stream = await session.createBidirectionalStream({ purpose: 'stt.transfer.2' });
    const offer = { name, size: 1, modified: null, transfer: null, resume: true };
    const body = Buffer.from(JSON.stringify(offer));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(body.length);
    await stream.write(Buffer.concat([length, body]));
    const answer = Buffer.from(await stream.bytes({ limit: 10_000 })).subarray(4);
    expect(JSON.parse(answer.toString())).toMatchObject({
      accept: false,
      why: expect.stringContaining('file name'),
    });
    expect((await recv.end()).code).toBe(6);
    expect(await readdir(inbox)).toEqual([]);
  });
});

describe('stt keygen', () => {
  test('a network needs a name of 4 bytes, and says so; --help does, too', async () => {
    expect(networkSalt(' home ')).toBe('stt network home');
    expect(networkSalt('e\u0301te\u0301s')).toBe(networkSalt('\u00e9t\u00e9s'));
    expect(() => networkSalt('lan')).toThrow(/has 3 bytes; 4 or more are needed/);
    const { stdout } = await stt(['keygen', '--help']);
    expect(stdout.replace(/\s+/g, ' ')).toContain('name of the network (4 bytes or more)');
  });

  test('a passphrase is only asked for on a terminal: 2', async () => {
    const { code, stderr } = await stt(['keygen', '--from-passphrase']);
    expect(code).toBe(2);
    expectTwoLines(stderr, /asks on a terminal/);
  });

  test('writes a seed that only its owner can read, and never replaces one', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'deep', 'seed');
    const first = await stt(['keygen', '--out', path, '--json']);
    expect(first.code).toBe(0);
    expect(first.records.at(-1)).toEqual({ schema: 1, event: 'keygen', file: path });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const seed = await readFile(path, 'utf8');
    expect(seed).toMatch(/^[0-9a-f]{64}\n$/);
    const second = await stt(['keygen', '--out', path]);
    expect(second.code).toBe(6);
    expectTwoLines(second.stderr, /exists already/);
    expect(await readFile(path, 'utf8')).toBe(seed);
  });

  test('shows a seed only when asked to', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'seed');
    const quiet = await stt(['keygen', '--out', path]);
    const seed = (await readFile(path, 'utf8')).trim();
    expect(quiet.stdout + quiet.stderr).not.toContain(seed);
    expect((await stt(['keygen', '--print'])).stdout).toMatch(/^[0-9a-f]{64}\n$/);
    const both = await stt(['keygen', '--out', join(folder, 'other'), '--print']);
    const other = await readFile(join(folder, 'other'), 'utf8');
    expect(both.stdout).toBe(`${join(folder, 'other')}\n${other}`);
    // Lines of JSON end up in logs.
    const logged = await stt(['keygen', '--print', '--json']);
    expect([logged.code, logged.stdout.includes('"seed"')]).toEqual([2, false]);
  });
});

test('the seed is not in the argument list of a running process', async () => {
  const folder = await temporaryFolder();
  const seed = await seedFile(folder);
  const { recv } = await startRecv(folder, seed);
  const text = (await readFile(seed, 'utf8')).trim();
  expect(recv.child.spawnargs.join(' ')).not.toContain(text);
  // What others see of it, whatever it has made of its title.
  if (process.platform !== 'win32') {
    const { stdout: seen } = await promisify(execFile)('ps', [
      '-wwo',
      'args=',
      '-p',
      `${recv.child.pid}`,
    ]);
    expect(seen).toContain(seed);
    expect(seen).not.toContain(text);
  }
  recv.child.kill('SIGTERM');
  const { stdout, stderr } = await recv.end();
  expect(stdout + stderr).not.toContain(text);
  expect(recv).toBeInstanceOf(Stt);
});
