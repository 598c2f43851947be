/**
 * Calls back when nothing moved for a while. One timer per stream that asks for it: activity only
 * notes the time, and the timer looks whether it came too early.
 */
export class IdleTimer {
  readonly #timeout: number;
  readonly #onIdle: () => void;
  #timer: NodeJS.Timeout | undefined;
  #last: number = performance.now();

  constructor(timeout: number, onIdle: () => void) {
    this.#timeout = timeout;
    this.#onIdle = onIdle;
    this.#arm(timeout);
  }

  touch(): void {
    this.#last = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #arm(delay: number): void {
    this.#timer = setTimeout(() => {
      const silent = performance.now() - this.#last;
      if (silent >= this.#timeout) this.#onIdle();
      else this.#arm(this.#timeout - silent);
    }, Math.ceil(delay));
    this.#timer.unref();
  }
}
