import { addAbortListener } from 'node:events';
import type { PeerAddress } from '../address.ts';
import { formatAddress, parseAddress } from '../address.ts';
import { handled, rejected } from '../async.ts';
import type { ConnectOptions } from '../connect.ts';
import { publish } from '../diagnostics.ts';
import type { SttEndpoint } from '../endpoint.ts';
import { SessionClosedError } from '../errors/classes.ts';
import { SttOptionError } from '../errors/local.ts';
import type { CloseReason } from '../errors/table.ts';
import { Emitting } from '../events.ts';
import { checkNumber } from '../options.ts';
import type { SessionCloseOptions, SttSession } from '../session.ts';
import type { CloseInfo, SettledInfo } from '../session-state.ts';
import type { SttStream } from '../stream.ts';
import { isFinal } from './codes.ts';
import type { RetryEvent, RetryOptions, RetryPolicy } from './policy.ts';
import { retryPolicy } from './policy.ts';
import type { StreamProgress } from './progress.ts';
import { progressOf } from './progress.ts';
import type { RunHandler, RunOptions } from './runs.ts';
import { checkRun, Runs } from './runs.ts';

/** How a lost session is replaced: as {@link RetryOptions}, with defaults that are bounded by time. */
export interface ReconnectOptions extends RetryOptions {
  /** @default Infinity */
  readonly attempts?: number;
  /** @default 500 */
  readonly base?: number;
  /** @default 10_000 */
  readonly maxDelay?: number;
  /** @default 100 */
  readonly minDelay?: number;
  /**
   * Milliseconds that an outage may last, from the loss of the session on; then it is given up.
   * @default 120_000
   */
  readonly deadline?: number;
  /**
   * Milliseconds that a session must live for its outage to be over. One that ends earlier continues
   * it: its tries go on counting, its pauses growing and its deadline running, so that a peer that
   * fails over and over is not connected to at full speed for ever.
   * @default 5_000
   */
  readonly stableAfter?: number;
  /**
   * Goes on as well when the peer closed the session gracefully, as a server does that is about to be restarted.
   * `close()` on this side is the end in any case.
   * @default false
   */
  readonly afterClose?: boolean;
}

/** How {@link ReconnectingSession.connect} connects, and connects again. */
export interface ReconnectingOptions extends ConnectOptions {
  /** Ends the whole at any time, abruptly: what waits rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How it goes on when a session is lost; `retry` is for the first connect. */
  readonly reconnect?: ReconnectOptions;
}

/** Where it stands. */
export type ReconnectingState = 'connected' | 'reconnecting' | 'closed';

/** A try to replace the session is due. */
export interface ReconnectingEvent {
  /** Which try of this outage, from 1. */
  readonly attempt: number;
  /** Milliseconds until it begins. */
  readonly delay: number;
  /** What ended the session, or the try before. */
  readonly error: Error;
}

/** What became of a stream that was cut off. */
export interface CutStream extends StreamProgress {
  /** What says which stream it was: ids begin anew in every session. */
  readonly purpose: string;
}

/** A lost session has been replaced. */
export interface ReconnectedEvent {
  readonly session: SttSession;
  /** Tries that it took, with those of sessions that did not live. */
  readonly attempts: number;
  /** Milliseconds without a session. */
  readonly downtime: number;
  /** Streams that could send when the session before was lost. */
  readonly lost: readonly CutStream[];
}

/** It has ended for good. */
export interface ReconnectingClosedEvent {
  readonly reason: CloseReason;
  /** Why, unless graceful; the signal's reason when that ended it. */
  readonly error?: unknown;
}

/** The events of a {@link ReconnectingSession}. */
export interface ReconnectingSessionEvents {
  /** The session is lost, or a try to replace it has failed: the next is due. */
  reconnecting: ReconnectingEvent;
  /** There is a session again. Streams that are run by purpose begin right after. */
  reconnected: ReconnectedEvent;
  /** It has ended for good. */
  closed: ReconnectingClosedEvent;
}

