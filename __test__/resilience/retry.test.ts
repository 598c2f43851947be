import type { RetryEvent } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import { createError } from '../../ts/errors/create.ts';
import { CircuitOpenError, SttOptionError } from '../../ts/errors/local.ts';
import { ERROR_TABLE } from '../../ts/errors/table.ts';
import { retryPredicate } from '../../ts/resilience/codes.ts';
import type { RetryOptions } from '../../ts/resilience/policy.ts';
import { checkRetry, delayAfter, retryPolicy } from '../../ts/resilience/policy.ts';
import type { RetryHost } from '../../ts/resilience/retry.ts';
import { retrying } from '../../ts/resilience/retry.ts';

const timeout = (attempt?: number) =>
  createError(0x0101, 'nobody', attempt === undefined ? {} : { context: { attempt } });

/** A host whose time passes only in pauses and where a try says so. */
class VirtualHost implements RetryHost {
  time = 0;
  readonly pauses: number[] = [];
  readonly told: RetryEvent[] = [];
  readonly drawn: number;

  constructor(drawn = 0.5) {
    this.drawn = drawn;
  }

  now(): number {
    return this.time;
  }

  random(): number {
    return this.drawn;
  }

  async pause(ms: number): Promise<void> {
    this.pauses.push(ms);
    this.time += ms;
  }

  retrying(event: RetryEvent): void {
    this.told.push(event);
  }
}

async function failing(
  host: VirtualHost,
  options: RetryOptions,
  took = 0,
  fail: (number: number) => unknown = (number) => timeout(number),
): Promise<{ error: unknown; limits: number[] }> {
  const limits: number[] = [];
  const error = await retrying(retryPolicy(options), host, async ({ number, limit }) => {
    limits.push(limit);
    host.time += Math.min(took, limit);
    throw fail(number);
  }).catch((reason: unknown) => reason);
  return { error, limits };
}

describe('the pauses', () => {
  test('are 1, 2, 4 and 8 s at most, of five tries, and then the last error comes', async () => {
    const host = new VirtualHost();
    const { error, limits } = await failing(host, { jitter: 'none' });
    expect(host.pauses).toEqual([1_000, 2_000, 4_000, 8_000]);
    expect(limits).toEqual(Array(5).fill(Number.POSITIVE_INFINITY));
    expect(error).toMatchObject({ code: 0x0101, context: { attempt: 5 } });
  });

  test('follow base, factor and maxDelay', async () => {
    const host = new VirtualHost();
    await failing(host, { attempts: 6, base: 10, factor: 10, maxDelay: 5_000, jitter: 'none' });
    expect(host.pauses).toEqual([10, 100, 1_000, 5_000, 5_000]);
  });

  test('are drawn from the whole range by full jitter, and never below minDelay', () => {
    const policy = retryPolicy({});
    for (const [random, delay] of [
      [0, 0],
      [0.25, 1_000],
      [0.999_999, 4_000],
    ] as const) {
      expect(delayAfter(policy, 3, random)).toBe(delay);
    }
    const least = retryPolicy({ minDelay: 500 });
    expect(delayAfter(least, 1, 0)).toBe(500);
    expect(delayAfter(least, 1, 0.999_999)).toBe(1_000);
    expect(delayAfter(retryPolicy({ attempts: Number.POSITIVE_INFINITY }), 5_000, 1)).toBe(30_000);
    expect(delayAfter(retryPolicy({ base: 0 }), 5_000, 1)).toBe(0);
  });

  test('are told before they begin, and a listener that throws changes nothing', async () => {
    const warned = new Promise((resolve) => process.once('warning', resolve));
    const host = new VirtualHost();
    const seen: RetryEvent[] = [];
    const onRetry = (event: RetryEvent): void => {
      seen.push(event);
      throw new Error('mine');
    };
    await failing(host, { attempts: 3, jitter: 'none', onRetry });
    expect(seen).toMatchObject([
      { attempt: 1, delay: 1_000, error: { code: 0x0101 } },
      { attempt: 2, delay: 2_000, error: { code: 0x0101 } },
    ]);
    expect(host.told).toEqual(seen);
    expect(await warned).toMatchObject({ code: 'STT_CALLBACK' });
  });
});

describe('the deadline', () => {
  test('caps the last try by what is left, and ends where a pause would pass it', async () => {
    const host = new VirtualHost();
    const { error, limits } = await failing(host, { deadline: 12_000, jitter: 'none' }, 3_000);
    // 3 s, pause 1, 3 s, pause 2, 3 s: a pause of 4 s would end at 16 s.
    expect(limits).toEqual([12_000, 8_000, 3_000]);
    expect(host.time).toBe(12_000);
    expect(error).toMatchObject({ code: 0x0101, context: { attempt: 3 } });
  });

  test('bounds an endless policy', async () => {
    const host = new VirtualHost();
    const attempts = Number.POSITIVE_INFINITY;
    const options = { attempts, deadline: 60_000, maxDelay: 5_000, minDelay: 250 };
    const { limits } = await failing(host, options);
    expect(limits.length).toBeGreaterThan(10);
    expect(host.time).toBeLessThan(60_000);
    expect(host.time).toBeGreaterThan(54_000);
  });
});

