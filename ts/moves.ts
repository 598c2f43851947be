import { isIP } from 'node:net';
import type { HostPort, PeerAddress, SocketAddress } from './address.ts';
import { formatAddress, parseAddress, reachableFamily, resolveHost } from './address.ts';
import type { WaitOptions } from './async.ts';
import { checkWait, rejected, Waiter } from './async.ts';
import { FIRST_FAILOVER_TOKEN } from './carriers/failover.ts';
import type { SttError } from './errors/error.ts';
import type { FaultPlace } from './errors/fault.ts';
import { faultToError } from './errors/fault.ts';
import { SttOptionError, SttStateError } from './errors/local.ts';
import type { Engine, Fault } from './native/engine.ts';
import { systemCode } from './native/records.ts';

/** Where `session.migrate()` moves to: at least one of the two addresses. */
export interface MigrateOptions extends WaitOptions {
  /**
   * An IP address of this machine to send from from now on, as on another network. The endpoint must be
   * bound to all addresses (`host` left out, `'::'` or `'0.0.0.0'`), and the system must have a route to
   * the peer from there.
   * @default with a `remoteAddress`, whichever the system picks
   */
  readonly localAddress?: string;
  /**
   * Another address of the same peer: of the same endpoint there, which must be bound to it too.
   * @default where the peer is now
   */
  readonly remoteAddress?: PeerAddress;
}

/** What a session lends to its moves. */
export interface MoveHost {
  readonly engine: Engine;
  /** The core's number of the session. */
  readonly session: number;
  /** Where the endpoint is bound. */
  boundTo(): SocketAddress;
  /** Where the peer is. */
  peer(): SocketAddress;
  place(): FaultPlace;
  /** Why the session has ended; undefined while it has not. */
  closedError(): SttError | undefined;
}

interface Target {
  readonly local: string | undefined;
  readonly remote: HostPort | undefined;
  /** The family that the remote address must be of, 0 for either. */
  readonly family: 0 | 4 | 6;
  readonly wait: WaitOptions;
}

interface Move {
  readonly token: number;
  /** For messages: `from 10.0.0.2`. */
  readonly way: string;
  readonly waiter: Waiter<void>;
}

const NAMES = ['localAddress', 'remoteAddress', 'timeout', 'signal'];

const CODE_CONNECTION_TIMEOUT = 0x0101;
const CODE_NETWORK_UNREACHABLE = 0x0104;
const CODE_SESSION_CLOSED = 0x0201;
const CODE_UDP_SEND_FAILED = 0x0501;
const CODE_TIMEOUT = 0x0601;

/** The moves of one session, of which the newest is the one that counts. */
export class Moves {
  readonly #host: MoveHost;
  #current: Move | undefined;
  #nextToken = 1;

  constructor(host: MoveHost) {
    this.#host = host;
  }

  /** As `session.migrate()`. */
  migrate(options: MigrateOptions): Promise<void> {
    const host = this.#host;
    const closed = host.closedError();
    if (closed !== undefined) return rejected(closed);
    let target: Target;
    try {
      target = checkTarget(options, host.boundTo(), host.peer());
    } catch (error) {
      return rejected(error);
    }
    const { peer } = host.place();
    const token = this.#nextToken;
    // Tokens past these are of moves that no application asked for.
    this.#nextToken = token + 1 === FIRST_FAILOVER_TOKEN ? 1 : token + 1;
    const waiter = new Waiter<void>(
      target.wait,
      `Moving the session with ${peer}`,
      (error) => {
        if (this.#current?.token === token) this.#current = undefined;
        host.engine.cancelMove(host.session, token);
        return error;
      },
      () => host.place().context,
    );
    if (waiter.settled) return waiter.promise;
    this.#current?.waiter.reject(
      new SttStateError('A later migrate() of the session took the place of this one.'),
    );
    this.#current = { token, way: describeWay(target), waiter };
    const { local, remote } = target;
    const start = (address?: SocketAddress): void => {
      if (!waiter.settled) host.engine.moveSession(host.session, token, local, address);
    };
    if (remote === undefined) start();
    else
      resolveHost(remote, target.family).then(start, (error: unknown) =>
        this.#take(token)?.waiter.reject(error),
      );
    return waiter.promise;
  }

  /** Whether a move is under way. */
  get busy(): boolean {
    return this.#current !== undefined;
  }

  onMoved(token: number): void {
    this.#take(token)?.waiter.resolve();
  }

