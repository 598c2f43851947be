import { getSystemErrorName } from 'node:util';
import type { PathStrain } from '../carriers/trials.ts';
import { IS_NODE } from '../runtime.ts';
import type { ListenLimits, NativeEndpoint, NativeOptions, StartFailure } from './binding.cjs';
import { loadBinding } from './load.ts';
import {
  CARRY,
  DATA,
  DRAINED,
  dispatch,
  MESSAGE,
  SLAB_FULL,
  STRIDE,
  TABLE_FULL,
} from './records.ts';
import type { Lease } from './slab.ts';
import { Slab } from './slab.ts';

/** The numbers that explain a {@link Fault}. */
export type FaultDetail =
  | { readonly kind: 'none' }
  | { readonly kind: 'limit'; readonly limit: number; readonly local: boolean }
  | { readonly kind: 'waited'; readonly ms: number }
  | { readonly kind: 'versions'; readonly versions: readonly number[] }
  | { readonly kind: 'clockSkew'; readonly ms: number }
  | { readonly kind: 'os'; readonly errno: number; readonly ms: number }
  | { readonly kind: 'refused'; readonly count: number; readonly ms: number }
  | { readonly kind: 'count'; readonly count: number; readonly frameType?: number }
  | { readonly kind: 'answered'; readonly nodeId: string }
  | { readonly kind: 'revoked' }
  | { readonly kind: 'seeds'; readonly count: number }
  | {
      readonly kind: 'memory';
      readonly limit: number;
      readonly used: number;
      readonly asked: number;
    };

/** An error of the closed table, in numbers. A code of 0 is none of them: the engine itself failed. */
export interface Fault {
  readonly code: number;
  readonly subcode: number;
  readonly causeCode: number;
  readonly causeSubcode: number;
  readonly detail: FaultDetail;
  /** Whose doing it was; the core always says. */
  readonly origin?: 'local' | 'peer' | 'idle' | 'path' | 'transport';
  readonly message?: string;
}

/** What an engine is started with: validated by the caller, complete, in milliseconds and bytes. */
export interface EngineOptions {
  nodeSeed?: Uint8Array;
  /** At least one, the one for new connects first. */
  sharedSeeds: Uint8Array[];
  /** An IP literal. */
  host: string;
  port: number;
  keepAliveIntervalMs: number;
  keepAliveTimeoutMs: number;
  handshakeTimeoutMs: number;
  maxConcurrentStreams: number;
  maxConcurrentSessions: number;
  /** Bytes; none without. */
  maxMemory?: number;
  recvBufferSize: number;
  sendBufferSize: number;
  streamRecvBuffer: number;
  maxDatagramSize: number;
  datagramSendBuffer: number;
  datagramRecvBuffer: number;
  datagramSendDrop: 'newest' | 'oldest';
  datagramRecvDrop: 'newest' | 'oldest';
  /** 0 switches the check off. */
  timestampWindowMs: number;
  mtu?: number;
  congestion: 'cubic' | 'bbr' | 'newreno';
  socketSendBuffer: number;
  socketRecvBuffer: number;
  /** Microseconds; 0 leaves what the system has. */
  socketBusyPoll: number;
  /** Writes are never held back, so this changes nothing in the engine. */
  noDelay: boolean;
  stealth: boolean;
  /** Packets sealed under one key, at most 2^23, which is the default. */
  keyUpdatePackets?: number;
  /** Packets that fail to authenticate until a session ends. */
  integrityLimit?: number;
  /** Folder for a qlog file of each session. */
  qlogDir?: string;
  /** File to append every session's secrets to. */
  keyLog?: string;
}

/** A peer's address. */
export interface PeerInfo {
  address: string;
  port: number;
  family: 'IPv4' | 'IPv6';
}

/** A peer's address, and the connection that leads there if it is not UDP. */
export interface PathInfo extends PeerInfo {
  /** The number of the connection. */
  connection: number | undefined;
}

