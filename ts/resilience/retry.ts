import { hasBrand } from '../errors/error.ts';
import { CircuitOpenError } from '../errors/local.ts';
import { warn } from '../events.ts';
import { probeBehind } from './breakers.ts';
import type { RetryEvent, RetryPolicy } from './policy.ts';
import { delayAfter } from './policy.ts';

/** Longest pause: what a 32-bit timer holds. */
const MAX_PAUSE = 2 ** 31 - 1;

/** One try. */
export interface Attempt {
  /** Which, from 1. */
  readonly number: number;
  /** Milliseconds that it may take at most; Infinity where there is no deadline. */
  readonly limit: number;
}

/** What a retry takes from outside. */
export interface RetryHost {
  /** Milliseconds on a clock that is never set. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  /** Resolves after `ms`, or with `until`; rejects when there is no sense in going on, with the reason. */
  pause(ms: number, until?: Promise<void>): Promise<void>;
  /** Another try follows. */
  retrying(event: RetryEvent): void;
}

/**
 * Runs `attempt` until it succeeds, fails for good, or the policy is used up. The error of the last
 * try is what it throws. This side's own mistakes, and an aborted signal's reason, end it at once: they
 * are no errors of the transport.
 *
 * @param before tries that were made before, whatever came of them, after which a pause comes first.
 */
export async function retrying<Value>(
  policy: RetryPolicy,
  host: RetryHost,
  attempt: (attempt: Attempt) => Promise<Value>,
  before?: { readonly attempts: number; readonly error: Error },
): Promise<Value> {
  const deadline = host.now() + policy.deadline;
  let number = before?.attempts ?? 0;
  if (before !== undefined) await nextTry(policy, host, number, before.error, deadline);
  for (;;) {
    number += 1;
    try {
      return await attempt({ number, limit: Math.max(1, deadline - host.now()) });
    } catch (error) {
      const passes = isCircuitOpen(error) || (hasBrand(error) && policy.retries(error));
      if (!passes) throw error;
      const probe = probeBehind(error);
      if (probe !== undefined) {
        // Nothing was tried: another connect tries the peer right now, and its outcome is ours to wait for.
        await host.pause(Math.min(deadline - host.now(), MAX_PAUSE), probe);
        if (host.now() >= deadline) throw error;
        number -= 1;
        continue;
      }
      await nextTry(policy, host, number, error, deadline);
    }
  }
}

/** Waits until the next try is due; throws `error` when there is none. */
async function nextTry(
  policy: RetryPolicy,
  host: RetryHost,
  number: number,
  error: Error,
  deadline: number,
): Promise<void> {
  if (number >= policy.attempts) throw error;
  const drawn = delayAfter(policy, number, host.random());
  // A circuit that is open lets nobody through before its time.
  const delay = isCircuitOpen(error) ? Math.max(drawn, error.retryAfter) : drawn;
  if (host.now() + delay >= deadline) throw error;
  const event: RetryEvent = Object.freeze({ attempt: number, delay, error });
  host.retrying(event);
  try {
    policy.onRetry?.(event);
  } catch (thrown) {
    warn('onRetry threw', thrown);
  }
  await host.pause(delay);
}

function isCircuitOpen(error: unknown): error is CircuitOpenError {
  return error instanceof CircuitOpenError;
}
