import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { generateSeed } from '@seigr/stt';
import { expect, onTestFinished, test } from 'vitest';
import { endpoint, relay } from '../contract/pair.ts';

const LONG = process.env['CI_LONG'] === '1';

/** A TCP proxy to a port that lets nothing pass for so long. */
async function slowProxy(port: number, milliseconds: number): Promise<string> {
  const proxy = createTcpServer((socket) => {
    const upstream = connectTcp(port, '127.0.0.1');
    for (const end of [socket, upstream]) end.on('error', () => end.destroy());
    onTestFinished(() => void socket.destroy());
    setTimeout(() => socket.pipe(upstream).pipe(socket), milliseconds);
  });
  onTestFinished(() => void proxy.close());
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return `ws://127.0.0.1:${(proxy.address() as AddressInfo).port}/stt`;
}

test('where UDP and a WebSocket answer together, the server gets one session', async () => {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const listener = server.listen({ websocket: { port: 0 } });
  await listener.ready;
  const accepted: string[] = [];
  void (async () => {
    for await (const session of listener) accepted.push(session.id);
  })();
  // A WebSocket starts after 250 ms: by UDP the first answer comes at about that time.
  const delays = Array.from({ length: 16 }, (_, index) => 110 + 3 * index);
  const sessions = await Promise.all(
    delays.map(async (delay) => {
      const udp = await relay(server.address.port);
      udp.link.delay(delay);
      const client = await endpoint({ sharedSeed });
      return client.connect(`127.0.0.1:${udp.port}`, {
        peerNodeId: server.nodeId,
        websocket: { url: `ws://127.0.0.1:${listener.websocketAddress?.port}/stt` },
      });
    }),
  );
  // Whatever was on its way has come by then, and this thread has been told of it.
  await Promise.all(sessions.map((session) => session.ping()));
  await expect.poll(() => accepted.length).toBeGreaterThanOrEqual(sessions.length);
  await Promise.all([...sessions, ...server.sessions].map((session) => session.ping()));
  expect(accepted.sort()).toEqual(sessions.map(({ id }) => id).sort());
  expect(server.stats()?.sessions).toBe(sessions.length);
});

test.runIf(LONG)('a server that refuses UDP is not given up before a slow WebSocket', async () => {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const listener = server.listen({ websocket: { port: 0 } });
  await listener.ready;
  const udp = await relay(server.address.port);
  const client = await endpoint({ sharedSeed });
  const url = await slowProxy(listener.websocketAddress?.port ?? 0, 4_000);
  const session = await client.connect(`127.0.0.1:${udp.port}`, {
    peerNodeId: server.nodeId,
    websocket: { url },
  });
  expect(session.transport).toBe('udp');
  udp.link.refuse();
  await new Promise((resolve) => session.once('pathChange', resolve));
  expect(session.transport).toBe('websocket');
  await session.ping();
});
