import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { LogLevel, LogOptions, LogRecord, LogTarget } from '@seigr/stt';
import { generateSeed, logTo, ReconnectingSession } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, pair, streamPair } from '../contract/pair.ts';

interface Line {
  readonly level: LogLevel;
  readonly record: LogRecord;
  readonly message: string;
}

/** What is logged while the test runs. */
function lines(options?: LogOptions): Line[] {
  const seen: Line[] = [];
  const stop = logTo((level, record, message) => seen.push({ level, record, message }), options);
  onTestFinished(stop);
  return seen;
}

/** A session's whole life, with an error in it, a retry and a circuit that opens. */
async function live(): Promise<{ peer: string; secrets: Uint8Array[] }> {
  const sharedSeed = generateSeed();
  const nodeSeed = generateSeed();
  const server = await endpoint({ sharedSeed, nodeSeed });
  server.serve(async (session) => {
    for await (const stream of session.incomingBidirectionalStreams) void stream.close();
  });
  const breaker = { minimum: 1, threshold: 0.1 };
  const client = await endpoint({ sharedSeed, breaker });
  const kept = await ReconnectingSession.connect(client, server.address, {
    peerNodeId: 'any',
    reconnect: { base: 1, minDelay: 1 },
  });
  await kept.run('greeting', (stream) => stream.text());
  const again = new Promise((resolve) => kept.once('reconnected', resolve));
  for (const session of server.sessions) session.destroy('away');
  await again;
  await kept.close();
  const port = await closedPort();
  await client
    .connect(`127.0.0.1:${port}`, {
      peerNodeId: 'any',
      retry: { attempts: 2, base: 1, deadline: 1_000 },
    })
    .catch(() => {});
  // Without a circuit, whose refusal is no failure of the network.
  const plain = await endpoint({ sharedSeed });
  await plain.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' }).catch(() => {});
  await client.close();
  await server.close();
  return { peer: `127.0.0.1:${server.address.port}`, secrets: [sharedSeed, nodeSeed] };
}

describe('logTo', () => {
  test('tells of sessions, errors, retries and circuits; streams by choice', async () => {
    const seen = lines();
    const withStreams = lines({ streams: true });
    await live();
    const events = (list: Line[]): Set<string> => new Set(list.map(({ record }) => record.event));
    const expected = [
      'endpoint.created',
      'endpoint.closed',
      'session.opened',
      'session.closed',
      'session.reconnecting',
      'session.reconnected',
      'connect.failed',
      'breaker.change',
    ];
    for (const event of expected) expect(events(seen)).toContain(event);
    expect([...events(seen)].filter((event) => event.startsWith('stream.'))).toEqual([]);
    expect(events(withStreams)).toContain('stream.opened');
    expect(events(withStreams)).toContain('stream.closed');
  });

  test('gives every record its event, code, peer and timestamp', async () => {
    const seen = lines({ streams: true });
    const before = Date.now();
    const { peer, secrets } = await live();
    expect(seen.length).toBeGreaterThan(10);
    for (const { record, message } of seen) {
      expect(record.event).toMatch(/^(endpoint|session|stream|connect|breaker)\.[a-zA-Z]+$/);
      expect(record.timestamp).toBeGreaterThanOrEqual(before);
      expect(record.timestamp).toBeLessThanOrEqual(Date.now());
      expect(record.code === null || /^0x0[1-6]0[1-5]$/.test(record.code)).toBe(true);
      expect(message).not.toBe('');
      if (!record.event.startsWith('endpoint.')) expect(record.peer).toMatch(/^127\.0\.0\.1:\d+$/);
      // Flat, so that every backend can index it.
      for (const value of Object.values(record))
        expect(typeof value === 'object' && value).toBe(value === null ? null : false);
    }
    const lost = seen.find(({ record }) => record.event === 'session.reconnecting');
    expect(lost).toMatchObject({ level: 'warn', record: { code: '0x0201', peer, attempt: 1 } });
    const text = JSON.stringify(seen);
    for (const secret of secrets) {
      expect(text).not.toContain(Buffer.from(secret).toString('hex'));
      expect(text).not.toContain(Buffer.from(secret).toString('base64url'));
    }
  });

  test('leaves out what matters less, and is silent once it was stopped', async () => {
    const seen = lines({ level: 'warn' });
    await live();
    expect(new Set(seen.map(({ level }) => level))).toEqual(new Set(['warn', 'error']));
    const silent: unknown[] = [];
    const stop = logTo(() => silent.push(1));
    stop();
    stop();
    await live();
    expect(silent).toEqual([]);
  });

  test('speaks to pino, winston and console in their own ways', async () => {
    const calls: unknown[][] = [];
    const note =
      (name: string) =>
      (...args: unknown[]): void =>
        void calls.push([name, ...args]);
    const levels = {
      debug: note('debug'),
      info: note('info'),
      warn: note('warn'),
      error: note('error'),
    };
    const loggers: LogTarget[] = [
      { ...levels, bindings: () => ({}) },
      { ...levels, configure: () => {}, log: note('log') } as LogTarget,
      levels,
    ];
    const opened = { event: 'session.opened', code: null };
    const shapes = [
      ['info', expect.objectContaining(opened), expect.stringMatching(/^session to/)],
      [
        'log',
        expect.objectContaining({
          ...opened,
          level: 'info',
          message: expect.stringMatching(/^session to/),
        }),
      ],
      ['info', expect.stringMatching(/^stt: session to/), expect.objectContaining(opened)],
    ];
    for (const [index, logger] of loggers.entries()) {
      calls.length = 0;
      const stop = logTo(logger, { level: 'info' });
      await pair();
      stop();
      expect(calls).toContainEqual(shapes[index]);
    }
  });

  test('a logger that throws or rejects breaks nothing, and is told of once', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    onTestFinished(() => void process.off('warning', note));
    const bad = [
      () => {
        throw new Error('the disk is full');
      },
      () => Promise.reject(new Error('the collector is gone')),
    ];
    for (const logger of bad) {
      warnings.length = 0;
      const stop = logTo(logger as never, { streams: true });
      const both = await pair();
      const { opened, incoming } = await streamPair(both);
      await Promise.all([opened.end(), incoming.end(), opened.text(), incoming.text()]);
      await both.session.close();
      stop();
      await expect.poll(() => warnings.length).toBe(1);
      expect(warnings[0]).toMatchObject({ code: 'STT_CALLBACK' });
    }
  });

  test('refuses what is no logger, and options that cannot be', () => {
    for (const logger of [undefined, {}, { info: () => {} }, 'console']) {
      expect(() => logTo(logger as never)).toThrowError(
        expect.objectContaining({ option: 'logger' }),
      );
    }
    expect(() => logTo(console, { level: 'trace' as never })).toThrowError(
      expect.objectContaining({ option: 'level' }),
    );
    expect(() => logTo(console, { streams: 1 as never })).toThrowError(
      expect.objectContaining({ option: 'streams' }),
    );
  });
});

test('a stream that failed says by what, on its channel', async () => {
  const seen: unknown[] = [];
  const note = (message: unknown): void => void seen.push(message);
  subscribe('stt.stream.closed', note);
  onTestFinished(() => void unsubscribe('stt.stream.closed', note));
  const both = await pair();
  const { opened } = await streamPair(both);
  both.session.destroy();
  await expect.poll(() => seen.length).toBeGreaterThan(0);
  expect(seen[0]).toMatchObject({
    stream: opened,
    session: both.session,
    error: { code: 0x0201 },
    code: 0x0201,
    peer: `127.0.0.1:${both.server.address.port}`,
    timestamp: expect.any(Number),
  });
});
