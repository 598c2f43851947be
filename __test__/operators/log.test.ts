import { Console } from 'node:console';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { runInNewContext } from 'node:vm';
import type { LogLevel, LogOptions, LogRecord, LogTarget } from '@seigr/stt';
import { generateSeed, logTo, ReconnectingSession } from '@seigr/stt';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import winston from 'winston';
import { closedPort, endpoint, pair, streamPair } from '../contract/pair.ts';

interface Line {
  readonly level: LogLevel;
  readonly record: LogRecord;
  readonly message: string;
}

/** What a logger wrote, read back from where it wrote it. */
interface Entry {
  readonly level: string;
  readonly words: string;
  readonly record: object;
}

interface Made {
  readonly logger: LogTarget;
  readonly written: () => Promise<Entry[]>;
}

/** The loggers themselves, each writing to memory. */
const LOGGERS: Readonly<Record<string, () => Made>> = {
  pino() {
    const { stream, lines } = memory();
    const logger = pino({ level: 'debug' }, stream);
    const entry = ({ level, msg, ...record }: Record<string, unknown>): Entry => {
      return { level: pino.levels.labels[level as number] ?? '', words: msg as string, record };
    };
    return { logger, written: async () => lines().map((line) => entry(JSON.parse(line))) };
  },
  "a child of pino's"() {
    const { stream, lines } = memory();
    const logger = pino({ level: 'debug' }, stream).child({ component: 'transport' });
    const entry = ({ level, msg, ...record }: Record<string, unknown>): Entry => {
      expect(record.component).toBe('transport');
      return { level: pino.levels.labels[level as number] ?? '', words: msg as string, record };
    };
    return { logger, written: async () => lines().map((line) => entry(JSON.parse(line))) };
  },
  winston() {
    const { stream, lines } = memory();
    const logger = winston.createLogger({
      level: 'debug',
      format: winston.format.json(),
      transports: [new winston.transports.Stream({ stream })],
    });
    const written = async (): Promise<Entry[]> => {
      logger.end();
      await once(logger, 'finish');
      return lines().map((line) => {
        const { level, message, ...record } = JSON.parse(line);
        return { level, words: message, record };
      });
    };
    return { logger, written };
  },
  console() {
    // One stream for what is no trouble, another for what is, as a process has them.
    const [out, err] = [memory(), memory()];
    const inspectOptions = { breakLength: Number.POSITIVE_INFINITY, compact: true };
    const logger = new Console({ stdout: out.stream, stderr: err.stream, inspectOptions });
    const entries = (level: string, lines: string[]): Entry[] =>
      lines.map((line) => {
        const [, words = '', record = ''] = /^stt: (.*?) (\{ event: .*\})$/.exec(line) ?? [];
        return { level, words, record: runInNewContext(`(${record})`) };
      });
    const written = async (): Promise<Entry[]> => [
      ...entries('info', out.lines()),
      ...entries('error', err.lines()),
    ];
    return { logger, written };
  },
};

/** A stream that keeps what is written to it, a line an entry. */
function memory(): { readonly stream: Writable; readonly lines: () => string[] } {
  let text = '';
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  return { stream, lines: () => text.split('\n').filter((line) => line !== '') };
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
      retry: { attempts: 2, base: 1, deadline: 60_000 },
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

  test.each(Object.entries(LOGGERS))(
    'writes to %s: the record, the words, the level',
    async (_, make) => {
      const { logger, written } = make();
      const stop = logTo(logger, { level: 'info' });
      const { server } = await pair();
      const port = await closedPort();
      const client = await endpoint();
      await client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' }).catch(() => {});
      stop();
      const entries = await written();
      expect(entries).toContainEqual({
        level: 'info',
        words: expect.stringMatching(/^session to 127\.0\.0\.1:\d+ opened$/),
        record: expect.objectContaining({
          event: 'session.opened',
          code: null,
          peer: `127.0.0.1:${server.address.port}`,
          timestamp: expect.any(Number),
          initiator: true,
        }),
      });
      expect(entries).toContainEqual({
        level: 'error',
        words: expect.stringContaining(`connect to 127.0.0.1:${port} failed`),
        record: expect.objectContaining({
          event: 'connect.failed',
          code: '0x0102',
          peer: `127.0.0.1:${port}`,
          timestamp: expect.any(Number),
          errorMessage: expect.any(String),
        }),
      });
    },
  );

  test.skipIf(process.platform === 'win32')(
    'names the peer, the code and whose doing it was also outside any session',
    async () => {
      const seen = lines();
      const server = await endpoint();
      server.serve(() => {});
      const stranger = await endpoint({ host: '0.0.0.0' });
      const any = { peerNodeId: 'any', timeout: 1_000 };
      await stranger.connect(`127.0.0.1:${server.address.port}`, any).catch(() => {});
      // The system lets nobody broadcast who has not asked for it.
      await stranger.connect('255.255.255.255:9', any).catch(() => {});
      const of = (event: string): LogRecord | undefined =>
        seen.find(({ record }) => record.event === event)?.record;
      expect(of('endpoint.handshakeError')).toMatchObject({
        code: '0x0103',
        origin: 'transport',
        peer: `127.0.0.1:${stranger.address.port}`,
      });
      expect(of('endpoint.sendError')).toMatchObject({
        code: '0x0501',
        origin: 'path',
        peer: '255.255.255.255:9',
      });
      expect(seen.find(({ record }) => record.event === 'endpoint.sendError')?.message).toMatch(
        /^1 datagram not sent: /,
      );
    },
  );

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
  const told = () => seen.find((message) => (message as { stream: unknown }).stream === opened);
  await expect.poll(told).toBeDefined();
  expect(told()).toMatchObject({
    session: both.session,
    error: { code: 0x0201 },
    code: 0x0201,
    peer: `127.0.0.1:${both.server.address.port}`,
    timestamp: expect.any(Number),
  });
});
