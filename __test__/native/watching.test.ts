import { expect, test } from 'vitest';
import { closedPort } from '../contract/pair.ts';
import { connectedPair, Peer, plainStream } from './peer.ts';

const LIMIT_MS = 60_000;

/** libuv watches an engine's socket on Linux, in Node. */
const onLinux = test.runIf(
  process.platform === 'linux' &&
    process.versions.bun === undefined &&
    process.versions.deno === undefined,
);

/** Two peers of this thread, and a stream on which each byte comes back. */
async function echoing(changes: Parameters<typeof connectedPair>[0] = {}) {
  const { client, server, session } = await connectedPair(changes);
  server.onData = (stream, chunk) => {
    server.engine.consumed(stream, chunk.length);
    server.engine.write(stream, chunk, 0, chunk.length);
  };
  const stream = client.engine.openStream(session, plainStream);
  let written = 0;
  let back = 0;
  let arrived = (): void => undefined;
  client.onData = (_, chunk) => {
    client.engine.consumed(stream, chunk.length);
    back += chunk.length;
    if (back === written) arrived();
  };
  const send = (): void => {
    written += client.engine.write(stream, new Uint8Array(64), 0, 64);
  };
  const ping = async (): Promise<void> => {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no answer')), LIMIT_MS);
      arrived = () => {
        clearTimeout(timer);
        resolve();
      };
      send();
    });
  };
  return { client, server, session, stream, send, ping, written: () => written };
}

function counters({ engine }: Peer) {
  const { loopTurns = 0, loopAlone = 0, loopRelieved = 0 } = engine.endpointStats();
  return { loopTurns, loopAlone, loopRelieved };
}

function isAlone(peer: Peer): boolean {
  const { loopAlone, loopRelieved } = counters(peer);
  return loopAlone > loopRelieved;
}

/** Pings until the loop alone watches the sockets of both. */
async function untilAlone({ client, server, ping }: Awaited<ReturnType<typeof echoing>>) {
  const until = Date.now() + LIMIT_MS;
  do {
    await ping();
    if (Date.now() > until) {
      throw new Error(JSON.stringify({ client: counters(client), server: counters(server) }));
    }
  } while (!isAlone(client) || !isAlone(server));
}

/** Keeps the event loop from turning until `done`. */
function block(what: string, done: () => boolean): void {
  const until = Date.now() + LIMIT_MS;
  while (!done()) {
    if (Date.now() > until) throw new Error(`${what}: not while the event loop stands still`);
  }
}

onLinux('thin traffic is read by the event loop, and bulk by the engine', async () => {
  const echo = await echoing();
  await untilAlone(echo);
  const { client, server, session } = echo;
  expect(counters(server).loopTurns).toBeGreaterThan(0);
  let missing = 8_000_000;
  const whole = new Promise<void>((resolve) => {
    server.onData = (stream, chunk) => {
      server.engine.consumed(stream, chunk.length);
      missing -= chunk.length;
      if (missing === 0) resolve();
    };
  });
  const bulk = client.engine.openStream(session, plainStream);
  const chunk = new Uint8Array(100_000);
  for (let left = missing; left > 0; ) {
    const taken = client.engine.write(bulk, chunk, 0, Math.min(chunk.length, left));
    left -= taken;
    if (taken < chunk.length && left > 0) await client.take('writable');
  }
  await whole;
  expect(isAlone(server)).toBe(false);
  expect(isAlone(client)).toBe(false);
  // And back again.
  server.onData = (stream, chunk) => {
    server.engine.consumed(stream, chunk.length);
    server.engine.write(stream, chunk, 0, chunk.length);
  };
  await untilAlone(echo);
  await Promise.all([client.close(), server.close()]);
});

onLinux('an event loop that stands still keeps nothing from being acknowledged', async () => {
  const echo = await echoing();
  await untilAlone(echo);
  const { client, server, stream, send, ping, written } = echo;
  send();
  // The server's engine has to read what came, and the client's the acknowledgement.
  block('an acknowledgement', () => client.engine.acknowledged(stream) === written());
  expect(isAlone(server)).toBe(false);
  await ping();
  await Promise.all([client.close(), server.close()]);
});

onLinux('sessions are kept alive while the event loop stands still', async () => {
  const echo = await echoing({ keepAliveIntervalMs: 20 });
  await untilAlone(echo);
  const { client, server, session, ping } = echo;
  const received = (): number => client.engine.sessionStats(session)?.packetsReceived ?? 0;
  const before = received();
  block('five answers to keep-alives', () => received() >= before + 5);
  await ping();
  await Promise.all([client.close(), server.close()]);
});

onLinux(
  'a socket that is watched lets go of its port when the engine has another, or ends',
  async () => {
    const echo = await echoing();
    await untilAlone(echo);
    const { client, server } = echo;
    // One that the system gives to nobody else meanwhile.
    const port = await closedPort();
    server.engine.rebind('127.0.0.1', port, 0);
    await server.take('rebound');
    await echo.ping();
    await untilAlone(echo);
    server.engine.rebind('127.0.0.1', 0, 1);
    await server.take('rebound');
    // The port before is free again.
    server.engine.rebind('127.0.0.1', port, 2);
    await server.take('rebound');
    await echo.ping();
    await untilAlone(echo);
    await server.close();
    const next = new Peer({ port });
    expect(next.engine.address.port).toBe(port);
    await Promise.all([client.close(), next.close()]);
  },
);
