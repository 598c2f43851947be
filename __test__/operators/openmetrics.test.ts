import { generateSeed, OPEN_METRICS_CONTENT_TYPE, openMetrics } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import { closedPort, endpoint, next, pair, streamPair } from '../contract/pair.ts';
import type { Family } from './openmetrics.ts';
import { parseOpenMetrics } from './openmetrics.ts';

function value(families: readonly Family[], sample: string, labels = {}): number | undefined {
  const samples = families.flatMap((family) => family.samples);
  const wanted = JSON.stringify(labels);
  return samples.find(({ name, labels }) => name === sample && JSON.stringify(labels) === wanted)
    ?.value;
}

describe('openMetrics', () => {
  test('is what the specification says, and shows what stats() does', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const read = incoming.bytes();
    await opened.write(Buffer.alloc(200_000));
    await opened.end();
    await read;
    const families = parseOpenMetrics(openMetrics(both.client));
    const stats = both.client.stats();
    expect(families.every(({ help }) => help !== undefined)).toBe(true);
    expect(value(families, 'stt_sessions')).toBe(1);
    expect(value(families, 'stt_sent_bytes_total')).toBeGreaterThan(200_000);
    expect(value(families, 'stt_sent_bytes_total')).toBeLessThanOrEqual(stats?.bytesSent ?? 0);
    expect(value(families, 'stt_rtt_seconds_count')).toBeGreaterThan(0);
    const median = value(families, 'stt_rtt_seconds', { quantile: '0.5' }) ?? 0;
    const p99 = value(families, 'stt_rtt_seconds', { quantile: '0.99' }) ?? 0;
    expect(median).toBeGreaterThan(0);
    expect(p99).toBeGreaterThanOrEqual(median);
    expect(p99).toBeLessThan(60);
    expect(value(families, 'stt_frames_dropped_total', { code: '0x0403' })).toBe(0);
    expect(OPEN_METRICS_CONTENT_TYPE).toContain('application/openmetrics-text');
  });

  test('counts each of the 25 errors by its code', async () => {
    const client = await endpoint();
    const failed = client.connect(`127.0.0.1:${await closedPort()}`, { peerNodeId: 'any' });
    await expect(failed).rejects.toMatchObject({ codeName: 'CONNECTION_REFUSED' });
    const family = parseOpenMetrics(openMetrics(client)).find(({ name }) => name === 'stt_errors');
    const counts = family?.samples.map(({ labels: { name }, value }) => [name, value]) ?? [];
    expect(counts).toHaveLength(25);
    expect(Object.fromEntries(counts)).toEqual(client.stats()?.errors);
    const refused = family?.samples.find(({ labels: { code } }) => code === '0x0102');
    expect(refused).toEqual({
      name: 'stt_errors_total',
      labels: { code: '0x0102', name: 'CONNECTION_REFUSED' },
      value: 1,
    });
  });

  test('has no label of a peer, a session or a stream, however many there are', async () => {
    const { client, server } = await pair();
    const before = openMetrics(client).split('\n').length;
    for (let n = 0; n < 3; n += 1) await client.connect(server.address, { peerNodeId: 'any' });
    const text = openMetrics(client);
    expect(text.split('\n')).toHaveLength(before);
    expect(text).not.toContain(server.nodeId);
    expect(text).not.toContain('127.0.0.1');
  });

  test('tells several endpoints apart, by labels of one’s own as well', async () => {
    const { client, server } = await pair();
    const plain = parseOpenMetrics(openMetrics([client, server]));
    expect(value(plain, 'stt_sessions', { endpoint: '0' })).toBe(1);
    expect(value(plain, 'stt_sessions', { endpoint: '1' })).toBe(1);
    const odd = 'a "quoted" \\ name\nof two lines';
    const labels = (_: unknown, index: number) => ({ service: index === 0 ? odd : 'b', zone: 'x' });
    const named = parseOpenMetrics(openMetrics([client, server], { labels }));
    expect(value(named, 'stt_sessions', { service: odd, zone: 'x' })).toBe(1);
    expect(value(named, 'stt_sessions', { service: 'b', zone: 'x' })).toBe(1);
    for (const name of ['1st', 'a-b', 'quantile', 'code', 'name']) {
      expect(() => openMetrics(client, { labels: () => ({ [name]: 'x' }) })).toThrowError(
        expect.objectContaining({ option: 'labels' }),
      );
    }
  });

  test('has quantiles that are no numbers before the first session, and no samples after the end', async () => {
    const fresh = await endpoint();
    const families = parseOpenMetrics(openMetrics(fresh));
    expect(value(families, 'stt_rtt_seconds', { quantile: '0.99' })).toBeNaN();
    expect(value(families, 'stt_rtt_seconds_count')).toBe(0);
    await fresh.close();
    const over = parseOpenMetrics(openMetrics(fresh));
    expect(over.flatMap(({ samples }) => samples)).toEqual([]);
  });
});

