import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { SttError, SttSession, SttStream } from '@seigr/stt';
import { toDuplex } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import { isPending, next, pair, streamPair, TRANSPORT } from './pair.ts';

const MIB = 1024 * 1024;

describe('lent chunks', () => {
  test('are whole while the loop has them, and use few pieces of memory again and again', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const total = 32 * MIB;
    const block = randomBytes(MIB);
    const [sent, received] = [createHash('sha256'), createHash('sha256')];
    const memory = new Set<ArrayBufferLike>();
    const reading = (async () => {
      for await (const batch of incoming.batches({ lend: true })) {
        // As long as a write to a disk takes: more arrives meanwhile.
        await new Promise(setImmediate);
        for (const chunk of batch) {
          received.update(chunk);
          // Small ones are copies.
          if (chunk.length > 8 * 1024) memory.add(chunk.buffer);
        }
      }
    })();
    for (let written = 0; written < total; written += block.length) {
      sent.update(block);
      await opened.write(block);
    }
    await Promise.all([opened.end(), reading]);
    expect(received.digest('hex')).toBe(sent.digest('hex'));
    expect(memory.size).toBeGreaterThan(0);
    // Without going round, one for each 256 KiB: 128.
    expect(memory.size).toBeLessThan(32);
  });

  test('leave those that another stream keeps alone', async () => {
    const both = await pair();
    const [kept, lent] = [await streamPair(both), await streamPair(both)];
    const block = randomBytes(MIB);
    const write = async (stream: SttStream): Promise<void> => {
      for (let count = 0; count < 8; count += 1) await stream.write(block);
      await stream.end();
    };
    const chunks: Uint8Array[] = [];
    const keep = async (): Promise<void> => {
      for await (const chunk of kept.incoming) chunks.push(chunk);
    };
    const forget = async (): Promise<number> => {
      let bytes = 0;
      for await (const chunk of lent.incoming.values({ lend: true })) bytes += chunk.length;
      return bytes;
    };
    const [bytes] = await Promise.all([forget(), keep(), write(kept.opened), write(lent.opened)]);
    expect(bytes).toBe(8 * MIB);
    const all = Buffer.concat(chunks);
    expect(all.length).toBe(8 * MIB);
    for (let offset = 0; offset < all.length; offset += MIB) {
      expect(block.equals(all.subarray(offset, offset + MIB)), `at ${offset}`).toBe(true);
    }
  });
});

describe('order and pressure', () => {
  test('writes keep their order, awaited or not', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const hash = createHash('sha256');
    const read = incoming.bytes();
    for (let index = 0; index < 2_000; index += 1) {
      const chunk = Buffer.alloc(1 + ((index * 7) % 3_000), index);
      hash.update(chunk);
      const written = opened.write(chunk);
      if (index % 3 === 0) await written;
    }
    await opened.end();
    expect(
      createHash('sha256')
        .update(await read)
        .digest('hex'),
    ).toBe(hash.digest('hex'));
  });

  test('several MiB each way at once arrive whole', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const [up, down] = [randomBytes(8 * MIB), randomBytes(8 * MIB)];
    const send = async (stream: SttStream, bytes: Uint8Array): Promise<void> => {
      for (let at = 0; at < bytes.length; at += 100_000) {
        await stream.write(bytes.subarray(at, at + 100_000));
      }
      await stream.end();
    };
    const [atServer, atClient] = await Promise.all([
      incoming.bytes(),
      opened.bytes(),
      send(opened, up),
      send(incoming, down),
    ]);
    expect(up.equals(atServer)).toBe(true);
    expect(down.equals(atClient)).toBe(true);
  });

  test('a write waits while the reader does not read, and goes on when it does', async () => {
    const { opened, incoming } = await streamPair(await pair());
    let accepted = 0;
    const chunk = Buffer.alloc(MIB);
    let last: Promise<void> = opened.write(chunk);
    while (!(await isPending(last, 300))) {
      accepted += 1;
      expect(accepted).toBeLessThan(16);
      last = opened.write(chunk);
    }
    const read = incoming.bytes();
    await last;
    await opened.end();
    expect((await read).length).toBe((accepted + 1) * MIB);
  });

  test('every kind of bytes is taken', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const buffer = new Uint8Array([100, 101]).buffer;
    for (const data of [
      'å',
      Buffer.from('b'),
      new Uint8Array([99]),
      buffer,
      new DataView(buffer),
    ]) {
      await opened.write(data);
    }
    await opened.end();
    expect(await incoming.text()).toBe('åbcdede');
  });

  test('un-awaited bytes past maxPendingBytes: 0x0602, and the peer sees a reset', async () => {
    const both = await pair({ client: { maxPendingBytes: MIB } });
    const { opened, incoming } = await streamPair(both);
    const writes = Array.from({ length: 12 }, () => opened.write(Buffer.alloc(MIB)));
    const results = await Promise.allSettled(writes);
    expect(results.at(-1)).toMatchObject({ reason: { code: 0x0602 } });
    await expect(opened.write('x')).rejects.toMatchObject({ code: 0x0602 });
    await expect(opened.end()).rejects.toMatchObject({ code: 0x0602 });
    await expect(incoming.bytes()).rejects.toMatchObject({ code: 0x0301 });
  });

  test('a chunk is the reader’s to keep', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const kept: Uint8Array[] = [];
    const reading = (async () => {
      for await (const batch of incoming.batches()) kept.push(...batch);
    })();
    for (let index = 0; index < 200; index += 1) await opened.write(Buffer.alloc(20_000, index));
    await opened.end();
    await reading;
    const all = Buffer.concat(kept);
    for (let index = 0; index < 200; index += 1) {
      expect(all.subarray(index * 20_000, (index + 1) * 20_000).every((b) => b === index)).toBe(
        true,
      );
    }
  });
});