interface Outage {
  readonly began: number;
  attempts: number;
}

/**
 * A session that is replaced when it is lost. It stays with the node that answered first, and tells
 * what arrived and what did not; {@link ReconnectingSession.run} opens a stream by its purpose in every
 * session anew, so that the application goes on from its own checkpoint. It ends with a graceful close by
 * either side (the peer's may be passed over: `afterClose`), when the peer no longer admits this node (auth_failure, 0x0103), speaks another version
 * (0x0105), or when the policy is used up.
 */
export class ReconnectingSession
  extends Emitting<ReconnectingSessionEvents>
  implements AsyncDisposable
{
  /** The node at the other end, 64 hex digits: the same for ever, also where `'any'` was asked for. */
  readonly peerNodeId: string;
  /**
   * Resolves when it was closed gracefully; rejects with what ended it otherwise. Never raises an
   * unhandled rejection.
   */
  readonly closed: Promise<CloseInfo>;

  readonly #endpoint: SttEndpoint;
  readonly #address: PeerAddress;
  readonly #options: ConnectOptions;
  readonly #policy: RetryPolicy;
  readonly #stableAfter: number;
  readonly #afterClose: boolean;
  readonly #over = new AbortController();
  readonly #runs = new Runs();
  readonly #abort: Disposable | undefined;
  #state: ReconnectingState = 'connected';
  #endedBy: 'local' | 'peer' = 'local';
  #session: SttSession;
  #since: number = performance.now();
  #outage: Outage | undefined;
  #undelivered = 0;
  #closing = false;
  #settle!: { resolve: (info: CloseInfo) => void; reject: (error: unknown) => void };

  /**
   * Connects, and keeps connected.
   *
   * @throws as `endpoint.connect()` for the first session: `retry` says how often that is tried.
   */
  static async connect(
    endpoint: SttEndpoint,
    address: PeerAddress,
    options: ReconnectingOptions,
  ): Promise<ReconnectingSession> {
    const { reconnect, ...first } = options ?? {};
    const policy = reconnectPolicy(reconnect);
    const session = await endpoint.connect(address, first as ConnectOptions);
    if (options.signal?.aborted === true) {
      session.destroy();
      throw options.signal.reason;
    }
    return new ReconnectingSession(endpoint, address, options, policy, session);
  }

  private constructor(
    endpoint: SttEndpoint,
    address: PeerAddress,
    options: ReconnectingOptions,
    { policy, stableAfter, afterClose }: ReconnectPolicy,
    session: SttSession,
  ) {
    super();
    this.#endpoint = endpoint;
    this.#address = typeof address === 'string' ? address : { ...address };
    this.#policy = policy;
    this.#stableAfter = stableAfter;
    this.#afterClose = afterClose;
    this.#session = session;
    this.peerNodeId = session.peerNodeId;
    // The ticket and its data serve once; the rest says how the peer is reached, each time.
    const { retry, resume, earlyData, reconnect, signal, ...rest } = options;
    this.#options = { ...rest, peerNodeId: session.peerNodeId, signal: this.#over.signal };
    this.closed = handled(
      new Promise<CloseInfo>((resolve, reject) => {
        this.#settle = { resolve, reject };
      }),
    );
    if (signal !== undefined) {
      this.#abort = addAbortListener(signal, () => this.#fail('error', signal.reason, 'aborted'));
    }
    this.#adopt(session);
  }

  /** Whether there is a session now. */
  get state(): ReconnectingState {
    return this.#state;
  }

  /**
   * The session of now, or the last there was. Streams and datagrams of its own go with it: take up those
   * that the peer opens anew at every `reconnected`.
   */
  get session(): SttSession {
    return this.#session;
  }

  /**
   * Runs `handler` with a stream of that purpose; when the session is lost, and it rejects therefore, once
   * more with a stream of the next session, and so on until it returns. `previous` tells how far the
   * stream before came. A handler is never called before its last call has settled. What it throws while
   * the session lives is the result, and resets the stream.
   *
   * @returns what the handler returns.
   * @throws {SttStateError} when a run of that purpose goes on already.
   * @throws what ended the whole, or its signal's reason.
   */
  run<Result>(purpose: string | RunOptions, handler: RunHandler<Result>): Promise<Result> {
    try {
      const options = checkRun(purpose, handler);
      return handled(this.#runs.run(options, handler, (signal) => this.#live(signal)));
    } catch (error) {
      return rejected(error);
    }
  }

  /** Ends it gracefully: what was written arrives first, unless there is no session now. */
  close(options?: SessionCloseOptions): Promise<CloseInfo> {
    if (this.#state === 'closed') return this.closed;
    this.#closing = true;
    if (this.#state === 'connected') {
      // Its end is told by `#onEnd`; this promise may tell more, such as that not everything arrived.
      return handled(this.#session.close(options).then(() => this.closed));
    }
    this.#finish('graceful', undefined);
    return this.closed;
  }

  /** Ends it at once, as an error: what was not acknowledged is lost. `closed` rejects. */
  destroy(message = ''): void {
    this.#fail('error', undefined, message);
  }

  /** `close()`, then the abrupt way. Never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => this.destroy());
  }

  #adopt(session: SttSession): void {
    this.#session = session;
    this.#since = performance.now();
    this.#state = 'connected';
    void session.settled.then((info) => this.#onEnd(session, info));
  }

  #onEnd(session: SttSession, info: SettledInfo): void {
    if (this.#state === 'closed') return;
    this.#undelivered = info.undelivered;
    if (this.#closing || !mayReturn(info, this.#afterClose)) {
      this.#finish(info.reason, info.error, info.initiator);
      return;
    }
    const now = performance.now();
    const stable = this.#outage === undefined || now - this.#since >= this.#stableAfter;
    if (stable) this.#outage = { began: now, attempts: 0 };
    this.#state = 'reconnecting';
    const error = info.error ?? goneError(session, 'peer');
    void this.#reconnect(error, now, session.cutStreams);
  }

  /** Never rejects. */
  async #reconnect(error: Error, lostAt: number, cut: readonly SttStream[]): Promise<void> {
    const outage = this.#outage ?? { began: lostAt, attempts: 0 };
    const deadline = this.#policy.deadline - (performance.now() - outage.began);
    if (deadline < 1) {
      this.#finish('error', error);
      return;
    }
    if (outage.attempts === 0) this.#tell({ attempt: 1, delay: 0, error });
    const onRetry = (event: RetryEvent): void => {
      outage.attempts = event.attempt;
      this.#tell({ ...event, attempt: event.attempt + 1 });
      this.#policy.onRetry?.(event);
    };
    try {
      const session = await this.#endpoint.connectBy(
        this.#address,
        this.#options,
        { ...this.#policy, deadline, onRetry },
        outage.attempts === 0 ? undefined : { attempts: outage.attempts, error },
      );
      outage.attempts += 1;
      this.#onConnected(session, outage, lostAt, cut);
    } catch (reason) {
      this.#finish('error', reason);
    }
  }

  #onConnected(
    session: SttSession,
    { attempts }: Outage,
    lostAt: number,
    cut: readonly SttStream[],
  ): void {
    if (this.#state === 'closed') {
      session.destroy();
      return;
    }
    this.#adopt(session);
    const event: ReconnectedEvent = Object.freeze({
      session,
      attempts,
      downtime: performance.now() - lostAt,
      lost: cut.filter(({ direction }) => direction !== 'receive').map(cutStream),
    });
    publish('stt.session.reconnected', () => event);
    this.emit('reconnected', event);
    this.#runs.wake(session);
  }

  #tell(event: ReconnectingEvent): void {
    Object.freeze(event);
    const { host, port } = parseAddress(this.#address);
    const peer = formatAddress({ address: host, port });
    publish('stt.session.reconnecting', () => ({ peer, ...event }));
    this.emit('reconnecting', event);
  }

  /** The session to open a stream in. */
  #live(signal: AbortSignal | undefined): Promise<SttSession> {
    if (this.#state === 'connected' && this.#session.ended === undefined) {
      return Promise.resolve(this.#session);
    }
    if (this.#state === 'closed')
      return this.closed.then(() => Promise.reject(this.#closedError()));
    return this.#runs.wait(signal);
  }

  #fail(reason: CloseReason, error: unknown, message: string): void {
    if (this.#state === 'closed') return;
    const session = this.#session;
    this.#finish(reason, error ?? goneError(session, 'local'));
    session.destroy(message);
  }

  /** The one way out. */
  #finish(reason: CloseReason, error: unknown, initiator: 'local' | 'remote' = 'local'): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#endedBy = initiator === 'remote' ? 'peer' : 'local';
    this.#abort?.[Symbol.dispose]();
    if (reason === 'graceful') {
      this.#settle.resolve({ reason, initiator, undelivered: this.#undelivered });
    } else {
      this.#settle.reject(error);
    }
    // A connect under way, or its pause, ends with this.
    this.#over.abort();
    this.#runs.end(reason === 'graceful' ? this.#closedError() : error);
    this.emit('closed', Object.freeze({ reason, ...(error === undefined ? {} : { error }) }));
  }

  #closedError(): SessionClosedError {
    const { host, port } = parseAddress(this.#address);
    const peer = formatAddress({ address: host, port });
    return new SessionClosedError(
      `The session with ${peer} was closed gracefully, and is not taken up again. Connect anew if there is more to say; reconnect.afterClose goes on after a close by the peer.`,
      { reason: 'graceful', origin: this.#endedBy, context: { peer, nodeId: this.peerNodeId } },
    );
  }
}

/** The same, checked. */
interface ReconnectPolicy {
  readonly policy: RetryPolicy;
  readonly stableAfter: number;
  readonly afterClose: boolean;
}

/** The policy of a reconnect, with its own defaults. */
function reconnectPolicy(options: ReconnectOptions = {}): ReconnectPolicy {
  if (typeof options !== 'object' || options === null) {
    throw new SttOptionError('reconnect', 'must be an object of options');
  }
  const { stableAfter = 5_000, afterClose = false, ...given } = options;
  checkNumber('reconnect.stableAfter', stableAfter, [0, 2 ** 31 - 1]);
  if (typeof afterClose !== 'boolean') {
    throw new SttOptionError('reconnect.afterClose', 'must be a boolean');
  }
  const policy = retryPolicy(
    {
      attempts: Number.POSITIVE_INFINITY,
      base: 500,
      maxDelay: 10_000,
      minDelay: Math.min(100, given.maxDelay ?? 100),
      deadline: 120_000,
      ...given,
    },
    'reconnect',
  );
  return { policy, stableAfter, afterClose };
}

/** Whether the end of a session is one after which a new session makes sense. */
function mayReturn({ reason, error, initiator }: SettledInfo, afterClose: boolean): boolean {
  if (reason === 'graceful') return afterClose && initiator === 'remote';
  return reason !== 'auth_failure' && !isFinal(error);
}

function cutStream(stream: SttStream): CutStream {
  return Object.freeze({ purpose: stream.purpose, ...progressOf(stream) });
}

function goneError(session: SttSession, origin: 'local' | 'peer'): SessionClosedError {
  const peer = formatAddress(session.remoteAddress);
  const { peerNodeId: nodeId, id: sessionId, transport } = session;
  return new SessionClosedError(
    `The session with ${peer} was ended ${origin === 'peer' ? 'by the peer' : 'on this side'}. Connect again if there is more to say.`,
    { reason: 'error', origin, context: { peer, nodeId, sessionId, transport } },
  );
}
