import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import type { EndpointOptions, ListenOptions, SttSession } from '@seigr/stt';
import { ERROR_TABLE, generateSeed, SttEndpoint } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { helloPathId, versionsPacket } from '../../ts/testing/peer.ts';
import { closedPort } from '../contract/pair.ts';
import { buildClock } from '../errors/matrix/clock.ts';
import { program } from '../errors/matrix/needs.ts';
import { Stt, seedFile, startRecv, stt, temporaryFolder } from './stt.ts';

/** Codes that no command ends with in two lines, and why. */
const NEVER: Readonly<Record<string, string>> = {
  STREAM_ID_CONFLICT: 'no command names the ids of its streams',
  FLOW_CONTROL_VIOLATION:
    'a peer that breaks the protocol ends its session; a listener goes on, and the matrix of faults has the rest',
  INVALID_FRAME: 'dropped and counted; the session goes on',
  ENCRYPTION_ERROR: 'dropped and counted; a session ends after 2^36 of them',
  CHECKSUM_MISMATCH: 'dropped and counted; the session goes on',
  UNKNOWN_FRAME_TYPE: 'dropped and counted; the session goes on',
  TLS_ERROR: 'wss is spoken by doctor alone, which tells it in a line of its own: doctor.test.ts',
  TIMEOUT:
    'a ping that is late is a result of ping; other waits have words of their own (--deadline)',
  BUFFER_OVERFLOW: 'every command awaits its writes, and takes what comes',
};

interface Peer {
  readonly port: number;
  readonly webSocketPort: number;
  readonly seed: string;
  readonly endpoint: SttEndpoint;
  readonly connect: () => Promise<SttSession>;
}

/** A program that uses the library and listens, and the seed file of its network. */
async function peer(
  options: Partial<EndpointOptions> = {},
  listen: ListenOptions = {},
  serve: (session: SttSession) => void | Promise<void> = () => undefined,
): Promise<Peer> {
  const seed = await seedFile(await temporaryFolder());
  const sharedSeed = (await readFile(seed, 'utf8')).trim();
  const make = async (more: Partial<EndpointOptions>): Promise<SttEndpoint> => {
    const endpoint = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1', ...more });
    onTestFinished(() => endpoint.destroy());
    return endpoint;
  };
  const endpoint = await make(options);
  const listener = endpoint.serve(serve, listen);
  await listener.ready;
  const client = await make({});
  return {
    port: endpoint.address.port,
    webSocketPort: listener.websocketAddress?.port ?? 0,
    seed,
    endpoint,
    connect: () => client.connect(endpoint.address, { peerNodeId: 'any', transport: 'udp' }),
  };
}

const PING = ['-c', '0', '-i', '20ms'];
const ping = (port: number, seed: string, ...more: string[]): string[] => [
  ...['ping', `127.0.0.1:${port}`, '--seed-file', seed, '--transport', 'udp', ...more],
];

async function udp(onMessage: (bytes: Buffer, answer: (bytes: Buffer) => void) => void) {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  socket.on('message', (bytes, { port, address }) =>
    onMessage(bytes, (answer) => socket.send(answer, port, address)),
  );
  return (socket.address() as AddressInfo).port;
}

/** Starts a ping that goes on, and does something to its session once it has one. */
async function pinging(
  args: string[],
  act: () => unknown,
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const command = new Stt([...args, ...PING, '--json'], { env });
  await command.record(({ event }) => event === 'pong');
  await act();
  return command.end();
}

type Ended = Pick<Awaited<ReturnType<typeof stt>>, 'code' | 'stderr'>;

