import { describe, expect, test } from 'vitest';
import { SessionClosedError } from '../../ts/errors/classes.ts';
import type { Lease } from '../../ts/native/slab.ts';
import { Reader } from '../../ts/stream/reader.ts';
import { counting, ScriptedEngine } from './scripted-engine.ts';

function setUp(): { engine: ScriptedEngine; reader: Reader; done: unknown[] } {
  const engine = new ScriptedEngine();
  const done: unknown[] = [];
  return { engine, done, reader: new Reader(engine.host((error) => done.push(error))) };
}

const NONE = new Uint8Array(0);
const sessionEnd = new SessionClosedError('over', { reason: 'timeout' });

describe('reading', () => {
  test('gives everything queued as one batch and tells the core once', async () => {
    const { engine, reader } = setUp();
    reader.onData(counting(3), false);
    reader.onData(counting(4), false);
    const step = await reader.batches().next();
    expect(step.value?.map((chunk) => chunk.length)).toEqual([3, 4]);
    expect(engine.consumedBytes).toBe(7);
  });

  test('ends only on FIN', async () => {
    const { reader, done } = setUp();
    const text = reader.bytes();
    reader.onData(counting(2), false);
    reader.onData(NONE, true);
    expect(await text).toEqual(counting(2));
    expect(done).toEqual([undefined]);
    expect(await reader.batches().next()).toEqual({ done: true, value: undefined });
  });

  test('keeps what arrived before the session ended readable, then throws', async () => {
    const { reader } = setUp();
    reader.onData(counting(2), false);
    reader.fail(sessionEnd);
    const batches = reader.batches();
    expect((await batches.next()).value).toHaveLength(1);
    await expect(batches.next()).rejects.toBe(sessionEnd);
    await expect(batches.next()).rejects.toBe(sessionEnd);
  });

  test('a session that ends after FIN does no harm', async () => {
    const { reader } = setUp();
    reader.onData(counting(2), true);
    reader.fail(sessionEnd);
    expect(await reader.bytes()).toEqual(counting(2));
  });

  test('a reset throws at once and drops what was queued', async () => {
    const { engine, reader } = setUp();
    reader.onData(counting(5), false);
    reader.onReset(9);
    await expect(reader.bytes()).rejects.toMatchObject({ code: 0x0301, applicationCode: 9 });
    expect(engine.consumedBytes).toBe(5);
  });

  test('leaving a loop asks the peer to stop; preventCancel does not, and keeps the rest', async () => {
    const { engine, reader } = setUp();
    reader.onData(counting(2), false);
    reader.onData(counting(3), false);
    for await (const chunk of reader.values({ preventCancel: true })) {
      expect(chunk).toHaveLength(2);
      break;
    }
    expect(engine.calls).toEqual([]);
    for await (const chunk of reader.values()) {
      expect(chunk).toHaveLength(3);
      break;
    }
    expect(engine.calls).toEqual(['stop 0']);
    expect(engine.consumedBytes).toBe(5);
  });

  test('after a stop of our own a read throws: it never looks like the end', async () => {
    const { reader, done } = setUp();
    const pending = reader.batches().next();
    reader.stop(3);
    await expect(pending).rejects.toMatchObject({ codeName: 'STREAM_CLOSED' });
    await expect(reader.bytes()).rejects.toMatchObject({ codeName: 'STREAM_CLOSED' });
    expect(done).toEqual([undefined]);
  });

  test('bytes() stops at its limit with 0x0602', async () => {
    const { engine, reader } = setUp();
    reader.onData(counting(5), false);
    await expect(reader.bytes({ limit: 4 })).rejects.toMatchObject({ code: 0x0602 });
    expect(engine.calls).toEqual(['stop 0']);
  });

  test('a read that times out leaves the stream readable', async () => {
    const { reader } = setUp();
    await expect(reader.batches({ timeout: 5 }).next()).rejects.toMatchObject({ code: 0x0601 });
    reader.onData(counting(1), true);
    expect(await reader.bytes()).toEqual(counting(1));
  });

  test('an aborted read rejects with the reason, and the next read gets the bytes', async () => {
    const { reader } = setUp();
    const controller = new AbortController();
    const read = reader.batches({ signal: controller.signal }).next();
    controller.abort('enough');
    await expect(read).rejects.toBe('enough');
    reader.onData(counting(1), true);
    expect(await reader.bytes()).toEqual(counting(1));
  });

  test('several reads at a time are served in order', async () => {
    const { reader } = setUp();
    const batches = reader.batches();
    const reads = [batches.next(), batches.next(), batches.next()];
    reader.onData(counting(1), false);
    reader.onData(counting(2), true);
    const [first, second, third] = await Promise.all(reads);
    expect(first?.value?.[0]).toHaveLength(1);
    expect(second?.value?.[0]).toHaveLength(2);
    expect(third).toEqual({ done: true, value: undefined });
  });
});

