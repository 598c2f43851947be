import { SttOptionError } from '../errors/local.ts';
import { checkNumber, checkOneOf } from '../options.ts';
import type { RetryCode, RetryPredicate } from './codes.ts';
import { retryPredicate } from './codes.ts';

/** How `connect()` tries again. Durations in milliseconds. */
export interface RetryOptions {
  /**
   * Tries in all, the first included. `Infinity` goes on until `deadline`, or the signal.
   * @default 5
   */
  readonly attempts?: number;
  /**
   * The longest pause after the first try.
   * @default 1_000
   */
  readonly base?: number;
  /**
   * By what the longest pause grows with every try.
   * @default 2
   */
  readonly factor?: number;
  /**
   * What the longest pause never passes.
   * @default 30_000
   */
  readonly maxDelay?: number;
  /**
   * What no pause is shorter than.
   * @default 0
   */
  readonly minDelay?: number;
  /**
   * `full` draws every pause at random between `minDelay` and the longest, so that peers that failed
   * together do not come back together; `none` waits the longest.
   * @default 'full'
   */
  readonly jitter?: 'full' | 'none';
  /**
   * Milliseconds for all tries and pauses together, from the call on. The last try has what is left of
   * them; a pause that would pass them is not begun.
   * @default none
   */
  readonly deadline?: number;
  /**
   * Which errors are tried again: names, or a function. 0x0103 and 0x0105 never are.
   * @default 0x0101, 0x0102, 0x0104, 0x0203, 0x0405 (sub-codes 2 and 4), 0x0501, 0x0502, 0x0603
   */
  readonly codes?: readonly RetryCode[] | RetryPredicate;
  /** Told before every pause. What it throws becomes a warning and changes nothing. */
  readonly onRetry?: (event: RetryEvent) => void;
}

/** A try that failed and is followed by another. */
export interface RetryEvent {
  /** Which try it was, from 1. */
  readonly attempt: number;
  /** Milliseconds until the next. */
  readonly delay: number;
  /** How it failed: an `SttError`, or a `CircuitOpenError`. */
  readonly error: Error;
}

/** The same, checked. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly base: number;
  readonly factor: number;
  readonly maxDelay: number;
  readonly minDelay: number;
  readonly jitter: 'full' | 'none';
  /** Infinity: none. */
  readonly deadline: number;
  readonly retries: RetryPredicate;
  readonly onRetry: ((event: RetryEvent) => void) | undefined;
}

const MAX_MS = 2 ** 31 - 1;
const NAMES = [
  'attempts',
  'base',
  'factor',
  'maxDelay',
  'minDelay',
  'jitter',
  'deadline',
  'codes',
  'onRetry',
];

/** Checks what a caller gave; undefined: no retries. */
export function checkRetry(retry: boolean | RetryOptions | undefined): RetryPolicy | undefined {
  if (retry === undefined || retry === false) return undefined;
  return retryPolicy(retry === true ? {} : retry);
}

/**
 * The options with their defaults.
 *
 * @param option what the caller calls them.
 * @throws {SttOptionError} naming the option that cannot be, such as `retry.attempts`.
 */
export function retryPolicy(options: RetryOptions, option = 'retry'): RetryPolicy {
  if (typeof options !== 'object' || options === null) {
    throw new SttOptionError(option, 'must be true, false, or an object of options');
  }
  for (const name of Object.keys(options)) {
    if (!NAMES.includes(name))
      throw new SttOptionError(`${option}.${name}`, 'is no option of a retry');
  }
  const { attempts = 5, base = 1_000, factor = 2, maxDelay = 30_000, minDelay = 0 } = options;
  const { jitter = 'full', deadline = Number.POSITIVE_INFINITY, codes, onRetry } = options;
  if (attempts !== Number.POSITIVE_INFINITY)
    checkNumber(`${option}.attempts`, attempts, [1, MAX_MS]);
  checkNumber(`${option}.base`, base, [0, MAX_MS]);
  if (!(typeof factor === 'number' && factor >= 1 && factor <= 1_000)) {
    throw new SttOptionError(`${option}.factor`, 'must be a number from 1 to 1000');
  }
  checkNumber(`${option}.maxDelay`, maxDelay, [0, MAX_MS]);
  checkNumber(`${option}.minDelay`, minDelay, [0, maxDelay]);
  checkOneOf(`${option}.jitter`, jitter, ['full', 'none']);
  if (deadline !== Number.POSITIVE_INFINITY)
    checkNumber(`${option}.deadline`, deadline, [1, MAX_MS]);
  if (onRetry !== undefined && typeof onRetry !== 'function') {
    throw new SttOptionError(`${option}.onRetry`, 'must be a function');
  }
  const retries = retryPredicate(codes, `${option}.codes`);
  return { attempts, base, factor, maxDelay, minDelay, jitter, deadline, retries, onRetry };
}

/**
 * The pause after try number `attempt`, from 1.
 *
 * @param random in [0, 1).
 */
export function delayAfter(policy: RetryPolicy, attempt: number, random: number): number {
  const { base, factor, maxDelay, minDelay, jitter } = policy;
  // The power overflows to Infinity after many tries, and 0 times that is not a number.
  const longest = base === 0 ? 0 : Math.min(maxDelay, base * factor ** (attempt - 1));
  if (jitter === 'none') return Math.max(minDelay, longest);
  return Math.round(minDelay + random * Math.max(0, longest - minDelay));
}
