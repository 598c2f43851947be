import type { HostPort, Lookup, SocketAddress } from '../address.ts';
import { formatAddress, isLoopback, reachableFamily, resolveHosts } from '../address.ts';
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
import { noteElsewhere } from '../resilience/codes.ts';
import type { Carrier } from '../resilience/race.ts';
import { RaceMemory, raceCarriers } from '../resilience/race.ts';
import type { SessionInfo, SttSession } from '../session.ts';
import type { DialLimits } from './dial.ts';
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
  /** In place of the system's resolver. */
  readonly lookup: Lookup | undefined;
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

/** Where a handshake goes. */
interface Way {
  readonly address: SocketAddress;
  /** The WebSocket, where it goes by one. */
  readonly connection?: number;
  /** Which race it takes part in: of all that do, one becomes a session. */
  readonly race?: number | undefined;
  /** When its time is over, by `performance.now()`. */
  readonly until: number;
}

/** Which addresses a WebSocket goes to. */
interface WebSocketWay {
  /** Those of a name's that are to be tried. */
  among?(all: readonly SocketAddress[]): readonly SocketAddress[];
  /** TCP has reached one. */
  onReached?(address: SocketAddress): void;
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
    if (transport !== 'auto') return this.#connectBy(transport, target, options, attempt);
    const key = keyOf(target, options);
    const race = this.#nextRace();
    const carriers = this.#winners.inOrder(key, CARRIERS).map(({ name }, place) => ({
      name,
      connect: (cancelled: AbortSignal) => {
        // A ticket serves once: it goes with whoever starts.
        const own = place === 0 ? options : { ...options, resume: undefined, earlyData: undefined };
        const quiet = { ...attempt, uncounted: true };
        return this.#connectBy(name, target, { ...own, signal: cancelled }, quiet, race);
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

  /** A number for connects of which one is to become a session. */
  #nextRace(): number {
    this.#races = (this.#races + 1) >>> 0;
    return this.#races;
  }

