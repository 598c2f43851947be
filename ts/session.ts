import type { SocketAddress } from './address.ts';
import { formatAddress } from './address.ts';
import type { WaitOptions } from './async.ts';
import { checkWait, handled, rejected, timeoutError, Waiter } from './async.ts';
import type { Failover, FailoverHost } from './carriers/failover.ts';
import { FIRST_FAILOVER_TOKEN } from './carriers/failover.ts';
import type { CarrierEnd } from './carriers/links.ts';
import type { PathStrain } from './carriers/trials.ts';
import { SttDatagrams } from './datagrams.ts';
import { publish } from './diagnostics.ts';
import type { SttError } from './errors/error.ts';
import type { FaultPlace } from './errors/fault.ts';
import { closeReason, frameErrorEvent, sessionClosedError } from './errors/fault.ts';
import type { ErrorTally, TalliedContext } from './errors/tally.ts';
import { TALLY } from './errors/tally.ts';
import { Emitting } from './events.ts';
import type { FrameHandler } from './messages/frames.ts';
import { checkFrameType, FrameHandlers } from './messages/frames.ts';
import { MessageSender } from './messages/sender.ts';
import type { MigrateOptions } from './moves.ts';
import { Moves } from './moves.ts';
import type { Engine, Fault } from './native/engine.ts';
import { Pings } from './pings.ts';
import { IterableQueue } from './queue.ts';
import type { SessionEnd } from './session-end.ts';
import { rootCause } from './session-end.ts';
import type {
  CloseInfo,
  DrainingEvent,
  FrameErrorEvent,
  PathChangeEvent,
  PathChangeReason,
  PathWarningEvent,
  SendErrorEvent,
  SettledInfo,
  SttSessionEvents,
} from './session-state.ts';
import type { SessionStats } from './stats.ts';
import { snapshot } from './stats.ts';
import type { ByteSource } from './stream/bytes.ts';
import { toBytes } from './stream/bytes.ts';
import type { StreamOptions } from './stream/open.ts';
import { checkStreamOptions, StreamOpener } from './stream/open.ts';
import type { SttReceiveStream, SttSendStream } from './stream.ts';
import { SttStream } from './stream.ts';

/** How `session.close()` waits. */
export interface SessionCloseOptions extends WaitOptions {
  /**
   * Milliseconds that written data may take to arrive.
   * @default 10_000
   */
  readonly timeout?: number;
}

/** What an endpoint hands to a session. */
export interface SessionHost {
  readonly engine: Engine;
  /** Streams by the core's number, until both halves are over there too. */
  readonly streams: Map<number, SttStream>;
  /** Who asked for a stream that the core has not opened yet. */
  readonly openings: Map<number, SttSession>;
  readonly maxPendingBytes: number;
  readonly streamIdleTimeout: number;
  /** What its errors are counted with. */
  readonly tally: ErrorTally;
  /** Where the endpoint is bound. */
  boundTo(): SocketAddress;
  readonly datagramSendBuffer: number;
  readonly datagramRecvBuffer: number;
  readonly datagramRecvDrop: 'newest' | 'oldest';
  /** How the WebSocket below was closed, while nothing has taken its place. */
  carrierEnd(session: number): CarrierEnd | undefined;
  sessionOver(session: SttSession, info: SettledInfo): void;
  frameError(session: SttSession, event: FrameErrorEvent): void;
}

/** What is known of a session when it begins. */
export interface SessionInfo {
  readonly id: string;
  readonly peerNodeId: string;
  readonly isInitiator: boolean;
  readonly remoteAddress: SocketAddress;
  readonly transport: 'udp' | 'websocket';
  readonly resumed: boolean;
  readonly earlyDataStatus: 'accepted' | 'rejected' | 'unknown' | undefined;
  readonly earlyData: Uint8Array | undefined;
  /** Makes what keeps the session on a path that works; undefined where it has one path alone. */
  readonly failover?: (own: Pick<FailoverHost, 'session' | 'moving'>) => Failover;
}

const DEFAULT_CLOSE_TIMEOUT = 10_000;

/** What is iterated over where nothing was made yet. */
const NONE: readonly never[] = [];

/** Reasons and code of an abrupt end by this side. */
const REASON_GRACEFUL = 0;
const REASON_ERROR = 2;
const CODE_SESSION_CLOSED = 0x0201;

