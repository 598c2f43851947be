import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { SttEndpoint, SttErrorOrigin, SttSession } from '@seigr/stt';
import { generateSeed } from '@seigr/stt';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, next } from './pair.ts';

// Every operation that waits, against every way in which a session ends: each ends once, with the reason.

const MIB = 1024 * 1024;
// Longer than it takes to believe that a port is refused.
const TIMING = { keepAliveTimeout: 4_000, keepAliveInterval: 300 };
// Where silence is not what it is about: a busy machine makes some.
const PATIENT = { ...TIMING, keepAliveTimeout: 60_000 };

/** Both ends of one session, and the way between them. */
interface Scene {
  readonly client: SttEndpoint;
  readonly server: SttEndpoint;
  readonly session: SttSession;
  readonly accepted: SttSession;
  readonly way: Way;
  /** Starts another server with the same identity on the same port. */
  restart(): Promise<void>;
}

interface Ending {
  readonly name: string;
  /** Before anything waits. */
  readonly prepare?: (scene: Scene) => void;
  readonly end: (scene: Scene) => unknown;
  readonly reason: 'graceful' | 'timeout' | 'error' | 'auth_failure';
  readonly origin: SttErrorOrigin;
  /** The code of the root cause; none where it is graceful. */
  readonly cause?: number;
}

const ENDINGS: readonly Ending[] = [
  {
    name: 'destroy()',
    end: ({ session }) => session.destroy('a reason'),
    reason: 'error',
    origin: 'local',
    cause: 0x0201,
  },
  {
    name: 'destroy() by the peer',
    end: ({ accepted }) => accepted.destroy('a reason'),
    reason: 'error',
    origin: 'peer',
    cause: 0x0201,
  },
  {
    name: 'close()',
    end: ({ session }) => session.close({ timeout: 100 }).catch(() => {}),
    reason: 'graceful',
    origin: 'local',
  },
  {
    name: 'close() by the peer',
    end: ({ accepted }) => accepted.close({ timeout: 100 }).catch(() => {}),
    reason: 'graceful',
    origin: 'peer',
  },
  {
    name: 'a peer that was started anew',
    prepare: ({ way }) => way.cut(),
    end: async ({ restart, way }) => {
      await restart();
      way.heal();
    },
    reason: 'error',
    origin: 'peer',
    cause: 0x0204,
  },
  {
    name: 'revoke() by the peer',
    end: ({ server, client }) => server.revoke(client.nodeId),
    reason: 'auth_failure',
    origin: 'peer',
    cause: 0x0103,
  },
  {
    name: 'revoke()',
    end: ({ server, client }) => client.revoke(server.nodeId),
    reason: 'auth_failure',
    origin: 'local',
    cause: 0x0103,
  },
  {
    name: 'silence',
    prepare: ({ way }) => way.cut(),
    end: () => {},
    reason: 'timeout',
    origin: 'idle',
    cause: 0x0202,
  },
  {
    name: 'a port that nobody has any more',
    end: ({ way }) => way.close(),
    reason: 'timeout',
    origin: 'path',
    cause: 0x0202,
  },
  {
    name: 'close() of the endpoint',
    end: ({ client }) => client.close({ drain: 100 }).catch(() => {}),
    reason: 'graceful',
    origin: 'local',
  },
  {
    name: 'destroy() of the endpoint',
    end: ({ client }) => client.destroy(),
    reason: 'error',
    origin: 'local',
    cause: 0x0201,
  },
];

const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);

beforeEach(() => {
  unhandled.length = 0;
  process.on('unhandledRejection', note);
});

afterEach(() => {
  process.off('unhandledRejection', note);
});