/** A lease that says what became of it. */
class Watched implements Lease {
  state: 'lent' | 'kept' | 'back' = 'lent';

  keep(): void {
    this.#settle('kept');
  }

  giveBack(): void {
    this.#settle('back');
  }

  #settle(state: 'kept' | 'back'): void {
    if (this.state !== 'lent') throw new Error(`${state} after ${this.state}`);
    this.state = state;
  }
}

describe('leases', () => {
  function leased(): { reader: Reader; arrive: (fin?: boolean) => Watched } {
    const { reader } = setUp();
    const arrive = (fin = false): Watched => {
      const lease = new Watched();
      reader.onData(counting(3), fin, lease);
      return lease;
    };
    return { reader, arrive };
  }

  test('a chunk is kept by whoever reads it, unless the loop said that chunks are lent', async () => {
    const { reader, arrive } = leased();
    const first = arrive();
    expect(first.state).toBe('lent');
    await reader.batches().next();
    expect(first.state).toBe('kept');
    const collected = reader.bytes();
    const second = arrive(true);
    await collected;
    expect(second.state).toBe('kept');
  });

  test("a lent chunk is the loop's until it asks for the next step", async () => {
    const { reader, arrive } = leased();
    const first = arrive();
    const batches = reader.batches({ lend: true });
    await batches.next();
    expect(first.state).toBe('lent');
    const step = batches.next();
    expect(first.state).toBe('back');
    const second = arrive(true);
    await step;
    expect(second.state).toBe('lent');
    expect(await batches.next()).toEqual({ done: true, value: undefined });
    expect(second.state).toBe('back');
  });

  test('whoever leaves a loop gives back what it was lent', async () => {
    const { reader, arrive } = leased();
    const [first, second] = [arrive(), arrive()];
    for await (const batch of reader.batches({ lend: true })) {
      expect(batch).toHaveLength(2);
      break;
    }
    expect([first.state, second.state]).toEqual(['back', 'back']);
    expect(arrive().state, 'nobody reads it').toBe('back');
  });

  test('what a loop of lent chunks did not look at stays readable, by a copy', async () => {
    const { reader, arrive } = leased();
    const first = arrive();
    const memory = counting(5);
    const second = new Watched();
    reader.onData(memory, false, second);
    for await (const chunk of reader.values({ lend: true, preventCancel: true })) {
      expect(chunk).toHaveLength(3);
      break;
    }
    expect([first.state, second.state]).toEqual(['back', 'back']);
    memory.fill(0);
    const step = await reader.batches().next();
    expect(step.value).toEqual([counting(5)]);
  });

  test('what is dropped unread is given back', () => {
    for (const drop of ['stop', 'onReset'] as const) {
      const { reader, arrive } = leased();
      const lease = arrive();
      reader[drop](1);
      expect(lease.state, drop).toBe('back');
    }
  });
});