describe('no hole, no doubt', () => {
  test('a write that times out after bytes were taken ends sending and says how many', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const write = opened.write(Buffer.alloc(32 * MIB), { timeout: 200 });
    const error = await write.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 0x0601, bytesTaken: expect.any(Number) });
    expect((error as { bytesTaken: number }).bytesTaken).toBeGreaterThan(0);
    await expect(opened.write('x')).rejects.toMatchObject({ code: 0x0601 });
    await expect(opened.closed).rejects.toMatchObject({ code: 0x0601 });
    await expect(incoming.bytes()).rejects.toMatchObject({ code: 0x0301 });
  });

  test('an aborted signal rejects with its own reason', async () => {
    const { opened } = await streamPair(await pair());
    const controller = new AbortController();
    const write = opened.write(Buffer.alloc(32 * MIB), { signal: controller.signal });
    setTimeout(() => controller.abort('enough'), 50);
    await expect(write).rejects.toBe('enough');
  });
});

describe('end', () => {
  test('resolves when the peer’s transport has everything, read or not', async () => {
    const { opened, incoming } = await streamPair(await pair());
    await opened.write(Buffer.alloc(100_000));
    await opened.end({ timeout: 60_000 });
    expect((await incoming.bytes()).length).toBe(100_000);
  });

  test('times out with 0x0601 while the reader does not read', async () => {
    const { opened, incoming } = await streamPair(await pair());
    void opened.write(Buffer.alloc(8 * MIB));
    await expect(opened.end({ timeout: 200 })).rejects.toMatchObject({ code: 0x0601 });
    const read = incoming.bytes();
    await opened.end();
    expect((await read).length).toBe(8 * MIB);
  });

  test('leaves the other half as it was', async () => {
    const { opened, incoming } = await streamPair(await pair());
    await opened.end();
    expect(await incoming.text()).toBe('');
    await incoming.write('still here');
    await incoming.end();
    expect(await opened.text()).toBe('still here');
    await Promise.all([opened.closed, incoming.closed]);
  });
});

