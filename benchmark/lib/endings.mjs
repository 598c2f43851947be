// What only STT does, for its WebSocket workloads: round trips of a setup, and the time to go on by a WebSocket.
import { countingProxy, relay } from './ways.mjs';

/** Bytes that are through before UDP ends: a round trip is known by then. */
const BEFORE_END = 2_000_000;

export const endings = (endpoint, target, options) => ({
  /** Opens sessions one after the other: milliseconds and round trips of each. */
  async setups(count, early) {
    const proxy = await countingProxy(target.port);
    const times = [];
    const trips = [];
    for (let index = 0; index < count; index += 1) {
      const started = performance.now();
      const opened = await endpoint.connect(
        { address: '127.0.0.1', port: proxy.port },
        { ...options, early },
      );
      times.push(performance.now() - started);
      trips.push(proxy.answers());
      opened.destroy();
    }
    proxy.close();
    return { times, trips };
  },
  /** Sessions that send by UDP until that ends in one of two ways: milliseconds until each goes on by a WebSocket. */
  async moves(count, end) {
    const times = [];
    for (let index = 0; index < count; index += 1) {
      const udp = await relay(target.udpPort);
      const moving = await endpoint.connect(
        { address: '127.0.0.1', port: udp.port },
        {
          peerNodeId: target.nodeId,
          transport: 'auto',
          websocket: { url: `ws://127.0.0.1:${target.port}/stt` },
        },
      );
      times.push(await timeToMove(moving, udp, end));
      moving.destroy();
      udp.close();
    }
    return { times };
  },
});

async function timeToMove(session, udp, end) {
  if (session.transport !== 'udp') return undefined;
  const stream = await session.createBidirectionalStream({ purpose: 'sink' });
  let over = false;
  const block = Buffer.alloc(16_384);
  const enough = resolvers();
  void (async () => {
    for (let sent = 0; !over; sent += block.length) {
      await stream.write(block);
      if (sent >= BEFORE_END) enough.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
  })().catch(() => undefined);
  await enough.promise;
  const moved = new Promise((resolve) =>
    session.on('pathChange', ({ transport }) => transport === 'websocket' && resolve()),
  );
  if (session.transport !== 'udp') return undefined;
  const started = performance.now();
  udp[end]();
  await moved;
  over = true;
  return performance.now() - started;
}

function resolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}
