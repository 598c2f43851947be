import type { SttErrorContext } from './error.ts';
import type { SttErrorCodeName } from './table.ts';
import { ERROR_TABLE } from './table.ts';

/** How often each of the 25 errors was raised, by the name of its code. */
export type ErrorCounts = Readonly<Record<SttErrorCodeName, number>>;

/**
 * Where an error's context says whose errors it is counted with. A symbol, so that a spread of the context
 * keeps it; what an application sees of an error does not have it.
 */
export const TALLY: unique symbol = Symbol('tally');

/** A context of errors that are counted. */
export type TalliedContext = Partial<SttErrorContext> & { readonly [TALLY]?: ErrorTally };

/** The errors of one endpoint, its sessions and streams: 25 numbers. */
export class ErrorTally {
  readonly #counts = new Float64Array(ERROR_TABLE.length);

  /** An error of that code was raised, so many times. */
  count(code: number, times = 1): void {
    const index = INDEX.get(code);
    if (index !== undefined) this.#counts[index] = (this.#counts[index] ?? 0) + times;
  }

  /** The counts now, as frozen data. */
  snapshot(): ErrorCounts {
    const entries = ERROR_TABLE.map(({ codeName }, index) => [codeName, this.#counts[index]]);
    return Object.freeze(Object.fromEntries(entries)) as ErrorCounts;
  }
}

const INDEX: ReadonlyMap<number, number> = new Map(
  ERROR_TABLE.map(({ code }, index) => [code, index]),
);