describe('reading ends only on FIN', () => {
  test('a reset throws with the peer’s code', async () => {
    const { opened, incoming } = await streamPair(await pair());
    await opened.write('begun');
    opened.reset(77);
    await expect(incoming.text()).rejects.toMatchObject({ code: 0x0301, applicationCode: 77 });
    await expect(opened.write('x')).rejects.toMatchObject({ code: 0x0301 });
  });

  test('a stop reaches the writer with its code and leaves the other half alone', async () => {
    const { opened, incoming } = await streamPair(await pair());
    incoming.stop(55);
    await expect(
      (async () => {
        while (true) await opened.write(Buffer.alloc(MIB));
      })(),
    ).rejects.toMatchObject({ code: 0x0301, applicationCode: 55 });
    await incoming.write('answer');
    await incoming.end();
    expect(await opened.text()).toBe('answer');
  });

  test('leaving a loop stops the peer and leaves the write half alone', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const writing = (async () => {
      while (true) await opened.write(Buffer.alloc(100_000));
    })();
    for await (const chunk of incoming) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    await expect(writing).rejects.toMatchObject({ code: 0x0301 });
    await incoming.write('bye');
    await incoming.end();
    expect(await opened.text()).toBe('bye');
  });

  test('preventCancel leaves it readable', async () => {
    const { opened, incoming } = await streamPair(await pair());
    await opened.write('one');
    for await (const chunk of incoming.values({ preventCancel: true })) {
      expect(Buffer.from(chunk).toString()).toBe('one');
      break;
    }
    await opened.write('two');
    await opened.end();
    expect(await incoming.text()).toBe('two');
  });

  test('a session that ends before FIN throws after what had arrived', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    await opened.write('half');
    const batches = incoming.batches();
    expect(Buffer.concat((await batches.next()).value ?? []).toString()).toBe('half');
    void both.session.close();
    await expect(batches.next()).rejects.toMatchObject({ code: 0x0201, reason: 'graceful' });
  });

  test('a pending read never blocks a reset or a close', async () => {
    const both = await pair();
    const { opened } = await streamPair(both);
    const read = opened.text();
    opened.reset(1);
    opened.stop(2);
    await expect(read).rejects.toMatchObject({ code: 0x0301 });
    await both.session.close();
  });

  test('streamIdleTimeout ends a silent stream with 0x0301', async () => {
    const both = await pair({ client: { streamIdleTimeout: 1_000 } });
    const { opened, incoming } = await streamPair(both);
    await expect(opened.text()).rejects.toMatchObject({
      code: 0x0301,
      message: expect.stringContaining('streamIdleTimeout'),
    });
    await expect(incoming.text()).rejects.toMatchObject({ code: 0x0301 });
  });
});

describe('other faces of a stream', () => {
  test('text and bytes end at their limit with 0x0602', async () => {
    const { opened, incoming } = await streamPair(await pair());
    await opened.write('0123456789');
    await expect(incoming.bytes({ limit: 9 })).rejects.toMatchObject({ code: 0x0602 });
  });

  test('messages keep their bounds', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const sizes = [0, 1, 100, 70_000];
    for (const size of sizes) await opened.writeMessage(Buffer.alloc(size, 7));
    await opened.end();
    const got: number[] = [];
    for await (const message of incoming.messages()) got.push(message.length);
    expect(got).toEqual(sizes);
  });

  test('a Duplex carries a pipeline both ways', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const [here, there] = [toDuplex(opened), toDuplex(incoming)];
    const echo = pipeline(there, there);
    const sent = randomBytes(3 * MIB);
    const received: Buffer[] = [];
    const reading = (async () => {
      for await (const chunk of here) received.push(chunk as Buffer);
    })();
    for (let at = 0; at < sent.length; at += 65_536) {
      if (!here.write(sent.subarray(at, at + 65_536))) {
        await new Promise((resolve) => here.once('drain', resolve));
      }
    }
    here.end();
    await Promise.all([reading, echo]);
    expect(Buffer.concat(received).equals(sent)).toBe(true);
  });

  test('destroying a Duplex resets both ways', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const duplex = toDuplex(opened);
    duplex.destroy();
    await expect(incoming.text()).rejects.toMatchObject({ code: 0x0301 });
  });

  test('web streams carry bytes, cancel and abort', async () => {
    const { opened, incoming } = await streamPair(await pair());
    const sent = randomBytes(MIB);
    const writing = Readable.toWeb(Readable.from([sent.subarray(0, 1_000), sent.subarray(1_000)]));
    const [, ...chunks] = await Promise.all([
      writing.pipeTo(opened.writable as never),
      ...[
        (async () => {
          const parts: Uint8Array[] = [];
          for await (const chunk of incoming.readable) parts.push(chunk);
          return Buffer.concat(parts);
        })(),
      ],
    ]);
    expect(chunks[0]?.equals(sent)).toBe(true);
    await opened.readable.cancel(5);
    await expect(
      (async () => {
        while (true) await incoming.write(Buffer.alloc(MIB));
      })(),
    ).rejects.toMatchObject({ applicationCode: 5 });
  });

  test('close ends both ways once everything is drained', async () => {
    const { opened, incoming } = await streamPair(await pair());
    void opened.write(Buffer.alloc(MIB));
    const closing = opened.close();
    expect((await incoming.bytes()).length).toBe(MIB);
    await closing;
    await expect(opened.text()).rejects.toMatchObject({ code: 0x0301 });
  });

  test('unidirectional streams have one half', async () => {
    const { session, accepted } = await pair();
    const sending = await session.createUnidirectionalStream({ purpose: 'log' });
    const receiving = await next(accepted.incomingUnidirectionalStreams);
    expect([sending.direction, receiving.direction]).toEqual(['send', 'receive']);
    expect(receiving.purpose).toBe('log');
    await sending.write('one way');
    await sending.end();
    expect(await receiving.text()).toBe('one way');
    await Promise.all([sending.closed, receiving.closed]);
    expect(() => (sending as SttStream).batches()).toThrowError(/unidirectional/);
  });
});