/** How a command is brought to end with each of the codes, by its true fault, and its exit code. */
const ROWS: Readonly<Record<string, readonly [number, () => Promise<Ended>]>> = {
  CONNECTION_TIMEOUT: [
    3,
    async () => {
      const { seed } = await peer();
      return stt(ping(await udp(() => undefined), seed, '--timeout', '200ms'));
    },
  ],
  CONNECTION_REFUSED: [3, async () => stt(ping(await closedPort(), (await peer()).seed))],
  AUTHENTICATION_FAILED: [
    4,
    async () => stt(ping((await peer()).port, await seedFile(await temporaryFolder()))),
  ],
  NETWORK_UNREACHABLE: [
    3,
    async () => stt(['ping', 'nowhere.invalid', '--seed-file', (await peer()).seed]),
  ],
  PROTOCOL_VERSION_MISMATCH: [
    4,
    async () => {
      const { seed } = await peer();
      const answer = (hello: Buffer): Buffer => versionsPacket(2, helloPathId(hello));
      return stt(ping(await udp((hello, say) => say(answer(hello))), seed));
    },
  ],
  SESSION_CLOSED: [
    5,
    async () => {
      const { port, seed, endpoint } = await peer();
      const end = (): void => {
        for (const session of endpoint.sessions) session.destroy('no more');
      };
      return pinging(ping(port, seed), end);
    },
  ],
  SESSION_TIMEOUT: [
    5,
    async () => {
      const folder = await temporaryFolder();
      const seed = await seedFile(folder);
      const { recv, port } = await startRecv(folder, seed);
      const env = { STT_KEEP_ALIVE_TIMEOUT: '4000' };
      return pinging(ping(port, seed), () => recv.child.kill('SIGSTOP'), env);
    },
  ],
  TOO_MANY_SESSIONS: [
    // Its limit, which passes; the own one is 8.
    3,
    async () => {
      const { port, seed, connect: take } = await peer({}, { maxSessions: 1 });
      await take();
      return stt(ping(port, seed));
    },
  ],
  SESSION_NOT_FOUND: [
    5,
    async () => {
      const nodeSeed = generateSeed();
      const first = await peer({ nodeSeed });
      const sharedSeed = (await readFile(first.seed, 'utf8')).trim();
      // What a node is that was started anew: the same, without a memory.
      const second = await SttEndpoint.create({ sharedSeed, nodeSeed, host: '127.0.0.1' });
      onTestFinished(() => second.destroy());
      second.serve(() => undefined);
      const relay = createSocket('udp4').bind(0, '127.0.0.1');
      await once(relay, 'listening');
      onTestFinished(() => void relay.close());
      let [client, target] = [0, first.port];
      relay.on('message', (bytes, { port }) => {
        const ours = port === first.port || port === second.address.port;
        if (!ours) client = port;
        relay.send(bytes, ours ? client : target, '127.0.0.1');
      });
      const via = (relay.address() as AddressInfo).port;
      return pinging(ping(via, first.seed), () => (target = second.address.port));
    },
  ],
  STREAM_CLOSED: [
    5,
    async () => {
      const { port, seed } = await peer({}, {}, async (session) => {
        for await (const stream of session.incomingBidirectionalStreams) {
          stream.reset(7);
          stream.stop(7);
        }
      });
      const to = [`127.0.0.1:${port}`, '--seed-file', seed, '--transport', 'udp'];
      return stt(['send', '--no-resume', seed, ...to]);
    },
  ],
  TOO_MANY_STREAMS: [
    5,
    async () => {
      const { port, seed } = await peer({ maxConcurrentStreams: 0 });
      return stt(['bench', `127.0.0.1:${port}`, '--seed-file', seed, '--transport', 'udp']);
    },
  ],
  HANDSHAKE_FAILURE: [
    4,
    async () => {
      const { port, seed } = await peer();
      const library = await buildClock({ defer: (undo) => onTestFinished(() => void undo()) });
      return stt(ping(port, seed), { env: { LD_PRELOAD: library, STT_CLOCK_OFFSET: '3600' } });
    },
  ],
  UDP_SEND_FAILED: [
    3,
    // A socket that did not ask for it may not send to everybody: the system says EACCES, and nothing leaves.
    async () => {
      const { seed } = await peer();
      const to = ['255.255.255.255', '--seed-file', seed, '--transport', 'udp'];
      return stt(['ping', ...to, '--timeout', '200ms']);
    },
  ],
  WEBSOCKET_CLOSED: [
    3,
    async () => {
      const websocket = { port: 0, host: '127.0.0.1' };
      const { webSocketPort, seed } = await peer({}, { websocket });
      const sockets: Socket[] = [];
      const relay = createServer((near) => {
        const far = connect(webSocketPort, '127.0.0.1');
        for (const socket of [near, far]) sockets.push(socket.on('error', () => undefined));
        near.pipe(far).pipe(near);
      }).listen(0, '127.0.0.1');
      await once(relay, 'listening');
      const { port } = relay.address() as AddressInfo;
      const cut = (): void => {
        relay.close();
        for (const socket of sockets) socket.destroy();
      };
      const args = ['ping', `127.0.0.1:${port}`, '--seed-file', seed, '--transport', 'websocket'];
      return pinging(args, cut, { STT_KEEP_ALIVE_TIMEOUT: '4000' });
    },
  ],
  WEBSOCKET_HANDSHAKE_FAILED: [
    3,
    async () => {
      const server = createHttpServer((_, response) => void response.writeHead(404).end());
      await once(server.listen(0, '127.0.0.1'), 'listening');
      onTestFinished(() => void server.close());
      const { port } = server.address() as AddressInfo;
      const to = [`127.0.0.1:${port}`, '--seed-file', (await peer()).seed];
      return stt(['ping', ...to, '--transport', 'websocket']);
    },
  ],
  RESOURCE_EXHAUSTED: [
    3,
    async () => {
      const { port, seed, connect: take } = await peer({ maxMemory: 1024 * 1024 });
      // As many as it has memory for: what one was refused for may be free again a moment later.
      const full = async (): Promise<void> => {
        for (let refused = 0; refused < 10; ) {
          const error = await take().then(
            () => undefined,
            (reason: unknown) => reason,
          );
          if (error === undefined) continue;
          expect(error).toMatchObject({ codeName: 'RESOURCE_EXHAUSTED' });
          refused += 1;
        }
      };
      await full();
      return stt(ping(port, seed));
    },
  ],
};

