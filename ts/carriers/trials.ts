import type { PathSample } from './goodput.ts';
import { Measurement } from './goodput.ts';

/** What carries a session. */
export type Transport = 'udp' | 'websocket';

/** What the core tells of a datagram path that starves what goes by it. */
export interface PathStrain {
  /** Whether it is about what this side sends; else about what the peer does. */
  readonly sending: boolean;
  /** Packets whose fate is known. */
  readonly packets: number;
  /** Those that were lost. */
  readonly lost: number;
  /** Of those that arrived. */
  readonly bytesPerSecond: number;
}

/** What was measured of the two carriers. Rates are bytes a second. */
export interface PathMeasure {
  /** Of what this side sends, or of what it receives. */
  readonly direction: 'sending' | 'receiving';
  /** What UDP carried. */
  readonly udpRate?: number;
  /** What the WebSocket carried. */
  readonly websocketRate?: number;
  /** The share of UDP's packets that were lost, 0 to 1. */
  readonly lossRate?: number;
}

/** Where measurements want the session to go. */
export interface Wish {
  readonly to: Transport;
  readonly reason: 'starved' | 'recovered' | 'trial-lost';
  readonly measured: PathMeasure;
}

/** A WebSocket is kept only if it carries so many times what UDP did: less is what chance and load make. */
const BETTER = 2;
/**
 * UDP is kept, when it is tried again, if it carries at least this share of what the WebSocket did: it is preferred
 * where both do as well, and two measurements of one link may well differ by a quarter. Between this and a half, as
 * {@link BETTER} has it, the session stays where it is, whichever that is.
 */
const AS_GOOD = 0.75;

/**
 * Milliseconds between trials that change nothing: at first ten times what a trial takes, so that a link that is slow
 * either way gives a tenth of its time to them at most; then twice as long each time.
 */
const FIRST_PAUSE = 30_000;
const MAX_PAUSE = 600_000;
/** After so long on UDP without strain, or on a WebSocket without demand, what was found says nothing of the network any more. */
const FORGET = 600_000;
/** A strain counts for so long: to open a WebSocket may take as long as a handshake may. */
const STRAIN_LASTS = 10_000;
/** UDP that is silent for longer than this is silent, and not only bad. */
const DARK = 2_000;

type State =
  /** Nothing speaks against the path in use. */
  | { readonly name: 'calm' }
  /** UDP starves, and a WebSocket is to be tried. */
  | { readonly name: 'strained'; readonly strain: PathStrain; readonly until: number }
  /** The path in use is new, and has to do better than the rival that was left. */
  | { readonly name: 'trial'; readonly rival: PathMeasure; readonly run: Measurement }
  /** It did not: the session is to go back. */
  | { readonly name: 'lost'; readonly measured: PathMeasure }
  /** A WebSocket is in use because UDP starved. What it carries is measured once UDP is due again. */
  | { readonly name: 'starved'; readonly since: number; readonly run: Measurement };

/**
 * Decides by measurement which of two carriers that both work a session takes, and never flaps. Knows no clock
 * and no socket: times are arguments, in milliseconds.
 *
 * UDP that starves makes a WebSocket be tried: it has to carry twice as much, or the session goes back. Once a WebSocket
 * is kept, UDP is tried in the same way, but only while there is something to measure. Pauses between trials grow, and
 * are short again only after a long time without strain: so moves get rare, whatever the network does.
 */
export class Trials {
  #state: State = { name: 'calm' };
  #on: Transport;
  /** UDP is in use since then, and did not starve. */
  #goodSince: number;
  /** No WebSocket is tried before. */
  #tryAt = Number.NEGATIVE_INFINITY;
  #tryPause = FIRST_PAUSE;
  /** UDP is not tried again before. */
  #returnAt = Number.NEGATIVE_INFINITY;
  #returnPause = FIRST_PAUSE;

  /** @param starved not long ago, UDP starved another session with this peer, in that direction */
  constructor(now: number, on: Transport, starved?: PathMeasure['direction']) {
    this.#on = on;
    this.#goodSince = now;
    if (starved !== undefined && on === 'websocket')
      this.#keepWebSocket(now, starved === 'sending');
  }

  /** What UDP is known to starve the session in: it is on a WebSocket for that reason. */
  get starved(): PathMeasure['direction'] | undefined {
    const state = this.#state;
    return state.name === 'starved' ? direction(state.run.sending) : undefined;
  }

  /** Whether nothing is known against UDP but that it was silent, or refused: when it answers, it will do. */
  get calm(): boolean {
    return this.#state.name === 'calm';
  }

