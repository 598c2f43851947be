import type { Lookup, PeerAddress, SocketAddress } from './address.ts';
import { checkPort, formatAddress, parseAddress, resolveHost } from './address.ts';
import { handled, rejected } from './async.ts';
import type { ResolvedWebSocketListen } from './carriers/options.ts';
import { checkWebSocketListen } from './carriers/options.ts';
import { Reach } from './carriers/reach.ts';
import { WebSocketListener } from './carriers/server.ts';
import type { ConnectOptions } from './connect.ts';
import { checkConnectOptions, parseNodeId, toHex } from './connect.ts';
import { publish } from './diagnostics.ts';
import type { SttEndpointEvents, SttResource } from './endpoint-events.ts';
import type { EngineSettings } from './engine-options.ts';
import { engineOptions, resolveLogs, resolveSharedSeeds } from './engine-options.ts';
import type { UdpSendError } from './errors/classes.ts';
import { closedState, connectEnded } from './errors/closed.ts';
import type { SttError } from './errors/error.ts';
import { faultToError, frameErrorEvent } from './errors/fault.ts';
import { SttOptionError, SttStateError } from './errors/local.ts';
import { engineFailure, isWithoutIpv6, startError } from './errors/system.ts';
import { ErrorTally, TALLY } from './errors/tally.ts';
import { Emitting } from './events.ts';
import type { ListenOptions, SttListener } from './listener.ts';
import { Listener } from './listener.ts';
import type { EngineHandlers, Fault } from './native/engine.ts';
import { Engine } from './native/engine.ts';
import type { EndpointOptions, ResolvedTuning } from './options.ts';
import { checkNumber, resolveTuning } from './options.ts';
import type { RebindOptions } from './rebinding.ts';
import { checkRebind, Rebinding } from './rebinding.ts';
import { Attempts } from './resilience/attempts.ts';
import type { BreakerOptions } from './resilience/breaker.ts';
import { checkBreaker } from './resilience/breaker.ts';
import type { CircuitChangeEvent, CircuitInfo } from './resilience/breakers.ts';
import { Breakers } from './resilience/breakers.ts';
import type { RetryPolicy } from './resilience/policy.ts';
import { resolveSeed } from './seeds.ts';
import { runHandler } from './serve.ts';
import type { SessionHost } from './session.ts';
import { SttSession } from './session.ts';
import type { SettledInfo } from './session-state.ts';
import type { EndpointStats } from './stats.ts';
import { snapshot } from './stats.ts';
import type { SttStream } from './stream.ts';

/** How `endpoint.close()` waits. */
export interface EndpointCloseOptions {
  /**
   * Milliseconds that sessions may take to finish: their peers are told (`draining`), streams that are open go on, and
   * each session ends once none is open, all of them when the time is up. For SIGTERM.
   * @default 0, which ends sessions as soon as what was written has arrived
   */
  readonly drain?: number;
  /**
   * Milliseconds that written data may take to arrive once sessions end.
   * @default 10_000, or what is left of `drain` where that is given
   */
  readonly timeout?: number;
}

/** How `endpoint.serve()` accepts and reports. */
export interface ServeOptions extends ListenOptions {
  /**
   * Gets what a handler threw; that session has been ended.
   * @default a process warning for what is no `SttError`
   */
  readonly onError?: (error: unknown, session: SttSession) => void;
}

const DEFAULT_CLOSE_TIMEOUT = 10_000;
const CODE_TOO_MANY_SESSIONS = 0x0203;
/** Close reason 2: error. */
const REASON_ERROR = 2;

/**
 * A bound UDP socket with an identity: connects to peers, accepts them, or both. Holds the process
 * while it listens or has sessions.
 */
export class SttEndpoint extends Emitting<SttEndpointEvents> implements AsyncDisposable {
  /** This node's id, 64 hex digits, for the peers' `peerNodeId`. */
  readonly nodeId: string;
  /** Resolves when the endpoint has ended; rejects when it ended by itself. Never unhandled. */
  readonly closed: Promise<void>;

