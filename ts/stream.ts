import type { ReadableStream, WritableStream } from 'node:stream/web';
import { toReadableStream, toWritableStream } from './adapters/web.ts';
import type { WaitOptions } from './async.ts';
import { handled, rejected } from './async.ts';
import { StreamClosedError } from './errors/classes.ts';
import type { SttErrorContext } from './errors/error.ts';
import { faultToError } from './errors/fault.ts';
import { SttOptionError, SttStateError } from './errors/local.ts';
import { placeWords } from './errors/place.ts';
import type { Engine, Fault } from './native/engine.ts';
import type { Lease } from './native/slab.ts';
import type { ByteSource } from './stream/bytes.ts';
import { concatenate, toBytes } from './stream/bytes.ts';
import { DEFAULT_MAX_MESSAGE, encodeLength, MessageSplitter } from './stream/framing.ts';
import { IdleTimer } from './stream/idle.ts';
import type { Batch, CollectOptions, IterateOptions, StreamGap } from './stream/reader.ts';
import { Reader } from './stream/reader.ts';
import type { HalfHost } from './stream/writer.ts';
import { Writer } from './stream/writer.ts';

/** Which ways bytes go, seen from this side. */
export type StreamDirection = 'bidirectional' | 'send' | 'receive';

/** How `messages()` reads; each message is the reader's to keep. */
export interface MessageOptions extends Omit<IterateOptions, 'lend'> {
  /**
   * Most bytes of one message; a longer one fails with 0x0602 before any of it is kept.
   * @default 16 MiB
   */
  readonly maxSize?: number;
}

/** What a session hands to a stream. */
export interface StreamHost {
  readonly engine: Engine;
  readonly maxPendingBytes: number;
  readonly streamIdleTimeout: number;
  context(): Partial<SttErrorContext>;
  /** Both halves are over, by `error` if one failed; the session may forget it. */
  streamOver(error: unknown): void;
  /** The core will tell nothing more of it. */
  streamGone(): void;
}

/** What is known of a stream when it begins. */
export interface StreamInfo {
  readonly direction: StreamDirection;
  readonly purpose: string;
  readonly name: number | undefined;
  readonly priority: number;
  readonly deadline: number | undefined;
}

/** How long `await using` waits for the last bytes of a stream before it gives up. */
const DISPOSE_TIMEOUT = 10_000;

/** Stream code for a stream that was silent for too long: STREAM_CLOSED. */
const IDLE_CODE = 0x0301;

/**
 * One ordered, reliable stream of bytes within a session. Both halves end on their own: `end()` ends
 * sending, the peer's end ends reading.
 */
export class SttStream implements AsyncDisposable, AsyncIterable<Uint8Array> {
  /** Which ways bytes go. */
  readonly direction: StreamDirection;
  /** The opener's label; says what the stream is for. */
  readonly purpose: string;
  /** The id that the opener's application chose itself, where it did. */
  readonly name: number | undefined;
  /** 0 (urgent) to 7 (background). */
  readonly priority: number;
  /** Milliseconds after which bytes are given up, both ways; undefined where every byte arrives. */
  readonly deadline: number | undefined;
  /**
   * Resolves when both halves have ended well; rejects as soon as either fails. Stopping to read is
   * no error. Never raises an unhandled rejection.
   */
  readonly closed: Promise<void>;

  readonly #host: StreamHost;
  readonly #number: number;
  readonly #writer: Writer | undefined;
  readonly #reader: Reader | undefined;
  readonly #idle: IdleTimer | undefined;
  #id = -1;
  #halves: number;
  /** What the first half failed with that failed. */
  #failure: unknown;
  #settleClosed!: { resolve: () => void; reject: (error: unknown) => void };
  #readable: ReadableStream<Uint8Array> | undefined;
  #writable: WritableStream<ByteSource> | undefined;