/**
 * Called from one drain of the doorbell, in the order of what happened. A throw is a bug: it is reported as
 * an uncaught exception and loses no other record.
 */
export interface EngineHandlers {
  incoming(session: number, info: PathInfo & { peerNodeId: Uint8Array }): void;
  connected(
    session: number,
    info: PathInfo & {
      peerNodeId: Uint8Array;
      sessionId: Uint8Array;
      initiator: boolean;
      resumed: boolean;
      /** The side that sent some: what became of it. */
      earlyDataStatus: 'accepted' | 'rejected' | 'unknown' | undefined;
      /** The side that got some: this. */
      earlyData: Uint8Array | undefined;
    },
  ): void;
  /** The bytes are the handler's to keep. */
  ticket(session: number, ticket: Uint8Array): void;
  connectFailed(session: number, fault: Fault): void;
  streamOpened(
    session: number,
    stream: number,
    info: {
      id: number;
      unidirectional: boolean;
      purpose: string;
      name?: number;
      priority: number;
      /** Milliseconds. */
      deadline?: number;
    },
  ): void;
  opened(stream: number, id: number): void;
  openFailed(stream: number, fault: Fault): void;
  /** The chunk is read by the lease, where there is one; else it is the reader's to keep. */
  data(stream: number, chunk: Uint8Array, fin: boolean, lease: Lease | undefined): void;
  /** The peer gave up `length` bytes from `offset` on: what follows lies behind them. */
  gap(stream: number, offset: number, length: number): void;
  /** A DATAGRAM or a custom frame; the chunk is the reader's to keep. */
  message(session: number, frameType: number, chunk: Uint8Array): void;
  messagesWritable(session: number): void;
  writable(stream: number): void;
  finished(stream: number): void;
  reset(stream: number, code: number): void;
  stopped(stream: number, code: number): void;
  /** STT itself, here or at the peer, has ended both halves. */
  streamFailed(stream: number, fault: Fault): void;
  /** `acknowledged` as {@link Engine.acknowledged}, for the last time. */
  streamClosed(stream: number, acknowledged: number): void;
  /** The session of this stream ends with the next such word; as {@link Engine.acknowledged}. */
  acknowledged(stream: number, bytes: number): void;
  streamsAvailable(session: number, unidirectional: boolean): void;
  pong(session: number, token: number, rttMicros: number): void;
  /** This side closes it, or the peer does before long and leaves so many milliseconds. */
  draining(session: number, peerWithin: number | undefined): void;
  pathChange(session: number, info: PathInfo): void;
  /** The connection that the session's packets took is no more, and they wait for another path. */
  pathLost(session: number): void;
  /** The session's datagram path starves what goes by it: again and again while it does. */
  pathStrained(session: number, strain: PathStrain): void;
  /** The session's datagrams draw no answer any more, or the peer was heard again. */
  pathSilence(session: number, silent: boolean): void;
  /**
   * What a connection is to carry: whole frames of a WebSocket, with `packets` bytes in them beside their headers. They are
   * the handler's until it calls `giveBack`, once.
   */
  carry(connection: number, frames: Uint8Array, giveBack: () => void, packets: number): void;
  /** A connection carries a session: whoever opened it has proved itself. */
  connectionUsed(connection: number): void;
  /** A connection may be read on. */
  connectionReadable(connection: number): void;
  /** The answers to `moveSession`; none when another took its place. */
  moved(session: number, token: number): void;
  moveFailed(session: number, token: number, fault: Fault): void;
  /** The endpoint has another socket; a token of 0: nobody asked, its address went away. */
  rebound(token: number, address: PeerInfo): void;
  /** It keeps the one it has; `errno` negative as in Node. */
  rebindFailed(token: number, code: string, errno: number): void;
  sessionClosed(
    session: number,
    info: {
      reason: 0 | 1 | 2 | 3;
      remote: boolean;
      fault?: Fault;
      /** Words of whoever closed it. */
      message?: string;
      undelivered: number;
    },
  ): void;
  handshakeError(info: { address: string; port: number; fault: Fault }): void;
  /** So many of the newest packets were damaged, of so many in all. */
  pathWarning(session: number, damaged: number, packets: number): void;
  /** Session 0: an answer outside any session; it may also be the number of a connect. */
  sendError(session: number, info: PeerInfo & { fault: Fault; count: number }): void;
  /** `frameType`: of the newest, for 0x0404. */
  frameError(session: number, code: number, count: number, frameType: number | undefined): void;
  resourceWarning(info: { resource: string; value: number; limit: number }): void;
  /** Exactly once, after everything else. */
  endpointClosed(fault?: Fault): void;
}

