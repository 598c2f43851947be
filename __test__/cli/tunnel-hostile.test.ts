// The far side of a tunnel against peers that hold the seed and keep to nothing; and what is taken for a target.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { SttEndpoint, SttSession, SttStream } from '@seigr/stt';
import { generateSeed } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { NOT_MINE } from '../../dist/cli/purposes.js';
import { isAllowed, parseAllow, showRule } from '../../dist/cli/tunnel/allow-list.js';
import { Far } from '../../dist/cli/tunnel/far.js';
import { canonicalHost, parseLocal, parseRemote } from '../../dist/cli/tunnel/target.js';
import { endpoint } from '../contract/pair.ts';
import { MIB } from './stage.ts';
import { within } from './stt.ts';
import { dial, echo, refused, Tunnel, tcpTarget } from './tunnels.ts';

const TUNNEL = { purpose: 'stt.tunnel.1' };
const CREDIT = { purpose: 'stt.tunnel.credit.1' };
const silence = { event: () => undefined, note: () => undefined, detail: () => undefined };

/** A far side in this process, whose peers this process is. */
async function farSide(
  rules: string[],
  { maxConnections = 4, headerTimeout = 60_000 } = {},
): Promise<() => Promise<SttSession>> {
  const sharedSeed = generateSeed();
  const server: SttEndpoint = await endpoint({ sharedSeed });
  const far = new Far({
    allow: rules.map((rule) => parseAllow(rule) as NonNullable<ReturnType<typeof parseAllow>>),
    maxConnections,
    connectTimeout: 60_000,
    headerTimeout,
    output: silence as never,
  });
  const serving = far.serve(server.listen());
  serving.catch(() => undefined);
  onTestFinished(() => far.end(new Error('over')));
  const client = await endpoint({ sharedSeed });
  return () => client.connect(server.address, { peerNodeId: server.nodeId, transport: 'udp' });
}

/** A message of the conversation, whatever is in it. */
function message(body: string | Uint8Array, length?: number): Buffer {
  const bytes = Buffer.from(body as string);
  const prefix = Buffer.alloc(2);
  prefix.writeUInt16LE(length ?? bytes.length);
  return Buffer.concat([prefix, bytes]);
}

/** What the far side says, once it has said so; or the code that it ends the stream with. */
async function answer(stream: SttStream): Promise<unknown> {
  const reading = (async () => {
    let got = Buffer.alloc(0);
    for await (const chunk of stream.values({ preventCancel: true })) {
      got = Buffer.concat([got, chunk]);
      if (got.length >= 2 && got.length >= 2 + got.readUInt16LE())
        return JSON.parse(got.subarray(2, 2 + got.readUInt16LE()).toString());
    }
    return 'the end';
  })();
  return within(
    reading.catch((error: { applicationCode?: number }) => error.applicationCode ?? String(error)),
    'an answer of the far side',
  );
}

