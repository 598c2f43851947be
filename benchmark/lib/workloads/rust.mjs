// From Rust to Rust, each process on a core of its own. The bound is what sealing, checksums and copies leave of the machine.
import { alone, connects, missing, transfer } from '../rust.mjs';

const GB = 1e9;

export const rustWorkloads = [
  {
    name: 'rust bulk, 1452 B',
    peers: ['stt', 'quinn', 'quinn-tuned', 's2n', 'limit', 'bound'],
    unfit: missing,
    run: measureBulk,
  },
  {
    name: 'rust bulk, 9000 B',
    peers: ['stt-9000', 's2n-9000', 'bound-9000'],
    unfit: missing,
    run: measureBulk,
  },
  { name: 'rust connects', peers: ['stt', 'quinn'], unfit: missing, run: measureConnects },
  { name: 'rust alone', peers: ['aead', 'crc'], unfit: missing, run: measureAlone },
];

async function measureBulk(peer, { rustBytes: bytes }) {
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
async function measureConnects(peer, { rustConnects: count }) {
  const one = await connects(peer, count, 1);
  const many = await connects(peer, count, 32);
  return {
    'connects/s, one at a time': count / one.seconds,
    'connects/s, 32 at once': count / many.seconds,
    'CPU ms a connect, client': (many.cpu * 1_000) / count,
  };
}

/** One primitive on one core, by the bytes at a time. */
async function measureAlone(primitive, { rustBytes: bytes }) {
  const rates = await alone(primitive, bytes);
  return Object.fromEntries(Object.entries(rates).map(([size, rate]) => [`MB/s, ${size} B`, rate]));
}
