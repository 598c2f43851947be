import { addAbortListener } from 'node:events';
import { handled } from '../async.ts';
import { isFinal } from './codes.ts';

/** One way to carry a session: UDP, or a WebSocket. */
export interface Carrier<Value> {
  readonly name: string;
  /**
   * Resolves once the peer has proved itself. Aborted, it leaves nothing behind.
   *
   * @param onUnderWay that a connection stands and the peer is spoken to: what {@link RaceOptions.headStartFrom} may count
   *   from
   */
  connect(signal: AbortSignal, onUnderWay: () => void): Promise<Value>;
  /** Gets rid of a connection that came too late, without a word to the application. */
  dispose(value: Value): void;
}

/** How carriers race. */
export interface RaceOptions {
  /**
   * Milliseconds that a carrier has before the next begins.
   * @default 250
   */
  readonly headStart?: number;
  /**
   * When that time begins: as the carrier starts, or once it says that it is under way.
   * @default 'start'
   */
  readonly headStartFrom?: 'start' | 'underWay';
  /** Ends the race; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether an error is a verdict that ends the race.
   * @default isFinal
   */
  readonly endsRace?: (error: unknown) => boolean;
}

/** How one carrier failed. */
export interface FailedCarrier {
  readonly transport: string;
  readonly error: unknown;
}

/** Who won. */
export interface RaceResult<Value> {
  readonly transport: string;
  readonly value: Value;
}

/** RFC 8305, section 8, recommends 250 ms between the connection attempts of two addresses. */
const HEAD_START = 250;

/**
 * Races carriers as RFC 8305 races addresses: the first has a head start, the next begins when that is
 * over, or at once when all before it have failed. The first to authenticate the peer wins, the others are
 * cancelled, and one that comes too late all the same is disposed of. A verdict that no carrier
 * changes (0x0103, 0x0105, unless `endsRace` says otherwise) from any of them ends the race.
 *
 * When all fail, the first carrier's error is thrown, with what all of them said in `attempts`, where there were several.
 *
 * @param carriers may grow while they race: by whoever finds out on the way that there is another
 */
export function raceCarriers<Value>(
  carriers: readonly Carrier<Value>[],
  options: RaceOptions = {},
): Promise<RaceResult<Value>> {
  return handled(new Promise((resolve, reject) => new Race(carriers, options, resolve, reject)));
}