  /** @internal */
  constructor(host: StreamHost, number: number, info: StreamInfo) {
    this.#host = host;
    this.#number = number;
    this.direction = info.direction;
    this.purpose = info.purpose;
    this.name = info.name;
    this.priority = info.priority;
    this.deadline = info.deadline;
    this.closed = handled(
      new Promise<void>((resolve, reject) => {
        this.#settleClosed = { resolve, reject };
      }),
    );
    const half: HalfHost = {
      engine: host.engine,
      stream: number,
      context: () => this.#context(),
      touch: () => this.#idle?.touch(),
      halfDone: (error) => this.#halfDone(error),
    };
    this.#halves = info.direction === 'bidirectional' ? 2 : 1;
    if (info.direction !== 'receive') this.#writer = new Writer(half, host.maxPendingBytes);
    if (info.direction !== 'send') this.#reader = new Reader(half);
    if (host.streamIdleTimeout > 0) {
      this.#idle = new IdleTimer(host.streamIdleTimeout, () => this.#onIdle());
    }
  }

  /** The stream's id within its session; even ones were opened by the side that connected. */
  get id(): number {
    return this.#id;
  }

  /** Bytes of writes that the send ring has not taken: they wait for room, or, up to 16 KiB, for the end of this tick. */
  get pendingBytes(): number {
    return this.#writer?.pendingBytes ?? 0;
  }

  /** Bytes of this stream that were taken into the send ring so far: offsets 0 up to this one. */
  get bytesWritten(): number {
    return this.#writer?.bytesWritten ?? 0;
  }

  /**
   * Bytes of this stream, from offset 0 on and without a gap, that the peer's transport has acknowledged: it
   * has them, its application may not have read them, and a peer that dies loses them. On a stream with a
   * `deadline`, bytes that were given up count as well. Final once the stream or its session has ended, in
   * whatever way; 0 for a stream that only receives.
   */
  get bytesAcknowledged(): number {
    return this.#writer?.bytesAcknowledged ?? 0;
  }

  /**
   * Sends bytes, in the order of the calls, awaited or not. Resolves when they are taken into the
   * bounded send ring, not when the peer has them: leave the buffer alone until then. At most 1 KiB behind others of
   * the same tick are copied, and go there at its end.
   *
   * @throws {SttTimeoutError} past `timeout`. A write that fails after bytes of it were taken ends sending, see `bytesTaken`.
   * @throws {BufferOverflowError} when un-awaited writes pass `maxPendingBytes`; ends sending.
   * @throws {ResourceExhaustedError} 0x0603 when `maxMemory` has no room and nothing of the stream is under way: nothing was
   *   written (`bytesTaken` is 0), and the stream is as it was. Wait for `drained()` and write again.
   * @throws {StreamClosedError} after `end`, `reset`, or when the peer stopped reading.
   * @throws {SessionClosedError} when the session has ended.
   */
  write(data: ByteSource, options?: WaitOptions): Promise<void> {
    return this.#writer?.write(data, options) ?? rejected(this.#noHalf('write to'));
  }

