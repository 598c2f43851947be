import { randomBytes } from 'node:crypto';
import type { SttReceiveStream, SttSendStream } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import type { Pair } from './pair.ts';
import { next, pair } from './pair.ts';

/** A stream that the client opened to send, seen from both sides. */
async function oneWay(
  { session, accepted }: Pair,
  options?: Parameters<Pair['session']['createUnidirectionalStream']>[0],
): Promise<{ sending: SttSendStream; receiving: SttReceiveStream }> {
  const sending = await session.createUnidirectionalStream(options);
  return { sending, receiving: await next(accepted.incomingUnidirectionalStreams) };
}

describe('unidirectional streams', () => {
  test('both sides open their own, and each arrives whole at the other', async () => {
    const { session, accepted } = await pair();
    const payloads = [randomBytes(300_000), randomBytes(70_000)];
    const [up, down] = await Promise.all([
      session.createUnidirectionalStream({ purpose: 'up', priority: 1, id: 77 }),
      accepted.createUnidirectionalStream({ purpose: 'down' }),
    ]);
    const send = async (stream: SttSendStream, bytes: Buffer): Promise<void> => {
      await stream.write(bytes);
      await stream.end();
    };
    const [first, second] = await Promise.all([
      next(accepted.incomingUnidirectionalStreams),
      next(session.incomingUnidirectionalStreams),
    ]);
    expect(first).toMatchObject({
      purpose: 'up',
      priority: 1,
      name: 77,
      direction: 'receive',
      id: up.id,
    });
    expect(second).toMatchObject({ purpose: 'down', direction: 'receive', id: down.id });
    const [atServer, atClient] = await Promise.all([
      first.bytes(),
      second.bytes(),
      send(up, payloads[0] as Buffer),
      send(down, payloads[1] as Buffer),
    ]);
    expect(payloads[0]?.equals(atServer)).toBe(true);
    expect(payloads[1]?.equals(atClient)).toBe(true);
    await Promise.all([up.closed, down.closed, first.closed, second.closed]);
  });

  test('ids tell the kinds and the sides apart', async () => {
    const { session, accepted } = await pair();
    const ids = await Promise.all([
      session.createBidirectionalStream(),
      session.createUnidirectionalStream(),
      accepted.createBidirectionalStream(),
      accepted.createUnidirectionalStream(),
    ]);
    expect(ids.map((stream) => stream.id & 3)).toEqual([0, 2, 1, 3]);
    expect(ids.every((stream) => stream.id >= 4)).toBe(true);
  });

  test('each kind has a limit of its own, and room comes back', async () => {
    const both = await pair({ server: { maxConcurrentStreams: 2 } });
    const first = await oneWay(both);
    const second = await oneWay(both);
    await expect(both.session.createUnidirectionalStream()).rejects.toMatchObject({ code: 0x0302 });
    await both.session.createBidirectionalStream();
    const waiting = both.session.createUnidirectionalStream({ waitUntilAvailable: true });
    await first.sending.end();
    expect(await first.receiving.bytes()).toHaveLength(0);
    await (await waiting).write('x');
    const third = await next(both.accepted.incomingUnidirectionalStreams);
    expect(await next(third.values({ preventCancel: true }))).toHaveLength(1);
    second.sending.reset();
  });

  test('web streams of both ends carry the same bytes', async () => {
    const { sending, receiving } = await oneWay(await pair());
    const sent = randomBytes(200_000);
    const source = new Response(sent).body as ReadableStream<Uint8Array>;
    const [, arrived] = await Promise.all([
      source.pipeTo(sending.writable as unknown as WritableStream<Uint8Array>),
      new Response(receiving.readable as unknown as ReadableStream<Uint8Array>).arrayBuffer(),
    ]);
    expect(sent.equals(Buffer.from(arrived))).toBe(true);
  });

  test('messages keep their bounds', async () => {
    const { sending, receiving } = await oneWay(await pair());
    const messages = Array.from({ length: 50 }, (_, index) => randomBytes(index * 97));
    for (const message of messages) await sending.writeMessage(message);
    const ended = sending.end();
    let index = 0;
    for await (const message of receiving.messages()) {
      expect(messages[index]?.equals(message)).toBe(true);
      index += 1;
    }
    expect(index).toBe(50);
    await ended;
  });

  test('a reset and a stop reach the other side with their codes', async () => {
    const both = await pair();
    const one = await oneWay(both);
    const read = one.receiving.bytes();
    one.sending.reset(4_321);
    await expect(read).rejects.toMatchObject({ code: 0x0301, applicationCode: 4_321 });
    const other = await oneWay(both);
    other.receiving.stop(99);
    await expect(other.sending.closed).rejects.toMatchObject({ applicationCode: 99 });
    await expect(other.sending.write('x')).rejects.toMatchObject({ code: 0x0301 });
  });

  test('the end of the session ends them, and the iteration', async () => {
    const both = await pair();
    const { sending, receiving } = await oneWay(both);
    await sending.write('left behind');
    const step = both.session.incomingUnidirectionalStreams[Symbol.asyncIterator]().next();
    both.accepted.destroy();
    await expect(sending.closed).rejects.toMatchObject({ code: 0x0201 });
    await expect(step).rejects.toMatchObject({ code: 0x0201 });
    await expect(receiving.bytes()).rejects.toMatchObject({ code: 0x0201 });
  });
});
