import type { CircuitChangeEvent } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import { createError } from '../../ts/errors/create.ts';
import { CircuitOpenError, SttOptionError } from '../../ts/errors/local.ts';
import { checkBreaker, judge } from '../../ts/resilience/breaker.ts';
import { Breakers, MAX_CIRCUITS } from '../../ts/resilience/breakers.ts';
import { retryPolicy } from '../../ts/resilience/policy.ts';
import { retrying } from '../../ts/resilience/retry.ts';

const key = { host: '127.0.0.1', port: 7788, nodeId: undefined };
const fail = (code = 0x0101) => Promise.reject(createError(code, 'x'));
const succeed = () => Promise.resolve('session');

/** Breakers on a clock of the test's own. */
function breakers(options: Parameters<typeof checkBreaker>[0] = true) {
  const clock = { now: 0 };
  const events: CircuitChangeEvent[] = [];
  const resolved = checkBreaker(options);
  if (resolved === undefined) throw new Error('no options');
  const made = new Breakers(
    resolved,
    (event) => events.push(event),
    () => clock.now,
  );
  const outcome = (connect: () => Promise<unknown>, to = key) =>
    made.run(to, connect).catch((error: unknown) => error);
  return { made, clock, events, outcome, states: () => events.map(({ state }) => state) };
}

describe('a circuit', () => {
  test('opens over half of at least five connects, and refuses without trying', async () => {
    const { made, clock, events, outcome } = breakers();
    for (const connect of [succeed, succeed, fail, fail]) await outcome(connect);
    expect(made.list()).toMatchObject([{ state: 'closed', total: 4, failed: 2 }]);
    await outcome(fail);
    expect(events).toMatchObject([
      { state: 'open', peer: '127.0.0.1:7788', retryAfter: 10_000, error: { code: 0x0101 } },
    ]);
    clock.now += 4_000;
    let tried = false;
    const before = Date.now();
    const error = (await outcome(async () => {
      tried = true;
    })) as CircuitOpenError;
    expect(tried).toBe(false);
    expect(error).toBeInstanceOf(CircuitOpenError);
    expect(error).toMatchObject({
      name: 'CircuitOpenError',
      code: 'ERR_STT_CIRCUIT_OPEN',
      peer: '127.0.0.1:7788',
      retryAfter: 6_000,
      cause: { code: 0x0101 },
    });
    expect(error.until).toBeGreaterThanOrEqual(before + 6_000);
    expect(error.until).toBeLessThanOrEqual(Date.now() + 6_000);
  });

  test('stays closed at exactly half, and below the minimum', async () => {
    const { outcome, states } = breakers({ minimum: 4 });
    for (const connect of [succeed, fail, succeed, fail]) await outcome(connect);
    expect(states()).toEqual([]);
    const few = breakers();
    for (let n = 0; n < 4; n += 1) await few.outcome(fail);
    expect(few.states()).toEqual([]);
  });

  test('counts what happened within the window only, however seldom it does', async () => {
    const { clock, outcome, states, made } = breakers();
    // One failure every ten minutes is no peer to give up on.
    for (let n = 0; n < 20; n += 1) {
      await outcome(fail);
      clock.now += 600_000;
    }
    expect(states()).toEqual([]);
    expect(made.list()).toMatchObject([{ total: 0, failed: 0 }]);
    for (let n = 0; n < 5; n += 1) {
      await outcome(fail);
      clock.now += 5_000;
    }
    expect(states()).toEqual(['open']);
  });

  test('lets one connect through after the wait; the others are refused at once', async () => {
    const { clock, outcome, states } = breakers({ minimum: 1, halfOpenAfter: 1_000 });
    await outcome(fail);
    clock.now += 1_000;
    const probe = resolvers<string>();
    const first = outcome(() => probe.promise);
    expect(await outcome(succeed)).toMatchObject({ name: 'CircuitOpenError', retryAfter: 0 });
    expect(states()).toEqual(['open', 'half-open']);
    probe.resolve('session');
    expect(await first).toBe('session');
    expect(states()).toEqual(['open', 'half-open', 'closed']);
    expect(await outcome(succeed)).toBe('session');
  });

  test('waits again when the probe fails', async () => {
    const { clock, outcome, states } = breakers({ minimum: 1, halfOpenAfter: 1_000 });
    await outcome(fail);
    clock.now += 1_000;
    expect(await outcome(fail)).toMatchObject({ code: 0x0101 });
    expect(states()).toEqual(['open', 'half-open', 'open']);
    clock.now += 999;
    expect(await outcome(succeed)).toMatchObject({ name: 'CircuitOpenError', retryAfter: 1 });
    clock.now += 1;
    expect(await outcome(succeed)).toBe('session');
  });

  test('has nothing left of the past once it closes', async () => {
    const { clock, outcome, made } = breakers({ minimum: 2, halfOpenAfter: 1_000 });
    await outcome(fail);
    await outcome(fail);
    clock.now += 1_000;
    await outcome(succeed);
    expect(made.list()).toMatchObject([{ state: 'closed', total: 1, failed: 0 }]);
  });

  test('is neither closed nor held open by a probe that was given up', async () => {
    const { clock, outcome, states } = breakers({ minimum: 1, halfOpenAfter: 1_000 });
    await outcome(fail);
    clock.now += 1_000;
    const reason = new DOMException('enough', 'AbortError');
    for (const mine of [reason, new SttOptionError('x', 'y'), createError(0x0203, 'full')]) {
      expect(await outcome(() => Promise.reject(mine))).toBe(mine);
      expect(states().slice(-2)).toEqual(['half-open', 'open']);
    }
    // The next connect is the probe that none of them was.
    expect(await outcome(succeed)).toBe('session');
    expect(states().at(-1)).toBe('closed');
  });

  test('is closed by a probe that was told no: somebody answers there', async () => {
    for (const code of [0x0103, 0x0105, 0x0405]) {
      const { clock, outcome, states } = breakers({ minimum: 1, halfOpenAfter: 1_000 });
      await outcome(fail);
      clock.now += 1_000;
      expect(await outcome(() => fail(code))).toMatchObject({ code });
      expect(states().at(-1)).toBe('closed');
    }
  });

  test('is left alone by what began before it opened', async () => {
    const { clock, outcome, states, made } = breakers({ minimum: 1, halfOpenAfter: 1_000 });
    const late = resolvers<string>();
    const later = resolvers<string>();
    const old = outcome(() => late.promise);
    const older = outcome(() => later.promise);
    await outcome(fail);
    clock.now += 1_000;
    const probe = resolvers<string>();
    const probing = outcome(() => probe.promise);
    // The library is loaded by then, so that the probe is under way.
    await expect.poll(() => states()).toEqual(['open', 'half-open']);
    late.reject(createError(0x0101, 'late'));
    later.reject(new Error('given up'));
    await Promise.all([old, older]);
    expect(made.list()).toMatchObject([{ state: 'half-open' }]);
    probe.resolve('session');
    await probing;
    expect(states()).toEqual(['open', 'half-open', 'closed']);
  });
});