  /**
   * Sends bytes if there is room at once. False: nothing was taken, await `drained()`. Small ones behind others of the
   * same tick are taken together at its end, and wait then if there is no room for them: up to 16 KiB.
   */
  tryWrite(data: ByteSource): boolean {
    if (this.#writer === undefined) throw this.#noHalf('write to');
    return this.#writer.tryWrite(data);
  }

  /** Resolves when there is room to write. */
  drained(options?: WaitOptions): Promise<void> {
    return this.#writer?.drained(options) ?? rejected(this.#noHalf('write to'));
  }

  /**
   * Sends one message with its length before it, for the peer's `messages()`.
   */
  writeMessage(data: ByteSource, options?: WaitOptions): Promise<void> {
    if (this.#writer === undefined) return rejected(this.#noHalf('write to'));
    let bytes: Uint8Array;
    try {
      bytes = toBytes(data);
    } catch (error) {
      return rejected(error);
    }
    const prefix = encodeLength(bytes.length);
    return this.#writer.write(concatenate([prefix, bytes], prefix.length + bytes.length), options);
  }

  /**
   * Ends sending. Resolves when the peer's transport has acknowledged every byte and the end; whether
   * its application has read them only the application can say. A timeout leaves the end on its way.
   */
  end(options?: WaitOptions): Promise<void> {
    return this.#writer?.end(options) ?? rejected(this.#noHalf('end'));
  }

  /** Aborts sending: what the peer has not read is dropped and its reader throws, with `code`. */
  reset(code = 0): void {
    if (this.#writer === undefined) throw this.#noHalf('reset');
    this.#writer.reset(code);
  }

  /** Asks the peer to stop sending and drops what has not been read. */
  stop(code = 0): void {
    if (this.#reader === undefined) throw this.#noHalf('stop');
    this.#reader.stop(code);
  }

  /**
   * Ends both ways: sends what waits and the end, then stops reading if the peer has not ended.
   * Resolves as `end()` does.
   */
  close(options?: WaitOptions): Promise<void> {
    const ended = this.#writer === undefined ? Promise.resolve() : this.#writer.end(options);
    return handled(
      ended.finally(() => {
        if (this.#reader?.over === false) this.#reader.stop(0);
      }),
    );
  }

  /**
   * What arrives, chunk by chunk, each the reader's to keep. Ends only where the peer ended.
   *
   * @throws {StreamClosedError} at bytes that were given up for their age, unless `onGap` takes them; so do
   *   `bytes()`, `text()`, `messages()` and `readable`.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array, undefined> {
    return this.values();
  }

  /** As iterating over the stream itself, with options. */
  values(options?: IterateOptions): AsyncIterableIterator<Uint8Array, undefined> {
    return this.#receiving().values(options);
  }

  /**
   * What arrives, as many chunks a step as there are: the fast path. On a stream with a deadline a batch
   * says which bytes before it were given up, see {@link Batch.gap}.
   */
  batches(options?: IterateOptions): AsyncIterableIterator<Batch, undefined> {
    return this.#receiving().batches(options);
  }

  /** All bytes until the peer's end. */
  bytes(options?: CollectOptions): Promise<Uint8Array> {
    if (this.#reader === undefined) return rejected(this.#noHalf('read from'));
    return handled(this.#reader.bytes(options));
  }

  /** All bytes until the peer's end, read as UTF-8. */
  text(options?: CollectOptions): Promise<string> {
    return handled(this.bytes(options).then((bytes) => new TextDecoder().decode(bytes)));
  }

  /** The messages that the peer sends with `writeMessage()`, whole and in order. */
  messages(options?: MessageOptions): AsyncIterableIterator<Uint8Array, undefined> {
    const maxSize = options?.maxSize ?? DEFAULT_MAX_MESSAGE;
    if (!(Number.isSafeInteger(maxSize) && maxSize >= 0)) {
      throw new SttOptionError('maxSize', 'must be a number of bytes, 0 or more');
    }
    return splitMessages(
      // Parts of a message that is not whole yet are kept.
      this.batches({ ...options, lend: false }),
      new MessageSplitter(maxSize, () => this.#context()),
      () => this.stop(),
      (gap) => this.#receiving().refuse(gap),
    );
  }

  /** The receiving half as a web stream. */
  get readable(): ReadableStream<Uint8Array> {
    this.#receiving();
    this.#readable ??= toReadableStream(this);
    return this.#readable;
  }

  /** The sending half as a web stream. */
  get writable(): WritableStream<ByteSource> {
    if (this.#writer === undefined) throw this.#noHalf('write to');
    this.#writable ??= toWritableStream(this);
    return this.#writable;
  }

  /** `close()` with a deadline, then the abrupt way. Never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.close({ timeout: DISPOSE_TIMEOUT });
    } catch {
      if (this.#writer?.over === false) this.#writer.reset(0);
    }
  }

  /** @internal The core has given the stream its id. */
  onOpened(id: number): void {
    this.#id = id;
  }

  /** @internal */
  onData(chunk: Uint8Array, fin: boolean, lease: Lease | undefined): void {
    this.#reader?.onData(chunk, fin, lease);
  }

  /** @internal */
  onGap(offset: number, length: number): void {
    this.#reader?.onGap({ offset, length });
  }

  /** @internal */
  onWritable(): void {
    this.#writer?.onWritable();
  }

  /** @internal */
  onFinished(): void {
    this.#writer?.onFinished();
  }

  /** @internal */
  onReset(code: number): void {
    this.#reader?.onReset(code);
  }

  /** @internal */
  onStopped(code: number): void {
    this.#writer?.onStopped(code);
  }

  /** @internal STT itself, here or at the peer, has ended both halves. */
  onFailed(fault: Fault): void {
    const context = this.#context();
    const place = { peer: context.peer ?? 'the peer', context, name: this.name };
    this.fail(faultToError(fault, place));
  }

  /** @internal What the peer's transport has of it, for the last time. */
  onAcknowledged(bytes: number): void {
    this.#writer?.settleAcknowledged(bytes);
  }

  /** @internal The core has forgotten the stream. */
  onStreamClosed(acknowledged: number): void {
    this.#writer?.settleAcknowledged(acknowledged);
    this.#host.streamGone();
  }

  /** @internal Its session ends: what it has acknowledged by now is all. */
  seal(): void {
    this.#writer?.settleAcknowledged();
  }

  /** @internal Bytes written, or waiting to be, that the peer's transport may lack; 0 once sending is over. */
  get undelivered(): number {
    return this.#writer?.undelivered ?? 0;
  }

  /** @internal A reader that cannot tell of a gap must not hide it. */
  refuseGap(gap: StreamGap): never {
    return this.#receiving().refuse(gap);
  }

  /** @internal Ends whatever has not ended, as the end of the session does. */
  fail(error: unknown): void {
    this.#writer?.fail(error);
    this.#reader?.fail(error);
  }

  #receiving(): Reader {
    if (this.#reader === undefined) throw this.#noHalf('read from');
    return this.#reader;
  }

  #context(): Partial<SttErrorContext> {
    return { ...this.#host.context(), ...(this.#id >= 0 ? { streamId: this.#id } : {}) };
  }

  #noHalf(verb: string): SttStateError {
    return new SttStateError(
      `Cannot ${verb} this stream: it is unidirectional, and this side only ${this.direction === 'send' ? 'sends' : 'receives'}.`,
    );
  }

  /** @internal Nothing is missing in either direction: what is here may still be read. */
  get isWhole(): boolean {
    return this.#writer?.finished !== false && this.#reader?.ended !== false;
  }

  #onIdle(): void {
    const error = new StreamClosedError(
      `Nothing moved on ${placeWords(this.#context())} for ${this.#host.streamIdleTimeout} ms (streamIdleTimeout), so this side ended it. Open a new one, or raise streamIdleTimeout.`,
      { context: this.#context(), origin: 'idle' },
    );
    if (this.#writer?.over === false) this.#host.engine.reset(this.#number, IDLE_CODE);
    if (this.#reader?.over === false) this.#host.engine.stop(this.#number, IDLE_CODE);
    this.fail(error);
  }

  #halfDone(error: unknown): void {
    // At once: whoever watches `closed` must not wait for the other half to learn of a failure.
    if (error !== undefined) this.#settleClosed.reject(error);
    this.#failure ??= error;
    this.#halves -= 1;
    if (this.#halves > 0) return;
    this.#idle?.stop();
    this.#settleClosed.resolve();
    this.#host.streamOver(this.#failure);
  }
}

/** What a stream that only sends has. */
export type SttSendStream = Pick<
  SttStream,
  | 'id'
  | 'name'
  | 'purpose'
  | 'priority'
  | 'deadline'
  | 'direction'
  | 'closed'
  | 'pendingBytes'
  | 'bytesWritten'
  | 'bytesAcknowledged'
  | 'write'
  | 'tryWrite'
  | 'drained'
  | 'writeMessage'
  | 'end'
  | 'reset'
  | 'close'
  | 'writable'
  | typeof Symbol.asyncDispose
>;

/** What a stream that only receives has. */
export type SttReceiveStream = Pick<
  SttStream,
  | 'id'
  | 'name'
  | 'purpose'
  | 'priority'
  | 'deadline'
  | 'direction'
  | 'closed'
  | 'stop'
  | 'close'
  | 'values'
  | 'batches'
  | 'bytes'
  | 'text'
  | 'messages'
  | 'readable'
  | typeof Symbol.asyncIterator
  | typeof Symbol.asyncDispose
>;

async function* splitMessages(
  batches: AsyncIterable<Batch>,
  splitter: MessageSplitter,
  stop: () => void,
  refuse: (gap: StreamGap) => never,
): AsyncGenerator<Uint8Array, undefined> {
  for await (const batch of batches) {
    if (batch.gap !== undefined) refuse(batch.gap);
    let messages: Uint8Array[];
    try {
      messages = splitter.push(batch);
    } catch (error) {
      stop();
      throw error;
    }
    yield* messages;
  }
  splitter.end();
}