  onFailed(token: number, fault: Fault): void {
    const move = this.#take(token);
    move?.waiter.reject(this.#error(fault, move.way));
  }

  /** The session has ended. */
  end(error: SttError): void {
    this.#current?.waiter.reject(error);
    this.#current = undefined;
  }

  /** The move of that token, if it still counts, which ends. */
  #take(token: number): Move | undefined {
    if (this.#current?.token !== token) return undefined;
    const move = this.#current;
    this.#current = undefined;
    return move;
  }

  #error(fault: Fault, way: string): SttError {
    const place = this.#host.place();
    const closed = fault.code === CODE_SESSION_CLOSED ? this.#host.closedError() : undefined;
    if (closed !== undefined) return closed;
    const { detail } = fault;
    const waited = detail.kind === 'waited' ? ` within ${detail.ms} ms` : '';
    const number =
      detail.kind === 'os' && detail.errno !== 0
        ? ` (${systemCode(detail.errno)}, system error ${detail.errno})`
        : '';
    const stays = 'The session goes on where it was.';
    const messages: Readonly<Record<number, string>> = {
      [CODE_CONNECTION_TIMEOUT]: `${place.peer} did not answer ${way}${waited}. ${stays} Check that UDP passes both ways there, and that the peer's endpoint is bound to that address.`,
      [CODE_NETWORK_UNREACHABLE]: `No route leads ${way}. ${stays} Check this machine's routes for that address.`,
      [CODE_SESSION_CLOSED]: `The session with ${place.peer} is closing, and moves no more.`,
      [CODE_UDP_SEND_FAILED]: `The system refuses to send ${way}${number}. ${stays} Check that the local address is this machine's, and its firewall.`,
      [CODE_TIMEOUT]: `${place.peer} gave no unused path id${waited}, so the session cannot move yet. ${stays} Try again later.`,
    };
    const message = messages[fault.code];
    return faultToError(message === undefined ? fault : { ...fault, message }, place);
  }
}

function describeWay({ local, remote }: Target): string {
  const from = local === undefined ? '' : `from ${local}`;
  const to =
    remote === undefined ? '' : `to ${formatAddress({ address: remote.host, port: remote.port })}`;
  return [from, to].filter((part) => part !== '').join(' ');
}

/** Checks what a caller gave. */
function checkTarget(options: MigrateOptions, bound: SocketAddress, peer: SocketAddress): Target {
  if (typeof options !== 'object' || options === null) {
    throw new SttOptionError('localAddress', 'or remoteAddress is required');
  }
  for (const name of Object.keys(options)) {
    if (!NAMES.includes(name)) throw new SttOptionError(name, 'is no option of migrate()');
  }
  const { localAddress: local, remoteAddress } = options;
  const wait = checkWait(options);
  const remote =
    remoteAddress === undefined ? undefined : parseAddress(remoteAddress, 'remoteAddress');
  if (local === undefined) {
    if (remote === undefined) {
      throw new SttOptionError('localAddress', 'or remoteAddress is required: where to move to');
    }
    return { local, remote, family: reachableFamily(bound), wait };
  }
  const family = checkLocal(local, bound);
  const theirs = remote === undefined ? isIP(peer.address) : isIP(remote.host);
  if (theirs !== 0 && theirs !== family) {
    throw new SttOptionError(
      'localAddress',
      `is an IPv${family} address, but that of the peer is an IPv${theirs} one`,
    );
  }
  return { local, remote, family, wait };
}

/** The family of a local address that the endpoint's socket can send from. */
function checkLocal(local: unknown, bound: SocketAddress): 4 | 6 {
  const family = typeof local === 'string' && !local.includes('%') ? isIP(local) : 0;
  if (family !== 4 && family !== 6) {
    throw new SttOptionError('localAddress', 'must be an IP address of this machine');
  }
  const reachable = reachableFamily(bound);
  if (reachable !== 0 && reachable !== family) {
    throw new SttOptionError(
      'localAddress',
      `is an IPv${family} address, and this endpoint is bound to IPv${reachable}`,
    );
  }
  const everywhere = bound.address === '::' || bound.address === '0.0.0.0';
  if (!everywhere && local !== bound.address) {
    throw new SttOptionError(
      'localAddress',
      `is ${local}, but this endpoint is bound to ${bound.address} alone: create it on all addresses (leave host out), or use endpoint.rebind()`,
    );
  }
  return family;
}
