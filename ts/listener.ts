import type { SocketAddress } from './address.ts';
import { DONE, handled } from './async.ts';
import type { WebSocketListenOptions } from './carriers/options.ts';
import { SttOptionError } from './errors/local.ts';
import { warn } from './events.ts';
import type { Engine } from './native/engine.ts';
import { checkNumber } from './options.ts';
import { IterableQueue } from './queue.ts';
import type { SttSession } from './session.ts';

/** Who asks to be let in: it has proved the shared seed and its node id. */
export interface PeerInfo extends SocketAddress {
  /** 64 hex digits. */
  readonly nodeId: string;
  readonly transport: 'udp' | 'websocket';
}

/** How an endpoint accepts peers. */
export interface ListenOptions {
  /**
   * Decides on every peer. False, a throw, or no answer in time is 0x0103 at the peer.
   * @default every holder of the shared seed is let in
   */
  readonly authorize?: (
    peer: PeerInfo,
    context: { readonly signal: AbortSignal },
  ) => boolean | Promise<boolean>;
  /**
   * Milliseconds that `authorize` may take; then its signal is aborted.
   * @default 5_000
   */
  readonly authorizeTimeout?: number;
  /**
   * Peers that `authorize` decides on at a time; the next is told 0x0203.
   * @default 256
   */
  readonly maxPendingAuthorizations?: number;
  /**
   * Sessions of peers at a time; the next is told 0x0203.
   * @default maxConcurrentSessions
   */
  readonly maxSessions?: number;
  /**
   * Sessions of one source at a time, whatever its port: an IPv4 address, or a /64 of IPv6. The next is
   * told 0x0203.
   * @default no cap but maxSessions
   */
  readonly maxSessionsPerSource?: number;
  /**
   * New sessions a second of one source, as many at once; the next is told 0x0203.
   * @default no cap
   */
  readonly maxRatePerSource?: number;
  /**
   * Sessions of one node id at a time; the next is told 0x0203.
   * @default no cap but maxSessions
   */
  readonly maxSessionsPerPeer?: number;
  /**
   * New sessions a second of one node id, as many at once; the next is told 0x0203.
   * @default no cap
   */
  readonly maxRatePerPeer?: number;
  /**
   * Accepted sessions that nobody has taken yet; a session past it is ended with 0x0602.
   * @default 256
   */
  readonly backlog?: number;
  /**
   * Milliseconds for which a peer may return by the ticket of its last session; 0 gives no tickets out.
   * @default 3_600_000
   */
  readonly ticketLifetime?: number;
  /**
   * Takes the early data of peers that return: it is in `session.earlyData`, authentic and never
   * delivered twice, but without forward secrecy until the keys of tickets are gone, two lifetimes later.
   * @default false
   */
  readonly acceptEarlyData?: boolean;
  /**
   * Takes peers by WebSocket as well: on a TCP port, or by a server that is there.
   * @default UDP alone
   */
  readonly websocket?: WebSocketListenOptions;
  /** Stops accepting. */
  readonly signal?: AbortSignal;
}

/** Accepted sessions, one by one. Leaving the loop stops accepting; the sessions live on. */
export interface SttListener extends AsyncIterable<SttSession>, AsyncDisposable {
  /** Stops accepting, and ends the iteration. */
  close(): void;
  /**
   * Resolves once peers can come by every carrier asked for; rejects, as the iteration then does, with the
   * system's code when the TCP port cannot be had. Never raises an unhandled rejection.
   */
  readonly ready: Promise<void>;
  /** Where it takes WebSockets; undefined before `ready`, and without `websocket`. */
  readonly websocketAddress: SocketAddress | undefined;
}

const DEFAULT_AUTHORIZE_TIMEOUT = 5_000;
const DEFAULT_PENDING_AUTHORIZATIONS = 256;
const DEFAULT_BACKLOG = 256;
const DEFAULT_TICKET_LIFETIME = 3_600_000;
/** A week: keys of tickets live twice as long. */
const MAX_TICKET_LIFETIME = 604_800_000;

/** What one source and one peer may have; the core keeps them. */
const CAPS = [
  'maxSessionsPerSource',
  'maxRatePerSource',
  'maxSessionsPerPeer',
  'maxRatePerPeer',
] as const;

const CODE_AUTHENTICATION = 0x0103;
const CODE_TOO_MANY_SESSIONS = 0x0203;
const CODE_BUFFER_OVERFLOW = 0x0602;

/** The accepting side of an endpoint: who is let in, and who waits to be taken. */
export class Listener implements SttListener {
  readonly #engine: Engine;
  readonly #options: ListenOptions;
  readonly #backlog: number;
  readonly #authorizeTimeout: number;
  readonly #maxPending: number;
  readonly #onClose: () => void;
  readonly #queue = new IterableQueue<SttSession>();
  readonly #pending = new Set<AbortController>();
  readonly #stop = (): void => this.close();
  #closed = false;
  #ready: Promise<void> = DONE;
  #websocketAddress: () => SocketAddress | undefined = () => undefined;
  #onEnd: (() => void) | undefined;

