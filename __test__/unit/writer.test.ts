import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isSttError } from '../../ts/errors/guard.ts';
import { Writer } from '../../ts/stream/writer.ts';
import { counting, ScriptedEngine } from './scripted-engine.ts';

const MAX_PENDING = 1_000;

function setUp(room: number): { engine: ScriptedEngine; writer: Writer; done: unknown[] } {
  const engine = new ScriptedEngine();
  engine.room = room;
  const done: unknown[] = [];
  return {
    engine,
    done,
    writer: new Writer(
      engine.host((error) => done.push(error)),
      MAX_PENDING,
    ),
  };
}

/** The outcome of a promise that must have settled by the next turn of the event loop. */
async function outcome(promise: Promise<unknown>): Promise<unknown> {
  const pending = Symbol('pending');
  const settled = promise.then(
    () => 'fulfilled',
    (error: unknown) => error,
  );
  await turn();
  const result = await Promise.race([settled, pending]);
  return result === pending ? 'pending' : result;
}

describe('writing', () => {
  test('with room is one call and one shared promise', async () => {
    const { engine, writer } = setUp(100);
    const first = writer.write('ab');
    const second = writer.write(new Uint8Array([1, 2]).buffer);
    expect(first).toBe(second);
    await first;
    expect(engine.calls).toEqual(['write 2', 'write 2']);
    expect(engine.taken).toEqual([97, 98, 1, 2]);
  });

  test('keeps the order of calls, awaited or not, however the room comes', async () => {
    const { engine, writer } = setUp(7);
    const writes = Array.from({ length: 20 }, (_, index) => writer.write(counting(10, index * 10)));
    while (engine.taken.length < 200) {
      engine.room += 13;
      writer.onWritable();
    }
    await Promise.all(writes);
    expect(engine.taken).toEqual([...counting(200)]);
    expect(writer.pendingBytes).toBe(0);
  });

  test('joined bytes that memory has no room for go later, and writes are refused until then', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { engine, writer, done } = setUp(100);
    engine.joining = true;
    await writer.write(counting(4));
    engine.exhausted = true;
    engine.endTick();
    for (let tries = 0; tries < 3; tries += 1) {
      const refused = writer.write(counting(4, 4)).catch((error: unknown) => error);
      await turn();
      vi.advanceTimersByTime(50);
      expect(await refused).toMatchObject({ codeName: 'RESOURCE_EXHAUSTED' });
      await turn();
    }
    engine.exhausted = false;
    vi.advanceTimersByTime(50);
    engine.joining = false;
    await writer.write(counting(4, 4));
    expect([engine.taken, writer.pendingBytes, done]).toEqual([[...counting(8)], 0, []]);
  });

  test('is refused with 0x0603 when memory is used up, and the stream is as it was', async () => {
    const { engine, writer, done } = setUp(100);
    engine.exhausted = true;
    const refused = await outcome(writer.write('abc'));
    expect(isSttError(refused, 'RESOURCE_EXHAUSTED')).toBe(true);
    expect(refused).toMatchObject({
      bytesTaken: 0,
      origin: 'local',
      message: expect.stringMatching(/1\.0 MiB of the 1\.0 MiB .*maxMemory.*3 bytes more/),
    });
    expect(writer.tryWrite('abc')).toBe(false);
    const drained = writer.drained();
    expect(await outcome(drained)).toBe('pending');
    engine.exhausted = false;
    writer.onWritable();
    await drained;
    await writer.write('def');
    expect([engine.taken, done]).toEqual([[100, 101, 102], []]);
  });

  test('waits on where memory is used up before all of it was taken', async () => {
    const { engine, writer } = setUp(2);
    const write = writer.write('abcd');
    engine.exhausted = true;
    writer.onWritable();
    expect(await outcome(write)).toBe('pending');
    engine.exhausted = false;
    engine.room = 10;
    writer.onWritable();
    await write;
    expect(engine.taken).toEqual([97, 98, 99, 100]);
  });

  test('what waits is refused once memory is used up, but for what would leave a hole', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { engine, writer, done } = setUp(2);
    const begun = writer.write('abcd');
    const behind = writer.write('ef');
    const outcomes = Promise.allSettled([behind]);
    void writer.write('gh');
    const last = writer.write('ij');
    const refused = last.catch((error: unknown) => error);
    engine.exhausted = true;
    writer.onWritable();
    expect(await refused).toMatchObject({
      codeName: 'RESOURCE_EXHAUSTED',
      bytesTaken: 0,
      message: expect.stringContaining('2 bytes more'),
    });
    expect(writer.pendingBytes).toBe(6);
    const after = writer.write('kl').catch((error: unknown) => error);
    await turn();
    vi.advanceTimersByTime(50);
    expect(await after).toMatchObject({ codeName: 'RESOURCE_EXHAUSTED' });
    await turn();
    engine.exhausted = false;
    engine.room = 100;
    vi.advanceTimersByTime(50);
    await begun;
    expect(await outcomes).toEqual([{ status: 'fulfilled', value: undefined }]);
    await writer.write('mn');
    expect([Buffer.from(engine.taken).toString(), writer.pendingBytes, done]).toEqual([
      'abcdefghmn',
      0,
      [],
    ]);
  });

  test('a write that memory has no room for is not overtaken by a smaller one', async () => {
    const { engine, writer } = setUp(3);
    engine.whole = true;
    const [first, second] = [writer.write('abcde'), writer.write('fg')];
    expect(await Promise.all([first, second].map(outcome))).toMatchObject([
      { codeName: 'RESOURCE_EXHAUSTED' },
      { codeName: 'RESOURCE_EXHAUSTED' },
    ]);
    void writer.write('abcde');
    const behind = writer.write('fg');
    await turn();
    expect(engine.taken).toEqual([]);
    engine.room = 10;
    writer.onWritable();
    await behind;
    expect(Buffer.from(engine.taken).toString()).toBe('abcdefg');
  });

  test('what is written before a refusal was seen comes in between no more', async () => {
    const { engine, writer } = setUp(2);
    await writer.write('ab');
    const refused = writer.write('cd').catch((error: unknown) => error);
    engine.exhausted = true;
    writer.onWritable();
    engine.exhausted = false;
    engine.room = 100;
    const later = writer.write('ef');
    expect(writer.tryWrite('gh')).toBe(false);
    expect(engine.taken).toHaveLength(2);
    expect(await refused).toMatchObject({ codeName: 'RESOURCE_EXHAUSTED' });
    await later;
    expect(Buffer.from(engine.taken).toString()).toBe('abef');
  });

  test('who waits for room and writes again waits, and lets others have their turn', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { engine, writer } = setUp(100);
    engine.exhausted = true;
    void writer.write('ab');
    await turn();
    engine.exhausted = false;
    // Before it would be offered again by itself.
    writer.onWritable();
    await writer.write('cd');
    await writer.drained();
    expect(Buffer.from(engine.taken).toString()).toBe('abcd');
    engine.exhausted = true;
    expect(await outcome(writer.write('ef'))).toMatchObject({ codeName: 'RESOURCE_EXHAUSTED' });
    expect(await outcome(writer.drained())).toBe('pending');
  });

  test('what waits alone is refused and tells when there is room, but not behind an end', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { engine, writer } = setUp(2);
    await writer.write('ab');
    const refused = writer.write('cd').catch((error: unknown) => error);
    engine.exhausted = true;
    writer.onWritable();
    expect(await refused).toMatchObject({ bytesTaken: 0 });
    const drained = writer.drained();
    engine.exhausted = false;
    engine.room = 2;
    writer.onWritable();
    await drained;
    const last = [writer.write('cd'), writer.write('ef')];
    const ended = writer.end();
    const written = Promise.all(last);
    engine.exhausted = true;
    writer.onWritable();
    engine.exhausted = false;
    engine.room = 100;
    vi.advanceTimersByTime(50);
    await written;
    writer.onFinished();
    await ended;
    expect(Buffer.from(engine.taken).toString()).toBe('abcdef');
  });

  test('resolves each write when its own bytes are taken', async () => {
    const { engine, writer } = setUp(5);
    const first = writer.write(counting(10));
    const second = writer.write(counting(10));
    expect(await outcome(first)).toBe('pending');
    engine.room = 5;
    writer.onWritable();
    expect(await outcome(first)).toBe('fulfilled');
    expect(await outcome(second)).toBe('pending');
  });

  test('refuses what is not bytes without breaking anything', async () => {
    const { writer } = setUp(10);
    await expect(writer.write(5 as never)).rejects.toMatchObject({ option: 'data' });
    await expect(writer.write('x', { timeout: -1 })).rejects.toMatchObject({ option: 'timeout' });
    await writer.write('x');
  });

  test('un-awaited bytes past maxPendingBytes are 0x0602 and end sending', async () => {
    const { engine, writer, done } = setUp(0);
    const held = writer.write(counting(MAX_PENDING));
    const over = writer.write('x');
    expect(await outcome(over)).toSatisfy((error) => isSttError(error, 'BUFFER_OVERFLOW'));
    expect(await outcome(held)).toSatisfy((error) => isSttError(error, 'BUFFER_OVERFLOW'));
    expect(await outcome(writer.write('y'))).toSatisfy((e) => isSttError(e, 'BUFFER_OVERFLOW'));
    expect(await outcome(writer.end())).toSatisfy((e) => isSttError(e, 'BUFFER_OVERFLOW'));
    expect(engine.calls.at(-1)).toBe('reset 1538');
    expect(done).toHaveLength(1);
  });

  test('one chunk larger than maxPendingBytes is fine when nothing waits before it', async () => {
    const { engine, writer } = setUp(10);
    const write = writer.write(new Uint8Array(5 * MAX_PENDING));
    engine.room = 5 * MAX_PENDING;
    writer.onWritable();
    expect(await outcome(write)).toBe('fulfilled');
  });
});