describe('every failure that a command can meet, in two lines', () => {
  test('each of the 25 codes is provoked here, or has a reason why it cannot be', () => {
    const names = ERROR_TABLE.map(({ codeName }) => codeName as string);
    expect([...Object.keys(ROWS), ...Object.keys(NEVER)].toSorted()).toEqual(names.toSorted());
  });

  for (const { code, codeName } of ERROR_TABLE) {
    const row = ROWS[codeName];
    if (row === undefined) continue;
    const [exitCode, provoke] = row;
    const obstacle = codeName === 'HANDSHAKE_FAILURE' ? program('cc', '--version') : undefined;
    const hex = `0x${code.toString(16).padStart(4, '0')}`;
    test.skipIf(obstacle !== undefined)(`${hex} ${codeName}: ${exitCode}`, async () => {
      const { code: ended, stderr } = await provoke();
      const lines = stderr.trimEnd().split('\n');
      expect([ended, ...lines]).toEqual([
        exitCode,
        expect.stringMatching(new RegExp(`^${hex} ${codeName}: \\S.*[.?]$`)),
        expect.stringMatching(new RegExp(`^Try: [^A-Z].* Details: stt explain ${hex}$`)),
      ]);
    });
  }
});

describe('exit codes that no code of STT stands for', () => {
  test('1: a mistake of ours says that it is one', async () => {
    const fault = 'JSON.stringify = () => { throw new TypeError("a mistake of ours") }';
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(fault)}` };
    const { code, stderr } = await stt(['explain', 'NONSENSE'], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^unexpected failure: TypeError: a mistake of ours\n/);
    expect(stderr).toMatch(/\nTry: this is a bug in stt; please report the lines above\.\n$/);
  });

  test.each([
    [407, /The proxy http:.* answered 407 .*\nTry: put user and password into the proxy's URL/],
    [403, /The proxy http:.* answered 403 .*\nTry: add the peer's host .*allow-list/],
    [502, /The proxy http:.* answered 502 .*\nTry: see the proxy's log/],
  ])('a proxy that answers CONNECT with %i gets a hint of its own', async (status, says) => {
    const server = createHttpServer().on('connect', (_, socket) => {
      socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const proxy = `http://me:secret@127.0.0.1:${port}`;
    const env = { HTTP_PROXY: proxy, http_proxy: proxy, NO_PROXY: '', no_proxy: '' };
    const to = [`127.0.0.1:${await closedPort()}`, '--seed-file', (await peer()).seed];
    const { code, stderr } = await stt(['ping', ...to, '--transport', 'websocket'], { env });
    expect([code, stderr]).toEqual([3, expect.stringMatching(says)]);
    expect(stderr).not.toContain('secret');
  });

  test.each([
    ['ends the connection', 3, /0x0503 .*The proxy http:\S+ made no tunnel to ws:/, true],
    ['says something else', 3, /0x0503 .*The proxy http:\S+ made no tunnel to ws:/, true],
    ['is silent', 3, /0x0101 .*The proxy http:\S+ made no tunnel to ws:\S+ within/, true],
    ['is not there', 3, /0x0102 .*TCP to the proxy http:\S+ was refused/, false],
  ])(
    'a proxy that %s is told as what failed, and not the peer',
    async (does, exit, says, there) => {
      const server = createServer((socket) => {
        onTestFinished(() => void socket.destroy());
        socket.on('error', () => socket.destroy());
        socket.once('data', () => {
          if (does === 'ends the connection') socket.destroy();
          else if (does === 'says something else') socket.end('SSH-2.0-other\r\n');
        });
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      onTestFinished(() => void server.close());
      const port = there ? (server.address() as AddressInfo).port : await closedPort();
      const proxy = `http://me:secret@127.0.0.1:${port}`;
      const env = { HTTP_PROXY: proxy, http_proxy: proxy, NO_PROXY: '', no_proxy: '' };
      const to = [`127.0.0.1:${await closedPort()}`, '--seed-file', (await peer()).seed];
      const by = ['--transport', 'websocket', '--timeout', '1s'];
      const [ping, doctor] = await Promise.all([
        stt(['ping', ...to, ...by], { env }),
        stt(['doctor', ...to, ...by], { env }),
      ]);
      const hint = /ee that the proxy runs and its URL is right .*, or go past it with NO_PROXY\./;
      for (const { code, stdout, stderr } of [ping, doctor]) {
        const shown = `${stdout}${stderr}`;
        expect([code, shown]).toEqual([exit, expect.stringMatching(says)]);
        expect(shown).toMatch(hint);
        expect(shown).not.toContain('secret');
        expect(shown).not.toMatch(/stt recv|path in the URL|option proxy/);
      }
    },
  );

  test('a 503, which anything may answer, is not taken for one of the peer', async () => {
    const server = createHttpServer().on('upgrade', (_, socket) => {
      socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n');
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const to = [`127.0.0.1:${port}`, '--seed-file', (await peer()).seed];
    const by = ['--transport', 'websocket', '--timeout', '20s'];
    const [ping, doctor] = await Promise.all([
      stt(['ping', ...to, ...by]),
      stt(['doctor', ...to, ...by]),
    ]);
    for (const { code, stdout, stderr } of [ping, doctor]) {
      const shown = `${stdout}${stderr}`;
      expect([code, shown]).toEqual([3, expect.stringMatching(/0x0503 .* answered 503 /)]);
      expect(shown).toMatch(
        /an STT endpoint says so .* or another server for reasons of its own\./,
      );
      expect(shown).not.toMatch(/The peer has/);
    }
    expect(doctor.stdout).toMatch(
      /Try again in a while: what answers there takes no more for now\./,
    );
    expect(doctor.stdout).not.toMatch(/Correct the path/);
  });

  test('7: a file that is not what its sender says it is', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { recv, port } = await startRecv(folder, seed);
    const sharedSeed = (await readFile(seed, 'utf8')).trim();
    const endpoint = await SttEndpoint.create({ sharedSeed });
    onTestFinished(() => endpoint.destroy());
    const to = { peerNodeId: 'any', transport: 'udp' } as const;
    const session = await endpoint.connect(`127.0.0.1:${port}`, to);
    const stream = await session.createBidirectionalStream({ purpose: 'stt.transfer.2' });
    const message = (value: object): Buffer => {
      const body = Buffer.from(JSON.stringify(value));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(body.length);
      return Buffer.concat([length, body]);
    };
    const offer = { name: 'a.bin', size: 3, modified: null, transfer: null, resume: true };
    const [bytes, digest] = [Buffer.from('abc'), Buffer.alloc(32)];
    const all = [message(offer), message({ offset: 0 }), bytes, digest];
    await stream.write(Buffer.concat(all));
    // Its acknowledgement may be overtaken by the end of the session.
    stream.end().catch(() => undefined);
    const { code, stderr } = await recv.end();
    expect(code).toBe(7);
    expect(stderr).toMatch(/^.*a\.bin.*\.\nTry: .+\n$/);
  });
});