/**
 * Whether a socket may be watched by libuv. Bun and Deno say that they have one, and export some of its names, but their
 * loops are others.
 */
const LOOP_IS_LIBUV: boolean = process.versions.uv !== undefined && IS_NODE;

/** Who joins small writes before they cross the boundary. */
export interface Joined {
  /** Writes what was joined. */
  flushJoined(): void;
}

/** Rows that one poll may fill. */
const TABLE_ROWS = 512;

/** Rows handled in one turn of the event loop before others have theirs. */
const TURN_ROWS = 1024;

/** Milliseconds spent in one turn of the event loop before others have theirs. */
const TURN_MS = 2;

/** Streams whose reads are gathered before they are told. */
const CONSUMED_PAIRS = 256;

/** As long as a timer can be set. */
const FOREVER_MS = 0x7fffffff;

/**
 * Engines with something to do for somebody: that listen, have sessions, or were asked to close or to rebind. They live without anyone holding
 * them; any other is ended by the garbage collector when its last reference is gone.
 */
const busy = new Set<Engine>();

/** The hand-written face of the addon: one endpoint. */
export class Engine {
  /** Where it was bound at first. */
  readonly address: PeerInfo;
  /** This node's id, 32 bytes. */
  readonly nodeId: Uint8Array;

  readonly #native: NativeEndpoint;
  readonly #handlers: EngineHandlers;
  readonly #slab = new Slab();
  readonly #rows = new Float64Array(STRIDE * (TABLE_ROWS + 1));
  readonly #consumed = new Uint32Array(2 * CONSUMED_PAIRS);
  #consumedLength = 0;
  #flushing = false;
  /** There was a write in this tick, and there were others that may lie until its end. */
  #written = false;
  #held = false;
  /** Streams whose small writes of this tick lie in JavaScript. */
  readonly #joined = new Set<Joined>();
  #draining = false;
  /** Something came while it drained, which no doorbell tells of and the poll before did not bring. */
  #again = false;
  #scheduled = false;
  #listening = false;
  /** Somebody waits for the end, who may hold nothing but a promise of it. */
  #closing = false;
  #closed = false;
  readonly #sessions = new Set<number>();
  /** Tokens of rebinds that are not answered yet. */
  readonly #rebinds = new Set<number>();
  /** Holds the process while it is ref'd; the doorbell never does. */
  readonly #hold: NodeJS.Timeout;

  /**
   * Binds and starts.
   * @throws a Node system error with `code` (EADDRINUSE, EACCES, EADDRNOTAVAIL ...), `errno`, `syscall` ('bind',
   * or 'thread' and 'poller' when those could not be had), `address` and `port`; a TypeError for a bad seed or address
   */
  static start(options: EngineOptions, handlers: EngineHandlers): Engine {
    // The doorbell must not hold the engine, or it is never collected.
    const started: { engine?: WeakRef<Engine> } = {};
    const ring = (): void => {
      const engine = started.engine?.deref();
      if (engine !== undefined) engine.#drain();
    };
    const { noDelay: _, ...native }: EngineOptions = options;
    const result = loadBinding().startEndpoint(
      { ...native, watchByLoop: LOOP_IS_LIBUV } satisfies NativeOptions,
      ring,
    );
    if ('stage' in result) throw startError(result, options);
    const engine = new Engine(result, handlers);
    started.engine = new WeakRef(engine);
    // Whatever rang before the reference stood.
    engine.#schedule();
    return engine;
  }