  readonly #engine: Engine;
  readonly #tuning: ResolvedTuning;
  readonly #tally = new ErrorTally();
  readonly #sessions = new Map<number, SttSession>();
  readonly #streams = new Map<number, SttStream>();
  /** Streams of this side whose opening the core has not answered. */
  readonly #openings = new Map<number, SttSession>();
  readonly #rebinding: Rebinding;
  readonly #breakers: Breakers | undefined;
  readonly #attempts: Attempts<SttSession>;
  readonly #reach: Reach;
  readonly #sessionHost: SessionHost;
  /** What takes the WebSockets of peers, once it was asked for. */
  #webSockets: WebSocketListener | undefined;
  #address: SocketAddress;
  #listener: Listener | undefined;
  #wantsRef = true;
  #closing: Promise<void> | undefined;
  #ended = false;
  #settleClosed!: { resolve: () => void; reject: (error: unknown) => void };

  /**
   * Binds an endpoint.
   *
   * @throws {SttOptionError} for options that cannot be, and for short, placeholder or weak seeds.
   * @throws {SttSystemError} with the system's code for a busy port (`EADDRINUSE`) and the like.
   * @throws {ResourceExhaustedError} when descriptors, memory or threads have run out.
   */
  static async create(options: EndpointOptions): Promise<SttEndpoint> {
    const tuning = resolveTuning(options, process.env);
    const breaker = checkBreaker(options.breaker);
    const { sharedSeed, nodeSeed, host, port = 0, lookup } = options;
    checkPort(port, 'port', 0);
    if (host !== undefined && (typeof host !== 'string' || host === '')) {
      throw new SttOptionError('host', 'must be an IP address or a name');
    }
    if (lookup !== undefined && typeof lookup !== 'function') {
      throw new SttOptionError('lookup', 'must be a function as lookup of node:dns');
    }
    const sharedSeeds = await resolveSharedSeeds(sharedSeed);
    const node = nodeSeed === undefined ? undefined : await resolveSeed('nodeSeed', nodeSeed);
    const settings = {
      sharedSeeds,
      ...(node === undefined ? {} : { nodeSeed: node }),
      port,
      ...resolveLogs(options, process.env),
    };
    if (host !== undefined) {
      const { address } = await resolveHost({ host, port }, 0);
      return new SttEndpoint(tuning, breaker, { ...settings, host: address }, lookup);
    }
    try {
      return new SttEndpoint(tuning, breaker, { ...settings, host: '::' }, lookup);
    } catch (error) {
      if (!isWithoutIpv6(error)) throw error;
      return new SttEndpoint(tuning, breaker, { ...settings, host: '0.0.0.0' }, lookup);
    }
  }

