import type { SttEndpoint, SttSession } from '../../index.ts';
import { ReconnectingSession } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import { LAST_WORDS_MS } from '../listening.ts';
import type { Output } from '../output.ts';
import type { ResolvedPeer } from '../peers/resolve.ts';
import { Credits } from './credit.ts';
import { CREDIT_PURPOSE, resetAll, stopOneWay } from './messages.ts';

/** A session with the far side, and the credit of its connections. */
export interface Lane {
  readonly session: SttSession;
  readonly credits: Credits;
}

/** How the far side is reached. */
export interface LinkOptions {
  readonly to: ResolvedPeer;
  /** Milliseconds for one try. */
  readonly connectTimeout: number;
  readonly transport: 'udp' | 'websocket' | 'auto';
  /** Ends the first try. */
  readonly signal: AbortSignal;
  readonly output: Output;
}

/**
 * The session with the far side, replaced for as long as it takes when it is lost, and when the far side was ended, too: it
 * may be started again. Connections of a session that was lost cannot go on, since bytes of theirs are lost; those
 * that come wait for the next one.
 */
export class Link {
  readonly #kept: ReconnectingSession;
  readonly #output: Output;
  /** Milliseconds that the other side may take to say that it is one of a tunnel. */
  readonly #timeout: number;
  readonly #waiting = new Set<() => void>();
  #lane: Lane | undefined;
  /** Whether there ever was a session with a side of a tunnel. */
  #isOpen = false;
  #isDown = false;
  #failure: { readonly error: unknown } | undefined;
  /** Rejects when there will be no session any more. */
  readonly failed: Promise<never>;

  /** @throws as `endpoint.connect()`: the first session is tried for once. */
  static async open(endpoint: SttEndpoint, options: LinkOptions): Promise<Link> {
    const { to, connectTimeout, transport, signal, output } = options;
    const first = new AbortController();
    const abort = (): void => first.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      const kept = await ReconnectingSession.connect(endpoint, to.address, {
        peerNodeId: to.peerNodeId,
        timeout: connectTimeout,
        transport,
        signal: first.signal,
        reconnect: {
          afterClose: true,
          deadline: Number.POSITIVE_INFINITY,
          // What no further try helps against ends it in any case.
          codes: () => true,
        },
      });
      const link = new Link(kept, output, connectTimeout);
      await link.#begin(kept.session).catch((error: unknown) => {
        void link.close();
        throw signal.aborted ? signal.reason : notATunnel(error);
      });
      return link;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  private constructor(kept: ReconnectingSession, output: Output, timeout: number) {
    this.#kept = kept;
    this.#output = output;
    this.#timeout = timeout;
    this.failed = kept.closed.then(() => new Promise<never>(() => undefined));
    this.failed.catch(() => undefined);
    kept.on('reconnecting', ({ attempt, delay, error }) => {
      this.#lane = undefined;
      // What the first session comes to is told by whoever opens this.
      if (!this.#isOpen) return;
      const { headline: message, code } = output.describe(error);
      output.event('reconnecting', { try: attempt, code, message, delay });
      // Once for each outage; those that follow shortly go on counting.
      // What happened, without what to do about it: that is being done.
      const [happened] = message.split(/\.(?:\s|$)/);
      output[this.#isDown ? 'detail' : 'note'](`${happened}; connecting again, try ${attempt}`);
      this.#isDown = true;
    });
    kept.on('reconnected', ({ session, downtime }) => {
      this.#isDown = false;
      output.note(`connected again after ${(downtime / 1_000).toFixed(1)} s`);
      this.#begin(session).catch(() => undefined);
    });
    kept.on('closed', ({ error }) => {
      this.#lane = undefined;
      this.#failure = { error };
      this.#tell();
    });
  }

  /** The session of now. */
  get session(): SttSession {
    return this.#kept.session;
  }

  /** A session that lives, as soon as there is one. Rejects with the signal's reason, or when there will be none. */
  async lane(signal: AbortSignal): Promise<Lane> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#lane?.session.ended === undefined && this.#lane !== undefined) return this.#lane;
      await this.#change(signal);
    }
  }

  /** Says goodbye, and tries no more. */
  async close(): Promise<void> {
    await this.#kept.close({ timeout: LAST_WORDS_MS }).catch(() => this.#kept.destroy());
  }

  async #begin(session: SttSession): Promise<void> {
    this.#output.event('session', {
      sessionId: session.id,
      peerNodeId: session.peerNodeId,
      transport: session.transport,
    });
    session.on('pathChange', ({ transport }) => {
      this.#output.event('moved', { sessionId: session.id, transport });
      this.#output.detail(`the session goes on by another path, by ${transport}`);
    });
    stopOneWay(session).catch(() => undefined);
    resetAll(session).catch(() => undefined);
    const stream = await session.createBidirectionalStream({
      purpose: CREDIT_PURPOSE,
      priority: 0,
    });
    const credits = new Credits(stream);
    const late = setTimeout(() => session.destroy('no side of a tunnel'), this.#timeout);
    credits.run().catch((error: Error) => {
      // Without credit nothing moves: a new session has it anew.
      if (session.ended === undefined) session.destroy(error.message);
    });
    await credits.ready.finally(() => clearTimeout(late));
    this.#lane = { session, credits };
    this.#isOpen = true;
    this.#tell();
  }

  #tell(): void {
    for (const waiting of this.#waiting) waiting();
    this.#waiting.clear();
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

function notATunnel(cause: unknown): CliError {
  return new CliError(
    ExitCode.Interrupted,
    'what answers there is not "stt tunnel --serve".',
    'start that on the other machine, or correct the port.',
    { cause },
  );
}
