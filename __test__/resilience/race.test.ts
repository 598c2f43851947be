import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createError } from '../../ts/errors/create.ts';
import type { Carrier } from '../../ts/resilience/race.ts';
import { RaceMemory, raceCarriers } from '../../ts/resilience/race.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  // Whoever wins or loses, no timer is left behind.
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** A carrier that ends when the test says, or when it is cancelled, as a good one does. */
class Fake implements Carrier<string> {
  readonly name: string;
  readonly begun: number[] = [];
  readonly disposed: string[] = [];
  readonly #deaf: boolean;
  cancelled = false;
  resolve!: (value: string) => void;
  reject!: (error: unknown) => void;

  constructor(name: string, deaf = false) {
    this.name = name;
    this.#deaf = deaf;
  }

  connect(signal: AbortSignal): Promise<string> {
    this.begun.push(Date.now());
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      signal.addEventListener('abort', () => {
        this.cancelled = true;
        if (!this.#deaf) reject(signal.reason);
      });
    });
  }

  dispose(value: string): void {
    this.disposed.push(value);
  }
}

const timeout = () => createError(0x0101, 'nobody');
const wrongSeed = () => createError(0x0103, 'no');

describe('the head start', () => {
  test('is 250 ms; a carrier that wins in time has no rival', async () => {
    const [udp, ws] = [new Fake('udp'), new Fake('websocket')];
    const race = raceCarriers([udp, ws]);
    await vi.advanceTimersByTimeAsync(249);
    expect(ws.begun).toEqual([]);
    udp.resolve('session');
    expect(await race).toEqual({ transport: 'udp', value: 'session' });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ws.begun).toEqual([]);
  });

  test('over, both run, and the first to authenticate wins; the other is cancelled', async () => {
    const [udp, ws] = [new Fake('udp'), new Fake('websocket')];
    const started = Date.now();
    const race = raceCarriers([udp, ws], { headStart: 100 });
    await vi.advanceTimersByTimeAsync(100);
    expect([udp.begun, ws.begun]).toEqual([[started], [started + 100]]);
    ws.resolve('session');
    expect(await race).toEqual({ transport: 'websocket', value: 'session' });
    expect([udp.cancelled, udp.disposed]).toEqual([true, []]);
  });

  test('ends at once when the first has failed', async () => {
    const [udp, ws] = [new Fake('udp'), new Fake('websocket')];
    const race = raceCarriers([udp, ws]);
    await vi.advanceTimersByTimeAsync(10);
    udp.reject(createError(0x0102, 'refused'));
    await vi.advanceTimersByTimeAsync(0);
    expect(ws.begun).toHaveLength(1);
    ws.resolve('session');
    expect(await race).toMatchObject({ transport: 'websocket' });
  });

  test('is had by each of three in turn', async () => {
    const all = [new Fake('a'), new Fake('b'), new Fake('c')] as const;
    const race = raceCarriers(all, { headStart: 100 });
    await vi.advanceTimersByTimeAsync(150);
    all[0].reject(timeout());
    await vi.advanceTimersByTimeAsync(49);
    expect(all[2].begun).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(all[2].begun).toHaveLength(1);
    all[1].resolve('session');
    expect(await race).toMatchObject({ transport: 'b' });
  });
});

