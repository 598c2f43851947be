import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { SocketAddress } from '../address.ts';
import type { SttErrorContext } from '../errors/error.ts';
import type { Engine } from '../native/engine.ts';
import { printable } from '../printable.ts';
import type { LinkEnd } from './link.ts';
import { Link, ROOM } from './link.ts';
import type { FrameReads } from './reads.ts';

/** Milliseconds that a link without a session is kept: its last words still leave. */
const LINGER = 1_000;
/**
 * Milliseconds that a link is kept whose session is not known yet: packets of one came by it, and the way is not proven.
 * An answer may wait behind much else, but whoever never answers must not collect links.
 */
const PROOF_TIME = 30_000;

/**
 * Bytes that may come by a link before a session is known to: a handshake has less than 6 KiB, but a session that
 * moves there may fill the link before the engine's word of it is heard. None of them are kept.
 */
const UNAUTHENTICATED_BYTES = 4 * ROOM;

/** Bytes of messages that are not whole, of all links without a session. Past it, the link that holds most is ended. */
const UNAUTHENTICATED_MEMORY = 32 << 20;

/** The end of a session's WebSocket, as errors tell of it. */
export type CarrierEnd = Pick<SttErrorContext, 'closeCode' | 'closeReason'>;

/** Every WebSocket of an endpoint, by the number that its engine knows it by. */
export class Links {
  readonly #engine: () => Engine;
  readonly #links = new Map<number, Link>();
  /** The link that a session's packets take. */
  readonly #bySession = new Map<number, Link>();
  /** How the links of live sessions ended. */
  readonly #ends = new Map<number, LinkEnd>();
  readonly #onSettled: (link: Link) => void;
  #nextId = 1;
  /** Bytes of messages that are not whole, of links without a session. */
  #held = 0;

  /** @param onSettled a link has a session, or is no more */
  constructor(engine: () => Engine, onSettled: (link: Link) => void) {
    this.#engine = engine;
    this.#onSettled = onSettled;
  }

  /** Attaches an open WebSocket, of which this is the client's side or the server's. */
  add(
    socket: WebSocket,
    stream: Socket,
    side: 'client' | 'server',
    remote: SocketAddress,
    reads?: FrameReads,
  ): Link {
    const id = this.#nextId++;
    const host = {
      engine: this.#engine(),
      gone: (link: Link, end: LinkEnd) => this.#gone(link, end),
      held: (bytes: number) => this.#hold(bytes),
    };
    const link = new Link(host, id, socket, stream, side, remote, UNAUTHENTICATED_BYTES);
    this.#links.set(id, link);
    reads?.begin(() => link.flush());
    return link;
  }

  get(id: number): Link | undefined {
    return this.#links.get(id);
  }

  /** A session's packets take that link from now on, or none of them. */
  use(session: number, id: number | undefined): void {
    const before = this.#bySession.get(session);
    if (id === undefined) this.#ends.delete(session);
    if (before?.id === id) return;
    if (before !== undefined) this.#leave(before, session);
    const link = id === undefined ? undefined : this.#links.get(id);
    if (link === undefined) return;
    link.sessions.add(session);
    this.#bySession.set(session, link);
    this.#ends.delete(session);
  }

  /** A session has come by that link: whoever opened it has proved itself. */
  authenticate(id: number): void {
    const link = this.#links.get(id);
    if (link === undefined || link.authenticated) return;
    link.authenticate();
    this.#onSettled(link);
    this.#closeUnused(link, PROOF_TIME);
  }

  /** What carries a session now. */
  transportOf(session: number): 'udp' | 'websocket' {
    return this.#bySession.has(session) || this.#ends.has(session) ? 'websocket' : 'udp';
  }

  /** How the link that a session was on has ended; undefined while it has not. */
  carrierEnd(session: number): CarrierEnd | undefined {
    const end = this.#ends.get(session);
    if (end === undefined) return undefined;
    const { closeCode, reason } = end;
    return { closeCode, ...(reason === '' ? {} : { closeReason: printable(reason) }) };
  }

  /** The session is over, and the link with it unless others use it. */
  release(session: number): void {
    this.#ends.delete(session);
    const link = this.#bySession.get(session);
    if (link !== undefined) this.#leave(link, session);
  }

  /** A link that was opened for a session which does not want it, unless it has just moved there. */
  discard(id: number): void {
    const link = this.#links.get(id);
    if (link !== undefined) this.#closeUnused(link);
  }

  /** Ends every link; what was handed over still leaves. */
  end(): void {
    for (const link of [...this.#links.values()]) link.close();
  }

  #hold(bytes: number): void {
    this.#held += bytes;
    if (bytes <= 0 || this.#held <= UNAUTHENTICATED_MEMORY) return;
    let most: Link | undefined;
    for (const link of this.#links.values()) {
      if (link.held > (most?.held ?? 0)) most = link;
    }
    most?.terminate();
  }

  #leave(link: Link, session: number): void {
    this.#bySession.delete(session);
    link.sessions.delete(session);
    this.#closeUnused(link);
  }

  /** Closes a link in a while, unless a session uses it: its last words still leave. */
  #closeUnused(link: Link, patience = LINGER): void {
    if (link.sessions.size > 0) return;
    const timer = setTimeout(() => {
      if (link.sessions.size === 0) link.close();
    }, patience);
    timer.unref();
  }

  #gone(link: Link, end: LinkEnd): void {
    this.#links.delete(link.id);
    for (const session of link.sessions) {
      this.#bySession.delete(session);
      this.#ends.set(session, end);
    }
    this.#onSettled(link);
  }
}
