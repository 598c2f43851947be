import { Waiter } from '../async.ts';

/**
 * Pauses that end with their signal, or with their owner. They do not hold the process by themselves:
 * the owner does, while it is `busy`, so that `unref()` is obeyed.
 */
export class Pauses {
  readonly #waiting = new Set<{ readonly waiter: Waiter<void>; readonly peer: string }>();
  readonly #onBusy: () => void;

  /** @param onBusy runs when `busy` may have changed. */
  constructor(onBusy: () => void) {
    this.#onBusy = onBusy;
  }

  /** Whether somebody waits. */
  get busy(): boolean {
    return this.#waiting.size > 0;
  }

  /** Resolves after `ms`, or with `until`; rejects with the signal's reason, or with what `end` makes. */
  async wait(
    ms: number,
    peer: string,
    signal: AbortSignal | undefined,
    until?: Promise<void>,
  ): Promise<void> {
    const waiter = new Waiter<void>(signal === undefined ? {} : { signal });
    const entry = { waiter, peer };
    const timer = setTimeout(() => waiter.resolve(undefined), ms);
    timer.unref();
    void until?.then(() => waiter.resolve(undefined));
    this.#waiting.add(entry);
    this.#onBusy();
    try {
      await waiter.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(entry);
      this.#onBusy();
    }
  }

  /** Ends every pause with the error that `reason` makes for its peer. */
  end(reason: (peer: string) => unknown): void {
    for (const { waiter, peer } of this.#waiting) waiter.reject(reason(peer));
  }
}
