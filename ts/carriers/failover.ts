import { addAbortListener } from 'node:events';
import type { SocketAddress } from '../address.ts';
import type { Engine } from '../native/engine.ts';

/** Tokens of moves from here on are of failovers; those before, of the application's own moves. */
export const FIRST_FAILOVER_TOKEN = 0x8000_0000;

/** What a failover needs of its session and endpoint. */
export interface FailoverHost {
  readonly engine: Engine;
  /** The core's number of the session. */
  readonly session: number;
  /** Where the peer is by UDP, looked up anew each time; undefined where only a WebSocket was asked for. */
  readonly udp: (() => Promise<SocketAddress>) | undefined;
  /** Opens a WebSocket to the peer, and gives the number of its connection. */
  dial(signal: AbortSignal): Promise<number>;
  /** Gets rid of a connection that the session does not use. */
  discard(connection: number): void;
  /** The application moves the session itself: nothing else may, for now. */
  moving(): boolean;
}

/** Pauses in milliseconds between attempts that fail. */
const FIRST_PAUSE = 500;
const MAX_PAUSE = 10_000;
/** Milliseconds on a WebSocket until UDP is tried again; twice as many after each attempt that fails. */
const FIRST_RETURN = 5_000;
const MAX_RETURN = 60_000;
/** UDP that falls silent again so soon after the session returned to it is not trusted: the pause grows. */
const SHORT_RETURN = 30_000;
const MAX_DISTRUST = 300_000;
/** Milliseconds that UDP has before a WebSocket is opened as well, where both are to be found anew. */
const HEAD_START = 250;

/** Milliseconds for which a refused send counts: as long as two reports of it are apart. */
const TROUBLE = 2_000;

type Aim = 'websocket' | 'udp' | 'either';

/**
 * Keeps the opener's side of a session on a path that works: over to a WebSocket when UDP falls silent, back
 * when it answers again, and to either when the WebSocket breaks. The moves are the core's, make before
 * break, on the session's own keys; streams notice nothing.
 */
export class Failover {
  readonly #host: FailoverHost;
  readonly #ended = new AbortController();
  readonly #moves = new Map<number, (moved: boolean) => void>();
  #transport: 'udp' | 'websocket';
  #silent = false;
  #lost = false;
  /** Until then the system has just refused to send. */
  #troubledUntil = 0;
  /** When UDP is tried again, on a WebSocket. */
  #returnAt = 0;
  #returnPause = FIRST_RETURN;
  #returnedAt = Number.NEGATIVE_INFINITY;
  #nextToken = FIRST_FAILOVER_TOKEN;
  /** The attempt under way, and what it is for. */
  #attempt: { readonly aim: Aim; readonly controller: AbortController } | undefined;
  #wake: () => void = () => {};

  constructor(host: FailoverHost, transport: 'udp' | 'websocket') {
    this.#host = host;
    this.#transport = transport;
    this.#returnAt = performance.now() + this.#returnPause;
    void this.#run();
  }

  /** The session's datagrams draw no answer any more, or the peer was heard again. */
  onSilence(silent: boolean): void {
    this.#silent = silent;
    if (silent && performance.now() - this.#returnedAt < SHORT_RETURN) {
      this.#returnPause = Math.min(2 * this.#returnPause, MAX_DISTRUST);
    }
    this.look();
  }

  /** The system does not send the session's datagrams; told again while it does not. */
  onSendError(): void {
    this.#troubledUntil = performance.now() + TROUBLE;
    this.look();
  }

  /** The WebSocket that the session was on is no more. */
  onLost(): void {
    this.#lost = true;
    this.look();
  }

