import { addAbortListener } from 'node:events';
import { SttTimeoutError } from './errors/classes.ts';
import type { SttErrorContext } from './errors/error.ts';
import { SttOptionError } from './errors/local.ts';
import { placeWords } from './errors/place.ts';

/** What every operation that may wait takes. */
export interface WaitOptions {
  /**
   * Milliseconds until it fails with 0x0601.
   * @default none: it waits as long as the session lives
   */
  readonly timeout?: number;
  /** Ends the wait; the promise rejects with the signal's own reason. */
  readonly signal?: AbortSignal;
}

/** Longest time that `setTimeout` keeps. */
const MAX_TIMEOUT = 2 ** 31 - 1;

const ignore = (): void => {};
const identity = (error: unknown): unknown => error;

/** The promise of everything that was done at once. */
export const DONE: Promise<void> = Promise.resolve();

/**
 * Marks a rejection as handled. An operation that nobody awaits must not end the process because of
 * what a peer did; whoever awaits it still sees the rejection.
 */
export function handled<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(ignore);
  return promise;
}

/** A rejected promise that raises no unhandled rejection. */
export function rejected(error: unknown): Promise<never> {
  return handled(Promise.reject(error));
}

/**
 * A promise that knows whether anybody waits for it. What fails while nobody does must be told
 * again by the next operation.
 */
class ObservedPromise<Value> extends Promise<Value> {
  observed = false;

  // biome-ignore lint/suspicious/noThenProperty: seeing who waits is the point of this class
  override then<Result1 = Value, Result2 = never>(
    onFulfilled?: ((value: Value) => Result1 | PromiseLike<Result1>) | null,
    onRejected?: ((reason: unknown) => Result2 | PromiseLike<Result2>) | null,
  ): Promise<Result1 | Result2> {
    this.observed = true;
    return super.then(onFulfilled, onRejected);
  }

  /** As {@link handled}, without being taken for somebody who waits. */
  handle(): void {
    void super.then(undefined, ignore);
  }

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }
}

/** One wait: settled by its owner, or first by the caller's signal or timeout. */
export class Waiter<Value> {
  readonly promise: Promise<Value>;
  #resolve!: (value: Value) => void;
  #reject!: (error: unknown) => void;
  #settled = false;
  #timer: NodeJS.Timeout | undefined;
  #abort: Disposable | undefined;

  /**
   * @param onAbandon runs before the promise rejects because of the signal or the timeout; what it
   *   returns, if anything, is the rejection.
   * @param context where it waits, for the error of the timeout.
   */
  constructor(
    options: WaitOptions = {},
    what = 'the operation',
    onAbandon: (error: unknown) => unknown = identity,
    context?: () => Partial<SttErrorContext>,
  ) {
    this.promise = new ObservedPromise<Value>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { signal, timeout } = options;
    if (signal !== undefined) {
      const abandon = (): void => this.#abandon(signal.reason, onAbandon);
      if (signal.aborted) {
        abandon();
        return;
      }
      this.#abort = addAbortListener(signal, abandon);
    }
    if (timeout !== undefined && timeout !== Number.POSITIVE_INFINITY) {
      this.#timer = setTimeout(
        () => this.#abandon(timeoutError(what, timeout, context?.()), onAbandon),
        Math.min(timeout, MAX_TIMEOUT),
      );
    }
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** Whether somebody awaits the promise. */
  get observed(): boolean {
    return (this.promise as ObservedPromise<Value>).observed;
  }

  resolve(value: Value): void {
    if (this.#settle()) this.#resolve(value);
  }

  reject(error: unknown): void {
    if (!this.#settle()) return;
    // Only now, because a handler costs as much as the promise, and most waits end well.
    (this.promise as ObservedPromise<Value>).handle();
    this.#reject(error);
  }

  #abandon(error: unknown, onAbandon: (error: unknown) => unknown): void {
    if (this.#settled) return;
    this.reject(onAbandon(error));
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#abort?.[Symbol.dispose]();
    return true;
  }
}

/** The error of a wait of our own that took too long. */
export function timeoutError(
  what: string,
  timeout: number,
  context?: Partial<SttErrorContext>,
): SttTimeoutError {
  return new SttTimeoutError(
    `${what} took longer than its ${timeout} ms (${placeWords(context ?? {})}). ${advice(what)}, or allow more time.`,
    { context },
  );
}

/** What to look at first, by what took too long. */
function advice(what: string): string {
  if (/^Writing|room to write|^Ending/.test(what)) {
    return 'The peer reads too slowly or not at all: see what holds its application up';
  }
  if (what.startsWith('Reading')) return 'The peer has sent nothing more: see what it waits for';
  if (what.startsWith('Opening')) return 'The peer admits no more streams for now: end some';
  return 'See what holds up the peer';
}

/** Checks what a caller gave; a mistake here is the caller's, not the network's. */
export function checkWait(options: WaitOptions | undefined): WaitOptions {
  if (options === undefined) return {};
  const { timeout, signal } = options;
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 0)) {
    throw new SttOptionError('timeout', 'must be a number of milliseconds, 0 or more');
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new SttOptionError('signal', 'must be an AbortSignal');
  }
  return options;
}