describe('a peer that keeps to nothing', () => {
  test('gets refusals for what is no header, resets for none, and nobody else notices', async () => {
    const target = await tcpTarget(echo);
    const connect = await farSide([`127.0.0.1:${target.port}`]);
    const session = await connect();
    const credit = await session.createBidirectionalStream(CREDIT);
    const say = async (bytes: Uint8Array): Promise<unknown> => {
      const stream = await session.createBidirectionalStream(TUNNEL);
      await stream.write(bytes);
      return answer(stream);
    };
    const header = (host: unknown, port: unknown = target.port, window: unknown = 1000): Buffer =>
      message(JSON.stringify({ host, port, window }));
    for (const bytes of [
      message('no JSON'),
      message('null'),
      message('[]'),
      message('{}'),
      message('', 0xffff),
      message(`{"host":"${'a'.repeat(900)}","port":1,"window":1}`),
      header('a\r\nb'),
      header('a\u0000b'),
      header('a b'),
      header('\u202eexample'),
      header('127.1'),
      header('2130706433'),
      header('0x7f.1'),
      header('fe80::1%lo'),
      header('-a'),
      header('a..b'),
      header(''),
      header({}),
      header('127.0.0.1', 0),
      header('127.0.0.1', 65_536),
      header('127.0.0.1', '80'),
      header('127.0.0.1', target.port, 0),
      header('127.0.0.1', target.port, 2 ** 40),
    ]) {
      expect([bytes.toString(), await say(bytes)]).toEqual([
        bytes.toString(),
        { accept: false, refusal: 'malformed' },
      ]);
    }
    expect(await say(header('localhost'))).toEqual({ accept: false, refusal: 'forbidden' });
    // A purpose of somebody else, and a second stream of credit: reset.
    expect(
      await answer(await session.createBidirectionalStream({ purpose: 'stt.transfer.2' })),
    ).toBe(NOT_MINE);
    expect(await answer(await session.createBidirectionalStream(CREDIT))).toBe(NOT_MINE);
    const oneWay = await session.createUnidirectionalStream(TUNNEL);
    await expect(oneWay.closed).rejects.toMatchObject({ applicationCode: 2 });
    expect(target.sockets).toHaveLength(0);
    // And what keeps to it is served in the same session.
    const good = await session.createBidirectionalStream(TUNNEL);
    await good.write(header('127.0.0.1'));
    await good.write(Buffer.from('ping'));
    expect(await answer(good)).toMatchObject({ accept: true });
    // Credit of more than can be ends the session, and so does credit that ends.
    for (let index = 0; index < 3; index += 1) {
      const record = Buffer.alloc(12 * 200, 0xff);
      for (let at = 0; at < record.length; at += 12) record.writeBigUInt64LE(BigInt(good.id), at);
      await credit.write(record).catch(() => undefined);
    }
    await expect(session.closed).rejects.toMatchObject({ code: 0x0201 });
    expect(await (await connect()).ping()).toBeGreaterThan(0);
  });

  test('gets resets in time for half a header, and for none', async () => {
    const connect = await farSide([], { headerTimeout: 2_000 });
    const session = await connect();
    await session.createBidirectionalStream(CREDIT);
    const half = await session.createBidirectionalStream(TUNNEL);
    await half.write(message('{"host"', 100));
    const none = await session.createBidirectionalStream(TUNNEL);
    expect(await Promise.all([answer(half), answer(none)])).toEqual([3, 3]);
  });

  test('without credit is no side of a tunnel: its session ends', async () => {
    const connect = await farSide([], { headerTimeout: 1_000 });
    const session = await connect();
    await within(session.settled, 'the session to end');
    const other = await connect();
    const credit = await other.createBidirectionalStream(CREDIT);
    await credit.end();
    await within(other.settled, 'the session to end');
  });

  test('that sends beyond its window is reset, and takes no place for long', async () => {
    const target = await tcpTarget();
    const connect = await farSide([`127.0.0.1:${target.port}`], {
      maxConnections: 2,
      headerTimeout: 4_000,
    });
    const session = await connect();
    await session.createBidirectionalStream(CREDIT);
    const stream = await session.createBidirectionalStream(TUNNEL);
    await stream.write(
      message(JSON.stringify({ host: '127.0.0.1', port: target.port, window: 1 })),
    );
    // Nobody reads there: once the system takes no more, every byte is one too many.
    const there = await target.next();
    there.pause();
    // Behind bytes, libuv may tell of a reset as of an end, or as what it is.
    const failed = Promise.race([once(there, 'end'), once(there, 'close')]).catch(
      ({ code }: NodeJS.ErrnoException) => expect(code).toBe('ECONNRESET'),
    );
    const sending = (async () => {
      for (;;) await stream.write(Buffer.alloc(MIB));
    })();
    await expect(within(sending, 'the far side to stop it')).rejects.toMatchObject({
      applicationCode: 5,
    });
    there.resume();
    await within(failed, 'the connection to be reset');
    // Streams that say nothing hold their places no longer than they may.
    const silent = [TUNNEL, TUNNEL].map((options) => session.createBidirectionalStream(options));
    await Promise.all(silent);
    const busy = await session.createBidirectionalStream(TUNNEL);
    expect(await answer(busy)).toEqual({ accept: false, refusal: 'busy' });
    for (const one of await Promise.all(silent)) expect(await answer(one)).toBe(3);
    const served = await session.createBidirectionalStream(TUNNEL);
    await served.write(
      message(JSON.stringify({ host: '127.0.0.1', port: target.port, window: 1 })),
    );
    expect(await answer(served)).toMatchObject({ accept: true });
  });
});

describe('a far side that keeps to nothing', () => {
  test('resets the connections of its near side, and no more', async () => {
    const tunnel = await Tunnel.make();
    const sharedSeed = Buffer.from((await readFile(tunnel.seed, 'utf8')).trim(), 'hex');
    const server = await endpoint({ sharedSeed, port: tunnel.port });
    const header = (text: string): Buffer => message(text);
    const accept = header('{"accept":true,"window":1000}');
    const says: (Buffer | 'reset')[] = [
      header('nonsense'),
      header('{"accept":true,"window":-1}'),
      header('{"accept":false,"refusal":"\\u001b[31m","code":"\\u001b[31m"}'),
      'reset',
      // More than the window of the near side, to a client that does not read.
      Buffer.concat([accept, Buffer.alloc(64 * MIB)]),
    ];
    let count = 0;
    server.serve(async (session) => {
      for await (const stream of session.incomingBidirectionalStreams) {
        if (stream.purpose === CREDIT.purpose) await stream.write(Buffer.alloc(12));
        else {
          const next = says[count];
          count += 1;
          if (next === 'reset') stream.reset(77);
          else if (next !== undefined) stream.write(next).catch(() => undefined);
        }
        // What this side would open is no part of a tunnel.
        const mine = await session.createBidirectionalStream({ purpose: 'mine' });
        await expect(answer(mine)).resolves.toBe(2);
      }
    });
    await tunnel.forward('db:5432', '--transport', 'udp');
    for (let index = 0; index < says.length; index += 1) {
      if (index < says.length - 1) expect(await refused(tunnel.local)).toBe('ECONNRESET');
      else await dial(tunnel.local);
    }
    await tunnel.near.record(({ event, reset }) => event === 'closed' && reset === true);
    tunnel.near.child.kill('SIGINT');
    const { records, stdout } = await tunnel.near.end();
    const told = records.filter(({ event }) => event === 'refused');
    expect(told.map(({ refusal }) => refusal)).toEqual(['silent', 'silent', 'failed', 'silent']);
    expect(records.filter(({ event }) => event === 'session')).toHaveLength(1);
    expect(stdout).not.toContain('\\u001b');
  });
});