  /** The session's packets go by this now. */
  onPathChange(transport: 'udp' | 'websocket'): void {
    this.#lost = false;
    this.#silent = false;
    this.#troubledUntil = 0;
    if (transport === this.#transport) return;
    this.#transport = transport;
    const now = performance.now();
    if (transport === 'udp') this.#returnedAt = now;
    else this.#returnAt = now + this.#returnPause;
    this.look();
  }

  /** What became of a move of this failover. */
  onMove(token: number, moved: boolean): void {
    const settle = this.#moves.get(token);
    this.#moves.delete(token);
    settle?.(moved);
  }

  /** The application is about to move the session itself. */
  yield(): void {
    this.#attempt?.controller.abort();
  }

  end(): void {
    this.#ended.abort();
    this.#attempt?.controller.abort();
    this.#wake();
  }

  /** What is to be done now; undefined for nothing. */
  #aim(): Aim | undefined {
    const { udp } = this.#host;
    if (this.#lost) return udp === undefined ? 'websocket' : 'either';
    if (this.#transport === 'udp') {
      const troubled = performance.now() < this.#troubledUntil;
      return this.#silent || troubled ? 'websocket' : undefined;
    }
    const due = udp !== undefined && performance.now() >= this.#returnAt;
    return due ? 'udp' : undefined;
  }

  /** The facts have changed: an attempt that is of no use any more ends, and a sleep does. */
  look(): void {
    const attempt = this.#attempt;
    if (attempt !== undefined && attempt.aim !== this.#aim()) attempt.controller.abort();
    this.#wake();
  }

  async #run(): Promise<void> {
    let pause = FIRST_PAUSE;
    while (!this.#ended.signal.aborted) {
      const aim = this.#host.moving() ? undefined : this.#aim();
      if (aim === undefined) {
        pause = FIRST_PAUSE;
        await this.#sleep(this.#untilReturn());
        continue;
      }
      const controller = new AbortController();
      this.#attempt = { aim, controller };
      const { engine, session } = this.#host;
      // A server that refuses UDP may still be there: what becomes of the dial says more.
      if (aim !== 'udp') engine.seekPath(session, true);
      const moved = await this.#try(aim, controller.signal).catch(() => false);
      if (aim !== 'udp' && !this.#ended.signal.aborted) engine.seekPath(session, false);
      this.#attempt = undefined;
      if (aim === 'udp' && !moved) {
        this.#returnPause = Math.min(
          2 * this.#returnPause,
          Math.max(MAX_RETURN, this.#returnPause),
        );
        this.#returnAt = performance.now() + this.#returnPause;
      } else if (moved) {
        if (aim === 'udp' && performance.now() - this.#returnedAt > SHORT_RETURN) {
          this.#returnPause = FIRST_RETURN;
        }
        pause = FIRST_PAUSE;
      } else if (!controller.signal.aborted) {
        await this.#sleep(pause);
        pause = Math.min(2 * pause, MAX_PAUSE);
      }
    }
  }

  #untilReturn(): number {
    if (this.#transport === 'udp' || this.#host.udp === undefined) return 2 ** 31 - 1;
    return Math.max(50, Math.min(this.#returnAt - performance.now(), 2 ** 31 - 1));
  }

  async #try(aim: Aim, signal: AbortSignal): Promise<boolean> {
    if (aim === 'udp') return this.#moveToUdp(signal);
    if (aim === 'websocket') return this.#moveToWebSocket(signal);
    const byUdp = new AbortController();
    const forward = addAbortListener(signal, () => byUdp.abort());
    try {
      const first = this.#moveToUdp(byUdp.signal);
      const soon = await Promise.race([first, this.#later(HEAD_START, signal)]);
      if (soon === true) return true;
      const connection = await this.#host.dial(signal).catch(() => undefined);
      // Nothing but UDP is left to hope for.
      if (connection === undefined) return await first;
      // The core tries one path at a time: that of the WebSocket, which is open, has better prospects.
      byUdp.abort();
      if (await first) {
        this.#host.discard(connection);
        return true;
      }
      return await this.#moveTo(connection, signal);
    } finally {
      forward[Symbol.dispose]();
      byUdp.abort();
    }
  }

  async #moveToWebSocket(signal: AbortSignal): Promise<boolean> {
    return this.#moveTo(await this.#host.dial(signal), signal);
  }

  async #moveTo(connection: number, signal: AbortSignal): Promise<boolean> {
    const moved = await this.#move(signal, (token) =>
      this.#host.engine.moveSession(this.#host.session, token, undefined, undefined, connection),
    );
    if (!moved) this.#host.discard(connection);
    return moved;
  }

  async #moveToUdp(signal: AbortSignal): Promise<boolean> {
    const { engine, session, udp } = this.#host;
    const address = await udp?.().catch(() => undefined);
    if (address === undefined) return false;
    return this.#move(signal, (token) => engine.moveSession(session, token, undefined, address));
  }

  /** One move of the core, given up when the signal says so. */
  #move(signal: AbortSignal, start: (token: number) => void): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    const token = this.#nextToken;
    this.#nextToken = token === 0xffff_ffff ? FIRST_FAILOVER_TOKEN : token + 1;
    return new Promise((resolve) => {
      const abort = addAbortListener(signal, () => {
        this.#host.engine.cancelMove(this.#host.session, token);
        this.onMove(token, false);
      });
      this.#moves.set(token, (moved) => {
        abort[Symbol.dispose]();
        resolve(moved);
      });
      start(token);
    });
  }

  #later(ms: number, signal: AbortSignal): Promise<undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      timer.unref();
      const abort = addAbortListener(signal, done);
      function done(): void {
        clearTimeout(timer);
        abort[Symbol.dispose]();
        resolve(undefined);
      }
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      timer.unref();
      this.#wake = done;
      function done(): void {
        clearTimeout(timer);
        resolve();
      }
    });
  }
}