describe('what is tried again', () => {
  const retried = (code: number, subcode?: number): boolean =>
    retryPredicate()(createError(code, 'x', { subcode }));

  test('is exactly what passes by itself', () => {
    const again = ERROR_TABLE.map(({ code }) => code).filter((code) => retried(code));
    expect(again).toEqual([0x0101, 0x0102, 0x0104, 0x0203, 0x0501, 0x0502, 0x0603]);
    expect([1, 2, 3, 4].filter((subcode) => retried(0x0405, subcode))).toEqual([2, 4]);
  });

  test('may be said by name, with the step of a handshake, or by a function', () => {
    const named = retryPredicate(['HANDSHAKE_FAILURE.NONCE_REUSE', 'TIMEOUT']);
    expect(named(createError(0x0405, 'x', { subcode: 1 }))).toBe(true);
    expect(named(createError(0x0405, 'x', { subcode: 2 }))).toBe(false);
    expect(named(createError(0x0601, 'x'))).toBe(true);
    expect(named(timeout())).toBe(false);
    expect(retryPredicate(['HANDSHAKE_FAILURE'])(createError(0x0405, 'x', { subcode: 3 }))).toBe(
      true,
    );
    const all = retryPredicate(() => true);
    expect(all(createError(0x0204, 'x'))).toBe(true);
  });

  test('is never 0x0103 or 0x0105, whatever a function says', async () => {
    for (const code of [0x0103, 0x0105]) {
      const host = new VirtualHost();
      const { error, limits } = await failing(host, { codes: () => true }, 0, () =>
        createError(code, 'no'),
      );
      expect(error).toMatchObject({ code });
      expect([limits.length, host.pauses.length]).toEqual([1, 0]);
    }
  });

  test('is nothing that is no error of the transport', async () => {
    for (const mine of [new SttOptionError('x', 'is wrong'), new Error('aborted'), 'a reason']) {
      const host = new VirtualHost();
      const { error } = await failing(host, { codes: () => true }, 0, () => mine);
      expect(error).toBe(mine);
      expect(host.pauses).toEqual([]);
    }
  });

  test('an open circuit is waited for, not asked over and over', async () => {
    const open = () => new CircuitOpenError('open', { peer: 'p', retryAfter: 7_000 });
    const host = new VirtualHost(0);
    const policy = retryPolicy({});
    const result = await retrying(policy, host, async ({ number }) => {
      if (number === 1) throw open();
      return number;
    });
    expect(result).toBe(2);
    expect(host.pauses).toEqual([7_000]);
    const late = new VirtualHost(0);
    const { error } = await failing(late, { deadline: 6_999 }, 0, open);
    expect(error).toBeInstanceOf(CircuitOpenError);
    expect(late.pauses).toEqual([]);
  });

  test('tries before count, and are followed by a pause', async () => {
    const host = new VirtualHost();
    const policy = retryPolicy({ jitter: 'none' });
    const numbers: number[] = [];
    const before = { attempts: 3, error: timeout() };
    await expect(
      retrying(
        policy,
        host,
        async ({ number }) => {
          numbers.push(number);
          throw timeout();
        },
        before,
      ),
    ).rejects.toMatchObject({ code: 0x0101 });
    expect(numbers).toEqual([4, 5]);
    expect(host.pauses).toEqual([4_000, 8_000]);
  });
});

test('options that cannot be are refused by name', () => {
  expect(checkRetry(undefined)).toBeUndefined();
  expect(checkRetry(false)).toBeUndefined();
  expect(checkRetry(true)).toMatchObject({ attempts: 5, base: 1_000, factor: 2 });
  const bad: [string, unknown][] = [
    ['retry', 5],
    ['retry', null],
    ['retry.tries', { tries: 5 }],
    ['retry.attempts', { attempts: 0 }],
    ['retry.attempts', { attempts: 1.5 }],
    ['retry.base', { base: -1 }],
    ['retry.factor', { factor: 0.5 }],
    ['retry.maxDelay', { maxDelay: Number.NaN }],
    ['retry.minDelay', { minDelay: 2, maxDelay: 1 }],
    ['retry.jitter', { jitter: 'some' }],
    ['retry.deadline', { deadline: 0 }],
    ['retry.codes', { codes: ['NO_SUCH'] }],
    ['retry.codes', { codes: 'TIMEOUT' }],
    ['retry.codes', { codes: ['AUTHENTICATION_FAILED'] }],
    ['retry.codes', { codes: ['PROTOCOL_VERSION_MISMATCH'] }],
    ['retry.onRetry', { onRetry: true }],
  ];
  for (const [option, retry] of bad) {
    expect(() => checkRetry(retry as never), JSON.stringify(retry)).toThrowError(
      expect.objectContaining({ name: 'SttOptionError', option }),
    );
  }
});