describe('retries that meet a half-open circuit', () => {
  /** Three connects that retry, of which the first finds the circuit ready and tries the peer. */
  async function together(attempts: number, deadline?: number) {
    const { clock, made, outcome, states } = breakers({ minimum: 1, halfOpenAfter: 1_000 });
    await outcome(fail);
    clock.now += 1_000;
    const probe = resolvers<string>();
    let connects = 0;
    const pauses: number[] = [];
    const host = {
      now: () => clock.now,
      random: () => 0.5,
      retrying: () => undefined,
      pause: async (ms: number, until?: Promise<void>) => {
        pauses.push(ms);
        if (until === undefined) clock.now += ms;
        else if (deadline === undefined) await until;
        else clock.now += ms;
      },
    };
    const policy = retryPolicy({ attempts, ...(deadline === undefined ? {} : { deadline }) });
    const numbers: number[] = [];
    const one = () =>
      retrying(policy, host, ({ number }) =>
        made.run(key, () => {
          numbers.push(number);
          connects += 1;
          return connects === 1 ? probe.promise : succeed();
        }),
      ).catch((error: unknown) => error);
    const all = [one(), one(), one()];
    await expect.poll(() => states()).toEqual(['open', 'half-open']);
    return { all, probe, pauses, numbers, clock };
  }

  test('wait for the connect that tries the peer, and lose no try by it', async () => {
    // One try each: none may be spent on the waiting.
    const { all, probe, pauses, numbers } = await together(1);
    await expect.poll(() => pauses.length).toBe(2);
    probe.resolve('session');
    expect(await Promise.all(all)).toEqual(['session', 'session', 'session']);
    expect(numbers).toEqual([1, 1, 1]);
  });

  test('go on as with any open circuit when it fails', async () => {
    const { all, probe, pauses } = await together(4);
    await expect.poll(() => pauses.length).toBe(2);
    probe.reject(createError(0x0101, 'still nobody'));
    expect(await Promise.all(all)).toEqual(['session', 'session', 'session']);
    expect(Math.max(...pauses.filter((ms) => ms < 2 ** 31 - 1))).toBeGreaterThanOrEqual(1_000);
  });

  test('wait no longer than their deadline', async () => {
    const { all, probe, clock } = await together(5, 700);
    const [, second] = await Promise.all([0, all[1], all[2]]);
    expect(second).toBeInstanceOf(CircuitOpenError);
    expect(clock.now).toBe(1_700);
    probe.resolve('session');
    expect(await all[0]).toBe('session');
  });
});

