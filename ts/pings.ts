import type { WaitOptions } from './async.ts';
import { checkWait, rejected, Waiter } from './async.ts';
import { BufferOverflowError } from './errors/classes.ts';
import type { SttError } from './errors/error.ts';
import type { FaultPlace } from './errors/fault.ts';
import type { Engine } from './native/engine.ts';

/** What a session lends to its pings. */
export interface PingHost {
  readonly engine: Engine;
  /** The core's number of the session. */
  readonly session: number;
  place(): FaultPlace;
  /** Why the session has ended; undefined while it has not. */
  closedError(): SttError | undefined;
}

/** Pings of a session that are not answered yet, at most; the core takes no more either. */
const MAX_PINGS = 4_096;

/** The pings of one session that wait for their answers. */
export class Pings {
  readonly #host: PingHost;
  readonly #waiting = new Map<number, Waiter<number>>();
  #nextToken = 1;

  constructor(host: PingHost) {
    this.#host = host;
  }

  /** As `session.ping()`. */
  ping(options?: WaitOptions): Promise<number> {
    let wait: WaitOptions;
    try {
      wait = checkWait(options);
    } catch (error) {
      return rejected(error);
    }
    const host = this.#host;
    const closed = host.closedError();
    if (closed !== undefined) return rejected(closed);
    const { peer, context } = host.place();
    if (this.#waiting.size >= MAX_PINGS) {
      const message = `${MAX_PINGS} pings of ${peer} are not answered yet. Await some, or give each a timeout.`;
      return rejected(new BufferOverflowError(message, { context }));
    }
    const token = this.#nextToken;
    this.#nextToken = token === 0xffff_ffff ? 1 : token + 1;
    const waiter = new Waiter<number>(
      wait,
      `A ping of ${peer}`,
      (error) => {
        if (this.#waiting.delete(token)) host.engine.cancelPing(host.session, token);
        return error;
      },
      () => host.place().context,
    );
    if (!waiter.settled) {
      this.#waiting.set(token, waiter);
      host.engine.ping(host.session, token);
    }
    return waiter.promise;
  }

  onPong(token: number, rttMicros: number): void {
    const waiter = this.#waiting.get(token);
    this.#waiting.delete(token);
    waiter?.resolve(rttMicros / 1_000);
  }

  /** The session is over. */
  end(error: SttError): void {
    for (const waiter of this.#waiting.values()) waiter.reject(error);
    this.#waiting.clear();
  }
}
