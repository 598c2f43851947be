import { randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as pause } from 'node:timers/promises';
import { generateSeed, SessionClosedError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { endpoint, isPending, next, pair, relay, streamPair } from './pair.ts';

const MIB = 1024 * 1024;

describe('close', () => {
  test('drains, then gives CloseInfo; the peer sees a graceful end', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const read = incoming.bytes();
    void opened.write(Buffer.alloc(MIB));
    void opened.end();
    expect(await both.session.close()).toEqual({
      reason: 'graceful',
      initiator: 'local',
      undelivered: 0,
    });
    expect((await read).length).toBe(MIB);
    expect(await both.accepted.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
    expect(await both.session.closed).toMatchObject({ reason: 'graceful', initiator: 'local' });
    expect(await both.accepted.settled).toMatchObject({ reason: 'graceful', undelivered: 0 });
  });

  test('past its timeout: 0x0601, the session has ended, and the info counts what is lost', async () => {
    const both = await pair();
    const { opened } = await streamPair(both);
    void opened.write(Buffer.alloc(16 * MIB));
    await expect(both.session.close({ timeout: 200 })).rejects.toMatchObject({ code: 0x0601 });
    const end = await both.session.settled;
    expect(end.reason).toBe('graceful');
  });

  test('again gives the same, and every later use is 0x0201', async () => {
    const { session } = await pair();
    const [first, second] = await Promise.all([session.close(), session.close()]);
    expect(second).toEqual(first);
    const uses = [() => session.createBidirectionalStream(), () => session.ping()];
    for (const use of uses) {
      await expect(use()).rejects.toMatchObject({ code: 0x0201, reason: 'graceful' });
    }
  });

  test('every pending operation ends, on both sides, exactly once', async () => {
    const both = await pair({ server: { maxConcurrentStreams: 2 } });
    const { opened, incoming } = await streamPair(both);
    // Nobody reads this one: however fast the path is, its write waits for credit.
    const unread = await both.session.createBidirectionalStream();
    const pending = [
      opened.text(),
      incoming.text(),
      unread.write(Buffer.alloc(32 * MIB)),
      both.session.createBidirectionalStream({ waitUntilAvailable: true }),
    ];
    const settled = Promise.allSettled(pending);
    await both.session.ping();
    both.session.destroy();
    for (const result of await settled) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 0x0201 } });
    }
  });

  test('iterators end well after a graceful close and throw after any other', async () => {
    const graceful = await pair();
    const ends = (async () => {
      for await (const _ of graceful.accepted.incomingBidirectionalStreams);
      return 'over';
    })();
    await graceful.session.close();
    expect(await ends).toBe('over');
    const abrupt = await pair();
    const throws = (async () => {
      for await (const _ of abrupt.accepted.incomingBidirectionalStreams);
    })();
    abrupt.session.destroy();
    await expect(throws).rejects.toMatchObject({ code: 0x0201, reason: 'error' });
  });

  test('destroy: closed rejects on both sides with reason error', async () => {
    const { session, accepted } = await pair();
    session.destroy('a reason');
    await expect(session.closed).rejects.toBeInstanceOf(SessionClosedError);
    await expect(accepted.closed).rejects.toMatchObject({ code: 0x0201, reason: 'error' });
    expect(await accepted.settled).toMatchObject({ reason: 'error', initiator: 'remote' });
  });
});

describe('a session', () => {
  test.each([20, 1_000])('of %i pings at a time each is answered', async (count) => {
    const { session } = await pair();
    const pings = Array.from({ length: count }, () => session.ping({ timeout: 60_000 }));
    const answers = await Promise.allSettled(pings);
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(count);
  });

  test('no more than 4096 pings wait at a time, and those given up make room', async () => {
    const { session } = await pair();
    const ask = (signal?: AbortSignal): Promise<number>[] =>
      Array.from({ length: 4_096 }, () =>
        session.ping({ timeout: 20_000, ...(signal === undefined ? {} : { signal }) }),
      );
    const over = new AbortController();
    const given = new Error('given up');
    // All in one task: no answer can come in between.
    const first = ask(over.signal);
    const refused = session.ping();
    over.abort(given);
    const second = ask();
    await expect(refused).rejects.toMatchObject({ code: 0x0602 });
    for (const end of await Promise.allSettled(first)) expect(end).toMatchObject({ reason: given });
    const answers = await Promise.allSettled(second);
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(4_096);
  });

  test('ping measures the way there and back', async () => {
    const { session, accepted } = await pair();
    for (const side of [session, accepted]) {
      const started = performance.now();
      const rtt = await side.ping({ timeout: 60_000 });
      expect(rtt).toBeGreaterThan(0);
      // It lies within the call; clocks are rounded to a millisecond.
      expect(rtt).toBeLessThan(performance.now() - started + 1);
    }
  });

  test('stats are plain frozen numbers that grow', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    await opened.write(Buffer.alloc(200_000));
    await opened.end();
    await incoming.bytes();
    const stats = both.session.stats();
    expect(Object.isFrozen(stats)).toBe(true);
    expect(stats?.bytesSent).toBeGreaterThan(200_000);
    expect(stats?.packetsReceived).toBeGreaterThan(0);
    expect(stats?.smoothedRtt).toBeGreaterThan(0);
    expect(both.server.stats()?.sessions).toBe(1);
  });

  test('silence for keepAliveTimeout: 0x0202 on both sides, 0x0201 for what was pending', async () => {
    const sharedSeed = generateSeed();
    const timing = { keepAliveTimeout: 4_000, keepAliveInterval: 500 };
    const server = await endpoint({ sharedSeed, ...timing });
    const client = await endpoint({ sharedSeed, ...timing });
    const sessions = server.listen();
    const between = await relay(server.address.port);
    const session = await client.connect(`127.0.0.1:${between.port}`, { peerNodeId: 'any' });
    const accepted = await next(sessions);
    const stream = await session.createBidirectionalStream();
    const read = stream.text();
    between.cut();
    await expect(session.closed).rejects.toMatchObject({ code: 0x0202 });
    await expect(accepted.closed).rejects.toMatchObject({ code: 0x0202 });
    await expect(read).rejects.toMatchObject({
      code: 0x0201,
      reason: 'timeout',
      cause: { code: 0x0202 },
    });
    await expect(session.ping()).rejects.toMatchObject({ code: 0x0201, reason: 'timeout' });
  });

  test('keep-alives hold an idle session', async () => {
    const both = await pair({
      client: { keepAliveTimeout: 4_000, keepAliveInterval: 500 },
      server: { keepAliveTimeout: 4_000, keepAliveInterval: 500 },
    });
    expect(await isPending(both.session.closed, 6_000)).toBe(true);
    const { opened, incoming } = await streamPair(both);
    await opened.write('still here');
    await opened.end();
    expect(await incoming.text()).toBe('still here');
  });

  test('revoke: closed rejects 0x0103 at the peer, operations 0x0201, and it stays out', async () => {
    const both = await pair();
    const { opened } = await streamPair(both);
    const read = opened.text();
    both.server.revoke(both.client.nodeId);
    await expect(both.session.closed).rejects.toMatchObject({ code: 0x0103 });
    await expect(read).rejects.toMatchObject({ code: 0x0201, reason: 'auth_failure' });
    expect(await both.session.settled).toMatchObject({ reason: 'auth_failure' });
    await expect(
      both.client.connect(both.server.address, { peerNodeId: both.server.nodeId }),
    ).rejects.toMatchObject({ code: 0x0103 });
  });
});

