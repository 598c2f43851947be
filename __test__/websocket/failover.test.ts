import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { SttEndpoint, SttSession } from '@seigr/stt';
import { generateSeed } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { endpoint, relay } from '../contract/pair.ts';

interface Reach {
  readonly server: SttEndpoint;
  readonly client: SttEndpoint;
  readonly session: SttSession;
  readonly accepted: SttSession;
  /** The way by UDP. */
  readonly udp: Awaited<ReturnType<typeof relay>>;
  /** Cuts every TCP connection there is. */
  cutTcp(): void;
}

/** A session by UDP through a relay that can be cut, with a WebSocket through a TCP proxy beside it. */
async function reach(transport: 'auto' | 'websocket' = 'auto'): Promise<Reach> {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed, keepAliveTimeout: 20_000 });
  const client = await endpoint({ sharedSeed, keepAliveTimeout: 20_000 });
  const listener = server.listen({ websocket: { port: 0 } });
  await listener.ready;
  const udp = await relay(server.address.port);
  const sockets = new Set<Socket>();
  // A busy machine may let UDP wait for so long that the WebSocket would be first.
  let opened = transport === 'websocket';
  const openTcp = (): void => {
    opened = true;
  };
  const proxy = createTcpServer((socket) => {
    if (!opened) {
      socket.on('error', () => undefined).resetAndDestroy();
      return;
    }
    const upstream = connectTcp(listener.websocketAddress?.port ?? 0, '127.0.0.1');
    for (const end of [socket, upstream]) {
      sockets.add(end);
      end.on('error', () => end.destroy());
      end.on('close', () => sockets.delete(end));
    }
    socket.pipe(upstream).pipe(socket);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const cutTcp = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(() => {
    proxy.close();
    cutTcp();
  });
  const sessions = listener[Symbol.asyncIterator]();
  const [session, { value: accepted }] = await Promise.all([
    client.connect(`127.0.0.1:${udp.port}`, {
      peerNodeId: server.nodeId,
      transport,
      websocket: { url: `ws://127.0.0.1:${(proxy.address() as AddressInfo).port}/stt` },
    }),
    sessions.next(),
  ]);
  openTcp();
  return { server, client, session, accepted, udp, cutTcp };
}

async function becomes(session: SttSession, transport: 'udp' | 'websocket'): Promise<void> {
  while (session.transport !== transport) {
    await new Promise<void>((resolve) => session.once('pathChange', () => resolve()));
  }
}

/** Sends from one side to the other in pieces, until `stop`; resolves with the hashes of both sides. */
function transfer(
  from: SttSession,
  to: SttSession,
): { bytes: () => number; stop: () => Promise<[string, string]> } {
  let over = false;
  let bytes = 0;
  const sent = createHash('sha256');
  const received = createHash('sha256');
  const sending = (async () => {
    const stream = await from.createUnidirectionalStream();
    for (let round = 0; !over; round += 1) {
      const chunk = Buffer.alloc(32_768, round);
      sent.update(chunk);
      await stream.write(chunk);
      // Less than the relay takes on a busy machine: one that drops is a path that starves, and is left for longer.
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    await stream.end();
    return sent.digest('hex');
  })();
  const receiving = (async () => {
    for await (const stream of to.incomingUnidirectionalStreams) {
      for await (const chunk of stream) {
        received.update(chunk);
        bytes += chunk.length;
      }
      return received.digest('hex');
    }
    return '';
  })();
  return {
    bytes: () => bytes,
    stop: () => {
      over = true;
      return Promise.all([sending, receiving]);
    },
  };
}

async function grows(bytes: () => number, by: number): Promise<void> {
  const goal = bytes() + by;
  while (bytes() < goal) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('a session that can take both ways', () => {
  test('goes over to a WebSocket when UDP falls silent, and back, with nothing lost', async () => {
    const { session, accepted, udp } = await reach();
    expect(session.transport).toBe('udp');
    const id = session.id;
    const up = transfer(session, accepted);
    await grows(up.bytes, 500_000);
    udp.cut();
    await Promise.all([becomes(session, 'websocket'), becomes(accepted, 'websocket')]);
    await grows(up.bytes, 500_000);
    udp.heal();
    await Promise.all([becomes(session, 'udp'), becomes(accepted, 'udp')]);
    await grows(up.bytes, 500_000);
    const [sent, received] = await up.stop();
    expect(received).toBe(sent);
    expect([session.id, accepted.id]).toEqual([id, id]);
    await session.close();
  });

  test('the side that only receives goes over as well', async () => {
    const { session, accepted, udp } = await reach();
    const down = transfer(accepted, session);
    await grows(down.bytes, 500_000);
    udp.cut();
    await becomes(session, 'websocket');
    await grows(down.bytes, 500_000);
    const [sent, received] = await down.stop();
    expect(received).toBe(sent);
  });

  test('a WebSocket that breaks is replaced, by UDP or by another', async () => {
    const { session, accepted, udp, cutTcp } = await reach();
    const up = transfer(session, accepted);
    udp.cut();
    await becomes(session, 'websocket');
    cutTcp();
    await grows(up.bytes, 500_000);
    expect(session.transport).toBe('websocket');
    udp.heal();
    cutTcp();
    await becomes(session, 'udp');
    await grows(up.bytes, 500_000);
    const [sent, received] = await up.stop();
    expect(received).toBe(sent);
  });

  test('a session by WebSocket alone opens it again', async () => {
    const { session, accepted, cutTcp } = await reach('websocket');
    const up = transfer(session, accepted);
    for (let round = 0; round < 3; round += 1) {
      await grows(up.bytes, 300_000);
      cutTcp();
    }
    await grows(up.bytes, 300_000);
    expect(session.transport).toBe('websocket');
    const [sent, received] = await up.stop();
    expect(received).toBe(sent);
    await session.close();
  });
});