describe('small writes behind the first of a tick', () => {
  test('are one call at its end, and wait until then', async () => {
    const { engine, writer } = setUp(1_000);
    engine.joining = true;
    for (let n = 0; n < 20; n += 1)
      expect(writer.write(counting(10, n * 10))).toBe(writer.write(''));
    expect([engine.calls, writer.pendingBytes]).toEqual([[], 200]);
    engine.endTick();
    expect([writer.bytesWritten, writer.pendingBytes]).toEqual([200, 0]);
    expect([engine.calls, engine.taken]).toEqual([['write 200'], [...counting(200)]]);
    engine.endTick();
    expect(engine.calls).toEqual(['write 200']);
  });

  test('go before a larger one, before the end, before a reset, and at 16 KiB', async () => {
    const { engine, writer } = setUp(100_000);
    engine.joining = true;
    void writer.write('ab');
    void writer.write(counting(1_025));
    expect(engine.calls).toEqual(['write 2', 'write 1025']);
    for (let n = 0; n < 17; n += 1) void writer.write(counting(1_000));
    expect(engine.calls.slice(2)).toEqual(['write 16000']);
    void writer.end();
    expect(engine.calls.slice(3)).toEqual(['write 1000', 'finish']);
    const other = setUp(100);
    other.engine.joining = true;
    void other.writer.write('cd');
    other.writer.reset(5);
    expect(other.engine.calls).toEqual(['write 2', 'reset 5']);
  });

  test('wait in order where there is no room for them, the later ones behind', async () => {
    const { engine, writer } = setUp(25);
    engine.joining = true;
    for (let n = 0; n < 5; n += 1) await writer.write(counting(10, n * 10));
    engine.endTick();
    const later = writer.write(counting(200, 50));
    expect([writer.bytesWritten, writer.pendingBytes]).toEqual([25, 225]);
    expect(writer.tryWrite('x')).toBe(false);
    expect(await outcome(writer.drained())).toBe('pending');
    engine.room = 1_000;
    writer.onWritable();
    await later;
    expect(engine.taken).toEqual([...counting(250)]);
    expect([writer.bytesWritten, writer.pendingBytes]).toEqual([250, 0]);
  });

  test('that were all awaited are never too much', async () => {
    const { engine, writer, done } = setUp(50);
    engine.joining = true;
    for (let n = 0; n < 20; n += 1) await writer.write(counting(100));
    engine.endTick();
    expect(writer.pendingBytes).toBe(1_950);
    const large = writer.write(counting(5_000));
    expect([writer.pendingBytes, done]).toEqual([6_950, []]);
    // This one was not waited for.
    const refused = await outcome(writer.write('x'));
    expect(isSttError(refused, 'BUFFER_OVERFLOW')).toBe(true);
    expect(await outcome(large)).not.toBe('fulfilled');
  });

  test('say how much was taken when asked, and never less afterwards', async () => {
    const { engine, writer } = setUp(25);
    engine.joining = true;
    for (let n = 0; n < 5; n += 1) void writer.write(counting(10));
    expect([writer.bytesWritten, writer.pendingBytes]).toEqual([25, 25]);
    engine.endTick();
    writer.fail(new Error('gone'));
    expect(writer.bytesWritten).toBe(25);
  });

  test('are not written any more once sending has failed', async () => {
    const { engine, writer, done } = setUp(1_000);
    engine.joining = true;
    void writer.write('ab');
    writer.fail(new Error('gone'));
    engine.endTick();
    expect([engine.calls, done.length, writer.bytesWritten]).toEqual([[], 1, 0]);
    await expect(writer.write('c')).rejects.toThrow('gone');
  });

  test('that memory is short for wait until it is not', async () => {
    const { engine, writer } = setUp(1_000);
    engine.joining = true;
    engine.exhausted = true;
    await writer.write('abc');
    engine.endTick();
    expect([writer.bytesWritten, writer.pendingBytes]).toEqual([0, 3]);
    engine.exhausted = false;
    writer.onWritable();
    expect(engine.taken).toEqual([97, 98, 99]);
  });
});

