import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect as connectTcp, createServer } from 'node:net';
import type { SttSession } from '@seigr/stt';
import { generateSeed } from '@seigr/stt';
import { expect, onTestFinished, test } from 'vitest';
import { endpoint } from '../contract/pair.ts';

/**
 * A way to a TCP port that carries so many round trips and no more: what a client says after an answer begins the next,
 * and what it says after the last is never passed on.
 */
async function gate(port: number, roundTrips: number): Promise<number> {
  const server = createServer((socket) => {
    const upstream = connectTcp(port, '127.0.0.1');
    let begun = 0;
    let answered = true;
    socket.on('data', (chunk) => {
      if (answered) begun += 1;
      answered = false;
      if (begun <= roundTrips) upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      answered = true;
      socket.write(chunk);
    });
    for (const [end, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      end.on('error', () => undefined);
      end.on('close', () => other.destroy());
    }
    onTestFinished(() => void socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function connectIn(
  roundTrips: number,
  options: { early?: boolean; timeout?: number },
): Promise<SttSession> {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const client = await endpoint({ sharedSeed });
  const listener = server.listen({ websocket: { port: 0 } });
  await listener.ready;
  const port = await gate(listener.websocketAddress?.port ?? 0, roundTrips);
  return client.connect(`127.0.0.1:${port}`, {
    peerNodeId: server.nodeId,
    transport: 'websocket',
    ...options,
  });
}

/** What a busy machine has it say again begins a round trip that is none: one of several has none of these. */
async function connectsIn(...args: Parameters<typeof connectIn>): Promise<SttSession> {
  for (let round = 1; ; round += 1) {
    try {
      return await connectIn(...args);
    } catch (error) {
      if (round === 10) throw error;
    }
  }
}

test('a session over a WebSocket takes three round trips after TCP, and an early one two', async () => {
  const [session, early] = await Promise.all([
    connectsIn(3, { timeout: 5_000 }),
    connectsIn(2, { timeout: 5_000, early: true }),
  ]);
  expect([session.transport, early.transport]).toEqual(['websocket', 'websocket']);
});

test('none of these round trips is one too many', async () => {
  const outcomes = await Promise.allSettled([
    connectIn(2, { timeout: 400 }),
    connectIn(1, { timeout: 400, early: true }),
  ]);
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { name: 'ConnectionTimeoutError' },
    });
});
