import { ReadableStream, WritableStream } from 'node:stream/web';
import type { WaitOptions } from './async.ts';
import { rejected } from './async.ts';
import { DatagramInbox } from './messages/inbox.ts';
import type { MessageSender } from './messages/sender.ts';
import type { ByteSource } from './stream/bytes.ts';
import { toBytes } from './stream/bytes.ts';

/** The frame type of a DATAGRAM. */
const DATAGRAM = 0x16;

/** How many datagrams may wait, and which are dropped then. */
export interface DatagramHost {
  readonly datagramRecvBuffer: number;
  readonly datagramRecvDrop: 'newest' | 'oldest';
}

/**
 * The datagrams of a session: messages that travel whole, once, without order and without a promise that
 * they arrive. Both ways a bounded queue stands between application and network; what it has no room for
 * is dropped, as `datagramSendDrop` and `datagramRecvDrop` say, and counted in `session.stats()`.
 */
export class SttDatagrams implements AsyncIterable<Uint8Array> {
  readonly #sender: MessageSender;
  readonly #inbox: DatagramInbox;
  #readable: ReadableStream<Uint8Array> | undefined;
  #writable: WritableStream<ByteSource> | undefined;

  /** @internal */
  constructor(host: DatagramHost, sender: MessageSender) {
    this.#sender = sender;
    this.#inbox = new DatagramInbox(host.datagramRecvBuffer, host.datagramRecvDrop);
  }

  /**
   * Bytes of the longest datagram that can be sent now: it changes with the path, and grows within a few round trips
   * of the first question, or of the first datagram that is sent. 0 where the peer takes none, and after the end of the session.
   */
  get maxSize(): number {
    return this.#sender.maxSize;
  }

  /**
   * Sends a datagram if there is room at once. False: nothing was taken. The bytes are copied.
   *
   * @throws {SttOptionError} when it is longer than {@link maxSize}.
   * @throws {SttStateError} when the peer takes no datagrams.
   * @throws {SessionClosedError} when the session has ended or is closing.
   */
  trySend(data: ByteSource): boolean {
    return this.#sender.trySend(DATAGRAM, toBytes(data));
  }

  /**
   * Sends a datagram, in the order of the calls; waits while there is no room. Resolves when it is taken
   * into the bounded queue, not when it is sent: leave the buffer alone until then.
   *
   * @throws as {@link trySend}.
   * @throws {BufferOverflowError} when as many bytes wait already as `datagramSendBuffer` has.
   * @throws {SttTimeoutError} past `timeout`; nothing was sent then.
   */
  send(data: ByteSource, options?: WaitOptions): Promise<void> {
    let bytes: Uint8Array;
    try {
      bytes = toBytes(data);
    } catch (error) {
      return rejected(error);
    }
    return this.#sender.send(DATAGRAM, bytes, options);
  }

  /**
   * Datagrams as they come, each the reader's to keep. Several loops share them. Over at the graceful end
   * of the session, throws at any other.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array, undefined> {
    return this.values();
  }

  /** As iterating over the object itself, with options for each step. */
  values(options?: WaitOptions): AsyncIterableIterator<Uint8Array, undefined> {
    return this.#inbox.values(options);
  }

  /** All datagrams that wait, a step: the fast path. */
  batches(options?: WaitOptions): AsyncIterableIterator<readonly Uint8Array[], undefined> {
    return this.#inbox.batches(options);
  }

  /** What comes, as a web stream. */
  get readable(): ReadableStream<Uint8Array> {
    this.#readable ??= new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const step = await this.#inbox.next({}, 1);
          if (step.done === true) controller.close();
          else controller.enqueue(step.value[0] as Uint8Array);
        },
      },
      { highWaterMark: 0 },
    );
    return this.#readable;
  }

  /** What goes, as a web stream: each chunk is one datagram. */
  get writable(): WritableStream<ByteSource> {
    this.#writable ??= new WritableStream<ByteSource>({ write: (chunk) => this.send(chunk) });
    return this.#writable;
  }

  /** @internal */
  onDatagram(bytes: Uint8Array): void {
    this.#inbox.push(bytes);
  }

  /** @internal */
  get dropped(): number {
    return this.#inbox.dropped;
  }

  /** @internal Datagrams that nobody has taken. */
  get unread(): number {
    return this.#inbox.length;
  }

  /** @internal The session is over; with `why`, what waits throws what it makes. */
  end(why: (() => unknown) | undefined): void {
    this.#inbox.end(why);
  }
}