  private constructor(native: NativeEndpoint, handlers: EngineHandlers) {
    this.#native = native;
    this.#handlers = handlers;
    const { address, port, family } = native.address;
    this.address = { address, port, family: family === 6 ? 'IPv6' : 'IPv4' };
    this.nodeId = native.nodeId;
    this.#hold = setInterval(nothing, FOREVER_MS);
    ended.register(this, this.#hold);
  }

  /** Accepts peers, or, with `null`, no more. */
  listen(limits: ListenLimits | null): void {
    this.#listening = limits !== null;
    this.#root();
    if (limits === null) this.#native.stopListening();
    else this.#native.listen(limits);
  }

  /** The number of the session to be; answered by `connected` or `connectFailed`. */
  connect(o: {
    address: string;
    port: number;
    peerNodeId?: Uint8Array;
    timeoutMs: number;
    early?: boolean;
    resume?: Uint8Array;
    earlyData?: Uint8Array;
    /** Instead of the address: the number of an open connection. */
    connection?: number;
    /** Of the connects of one race, by several carriers, one makes a session. */
    race?: number;
  }): number {
    const session = this.#native.connect(
      o.address,
      o.port,
      o.peerNodeId,
      o.timeoutMs,
      o.early ?? false,
      o.resume,
      o.earlyData,
      o.connection,
      o.race,
    );
    if (!this.#closed) this.#sessions.add(session);
    this.#root();
    return session;
  }

  accept(session: number): void {
    this.#native.accept(session);
  }

  refuse(session: number, code: number): void {
    this.#sessions.delete(session);
    this.#root();
    this.#native.refuse(session, code);
  }

  /** The number of the stream, for `write` at once; answered by `opened` or `openFailed`. */
  openStream(
    session: number,
    o: {
      unidirectional: boolean;
      purpose: string;
      name?: number;
      priority: number;
      /** Milliseconds. */
      deadline?: number;
    },
  ): number {
    const { unidirectional, purpose, name, priority, deadline } = o;
    return this.#native.openStream(session, unidirectional, purpose, name, priority, deadline);
  }

  /**
   * Copies `chunk[start..end]` into the send ring, as much as there is room for.
   * @returns bytes taken; fewer than offered: `writable` follows; -1: the stream takes nothing more, for ever
   */
  write(stream: number, chunk: Uint8Array, start: number, end: number): number {
    if (this.#written) {
      this.#held = true;
      return this.#native.writeHeld(stream, chunk, start, end);
    }
    this.#written = true;
    process.nextTick(this.#flushWrites);
    return this.#native.write(stream, chunk, start, end);
  }

  /**
   * The first write of a tick goes out at once, and the others together at its end, as those of node:net do: a
   * system call for each costs more than all that they say.
   */
  readonly #flushWrites = (): void => {
    try {
      this.flushJoined();
    } finally {
      // Whatever became of it: the next tick begins anew.
      this.#written = false;
      if (this.#held) {
        this.#held = false;
        this.#native.flush();
      }
    }
  };

  /**
   * Whether a small write may lie in JavaScript until the end of this tick, as it is not the first. `joined` is then
   * told to write, once, at the tick's end or before its session is closed.
   */
  joins(joined: Joined): boolean {
    if (!this.#written || this.#closed) return false;
    this.#joined.add(joined);
    return true;
  }

  /** Has everybody write who joins. */
  flushJoined(): void {
    for (const joined of this.#joined) {
      this.#joined.delete(joined);
      joined.flushJoined();
    }
  }

  /** The same for many chunks in one call; the count runs over all of them. */
  writev(stream: number, chunks: readonly Uint8Array[]): number {
    return this.#native.writev(stream, chunks as Uint8Array[]);
  }

  /**
   * Bytes of a stream, from its first on, that the peer's transport has acknowledged without a gap.
   * @returns -1 where nothing is known of it, or its end has been told
   */
  acknowledged(stream: number): number {
    return this.#native.acknowledged(stream);
  }

  finish(stream: number): void {
    this.#native.finish(stream);
  }

  reset(stream: number, code: number): void {
    this.#native.reset(stream, code);
  }

  stop(stream: number, code: number): void {
    this.#native.stop(stream, code);
  }

  /** The reader took `bytes` of the stream. Gathered, and told with the next poll or at the end of this task. */
  consumed(stream: number, bytes: number): void {
    const pairs = this.#consumed;
    const length = this.#consumedLength;
    if (length > 0 && pairs[length - 2] === stream) {
      pairs[length - 1] = (pairs[length - 1] as number) + bytes;
      return;
    }
    if (length === pairs.length) this.#flush();
    pairs[this.#consumedLength++] = stream;
    pairs[this.#consumedLength++] = bytes;
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Nothing more of this stream is wanted. */
  release(stream: number): void {
    this.#native.release(stream);
  }

  closeSession(
    session: number,
    o: { reason: 0 | 1 | 2 | 3; code: number; message: string; drainMs: number },
  ): void {
    this.flushJoined();
    this.#native.closeSession(session, o.reason, o.code, o.message, o.drainMs);
  }

  abortConnect(session: number): void {
    this.#native.closeSession(session, 0, 0, '', 0);
  }

  /**
   * Copies a message into the session's bounded queue: DATAGRAM, or a custom frame type.
   * @returns 1: taken; 0: no room, `messagesWritable` follows; -1: the session takes nothing more; -2: too long
   */
  sendMessage(session: number, frameType: number, bytes: Uint8Array): number {
    return this.#native.sendMessage(session, frameType, bytes);
  }

  /** The longest message that a session takes now; 0 where the peer takes none. */
  maxMessageSize(session: number): number {
    return this.#native.maxMessageSize(session);
  }

  /** Whether custom frames of this type are wanted on this session. */
  handleFrames(session: number, frameType: number, held: boolean): void {
    this.#native.handleFrames(session, frameType, held);
  }

  /** Tells the peer that this side closes the session before long, and the milliseconds that it leaves. */
  announceEnd(session: number, within: number): void {
    this.#native.announceEnd(session, within);
  }

  ping(session: number, token: number): void {
    this.#native.ping(session, token);
  }

  /** Nobody waits for that ping any more; its `pong` may be under way already. */
  cancelPing(session: number, token: number): void {
    this.#native.cancelPing(session, token);
  }

  /**
   * Moves a session from a local IP address, to another address of the peer, both, or to an open
   * connection: `moved` or
   * `moveFailed` follows with the token.
   */
  moveSession(
    session: number,
    token: number,
    local: string | undefined,
    remote: { address: string; port: number } | undefined,
    connection?: number,
  ): void {
    const { address, port = 0 } = remote ?? {};
    this.#native.moveSession(session, token, local, address, port, connection);
  }

  /**
   * Attaches a connection that takes `room` bytes for now: what is to go out by it comes as `carry`.
   * @param id not 0, and never used before
   * @param remote whom limits for each source count it to; an IP literal
   * @param masked this is the client's side of a WebSocket: a mask, of zeros, is said to be on its frames
   */
  openConnection(
    id: number,
    remote: { address: string; port: number },
    room: number,
    masked: boolean,
  ): void {
    this.#native.openConnection(id, remote.address, remote.port, room, masked);
  }

  /**
   * Messages came by a connection. They are the engine's from now on, which may overwrite them.
   * @returns false: read no further until `connectionReadable`
   */
  receive(connection: number, messages: Uint8Array[]): boolean {
    const received = this.#native.receive(connection, messages);
    if ((received & EVENTS) !== 0) this.#drain();
    return (received & GOES_ON) !== 0;
  }

  /** A connection has passed on so many bytes of the packets that `carry` brought. */
  connectionWritable(connection: number, bytes: number): void {
    this.#native.connectionWritable(connection, bytes);
  }

  /** Detaches a connection that is no more: sessions on it wait for another path, connects fail. */
  closeConnection(connection: number): void {
    this.#native.closeConnection(connection);
  }

  /** Says whether another carrier is being looked for: ICMP refusals do not end the session meanwhile. */
  seekPath(session: number, seeking: boolean): void {
    this.#native.seekPath(session, seeking);
  }

  /** Gives up a move that is still under way. */
  cancelMove(session: number, token: number): void {
    this.#native.cancelMove(session, token);
  }

  /**
   * Binds another socket, an IP literal and a port, and goes on with it: `rebound` or `rebindFailed`
   * follows with the token, which is not 0.
   * @throws as {@link start}; nothing has changed then
   */
  rebind(host: string, port: number, token: number): void {
    const failure = this.#native.rebind(host, port, token);
    if (failure !== null) throw startError(failure, { host, port });
    this.#rebinds.add(token);
    this.#root();
  }

  /** Counters of a session; `undefined` once it is gone. */
  sessionStats(session: number): Record<string, number> | undefined {
    const stats = this.#native.sessionStats(session);
    return stats === null ? undefined : { ...stats };
  }

  /** Counters of the endpoint; empty once it has ended. */
  endpointStats(): Record<string, number> {
    return { ...this.#native.stats() };
  }

  /** The ceiling on memory, and the bytes in use now. */
  memory(): { limit: number; used: number } {
    const [limit = Number.POSITIVE_INFINITY, used = 0] = this.#native.memory();
    return { limit, used };
  }

  revoke(nodeId: Uint8Array): void {
    this.#native.revoke(nodeId);
  }

  /** Closes every session, gives written data up to `drainMs`, then ends: `endpointClosed` follows. */
  close(drainMs: number): void {
    this.#listening = false;
    this.#closing = true;
    this.#root();
    this.flushJoined();
    this.#native.close(drainMs);
  }

  /** Ends at once; `endpointClosed` follows in a task of its own. Again does nothing. */
  destroy(): void {
    this.#listening = false;
    this.#native.destroy();
    this.#schedule();
  }

  /** The process lives as long as this endpoint. */
  ref(): void {
    if (!this.#closed) this.#hold.ref();
  }

  /** The process may end while this endpoint is open. */
  unref(): void {
    this.#hold.unref();
  }

  hasRef(): boolean {
    return !this.#closed && this.#hold.hasRef();
  }

  #flush(): void {
    const length = this.#consumedLength;
    if (length === 0) return;
    this.#consumedLength = 0;
    this.#native.consumed(this.#consumed, length);
  }

  /** Polls until nothing is left, or until others should have their turn. */
  #drain(): void {
    if (this.#draining || this.#closed) {
      this.#again = this.#draining;
      return;
    }
    this.#draining = true;
    const until = performance.now() + TURN_MS;
    let handled = 0;
    let state = SLAB_FULL;
    while (state !== DRAINED) {
      const slab = this.#slab;
      this.#again = false;
      slab.rewind();
      const consumed = this.#consumedLength;
      this.#consumedLength = 0;
      const rows = this.#native.poll(slab.bytes, slab.offset, this.#rows, this.#consumed, consumed);
      for (let row = 1; row <= rows; row++) this.#handle(row * STRIDE);
      state = this.#rows[1] as number;
      if (state === SLAB_FULL) slab.renew();
      else slab.settle();
      handled += rows;
      if (this.#again && state === DRAINED) state = TABLE_FULL;
      if (state !== DRAINED && (handled >= TURN_ROWS || performance.now() >= until)) {
        this.#schedule();
        break;
      }
    }
    this.#draining = false;
  }

  #handle(at: number): void {
    const rows = this.#rows;
    try {
      if (rows[at] === DATA) {
        const [chunk, lease] = this.#slab.lease(rows[at + 2] as number, rows[at + 3] as number);
        this.#handlers.data(rows[at + 1] as number, chunk, rows[at + 4] !== 0, lease);
        return;
      }
      if (rows[at] === MESSAGE) {
        const chunk = this.#slab.chunk(rows[at + 2] as number, rows[at + 3] as number);
        this.#handlers.message(rows[at + 1] as number, rows[at + 4] as number, chunk);
        return;
      }
      if (rows[at] === CARRY) {
        const [frames, giveBack] = this.#slab.lend(rows[at + 2] as number, rows[at + 3] as number);
        this.#handlers.carry(rows[at + 1] as number, frames, giveBack, rows[at + 4] as number);
        return;
      }
      this.#account(rows[at] as number, rows[at + 1] as number);
      dispatch(this.#handlers, rows, at, this.#slab.bytes);
    } catch (error) {
      // Not thrown here, where it would lose the rows that follow.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** Keeps the books of what this engine has to do, by the kind of a row. */
  #account(kind: number, subject: number): void {
    switch (kind) {
      case INCOMING:
      case CONNECTED:
        this.#sessions.add(subject);
        break;
      case CONNECT_FAILED:
      case SESSION_CLOSED:
        this.#sessions.delete(subject);
        break;
      case REBOUND:
      case REBIND_FAILED:
        this.#rebinds.delete(subject);
        break;
      case ENDPOINT_CLOSED:
        this.#closed = true;
        this.#listening = false;
        this.#sessions.clear();
        clearInterval(this.#hold);
        break;
      default:
        return;
    }
    this.#root();
  }

  #root(): void {
    const asked = this.#closing || this.#rebinds.size > 0;
    if (!this.#closed && (this.#listening || asked || this.#sessions.size > 0)) busy.add(this);
    else busy.delete(this);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#drain();
    });
  }
}

/** What `receive` says. */
const GOES_ON = 1;
const EVENTS = 2;

const INCOMING = 1;
const CONNECTED = 2;
const CONNECT_FAILED = 3;
const SESSION_CLOSED = 17;
const ENDPOINT_CLOSED = 21;
const REBOUND = 28;
const REBIND_FAILED = 29;

/** The timer of an engine that was collected would hold the process for ever. */
const ended = new FinalizationRegistry<NodeJS.Timeout>((hold) => clearInterval(hold));

function nothing(): void {}

function startError(failure: StartFailure, options: Pick<EngineOptions, 'host' | 'port'>): Error {
  const { stage, errno, message } = failure;
  if (stage === 'seed' || stage === 'option') return new TypeError(message);
  const { host: address, port } = options;
  let code = failure.code;
  if (code === '' && process.platform !== 'win32' && errno > 0) code = getSystemErrorName(-errno);
  if (stage === 'log') {
    const error = new Error(`${code === '' ? 'UNKNOWN' : code}: ${message}`);
    return Object.assign(error, { code, errno: -errno, syscall: stage });
  }
  const error = new Error(`${code === '' ? 'UNKNOWN' : code}: ${message} (${address}:${port})`);
  return Object.assign(error, { code, errno: -errno, syscall: stage, address, port });
}

/**
 * The seed of a passphrase, by Argon2id on a thread of its own. Rejects with the reason when the passphrase is
 * too easy to guess or the salt too short.
 */
export function deriveSeed(passphrase: string, salt: Uint8Array): Promise<Uint8Array> {
  return loadBinding().deriveSeed(passphrase, salt);
}

/** Why `seed` is refused, in words; `null` when it will do. */
export function checkSeed(seed: Uint8Array): string | null {
  return loadBinding().checkSeed(seed);
}

/** Rust's table of errors, by ascending code. */
export function errorTable(): {
  code: number;
  name: string;
  className: string;
  category: string;
  recoverable: boolean;
  seedPhrase: string;
  recovery: string;
}[] {
  return loadBinding().errorTable();
}
