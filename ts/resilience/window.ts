/**
 * What became of the last connects, within a window of time: slices of it, each with two counters, so
 * that it is as small after a thousand as after one.
 */
export class OutcomeWindow {
  readonly #length: number;
  readonly #slices: Slice[] = [];

  /** @param length milliseconds that an outcome counts for, or up to a tenth of it less. */
  constructor(length: number) {
    this.#length = length;
  }

  /** Notes one outcome at `now`. */
  add(now: number, failed: boolean): void {
    this.#forget(now);
    let last = this.#slices.at(-1);
    if (last === undefined || now - last.begun >= this.#length / SLICES) {
      last = { begun: now, total: 0, failed: 0 };
      this.#slices.push(last);
    }
    last.total += 1;
    if (failed) last.failed += 1;
  }

  /** How many there were, and how many of them failed. */
  counts(now: number): { readonly total: number; readonly failed: number } {
    this.#forget(now);
    let total = 0;
    let failed = 0;
    for (const slice of this.#slices) {
      total += slice.total;
      failed += slice.failed;
    }
    return { total, failed };
  }

  clear(): void {
    this.#slices.length = 0;
  }

  #forget(now: number): void {
    const old = this.#slices.findIndex(({ begun }) => now - begun < this.#length);
    this.#slices.splice(0, old < 0 ? this.#slices.length : old);
  }
}

interface Slice {
  readonly begun: number;
  total: number;
  failed: number;
}

const SLICES = 10;