describe('a race is over', () => {
  test('a winner that comes too late is disposed of', async () => {
    const [udp, ws] = [new Fake('udp', true), new Fake('websocket')];
    const race = raceCarriers([udp, ws]);
    await vi.advanceTimersByTimeAsync(250);
    ws.resolve('first');
    await race;
    udp.resolve('late');
    await vi.advanceTimersByTimeAsync(0);
    expect([udp.disposed, ws.disposed]).toEqual([['late'], []]);
  });

  test.each([0x0103, 0x0105])('by the verdict %i of either carrier', async (code) => {
    for (const first of [true, false]) {
      const [udp, ws] = [new Fake('udp'), new Fake('websocket')];
      const race = raceCarriers([udp, ws]);
      await vi.advanceTimersByTimeAsync(250);
      const [says, other] = first ? [udp, ws] : [ws, udp];
      const error = createError(code, 'no');
      says.reject(error);
      await expect(race).rejects.toBe(error);
      expect(other.cancelled).toBe(true);
    }
  });

  test('by a verdict of the first before the second has begun', async () => {
    const [udp, ws] = [new Fake('udp'), new Fake('websocket')];
    const race = raceCarriers([udp, ws]);
    udp.reject(wrongSeed());
    await expect(race).rejects.toMatchObject({ code: 0x0103 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ws.begun).toEqual([]);
  });

  test('by the signal, with its reason', async () => {
    const [udp, ws] = [new Fake('udp'), new Fake('websocket')];
    const controller = new AbortController();
    const race = raceCarriers([udp, ws], { signal: controller.signal });
    await vi.advanceTimersByTimeAsync(250);
    const reason = new Error('changed my mind');
    controller.abort(reason);
    await expect(race).rejects.toBe(reason);
    expect([udp.cancelled, ws.cancelled]).toEqual([true, true]);
    const never = new Fake('never');
    await expect(raceCarriers([never], { signal: AbortSignal.abort('before') })).rejects.toBe(
      'before',
    );
    expect(never.begun).toEqual([]);
  });

  test('when all have failed: the error of the first, with what all said', async () => {
    const [udp, ws] = [new Fake('udp'), new Fake('websocket')];
    const race = raceCarriers([udp, ws]);
    await vi.advanceTimersByTimeAsync(250);
    const closed = createError(0x0503, 'no WebSocket server');
    const silent = timeout();
    ws.reject(closed);
    await vi.advanceTimersByTimeAsync(0);
    udp.reject(silent);
    const error = await race.catch((reason: unknown) => reason);
    expect(error).toBe(silent);
    expect(error).toMatchObject({
      attempts: [
        { transport: 'udp', error: silent },
        { transport: 'websocket', error: closed },
      ],
    });
  });

  test('also when a carrier throws instead of rejecting', async () => {
    const mine = new Error('mine');
    const bad: Carrier<string> = {
      name: 'bad',
      connect: () => {
        throw mine;
      },
      dispose: () => {},
    };
    await expect(raceCarriers([bad])).rejects.toBe(mine);
  });
});

describe('the winner is remembered', () => {
  const carriers = [new Fake('udp'), new Fake('websocket')];
  const names = (list: readonly Carrier<string>[]): string[] => list.map(({ name }) => name);

  test('per peer, for ten minutes, and begins the next race', () => {
    let now = 0;
    const memory = new RaceMemory(() => now);
    expect(names(memory.inOrder('a:1', carriers))).toEqual(['udp', 'websocket']);
    memory.remember('a:1', 'websocket');
    now = 599_999;
    expect(names(memory.inOrder('a:1', carriers))).toEqual(['websocket', 'udp']);
    expect(names(memory.inOrder('b:1', carriers))).toEqual(['udp', 'websocket']);
    now = 600_000;
    expect(memory.winner('a:1')).toBeUndefined();
  });

  test('why the other was no good is kept as long as it was, unless that one wins', () => {
    let now = 0;
    const memory = new RaceMemory(() => now);
    memory.remember('a:1', 'websocket', 'sending');
    now = 300_000;
    // It won because it was known to have won.
    memory.remember('a:1', 'websocket');
    expect(memory.note('a:1')).toBe('sending');
    now = 599_999;
    expect(memory.note('a:1')).toBe('sending');
    now = 600_000;
    expect([memory.note('a:1'), memory.winner('a:1')]).toEqual([undefined, undefined]);
    memory.remember('a:1', 'websocket', 'sending');
    memory.remember('a:1', 'udp');
    expect([memory.note('a:1'), memory.winner('a:1')]).toEqual([undefined, 'udp']);
  });

  test('of so many peers at most, the oldest forgotten first', () => {
    const memory = new RaceMemory(() => 0);
    for (let n = 0; n < 1_025; n += 1) memory.remember(`peer:${n}`, 'udp');
    expect(memory.winner('peer:0')).toBeUndefined();
    expect(memory.winner('peer:1')).toBe('udp');
    expect(memory.winner('peer:1024')).toBe('udp');
  });
});
