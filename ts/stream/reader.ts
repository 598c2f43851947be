import type { WaitOptions } from '../async.ts';
import { checkWait, handled, Waiter } from '../async.ts';
import { BufferOverflowError, StreamClosedError } from '../errors/classes.ts';
import { SttOptionError } from '../errors/local.ts';
import { checkCode, concatenate } from './bytes.ts';
import type { HalfHost } from './writer.ts';

/** How an iteration over a stream ends and waits. */
export interface IterateOptions extends WaitOptions {
  /**
   * Leaving the loop early keeps the stream readable instead of asking the peer to stop.
   * @default false
   */
  readonly preventCancel?: boolean;
}

/** What `bytes()` and `text()` take. */
export interface CollectOptions extends WaitOptions {
  /**
   * Most bytes that are collected; more fails with 0x0602 and asks the peer to stop.
   * @default 256 MiB
   */
  readonly limit?: number;
}

/** Several chunks at once, in order. */
export type Batch = readonly Uint8Array[];

/** @default of {@link CollectOptions.limit} */
const DEFAULT_COLLECT_LIMIT = 256 * 1024 * 1024;

/** Code that the peer's writer gets when a reader leaves without giving one. */
const NO_CODE = 0;

const NOTHING: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * The receiving half. Chunks wait here as they came from the core, bounded by the core's read-ahead;
 * taking them tells the core, and so the peer, that there is room again.
 */
export class Reader {
  readonly #host: HalfHost;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  /** How many of the queued bytes a loop gave back: the core was told of them already. */
  #returnedBytes = 0;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #done = false;
  readonly #waiting: Waiter<IteratorResult<Batch, undefined>>[] = [];

  constructor(host: HalfHost) {
    this.#host = host;
  }

  /** FIN was read, or the half failed, or was stopped. */
  get over(): boolean {
    return this.#done;
  }

  batches(options?: IterateOptions): AsyncIterableIterator<Batch, undefined> {
    const wait = checkWait(options);
    const cancel = options?.preventCancel !== true;
    let left = false;
    const iterator: AsyncIterableIterator<Batch, undefined> = {
      next: () => (left ? Promise.resolve(NOTHING) : this.next(wait)),
      return: () => {
        left = true;
        if (cancel) this.stop(NO_CODE);
        return Promise.resolve(NOTHING);
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  values(options?: IterateOptions): AsyncIterableIterator<Uint8Array, undefined> {
    const batches = this.batches(options);
    let batch: Batch = [];
    let index = 0;
    const iterator: AsyncIterableIterator<Uint8Array, undefined> = {
      next: async () => {
        while (index >= batch.length) {
          const step = await batches.next();
          if (step.done === true) return step;
          batch = step.value;
          index = 0;
        }
        const value = batch[index] as Uint8Array;
        index += 1;
        return { done: false, value };
      },
      return: async () => {
        // What this loop was given and did not look at stays readable for the next one.
        if (options?.preventCancel === true) this.#unread(batch.slice(index));
        batch = [];
        await batches.return?.();
        return NOTHING;
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /** The next batch: at once and without waiting where something is queued. */
  next(wait: WaitOptions): Promise<IteratorResult<Batch, undefined>> {
    if (wait.signal?.aborted === true) return handled(Promise.reject(wait.signal.reason));
    if (this.#queuedBytes > 0) return Promise.resolve({ done: false, value: this.#take() });
    if (this.#failure !== undefined) return handled(Promise.reject(this.#failure.error));
    if (this.#ended) return Promise.resolve(NOTHING);
    const waiter = new Waiter<IteratorResult<Batch, undefined>>(wait, 'Reading', (error) => {
      const index = this.#waiting.indexOf(waiter);
      if (index >= 0) this.#waiting.splice(index, 1);
      return error;
    });
    if (!waiter.settled) this.#waiting.push(waiter);
    return waiter.promise;
  }

  async bytes(options?: CollectOptions): Promise<Uint8Array> {
    const wait = checkWait(options);
    const limit = options?.limit ?? DEFAULT_COLLECT_LIMIT;
    if (typeof limit !== 'number' || !(limit >= 0)) {
      throw new SttOptionError('limit', 'must be a number of bytes, 0 or more');
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    while (true) {
      const step = await this.next(wait);
      if (step.done === true) return concatenate(chunks, length);
      for (const chunk of step.value) {
        length += chunk.length;
        chunks.push(chunk);
      }
      if (length > limit) {
        this.stop(NO_CODE);
        throw new BufferOverflowError(
          `The stream has more than the ${limit} bytes that were to be collected. Raise limit, or read it in pieces.`,
          { context: this.#host.context() },
        );
      }
    }
  }

  /** Asks the peer to stop sending; what it sent already is dropped. */
  stop(code: number): void {
    checkCode(code);
    if (this.#done) return;
    this.#clear();
    this.#host.engine.stop(this.#host.stream, code);
    const error = new StreamClosedError(`Reading was stopped by this side (code ${code}).`, {
      context: this.#host.context(),
    });
    // A later read must throw, not look like the end of the data; but stopping is no fault of the stream.
    this.#failure = { error };
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
    this.#over(undefined);
  }

  /** Bytes from the peer, and maybe the end. */
  onData(chunk: Uint8Array, fin: boolean): void {
    if (this.#failure !== undefined) {
      if (chunk.length > 0) this.#host.engine.consumed(this.#host.stream, chunk.length);
      return;
    }
    this.#host.touch();
    if (chunk.length > 0) {
      this.#queue.push(chunk);
      this.#queuedBytes += chunk.length;
    }
    if (fin) this.#ended = true;
    this.#serve();
  }

  /** The peer aborted sending: what was not read is gone. */
  onReset(code: number): void {
    if (this.#ended) return;
    this.#clear();
    this.fail(
      new StreamClosedError(
        `The peer aborted this stream with code ${code} before its end. Open a new stream to try again.`,
        { applicationCode: code, context: this.#host.context() },
      ),
    );
  }

  /** The session ended. What arrived before stays readable; then comes the error, unless FIN was there. */
  fail(error: unknown): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.#failure = { error };
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
    this.#over(error);
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      if (this.#queuedBytes > 0)
        this.#waiting.shift()?.resolve({ done: false, value: this.#take() });
      else if (this.#ended) this.#waiting.shift()?.resolve(NOTHING);
      else return;
    }
    if (this.#ended && this.#queuedBytes === 0) this.#over(undefined);
  }

  #take(): Batch {
    const batch = this.#queue;
    this.#clear();
    if (this.#ended) this.#over(undefined);
    return batch;
  }

  #unread(chunks: Uint8Array[]): void {
    let length = 0;
    for (const chunk of chunks) length += chunk.length;
    this.#queue.unshift(...chunks);
    this.#queuedBytes += length;
    this.#returnedBytes += length;
  }

  /** Empties the queue and tells the core that there is room. */
  #clear(): void {
    const fresh = this.#queuedBytes - this.#returnedBytes;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#returnedBytes = 0;
    if (fresh > 0) this.#host.engine.consumed(this.#host.stream, fresh);
  }

  #over(error: unknown): void {
    if (this.#done) return;
    this.#done = true;
    this.#host.halfDone(error);
  }
}
