import { addAbortListener } from 'node:events';
import type { SocketAddress } from '../address.ts';
import type { Engine } from '../native/engine.ts';
import type { PathMeasure, PathStrain, Transport, Wish } from './trials.ts';
import { Trials } from './trials.ts';

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
  /** In what direction UDP has starved other sessions with this peer, not long ago. */
  readonly starved: PathMeasure['direction'] | undefined;
  /** A trial has decided for this; for a WebSocket with the direction in which UDP starves. */
  onVerdict(transport: Transport, starved?: PathMeasure['direction']): void;
}

/** Why this side has moved a session. */
export interface MoveCause {
  /** See `PathChangeReason`. */
  readonly reason: 'silent' | 'refused' | 'lost' | Wish['reason'];
  readonly measured?: PathMeasure;
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

/** Milliseconds between looks at what may have changed by itself. */
const SILENCE_CHECK = 50;
/** Milliseconds for which a refused send counts: as long as two reports of it are apart. */
const TROUBLE = 2_000;

/** Longest time that `setTimeout` keeps. */
const FOREVER = 2 ** 31 - 1;

type Aim = 'websocket' | 'udp' | 'either';

/** A move that this side tries to make. */
interface Attempt {
  readonly aim: Aim;
  readonly cause: MoveCause;
  /** Measurements want it; else a path that failed, or one that may be usable again. */
  readonly wished: boolean;
  readonly controller: AbortController;
  /** The session has moved there: that the attempt is given up then, as of no more use, is no failure. */
  arrived: boolean;
}

/**
 * Keeps the opener's side of a session on a path that works: over to a WebSocket when UDP falls silent, back
 * when it answers again, and to either when the WebSocket breaks. The moves are the core's, make before
 * break, on the session's own keys; streams notice nothing.
 */
export class Failover {
  readonly #host: FailoverHost;
  readonly #ended = new AbortController();
  readonly #moves = new Map<number, (moved: boolean) => void>();
  readonly #trials: Trials;
  #transport: Transport;
  /** Since when UDP has drawn no answer. */
  #silentSince: number | undefined;
  #lost = false;
  /** Until then the system has just refused to send. */
  #troubledUntil = 0;
  /** When UDP is tried again, on a WebSocket. */
  #returnAt = 0;
  #returnPause = FIRST_RETURN;
  #returnedAt = Number.NEGATIVE_INFINITY;
  #nextToken = FIRST_FAILOVER_TOKEN;
  /** The attempt under way. */
  #attempt: Attempt | undefined;
  /** The last one, given up: the core may have moved before it heard of that. */
  #givenUp: Attempt | undefined;
  #wake: () => void = () => {};

  constructor(host: FailoverHost, transport: Transport) {
    const now = performance.now();
    this.#host = host;
    this.#transport = transport;
    this.#trials = new Trials(now, transport, host.starved);
    this.#returnAt = now + this.#returnPause;
    void this.#run();
  }

  /** The session's datagrams draw no answer any more, or the peer was heard again. */
  onSilence(silent: boolean): void {
    this.#silentSince = silent ? performance.now() : undefined;
    if (silent) this.#trials.silent();
    this.look();
  }

