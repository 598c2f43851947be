import { describe, expect, it } from 'vitest';
import { judge, named } from '../../benchmark/lib/targets.mjs';

/** A figure as a run has it: one sample a round. */
function figure(...samples: number[]) {
  const sorted = samples.toSorted((a, b) => a - b);
  return { samples, median: sorted[samples.length >> 1], min: sorted[0], max: sorted.at(-1) };
}

function bulk(peers: Record<string, number[]>) {
  const measured = Object.entries(peers).map(([peer, rates]) => [
    peer,
    { 'MB/s': figure(...rates) },
  ]);
  return { bulk: Object.fromEntries(measured) };
}

describe('what the benchmark is judged by', () => {
  it('judges nothing that has not run', () => {
    expect(judge({})).toEqual([]);
    expect(judge(bulk({ stt: [1, 2, 3] }))).toEqual([]);
  });

  it('compares medians, and tells the range of the ratios round by round', () => {
    const judged = judge(bulk({ stt: [1_000, 1_500, 1_400], tls: [1_000, 1_000, 700] }));
    expect(judged).toEqual([
      {
        name: 'Node to Node, one stream, path MTU found, against node:tls',
        op: '>=',
        ratio: 1.4,
        range: [1, 2],
        target: 1.4,
        against: 'tls',
        met: true,
      },
    ]);
  });

  it('says what a stretch is measured against, when that has run as well', () => {
    const [first] = judge(bulk({ stt: [700], tls: [1_000], net: [1_000] }));
    expect(first).toMatchObject({
      met: false,
      stretch: { ratio: 0.7, target: 0.8, against: 'net', met: false },
    });
  });

  it('takes the best of several peers', () => {
    const peers = { 'stt 1452 B': [800], 'libp2p-quic': [100], 'secret-stream': [400] };
    expect(judge(bulk(peers))).toMatchObject([{ against: 'secret-stream', ratio: 2, met: false }]);
  });

  it('compares a figure with another of the same peer, and takes one as it is', () => {
    const [many, both] = judge({
      'bulk, 16 streams and both ways': {
        stt: {
          'MB/s, 1 stream': figure(100),
          'MB/s, 16 streams': figure(95),
          'MB/s, both ways': figure(94),
        },
      },
    });
    expect(many).toMatchObject({ ratio: 0.95, met: true });
    expect(both).toMatchObject({ ratio: 0.94, met: false });
    const [idle] = judge({
      'idle sessions, 10 000': { 'stt for 10 000': { 'server CPU %': figure(3) } },
    });
    expect(idle).toMatchObject({ op: '<=', ratio: 3, met: true, stretch: { met: false } });
  });

  it('knows whom a quick run needs', () => {
    expect(named('bulk', { quick: true })).not.toContain('iroh');
    expect(named('bulk', { quick: true })).toContain('secret-stream');
    const peers = named('bulk');
    for (const peer of ['stt', 'stt 1452 B', 'tls', 'wss', 'net', 'libp2p-quic'])
      expect(peers).toContain(peer);
    expect(peers).not.toContain('udx');
    expect(named('requests').size).toBe(0);
  });
});
