// What is measured: who takes part, how, and what the ratios are wanted to be.
import { randomBytes } from 'node:crypto';
import { certificate } from './certificate.mjs';
import { Child } from './child.mjs';
import { connects, transfer } from './rust.mjs';

const PEERS = {
  stt: { module: 'stt' },
  tls: { module: 'tls', secure: true },
  dgram: { module: 'dgram' },
  'stt over ws': { module: 'stt', options: { carrier: 'ws' } },
  ws: { module: 'ws' },
  'stt over wss': { module: 'stt', options: { carrier: 'wss' }, secure: true },
  wss: { module: 'ws', secure: true },
};

const WARM_UP_BYTES = 32 * 65_536;
const GB = 1e9;
const GIB = 2 ** 30;

// From Rust to Rust, each process on a core of its own; the bound is what sealing, checksums and copies leave of the machine.
const ETHERNET_PEERS = ['stt', 'quinn', 'quinn-tuned', 's2n', 'limit', 'bound'];
const JUMBO_PEERS = ['stt-9000', 's2n-9000', 'bound-9000'];

export const WORKLOADS = [
  { name: 'bulk', peers: ['stt', 'tls'], measure: measureBulk },
  { name: 'ping-pong 64 B', peers: ['stt', 'tls', 'dgram'], measure: measurePings },
  { name: 'rust bulk, 1452 B', peers: ETHERNET_PEERS, rust: measureRustBulk },
  { name: 'rust bulk, 9000 B', peers: JUMBO_PEERS, rust: measureRustBulk },
  { name: 'rust connects', peers: ['stt', 'quinn'], rust: measureRustConnects },
  { name: 'websocket bulk', peers: ['stt over ws', 'ws'], measure: measureBothWays },
  { name: 'websocket bulk with TLS', peers: ['stt over wss', 'wss'], measure: measureBothWays },
  { name: 'websocket setup', peers: ['stt over ws', 'stt over wss'], measure: measureSetups },
  { name: 'websocket move', peers: ['stt over ws'], measure: measureMoves },
];

export const TARGETS = [
  ...[
    ['round trips', 3, ''],
    ['round trips, early', 2, ', early'],
  ].map(([figure, target, how]) => ({
    name: `round trips of a setup over ws${how}, after TCP`,
    workload: 'websocket setup',
    figure,
    of: 'stt over ws',
    op: '<=',
    target,
  })),
  {
    name: 'goodput, one stream, against node:tls',
    workload: 'bulk',
    figure: 'MB/s',
    of: 'stt',
    to: 'tls',
    op: '>=',
    target: 0.3,
  },
  {
    name: 'round trip of 64 B (p50) against node:dgram',
    workload: 'ping-pong 64 B',
    figure: 'p50 us',
    of: 'stt',
    to: 'dgram',
    op: '<=',
    target: 2,
  },
  ...[
    ['MB/s', 's2n', '>=', 1.25],
    ['MB/s', 'quinn-tuned', '>=', 1.6],
    ['MB/s', 'bound', '>=', 0.85],
    ['CPU s/GB', 's2n', '<=', 0.75],
    ['CPU s/GB', 'quinn-tuned', '<=', 0.6],
  ].map(([figure, to, op, target]) => ({
    name: `Rust to Rust, 1452 B, ${figure} against ${to}`,
    workload: 'rust bulk, 1452 B',
    figure,
    of: 'stt',
    to,
    op,
    target,
  })),
  ...[
    ['s2n-9000', 1],
    ['bound-9000', 0.85],
  ].map(([to, target]) => ({
    name: `Rust to Rust, 9000 B, MB/s against ${to}`,
    workload: 'rust bulk, 9000 B',
    figure: 'MB/s',
    of: 'stt-9000',
    to,
    op: '>=',
    target,
  })),
  ...['one at a time', '32 at once'].map((how) => ({
    name: `Rust to Rust, connects/s, ${how}, against quinn`,
    workload: 'rust connects',
    figure: `connects/s, ${how}`,
    of: 'stt',
    to: 'quinn',
    op: '>=',
    target: 1.5,
  })),
  ...['up', 'down'].flatMap((way) => [
    {
      name: `goodput over ws, ${way}, against ws`,
      workload: 'websocket bulk',
      figure: `MB/s ${way}`,
      of: 'stt over ws',
      to: 'ws',
      op: '>=',
      target: 0.9,
    },
    {
      name: `goodput over wss, ${way}, against wss`,
      workload: 'websocket bulk with TLS',
      figure: `MB/s ${way}`,
      of: 'stt over wss',
      to: 'wss',
      op: '>=',
      target: 0.9,
    },
  ]),
];

