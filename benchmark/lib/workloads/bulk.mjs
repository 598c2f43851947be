// As many bytes as will go, from Node to Node.
import { SECURE_UDP, withPeer } from '../peers.mjs';

const GB = 1e9;

export const bulkWorkloads = [
  {
    name: 'bulk',
    peers: ['net', 'tls', 'ws', 'wss', 'stt', 'stt 1452 B', 'udx', ...SECURE_UDP],
    run: (peer, times) => withPeer(peer, measureBulk, times),
  },
  {
    name: 'bulk, 16 streams and both ways',
    peers: ['stt', 'tls'],
    run: (peer, times) => withPeer(peer, measureMany, times),
  },
  {
    name: 'reader that stops',
    peers: ['stt 16 MiB windows', 'tls', 'ws'],
    run: (peer, times) => withPeer(peer, measureStall, times),
  },
];

/** One stream, from who connected. */
export async function measureBulk({ server, client }, { warmUp, bulk }) {
  await client.call('upload', { milliseconds: warmUp });
  const usage = () => Promise.all([client.call('usage'), server.call('usage')]);
  const before = await usage();
  await server.call('watchDelay');
  const { bytes, seconds } = await client.call('upload', { milliseconds: bulk });
  const delay = await server.call('delay');
  const after = await usage();
  const cost = (side) => ((after[side].cpu - before[side].cpu) * GB) / bytes;
  return {
    'MB/s': bytes / 1e6 / seconds,
    'CPU s/GB send': cost(0),
    'CPU s/GB receive': cost(1),
    'peak RSS MB send': after[0].maxRss / 1e6,
    'peak RSS MB receive': after[1].maxRss / 1e6,
    'loop delay p99 ms receive': delay.p99,
  };
}

/** On one session where there are several streams on one; TLS has as many connections. */
async function measureMany({ client }, { warmUp, bulk }) {
  await client.call('upload', { milliseconds: warmUp });
  const rate = async (way, options) => {
    const { bytes, seconds } = await client.call(way, { milliseconds: bulk, ...options });
    return bytes / 1e6 / seconds;
  };
  return {
    'MB/s, 1 stream': await rate('upload', {}),
    'MB/s, 16 streams': await rate('upload', { channels: 16 }),
    'MB/s, both ways': await rate('both', {}),
  };
}

/** What the windows of `preset: 'highThroughput'` let a writer and a reader hold, in bytes. */
const WINDOWS = { sendBufferSize: 16 << 20, streamRecvBuffer: 8 << 20 };
/** A writer that gets this far is held back by nothing. */
const MOST = 1 << 30;
const MB = 1e6;

/** After a transfer at full speed, so that what that takes of memory is taken before. */
async function measureStall({ server, client }, { bulk }) {
  await client.call('upload', { milliseconds: bulk });
  const usage = () => Promise.all([client.call('usage'), server.call('usage')]);
  const before = await usage();
  const { bytes } = await client.call('stall', { most: MOST });
  const after = await usage();
  const grown = (side) => Math.max(0, after[side].rss - before[side].rss);
  return {
    'MB written': bytes / MB,
    'of the windows': bytes / (WINDOWS.sendBufferSize + WINDOWS.streamRecvBuffer),
    'RSS grown MB send': grown(0) / MB,
    'RSS grown MB receive': grown(1) / MB,
    'RSS grown, of the windows, send': grown(0) / WINDOWS.sendBufferSize,
    'RSS grown, of the windows, receive': grown(1) / WINDOWS.streamRecvBuffer,
  };
}
