import type { CircuitBreakerPolicy, IBackoff, IHalfOpenAfterBackoffContext } from 'cockatiel';
import { hasBrand } from '../errors/error.ts';
import { SttOptionError } from '../errors/local.ts';
import { checkNumber } from '../options.ts';
import { OutcomeWindow } from './window.ts';

/** When an endpoint stops trying a peer for a while. Durations in milliseconds. */
export interface BreakerOptions {
  /**
   * The share of failed connects, over 0 and below 1, above which the circuit opens.
   * @default 0.5
   */
  readonly threshold?: number;
  /**
   * How long an outcome counts.
   * @default 30_000
   */
  readonly window?: number;
  /**
   * Connects within the window below which nothing is concluded.
   * @default 5
   */
  readonly minimum?: number;
  /**
   * How long an open circuit refuses before it lets one connect through to try the peer.
   * @default 10_000
   */
  readonly halfOpenAfter?: number;
}

/** `closed` lets connects through, `open` refuses them, `half-open` has let one through to try the peer. */
export type CircuitState = 'closed' | 'open' | 'half-open';

const MAX_MS = 2 ** 31 - 1;
const NAMES = ['threshold', 'window', 'minimum', 'halfOpenAfter'];

/** Checks what a caller gave; undefined: no breaker. */
export function checkBreaker(
  breaker: boolean | BreakerOptions | undefined,
): Required<BreakerOptions> | undefined {
  if (breaker === undefined || breaker === false) return undefined;
  if (breaker !== true && (typeof breaker !== 'object' || breaker === null)) {
    throw new SttOptionError('breaker', 'must be true, false, or an object of options');
  }
  const options = breaker === true ? {} : breaker;
  for (const name of Object.keys(options)) {
    if (!NAMES.includes(name)) {
      throw new SttOptionError(`breaker.${name}`, 'is no option of a circuit breaker');
    }
  }
  const { threshold = 0.5, window = 30_000, minimum = 5, halfOpenAfter = 10_000 } = options;
  if (!(typeof threshold === 'number' && threshold > 0 && threshold < 1)) {
    throw new SttOptionError('breaker.threshold', 'must be a share over 0 and below 1');
  }
  checkNumber('breaker.window', window, [1, MAX_MS]);
  checkNumber('breaker.minimum', minimum, [1, 1_000_000]);
  checkNumber('breaker.halfOpenAfter', halfOpenAfter, [1, MAX_MS]);
  return { threshold, window, minimum, halfOpenAfter };
}

/** What the outcome of a connect says about the way to the peer. */
export type Verdict =
  /** The peer has answered, be it with a no. */
  | 'alive'
  /** It has not, or cannot be reached. */
  | 'failed'
  /** Nothing: it was given up, or ended before anything was sent. */
  | 'silent';

/** 0x0101, 0x0102, 0x0104, 0x0501, 0x0502: nobody answered who could have. */
const FAILURES: ReadonlySet<number> = new Set([0x0101, 0x0102, 0x0104, 0x0501, 0x0502]);
/** 0x0103, 0x0105, 0x0405: a peer is there and says no. */
const ANSWERS: ReadonlySet<number> = new Set([0x0103, 0x0105, 0x0405]);

/**
 * Judges the error of a connect. A peer that says no (0x0103, 0x0105, 0x0405) is reachable. Too many
 * sessions (0x0203) and spent resources (0x0603) may be this side's own, an abort or a wrong option
 * always is: they say nothing.
 */
export function judge(error: unknown): Verdict {
  if (!hasBrand(error)) return 'silent';
  if (FAILURES.has(error.code)) return 'failed';
  return ANSWERS.has(error.code) ? 'alive' : 'silent';
}

/** The part of cockatiel that is used, as `import()` gives it. */
export type Cockatiel = Pick<
  typeof import('cockatiel'),
  'circuitBreaker' | 'handleWhen' | 'CircuitState'
>;

/**
 * The circuit of one peer. The transitions are cockatiel's; what it counts, when, and on which clock is
 * said here, because its own answers do not fit a transport (ADR 0076): its sampling has no sliding
 * window at low rates, an abandoned probe would close the circuit, callers would wait for a probe that
 * is not theirs, and the time of the system may be set.
 */
