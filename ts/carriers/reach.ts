import type { HostPort, SocketAddress } from '../address.ts';
import { formatAddress, isLoopback, reachableFamily, resolveHost } from '../address.ts';
import { Waiter } from '../async.ts';
import type { ResolvedConnectOptions } from '../connect.ts';
import { toHex } from '../connect.ts';
import { ConnectionTimeoutError } from '../errors/classes.ts';
import { closedState, connectEnded } from '../errors/closed.ts';
import type { SttErrorContext } from '../errors/error.ts';
import { SttError } from '../errors/error.ts';
import { faultToError } from '../errors/fault.ts';
import type { ErrorTally, TalliedContext } from '../errors/tally.ts';
import { TALLY } from '../errors/tally.ts';
import type { Engine, Fault } from '../native/engine.ts';
import { systemCode } from '../native/records.ts';
import type { Try } from '../resilience/attempts.ts';
import { RaceMemory, raceCarriers } from '../resilience/race.ts';
import type { SessionInfo, SttSession } from '../session.ts';
import { dial } from './dial.ts';
import { Failover } from './failover.ts';
import type { Link } from './link.ts';
import { Links } from './links.ts';
import type { PathMeasure } from './trials.ts';

/** What an endpoint lends to whoever reaches its peers. */
export interface ReachHost {
  readonly engine: Engine;
  readonly tally: ErrorTally;
  /** Milliseconds that a WebSocket of a session has to open. */
  readonly handshakeTimeout: number;
  /** Where the endpoint is bound. */
  boundTo(): SocketAddress;
  /** {@link Reach.busy} may have changed. */
  onBusy(): void;
  /** A link has a session, or is no more. */
  onSettled(link: Link): void;
}

/** A connect whose handshake runs. */
export interface Connecting {
  readonly waiter: Waiter<SttSession>;
  readonly peer: string;
  /** Its IP address. */
  readonly host: string;
  readonly started: number;
  /** The node that must answer, where one must. */
  readonly nodeId: string | undefined;
  readonly attempt: Try;
  /** Undefined where the session is to have one path alone. */
  readonly failover: SessionInfo['failover'];
}

/**
 * How an endpoint reaches the peers that it connects to: it looks names up, opens WebSockets, races the
 * carriers, and gives each session that it opened what keeps it reachable.
 */
export class Reach {
  /** Every WebSocket of the endpoint. */
  readonly links: Links;
  readonly #host: ReachHost;
  /** Which carrier reached whom last. */
  readonly #winners = new RaceMemory();
  readonly #connecting = new Map<number, Connecting>();
  /** Nobody connects any more. */
  readonly #closingSignal = new AbortController();
  /** No session needs another path any more. */
  readonly #endSignal = new AbortController();
  /** Names that are looked up, and WebSockets that are opened. */
  #opening = 0;
  /** Numbers of races of carriers. */
  #races = 0;

  constructor(host: ReachHost) {
    this.#host = host;
    this.links = new Links(
      () => host.engine,
      (link) => host.onSettled(link),
    );
  }

  /** Whether a connect is under way. */
  get busy(): boolean {
    return this.#connecting.size > 0 || this.#opening > 0;
  }

  /** No connect gets any further; those whose handshake runs are the engine's to end. */
  close(): void {
    this.#closingSignal.abort(closedState('connect'));
  }

  /** The endpoint has ended, well or by that error. */
  end(error: SttError | undefined): void {
    this.close();
    this.#endSignal.abort(closedState('connect'));
    for (const { waiter, peer } of this.#connecting.values()) {
      waiter.reject(connectEnded(peer, error));
    }
    this.#connecting.clear();
  }

  /** The connect of that session, whose handshake is over; undefined for a session of a peer. */
  take(number: number): Connecting | undefined {
    const connecting = this.#connecting.get(number);
    this.#connecting.delete(number);
    return connecting;
  }

  /** A handshake has failed. */
  onFailed(number: number, fault: Fault): void {
    const connecting = this.take(number);
    this.#host.onBusy();
    const carrierEnd = this.links.carrierEnd(number);
    if (connecting === undefined) return;
    const { waiter, peer, host, started, nodeId, attempt } = connecting;
    const context = {
      ...this.contextOf(peer, attempt),
      transport: this.links.transportOf(number),
      ...(nodeId === undefined ? {} : { nodeId }),
      ...carrierEnd,
    };
    const elapsed = performance.now() - started;
    this.links.release(number);
    waiter.reject(faultToError(this.explained(fault, host), { peer, context, elapsed }));
  }

