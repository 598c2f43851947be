import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Socket, Server as TcpServer } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { SttError } from '../errors/error.ts';
import { hasBrand } from '../errors/error.ts';
import type { SttErrorCodeName } from '../errors/table.ts';
import type { SttSession } from '../session.ts';
import { withoutDescriptors } from './descriptors.ts';
import { TestNetwork } from './network.ts';
import { forge, helloPathId, type SeedHolder, versionsPacket } from './peer.ts';
import { bindSocket, closeSocket, LOOPBACK } from './sockets.ts';

/** The codes that {@link provoke} can bring about: all. */
export type ProvokableCodeName = SttErrorCodeName;

/** Brings one error about, and returns it as the application gets it. */
type Recipe = (network: TestNetwork) => Promise<unknown>;

const BY_WEBSOCKET = { peerNodeId: 'any', transport: 'websocket', proxy: false } as const;

/** Listens on a port of 127.0.0.1 for as long as `act` takes. */
async function withServer<Value>(
  server: TcpServer,
  act: (port: number) => Promise<Value>,
): Promise<Value> {
  server.listen(0, LOOPBACK);
  await once(server, 'listening');
  try {
    return await act((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

/** Packets with impossible frames, one after another, that a session bears: one fewer. */
const MALFORMED_LIMIT = 16;
const KIB = 1_024;

/**
 * Brings an error about by its true cause, over real sockets on 127.0.0.1 and without any right that
 * an ordinary process lacks, and resolves with the very error that an application gets: what the
 * operation rejected with, what `session.closed` rejected with, or what an event carried. Everything
 * that was needed for it is gone by then.
 *
 * For the code that handles errors. To break a session of your own, use a {@link TestLink}.
 *
 * @throws {TypeError} for a name that no error has.
 */
export async function provoke(codeName: ProvokableCodeName): Promise<SttError> {
  if (!Object.hasOwn(RECIPES, codeName)) {
    throw new TypeError(`there is no error named ${codeName}`);
  }
  await using network = new TestNetwork();
  const error = await RECIPES[codeName](network);
  if (hasBrand(error) && error.codeName === codeName) return error;
  throw new Error(`${codeName} was to be provoked, but something else came`, { cause: error });
}

const RECIPES: Readonly<Record<ProvokableCodeName, Recipe>> = {
  async WEBSOCKET_CLOSED(network) {
    const server = await network.endpoint();
    const client = await network.endpoint();
    const listener = server.listen({ websocket: { port: 0 } });
    await listener.ready;
    const sockets = new Set<Socket>();
    const proxy = createTcpServer((socket) => {
      const upstream = connectTcp(listener.websocketAddress?.port ?? 0, LOOPBACK);
      for (const end of [socket, upstream]) {
        sockets.add(end);
        end.on('error', () => end.destroy());
      }
      socket.pipe(upstream).pipe(socket);
    });
    return withServer(proxy, async (port) => {
      const session = await client.connect(`${LOOPBACK}:${port}`, {
        peerNodeId: server.nodeId,
        transport: 'websocket',
        proxy: false,
      });
      proxy.close();
      for (const socket of sockets) socket.destroy();
      return failure(session.closed);
    });
  },

  async WEBSOCKET_HANDSHAKE_FAILED(network) {
    const client = await network.endpoint();
    const web = createHttpServer((_request, response) => response.end('a page'));
    return withServer(web, (port) => failure(client.connect(`${LOOPBACK}:${port}`, BY_WEBSOCKET)));
  },

  async TLS_ERROR(network) {
    const client = await network.endpoint();
    const web = createHttpServer();
    // A server that speaks HTTP answers what begins TLS in its own words.
    return withServer(web, (port) =>
      failure(client.connect(`${LOOPBACK}:${port}`, { ...BY_WEBSOCKET, tls: true })),
    );
  },

  async CONNECTION_TIMEOUT(network) {
    const { client, faults } = await strangers(network);
    await faults.partition();
    return failure(client.connect(faults.address, { peerNodeId: 'any', timeout: 200 }));
  },

  async CONNECTION_REFUSED(network) {
    const { client, faults } = await strangers(network);
    await faults.refuse();
    return failure(client.connect(faults.address, { peerNodeId: 'any' }));
  },

  async AUTHENTICATION_FAILED(network) {
    const { server } = await strangers(network);
    const client = await network.endpoint({ sharedSeed: network.newSeed() });
    return failure(client.connect(server.address, { peerNodeId: 'any' }));
  },

  async NETWORK_UNREACHABLE(network) {
    const client = await network.endpoint();
    // An endpoint that is bound to IPv4 has no way to an address of IPv6.
    return failure(client.connect('[::1]:9', { peerNodeId: 'any' }));
  },

  async PROTOCOL_VERSION_MISMATCH(network) {
    const client = await network.endpoint();
    const other = await bindSocket();
    other.on('message', (hello, { port, address }) => {
      other.send(versionsPacket(2, helloPathId(hello)), port, address);
    });
    try {
      const { port } = other.address();
      return await failure(client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' }));
    } finally {
      await closeSocket(other);
    }
  },

  async SESSION_CLOSED(network) {
    const { session, accepted } = await network.connect();
    accepted.destroy();
    await session.settled;
    return failure(session.createBidirectionalStream());
  },

  async SESSION_TIMEOUT(network) {
    const { session, faults } = await network.connect();
    await faults.partition();
    return failure(session.closed);
  },

  async TOO_MANY_SESSIONS(network) {
    const { client, server } = await network.connect({ listen: { maxSessions: 1 } });
    return failure(client.connect(server.address, { peerNodeId: 'any' }));
  },

  async SESSION_NOT_FOUND(network) {
    const nodeSeed = network.newSeed();
    const { session, faults } = await network.connect({ server: { nodeSeed } });
    await faults.restart(() => network.endpoint({ nodeSeed }));
    // Its answer to the next packet says so.
    session.ping().catch(() => undefined);
    return failure(session.closed);
  },

  async STREAM_CLOSED(network) {
    const { session } = await network.connect();
    const stream = await session.createBidirectionalStream();
    stream.reset();
    return failure(stream.write('too late'));
  },

  async TOO_MANY_STREAMS(network) {
    const { session } = await network.connect({ server: { maxConcurrentStreams: 1 } });
    await session.createBidirectionalStream();
    return failure(session.createBidirectionalStream());
  },

  async STREAM_ID_CONFLICT(network) {
    const { session } = await network.connect();
    await session.createBidirectionalStream({ id: 7 });
    return failure(session.createBidirectionalStream({ id: 7 }));
  },

  async FLOW_CONTROL_VIOLATION(network) {
    const window = 16 * KIB;
    const { peer, accepted } = await hostile(network, {
      recvBufferSize: window,
      streamRecvBuffer: window,
    });
    peer.flood(8 * window);
    return failure(accepted.closed);
  },

  async INVALID_FRAME(network) {
    const { peer, accepted } = await hostile(network);
    for (let sent = 0; sent < MALFORMED_LIMIT; sent += 1) peer.send(IMPOSSIBLE);
    return failure(accepted.closed);
  },

  async ENCRYPTION_ERROR(network) {
    const { session, accepted, faults } = await network.connect();
    const event = frameError(accepted);
    faults.intercept(({ bytes, towards, forward }) => {
      const isSealed = ((bytes[0] ?? 0) & 0x80) !== 0;
      if (towards === 'target' && isSealed) forward(forge(bytes));
      forward();
    });
    session.ping().catch(() => undefined);
    return event;
  },

  async CHECKSUM_MISMATCH(network) {
    const { session, accepted, faults } = await network.connect();
    const event = frameError(accepted);
    faults.intercept(({ bytes, towards, forward }) => {
      const damaged = Buffer.from(bytes);
      damaged[damaged.length - 1] = (damaged[damaged.length - 1] ?? 0) ^ 1;
      if (towards === 'target') forward(damaged);
      forward();
    });
    session.ping().catch(() => undefined);
    return event;
  },

  async UNKNOWN_FRAME_TYPE(network) {
    const { session, accepted } = await network.connect();
    const event = frameError(accepted);
    await session.sendFrame(0x80, 'nobody handles this');
    return event;
  },

  async HANDSHAKE_FAILURE(network) {
    const server = await network.endpoint({ timestampWindow: 100 });
    server.listen();
    const faults = await network.link(server);
    await faults.clockSkew(400);
    const client = await network.endpoint();
    return failure(client.connect(faults.address, { peerNodeId: 'any' }));
  },

  async UDP_SEND_FAILED(network) {
    // The system lets nobody broadcast who has not asked for it; until then the core tries again.
    const client = await network.endpoint({ host: '0.0.0.0' });
    return failure(client.connect('255.255.255.255:9', { peerNodeId: 'any', timeout: 1_000 }));
  },

  async TIMEOUT(network) {
    const { session } = await network.connect();
    const stream = await session.createBidirectionalStream();
    return failure(stream.text({ timeout: 50 }));
  },

  async BUFFER_OVERFLOW(network) {
    const { session } = await network.connect({ client: { maxPendingBytes: 64 * KIB } });
    const stream = await session.createBidirectionalStream();
    const writes = Array.from({ length: 64 }, () => stream.write(Buffer.alloc(256 * KIB)));
    return failure(Promise.all(writes));
  },

  async RESOURCE_EXHAUSTED(network) {
    return withoutDescriptors(() => failure(network.endpoint()));
  },
};

/** What no frame of the session itself can be: DATA without a stream. */
const IMPOSSIBLE = { type: 0x10, body: Buffer.of(0), streamId: 0 };

/** Two endpoints that have not met, and the way between them. */
async function strangers(network: TestNetwork) {
  const server = await network.endpoint();
  server.listen();
  const client = await network.endpoint();
  return { server, client, faults: await network.link(server) };
}

/** A listening endpoint, and a peer of its that does as it is told. */
async function hostile(
  network: TestNetwork,
  options: Parameters<TestNetwork['endpoint']>[0] = {},
): Promise<{ peer: SeedHolder; accepted: SttSession }> {
  const server = await network.endpoint(options);
  const sessions = server.listen()[Symbol.asyncIterator]();
  const { port } = server.address;
  const [peer, step] = await Promise.all([network.seedHolder({ port }), sessions.next()]);
  if (step.done === true) throw new Error('the endpoint stopped listening');
  return { peer, accepted: step.value };
}

/** What a promise rejects with. */
async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('nothing failed');
}

/** The error that the next `frameError` of a session carries. */
function frameError(session: SttSession): Promise<unknown> {
  return new Promise((resolve) => session.once('frameError', ({ error }) => resolve(error)));
}
