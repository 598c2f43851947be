// What ratios are wanted, and whether a run has them. All compare within one run.
import { SECURE_UDP } from './peers.mjs';

/** The link that has targets. */
const LINK = 'link 1 Gbit/s, 20 ms, 1 % lost';

/**
 * A target is about a figure of a peer (`of`), as a ratio to another peer's (`to`; of several the best), or to another
 * figure of its own (`toFigure`), or as it is. `stretch` is what would be better still, against `to` if that is another.
 */
const TARGETS = [
  ...rust('1452 B', 'MB/s', 'stt', '>=', [
    ['s2n', 1.25, { to: 'bound', target: 0.85 }],
    ['quinn-tuned', 1.6],
  ]),
  ...rust('9000 B', 'MB/s', 'stt-9000', '>=', [
    ['s2n-9000', 1, { to: 'bound-9000', target: 0.85 }],
  ]),
  ...rust('1452 B', 'CPU s/GB', 'stt', '<=', [
    ['s2n', 0.75, { target: 0.65 }],
    ['quinn-tuned', 0.6],
  ]),
  bulk('one stream, 1452 B, against node:tls', 'stt 1452 B', 'tls', 1.05, { target: 1.3 }),
  bulk('one stream, 1452 B, against the best secure UDP of Node', 'stt 1452 B', SECURE_UDP, 4),
  bulk('one stream, path MTU found, against node:tls', 'stt', 'tls', 1.4, {
    to: 'net',
    target: 0.8,
  }),
  bulk('one stream, path MTU found, against wss', 'stt', 'wss', 3),
  ...['16 streams', 'both ways'].map((how) => ({
    name: `Node to Node, ${how}, against one stream`,
    workload: 'bulk, 16 streams and both ways',
    figure: `MB/s, ${how}`,
    toFigure: 'MB/s, 1 stream',
    of: 'stt',
    op: '>=',
    target: 0.95,
  })),
  {
    name: 'ping-pong 64 B, p50, against node:tls',
    workload: 'ping-pong',
    figure: 'p50 us, 64 B',
    of: 'stt',
    to: 'tls',
    op: '<=',
    target: 1,
    stretch: { to: 'dgram', target: 1.2 },
  },
  {
    name: 'ping-pong p99 under a transfer, against idle',
    workload: 'ping-pong under a transfer',
    figure: 'p99 us, busy',
    toFigure: 'p99 us, idle',
    of: 'stt',
    op: '<=',
    target: 3,
    stretch: { target: 1.5 },
  },
  messages('a call each', 'tls', 1.1),
  messages('a call for many', 'tls', 1.1),
  messages('bounds kept', 'ws', 3),
  ...['one at a time', '32 at once'].map((how) => ({
    name: `connects/s, ${how}, against node:tls`,
    workload: 'connects',
    figure: `connects/s, ${how}`,
    of: 'stt',
    to: 'tls',
    op: '>=',
    target: 2.5,
    stretch: { target: 5 },
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
  idle('server RSS KB a session', 10, 6),
  idle('server CPU %', 3, 1),
  {
    name: 'link of 1 Gbit/s, 20 ms, 1 % lost, CUBIC, against TCP with CUBIC',
    workload: LINK,
    figure: 'MB/s',
    of: 'stt cubic',
    to: 'net',
    op: '>=',
    target: 1,
  },
  {
    name: 'link of 1 Gbit/s, 20 ms, 1 % lost, BBR, of the link',
    workload: LINK,
    figure: 'of the link',
    of: 'stt bbr',
    op: '>=',
    target: 0.85,
  },
  {
    name: 'event-loop delay p99 of the receiver, against node:tls',
    workload: 'bulk',
    figure: 'loop delay p99 ms receive',
    of: 'stt',
    to: 'tls',
    op: '<=',
    target: 1.5,
    stretch: { target: 1 },
  },
  ...[
    ['written to a reader that stops, of the windows', 'of the windows'],
    ['RSS grown by a reader that stops, sender, of its window', 'RSS grown, of the windows, send'],
    [
      'RSS grown by a reader that stops, receiver, of its window',
      'RSS grown, of the windows, receive',
    ],
  ].map(([name, figure]) => ({
    name,
    workload: 'reader that stops',
    figure,
    of: 'stt 16 MiB windows',
    op: '<=',
    // Memory comes by the page and the slab.
    target: figure === 'of the windows' ? 1.05 : 1.5,
  })),
  ...['', ', early'].map((how) => ({
    name: `round trips of a setup over ws${how}, after TCP`,
    workload: 'websocket setup',
    figure: `round trips${how}`,
    of: 'stt over ws',
    op: '<=',
    target: how === '' ? 3 : 2,
  })),
  ...['up', 'down'].flatMap((way) => [
    websocket(way, 'ws', 'websocket bulk'),
    websocket(way, 'wss', 'websocket bulk with TLS'),
  ]),
  // Beside who does as much: encrypts end to end.
  { ...websocket('down', 'ws, sealed', 'websocket bulk'), of: 'stt over ws', target: 1 },
  { ...websocket('down', 'wss, sealed', 'websocket bulk with TLS'), of: 'stt over wss', target: 1 },
];

function rust(size, figure, of, op, against) {
  return against.map(([to, target, stretch]) => ({
    name: `Rust to Rust, ${size}, ${figure}, against ${to}`,
    workload: `rust bulk, ${size}`,
    figure,
    of,
    to,
    op,
    target,
    stretch,
  }));
}

function bulk(what, of, to, target, stretch) {
  const name = `Node to Node, ${what}`;
  return { name, workload: 'bulk', figure: 'MB/s', of, to, op: '>=', target, stretch };
}

function messages(how, to, target) {
  return {
    name: `100 B messages/s, ${how}, against ${to === 'tls' ? 'node:tls' : to}`,
    workload: 'messages',
    figure: `messages/s, ${how}`,
    of: 'stt',
    to,
    op: '>=',
    target,
  };
}

function idle(figure, target, stretch) {
  return {
    name: `10 000 idle sessions, ${figure}`,
    workload: 'idle sessions, 10 000',
    figure,
    of: 'stt for 10 000',
    op: '<=',
    target,
    stretch: { target: stretch },
  };
}

function websocket(way, to, workload) {
  return {
    name: `goodput over ${to.split(',', 1)}, ${way}, against ${to}`,
    workload,
    figure: `MB/s ${way}`,
    of: `stt over ${to}`,
    to,
    op: '>=',
    target: 0.9,
  };
}

/** The peers of a workload that a target is about; of those of which the best is taken, a quick run has the first two. */
export function named(workload, { quick = false } = {}) {
  const one = (to = []) => (Array.isArray(to) ? to.slice(0, quick ? 2 : to.length) : [to]);
  const peers = TARGETS.filter((target) => target.workload === workload).flatMap(
    ({ of, to, stretch }) => [of, ...one(to), ...one(stretch?.to)],
  );
  return new Set(peers);
}

/** The targets of what has run. */
export function judge(results) {
  return TARGETS.flatMap((target) => {
    const main = compare(results, target, target);
    if (main === undefined) return [];
    const { name, op, stretch } = target;
    const further = stretch && compare(results, target, { ...target, ...stretch });
    return [{ name, op, ...main, ...(further ? { stretch: further } : {}) }];
  });
}

function compare(results, { workload, figure, of, op }, { to, toFigure, target }) {
  const peers = results[workload];
  const own = peers?.[of]?.[figure];
  if (own === undefined) return undefined;
  const against = to === undefined && toFigure === undefined ? undefined : other();
  if (against === null) return undefined;
  function other() {
    if (toFigure !== undefined) return { of, values: peers[of][toFigure] };
    const there = [to].flat().filter((peer) => peers[peer]?.[figure] !== undefined);
    if (there.length === 0) return null;
    const best = there.reduce((a, b) =>
      peers[b][figure].median > peers[a][figure].median ? b : a,
    );
    return { of: best, values: peers[best][figure] };
  }
  const ratio = own.median / (against?.values.median ?? 1);
  // Round by round: what slows the machine down slows both.
  const rounds = own.samples
    .slice(0, against?.values.samples.length)
    .map((value, round) => value / (against?.values.samples[round] ?? 1));
  return {
    ratio: short(ratio),
    range: [short(Math.min(...rounds)), short(Math.max(...rounds))],
    target,
    ...(against === undefined || toFigure !== undefined ? {} : { against: against.of }),
    met: op === '>=' ? ratio >= target : ratio <= target,
  };
}

function short(value) {
  return Number(value.toFixed(3));
}
