// Small writes of one tick are joined before they cross the boundary: nothing of that may be seen but the speed.

import { describe, expect, test } from 'vitest';
import { isPending, pair, streamPair } from './pair.ts';

const MIB = 1024 * 1024;
const word = (n: number): Buffer => Buffer.from(`${String(n).padStart(9, '0')}\n`);
const words = (count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, n) => word(n)));

describe('small writes of one tick', () => {
  test('come in order, among large ones and those of other streams', async () => {
    const both = await pair();
    const [one, two] = [await streamPair(both), await streamPair(both)];
    const reads = [one.incoming.bytes(), two.incoming.bytes()];
    const sent: Buffer[][] = [[], []];
    for (let n = 0; n < 6_000; n += 1) {
      const to = n % 7 === 0 ? 1 : 0;
      const chunk = n % 97 === 0 ? Buffer.alloc(1 + ((n * 31) % 5_000), n) : word(n);
      sent[to]?.push(Buffer.from(chunk));
      const written = (to === 0 ? one : two).opened.write(chunk);
      // What was written is the caller's again once its promise is resolved.
      if (n % 11 === 0) await written.then(() => chunk.fill(0xff));
    }
    await Promise.all([one.opened.end(), two.opened.end()]);
    for (const [n, read] of reads.entries())
      expect(Buffer.concat(sent[n] ?? []).equals(await read)).toBe(true);
  });

  test('may be written over at once', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const shared = Buffer.alloc(10);
    for (let n = 0; n < 500; n += 1) {
      word(n).copy(shared);
      expect(opened.tryWrite(shared)).toBe(true);
    }
    expect(opened.bytesWritten).toBe(5_000);
    void opened.end();
    expect(Buffer.from(await incoming.bytes()).equals(words(500))).toBe(true);
  });

  test('wait like others where the reader does not read, and lose nothing', async () => {
    const both = await pair({
      server: { recvBufferSize: 262_144, streamRecvBuffer: 65_536 },
      client: { sendBufferSize: 65_536 },
    });
    const { opened, incoming } = await streamPair(both);
    let last: Promise<void> = opened.write(word(0));
    let count = 1;
    // Never a turn of the loop between: all of it is joined, piece by piece, until there is no room for one.
    while (opened.pendingBytes <= 16 * 1024) {
      last = opened.write(word(count));
      count += 1;
      expect(count).toBeLessThan(MIB);
    }
    for (let more = 0; more < 1_000; more += 1) {
      last = opened.write(word(count));
      count += 1;
    }
    expect(opened.tryWrite(word(0))).toBe(false);
    expect(await isPending(last, 100)).toBe(true);
    expect(await isPending(opened.drained(), 0)).toBe(true);
    const read = incoming.bytes({ limit: 64 * MIB });
    await last;
    await opened.end();
    expect(opened.bytesWritten).toBe(count * 10);
    expect(Buffer.from(await read).equals(words(count))).toBe(true);
  });

  test('are there when the session is closed in the same tick', async () => {
    const { session, opened, incoming } = await pair().then(async (both) => ({
      ...both,
      ...(await streamPair(both)),
    }));
    const read = incoming.bytes();
    for (let n = 0; n < 300; n += 1) void opened.write(word(n));
    void opened.end();
    const closed = session.close();
    expect(Buffer.from(await read).equals(words(300))).toBe(true);
    await closed;
  });

  test('are not lost at a close in the same tick for want of room', async () => {
    // One of these numbers leaves the last piece without room, however much of the others has gone meanwhile.
    for (let count = 6_000; count < 16_000; count += 1_500) {
      const both = await pair({
        server: { recvBufferSize: 262_144, streamRecvBuffer: 65_536 },
        client: { sendBufferSize: 65_536 },
      });
      const { opened, incoming } = await streamPair(both);
      for (let n = 0; n < count; n += 1) void opened.write(word(n));
      const closed = both.session.close();
      const read: Uint8Array[] = [];
      const reading = (async () => {
        for await (const chunk of incoming) read.push(chunk);
      })();
      // It did not end its stream.
      await expect(reading).rejects.toMatchObject({ codeName: 'SESSION_CLOSED' });
      expect(Buffer.concat(read).equals(words(count))).toBe(true);
      await closed;
    }
  });

  test('that are awaited one by one are never told that they are too many', async () => {
    const { opened, incoming } = await streamPair(
      await pair({
        server: { recvBufferSize: 262_144, streamRecvBuffer: 65_536 },
        client: { sendBufferSize: 65_536, maxPendingBytes: 1_000 },
      }),
    );
    let count = 0;
    const writing = (async () => {
      for (; count < 40_000; count += 1) await opened.write(word(count));
      await opened.end();
    })();
    expect(await isPending(writing, 100)).toBe(true);
    const read = incoming.bytes();
    await writing;
    expect(Buffer.from(await read).equals(words(40_000))).toBe(true);
  });

  test('of a stream that is then reset are no more than its reset', async () => {
    const { opened, incoming } = await streamPair(await pair());
    for (let n = 0; n < 100; n += 1) void opened.write(word(n));
    opened.reset(7);
    await expect(opened.write(word(0))).rejects.toMatchObject({ codeName: 'STREAM_CLOSED' });
    await expect(incoming.bytes()).rejects.toMatchObject({ applicationCode: 7 });
  });

  test('behind a stop of the peer are rejected as others are', async () => {
    const { opened, incoming } = await streamPair(await pair());
    incoming.stop(9);
    await expect
      .poll(async () => {
        const writes = Array.from({ length: 50 }, (_, n) => opened.write(word(n)));
        return (await Promise.allSettled(writes)).filter(({ status }) => status === 'rejected')
          .length;
      })
      .toBe(50);
    await expect(opened.write(word(0))).rejects.toMatchObject({ applicationCode: 9 });
  });
});