/** One run of a workload by a peer, in two processes of its own. */
export async function withPeer(peer, { measure, rust }, sizes) {
  if (rust !== undefined) return rust(peer, sizes);
  const { module, options, secure } = PEERS[peer];
  // Made here: the modules that make it are no part of what is measured.
  const identity = secure ? await certificate() : undefined;
  const url = new URL(`../peers/${module}.mjs`, import.meta.url).href;
  const [server, client] = await Promise.all([Child.start(url), Child.start(url)]);
  try {
    const seed = randomBytes(32);
    const { target } = await server.call('serve', { seed, identity, ...options });
    await client.call('connect', { seed, target, ...options });
    const figures = await measure(server, client, sizes);
    await client.call('close');
    return figures;
  } finally {
    client.stop();
    server.stop();
  }
}

async function measureBulk(server, client, { bytes }) {
  const { rate, send, receive } = await bulk('upload', client, server, client, bytes);
  return {
    'MB/s': rate,
    'CPU s/GB send': (send.cpu * GB) / bytes,
    'CPU s/GB receive': (receive.cpu * GB) / bytes,
    'peak RSS MB send': send.maxRss / 1e6,
    'peak RSS MB receive': receive.maxRss / 1e6,
  };
}

async function measureRustBulk(peer, { bytes }) {
  const { send, receive } = await transfer(peer, bytes);
  return {
    'MB/s': bytes / 1e6 / send.seconds,
    'CPU s/GB': ((send.cpu + receive.cpu) * GB) / bytes,
    'CPU s/GB send': (send.cpu * GB) / bytes,
    'CPU s/GB receive': (receive.cpu * GB) / bytes,
    'peak RSS MB send': send.maxRss / 1e6,
    'peak RSS MB receive': receive.maxRss / 1e6,
  };
}

/** STT proves both sides to each other, quinn its server alone, as it comes. */
async function measureRustConnects(peer, { connects: count }) {
  const one = await connects(peer, count, 1);
  const many = await connects(peer, count, 32);
  return {
    'connects/s, one at a time': count / one.seconds,
    'connects/s, 32 at once': count / many.seconds,
    'CPU ms a connect, client': (many.cpu * 1_000) / count,
  };
}

/** Up, from who connected: a WebSocket masks that way. Then down. */
async function measureBothWays(server, client, { bytes }) {
  const up = await bulk('upload', client, server, client, bytes);
  const down = await bulk('download', server, client, client, bytes);
  const perGiB = ({ send, receive }) => ((send.cpu + receive.cpu) * GIB) / bytes;
  return {
    'MB/s up': up.rate,
    'MB/s down': down.rate,
    'CPU s/GiB up, both sides': perGiB(up),
    'CPU s/GiB down, both sides': perGiB(down),
    'peak RSS MB client': Math.max(up.send.maxRss, down.receive.maxRss) / 1e6,
    'peak RSS MB server': Math.max(up.receive.maxRss, down.send.maxRss) / 1e6,
  };
}

async function bulk(way, sender, receiver, client, bytes) {
  await client.call(way, { bytes: WARM_UP_BYTES });
  const usage = () => Promise.all([sender.call('usage'), receiver.call('usage')]);
  const before = await usage();
  const { seconds } = await client.call(way, { bytes });
  const after = await usage();
  const [send, receive] = after.map(({ cpu, maxRss }, side) => ({
    cpu: cpu - before[side].cpu,
    maxRss,
  }));
  return { rate: bytes / 1e6 / seconds, send, receive };
}

async function measureSetups(_server, client, { setups }) {
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
async function measureMoves(_server, client, { moves }) {
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

async function measurePings(_server, client, { pings }) {
  const { p50, p99 } = await client.call('pings', { count: pings, size: 64 });
  return { 'p50 us': p50, 'p99 us': p99 };
}