describe('the parser of these tests', () => {
  test('refuses what the specification does', () => {
    const eof = '# EOF\n';
    const bad = [
      'a 1\n',
      `# TYPE a counter\na 1\n${eof}`,
      `# TYPE a counter\na_total -1\n${eof}`,
      `# TYPE a gauge\na{b="c} 1\n${eof}`,
      `# TYPE a gauge\na{b="c",} 1\n${eof}`,
      `# TYPE a gauge\na 1\na 2\n${eof}`,
      `# TYPE a gauge\n# TYPE a gauge\n${eof}`,
      `# TYPE a gauge\n# UNIT a bytes\n${eof}`,
      `# TYPE a gauge\na 1\n# HELP a late\n${eof}`,
      `# TYPE a summary\na 1\n${eof}`,
      `# TYPE a gauge\nb 1\n${eof}`,
      `# TYPE a gauge\n\na 1\n${eof}`,
      `# TYPE a gauge\na one\n${eof}`,
    ];
    for (const text of bad) expect(() => parseOpenMetrics(text), text).toThrow();
    expect(parseOpenMetrics(`# TYPE a gauge\na{b="c"} 1e3\n${eof}`)).toHaveLength(1);
  });
});

describe('queue depths in stats() and as OpenMetrics', () => {
  test('show what waits on this side, and that it was taken', async () => {
    const both = await pair();
    const { session, accepted, server, client } = both;
    for (let n = 0; n < 3; n += 1) await session.createBidirectionalStream();
    await expect.poll(() => accepted.stats()?.unacceptedStreams).toBe(3);
    await next(accepted.incomingBidirectionalStreams);
    expect(accepted.stats()?.unacceptedStreams).toBe(2);
    await session.datagrams.send('one');
    await session.datagrams.send('two');
    await expect.poll(() => accepted.stats()?.unreadDatagrams).toBe(2);
    await next(accepted.datagrams);
    expect(accepted.stats()?.unreadDatagrams).toBe(1);
    const stream = await session.createBidirectionalStream();
    void stream.write(Buffer.alloc(20_000_000));
    expect(session.stats()?.pendingBytes).toBe(stream.pendingBytes);
    expect(stream.pendingBytes).toBeGreaterThan(1_000_000);
    await client.connect(server.address, { peerNodeId: 'any' });
    await expect.poll(() => server.stats()?.unacceptedSessions).toBe(1);
    // A second session with something in each queue: a scraper gets the sums.
    const other = await client.connect(server.address, { peerNodeId: 'any' });
    const more = await other.createBidirectionalStream();
    void more.write(Buffer.alloc(20_000_000));
    await expect.poll(() => server.stats()?.unacceptedSessions).toBe(2);
    const pending = stream.pendingBytes + more.pendingBytes;
    expect(pending).toBeGreaterThan(stream.pendingBytes);
    const there = parseOpenMetrics(openMetrics(server));
    expect(value(parseOpenMetrics(openMetrics(client)), 'stt_pending_bytes')).toBe(pending);
    expect(value(there, 'stt_unaccepted_streams')).toBeGreaterThanOrEqual(3);
    expect(value(there, 'stt_unread_datagrams')).toBe(1);
    expect(value(there, 'stt_unaccepted_sessions')).toBe(2);
    stream.reset();
    more.reset();
  });

  test('count peers that are being decided on', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const client = await endpoint({ sharedSeed });
    let decide!: (admitted: boolean) => void;
    const authorize = () =>
      new Promise<boolean>((resolve) => {
        decide = resolve;
      });
    server.serve(() => {}, { authorize });
    const connect = client.connect(server.address, { peerNodeId: 'any' });
    await expect.poll(() => server.stats()?.pendingAuthorizations).toBe(1);
    decide(true);
    await connect;
    expect(server.stats()?.pendingAuthorizations).toBe(0);
  });
});