test.each(ENDINGS)('$name ends all that waits, once', async (ending) => {
  const scene = await stage(ending.name === 'silence' ? TIMING : PATIENT);
  const { session, accepted } = scene;
  // Nobody reads this one at the peer, and its two streams are all that it admits.
  const blocked = await session.createBidirectionalStream();
  const reading = await session.createBidirectionalStream();
  await next(accepted.incomingBidirectionalStreams);
  ending.prepare?.(scene);

  const waits = new Map<string, { settled: number; outcome?: PromiseSettledResult<unknown> }>();
  const watch = (name: string, promise: Promise<unknown>): void => {
    const entry: { settled: number; outcome?: PromiseSettledResult<unknown> } = { settled: 0 };
    waits.set(name, entry);
    promise.then(
      (value) => {
        entry.settled += 1;
        entry.outcome = { status: 'fulfilled', value };
      },
      (reason: unknown) => {
        entry.settled += 1;
        entry.outcome = { status: 'rejected', reason };
      },
    );
  };
  const blockedWrite = blocked.write(Buffer.alloc(16 * MIB));
  watch('write', blockedWrite);
  watch('later write', blocked.write('more'));
  watch('drained', blocked.drained());
  watch('end', blocked.end());
  watch('iterator', reading[Symbol.asyncIterator]().next());
  watch('bytes', blocked.bytes());
  watch('stream.closed', blocked.closed);
  watch('open', session.createBidirectionalStream({ waitUntilAvailable: true }));
  watch('incoming', session.incomingBidirectionalStreams[Symbol.asyncIterator]().next());
  watch('incoming one-way', session.incomingUnidirectionalStreams[Symbol.asyncIterator]().next());
  watch('datagram', session.datagrams[Symbol.asyncIterator]().next());
  watch('ping', session.ping());
  for (let index = 0; index < 64; index += 1) {
    watch(`datagram ${index}`, session.datagrams.send(Buffer.alloc(1_000)));
  }
  watch('session.closed', session.closed);
  let told = 0;
  scene.client.on('sessionClosed', () => {
    told += 1;
  });

  await ending.end(scene);
  const settled = await session.settled;
  // All of it ends with the session, in the same turn of the event loop.
  await pause(0);

  expect(settled).toMatchObject({ reason: ending.reason, origin: ending.origin });
  const pending = [...waits].filter(([, { settled: times }]) => times !== 1);
  expect(pending.map(([name]) => name)).toEqual([]);
  expect(told).toBe(1);

  const outcome = (name: string) => waits.get(name)?.outcome;
  const { reason, origin, cause } = ending;
  const error = {
    code: 0x0201,
    reason,
    origin,
    ...(cause === undefined || cause === 0x0201 ? {} : { cause: { code: cause, origin } }),
  };
  const broken = { status: 'rejected', reason: error };
  const failed = [
    'write',
    'later write',
    'drained',
    'end',
    'iterator',
    'bytes',
    'stream.closed',
    'open',
  ];
  for (const name of failed) expect([name, outcome(name)]).toMatchObject([name, broken]);
  for (const name of ['incoming', 'incoming one-way', 'datagram']) {
    const over = { status: 'fulfilled', value: { done: true } };
    const expected = reason === 'graceful' ? over : broken;
    expect([name, outcome(name)]).toMatchObject([name, expected]);
  }
  const rootCause =
    cause === undefined
      ? { status: 'fulfilled', value: { reason: 'graceful' } }
      : { status: 'rejected', reason: { code: cause, origin } };
  expect(outcome('session.closed')).toMatchObject(rootCause);
  // What may have gone out before the end either did, or ends as all else.
  const free = ['ping', ...Array.from({ length: 64 }, (_, index) => `datagram ${index}`)];
  for (const name of free) {
    const result = outcome(name);
    if (result?.status === 'rejected') expect([name, result]).toMatchObject([name, broken]);
  }

  // And whatever begins afterwards.
  for (const late of [
    () => session.ping(),
    () => session.createBidirectionalStream(),
    () => session.datagrams.send('late'),
    () => blocked.write('late'),
    () => blocked.end(),
    () => blocked.drained(),
    () => reading.bytes(),
  ]) {
    await expect(late()).rejects.toMatchObject({ code: 0x0201, reason, origin });
  }

  // What was written and not delivered is told: the write was cut, and nobody read what went out.
  const { undelivered } = settled;
  expect(undelivered).toBeGreaterThanOrEqual(8 * MIB);
  expect(blocked.bytesAcknowledged).toBeLessThanOrEqual(blocked.bytesWritten);
  expect(undelivered).toBe(16 * MIB + 4 - blocked.bytesAcknowledged);

  await pause(20);
  expect(unhandled).toEqual([]);
});

/** A way between two UDP ports that can be cut, healed, and taken away. */
interface Way {
  cut(): void;
  heal(): void;
  close(): void;
}

async function stage(timing: typeof TIMING): Promise<Scene> {
  const sharedSeed = generateSeed();
  const nodeSeed = generateSeed();
  const port = await closedPort();
  const server = await endpoint({
    sharedSeed,
    nodeSeed,
    port,
    maxConcurrentStreams: 2,
    ...timing,
  });
  const client = await endpoint({ sharedSeed, ...timing });
  const sessions = server.listen();
  const { way, port: between } = await relay(port);
  const [session, accepted] = await Promise.all([
    client.connect(`127.0.0.1:${between}`, { peerNodeId: server.nodeId }),
    next(sessions),
  ]);
  const restart = async (): Promise<void> => {
    server.destroy();
    await server.closed.catch(() => {});
    const again = await endpoint({ sharedSeed, nodeSeed, port, ...timing });
    again.serve(() => {});
  };
  return { client, server, session, accepted, way, restart };
}

async function relay(target: number): Promise<{ way: Way; port: number }> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  let [open, closed, client] = [true, false, 0];
  const close = (): void => {
    if (!closed) socket.close();
    closed = true;
  };
  onTestFinished(close);
  const marker = randomBytes(16);
  socket.on('message', (bytes, { port: from }) => {
    if (bytes.equals(marker)) {
      open = true;
      return;
    }
    if (from !== target) client = from;
    const to = from === target ? client : target;
    if (open && to !== 0) socket.send(bytes, to, '127.0.0.1');
  });
  const way: Way = {
    cut: () => {
      open = false;
    },
    // Behind whatever was sent while it was cut, and waits to be read.
    heal: () => void socket.send(marker, (socket.address() as AddressInfo).port, '127.0.0.1'),
    close,
  };
  return { way, port: (socket.address() as AddressInfo).port };
}