  private constructor(
    tuning: ResolvedTuning,
    breaker: Required<BreakerOptions> | undefined,
    settings: EngineSettings,
    lookup: Lookup | undefined,
  ) {
    super();
    this.#tuning = tuning;
    this.#breakers = breaker && new Breakers(breaker, (event) => this.#onCircuitChange(event));
    this.#attempts = new Attempts({
      connect: (target, connect, attempt) => this.#reach.connect(target, connect, attempt),
      breakers: this.#breakers,
      ended: (peer) =>
        this.#ended || this.#closing !== undefined ? connectEnded(peer, undefined) : undefined,
      onBusy: () => this.#updateRef(),
      onRetry: (peer, event) =>
        publish('stt.connect.retry', () => ({ endpoint: this, peer, ...event })),
      onFailed: (peer, error) =>
        publish('stt.connect.failed', () => ({ endpoint: this, peer, error })),
    });
    this.closed = handled(
      new Promise<void>((resolve, reject) => {
        this.#settleClosed = { resolve, reject };
      }),
    );
    try {
      this.#engine = Engine.start(engineOptions(tuning, settings), this.#handlers());
    } catch (error) {
      throw startError(error);
    }
    this.#address = Object.freeze({ ...this.#engine.address });
    this.#reach = new Reach({
      engine: this.#engine,
      tally: this.#tally,
      handshakeTimeout: tuning.handshakeTimeout,
      lookup,
      boundTo: () => this.#address,
      onBusy: () => this.#updateRef(),
      onSettled: (link) => this.#webSockets?.settled(link),
    });
    this.#rebinding = new Rebinding(this.#engine, () => this.#updateRef());
    this.#sessionHost = this.#hostOfSessions();
    this.nodeId = toHex(this.#engine.nodeId);
    this.#updateRef();
    publish('stt.endpoint.created', () => ({ endpoint: this }));
  }

  /** Where it is bound now. */
  get address(): SocketAddress {
    return this.#address;
  }

  /**
   * Opens a session with a peer.
   *
   * @throws {SttOptionError} for arguments that cannot be.
   * @throws {ConnectionTimeoutError} 0x0101, {ConnectionRefusedError} 0x0102, {AuthenticationError}
   *   0x0103, {NetworkUnreachableError} 0x0104, {ProtocolVersionMismatchError} 0x0105,
   *   {TooManySessionsError} 0x0203; or the signal's reason.
   * @throws {CircuitOpenError} when the endpoint has a `breaker`, and it lets nobody through to this peer.
   */
  connect(address: PeerAddress, options: ConnectOptions): Promise<SttSession> {
    return this.connectBy(address, options);
  }

  /** @internal As {@link connect}, by a policy that is checked already; a pause comes first after tries before. */
  connectBy(
    address: PeerAddress,
    options: ConnectOptions,
    retry?: RetryPolicy,
    before?: { readonly attempts: number; readonly error: Error },
  ): Promise<SttSession> {
    try {
      if (this.#ended || this.#closing !== undefined) throw closedState('connect');
      const target = parseAddress(address);
      const checked = checkConnectOptions(options, this.#tuning.handshakeTimeout);
      if (checked.signal?.aborted === true) return rejected(checked.signal.reason);
      const resolved = retry === undefined ? checked : { ...checked, retry };
      return handled(this.#attempts.connect(target, resolved, before));
    } catch (error) {
      return rejected(error);
    }
  }

  /**
   * Accepts peers, as an iterable of sessions. Leaving the loop stops accepting.
   *
   * @throws {SttStateError} when the endpoint listens or has been closed.
   */
  listen(options: ListenOptions = {}): SttListener {
    if (this.#ended || this.#closing !== undefined) throw closedState('listen');
    if (this.#listener !== undefined) {
      throw new SttStateError('This endpoint listens already; one listen() or serve() at a time.');
    }
    const websocket =
      options.websocket === undefined ? undefined : checkWebSocketListen(options.websocket);
    const listener = new Listener(this.#engine, options, this.#tuning.maxConcurrentSessions, () => {
      if (this.#listener === listener) this.#listener = undefined;
      this.#updateRef();
    });
    this.#listener = listener;
    try {
      if (websocket !== undefined) this.#listenWebSockets(listener, websocket);
    } catch (error) {
      // Such as a certificate that is none: nobody listens then, by no carrier.
      listener.close();
      throw error;
    }
    this.#updateRef();
    return listener;
  }

  #listenWebSockets(listener: Listener, options: ResolvedWebSocketListen): void {
    const sockets = new WebSocketListener(options, this.#reach.links);
    this.#webSockets = sockets;
    listener.onClosed(() => {
      sockets.close();
      if (this.#webSockets === sockets) this.#webSockets = undefined;
    });
    listener.waitFor(sockets.listen(options.host ?? this.#address.address), () => sockets.address);
  }

  /**
   * Accepts peers and runs `handler` once for each, side by side. A handler that throws ends its own
   * session; one that returns leaves it open.
   *
   * @throws {SttStateError} as {@link listen}.
   */
  serve(
    handler: (session: SttSession) => void | Promise<void>,
    options: ServeOptions = {},
  ): SttListener {
    if (typeof handler !== 'function') throw new SttOptionError('handler', 'must be a function');
    const { onError, ...listen } = options;
    const listener = this.listen(listen);
    void this.#serve(listener, handler, onError);
    return listener;
  }

  /**
   * Goes on with a socket that is bound anew: to another port, or another address of this machine, as
   * after a change of network. Every session goes on from there at once, and its peer finds out; the
   * socket before is closed, so what is on its way to it is sent again. (An endpoint whose address went
   * away does so by itself, on all addresses. `session.migrate()` tries a path before it breaks.)
   * Peers that connect must learn of the new address from the application.
   *
   * @returns where the endpoint is bound now: `address`.
   * @throws {SttOptionError} for a `host` from which a live session could not reach its peer.
   * @throws {SttSystemError} with the system's code for a busy port (`EADDRINUSE`) and the like; the
   *   endpoint keeps the socket that it has.
   * @throws {SttStateError} when the endpoint has been closed.
   */
  rebind(options: RebindOptions = {}): Promise<SocketAddress> {
    const checkOpen = (): void => {
      if (this.#ended || this.#closing !== undefined) throw closedState('rebind');
    };
    try {
      checkOpen();
      const target = checkRebind(options, this.#address);
      const peers = (): SocketAddress[] => this.sessions.map((session) => session.remoteAddress);
      return handled(this.#rebinding.rebind(target, peers, checkOpen));
    } catch (error) {
      return rejected(error);
    }
  }

  /** Ends that node's sessions with auth_failure, and refuses it from now on. */
  revoke(nodeId: string | Uint8Array): void {
    const id = parseNodeId('nodeId', nodeId);
    if (!this.#ended) this.#engine.revoke(id);
  }

  /** Counters of the whole endpoint; undefined after its end. */
  stats(): EndpointStats | undefined {
    if (this.#ended) return undefined;
    const { unaccepted = 0, authorizing = 0 } = this.#listener ?? {};
    return snapshot({
      ...this.#engine.endpointStats(),
      unacceptedSessions: unaccepted,
      pendingAuthorizations: authorizing,
      errors: this.#tally.snapshot(),
    });
  }

  /** The circuits of the peers that were connected to, with `breaker` only. */
  get breakers(): readonly CircuitInfo[] {
    return this.#breakers?.list() ?? [];
  }

  /** Live sessions. */
  get sessions(): readonly SttSession[] {
    return [...this.#sessions.values()];
  }

  /** The endpoint holds the process while it listens or has sessions: the default. */
  ref(): this {
    this.#wantsRef = true;
    this.#updateRef();
    return this;
  }

  /** The process may end while the endpoint is open. */
  unref(): this {
    this.#wantsRef = false;
    this.#updateRef();
    return this;
  }

  /** Whether the endpoint would hold the process now. */
  hasRef(): boolean {
    return !this.#ended && this.#engine.hasRef();
  }

  /** Stops accepting, lets what is under way come to its end as `options` say, ends every session, releases the port. */
  close(options: EndpointCloseOptions = {}): Promise<void> {
    const { drain = 0, timeout = options.drain === undefined ? DEFAULT_CLOSE_TIMEOUT : 0 } =
      options;
    try {
      checkNumber('drain', drain, [0, 2 ** 31 - 1]);
      checkNumber('timeout', timeout, [0, 2 ** 31 - 1]);
    } catch (error) {
      return rejected(error);
    }
    this.#closing ??= handled(this.#close(drain, timeout));
    this.#attempts.end();
    this.#reach.close();
    // Whoever awaits the end must live to see it, so this comes after #closing is set.
    this.#updateRef();
    return this.#closing;
  }

  /** Ends at once: sessions end with an error, what was not acknowledged is lost. Idempotent. */
  destroy(): void {
    if (this.#ended) return;
    this.#engine.destroy();
    this.#onEnded(undefined);
  }

  /** `close()`, then the abrupt way. Never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => this.destroy());
  }

  async #close(drain: number, timeout: number): Promise<void> {
    if (this.#ended) return;
    this.#listener?.close();
    if (drain > 0) {
      await Promise.all([...this.#sessions.values()].map((session) => session.drain(drain)));
    }
    const started = performance.now();
    await Promise.all([...this.#sessions.values()].map((session) => session.flush(timeout)));
    if (!this.#ended) {
      this.#engine.close(Math.max(0, timeout - (performance.now() - started)));
    }
    await this.closed;
  }

  async #serve(
    listener: SttListener,
    handler: (session: SttSession) => void | Promise<void>,
    onError: ServeOptions['onError'],
  ): Promise<void> {
    try {
      for await (const session of listener) void runHandler(session, handler, onError);
    } catch {
      // The endpoint ended by itself; `endpoint.closed` tells why.
    }
  }

  #updateRef(): void {
    const busy =
      this.#listener !== undefined ||
      this.#sessions.size > 0 ||
      this.#reach.busy ||
      this.#attempts.busy ||
      this.#rebinding.busy ||
      this.#closing !== undefined;
    if (busy && this.#wantsRef && !this.#ended) this.#engine.ref();
    else this.#engine.unref();
  }

  #handlers(): EngineHandlers {
    const stream = (number: number): SttStream | undefined => this.#streams.get(number);
    const session = (number: number): SttSession | undefined => this.#sessions.get(number);
    const opening = (number: number): SttSession | undefined => {
      const opener = this.#openings.get(number);
      this.#openings.delete(number);
      return opener;
    };
    return {
      incoming: (number, { peerNodeId, address, port, family, connection }) => {
        const transport = transportOf(connection);
        const peer = { nodeId: toHex(peerNodeId), address, port, family, transport };
        if (this.#listener === undefined) this.#engine.refuse(number, CODE_TOO_MANY_SESSIONS);
        else this.#listener.incoming(number, peer);
      },
      connected: (number, info) => this.#onConnected(number, info),
      ticket: (number, ticket) => session(number)?.onTicket(ticket),
      connectFailed: (number, fault) => this.#reach.onFailed(number, fault),
      streamOpened: (number, id, info) => session(number)?.onStreamOpened(id, info),
      opened: (number, id) => opening(number)?.onOpened(number, id),
      openFailed: (number, fault) => opening(number)?.onOpenFailed(number, fault),
      data: (number, chunk, fin, lease) => {
        const reader = stream(number);
        if (reader === undefined) lease?.giveBack();
        else reader.onData(chunk, fin, lease);
      },
      gap: (number, offset, length) => stream(number)?.onGap(offset, length),
      message: (number, type, chunk) => session(number)?.onMessage(type, chunk),
      messagesWritable: (number) => session(number)?.onMessagesWritable(),
      writable: (number) => stream(number)?.onWritable(),
      finished: (number) => stream(number)?.onFinished(),
      reset: (number, code) => stream(number)?.onReset(code),
      stopped: (number, code) => stream(number)?.onStopped(code),
      streamFailed: (number, fault) => stream(number)?.onFailed(fault),
      streamClosed: (number, acknowledged) => stream(number)?.onStreamClosed(acknowledged),
      acknowledged: (number, bytes) => stream(number)?.onAcknowledged(bytes),
      streamsAvailable: (number, unidirectional) =>
        session(number)?.onStreamsAvailable(unidirectional),
      pong: (number, token, micros) => session(number)?.onPong(token, micros),
      draining: (number, within) => session(number)?.onDraining(within),
      pathChange: (number, { address, port, family, connection }) => {
        this.#reach.links.use(number, connection);
        session(number)?.onPathChange({ address, port, family }, transportOf(connection));
      },
      pathLost: (number) => session(number)?.onPathLost(),
      pathStrained: (number, strain) => session(number)?.onPathStrain(strain),
      pathSilence: (number, silent) => session(number)?.onPathSilence(silent),
      carry: (connection, frames, giveBack, packets) => {
        const link = this.#reach.links.get(connection);
        if (link === undefined) giveBack();
        else link.carry(frames, giveBack, packets);
      },
      connectionUsed: (connection) => this.#reach.links.authenticate(connection),
      connectionReadable: (connection) => this.#reach.links.get(connection)?.resume(),
      moved: (number, token) => session(number)?.onMoved(token),
      moveFailed: (number, token, fault) => session(number)?.onMoveFailed(token, fault),
      rebound: (token, address) => this.#onRebound(token, address),
      rebindFailed: (token, code, errno) => this.#rebinding.onFailed(token, code, errno),
      sessionClosed: (number, end) => session(number)?.onClosed({ message: '', ...end }),
      handshakeError: ({ address, port, fault }) => this.#onHandshakeError(address, port, fault),
      pathWarning: (number, damaged, packets) => session(number)?.onPathWarning(damaged, packets),
      sendError: (number, info) => this.#onSendError(number, info),
      frameError: (number, code, count, frameType) =>
        this.#onFrameError(session(number), code, count, frameType),
      resourceWarning: ({ resource, value, limit }) => {
        const event = { resource: resource as SttResource, wanted: limit, granted: value };
        publish('stt.endpoint.resourceWarning', () => ({ endpoint: this, ...event }));
        this.emit('resourceWarning', event);
      },
      endpointClosed: (fault) => {
        this.#webSockets?.close();
        this.#reach.links.end();
        this.#onEnded(fault === undefined ? undefined : engineFailure(fault));
      },
    };
  }

  #onConnected(number: number, info: Parameters<EngineHandlers['connected']>[1]): void {
    const { initiator, address, port, family, connection } = info;
    this.#reach.links.use(number, connection);
    const connecting = this.#reach.take(number);
    const session = new SttSession(this.#sessionHost, number, {
      id: toHex(info.sessionId),
      peerNodeId: toHex(info.peerNodeId),
      isInitiator: initiator,
      remoteAddress: Object.freeze({ address, port, family }),
      transport: transportOf(connection),
      resumed: info.resumed,
      earlyDataStatus:
        info.earlyDataStatus ??
        (connecting?.attempt.earlyDataSpent === true ? 'unknown' : undefined),
      earlyData: info.earlyData,
      ...(connecting?.failover === undefined ? {} : { failover: connecting.failover }),
    });
    this.#sessions.set(number, session);
    this.#updateRef();
    publish('stt.session.opened', () => ({ session }));
    if (connecting !== undefined) connecting.waiter.resolve(session);
    else if (!initiator && this.#listener !== undefined) this.#listener.push(session);
    // A connect that was given up, or a peer that came as listening ended.
    else session.shed(initiator ? 0 : CODE_TOO_MANY_SESSIONS, 'nobody waits for this session');
  }

  /** What this endpoint lends to its sessions, one thing for all. */
  #hostOfSessions(): SessionHost {
    return {
      engine: this.#engine,
      streams: this.#streams,
      openings: this.#openings,
      maxPendingBytes: this.#tuning.maxPendingBytes,
      streamIdleTimeout: this.#tuning.streamIdleTimeout,
      tally: this.#tally,
      boundTo: () => this.#address,
      datagramSendBuffer: this.#tuning.datagramSendBuffer,
      datagramRecvBuffer: this.#tuning.datagramRecvBuffer,
      datagramRecvDrop: this.#tuning.datagramRecvDrop,
      carrierEnd: (session) => this.#reach.links.carrierEnd(session),
      sessionOver: (over, end) => this.#onSessionOver(over, end),
      frameError: (session, event) => this.emit('frameError', { ...event, session }),
    };
  }

  #onRebound(token: number, { address, port, family }: SocketAddress): void {
    const bound = Object.freeze({ address, port, family });
    this.#address = bound;
    this.#rebinding.onRebound(token, bound);
    publish('stt.endpoint.addressChange', () => ({ endpoint: this, address: bound }));
    this.emit('addressChange', bound);
  }

  #onHandshakeError(address: string, port: number, fault: Fault): void {
    const peer = formatAddress({ address, port });
    const error = faultToError(fault, { peer, context: this.#reach.contextOf(peer) });
    publish('stt.endpoint.handshakeError', () => ({ endpoint: this, peer, error }));
    this.emit('handshakeError', { address, port, error });
  }

  #onSendError(number: number, info: Parameters<EngineHandlers['sendError']>[1]): void {
    const { address, port, fault, count } = info;
    const session = this.#sessions.get(number);
    const peer = formatAddress({ address, port });
    const place = session?.place() ?? { peer, context: this.#reach.contextOf(peer) };
    const error = faultToError(this.#reach.explained(fault, address), place) as UdpSendError;
    this.#tally.count(error.code, count - 1);
    session?.onSendError({ error, count });
    const event = { session, error, count };
    publish('stt.endpoint.sendError', () => ({
      endpoint: this,
      error,
      count,
      ...(session === undefined ? {} : { session }),
    }));
    this.emit('sendError', event);
  }

  #onFrameError(
    session: SttSession | undefined,
    code: number,
    count: number,
    frameType: number | undefined,
  ): void {
    if (session !== undefined) {
      session.onFrameError(code, count, frameType);
      return;
    }
    const context = { transport: 'udp' as const, [TALLY]: this.#tally };
    this.#tally.count(code, count - 1);
    const event = frameErrorEvent(code, count, { peer: 'peers without a session', context });
    const { error } = event;
    publish('stt.endpoint.frameError', () => ({ endpoint: this, error, count }));
    this.emit('frameError', { ...event, session: undefined });
  }

  #onCircuitChange(event: CircuitChangeEvent): void {
    publish('stt.breaker.change', () => ({ endpoint: this, ...event }));
    this.emit('circuitChange', event);
  }

  #onSessionOver(session: SttSession, info: SettledInfo): void {
    this.#sessions.delete(session.number);
    this.#reach.links.release(session.number);
    this.#updateRef();
    this.emit('sessionClosed', { ...info, session });
  }

  /** The one way out: after `close()`, after `destroy()`, or because the engine failed. */
  #onEnded(error: SttError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reach.end(error);
    this.#attempts.end(error);
    this.#rebinding.end(error ?? closedState('rebind'));
    const message = error?.message ?? 'the endpoint was destroyed';
    for (const session of [...this.#sessions.values()]) {
      const origin = error === undefined ? ('local' as const) : ('transport' as const);
      session.onClosed({ reason: REASON_ERROR, remote: false, message, undelivered: 0, origin });
    }
    this.#listener?.end(error);
    this.#updateRef();
    if (error === undefined) this.#settleClosed.resolve();
    else this.#settleClosed.reject(error);
    publish('stt.endpoint.closed', () => ({
      endpoint: this,
      ...(error === undefined ? {} : { error }),
    }));
  }
}

function transportOf(connection: number | undefined): 'udp' | 'websocket' {
  return connection === undefined ? 'udp' : 'websocket';
}