  constructor(
    engine: Engine,
    options: ListenOptions,
    maxConcurrentSessions: number,
    onClose: () => void,
  ) {
    const { maxSessions = maxConcurrentSessions, signal, authorize } = options;
    const {
      backlog = DEFAULT_BACKLOG,
      authorizeTimeout = DEFAULT_AUTHORIZE_TIMEOUT,
      maxPendingAuthorizations = DEFAULT_PENDING_AUTHORIZATIONS,
      ticketLifetime = DEFAULT_TICKET_LIFETIME,
      acceptEarlyData = false,
    } = options;
    checkNumber('maxSessions', maxSessions, [1, 1_000_000]);
    checkNumber('backlog', backlog, [1, 1_000_000]);
    checkNumber('ticketLifetime', ticketLifetime, [0, MAX_TICKET_LIFETIME]);
    if (typeof acceptEarlyData !== 'boolean') {
      throw new SttOptionError('acceptEarlyData', 'must be true or false');
    }
    checkNumber('authorizeTimeout', authorizeTimeout, [1, 2 ** 31 - 1]);
    checkNumber('maxPendingAuthorizations', maxPendingAuthorizations, [1, 1_000_000]);
    const caps: Partial<Record<(typeof CAPS)[number], number>> = {};
    for (const name of CAPS) {
      const cap = options[name];
      if (cap === undefined) continue;
      checkNumber(name, cap, [1, 1_000_000]);
      caps[name] = cap;
    }
    if (authorize !== undefined && typeof authorize !== 'function') {
      throw new SttOptionError('authorize', 'must be a function');
    }
    if (signal !== undefined && !(signal instanceof AbortSignal)) {
      throw new SttOptionError('signal', 'must be an AbortSignal');
    }
    this.#engine = engine;
    this.#options = options;
    this.#backlog = backlog;
    this.#authorizeTimeout = authorizeTimeout;
    this.#maxPending = maxPendingAuthorizations;
    this.#onClose = onClose;
    signal?.throwIfAborted();
    signal?.addEventListener('abort', this.#stop, { once: true });
    engine.listen({
      maxSessions,
      authorize: authorize !== undefined,
      ticketLifetimeMs: ticketLifetime,
      earlyData: acceptEarlyData,
      ...caps,
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<SttSession, undefined> {
    return this.#queue.iterate(() => this.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  close(): void {
    this.end();
  }

  get ready(): Promise<void> {
    return this.#ready;
  }

  get websocketAddress(): SocketAddress | undefined {
    return this.#websocketAddress();
  }

  /** What is to be done once nothing more is accepted. */
  onClosed(act: () => void): void {
    this.#onEnd = act;
  }

  /** Peers can come by WebSocket once `ready` says so; where it fails, the iteration does. */
  waitFor(ready: Promise<void>, address: () => SocketAddress | undefined): void {
    this.#websocketAddress = address;
    this.#ready = handled(ready);
    ready.catch((error: unknown) => this.end(error));
  }

  /** Sessions that nobody has taken. */
  get unaccepted(): number {
    return this.#queue.length;
  }

  /** Peers that are being decided on. */
  get authorizing(): number {
    return this.#pending.size;
  }

  /** Stops accepting; with an error, the iteration throws it. */
  end(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.signal?.removeEventListener('abort', this.#stop);
    for (const controller of this.#pending) controller.abort();
    this.#engine.listen(null);
    this.#queue.end(error === undefined ? undefined : () => error);
    // Nobody will ever take these.
    for (const session of this.#queue.clear()) {
      session.shed(CODE_TOO_MANY_SESSIONS, 'no longer accepting');
    }
    this.#onEnd?.();
    this.#onClose();
  }

  /** A peer that proved itself waits for an answer. */
  incoming(number: number, peer: PeerInfo): void {
    const { authorize } = this.#options;
    if (authorize === undefined) {
      this.#engine.accept(number);
      return;
    }
    if (this.#closed || this.#pending.size >= this.#maxPending) {
      this.#engine.refuse(number, CODE_TOO_MANY_SESSIONS);
      return;
    }
    void this.#decide(number, peer, authorize);
  }

  /** A session that is ready to be taken. */
  push(session: SttSession): void {
    if (this.#queue.length >= this.#backlog) {
      session.shed(CODE_BUFFER_OVERFLOW, 'too many sessions wait to be served');
      return;
    }
    this.#queue.push(session);
  }

  async #decide(
    number: number,
    peer: PeerInfo,
    authorize: NonNullable<ListenOptions['authorize']>,
  ): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    this.#pending.add(controller);
    const timer = setTimeout(() => controller.abort(), this.#authorizeTimeout);
    let admitted = false;
    try {
      const late = new Promise<false>((resolve) => {
        signal.addEventListener('abort', () => resolve(false), { once: true });
      });
      admitted = (await Promise.race([authorize(peer, { signal }), late])) === true;
    } catch (error) {
      warn('authorize() threw, so the peer was refused', error);
    } finally {
      clearTimeout(timer);
      this.#pending.delete(controller);
    }
    if (admitted && !this.#closed) this.#engine.accept(number);
    else this.#engine.refuse(number, CODE_AUTHENTICATION);
  }
}