test('what counts as a failure of the way to a peer', () => {
  const verdicts = (codes: number[]) => codes.map((code) => judge(createError(code, 'x')));
  expect(new Set(verdicts([0x0101, 0x0102, 0x0104, 0x0501, 0x0502]))).toEqual(new Set(['failed']));
  expect(new Set(verdicts([0x0103, 0x0105, 0x0405]))).toEqual(new Set(['alive']));
  expect(new Set(verdicts([0x0203, 0x0603, 0x0201]))).toEqual(new Set(['silent']));
  expect(judge(new Error('mine'))).toBe('silent');
});

describe('the circuits of an endpoint', () => {
  test('are one for each host, port and node, however it is spelt', async () => {
    const { made, outcome } = breakers();
    for (const host of ['Example.COM', 'example.com', '::1', '0:0:0:0:0:0:0:1']) {
      await outcome(succeed, { ...key, host });
    }
    await outcome(succeed, { ...key, host: '::1', nodeId: 'ab' } as never);
    await outcome(succeed, { ...key, host: '::1', port: 1 });
    expect(made.list().map(({ peer, nodeId }) => `${peer} ${nodeId}`)).toEqual([
      'example.com:7788 undefined',
      '[::1]:7788 undefined',
      '[::1]:7788 ab',
      '[::1]:1 undefined',
    ]);
  });

  test('are bounded; those that are open are forgotten last', async () => {
    const { made, outcome } = breakers({ minimum: 1 });
    await outcome(fail, { ...key, port: 1 });
    for (let port = 2; port <= MAX_CIRCUITS + 100; port += 1) {
      await outcome(succeed, { ...key, port });
    }
    const list = made.list();
    expect(list).toHaveLength(MAX_CIRCUITS);
    expect(list[0]).toMatchObject({ peer: '127.0.0.1:1', state: 'open' });
    expect(list[1]).toMatchObject({ peer: '127.0.0.1:102', state: 'closed' });
  });
});

test('options that cannot be are refused by name', () => {
  expect(checkBreaker(undefined)).toBeUndefined();
  expect(checkBreaker(false)).toBeUndefined();
  const bad: [string, unknown][] = [
    ['breaker', 1],
    ['breaker', null],
    ['breaker.treshold', { treshold: 0.5 }],
    ['breaker.threshold', { threshold: 1 }],
    ['breaker.threshold', { threshold: 50 }],
    ['breaker.window', { window: 0 }],
    ['breaker.minimum', { minimum: 0 }],
    ['breaker.halfOpenAfter', { halfOpenAfter: 0.5 }],
  ];
  for (const [option, breaker] of bad) {
    expect(() => checkBreaker(breaker as never)).toThrowError(
      expect.objectContaining({ name: 'SttOptionError', option }),
    );
  }
});

interface Resolvers<Value> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
  readonly reject: (error: unknown) => void;
}

function resolvers<Value>(): Resolvers<Value> {
  let resolve!: Resolvers<Value>['resolve'];
  let reject!: Resolvers<Value>['reject'];
  const promise = new Promise<Value>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