const CODE_UNKNOWN_FRAME = 0x0404;

/** The frame type of a DATAGRAM. */
const DATAGRAM = 0x16;

/** One encrypted, authenticated association with a peer: any number of streams, one fate. */
export class SttSession extends Emitting<SttSessionEvents> implements AsyncDisposable {
  /** The same 16 hex digits on both sides; for logs. */
  readonly id: string;
  /** The peer's node id, proved, 64 hex digits. */
  readonly peerNodeId: string;
  /** Whether this side connected. */
  readonly isInitiator: boolean;
  /** Whether a ticket brought it about: the peer is who it was in the session of that ticket. */
  readonly resumed: boolean;
  /**
   * Where it was opened, what became of `earlyData`: the peer has it; or never will, so that it counts
   * as not sent; or nobody answered in time and only the peer knows. Undefined when there was none.
   */
  readonly earlyDataStatus: 'accepted' | 'rejected' | 'unknown' | undefined;
  /** Where it was accepted, the early data that came with it, if any. */
  readonly earlyData: Uint8Array | undefined;
  readonly #host: SessionHost;
  readonly #number: number;
  readonly #bidirectional = new IterableQueue<SttStream>();
  readonly #unidirectional = new IterableQueue<SttStream>();
  /** Streams with a half that is not over. */
  #streams: Set<SttStream> | undefined;
  /** Numbers by which the core may still tell of a stream. */
  #numbers: Set<number> | undefined;
  // What follows is made when it is first asked for (docs/adr/0122-idle-sessions-in-javascript.md).
  #pings: Pings | undefined;
  #opener: StreamOpener | undefined;
  #sender: MessageSender | undefined;
  #datagrams: SttDatagrams | undefined;
  #frames: FrameHandlers | undefined;
  #moves: Moves | undefined;
  #settled: Promise<SettledInfo> | undefined;
  #closed: Promise<CloseInfo> | undefined;
  readonly #failover: Failover | undefined;
  /** Frames that came after their handler had gone. */
  #lateFrames = 0;
  #remoteAddress: SocketAddress;
  #transport: 'udp' | 'websocket';
  #resumptionTicket: Uint8Array | undefined;
  #closing: Promise<CloseInfo> | undefined;
  /** This side told the peer that it closes before long. */
  #drains = false;
  /** Called when the last stream is over, while somebody waits for that. */
  #onStreamsOver: (() => void) | undefined;
  #end: SettledInfo | undefined;
  #ended: SttError | undefined;
  /** Streams that were not over when the session ended. */
  #cut: readonly SttStream[] = [];
  #lastStats: SessionStats | undefined;
  #settle: ((info: SettledInfo) => void) | undefined;

  /** @internal */
  constructor(host: SessionHost, number: number, info: SessionInfo) {
    super();
    this.#host = host;
    this.#number = number;
    this.id = info.id;
    this.peerNodeId = info.peerNodeId;
    this.isInitiator = info.isInitiator;
    this.#remoteAddress = info.remoteAddress;
    this.#transport = info.transport;
    this.resumed = info.resumed;
    this.earlyDataStatus = info.earlyDataStatus;
    this.earlyData = info.earlyData;
    this.#failover = info.failover?.({ session: number, moving: () => this.#isMoving });
  }