class Race<Value> {
  readonly #carriers: readonly Carrier<Value>[];
  readonly #headStart: number;
  readonly #fromStart: boolean;
  readonly #resolve: (result: RaceResult<Value>) => void;
  readonly #reject: (error: unknown) => void;
  readonly #endsRace: (error: unknown) => boolean;
  readonly #over = new AbortController();
  readonly #abort: Disposable | undefined;
  /** By the carrier's place, so that the first one's error stays first. */
  readonly #failed: (FailedCarrier | undefined)[] = [];
  #begun = 0;
  #running = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    carriers: readonly Carrier<Value>[],
    { headStart = HEAD_START, headStartFrom = 'start', signal, endsRace = isFinal }: RaceOptions,
    resolve: (result: RaceResult<Value>) => void,
    reject: (error: unknown) => void,
  ) {
    this.#carriers = carriers;
    this.#headStart = headStart;
    this.#fromStart = headStartFrom === 'start';
    this.#endsRace = endsRace;
    this.#resolve = resolve;
    this.#reject = reject;
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    if (signal !== undefined) {
      this.#abort = addAbortListener(signal, () => this.#end(() => reject(signal.reason)));
    }
    this.#next();
  }

  /** Starts the next carrier. */
  #next(): void {
    clearTimeout(this.#timer);
    const place = this.#begun;
    const carrier = this.#carriers[place];
    if (carrier === undefined) return;
    this.#begun += 1;
    this.#running += 1;
    if (this.#fromStart) this.#startClock();
    const onUnderWay = (): void => {
      if (!this.#fromStart && this.#isNewest(place)) this.#startClock();
    };
    // A carrier that throws at once must not escape.
    new Promise<Value>((resolve) => resolve(carrier.connect(this.#over.signal, onUnderWay))).then(
      (value) => this.#onConnected(carrier, value),
      (error: unknown) => this.#onFailed(place, { transport: carrier.name, error }),
    );
  }

  /** The clock for the one after those that have begun. */
  #startClock(): void {
    if (this.#begun < this.#carriers.length && !this.#over.signal.aborted)
      this.#timer = setTimeout(() => this.#next(), this.#headStart);
  }

  #isNewest(place: number): boolean {
    return place === this.#begun - 1;
  }

  #onConnected(carrier: Carrier<Value>, value: Value): void {
    if (this.#over.signal.aborted) carrier.dispose(value);
    else this.#end(() => this.#resolve({ transport: carrier.name, value }));
  }

  #onFailed(place: number, failed: FailedCarrier): void {
    if (this.#over.signal.aborted) return;
    this.#running -= 1;
    this.#failed[place] = failed;
    if (this.#endsRace(failed.error)) {
      this.#end(() => this.#reject(this.#withAttempts(failed.error)));
    } else if (this.#running > 0 && (this.#fromStart || !this.#isNewest(place))) {
      // The clock runs, or the newest starts it.
      return;
    } else if (this.#begun < this.#carriers.length) {
      this.#next();
    } else if (this.#running === 0) {
      this.#end(() => this.#reject(this.#withAttempts(this.#failed[0]?.error)));
    }
  }

  #end(settle: () => void): void {
    if (this.#over.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#abort?.[Symbol.dispose]();
    // Settled first: what a carrier does as it is cancelled changes nothing any more.
    settle();
    this.#over.abort();
  }

  #withAttempts(error: unknown): unknown {
    if (!(error instanceof Error) || this.#carriers.length === 1) return error;
    const attempts = Object.freeze(this.#failed.filter((failed) => failed !== undefined));
    return Object.defineProperty(error, 'attempts', { value: attempts, configurable: true });
  }
}

/** Peers whose winner is remembered at most. */
const MAX_PEERS = 1_024;
const REMEMBERED_MS = 600_000;

interface Winner {
  readonly transport: string;
  readonly until: number;
  /** Why the other was no good, where that is known. */
  readonly note: string | undefined;
}

/**
 * Which carrier won last, per peer, for ten minutes: it has the head start the next time. A network that
 * lets no UDP pass costs one head start, not one for every connect.
 */
export class RaceMemory {
  readonly #now: () => number;
  readonly #winners = new Map<string, Winner>();

  /** @param now milliseconds on a clock that is never set. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The carrier that won last against `peer`, if that is not too long ago. */
  winner(peer: string): string | undefined {
    return this.#find(peer)?.transport;
  }

  /** What was noted when that carrier won. */
  note(peer: string): string | undefined {
    return this.#find(peer)?.note;
  }

  /** @param note what else is known; kept as long, unless the other carrier wins */
  remember(peer: string, transport: string, note?: string): void {
    const before = this.#find(peer);
    // A carrier that wins because it was known to win says nothing new of the other.
    const known = before?.transport === transport && note === undefined ? before : undefined;
    const until = this.#now() + REMEMBERED_MS;
    this.#winners.delete(peer);
    this.#winners.set(peer, {
      transport,
      until: known?.note === undefined ? until : known.until,
      note: note ?? known?.note,
    });
    if (this.#winners.size <= MAX_PEERS) return;
    for (const oldest of this.#winners.keys()) {
      this.#winners.delete(oldest);
      return;
    }
  }

  #find(peer: string): Winner | undefined {
    const found = this.#winners.get(peer);
    if (found === undefined || found.until > this.#now()) return found;
    this.#winners.delete(peer);
    return undefined;
  }

  /** The carriers, the last winner first, the others in their order. */
  inOrder<Named extends { readonly name: string }>(
    peer: string,
    carriers: readonly Named[],
  ): readonly Named[] {
    const name = this.winner(peer);
    const won = carriers.filter((carrier) => carrier.name === name);
    return [...won, ...carriers.filter((carrier) => carrier.name !== name)];
  }
}