describe('targets', () => {
  test('have one way to be written, and what is none is refused', () => {
    for (const [text, host] of [
      ['Example.COM', 'example.com'],
      ['example.com.', 'example.com'],
      ['_sip._tcp.example', '_sip._tcp.example'],
      ['127.0.0.1', '127.0.0.1'],
      ['[::1]', '::1'],
      ['0:0:0:0:0:0:0:1', '::1'],
      ['2001:DB8::0:1', '2001:db8::1'],
      ['a1', 'a1'],
      ['127.1', undefined],
      ['010.0.0.1', undefined],
      ['0x7f000001', undefined],
      ['1', undefined],
      ['example.com..', undefined],
      ['[::1', undefined],
      ['fe80::1%eth0', undefined],
      ['a'.repeat(64), undefined],
      [`${'a.'.repeat(127)}a`, undefined],
      ['bücher.example', undefined],
    ] as const) {
      expect([text, canonicalHost(text)]).toEqual([text, host]);
    }
    expect(parseLocal('8080')).toEqual({ host: '127.0.0.1', port: 8080 });
    expect(parseLocal('*:0')).toEqual({ host: '0.0.0.0', port: 0 });
    expect(parseLocal('[::]:80')).toEqual({ host: '::', port: 80 });
    for (const text of ['', 'here:there', ':80', '127.1:80', '65536', '::1:80'])
      expect([text, parseLocal(text)]).toEqual([text, undefined]);
    const at = (host: string, port: number) => ({ host, port });
    expect(parseRemote('laptop:db:5432')).toEqual({ peer: 'laptop', target: at('db', 5432) });
    expect(parseRemote('192.0.2.7:7789:[::1]:80')).toEqual({
      peer: '192.0.2.7:7789',
      target: at('::1', 80),
    });
    expect(parseRemote('[2001:db8::7]:7788:bücher.example:443')).toEqual({
      peer: '[2001:db8::7]:7788',
      target: at('xn--bcher-kva.example', 443),
    });
    expect(parseRemote('2001:db8::7:localhost:443')).toEqual({
      peer: '2001:db8::7',
      target: at('localhost', 443),
    });
    for (const text of [
      'laptop:80',
      'laptop:7788:80',
      'laptop::80',
      'laptop:a b:80',
      'laptop:db:0',
    ])
      expect([text, parseRemote(text)]).toEqual([text, undefined]);
  });

  test('are allowed by their host as it is written and their port, and not otherwise', () => {
    const texts = ['localhost:80', 'db.Example:5432-5439', '[0::1]:*', '10.0.0.1:22'];
    const rules = texts.map(
      (text) => parseAllow(text) as NonNullable<ReturnType<typeof parseAllow>>,
    );
    expect(rules.map(showRule)).toEqual([
      'localhost:80',
      'db.example:5432-5439',
      '[::1]:*',
      '10.0.0.1:22',
    ]);
    const may = (host: string, port: number): boolean => isAllowed(rules, { host, port });
    expect([
      may('localhost', 80),
      may('db.example', 5435),
      may('::1', 1),
      may('::1', 65_535),
    ]).toEqual([true, true, true, true]);
    expect([
      may('localhost', 81),
      may('127.0.0.1', 80),
      may('localhost.example', 80),
      may('db.example', 5440),
      may('db', 5432),
      may('::ffff:10.0.0.1', 22),
      isAllowed([], { host: 'localhost', port: 80 }),
    ]).toEqual([false, false, false, false, false, false, false]);
    for (const text of [
      '*:80',
      '*',
      'localhost',
      'localhost:',
      'a:0',
      'a:9-8',
      'a:1-65536',
      '10.0.0.0/8:80',
      'a:80,81',
    ])
      expect([text, parseAllow(text)]).toEqual([text, undefined]);
  });
});