  /**
   * Resolves when the session ended well; rejects with the root cause otherwise (0x0202, 0x0204,
   * 0x0103 and so on). Never raises an unhandled rejection.
   */
  get closed(): Promise<CloseInfo> {
    this.#closed ??= handled(
      this.settled.then((end) => {
        if (end.error !== undefined) throw end.error;
        return closeInfo(end);
      }),
    );
    return this.#closed;
  }

  /** The same as data: never rejects. */
  get settled(): Promise<SettledInfo> {
    this.#settled ??= new Promise((resolve) => {
      if (this.#end === undefined) this.#settle = resolve;
      else resolve(this.#end);
    });
    return this.#settled;
  }

  /** Messages without order, without retransmission. */
  get datagrams(): SttDatagrams {
    if (this.#datagrams === undefined) {
      this.#datagrams = new SttDatagrams(this.#host, this.#messageSender());
      if (this.#end !== undefined) this.#datagrams.end(this.#iterationEnd(this.#end));
    }
    return this.#datagrams;
  }

  /** What carries it now. */
  get transport(): 'udp' | 'websocket' {
    return this.#transport;
  }

  /** Where the peer is now. */
  get remoteAddress(): SocketAddress {
    return this.#remoteAddress;
  }

  /**
   * Where it was opened: what `connect(..., { resume })` returns by, once, while the peer remembers.
   * It is a secret: whoever has it, and the shared seed, can pass for this node to the peer. Undefined
   * until it has come (with `early`, after `connect()`), and when the peer gives none.
   */
  get resumptionTicket(): Uint8Array | undefined {
    return this.#resumptionTicket;
  }

  /** Streams that the peer opens, to be read and written. */
  get incomingBidirectionalStreams(): AsyncIterable<SttStream> {
    return { [Symbol.asyncIterator]: () => this.#bidirectional.iterate() };
  }

  /** Streams that the peer opens, to be read. */
  get incomingUnidirectionalStreams(): AsyncIterable<SttReceiveStream> {
    return { [Symbol.asyncIterator]: () => this.#unidirectional.iterate() };
  }

  /**
   * Opens a stream that both sides can write to. The peer sees it at once.
   *
   * @throws {TooManyStreamsError} at the peer's limit, unless `waitUntilAvailable`.
   * @throws {StreamIdConflictError} when `id` is in use.
   * @throws {SessionClosedError} when the session has ended or is closing.
   */
  createBidirectionalStream(options?: StreamOptions): Promise<SttStream> {
    return this.#open('bidirectional', options);
  }

  /** Opens a stream that only this side can write to; otherwise as {@link createBidirectionalStream}. */
  createUnidirectionalStream(options?: StreamOptions): Promise<SttSendStream> {
    return this.#open('send', options);
  }

  /**
   * Sends a frame of a type that the application defines, 0x80 to 0xFE, to the peer's {@link onFrame}.
   * Frames share the queue, the limits and the fate of datagrams: whole, once, no promise that they arrive.
   * Resolves when it is taken into the queue.
   *
   * @throws as {@link SttDatagrams.send}.
   */
  sendFrame(type: number, bytes: ByteSource, options?: WaitOptions): Promise<void> {
    try {
      checkFrameType(type);
      return this.#messageSender().send(type, toBytes(bytes), options);
    } catch (error) {
      return rejected(error);
    }
  }

  /**
   * Hands frames of one of the application's own types, 0x80 to 0xFE, to `handler`. Frames of a type
   * without a handler are dropped and counted, and told as `frameError` 0x0404.
   *
   * @returns a function that takes the handler away again.
   * @throws {SttStateError} when the type has a handler.
   */
  onFrame(type: number, handler: FrameHandler): () => void {
    this.#frames ??= new FrameHandlers((changed, held) =>
      this.#host.engine.handleFrames(this.#number, changed, held),
    );
    return this.#frames.add(type, handler);
  }

  /**
   * Milliseconds that a packet takes to the peer and back, measured now. 256 are under way at a time; more wait
   * until others are answered, and what is measured begins when the packet leaves. One that is lost goes out again.
   *
   * @throws {BufferOverflowError} while 4096 are not answered. One whose timeout or signal has ended it counts no more.
   */
  ping(options?: WaitOptions): Promise<number> {
    return this.#ownPings().ping(options);
  }

  /**
   * Moves the session to another path: from another address of this machine, to another address of the
   * peer, or both. Make before break: the new path is tried under path ids that tell no watcher that the
   * two belong together, the session goes on where it is meanwhile, and nothing is lost. Resolves when
   * the peer has answered there and the session uses the path; `pathChange` comes at both sides.
   *
   * What rejects leaves the session on the path that it has. One move is tried at a time: a later call
   * takes the place of an earlier one.
   *
   * @throws {SttOptionError} for an address that the endpoint's socket cannot send from.
   * @throws {ConnectionTimeoutError} 0x0101 when the peer does not answer there within three probe
   *   timeouts, a second at least.
   * @throws {NetworkUnreachableError} 0x0104 when no route leads there, {UdpSendError} 0x0501 when the
   *   system refuses to send, as from an address that this machine does not have.
   * @throws {SttTimeoutError} 0x0601 after `timeout`; or when the peer gives no path id to move under.
   * @throws {SttStateError} when a later call took its place.
   * @throws {SessionClosedError} when the session has ended, or ends; or the signal's reason.
   */
  migrate(options: MigrateOptions): Promise<void> {
    // What the application wants goes before what this side does by itself.
    this.#failover?.yield();
    const moved = this.#ownMoves().migrate(options);
    // Whatever became of it: this side looks after the path again.
    moved.then(
      () => this.#failover?.look(),
      () => this.#failover?.look(),
    );
    return moved;
  }

  /** Counters and measurements; after the end, the last that were taken. */
  stats(): SessionStats | undefined {
    const stats =
      this.#end === undefined ? this.#host.engine.sessionStats(this.#number) : undefined;
    if (stats) this.#lastStats = this.#withOwnCounts(stats);
    return this.#lastStats;
  }

  /**
   * Ends the session once all that was written has arrived. No new streams from now on.
   *
   * @throws {SttTimeoutError} when not everything arrived in time; the session has ended then, too.
   * @throws the root cause, when the session failed before.
   */
  close(options?: SessionCloseOptions): Promise<CloseInfo> {
    let wait: WaitOptions;
    try {
      wait = checkWait(options);
    } catch (error) {
      return rejected(error);
    }
    this.#closing ??= handled(this.#drainAndClose(wait.timeout ?? DEFAULT_CLOSE_TIMEOUT));
    const { signal } = wait;
    if (signal === undefined) return this.#closing;
    const waiter = new Waiter<CloseInfo>({ signal });
    this.#closing.then(
      (info) => waiter.resolve(info),
      (error: unknown) => waiter.reject(error),
    );
    return waiter.promise;
  }

  /** Ends the session at once, as an error: what was not acknowledged is lost. `closed` rejects. */
  destroy(message = ''): void {
    if (this.#end !== undefined) return;
    this.#closeNative(REASON_ERROR, CODE_SESSION_CLOSED, message, 0);
    this.onClosed({ reason: REASON_ERROR, remote: false, message, undelivered: 0 });
  }

  /** `close()`, then the abrupt way. Never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => this.destroy());
  }

  /** @internal */
  onStreamOpened(
    stream: number,
    info: {
      id: number;
      unidirectional: boolean;
      purpose: string;
      name?: number;
      priority: number;
      deadline?: number;
    },
  ): void {
    const { purpose, name, priority, deadline } = info;
    const direction = info.unidirectional ? 'receive' : 'bidirectional';
    const object = this.#addStream(stream, { direction, purpose, name, priority, deadline });
    object.onOpened(info.id);
    publish('stt.stream.opened', () => ({ session: this, stream: object }));
    (info.unidirectional ? this.#unidirectional : this.#bidirectional).push(object);
  }

  /** @internal */
  onOpened(stream: number, id: number): void {
    const object = this.#opener?.onOpened(stream, id);
    if (object !== undefined)
      publish('stt.stream.opened', () => ({ session: this, stream: object }));
  }

  /** @internal */
  onOpenFailed(stream: number, fault: Fault): void {
    this.#opener?.onOpenFailed(stream, fault);
  }

  /** @internal */
  onStreamsAvailable(unidirectional: boolean): void {
    this.#opener?.onAvailable(unidirectional ? 'send' : 'bidirectional');
  }

  /** @internal */
  onPong(token: number, rttMicros: number): void {
    this.#pings?.onPong(token, rttMicros);
  }

  /** @internal */
  onTicket(ticket: Uint8Array): void {
    this.#resumptionTicket = ticket;
    this.emit('resumptionTicket', ticket);
  }

  /** @internal */
  onMessage(frameType: number, bytes: Uint8Array): void {
    if (frameType === DATAGRAM) {
      this.datagrams.onDatagram(bytes);
    } else if (this.#frames?.dispatch(frameType, bytes) !== true) {
      this.#lateFrames += 1;
      this.onFrameError(CODE_UNKNOWN_FRAME, 1, frameType);
    }
  }

  /** @internal */
  onMessagesWritable(): void {
    this.#sender?.onWritable();
  }

  /** @internal */
  onDraining(peerWithin: number | undefined): void {
    const event: DrainingEvent =
      peerWithin === undefined
        ? { initiator: 'local' }
        : { initiator: 'remote', within: peerWithin };
    if (event.initiator === 'local' && this.#drains) return;
    this.#tellDraining(event);
  }

  /** @internal */
  onPathChange(address: SocketAddress, transport: 'udp' | 'websocket'): void {
    const before = this.#remoteAddress;
    const from = this.#transport;
    this.#remoteAddress = address;
    this.#transport = transport;
    const cause = this.#failover?.onPathChange(transport) ?? {
      reason: this.#isMoving ? 'migrated' : peerReason(before, address, from === transport),
    };
    const event: PathChangeEvent = Object.freeze({ ...address, transport, from, ...cause });
    publish('stt.session.pathChange', () => ({ session: this, ...event }));
    this.emit('pathChange', event);
  }

  /** @internal */
  onMoved(token: number): void {
    if (token >= FIRST_FAILOVER_TOKEN) this.#failover?.onMove(token, true);
    else this.#moves?.onMoved(token);
  }

  /** @internal */
  onMoveFailed(token: number, fault: Fault): void {
    if (token >= FIRST_FAILOVER_TOKEN) this.#failover?.onMove(token, false);
    else this.#moves?.onFailed(token, fault);
  }

  /** @internal The datagram path in use starves what goes by it. */
  onPathStrain(strain: PathStrain): void {
    this.#failover?.onStrain(strain);
  }

  /** @internal The path in use draws no answer any more, or does again. */
  onPathSilence(silent: boolean): void {
    this.#failover?.onSilence(silent);
  }

  /** @internal The WebSocket below is no more. */
  onPathLost(): void {
    this.#failover?.onLost();
  }

  /** @internal */
  onPathWarning(damaged: number, packets: number): void {
    const corruption = damaged / packets;
    const percent = (corruption * 100).toFixed(1);
    const warning: PathWarningEvent = {
      corruption,
      damaged,
      packets,
      message: `${percent} % of the last ${packets} packets from ${this.#place().peer} arrived damaged. Nothing is lost by it but speed. Look at the network hardware: cables, network cards and their drivers on the way.`,
    };
    publish('stt.session.pathWarning', () => ({ session: this, ...warning }));
    this.emit('pathWarning', warning);
  }

  /** @internal */
  onSendError(event: SendErrorEvent): void {
    this.#failover?.onSendError();
    publish('stt.session.sendError', () => ({ session: this, ...event }));
    this.emit('sendError', event);
  }

  /** @internal */
  onFrameError(code: number, count: number, frameType: number | undefined): void {
    const event = frameErrorEvent(code, count, this.place(), frameType);
    this.#host.tally.count(code, count - 1);
    publish('stt.session.frameError', () => ({ session: this, ...event }));
    this.emit('frameError', event);
    this.#host.frameError(this, event);
  }

  /** @internal */
  onClosed(end: SessionEnd): void {
    if (this.#end !== undefined) return;
    // First, so that what is counted as undelivered is what the streams then say.
    for (const number of this.#numbers ?? NONE) this.#host.streams.get(number)?.seal();
    const info = this.#describeEnd(end);
    this.#end = info;
    this.#failover?.end();
    this.#opener?.fail(this.#endError(info));
    this.#sender?.fail(this.#endError(info));
    this.#moves?.end(this.#endError(info));
    this.#pings?.end(this.#endError(info));
    const open = [...(this.#streams ?? NONE)];
    this.#cut = open.filter(({ isWhole }) => !isWhole);
    for (const stream of open) stream.fail(this.#endError(info));
    this.#streams = undefined;
    for (const number of this.#numbers ?? NONE) this.#forget(number);
    const iterationEnd = this.#iterationEnd(info);
    this.#bidirectional.end(iterationEnd);
    this.#unidirectional.end(iterationEnd);
    this.#datagrams?.end(iterationEnd);
    this.#settle?.(info);
    publish('stt.session.closed', () => ({
      session: this,
      reason: info.reason,
      ...(info.error === undefined ? {} : { error: info.error }),
    }));
    this.#host.sessionOver(this, info);
  }

  /** @internal The core's number for it. */
  get number(): number {
    return this.#number;
  }

  /** @internal Where it is, for the messages of errors. */
  place(): FaultPlace {
    return this.#place();
  }

  /** @internal How it ended; undefined while it lives. */
  get ended(): SettledInfo | undefined {
    return this.#end;
  }

  /** @internal The streams that its end cut off. */
  get cutStreams(): readonly SttStream[] {
    return this.#cut;
  }

  /**
   * @internal Tells the peer that this session ends within so many milliseconds, and closes it as soon as no stream is
   * open any more, or then.
   */
  async drain(within: number): Promise<void> {
    if (this.#end !== undefined) return;
    this.#host.engine.announceEnd(this.#number, within);
    this.#drains = true;
    this.#tellDraining({ initiator: 'local' });
    const started = performance.now();
    await this.#streamsOver(within);
    const timeout = Math.max(0, within - (performance.now() - started));
    // What could not be delivered is told by `settled`, to whom it concerns.
    await this.close({ timeout }).catch(() => undefined);
  }

  /** Until no stream is open, the session has ended, or so many milliseconds have passed. */
  #streamsOver(within: number): Promise<void> {
    if (this.#streamCount === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, within);
      const over = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#onStreamsOver = over;
      void this.settled.then(over);
    });
  }

  #tellDraining(event: DrainingEvent): void {
    publish('stt.session.draining', () => ({ session: this, ...event }));
    this.emit('draining', event);
  }

  /** @internal Everything written here was handed to the core, or can't be. */
  async flush(timeout: number): Promise<void> {
    const pending = [...(this.#streams ?? NONE)].filter((stream) => stream.pendingBytes > 0);
    await Promise.allSettled(pending.map((stream) => stream.drained({ timeout })));
  }

  /** @internal Ends it now, for a bounded queue that is full. */
  shed(code: number, message: string): void {
    this.#closeNative(REASON_ERROR, code, message, 0);
  }

  async #drainAndClose(timeout: number): Promise<CloseInfo> {
    const started = performance.now();
    if (this.#end === undefined) {
      await this.flush(timeout);
      const left = Math.max(0, timeout - (performance.now() - started));
      if (this.#end === undefined) this.#closeNative(REASON_GRACEFUL, 0, '', left);
    }
    const end = await this.settled;
    if (end.error !== undefined) throw end.error;
    if (end.undelivered > 0 && end.initiator === 'local') {
      throw timeoutError(
        `Closing the session with ${end.undelivered} bytes undelivered`,
        timeout,
        this.#context(),
      );
    }
    return closeInfo(end);
  }

  #closeNative(reason: 0 | 2, code: number, message: string, drainMs: number): void {
    this.#host.engine.closeSession(this.#number, { reason, code, message, drainMs });
  }

  #open(direction: 'bidirectional' | 'send', options: StreamOptions = {}): Promise<SttStream> {
    const closed = this.#closingError();
    if (closed !== undefined) return rejected(closed);
    try {
      return this.#ownOpener().open(direction, checkStreamOptions(options));
    } catch (error) {
      return rejected(error);
    }
  }

  get #isMoving(): boolean {
    return this.#moves?.busy === true;
  }

  /** Streams with a half that is not over. */
  get #streamCount(): number {
    return this.#streams?.size ?? 0;
  }

  #messageSender(): MessageSender {
    this.#sender ??= new MessageSender({
      engine: this.#host.engine,
      session: this.#number,
      sendBuffer: this.#host.datagramSendBuffer,
      context: () => this.#context(),
      closedError: () => this.#closingError(),
    });
    return this.#sender;
  }

  #ownMoves(): Moves {
    this.#moves ??= new Moves({
      engine: this.#host.engine,
      session: this.#number,
      boundTo: () => this.#host.boundTo(),
      peer: () => this.#remoteAddress,
      place: () => this.#place(),
      closedError: () => this.#endedError(),
    });
    return this.#moves;
  }

  #ownPings(): Pings {
    this.#pings ??= new Pings({
      engine: this.#host.engine,
      session: this.#number,
      place: () => this.#place(),
      closedError: () => this.#endedError(),
    });
    return this.#pings;
  }

  #ownOpener(): StreamOpener {
    this.#opener ??= new StreamOpener(this.#host.engine, this.#number, {
      place: () => this.#place(),
      create: (stream, direction, { purpose, id, priority, deadline }) => {
        this.#host.openings.set(stream, this);
        return this.#addStream(stream, { direction, purpose, name: id, priority, deadline });
      },
      drop: (stream, object) => {
        this.#dropStream(object);
        this.#forget(stream);
      },
    });
    return this.#opener;
  }

  #addStream(number: number, info: ConstructorParameters<typeof SttStream>[2]): SttStream {
    const stream: SttStream = new SttStream(
      {
        engine: this.#host.engine,
        maxPendingBytes: this.#host.maxPendingBytes,
        streamIdleTimeout: this.#host.streamIdleTimeout,
        context: () => this.#context(),
        streamOver: (error) => {
          this.#dropStream(stream);
          publish('stt.stream.closed', () => ({
            session: this,
            stream,
            ...(error === undefined ? {} : { error }),
          }));
        },
        streamGone: () => this.#forget(number),
      },
      number,
      info,
    );
    this.#streams ??= new Set();
    this.#streams.add(stream);
    this.#numbers ??= new Set();
    this.#numbers.add(number);
    this.#host.streams.set(number, stream);
    return stream;
  }

  #dropStream(stream: SttStream): void {
    this.#streams?.delete(stream);
    if (this.#streamCount === 0) this.#onStreamsOver?.();
  }

  #forget(number: number): void {
    this.#numbers?.delete(number);
    this.#host.streams.delete(number);
    this.#host.openings.delete(number);
  }

  #describeEnd(end: SessionEnd): SettledInfo {
    const reason = closeReason(end.reason);
    const base = {
      reason,
      initiator: end.remote ? ('remote' as const) : ('local' as const),
      undelivered: this.#undelivered(end.undelivered),
      origin: end.fault?.origin ?? end.origin ?? (end.remote ? 'peer' : 'local'),
      message: end.message,
    };
    if (reason === 'graceful') return Object.freeze(base);
    return Object.freeze({ ...base, error: rootCause(end, base.origin, this.#place()) });
  }

  /** What the core counts, which knows nothing of what waits here, or what is known here, if that is more. */
  #undelivered(counted: number): number {
    let known = 0;
    for (const stream of this.#streams ?? NONE) known += stream.undelivered;
    return Math.max(counted + this.#pendingBytes(), known);
  }

  #pendingBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams ?? NONE) bytes += stream.pendingBytes;
    return bytes;
  }

  /** Why nothing new can begin; undefined while it can. */
  #closingError(): SttError | undefined {
    const ended = this.#endedError();
    if (ended !== undefined || this.#closing === undefined) return ended;
    return sessionClosedError('graceful', undefined, this.#place(), 'local');
  }

  /** The core's counters, with what was dropped and what waits on this side of the boundary. */
  #withOwnCounts(stats: object): SessionStats {
    const { dropped = 0, unread = 0 } = this.#datagrams ?? {};
    const { messagesDroppedReceiving, unknownFrames } = stats as SessionStats;
    return snapshot({
      ...stats,
      messagesDroppedReceiving: messagesDroppedReceiving + dropped,
      unknownFrames: unknownFrames + this.#lateFrames,
      pendingBytes: this.#pendingBytes(),
      unacceptedStreams: this.#bidirectional.length + this.#unidirectional.length,
      unreadDatagrams: unread,
    });
  }

  /** What those who iterate get in the end: an error, or undefined for a good end. */
  #iterationEnd(info: SettledInfo): (() => SttError) | undefined {
    return info.reason === 'graceful' ? undefined : () => this.#endError(info);
  }

  /** What all get that the end broke, made for the first: most sessions end while nobody waits. */
  #endError(info: SettledInfo): SttError {
    this.#ended ??= this.#closedError(info);
    return this.#ended;
  }

  /** For who asks for something now; undefined while it lives. */
  #endedError(): SttError | undefined {
    return this.#end === undefined ? undefined : this.#closedError(this.#end);
  }

  #closedError(info: SettledInfo): SttError {
    return sessionClosedError(info.reason, info.error, this.#place(), info.origin);
  }

  #place(): FaultPlace {
    return { peer: formatAddress(this.#remoteAddress), context: this.#context() };
  }

  #context(): TalliedContext {
    return {
      peer: formatAddress(this.#remoteAddress),
      nodeId: this.peerNodeId,
      sessionId: this.id,
      transport: this.transport,
      ...this.#host.carrierEnd(this.#number),
      [TALLY]: this.#host.tally,
    };
  }
}

/** What a change says of the peer that this side had no part in. */
function peerReason(
  before: SocketAddress,
  now: SocketAddress,
  sameTransport: boolean,
): PathChangeReason {
  const samePlace = sameTransport && before.address === now.address;
  return samePlace && before.port !== now.port ? 'nat-rebinding' : 'peer-moved';
}

function closeInfo(end: SettledInfo): CloseInfo {
  const { initiator, undelivered } = end;
  return { reason: 'graceful', initiator, undelivered };
}
