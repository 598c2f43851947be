/** What the path in use has carried since the session took it, in bytes. */
export interface PathSample {
  /** What the peer has acknowledged. */
  readonly acked: number;
  /** What came. */
  readonly received: number;
  /** What is on the way. */
  readonly inFlight: number;
  /** Milliseconds of a round trip. */
  readonly rtt: number;
}

/** Milliseconds between samples: a tenth of what is measured, or less. */
export const SAMPLE_EVERY = 200;
/** The same where nothing is to be carried at the moment. */
const LOOK_EVERY = 1_000;
/** Round trips at the beginning of a path that do not count: a slow start to any window takes about as many. */
const SETTLE_ROUNDS = 10;
const MIN_SETTLE = 250;
const MAX_SETTLE = 3_000;
/** Milliseconds that count, unless so many round trips are longer. */
const SPAN = 2_000;
const SPAN_ROUNDS = 10;
const MAX_SPAN = 5_000;
/** Bytes in a sample below which nothing was to be carried: acknowledgements and keep-alives have less. */
const ACTIVE = 1_200;
/**
 * Milliseconds for which nothing may come and it still is the path's doing, not the peer's, who may have
 * nothing to say: the timeouts of TCP's loss recovery are shorter.
 */
const STALL = 1_000;
/** What was measured before so long a pause says nothing of the path any more. */
const STALE = 10_000;

/** How a path is measured. */
export interface MeasurementOptions {
  /** By what this side sends; else by what comes. */
  readonly sending: boolean;
  /** The session has just taken it: how it begins does not count, and there is known to be something to carry. */
  readonly fresh: boolean;
}

/**
 * What a path carries in a second, over the time in which it had something to carry: the clock stands still
 * while it has nothing. Knows no clock and no socket: times are arguments, in milliseconds.
 */
export class Measurement {
  readonly sending: boolean;
  readonly #fresh: boolean;
  #settled: boolean;
  /** Busy milliseconds so far of what does not count, and of what does. */
  #settling = 0;
  #busy = 0;
  #bytes = 0;
  #span = SPAN;
  #last: { readonly at: number; readonly bytes: number; readonly inFlight: number } | undefined;
  #activeAt: number | undefined;

  constructor({ sending, fresh }: MeasurementOptions) {
    this.sending = sending;
    this.#fresh = fresh;
    this.#settled = !fresh;
  }

  /** When the next sample is due. */
  dueAt(now: number): number {
    if (this.#last === undefined) return now;
    const quiet = !this.#fresh && this.#activeAt === undefined;
    const idle = this.#activeAt !== undefined && now - this.#activeAt > 2 * STALL;
    return this.#last.at + (quiet || idle ? LOOK_EVERY : SAMPLE_EVERY);
  }

  /** When there was something to carry, for the last time. */
  get activeAt(): number | undefined {
    return this.#activeAt;
  }

  /** Whether enough was measured. */
  get complete(): boolean {
    return this.#busy >= this.#span;
  }

  /** Bytes a second. */
  get rate(): number {
    return this.#busy === 0 ? 0 : Math.round((1_000 * this.#bytes) / this.#busy);
  }

  /** Whether it has carried so much already that nothing can bring its rate below that one. */
  surpasses(rate: number): boolean {
    return this.#bytes > 0 && 1_000 * this.#bytes >= rate * this.#span;
  }

  /** Another connection takes the place of the one that was measured: its counts begin at nothing. */
  restart(): void {
    this.#last = undefined;
  }

  add(now: number, { acked, received, inFlight, rtt }: PathSample): void {
    const bytes = this.sending ? acked : received;
    const last = this.#last;
    this.#last = { at: now, bytes, inFlight };
    if (last === undefined) return;
    const carried = Math.max(0, bytes - last.bytes);
    const resumes = this.#activeAt === undefined || now - this.#activeAt > STALL;
    if (!this.#isBusy(now, carried, Math.max(inFlight, last.inFlight))) return;
    if (!this.#fresh && now - (this.#activeAt ?? now) > STALE) {
      this.#busy = 0;
      this.#bytes = 0;
    }
    if (carried >= ACTIVE || this.sending) this.#activeAt = now;
    // What ends a pause was busy for a part of it that nobody knows.
    if (resumes && this.#activeAt === now) return;
    const spent = now - last.at;
    if (!this.#settled) {
      this.#settling += spent;
      this.#settled = this.#settling >= clamp(SETTLE_ROUNDS * rtt, MIN_SETTLE, MAX_SETTLE);
      return;
    }
    if (this.#busy === 0) this.#span = clamp(SPAN_ROUNDS * rtt, SPAN, MAX_SPAN);
    this.#busy += spent;
    this.#bytes += carried;
  }

  #isBusy(now: number, carried: number, inFlight: number): boolean {
    if (carried >= ACTIVE) return true;
    if (this.sending) return inFlight >= ACTIVE;
    return this.#activeAt === undefined ? this.#fresh : now - this.#activeAt < STALL;
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
