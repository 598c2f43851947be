import type { HostPort } from '../address.ts';
import { formatAddress } from '../address.ts';
import { handled, rejected } from '../async.ts';
import type { ResolvedConnectOptions } from '../connect.ts';
import { toHex } from '../connect.ts';
import type { Breakers } from './breakers.ts';
import { Pauses } from './pauses.ts';
import type { RetryEvent } from './policy.ts';
import { retrying } from './retry.ts';

/** One try of a connect, for whoever carries it out. */
export interface Try {
  /** Which, from 1; undefined where no policy asks for more than one. */
  readonly number?: number;
  /** An earlier try has sent early data, and nobody here knows what became of it. */
  readonly earlyDataSpent: boolean;
  /** Another carrier's try speaks for both: an error of this one is not counted. */
  readonly uncounted?: boolean;
  /** Something is about to be sent: the ticket is used up. */
  onSending(): void;
}

/** What an endpoint gives to its connects. */
export interface AttemptsHost<Session> {
  connect(target: HostPort, options: ResolvedConnectOptions, attempt: Try): Promise<Session>;
  /** Undefined: every connect is tried. */
  readonly breakers: Breakers | undefined;
  /** Why a connect to that peer cannot go on; undefined while it can. */
  ended(peer: string): Error | undefined;
  /** `busy` may have changed. */
  onBusy(): void;
  onRetry(peer: string, event: RetryEvent): void;
  onFailed(peer: string, error: unknown): void;
}

/** The connects of an endpoint: each as often as its policy says, each try through the peer's circuit. */
export class Attempts<Session> {
  readonly #host: AttemptsHost<Session>;
  readonly #pauses: Pauses;

  constructor(host: AttemptsHost<Session>) {
    this.#host = host;
    this.#pauses = new Pauses(() => host.onBusy());
  }

  /** Whether somebody waits for the next try. */
  get busy(): boolean {
    return this.#pauses.busy;
  }

  /**
   * @param before tries that failed before, as of a session that is to be replaced: a pause comes first.
   */
  async connect(
    target: HostPort,
    options: ResolvedConnectOptions,
    before?: { readonly attempts: number; readonly error: Error },
  ): Promise<Session> {
    const { retry, signal } = options;
    const peer = formatAddress({ address: target.host, port: target.port });
    // A ticket serves once, and early data is never sent again without its owner's word.
    let used = false;
    const one = (limit: number, number?: number): Promise<Session> =>
      this.#through(target, options, () => {
        const fresh = used ? { ...options, resume: undefined, earlyData: undefined } : options;
        return this.#host.connect(
          target,
          { ...fresh, timeout: Math.min(options.timeout, Math.ceil(limit)) },
          {
            ...(number === undefined ? {} : { number }),
            earlyDataSpent: used && options.earlyData !== undefined,
            onSending: () => {
              used = true;
            },
          },
        );
      });
    try {
      if (retry === undefined) return await one(options.timeout);
      const host = {
        now: () => performance.now(),
        random: Math.random,
        pause: (ms: number, until?: Promise<void>) => this.#pause(ms, peer, signal, until),
        retrying: (event: RetryEvent) => this.#host.onRetry(peer, event),
      };
      return await retrying(retry, host, ({ number, limit }) => one(limit, number), before);
    } catch (error) {
      this.#host.onFailed(peer, error);
      throw error;
    }
  }

  /** The endpoint closes or has ended, by `error` if it failed: nobody waits for another try any more. */
  end(error?: Error): void {
    this.#pauses.end((peer) => error ?? this.#host.ended(peer));
  }

  #through(
    { host, port }: HostPort,
    { peerNodeId }: ResolvedConnectOptions,
    connect: () => Promise<Session>,
  ): Promise<Session> {
    const { breakers } = this.#host;
    if (breakers === undefined) return connect();
    const nodeId = peerNodeId === undefined ? undefined : toHex(peerNodeId);
    return breakers.run({ host, port, nodeId }, connect);
  }

  #pause(
    ms: number,
    peer: string,
    signal: AbortSignal | undefined,
    until: Promise<void> | undefined,
  ): Promise<void> {
    const ended = this.#host.ended(peer);
    return ended === undefined
      ? handled(this.#pauses.wait(ms, peer, signal, until))
      : rejected(ended);
  }
}
