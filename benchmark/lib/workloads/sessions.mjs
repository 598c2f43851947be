// Sessions: how fast they are made, and what they cost while nothing happens.
import { withPeer } from '../peers.mjs';

/** Idle sessions, and for how long a server is watched: one interval of STT's default keep-alive. */
const FEW = 1_000;
const MANY = 10_000;
const WATCHED_MS = 10_000;
/** What is still under way when the last of them is there. */
const SETTLE_MS = 1_000;
const HOLD_TIMEOUT_MS = 120_000;

export const sessionWorkloads = [
  {
    name: 'connects',
    peers: [
      'stt',
      'tls',
      'tls mutual',
      'net',
      'ws',
      'wss',
      'secret-stream',
      'libp2p-quic',
      'node-datachannel',
      'iroh',
    ],
    run: (peer, times) => withPeer(peer, measureConnects, times),
  },
  {
    name: 'idle sessions, 1 000',
    peers: ['stt for 10 000', 'tls', 'ws', 'secret-stream', 'libp2p-quic', 'iroh'],
    rounds: 1,
    run: (peer, times) => withPeer(peer, measureIdle(FEW), times),
  },
  {
    name: 'idle sessions, 10 000',
    peers: ['stt for 10 000', 'tls'],
    rounds: 1,
    run: (peer, times) => withPeer(peer, measureIdle(MANY), times),
  },
];

async function measureConnects({ client }, { connects: milliseconds }) {
  const rate = async (atOnce) => {
    const { count, seconds } = await client.call('connects', { atOnce, milliseconds });
    return count / seconds;
  };
  return { 'connects/s, one at a time': await rate(1), 'connects/s, 32 at once': await rate(32) };
}

const measureIdle =
  (count) =>
  async ({ server, client }) => {
    const before = await server.call('usage');
    const made = await client.call('hold', { count }, HOLD_TIMEOUT_MS);
    await wait(SETTLE_MS);
    const held = await server.call('usage');
    await wait(WATCHED_MS);
    const after = await server.call('usage');
    const alive = await client.call('holding');
    if (alive < count) throw new Error(`${alive} of ${count} sessions are left`);
    return {
      'server RSS KB a session': (after.rss - before.rss) / 1_000 / count,
      'server CPU %': (100 * (after.cpu - held.cpu)) / (WATCHED_MS / 1_000),
      's until all are there': made.seconds,
    };
  };

function wait(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
