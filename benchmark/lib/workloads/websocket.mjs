// STT over a WebSocket beside `ws` alone; set-ups, and moves to a WebSocket.
import { withPeer } from '../peers.mjs';

const GB = 1e9;

export const websocketWorkloads = [
  {
    name: 'websocket bulk',
    peers: ['stt over ws', 'ws', 'ws, sealed'],
    quickRounds: 2,
    run: (peer, times) => withPeer(peer, measureBothWays, times),
  },
  {
    name: 'websocket bulk with TLS',
    peers: ['stt over wss', 'wss', 'wss, sealed'],
    quickRounds: 2,
    run: (peer, times) => withPeer(peer, measureBothWays, times),
  },
  {
    name: 'websocket setup',
    peers: ['stt over ws', 'stt over wss'],
    quickRounds: 1,
    run: (peer, times) => withPeer(peer, measureSetups, times),
  },
  {
    name: 'websocket move',
    peers: ['stt over ws'],
    run: (peer, times) => withPeer(peer, measureMoves, times),
  },
];

/** Up, from who connected: a WebSocket masks that way. Then down. */
async function measureBothWays({ server, client }, { warmUp, bulk }) {
  const figures = {};
  for (const [name, way] of [
    ['up', 'upload'],
    ['down', 'download'],
  ]) {
    await client.call(way, { milliseconds: warmUp });
    const usage = async () => {
      const sides = await Promise.all([client.call('usage'), server.call('usage')]);
      return sides.reduce((sum, { cpu }) => sum + cpu, 0);
    };
    const before = await usage();
    const { bytes, seconds } = await client.call(way, { milliseconds: bulk });
    figures[`MB/s ${name}`] = bytes / 1e6 / seconds;
    figures[`CPU s/GB ${name}, both sides`] = (((await usage()) - before) * GB) / bytes;
  }
  figures['peak RSS MB client'] = (await client.call('usage')).maxRss / 1e6;
  figures['peak RSS MB server'] = (await server.call('usage')).maxRss / 1e6;
  return figures;
}

async function measureSetups({ client }, { setups }) {
  const full = await client.call('setups', { count: setups, early: false });
  const early = await client.call('setups', { count: setups, early: true });
  return {
    'round trips': middle(full.trips),
    'p50 ms': middle(full.times),
    'p99 ms': quantile(full.times, 0.99),
    'round trips, early': middle(early.trips),
    'p50 ms, early': middle(early.times),
  };
}

/** From the end of UDP, in the middle of a transfer, to `pathChange`. */
async function measureMoves({ client }, { moves }) {
  const figures = {};
  for (const [name, end] of [
    ['silent', 'silence'],
    ['refused', 'close'],
  ]) {
    const { times } = await client.call('moves', { count: moves, end });
    const seen = times.filter((time) => time !== undefined);
    figures[`p50 ms, UDP ${name}`] = middle(seen);
    figures[`p99 ms, UDP ${name}`] = quantile(seen, 0.99);
    // Under load a session may leave UDP by itself before it ends.
    figures[`moves, UDP ${name}`] = seen.length;
  }
  return figures;
}

function middle(values) {
  return quantile(values, 0.5);
}

function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
