import { randomBytes } from 'node:crypto';
import type { SttSession } from '@seigr/stt';
import { SttOptionError, SttStateError } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import { isPending, next, pair, relay, streamPair, TRANSPORT } from './pair.ts';

/** Datagrams as numbers, in the order in which they come, until one says `last`. */
async function collect(session: SttSession, last: number): Promise<number[]> {
  const seen: number[] = [];
  for await (const datagram of session.datagrams) {
    const number = Buffer.from(datagram).readUInt32LE();
    seen.push(number);
    if (number === last) break;
  }
  return seen;
}

function numbered(number: number, length = 4): Uint8Array {
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(number);
  return bytes;
}

/** Waits until so many datagrams went out, and checks that it is not one more. */
async function sent(session: SttSession, count: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (session.stats()?.messagesSent === count) break;
    await session.ping();
  }
  expect(session.stats()?.messagesSent).toBe(count);
}

/** Sends what marks the end until the other side has seen it: datagrams may be lost. */
async function until(session: SttSession, last: number, seen: Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    session.datagrams.trySend(numbered(last));
    if (!(await isPending(seen, 25))) return;
  }
}

describe('datagrams', () => {
  test('arrive whole, both ways, from nothing to the longest', async () => {
    const { session, accepted } = await pair();
    expect(session.datagrams.maxSize).toBeGreaterThanOrEqual(1_151);
    for (const [from, to] of [
      [session, accepted],
      [accepted, session],
    ] as const) {
      const longest = randomBytes(from.datagrams.maxSize);
      for (const sent of [longest, new Uint8Array(0), Buffer.from('ping')]) {
        await from.datagrams.send(sent);
        expect(Buffer.from(await next(to.datagrams)).equals(sent)).toBe(true);
      }
    }
    expect(session.stats()).toMatchObject({ messagesSent: 3, messagesReceived: 3 });
  });

  test('too long, no datagrams at the peer, bad data: refused at once, nothing sent', async () => {
    const both = await pair({ server: { maxDatagramSize: 100 } });
    expect(both.session.datagrams.maxSize).toBe(100);
    const long = Buffer.alloc(101);
    expect(() => both.session.datagrams.trySend(long)).toThrow(SttOptionError);
    await expect(both.session.datagrams.send(long)).rejects.toThrow(/at most 100/);
    await expect(both.session.datagrams.send(5 as unknown as string)).rejects.toThrow(
      SttOptionError,
    );
    await expect(both.session.datagrams.send('x', { timeout: -1 })).rejects.toThrow(SttOptionError);
    const none = await pair({ server: { maxDatagramSize: 0 } });
    expect(none.session.datagrams.maxSize).toBe(0);
    expect(() => none.session.datagrams.trySend('x')).toThrow(SttStateError);
    await expect(none.session.sendFrame(0x80, 'x')).rejects.toThrow(/takes no datagrams/);
    expect(none.session.stats()?.messagesSent).toBe(0);
  });

  test('come in batches, and the loops share them', async () => {
    const { session, accepted } = await pair();
    for (let number = 0; number < 100; number += 1) await session.datagrams.send(numbered(number));
    const seen = new Set<number>();
    const batches = accepted.datagrams.batches();
    while (seen.size < 100) {
      const step = await batches.next();
      for (const datagram of step.value ?? []) seen.add(Buffer.from(datagram).readUInt32LE());
      if (seen.size === 100) break;
      seen.add(Buffer.from(await next(accepted.datagrams)).readUInt32LE());
    }
    await batches.return?.();
    expect(await batches.next()).toMatchObject({ done: true });
    expect([...seen].every((number) => number < 100)).toBe(true);
  });

  test('a full queue refuses the newest, and `send` waits for room', async () => {
    const { session, accepted } = await pair({ client: { datagramSendBuffer: 16_384 } });
    const received = (async () => {
      let count = 0;
      for await (const batch of accepted.datagrams.batches()) count += batch.length;
      return count;
    })();
    let refused = 0;
    for (let number = 0; number < 1_000; number += 1) {
      refused += session.datagrams.trySend(numbered(number, 1_000)) ? 0 : 1;
    }
    expect(refused).toBeGreaterThan(0);
    await session.datagrams.send(numbered(1, 1_000));
    await sent(session, 1_001 - refused);
    expect(session.stats()).toMatchObject({ messagesDroppedSending: 0 });
    await session.close();
    expect(await received).toBeLessThanOrEqual(1_001 - refused);
  });

  test('un-awaited sends past the bound: 0x0602, and nothing is lost in silence', async () => {
    const { session } = await pair({ client: { datagramSendBuffer: 4_096 } });
    // A WebSocket takes half a megabyte at once, where UDP's first window has ten packets.
    const { count, taken } =
      TRANSPORT === 'udp' ? { count: 100, taken: 20 } : { count: 2_000, taken: 800 };
    const sends = Array.from({ length: count }, (_, index) =>
      session.datagrams.send(numbered(index, 1_000)),
    );
    const results = await Promise.allSettled(sends);
    const failed = results.filter((result) => result.status === 'rejected');
    expect(failed.length).toBeGreaterThan(count - taken);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 0x0602 });
    await session.datagrams.send('later');
    await sent(session, count + 1 - failed.length);
  });

  test('the oldest make room where that is configured, and are counted', async () => {
    const { session, accepted } = await pair({
      client: { datagramSendBuffer: 16_384, datagramSendDrop: 'oldest' },
    });
    const seen = collect(accepted, 999);
    for (let number = 0; number <= 999; number += 1) {
      expect(session.datagrams.trySend(numbered(number, 1_000))).toBe(true);
    }
    await until(session, 999, seen);
    const numbers = await seen;
    expect(numbers).toEqual([...numbers].sort((one, other) => one - other));
    const dropped = session.stats()?.messagesDroppedSending ?? 0;
    expect(dropped).toBeGreaterThan(0);
    expect(numbers.length).toBeLessThanOrEqual(1_001 - dropped);
  });

  test('a reader that does not read keeps the freshest within its bound', async () => {
    const room = 20 * (100 + 64);
    for (const drop of ['oldest', 'newest'] as const) {
      const { session, accepted } = await pair({
        server: { datagramRecvBuffer: room, datagramRecvDrop: drop },
      });
      for (let number = 0; number < 200; number += 1) {
        await session.datagrams.send(numbered(number, 100));
        // One after the other, so that the order of arrival is that of sending.
        if (number % 20 === 19) await session.ping();
      }
      await accepted.ping();
      const [batch] = await Promise.all([next(accepted.datagrams.batches())]);
      expect(batch.length).toBeLessThanOrEqual(20);
      const numbers = batch.map((datagram) => Buffer.from(datagram).readUInt32LE());
      if (drop === 'oldest') expect(Math.min(...numbers)).toBeGreaterThanOrEqual(180);
      else expect(Math.max(...numbers)).toBeLessThan(20);
      const stats = accepted.stats();
      expect(stats?.messagesReceived).toBe((stats?.messagesDroppedReceiving ?? 0) + numbers.length);
    }
  });

  test('a flood of them starves no stream, and streams starve none of them', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const bytes = randomBytes(4 * 1024 * 1024);
    let arrived = 0;
    let done = false;
    const receiving = (async () => {
      for await (const batch of both.accepted.datagrams.batches()) arrived += batch.length;
    })();
    const sending = (async () => {
      let sent = 0;
      while (!done) {
        await both.session.datagrams.send(numbered(sent, 1_000));
        sent += 1;
      }
      return sent;
    })();
    const read = incoming.bytes();
    await opened.write(bytes);
    await opened.end();
    expect(bytes.equals(await read)).toBe(true);
    const during = arrived;
    done = true;
    expect(await sending).toBeGreaterThanOrEqual(during);
    expect(during).toBeGreaterThan(50);
    await both.session.close();
    await receiving;
  });

  test('as web streams: a chunk is a datagram', async () => {
    const { session, accepted } = await pair();
    const writer = session.datagrams.writable.getWriter();
    const reader = accepted.datagrams.readable.getReader();
    for (const text of ['one', 'two', 'three']) {
      await writer.write(text);
      const { value } = await reader.read();
      expect(Buffer.from(value ?? []).toString()).toBe(text);
    }
    expect(session.datagrams.writable).toBe(session.datagrams.writable);
    await session.close();
    expect(await reader.read()).toMatchObject({ done: true });
    await expect(writer.write('late')).rejects.toMatchObject({ code: 0x0201 });
  });

  test('the end of the session ends them: well, or with the error', async () => {
    const graceful = await pair();
    const step = graceful.accepted.datagrams[Symbol.asyncIterator]().next();
    await graceful.session.datagrams.send('last words');
    expect(await step).toMatchObject({ done: false });
    const over = graceful.accepted.datagrams[Symbol.asyncIterator]().next();
    await graceful.session.close();
    expect(await over).toMatchObject({ done: true });
    expect(() => graceful.session.datagrams.trySend('x')).toThrow(
      expect.objectContaining({ code: 0x0201 }),
    );
    expect(graceful.session.datagrams.maxSize).toBe(0);

    const abrupt = await pair({ client: { datagramSendBuffer: 2_048 } });
    const failing = abrupt.session.datagrams[Symbol.asyncIterator]().next();
    abrupt.accepted.destroy();
    await expect(failing).rejects.toMatchObject({ code: 0x0201 });
    await expect(abrupt.session.datagrams.send('x')).rejects.toMatchObject({ code: 0x0201 });
  });

  test('a wait is given up by its timeout and by its signal', async () => {
    const { session, server, client } = await pair();
    await expect(next(session.datagrams.values({ timeout: 20 }))).rejects.toMatchObject({
      code: 0x0601,
    });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(next(session.datagrams.batches({ signal }))).rejects.toThrow('enough');
    // A path that is cut: the window fills, then the queue, then the wait begins.
    const { port, cut } = await relay(server.address.port);
    const cutOff = await client.connect({ address: '127.0.0.1', port }, { peerNodeId: 'any' });
    cut();
    let taken = 0;
    while (cutOff.datagrams.trySend(new Uint8Array(1_000))) taken += 1;
    expect(taken).toBeGreaterThan(200);
    let error: unknown;
    for (let tries = 0; tries < 200 && error === undefined; tries += 1) {
      error = await cutOff.datagrams
        .send(new Uint8Array(1_000), { timeout: 100 })
        .catch((reason: unknown) => reason);
    }
    expect(error).toMatchObject({ code: 0x0601 });
  });

  test('a damaged path loses some, and the others arrive intact', async () => {
    const { server, client } = await pair();
    const { port } = await relay(server.address.port, (count) => count > 12 && count % 5 === 0);
    const session = await client.connect({ address: '127.0.0.1', port }, { peerNodeId: 'any' });
    const accepted = server.sessions.find((other) => other.id === session.id) as SttSession;
    for (let number = 0; number < 300; number += 1) {
      await session.datagrams.send(numbered(number, 200));
      if (number % 10 !== 9) continue;
      const stream = await session.createUnidirectionalStream();
      await stream.end();
    }
    const received = accepted.stats()?.messagesReceived ?? 0;
    expect(received).toBeGreaterThan(150);
    expect(received).toBeLessThan(300);
    let intact = 0;
    for (const datagram of await next(accepted.datagrams.batches())) {
      const number = Buffer.from(datagram).readUInt32LE();
      if (Buffer.from(numbered(number, 200)).equals(datagram)) intact += 1;
    }
    expect(intact).toBe(received);
    expect(session.stats()?.messagesSent).toBe(300);
  });
});
