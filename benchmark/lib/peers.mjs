// Who takes part, and a run of one of them in two processes of its own.
import { randomBytes } from 'node:crypto';
import { certificate } from './certificate.mjs';
import { Child } from './child.mjs';

/** Bytes of a datagram on an Ethernet: 1500 less IPv6 and UDP. */
export const ETHERNET = 1_452;

/**
 * `module` is in peers/, `packages` is what it needs from npm beside Node, `secure` needs a certificate, `options` are
 * the module's own.
 */
const PEERS = {
  stt: { module: 'stt' },
  'stt 1452 B': { module: 'stt', options: { endpoint: { mtu: ETHERNET } } },
  'stt 16 MiB windows': { module: 'stt', options: { endpoint: { preset: 'highThroughput' } } },
  'stt for 10 000': { module: 'stt', options: { endpoint: { maxConcurrentSessions: 20_000 } } },
  'stt over ws': { module: 'stt', options: { carrier: 'ws' } },
  'stt over wss': { module: 'stt', options: { carrier: 'wss' }, secure: true },
  net: { module: 'sockets' },
  tls: { module: 'sockets', secure: true },
  'tls mutual': { module: 'sockets', secure: true, options: { mutual: true } },
  ws: { module: 'ws', packages: ['ws'] },
  wss: { module: 'ws', secure: true, packages: ['ws'] },
  'ws, sealed': { module: 'ws', options: { sealed: true }, packages: ['ws'] },
  'wss, sealed': { module: 'ws', options: { sealed: true }, secure: true, packages: ['ws'] },
  dgram: { module: 'dgram' },
  udx: { module: 'udx', packages: ['udx-native'] },
  'secret-stream': {
    module: 'udx',
    options: { secret: true },
    packages: ['@hyperswarm/secret-stream', 'udx-native'],
  },
  'libp2p-quic': { module: 'libp2p-quic', packages: ['@chainsafe/libp2p-quic'] },
  'node-datachannel': { module: 'datachannel', packages: ['node-datachannel'] },
  iroh: { module: 'iroh', packages: ['@number0/iroh'] },
  'matrixai-quic': { module: 'matrixai', secure: true, packages: ['@matrixai/quic'] },
};

/** What a Node user can install to move bytes by UDP so that nobody else reads them, the fastest first. */
export const SECURE_UDP = [
  'libp2p-quic',
  'secret-stream',
  'node-datachannel',
  'iroh',
  'matrixai-quic',
];

/** The packages that peers need, by name. */
export const PACKAGES = [
  ...new Set(Object.values(PEERS).flatMap(({ packages = [] }) => packages)),
].sort();

/**
 * One run by a peer: `measure(pair, times)` in processes made for it and ended after it, however it went. `more` are
 * options beside the peer's own; `inside.server` and `inside.client` are what the processes run under.
 */
export async function withPeer(peer, measure, times, { more = {}, inside = {} } = {}) {
  const { module, options, secure } = PEERS[peer];
  // Made here: the modules that make it are no part of what is measured.
  const identity = secure ? await certificate() : undefined;
  const url = new URL(`../peers/${module}.mjs`, import.meta.url).href;
  const children = [];
  try {
    for (const side of ['server', 'client']) children.push(await Child.start(url, inside[side]));
    const [server, client] = children;
    const seed = randomBytes(32);
    const own = { ...options, ...more, endpoint: { ...options?.endpoint, ...more.endpoint } };
    const { target } = await server.call('serve', { seed, identity, ...own });
    await client.call('connect', { seed, target, ...own });
    return await measure({ server, client }, times);
  } finally {
    for (const child of children) child.stop();
  }
}
