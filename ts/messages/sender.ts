import type { WaitOptions } from '../async.ts';
import { checkWait, DONE, rejected, Waiter } from '../async.ts';
import { BufferOverflowError } from '../errors/classes.ts';
import type { SttErrorContext } from '../errors/error.ts';
import { SttOptionError, SttStateError } from '../errors/local.ts';
import type { Engine } from '../native/engine.ts';

/** What a message costs in a queue beside its bytes; the core counts the same. */
export const MESSAGE_OVERHEAD = 64;

/** What the messages of a session need of it. */
export interface MessageHost {
  readonly engine: Engine;
  /** The endpoint's number for the session. */
  readonly session: number;
  readonly sendBuffer: number;
  context(): Partial<SttErrorContext>;
  /** Why the session takes nothing more; undefined while it does. */
  closedError(): unknown;
}

interface Waiting {
  readonly frameType: number;
  readonly bytes: Uint8Array;
  readonly waiter: Waiter<void>;
}

/** The core's answers; see `Engine.sendMessage`. */
const TAKEN = 1;
const FULL = 0;
const DEAD = -1;

/**
 * Sends datagrams and frames. What the core's bounded queue has no room for waits here, by reference and
 * in order, up to the same bound once more.
 */
export class MessageSender {
  readonly #host: MessageHost;
  #waiting: Waiting[] = [];
  #cost = 0;

  constructor(host: MessageHost) {
    this.#host = host;
  }

  /** The longest message now; 0 where the peer takes none, or the session is over. */
  get maxSize(): number {
    if (this.#host.closedError() !== undefined) return 0;
    return this.#host.engine.maxMessageSize(this.#host.session);
  }

  /** Sends at once, or says false: nothing was taken. Throws for what could never be sent. */
  trySend(frameType: number, bytes: Uint8Array): boolean {
    const closed = this.#host.closedError();
    if (closed !== undefined) throw closed;
    return this.#waiting.length === 0 ? this.#offer(frameType, bytes) : this.#check(bytes);
  }

  send(frameType: number, bytes: Uint8Array, options: WaitOptions | undefined): Promise<void> {
    let wait: WaitOptions;
    try {
      wait = checkWait(options);
      if (this.trySend(frameType, bytes)) return DONE;
    } catch (error) {
      return rejected(error);
    }
    const cost = bytes.length + MESSAGE_OVERHEAD;
    if (this.#waiting.length > 0 && this.#cost + cost > this.#host.sendBuffer) {
      return rejected(this.#overflow());
    }
    const entry: Waiting = {
      frameType,
      bytes,
      waiter: new Waiter<void>(
        wait,
        'Sending a datagram',
        (error) => {
          this.#remove(entry);
          return error;
        },
        () => this.#host.context(),
      ),
    };
    if (!entry.waiter.settled) {
      this.#waiting.push(entry);
      this.#cost += cost;
    }
    return entry.waiter.promise;
  }

  /** The core has room again. */
  onWritable(): void {
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting;
      if (first === undefined) return;
      try {
        if (!this.#offer(first.frameType, first.bytes)) return;
        first.waiter.resolve(undefined);
      } catch (error) {
        // The path carries less than it did.
        first.waiter.reject(error);
      }
      this.#remove(first);
    }
  }

  /** The session is over. */
  fail(error: unknown): void {
    this.#cost = 0;
    for (const { waiter } of this.#waiting.splice(0)) waiter.reject(error);
  }

  #offer(frameType: number, bytes: Uint8Array): boolean {
    const sent = this.#host.engine.sendMessage(this.#host.session, frameType, bytes);
    if (sent === TAKEN) return true;
    // Dead: the event that says why is on its way and rejects what waits.
    if (sent === FULL || sent === DEAD) return false;
    // The path was found to carry more a moment later.
    if (this.#fits(bytes)) return this.#offer(frameType, bytes);
    throw this.#tooLong(bytes.length);
  }

  /** Later messages wait behind those that wait, but what could never be sent fails at once. */
  #check(bytes: Uint8Array): false {
    if (!this.#fits(bytes)) throw this.#tooLong(bytes.length);
    return false;
  }

  #fits(bytes: Uint8Array): boolean {
    const max = this.maxSize;
    return max > 0 && bytes.length <= max;
  }

  #tooLong(length: number): Error {
    const max = this.maxSize;
    if (max === 0) {
      return new SttStateError(
        'The peer takes no datagrams and no frames (its maxDatagramSize is 0). Use a stream.',
      );
    }
    return new SttOptionError(
      'data',
      `has ${length} bytes, and a datagram or frame of this session at most ${max} (see datagrams.maxSize)`,
    );
  }

  #remove(entry: Waiting): void {
    const index = this.#waiting.indexOf(entry);
    if (index < 0) return;
    this.#waiting.splice(index, 1);
    this.#cost -= entry.bytes.length + MESSAGE_OVERHEAD;
  }

  #overflow(): BufferOverflowError {
    return new BufferOverflowError(
      `${this.#waiting.length} datagrams wait to be sent to ${this.#host.context().peer ?? 'the peer'}, and another would pass datagramSendBuffer (${this.#host.sendBuffer} bytes). ` +
        "Await each send, use trySend, or set datagramSendDrop to 'oldest'.",
      { context: this.#host.context() },
    );
  }
}