  async #connectBy(
    carrier: 'udp' | 'websocket',
    target: HostPort,
    options: ResolvedConnectOptions,
    attempt: Try,
    race?: number,
  ): Promise<SttSession> {
    const until = performance.now() + options.timeout;
    if (carrier === 'websocket') {
      return this.#connectByWebSocket(target, options, attempt, race, until);
    }
    const peer = formatAddress({ address: target.host, port: target.port });
    const context = this.contextOf(peer, attempt);
    const [first, ...others] = await this.#resolve(target, options, context);
    if (others.length === 0) {
      return this.#connectTo({ address: first, race, until }, target, options, attempt);
    }
    const own = race ?? this.#nextRace();
    const ways = [first, ...others].map((address) => ({
      address,
      race: own,
      until,
    }));
    return this.#raceAddresses(ways, target, options, attempt);
  }

  /**
   * By the address that TCP reaches first; by another one as well where that comes to nothing, as TLS or the upgrade
   * fails or another node answers than the one that was named, or where it is silent for a head start.
   */
  async #connectByWebSocket(
    target: HostPort,
    options: ResolvedConnectOptions,
    attempt: Try,
    race: number | undefined,
    until: number,
  ): Promise<SttSession> {
    const quiet = { ...attempt, uncounted: true };
    const peer = formatAddress({ address: target.host, port: target.port });
    const context = this.contextOf(peer, quiet);
    const own = race ?? this.#nextRace();
    const tried = new Set<string>();
    let known = 0;
    let sent = false;
    const once: Try = {
      ...quiet,
      onSending: () => {
        sent = true;
        attempt.onSending();
      },
    };
    const way: WebSocketWay = {
      // Never none: nobody comes here who has tried them all.
      among: (all) => {
        known = all.length;
        return all.filter(({ address }) => !tried.has(address));
      },
      onReached: ({ address }) => void tried.add(address),
    };
    const closing = this.#closingSignal.signal;
    const isLeft = (): boolean =>
      tried.size < known && performance.now() < until && !closing.aborted;
    const carriers: Carrier<SttSession>[] = [];
    const next = (): void => {
      carriers.push({ name: 'websocket', connect, dispose });
    };
    const dispose = (late: SttSession): void => late.destroy('another address was faster');
    const connect = async (signal: AbortSignal, onUnderWay: () => void): Promise<SttSession> => {
      const before = tried.size;
      const timeout = carriers.length === 1 ? options.timeout : until - performance.now();
      let dialled: { address: SocketAddress; connection: number };
      try {
        const limits = { ...options, signal, timeout };
        dialled = await this.#dial(target, limits, context, this.#closingSignal, way);
      } catch (error) {
        // TCP has tried all the others where it has reached none.
        if (tried.size > before && isLeft() && error instanceof SttError) next();
        throw error;
      }
      // A ticket serves once: it goes with the first that is sent anything.
      const ticket = sent ? { resume: undefined, earlyData: undefined } : {};
      const connected = this.#connectTo(
        { ...dialled, race: own, until },
        target,
        { ...options, ...ticket, signal },
        once,
      );
      if (isLeft()) next();
      onUnderWay();
      return connected;
    };
    next();
    try {
      const { signal } = options;
      return (
        await raceCarriers(carriers, {
          signal,
          endsRace: endsAddresses,
          headStartFrom: 'underWay',
        })
      ).value;
    } catch (error) {
      const cut = options.signal?.aborted === true || closing.aborted;
      const told = cut ? error : mostTelling(error);
      if (told instanceof SttError && attempt.uncounted !== true && !cut) {
        this.#host.tally.count(told.code);
      }
      throw told;
    }
  }

  /** Happy Eyeballs (RFC 8305) by UDP: the first address whose peer proves itself is the one. */
  async #raceAddresses(
    ways: readonly Way[],
    target: HostPort,
    options: ResolvedConnectOptions,
    attempt: Try,
  ): Promise<SttSession> {
    const carriers = ways.map((way, place) => ({
      name: 'udp',
      connect: (signal: AbortSignal) => {
        // A ticket serves once: it goes with the first.
        const own = place === 0 ? options : { ...options, resume: undefined, earlyData: undefined };
        const quiet = { ...attempt, uncounted: true };
        return this.#connectTo(way, target, { ...own, signal }, quiet);
      },
      dispose: (late: SttSession) => late.destroy('another address was faster'),
    }));
    try {
      const race = { signal: options.signal, endsRace: endsAddresses };
      return (await raceCarriers(carriers, race)).value;
    } catch (error) {
      const told = mostTelling(error);
      if (told instanceof SttError && attempt.uncounted !== true) {
        this.#host.tally.count(told.code);
      }
      throw told;
    }
  }

  /** Runs a handshake with an address. */
  async #connectTo(
    { address, connection, race, until }: Way,
    target: HostPort,
    options: ResolvedConnectOptions,
    attempt: Try,
  ): Promise<SttSession> {
    const started = performance.now();
    const peer = formatAddress({ address: target.host, port: target.port });
    const { peerNodeId, signal, early, resume, earlyData } = options;
    const timeoutMs = Math.max(1, until - started);
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
    const host = address.address;
    const failover =
      options.transport === 'udp' ? undefined : this.#failover(target, options, host);
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
  ): Promise<readonly [SocketAddress, ...SocketAddress[]]> {
    const waiter = new Waiter<readonly [SocketAddress, ...SocketAddress[]]>(
      { timeout, ...(signal === undefined ? {} : { signal }) },
      `Looking up ${target.host}`,
      (error) =>
        signal?.aborted === true
          ? error
          : new ConnectionTimeoutError(
              `The name ${target.host} was not resolved within ${timeout} ms. Check the name servers of this machine, or allow more time.`,
              { context, cause: error, origin: 'idle' },
            ),
    );
    this.#opening += 1;
    this.#host.onBusy();
    this.#lookUp(target, context).then(
      (addresses) => waiter.resolve(addresses),
      (error: unknown) => waiter.reject(error),
    );
    try {
      const addresses = await waiter.promise;
      if (this.#closingSignal.signal.aborted) throw this.#closingSignal.signal.reason;
      return addresses;
    } finally {
      this.#opening -= 1;
      this.#host.onBusy();
    }
  }

  /** Where a host is that the endpoint's socket can reach. */
  #lookUp(
    target: HostPort,
    context: Partial<SttErrorContext>,
  ): Promise<readonly [SocketAddress, ...SocketAddress[]]> {
    const family = reachableFamily(this.#host.boundTo());
    return resolveHosts(target, family, context, this.#host.lookup);
  }

  /** Keeps a session that this side opened on a path that works. */
  #failover(
    target: HostPort,
    options: ResolvedConnectOptions,
    host: string,
  ): NonNullable<SessionInfo['failover']> {
    let tries = 0;
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
              ? async () => {
                  const addresses = await this.#lookUp(target, context);
                  const known = addresses.findIndex(({ address }) => address === host);
                  // The one that is known to work first, then each in turn.
                  return (
                    addresses[(Math.max(0, known) + tries++) % addresses.length] ?? addresses[0]
                  );
                }
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
    way: WebSocketWay = {},
  ): Promise<{ address: SocketAddress; connection: number }> {
    const { timeout } = options;
    const given = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([...given, over.signal]);
    this.#opening += 1;
    this.#host.onBusy();
    try {
      // A WebSocket has a socket of its own, which reaches both families.
      const resolve: DialLimits['resolve'] = async (where, about) => {
        const all = await resolveHosts(where, 0, about, this.#host.lookup);
        const [first, ...others] = way.among?.(all) ?? all;
        return first === undefined ? all : [first, ...others];
      };
      const { onReached } = way;
      const limits = {
        timeout,
        signal,
        context,
        resolve,
        ...(onReached === undefined ? {} : { onReached }),
      };
      const dialled = await dial(options.websocket(host, port), limits);
      const { socket, stream, remote, reads } = dialled;
      if (over.signal.aborted) {
        socket.terminate();
        throw over.signal.reason;
      }
      try {
        const link = this.links.add(socket, stream, 'client', remote, reads);
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

const CODE_AUTHENTICATION_FAILED = 0x0103;

/** Codes that say only that nobody was met at an address; the last is least: this machine has no way there. */
const NOBODY_THERE: readonly number[] = [0x0101, 0x0102];
const CODE_NETWORK_UNREACHABLE = 0x0104;

/**
 * Whether an error at one of a name's addresses is the last word for all of them: the node that was named has proved
 * itself and does not admit this one. Another node, another seed, another clock or another version is what somebody else
 * may have at an address that the peer has no more, and a stranger can claim all but the first. So is the refusal of a
 * node that may not be the one that is meant: where none was named, or where it has not proved which one it is.
 */
function endsAddresses(error: unknown): boolean {
  return (
    error instanceof SttError &&
    error.code === CODE_AUTHENTICATION_FAILED &&
    (error.subcode ?? 0) === 0 &&
    error.origin === 'peer' &&
    error.context.nodeId !== undefined &&
    error.context.answeredBy === undefined
  );
}

/**
 * Of what the addresses said, the first that says most: somebody who answered goes before silence and refusals, and those
 * before no way there. With all of it in `attempts`.
 */
function mostTelling(error: unknown): unknown {
  const { attempts = [] } = error as { attempts?: readonly { readonly error: unknown }[] };
  const errors = attempts.map((attempt) => attempt.error).filter((one) => one instanceof SttError);
  const told =
    errors.find(endsAddresses) ??
    errors.find(({ code }) => code !== CODE_NETWORK_UNREACHABLE && !NOBODY_THERE.includes(code)) ??
    errors.find(({ code }) => code !== CODE_NETWORK_UNREACHABLE);
  if (told === undefined) return error;
  if (!endsAddresses(told)) noteElsewhere(told, errors);
  return told === error ? error : withAttempts(told, attempts);
}

function withAttempts(error: unknown, attempts: readonly { readonly error: unknown }[]): unknown {
  if (!(error instanceof Error)) return error;
  return Object.defineProperty(error, 'attempts', {
    value: Object.freeze([...attempts]),
    configurable: true,
  });
}

/** What the memory of winners knows a peer by. */
function keyOf({ host, port }: HostPort, { peerNodeId }: ResolvedConnectOptions): string {
  return `${host}:${port} ${peerNodeId === undefined ? 'any' : toHex(peerNodeId)}`;
}

/** In what direction UDP starved, as the memory of winners has noted it. */
function directionOf(note: string | undefined): PathMeasure['direction'] | undefined {
  return note === 'sending' || note === 'receiving' ? note : undefined;
}
