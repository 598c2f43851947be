import { randomBytes } from 'node:crypto';
import type { StreamGap, SttReceiveStream, SttSendStream } from '@seigr/stt';
import { SttOptionError, toDuplex } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import type { Pair } from './pair.ts';
import { next, pair } from './pair.ts';

const KIB = 1024;

/** A one-way stream with a deadline, seen from both sides. */
async function timed(
  { session, accepted }: Pair,
  deadline: number,
): Promise<{ sending: SttSendStream; receiving: SttReceiveStream }> {
  const sending = await session.createUnidirectionalStream({ deadline });
  return { sending, receiving: await next(accepted.incomingUnidirectionalStreams) };
}

/**
 * A stream whose reader has read nothing until what was written first was too old: the sender's buffer is
 * full, a part of it is given up, and the end follows.
 */
async function stale(
  both: Pair,
): Promise<{ receiving: SttReceiveStream; sent: Buffer; ended: Promise<void> }> {
  const { sending, receiving } = await timed(both, 50);
  const sent = randomBytes(1_024 * KIB);
  // As a message it is longer than what arrives, whoever reads it so.
  sent.set([0xbf, 0xff, 0xff, 0xff]);
  await sending.write(sent.subarray(0, sent.length - 5));
  while ((both.session.stats()?.bytesGivenUp ?? 0) === 0) await both.session.ping();
  await sending.write(sent.subarray(sent.length - 5));
  // A skip uses credit, which a reader that stands still does not give: the end waits for it.
  return { receiving, sent, ended: sending.end() };
}

const small = { server: { streamRecvBuffer: 64 * KIB, recvBufferSize: 256 * KIB } };

describe('streams with a deadline', () => {
  test('in time, every byte arrives, and both sides know the deadline', async () => {
    const { session, accepted } = await pair();
    const opened = await session.createBidirectionalStream({ deadline: 20_000 });
    const incoming = await next(accepted.incomingBidirectionalStreams);
    expect([opened.deadline, incoming.deadline]).toEqual([20_000, 20_000]);
    const bytes = randomBytes(500_000);
    const read = incoming.bytes();
    await opened.write(bytes);
    await opened.end();
    expect(bytes.equals(await read)).toBe(true);
    expect(session.stats()).toMatchObject({ bytesGivenUp: 0, bytesSkipped: 0 });
    const plain = await session.createBidirectionalStream();
    expect(plain.deadline).toBeUndefined();
  });

  test('batches say exactly which bytes are missing before them', async () => {
    const both = await pair(small);
    const { receiving, sent, ended } = await stale(both);
    let offset = 0;
    let missing = 0;
    for await (const batch of receiving.batches()) {
      if (batch.gap !== undefined) {
        expect(batch.gap.offset).toBe(offset);
        expect(batch.gap.length).toBeGreaterThan(0);
        offset += batch.gap.length;
        missing += batch.gap.length;
      }
      for (const chunk of batch) {
        expect(sent.subarray(offset, offset + chunk.length).equals(chunk)).toBe(true);
        offset += chunk.length;
      }
    }
    expect(offset).toBe(sent.length);
    expect(missing).toBeGreaterThan(0);
    expect(both.accepted.stats()?.bytesSkipped).toBe(missing);
    expect(both.session.stats()?.bytesGivenUp).toBeGreaterThanOrEqual(missing);
    await Promise.all([ended, receiving.closed]);
  });

  test('`onGap` is told in order, chunk by chunk and in whole', async () => {
    const one = await stale(await pair(small));
    const gaps: StreamGap[] = [];
    let offset = 0;
    for await (const chunk of one.receiving.values({ onGap: (gap) => void gaps.push(gap) })) {
      for (const gap of gaps.splice(0)) {
        expect(gap.offset).toBe(offset);
        offset += gap.length;
      }
      expect(one.sent.subarray(offset, offset + chunk.length).equals(chunk)).toBe(true);
      offset += chunk.length;
    }
    // What came last may have been too old as well by the time that somebody read.
    for (const { length } of gaps) offset += length;
    expect(offset).toBe(one.sent.length);

    const other = await stale(await pair(small));
    let missing = 0;
    const bytes = await other.receiving.bytes({
      onGap: ({ length }) => {
        missing += length;
      },
    });
    expect(bytes.length + missing).toBe(other.sent.length);
    expect(missing).toBeGreaterThan(0);
  });

  test('whoever cannot be told of a gap fails at it, and never joins what lies around it', async () => {
    const failure = { code: 0x0301, message: expect.stringMatching(/gave up \d+ bytes/) };
    const readers: ((stream: SttReceiveStream) => Promise<unknown>)[] = [
      (stream) => stream.bytes(),
      (stream) => stream.text(),
      async (stream) => {
        for await (const _ of stream);
      },
      async (stream) => {
        for await (const _ of stream.messages({ maxSize: 2 ** 40 }));
      },
      async (stream) => {
        for await (const _ of stream.readable);
      },
    ];
    for (const read of readers) {
      const { receiving } = await stale(await pair(small));
      await expect(read(receiving)).rejects.toMatchObject(failure);
    }
    const both = await pair(small);
    const opened = await both.session.createBidirectionalStream({ deadline: 50 });
    const duplex = toDuplex(await next(both.accepted.incomingBidirectionalStreams));
    await opened.write(randomBytes(1_024 * KIB));
    while ((both.session.stats()?.bytesGivenUp ?? 0) === 0) await both.session.ping();
    const error = new Promise((resolve) => duplex.once('error', resolve));
    duplex.resume();
    expect(await error).toMatchObject(failure);
  });

  test('a deadline that cannot be is refused', async () => {
    const { session } = await pair();
    for (const deadline of [0, -1, 1.5, 86_400_001, '5' as unknown as number]) {
      await expect(session.createBidirectionalStream({ deadline })).rejects.toThrow(SttOptionError);
      await expect(session.createUnidirectionalStream({ deadline })).rejects.toThrow(
        SttOptionError,
      );
    }
  });
});