  /** When {@link sample} is to be called; undefined for never. */
  dueAt(now: number): number | undefined {
    const state = this.#state;
    if (state.name === 'trial') return state.run.dueAt(now);
    if (state.name === 'starved') return Math.max(state.run.dueAt(now), this.#returnAt);
    return undefined;
  }

  /** Where the session should be, and is not. */
  wish(now: number): Wish | undefined {
    const state = this.#state;
    switch (state.name) {
      case 'strained': {
        if (now >= state.until) return undefined;
        const { packets, lost, bytesPerSecond } = state.strain;
        return {
          to: 'websocket',
          reason: 'starved',
          measured: {
            direction: direction(state.strain.sending),
            udpRate: bytesPerSecond,
            lossRate: packets === 0 ? 0 : lost / packets,
          },
        };
      }
      case 'lost':
        return { to: other(this.#on), reason: 'trial-lost', measured: state.measured };
      case 'starved': {
        if (!state.run.complete) return undefined;
        const { sending, rate } = state.run;
        const measured = { direction: direction(sending), websocketRate: rate };
        return { to: 'udp', reason: 'recovered', measured };
      }
      default:
        return undefined;
    }
  }

  /**
   * Whether UDP that is silent since `since` is to be borne for now: it is bad but alive, and a WebSocket was no better.
   */
  bears(now: number, since: number): boolean {
    return now < this.#tryAt && now - since < DARK;
  }

  /** UDP, which is in use, starves the session. */
  strained(now: number, strain: PathStrain): void {
    if (this.#on !== 'udp') return;
    if (now - this.#goodSince >= FORGET) {
      this.#tryPause = FIRST_PAUSE;
      this.#returnPause = FIRST_PAUSE;
    }
    this.#goodSince = now;
    const { name } = this.#state;
    if (name === 'trial' || name === 'lost' || now < this.#tryAt) return;
    this.#state = { name: 'strained', strain, until: now + STRAIN_LASTS };
  }

  /** UDP, which is in use, is silent: no trial of it goes on then. */
  silent(): void {
    if (this.#on === 'udp' && this.#state.name === 'trial') this.#lose(this.#state);
  }

  /** The peer does not take what is in use: if that was on trial, it is lost. */
  abandoned(): void {
    if (this.#state.name === 'trial') this.#lose(this.#state);
  }

  /** The session's packets take this from now on, whoever wanted that. */
  taken(now: number, transport: Transport): void {
    const state = this.#state;
    const wish = this.wish(now);
    const before = this.#on;
    this.#on = transport;
    if (transport !== before) this.#goodSince = now;
    if (transport === before) {
      // Another connection in place of one that broke, or another address.
      if (state.name === 'trial' || state.name === 'starved') state.run.restart();
    } else if (wish?.to === transport && wish.reason === 'trial-lost') {
      this.#goBack(now, wish.measured);
    } else if (wish?.to === transport) {
      if (wish.reason === 'recovered') this.#growReturnPause();
      const sending = wish.measured.direction === 'sending';
      const run = new Measurement({ sending, fresh: true });
      this.#state = { name: 'trial', rival: wish.measured, run };
    } else {
      // For another reason, so that there is nothing to prove.
      if (state.name === 'trial') this.#pauseTries(now);
      this.#state = { name: 'calm' };
    }
  }

  /** The move that was wished for came to nothing. */
  failed(now: number): void {
    const state = this.#state;
    if (state.name === 'starved') {
      this.#growReturnPause();
      this.#keepWebSocket(now, state.run.sending);
    } else if (state.name === 'strained' || state.name === 'lost') {
      // A trial of UDP that is lost without a WebSocket to go back to, or no WebSocket to try.
      if (this.#on === 'udp') {
        this.#pauseTries(now);
        this.#state = { name: 'calm' };
      } else if (state.name === 'lost') {
        // UDP, which the WebSocket was no better than, does not answer any more.
        this.#keepWebSocket(now, state.measured.direction === 'sending');
      }
    }
  }

  /** What the path in use has carried by now; to be called when {@link dueAt} says so. */
  sample(now: number, sample: PathSample): void {
    const state = this.#state;
    if (state.name === 'trial') {
      state.run.add(now, sample);
      this.#judge(now, state);
    } else if (state.name === 'starved' && now >= this.#returnAt) {
      state.run.add(now, sample);
      // Nobody has had anything to send for long: by now the network may be another one.
      if (now - (state.run.activeAt ?? state.since) > FORGET) this.#state = { name: 'calm' };
    }
  }

  #judge(now: number, state: State & { name: 'trial' }): void {
    const { rival, run } = state;
    const needed =
      this.#on === 'websocket'
        ? BETTER * (rival.udpRate ?? 0)
        : AS_GOOD * (rival.websocketRate ?? 0);
    if (run.surpasses(needed) || (run.complete && run.rate >= needed)) {
      if (this.#on === 'websocket') this.#keepWebSocket(now, run.sending);
      else this.#state = { name: 'calm' };
    } else if (run.complete) {
      this.#lose(state);
    }
  }

  #lose({ rival, run }: State & { name: 'trial' }): void {
    const own = this.#on === 'udp' ? { udpRate: run.rate } : { websocketRate: run.rate };
    this.#state = { name: 'lost', measured: { ...rival, ...own } };
  }

  #goBack(now: number, { direction: way }: PathMeasure): void {
    if (this.#on === 'websocket') {
      this.#keepWebSocket(now, way === 'sending');
      return;
    }
    this.#pauseTries(now);
    this.#state = { name: 'calm' };
  }

  #keepWebSocket(now: number, sending: boolean): void {
    this.#returnAt = now + this.#returnPause;
    this.#state = {
      name: 'starved',
      since: now,
      run: new Measurement({ sending, fresh: false }),
    };
  }

  #pauseTries(now: number): void {
    this.#tryAt = now + this.#tryPause;
    this.#tryPause = Math.min(2 * this.#tryPause, MAX_PAUSE);
  }

  /** Each return makes the next one later: UDP that was kept may starve again. */
  #growReturnPause(): void {
    this.#returnPause = Math.min(2 * this.#returnPause, MAX_PAUSE);
  }
}

function direction(sending: boolean): PathMeasure['direction'] {
  return sending ? 'sending' : 'receiving';
}

function other(transport: Transport): Transport {
  return transport === 'udp' ? 'websocket' : 'udp';
}