describe('opening', () => {
  test('the peer sees purpose, name and priority at once', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both, { purpose: 'chat', id: 42, priority: 1 });
    expect(incoming).toMatchObject({ purpose: 'chat', name: 42, priority: 1, id: opened.id });
    const back = await both.accepted.createBidirectionalStream();
    expect(back.id % 2).toBe(1);
    expect(opened.id % 2).toBe(0);
  });

  test('an error says where it happened, on both sides', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const before = Date.now();
    const reads = [opened.text(), incoming.text()].map((read) =>
      read.catch((error: unknown) => error as SttError),
    );
    opened.reset(7);
    incoming.reset(8);
    const errors = (await Promise.all(reads)) as SttError[];
    const sides = [both.session, both.accepted] as const;
    for (const [index, { context }] of errors.entries()) {
      const session = sides[index] as SttSession;
      expect(context).toEqual({
        peer: `127.0.0.1:${session.remoteAddress.port}`,
        nodeId: session.peerNodeId,
        sessionId: session.id,
        streamId: opened.id,
        transport: TRANSPORT,
        timestamp: expect.any(Number),
      });
      expect(context.timestamp).toBeGreaterThanOrEqual(before);
      expect(context.timestamp).toBeLessThanOrEqual(Date.now());
    }
  });

  test('an id in use is 0x0303', async () => {
    const both = await pair();
    await streamPair(both, { id: 7 });
    await expect(both.session.createBidirectionalStream({ id: 7 })).rejects.toMatchObject({
      code: 0x0303,
      message: expect.stringContaining('The id 7 that was chosen'),
    });
  });

  test('past the peer’s limit: 0x0302 at once, or later when it may wait', async () => {
    const both = await pair({ server: { maxConcurrentStreams: 2 } });
    const { opened, incoming } = await streamPair(both);
    await streamPair(both);
    await expect(both.session.createBidirectionalStream()).rejects.toMatchObject({
      code: 0x0302,
      message: expect.stringContaining('2'),
    });
    const waiting = both.session.createBidirectionalStream({ waitUntilAvailable: true });
    const impatient = both.session.createBidirectionalStream({
      waitUntilAvailable: true,
      timeout: 50,
    });
    await expect(impatient).rejects.toMatchObject({ code: 0x0601 });
    expect(await isPending(waiting)).toBe(true);
    await Promise.all([opened.close(), incoming.close(), pause(1)]);
    const stream = await waiting;
    await stream.write('in');
    expect(await next(both.accepted.incomingBidirectionalStreams)).toBeDefined();
  });
});