describe('a write that does not make it', () => {
  test('times out with 0x0601 and bytesTaken, and ends sending when bytes were taken', async () => {
    const { engine, writer } = setUp(4);
    const write = writer.write(counting(10), { timeout: 10 });
    await expect(write).rejects.toMatchObject({ codeName: 'TIMEOUT', bytesTaken: 4 });
    await expect(writer.write('x')).rejects.toMatchObject({ codeName: 'TIMEOUT' });
    expect(engine.calls.at(-1)).toBe('reset 1537');
  });

  test('leaves sending as it was when nothing was taken and somebody waits for it', async () => {
    const { engine, writer } = setUp(0);
    await expect(writer.write('ab', { timeout: 10 })).rejects.toMatchObject({ bytesTaken: 0 });
    engine.room = 10;
    await writer.write('cd');
    expect(engine.taken).toEqual([99, 100]);
  });

  test('that nobody awaits is told by the next write: there is no hole', async () => {
    const { writer } = setUp(0);
    void writer.write('ab', { timeout: 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await expect(writer.write('cd')).rejects.toMatchObject({ codeName: 'TIMEOUT' });
  });

  test('ends sending when later writes stand behind it', async () => {
    const { writer } = setUp(0);
    const first = writer.write('ab', { timeout: 10 });
    const second = writer.write('cd');
    await expect(first).rejects.toMatchObject({ codeName: 'TIMEOUT' });
    await expect(second).rejects.toMatchObject({ codeName: 'TIMEOUT', bytesTaken: 0 });
  });

  test('rejects with the reason of an aborted signal, untouched', async () => {
    const { writer } = setUp(2);
    const controller = new AbortController();
    const reason = new Error('enough');
    const write = writer.write('abcd', { signal: controller.signal });
    controller.abort(reason);
    await expect(write).rejects.toBe(reason);
    await expect(writer.end()).rejects.toBe(reason);
    await expect(writer.write('x', { signal: AbortSignal.abort(1) })).rejects.toBe(reason);
  });

  test('tells each waiting write how much of it was taken', async () => {
    const { writer } = setUp(3);
    const writes = [writer.write('abcdef'), writer.write('ghi')];
    writer.onStopped(7);
    const [first, second] = await Promise.allSettled(writes);
    expect(first).toMatchObject({ reason: { codeName: 'STREAM_CLOSED', bytesTaken: 3 } });
    expect(second).toMatchObject({ reason: { applicationCode: 7, bytesTaken: 0 } });
  });
});

describe('ending', () => {
  test('sends FIN behind everything written and resolves at the acknowledgement', async () => {
    const { engine, writer, done } = setUp(1);
    void writer.write('abc');
    const end = writer.end();
    expect(engine.calls).not.toContain('finish');
    engine.room = 10;
    writer.onWritable();
    expect(engine.calls.at(-1)).toBe('finish');
    expect(await outcome(end)).toBe('pending');
    writer.onFinished();
    expect(await outcome(end)).toBe('fulfilled');
    expect(done).toEqual([undefined]);
    await writer.end();
  });

  test('may time out and be awaited again', async () => {
    const { writer } = setUp(1);
    await expect(writer.end({ timeout: 5 })).rejects.toMatchObject({ codeName: 'TIMEOUT' });
    const again = writer.end();
    writer.onFinished();
    await again;
  });

  test('makes a later write 0x0301 without harm to the end', async () => {
    const { writer } = setUp(1);
    const end = writer.end();
    await expect(writer.write('x')).rejects.toMatchObject({ code: 0x0301 });
    writer.onFinished();
    await end;
  });

  test('a stop by the peer after everything was acknowledged changes nothing', async () => {
    const { writer } = setUp(1);
    const end = writer.end();
    writer.onFinished();
    writer.onStopped(1);
    await end;
  });
});

describe('tryWrite', () => {
  test('takes all or nothing, and drained() tells when to try again', async () => {
    const { engine, writer } = setUp(2);
    const chunk = counting(4);
    expect(writer.tryWrite(chunk)).toBe(true);
    chunk.fill(255);
    expect(writer.tryWrite('x')).toBe(false);
    const drained = writer.drained();
    expect(await outcome(drained)).toBe('pending');
    engine.room = 10;
    writer.onWritable();
    await drained;
    expect(engine.taken).toEqual([0, 1, 2, 3]);
    expect(writer.tryWrite('x')).toBe(true);
  });
});