export class Circuit {
  readonly #now: () => number;
  readonly #window: OutcomeWindow;
  readonly #policy: CircuitBreakerPolicy;
  readonly #states: Cockatiel['CircuitState'];
  /** When an open circuit lets the next one through. */
  #until = 0;
  #lastFailure: unknown;
  /** Resolves when the connect that tries the peer has ended, however. */
  #probe: Promise<void> | undefined;

  /** @param now milliseconds on a clock that is never set. */
  constructor(
    options: Required<BreakerOptions>,
    library: Cockatiel,
    now: () => number,
    onChange: (state: CircuitState) => void,
  ) {
    const { threshold, window, minimum, halfOpenAfter } = options;
    const { circuitBreaker, handleWhen, CircuitState: States } = library;
    this.#now = now;
    this.#states = States;
    this.#window = new OutcomeWindow(window);
    const backoff: IBackoff<IHalfOpenAfterBackoffContext> = {
      // What cockatiel compares the system's time with: always over, as the wait is kept in #until.
      duration: Number.NEGATIVE_INFINITY,
      next: ({ result }) => {
        // A probe that was given up was none: the next connect is one.
        const givenUp = 'error' in result && result.error instanceof GivenUp;
        this.#until = now() + (givenUp ? 0 : halfOpenAfter);
        return backoff;
      },
    };
    this.#policy = circuitBreaker(
      handleWhen((error) => error instanceof GivenUp || judge(error) === 'failed'),
      {
        halfOpenAfter: backoff,
        breaker: {
          state: undefined,
          success: (state) => {
            if (state === States.HalfOpen) this.#window.clear();
            this.#window.add(now(), false);
          },
          failure: () => {
            this.#window.add(now(), true);
            const { total, failed } = this.#window.counts(now());
            // What began before the circuit opened has no say about the probe that is under way.
            return this.state === 'closed' && total >= minimum && failed / total > threshold;
          },
        },
      },
    );
    this.#policy.onStateChange((state) => onChange(this.#named(state)));
  }

  get state(): CircuitState {
    return this.#named(this.#policy.state);
  }

  /** Milliseconds until somebody is let through; 0 where somebody is, or is under way. */
  get retryAfter(): number {
    return this.state === 'open' ? Math.max(0, Math.ceil(this.#until - this.#now())) : 0;
  }

  /** Why it opened. */
  get lastFailure(): unknown {
    return this.#lastFailure;
  }

  /** Resolves when the connect that tries the peer has ended; undefined while there is none. */
  get probe(): Promise<void> | undefined {
    return this.#probe;
  }

  counts(): { readonly total: number; readonly failed: number } {
    return this.#window.counts(this.#now());
  }

  /** Whether the next one may try the peer. */
  get admits(): boolean {
    return this.state === 'closed' || (this.state === 'open' && this.retryAfter === 0);
  }

  /** Runs `connect`, which the circuit admits, and learns from how it ends. */
  async run<Value>(connect: () => Promise<Value>): Promise<Value> {
    const isProbe = this.state !== 'closed';
    let ended = (): void => undefined;
    if (isProbe) this.#probe = new Promise((resolve) => (ended = resolve));
    try {
      const outcome = await this.#policy.execute(async () => {
        try {
          return { value: await connect() };
        } catch (error) {
          const verdict = judge(error);
          if (verdict === 'alive') return { error };
          if (verdict === 'failed') this.#lastFailure = error;
          // An error that the policy does not handle would close a half-open circuit.
          throw verdict === 'silent' && isProbe ? new GivenUp(error) : error;
        }
      });
      if ('error' in outcome) throw outcome.error;
      return outcome.value;
    } catch (error) {
      throw error instanceof GivenUp ? error.reason : error;
    } finally {
      if (isProbe) this.#probe = undefined;
      ended();
    }
  }

  #named(state: Cockatiel['CircuitState'][keyof Cockatiel['CircuitState']]): CircuitState {
    if (state === this.#states.Closed) return 'closed';
    return state === this.#states.HalfOpen ? 'half-open' : 'open';
  }
}

/** A probe that ended without saying anything about the peer. */
class GivenUp extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super();
    this.reason = reason;
  }
}
