import { isIP } from 'node:net';
import type { SocketAddress } from './address.ts';
import { checkPort, reachableFamily, resolveHost } from './address.ts';
import { Waiter } from './async.ts';
import { SttOptionError, SttSystemError } from './errors/local.ts';
import { startError } from './errors/system.ts';
import type { Engine } from './native/engine.ts';

/** Where `endpoint.rebind()` binds the next socket. */
export interface RebindOptions {
  /**
   * An IP address of this machine, or a name that has one.
   * @default where the endpoint is bound now
   */
  readonly host?: string;
  /**
   * A UDP port; 0 lets the system choose. The port in use is not free for the same address.
   * @default 0
   */
  readonly port?: number;
}

const NAMES = ['host', 'port'];

/** The sockets that an endpoint was given one after the other. */
export class Rebinding {
  readonly #engine: Engine;
  readonly #waiting = new Map<number, Waiter<SocketAddress>>();
  readonly #onBusy: () => void;
  #nextToken = 1;
  #running = 0;

  /** @param onBusy runs when `busy` may have changed. */
  constructor(engine: Engine, onBusy: () => void) {
    this.#engine = engine;
    this.#onBusy = onBusy;
  }

  /** Whether somebody waits for a socket. */
  get busy(): boolean {
    return this.#running > 0;
  }

  /** As `endpoint.rebind()`; `peers` are where the live sessions lead. */
  async rebind(
    { host, port }: { host: string; port: number },
    peers: () => readonly SocketAddress[],
    checkOpen: () => void,
  ): Promise<SocketAddress> {
    this.#running += 1;
    this.#onBusy();
    try {
      const { address, family } = await resolveHost({ host, port }, 0);
      checkOpen();
      const reachable = reachableFamily({ address, family });
      const lost = peers().find((peer) => reachable !== 0 && isIP(peer.address) !== reachable);
      if (lost !== undefined) {
        throw new SttOptionError(
          'host',
          `is an IPv${reachable} address, from which the session with ${lost.address} could not go on`,
        );
      }
      const token = this.#nextToken++;
      const waiter = new Waiter<SocketAddress>();
      this.#waiting.set(token, waiter);
      try {
        this.#engine.rebind(address, port, token);
        return await waiter.promise;
      } catch (error) {
        throw startError(error);
      } finally {
        this.#waiting.delete(token);
      }
    } finally {
      this.#running -= 1;
      this.#onBusy();
    }
  }

  onRebound(token: number, address: SocketAddress): void {
    this.#waiting.get(token)?.resolve(address);
  }

  onFailed(token: number, code: string, errno: number): void {
    const message = `${code}: the endpoint could not go on with another socket, and keeps the one it has.`;
    this.#waiting
      .get(token)
      ?.reject(new SttSystemError(message, { code, errno, syscall: 'poller' }));
  }

  /** The endpoint has ended. */
  end(error: Error): void {
    for (const waiter of this.#waiting.values()) waiter.reject(error);
  }
}

/** Checks what a caller gave. */
export function checkRebind(
  options: RebindOptions,
  bound: SocketAddress,
): { host: string; port: number } {
  if (typeof options !== 'object' || options === null) {
    throw new SttOptionError('host', 'must stand in an object of options');
  }
  for (const name of Object.keys(options)) {
    if (!NAMES.includes(name)) throw new SttOptionError(name, 'is no option of rebind()');
  }
  const { host = bound.address, port = 0 } = options;
  if (typeof host !== 'string' || host === '') {
    throw new SttOptionError('host', 'must be an IP address or a name');
  }
  return { host, port: checkPort(port, 'port', 0) };
}