  /** UDP starves what goes by it. */
  onStrain(strain: PathStrain): void {
    // Only where UDP was not asked for there is nothing to choose.
    if (this.#host.udp === undefined) return;
    this.#trials.strained(performance.now(), strain);
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

  /**
   * The session's packets go by this now.
   * @returns why, if it was this that moved the session
   */
  onPathChange(transport: Transport): MoveCause | undefined {
    const attempt = [this.#attempt, this.#givenUp].find(
      (one) => one?.aim === transport || one?.aim === 'either',
    );
    const own = attempt !== undefined;
    if (own) attempt.arrived = true;
    this.#givenUp = undefined;
    this.#lost = false;
    this.#silentSince = undefined;
    this.#troubledUntil = 0;
    const now = performance.now();
    // The peer has left what was on trial, or did not come along, as where little of it arrives.
    const followed = !own && transport !== this.#transport && !this.#host.moving();
    if (followed) this.#trials.abandoned();
    const wish = this.#trials.wish(now);
    this.#trials.taken(now, transport);
    if (transport !== this.#transport) {
      this.#transport = transport;
      if (transport === 'udp') {
        this.#returnedAt = now;
      } else {
        if (own && !attempt.wished) this.#onUdpFailed(now);
        this.#returnAt = now + this.#returnPause;
      }
    }
    this.look();
    // What measurements have found meanwhile says more than silence does.
    if ((own || followed) && wish?.to === transport) {
      return { reason: wish.reason, measured: wish.measured };
    }
    return attempt?.cause;
  }

  /** UDP, which was in use, fell silent or was refused: soon after the session returned to it, or after a good time. */
  #onUdpFailed(now: number): void {
    const wasGood = now - this.#returnedAt >= SHORT_RETURN;
    this.#returnPause = wasGood ? FIRST_RETURN : Math.min(2 * this.#returnPause, MAX_DISTRUST);
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

  /** What is to be done now, and why; undefined for nothing. */
  #plan(): Pick<Attempt, 'aim' | 'cause' | 'wished'> | undefined {
    const { udp } = this.#host;
    const now = performance.now();
    if (this.#lost) {
      const aim = udp === undefined ? 'websocket' : 'either';
      return { aim, cause: { reason: 'lost' }, wished: false };
    }
    const wish = this.#trials.wish(now);
    if (wish !== undefined) {
      const { to: aim, ...cause } = wish;
      return { aim, cause, wished: true };
    }
    if (this.#transport === 'udp') {
      const since = this.#silentSince;
      if (since !== undefined && !this.#trials.bears(now, since)) {
        return { aim: 'websocket', cause: { reason: 'silent' }, wished: false };
      }
      if (now >= this.#troubledUntil) return undefined;
      return { aim: 'websocket', cause: { reason: 'refused' }, wished: false };
    }
    if (udp === undefined || !this.#trials.calm || now < this.#returnAt) return undefined;
    return { aim: 'udp', cause: { reason: 'recovered' }, wished: false };
  }

  /** The facts have changed: an attempt that is of no use any more ends, and a sleep does. */
  look(): void {
    const attempt = this.#attempt;
    if (attempt !== undefined && attempt.aim !== this.#plan()?.aim) attempt.controller.abort();
    this.#wake();
  }

  async #run(): Promise<void> {
    let pause = FIRST_PAUSE;
    while (!this.#ended.signal.aborted) {
      const plan = this.#host.moving() ? undefined : this.#plan();
      if (plan === undefined) {
        pause = FIRST_PAUSE;
        await this.#sleep(this.#untilDue());
        this.#sample();
        continue;
      }
      const { aim } = plan;
      const controller = new AbortController();
      const attempt: Attempt = { ...plan, controller, arrived: false };
      this.#attempt = attempt;
      this.#givenUp = undefined;
      const { engine, session } = this.#host;
      // A server that refuses UDP may still be there: what becomes of the dial says more.
      if (aim !== 'udp') engine.seekPath(session, true);
      const tried = await this.#try(aim, controller.signal).catch(() => false);
      const moved = tried || attempt.arrived;
      if (aim !== 'udp' && !this.#ended.signal.aborted) engine.seekPath(session, false);
      this.#attempt = undefined;
      const { aborted } = controller.signal;
      // Where the application moves the session, what comes next is its move.
      if (aborted && !moved && !this.#host.moving()) this.#givenUp = attempt;
      if (plan.wished && !moved && !aborted) {
        // They grow pauses of their own.
        this.#trials.failed(performance.now());
      } else if (aim === 'udp' && !moved) {
        // One that was given up for another reason says nothing of UDP.
        if (!aborted) {
          const most = Math.max(MAX_RETURN, this.#returnPause);
          this.#returnPause = Math.min(2 * this.#returnPause, most);
        }
        this.#returnAt = performance.now() + this.#returnPause;
      } else if (moved) {
        pause = FIRST_PAUSE;
      } else if (!aborted) {
        await this.#sleep(pause);
        pause = Math.min(2 * pause, MAX_PAUSE);
      }
    }
  }

  /** Milliseconds until something is to be done even if nothing happens. */
  #untilDue(): number {
    const now = performance.now();
    const dues = [this.#trials.dueAt(now)];
    if (this.#silentSince !== undefined) dues.push(now + SILENCE_CHECK);
    if (this.#transport === 'websocket' && this.#host.udp !== undefined && this.#trials.calm) {
      dues.push(Math.max(this.#returnAt, now + SILENCE_CHECK));
    }
    const waits = dues.filter((due) => due !== undefined).map((due) => due - now);
    return Math.max(0, Math.min(...waits, FOREVER));
  }

  /** Shows the trials what the path in use has carried, if they want to know. */
  #sample(): void {
    const now = performance.now();
    const due = this.#trials.dueAt(now);
    if (due === undefined || now < due) return;
    const stats = this.#host.engine.sessionStats(this.#host.session);
    if (stats === undefined) return;
    const { pathBytesAcked = 0, pathBytesReceived = 0, bytesInFlight = 0, smoothedRtt = 0 } = stats;
    const { calm: wasCalm, starved: wasStarved } = this.#trials;
    this.#trials.sample(now, {
      acked: pathBytesAcked,
      received: pathBytesReceived,
      inFlight: bytesInFlight,
      rtt: smoothedRtt,
    });
    const { calm, starved } = this.#trials;
    if (starved !== undefined && wasStarved === undefined) {
      this.#host.onVerdict('websocket', starved);
    } else if (calm && !wasCalm && this.#transport === 'udp') {
      this.#host.onVerdict('udp');
    }
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
