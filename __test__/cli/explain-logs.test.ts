import { Console } from 'node:console';
import { once } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { inspect } from 'node:util';
import type { LogTarget } from '@seigr/stt';
import { generateSeed, logTo, SttEndpoint } from '@seigr/stt';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import winston from 'winston';
import { codeOf, findErrors } from '../../ts/cli/explain/find.ts';
import { closedPort } from '../contract/pair.ts';

/** What is in a log, as code, reason and count. */
async function found(text: string): Promise<string[]> {
  const all = await findErrors(Readable.from([text]));
  return all.map(({ question, count }) =>
    [codeOf(question), question.reason, `${count}x`].filter(Boolean).join(' '),
  );
}

function memory(): { stream: Writable; text: () => string } {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      done();
    },
  });
  return { stream, text: () => chunks.join('') };
}

/** Loggers in the shapes in which people run them. */
const LOGGERS: Readonly<Record<string, (stream: Writable) => LogTarget>> = {
  pino: (stream) => pino({ level: 'debug' }, stream),
  "winston's JSON": (stream) => viaWinston(stream, winston.format.json()),
  "winston's simple text": (stream) => viaWinston(stream, winston.format.simple()),
  'winston in colours': (stream) =>
    viaWinston(stream, winston.format.combine(winston.format.cli(), winston.format.simple())),
  console: (stream) => new Console(stream, stream),
  'console on one line': (stream) =>
    new Console({
      stdout: stream,
      stderr: stream,
      inspectOptions: { breakLength: Number.POSITIVE_INFINITY, compact: true },
    }),
  'a function of mine': (stream) => (level, record, message) =>
    void stream.write(
      `${new Date().toISOString()} ${level} ${message} ${JSON.stringify(record)}\n`,
    ),
};

function viaWinston(stream: Writable, format: winston.Logform.Format): LogTarget {
  return winston.createLogger({
    level: 'debug',
    format,
    transports: [new winston.transports.Stream({ stream })],
  });
}

/** A connect that nobody answers, twice, and one of another seed: what happens to all loggers at once. */
async function trouble(): Promise<Error[]> {
  const server = await SttEndpoint.create({ sharedSeed: generateSeed(), host: '127.0.0.1' });
  server.serve(() => undefined);
  const client = await SttEndpoint.create({ sharedSeed: generateSeed(), host: '127.0.0.1' });
  onTestFinished(() => {
    server.destroy();
    client.destroy();
  });
  const options = { peerNodeId: 'any', transport: 'udp' } as const;
  const port = await closedPort();
  const errors: Error[] = [];
  for (const to of [port, port, server.address.port]) {
    await client
      .connect(`127.0.0.1:${to}`, options)
      .catch((error: unknown) => errors.push(error as Error));
  }
  return errors;
}

describe('stt explain - reads', () => {
  test('what logTo() writes by every logger', async () => {
    const made = Object.entries(LOGGERS).map(([name, make]) => {
      const { stream, text } = memory();
      const logger = make(stream);
      return { name, text, stop: logTo(logger, { level: 'error' }) };
    });
    await trouble();
    for (const { stop } of made) stop();
    // Winston writes in a turn of its own.
    await new Promise((resolve) => setImmediate(resolve));
    for (const { name, text } of made) {
      // The responder's log has nothing at that level.
      expect([name, await found(text())]).toEqual([name, ['0x0102 2x', '0x0103_03 1x']]);
    }
  });

  test('errors themselves, by whatever way they were printed', async () => {
    const [refused, , seed] = await trouble();
    const { stream, text } = memory();
    const log = pino({}, stream);
    log.error({ err: seed }, 'it failed');
    log.error(refused, 'it failed');
    const printed = {
      'JSON.stringify': JSON.stringify(seed),
      'as a field': JSON.stringify({ level: 'error', details: { error: seed } }),
      inspect: inspect(seed),
      'inspect after words': `2026-11-27 it failed: ${inspect(seed, { compact: false })}`,
      'its stack': `${seed?.stack}\n    at nowhere`,
      'as a cause': inspect(new Error('the upload failed', { cause: seed })),
    };
    for (const [how, shown] of Object.entries(printed)) {
      // A stack has the name of the class, and nothing of the sub-code.
      const code = how === 'its stack' ? '0x0103' : '0x0103_03';
      expect([how, await found(shown)]).toEqual([how, [`${code} 1x`]]);
      const twice = await found(`${shown}\n${shown}\n`);
      expect([how, twice]).toEqual([how, [`${code} 2x`]]);
    }
    expect(await found(text())).toEqual(['0x0103_03 1x', '0x0102 1x']);
  });

  test.each([
    ['an end with its reason', "{ code: '0x0201', reason: 'timeout' }", ['0x0201 timeout 1x']],
    [
      'the words of an end',
      '0x0201 SESSION_CLOSED: The session with 192.0.2.1:7788 has ended (error). Connect again.',
      ['0x0201 error 1x'],
    ],
    ['a code with a part', 'clock: 0x0405_02 HANDSHAKE_FAILURE', ['0x0405_02 1x']],
    ['a name of a step', 'peer said NONCE_REUSE', ['0x0405_01 1x']],
    ['a TIMEOUT that is ours', "codeName: 'TIMEOUT'", ['0x0601 1x']],
    ['a TIMEOUT that may be anybody’s', 'ERROR TIMEOUT in the database', []],
    ['codes of others', '{"code":"ENOENT","err":{"code":257}} 0x01012 A_NAME', []],
    ['a pathChange, whose reason is no end', '{"code":null,"reason":"silent"}', []],
    ['two errors in one line', 'CONNECTION_REFUSED, then TLS_ERROR', ['0x0102 1x', '0x0504 1x']],
    ['a brace that never closes', 'sent {\nTLS_ERROR\nTLS_ERROR\n', ['0x0504 2x']],
    ['a failure in colours', '\u001b[31m0x0601 TIMEOUT\u001b[0m: it took too long', ['0x0601 1x']],
    ['windows lines', 'TLS_ERROR\r\nTLS_ERROR\r\n', ['0x0504 2x']],
    ['JSON that is none', '{"code":"0x0504"', ['0x0504 1x']],
    [
      'an error within an error',
      '{"code":"0x0201","reason":"error","cause":{"code":"0x0402"}}',
      ['0x0201 error 1x', '0x0402 1x'],
    ],
  ])('%s', async (_, text, expected) => {
    expect(await found(text)).toEqual(expected);
  });

  test('a log of any length, in pieces cut anywhere, and one line without an end', async () => {
    const line = 'stt: connect failed: 0x0101 CONNECTION_TIMEOUT: nobody answered\n';
    const text = line.repeat(5_000);
    const pieces: string[] = [];
    for (let at = 0; at < text.length; at += 999) pieces.push(text.slice(at, at + 999));
    const [one, ...more] = await findErrors(Readable.from(pieces));
    expect([one?.count, more]).toEqual([5_000, []]);
    const endless = Readable.from(Array.from({ length: 16 }, () => `${'{'.repeat(100_000)} `));
    expect(await findErrors(endless)).toEqual([]);
    // Bytes that are no text.
    const noise = new Readable({ read() {} });
    noise.push(Buffer.from(Array.from({ length: 10_000 }, (_, index) => (index * 97) % 256)));
    noise.push(null);
    const over = once(noise, 'end');
    expect(await findErrors(noise)).toEqual([]);
    await over;
  });
});