describe('a path that damages packets', () => {
  test('loses nothing; frameError counts 0x0403 and pathWarning says to look at the network', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const client = await endpoint({ sharedSeed });
    const sessions = server.listen();
    const between = await relay(server.address.port, (count) => count > 50 && count % 7 === 0);
    const session = await client.connect(`127.0.0.1:${between.port}`, { peerNodeId: 'any' });
    const accepted = await next(sessions);
    const damaged = new Promise((resolve) => accepted.once('frameError', resolve));
    const warned = new Promise((resolve) => accepted.once('pathWarning', resolve));
    const published = new Promise((resolve) => {
      // Either side may warn first: acknowledgements are damaged, too.
      const note = (message: unknown): void => {
        if ((message as { session: unknown }).session === accepted) resolve(message);
      };
      subscribe('stt.session.pathWarning', note);
      onTestFinished(() => void unsubscribe('stt.session.pathWarning', note));
    });
    const stream = await session.createBidirectionalStream();
    const incoming = await next(accepted.incomingBidirectionalStreams);
    const sent = randomBytes(2 * MIB);
    const read = incoming.bytes();
    await stream.write(sent);
    await stream.end();
    expect(sent.equals(await read)).toBe(true);
    expect(await damaged).toMatchObject({
      code: 0x0403,
      codeName: 'CHECKSUM_MISMATCH',
      count: expect.any(Number),
    });
    // The reports are rate-limited: something has to go on moving until the next.
    const moving = setInterval(() => void session.ping(), 5);
    onTestFinished(() => clearInterval(moving));
    expect(await warned).toMatchObject({
      corruption: expect.any(Number),
      message: expect.stringContaining('damaged'),
    });
    expect(await published).toMatchObject({ session: accepted, corruption: expect.any(Number) });
  });
});

describe('no unhandled rejection', () => {
  test('whatever is left floating when a session ends', async () => {
    const seen: unknown[] = [];
    const note = (error: unknown): void => void seen.push(error);
    process.on('unhandledRejection', note);
    try {
      const both = await pair();
      const { opened, incoming } = await streamPair(both);
      void opened.write(Buffer.alloc(32 * MIB));
      void opened.end();
      void opened.text();
      void incoming.bytes();
      void incoming.drained();
      void both.session.ping();
      void both.session.createBidirectionalStream();
      void both.accepted.incomingBidirectionalStreams[Symbol.asyncIterator]().next();
      void both.session.close();
      both.accepted.destroy();
      await both.session.settled;
      await pause(50);
    } finally {
      process.off('unhandledRejection', note);
    }
    expect(seen).toEqual([]);
  });
});

describe('serve', () => {
  test('runs one handler a session; a throw ends that session only and reaches onError', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const errors: string[] = [];
    server.serve(
      async (session) => {
        const stream = await next(session.incomingBidirectionalStreams);
        if ((await stream.text()) === 'fail') throw new Error('as asked');
        await stream.write('fine');
        await stream.end();
      },
      { onError: (error) => errors.push(String(error)) },
    );
    const client = await endpoint({ sharedSeed });
    const ask = async (question: string) => {
      const session = await client.connect(server.address, { peerNodeId: server.nodeId });
      const stream = await session.createBidirectionalStream();
      await stream.write(question);
      await stream.end();
      return { session, stream };
    };
    const [failing, fine] = await Promise.all([ask('fail'), ask('work')]);
    await expect(failing.stream.text()).rejects.toMatchObject({ code: 0x0201, reason: 'error' });
    await expect(failing.session.closed).rejects.toMatchObject({ code: 0x0201 });
    expect(await fine.stream.text()).toBe('fine');
    expect(errors).toEqual(['Error: as asked']);
  });
});