  /** What errors of a connect to that peer say of it. */
  contextOf(
    peer: string,
    { number, uncounted = false }: Partial<Pick<Try, 'number' | 'uncounted'>> = {},
  ): TalliedContext {
    const attempt = number === undefined ? {} : { attempt: number };
    return {
      peer,
      transport: 'udp',
      ...attempt,
      ...(uncounted ? {} : { [TALLY]: this.#host.tally }),
    };
  }

  /** A refused send that this endpoint's own address explains says so. */
  explained(fault: Fault, peer: string): Fault {
    const { detail } = fault;
    const bound = this.#host.boundTo().address;
    const stuck =
      detail.kind === 'os' &&
      ['EINVAL', 'EADDRNOTAVAIL'].includes(systemCode(detail.errno)) &&
      isLoopback(bound) &&
      !isLoopback(peer);
    if (!stuck) return fault;
    const message = `This endpoint is bound to loopback (${bound}), from where nothing leaves this machine, so ${peer} cannot be reached (${systemCode(detail.errno)}, system error ${detail.errno}). Create it without host, or with an address that leads there.`;
    return { ...fault, message };
  }

  /** Opens a session with a peer, by the carriers that the options allow. */
  async connect(
    target: { host: string; port: number },
    options: ResolvedConnectOptions,
    attempt: Try,
  ): Promise<SttSession> {
    const { transport, signal } = options;
    if (transport !== 'auto') return this.#connectOver(transport, target, options, attempt);
    const key = keyOf(target, options);
    this.#races = (this.#races + 1) >>> 0;
    const race = this.#races;
    const carriers = this.#winners.inOrder(key, CARRIERS).map(({ name }, place) => ({
      name,
      connect: (cancelled: AbortSignal) => {
        // A ticket serves once: it goes with whoever starts.
        const own = place === 0 ? options : { ...options, resume: undefined, earlyData: undefined };
        const quiet = { ...attempt, uncounted: true };
        return this.#connectOver(name, target, { ...own, signal: cancelled }, quiet, race);
      },
      dispose: (late: SttSession) => late.destroy('another carrier was faster'),
    }));
    try {
      const { transport: winner, value } = await raceCarriers(carriers, { signal });
      this.#winners.remember(key, winner);
      return value;
    } catch (error) {
      if (error instanceof SttError) this.#host.tally.count(error.code);
      throw error;
    }
  }

  async #connectOver(
    carrier: 'udp' | 'websocket',
    target: HostPort,
    options: ResolvedConnectOptions,
    attempt: Try,
    race?: number,
  ): Promise<SttSession> {
    const started = performance.now();
    const peer = formatAddress({ address: target.host, port: target.port });
    const { peerNodeId, signal, early, resume, earlyData } = options;
    const { address, connection } =
      carrier === 'websocket'
        ? await this.#dial(target, options, this.contextOf(peer, attempt), this.#closingSignal)
        : { address: await this.#resolve(target, options, this.contextOf(peer, attempt)) };
    const timeoutMs = Math.max(1, options.timeout - (performance.now() - started));
    attempt.onSending();
    let number: number;
    try {
      number = this.#host.engine.connect({
        address: address.address,
        port: address.port,
        timeoutMs,
        early,
        ...(connection === undefined ? {} : { connection }),
        ...(race === undefined ? {} : { race }),
        ...(peerNodeId === undefined ? {} : { peerNodeId }),
        ...(resume === undefined ? {} : { resume }),
        ...(earlyData === undefined ? {} : { earlyData }),
      });
    } catch (error) {
      if (connection !== undefined) this.links.discard(connection);
      throw error;
    }
    this.links.use(number, connection);
    const waiter = new Waiter<SttSession>(
      signal === undefined ? {} : { signal },
      `Connecting to ${peer}`,
      (reason) => {
        this.#connecting.delete(number);
        this.links.release(number);
        this.#host.engine.abortConnect(number);
        this.#host.onBusy();
        return reason;
      },
    );
    const nodeId = peerNodeId === undefined ? undefined : toHex(peerNodeId);
    const failover = options.transport === 'udp' ? undefined : this.#failover(target, options);
    const host = address.address;
    const connecting: Connecting = { waiter, peer, host, started, nodeId, attempt, failover };
    if (!waiter.settled) this.#connecting.set(number, connecting);
    this.#host.onBusy();
    return waiter.promise;
  }

  /** Looks a name up, within the time and the signal of the connect. */
  async #resolve(
    target: { host: string; port: number },
    { timeout, signal }: ResolvedConnectOptions,
    context: Partial<SttErrorContext>,
  ): Promise<SocketAddress> {
    const waiter = new Waiter<SocketAddress>(
      { timeout, ...(signal === undefined ? {} : { signal }) },
      `Looking up ${target.host}`,
      (error) =>
        signal?.aborted === true
          ? error
          : new ConnectionTimeoutError(
              `The name ${target.host} was not resolved within ${timeout} ms. Check the name servers of this machine, or allow more time.`,
              { context, cause: error },
            ),
    );
    this.#opening += 1;
    this.#host.onBusy();
    resolveHost(target, reachableFamily(this.#host.boundTo()), context).then(
      (address) => waiter.resolve(address),
      (error: unknown) => waiter.reject(error),
    );
    try {
      const address = await waiter.promise;
      if (this.#closingSignal.signal.aborted) throw this.#closingSignal.signal.reason;
      return address;
    } finally {
      this.#opening -= 1;
      this.#host.onBusy();
    }
  }

  /** Keeps a session that this side opened on a path that works. */
  #failover(
    target: HostPort,
    options: ResolvedConnectOptions,
  ): NonNullable<SessionInfo['failover']> {
    const timeout = this.#host.handshakeTimeout;
    const context = { peer: formatAddress({ address: target.host, port: target.port }) };
    const key = keyOf(target, options);
    return ({ session, moving }) =>
      new Failover(
        {
          engine: this.#host.engine,
          session,
          moving,
          udp:
            options.transport === 'auto'
              ? () => resolveHost(target, reachableFamily(this.#host.boundTo()), context)
              : undefined,
          dial: async (signal) => {
            const limits = { ...options, timeout, signal };
            const dialled = await this.#dial(target, limits, context, this.#endSignal);
            return dialled.connection;
          },
          discard: (connection) => this.links.discard(connection),
          starved: directionOf(this.#winners.note(key)),
          onVerdict: (transport, starved) => this.#winners.remember(key, transport, starved),
        },
        this.links.transportOf(session),
      );
  }

  /** Opens a WebSocket, within the time and the signal of the connect. */
  async #dial(
    { host, port }: { host: string; port: number },
    options: ResolvedConnectOptions,
    context: Partial<SttErrorContext>,
    over: AbortController,
  ): Promise<{ address: SocketAddress; connection: number }> {
    const { timeout } = options;
    const given = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([...given, over.signal]);
    this.#opening += 1;
    this.#host.onBusy();
    try {
      const dialled = await dial(options.websocket(host, port), { timeout, signal, context });
      const { socket, stream, remote } = dialled;
      if (over.signal.aborted) {
        socket.terminate();
        throw over.signal.reason;
      }
      try {
        const link = this.links.add(socket, stream, remote);
        socket.resume();
        return { address: remote, connection: link.id };
      } catch (error) {
        socket.terminate();
        throw error;
      }
    } finally {
      this.#opening -= 1;
      this.#host.onBusy();
    }
  }
}

/** The carriers of `transport: 'auto'`, in the order in which they start. */
const CARRIERS: readonly { readonly name: 'udp' | 'websocket' }[] = [
  { name: 'udp' },
  { name: 'websocket' },
];

/** What the memory of winners knows a peer by. */
function keyOf({ host, port }: HostPort, { peerNodeId }: ResolvedConnectOptions): string {
  return `${host}:${port} ${peerNodeId === undefined ? 'any' : toHex(peerNodeId)}`;
}

/** In what direction UDP starved, as the memory of winners has noted it. */
function directionOf(note: string | undefined): PathMeasure['direction'] | undefined {
  return note === 'sending' || note === 'receiving' ? note : undefined;
}
