// There and back.
import { SECURE_UDP, withPeer } from '../peers.mjs';

/** Requests under way at a time. */
const IN_FLIGHT = [1, 16, 256];
const SMALL = 64;
const LARGE = 4_096;

export const roundTripWorkloads = [
  {
    name: 'ping-pong',
    peers: ['stt', 'tls', 'dgram', 'net', 'ws', 'wss', 'udx', ...SECURE_UDP],
    run: (peer, times) => withPeer(peer, measurePings, times),
  },
  {
    name: 'ping-pong under a transfer',
    // TLS by a second connection: it has no second stream on one.
    peers: ['stt', 'tls'],
    run: (peer, times) => withPeer(peer, measureUnderLoad, times),
  },
  {
    name: 'requests',
    peers: ['stt', 'tls', 'net', 'ws', 'wss', 'udx', ...SECURE_UDP],
    run: (peer, times) => withPeer(peer, measureRequests, times),
  },
];

async function measurePings({ client }, { pings: milliseconds }) {
  const small = await client.call('pings', { size: SMALL, milliseconds });
  const large = await client.call('pings', { size: LARGE, milliseconds });
  return {
    'p50 us, 64 B': small.p50,
    'p99 us, 64 B': small.p99,
    'p50 us, 4 KiB': large.p50,
    'p99 us, 4 KiB': large.p99,
  };
}

async function measureUnderLoad({ client }, { pings: milliseconds }) {
  const { idle, busy, bytes, seconds } = await client.call('pingsUnderLoad', {
    size: SMALL,
    milliseconds: 2 * milliseconds,
  });
  return {
    'p50 us, idle': idle.p50,
    'p99 us, idle': idle.p99,
    'p50 us, busy': busy.p50,
    'p99 us, busy': busy.p99,
    'MB/s beside': bytes / 1e6 / seconds,
  };
}

async function measureRequests({ client }, { pings: milliseconds }) {
  const figures = {};
  for (const inFlight of IN_FLIGHT) {
    const answered = await client.call('requests', { size: SMALL, inFlight, milliseconds });
    figures[`requests/s, ${inFlight} in flight`] = answered.count / answered.seconds;
  }
  return figures;
}
