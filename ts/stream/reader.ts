import type { WaitOptions } from '../async.ts';
import { checkWait, handled, Waiter } from '../async.ts';
import { BufferOverflowError, StreamClosedError } from '../errors/classes.ts';
import { SttOptionError } from '../errors/local.ts';
import { peerWords, placeWords } from '../errors/place.ts';
import type { Lease } from '../native/slab.ts';
import { checkCode, concatenate } from './bytes.ts';
import type { HalfHost } from './writer.ts';

/** How an iteration over a stream ends and waits. */
export interface IterateOptions extends WaitOptions {
  /**
   * Leaving the loop early keeps the stream readable instead of asking the peer to stop.
   * @default false
   */
  readonly preventCancel?: boolean;
  /**
   * Chunks are lent: each is the loop's until it asks for the next step, and then its memory is used again. Who keeps
   * bytes for longer copies them. Saves most of what memory costs in a bulk transfer; for loops that are done with a
   * chunk when they go on, such as those that await a write of it to a file.
   * @default false
   */
  readonly lend?: boolean;
  /**
   * Called at bytes that were given up for their age, in order: before what follows them is handed out.
   * Without it, reading chunk by chunk fails there; batches tell of gaps themselves.
   */
  readonly onGap?: (gap: StreamGap) => void;
}

/** What `bytes()` and `text()` take. */
export interface CollectOptions extends WaitOptions {
  /**
   * Most bytes that are collected; more fails with 0x0602 and asks the peer to stop.
   * @default 256 MiB
   */
  readonly limit?: number;
  /** As in {@link IterateOptions.onGap}: the bytes are then joined without those that are missing. */
  readonly onGap?: (gap: StreamGap) => void;
}

/** Bytes of a stream with a deadline that were given up: they never come. */
export interface StreamGap {
  /** Of the first of them, counted from the beginning of the stream. */
  readonly offset: number;
  /** How many they are. */
  readonly length: number;
}

/** Several chunks at once, in order, without a gap between them. */
export interface Batch extends ReadonlyArray<Uint8Array> {
  /** The bytes that are missing right before this batch, which may be empty then. */
  readonly gap?: StreamGap;
}

/** Chunks that wait, behind a gap or none. */
interface Waiting {
  readonly gap: StreamGap | undefined;
  chunks: Uint8Array[];
  bytes: number;
  /** What its chunks are read by, those of them that are not the reader's anyway. */
  readonly leases: Lease[];
}

/** A read that waits. */
interface Read {
  readonly waiter: Waiter<IteratorResult<Batch, undefined>>;
  /** Where the leases of a loop go whose chunks are lent. */
  readonly lent: Lease[] | undefined;
}

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
  /** What waits, cut where bytes are missing; all but the first begin with a gap. */
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  /** How many of the queued bytes a loop gave back: the core was told of them already. */
  #returnedBytes = 0;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #done = false;
  readonly #waiting: Read[] = [];

  constructor(host: HalfHost) {
    this.#host = host;
  }

  /** All of it, the end included, is here, whether or not it was read. */
  get ended(): boolean {
    return this.#ended;
  }

  /** FIN was read, or the half failed, or was stopped. */
  get over(): boolean {
    return this.#done;
  }

  batches(options?: IterateOptions): AsyncIterableIterator<Batch, undefined> {
    const wait = checkWait(options);
    const cancel = options?.preventCancel !== true;
    const onGap = options?.onGap;
    const lent: Lease[] | undefined = options?.lend === true ? [] : undefined;
    let left = false;
    const iterator: AsyncIterableIterator<Batch, undefined> = {
      next: () => {
        giveBack(lent);
        if (left) return Promise.resolve(NOTHING);
        const step = this.next(wait, lent);
        return onGap === undefined ? step : step.then((batch) => tell(batch, onGap));
      },
      return: () => {
        left = true;
        giveBack(lent);
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
          if (step.value.gap !== undefined && options?.onGap === undefined) {
            this.refuse(step.value.gap);
          }
          batch = step.value;
          index = 0;
        }
        const value = batch[index] as Uint8Array;
        index += 1;
        return { done: false, value };
      },
      return: async () => {
        // What this loop was given and did not look at stays readable for the next one.
        if (options?.preventCancel === true) {
          const rest = batch.slice(index);
          this.#unread(options.lend === true ? rest.map((chunk) => chunk.slice()) : rest);
        }
        batch = [];
        await batches.return?.();
        return NOTHING;
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /**
   * The next batch: at once and without waiting where something is queued. Its chunks are the caller's to keep, or,
   * with `lent`, until it gives back the leases that are put there.
   */
  next(wait: WaitOptions, lent?: Lease[]): Promise<IteratorResult<Batch, undefined>> {
    if (wait.signal?.aborted === true) return handled(Promise.reject(wait.signal.reason));
    if (this.#queue.length > 0) {
      return Promise.resolve({ done: false, value: this.#take(lent) });
    }
    if (this.#failure !== undefined) return handled(Promise.reject(this.#failure.error));
    if (this.#ended) return Promise.resolve(NOTHING);
    const waiter = new Waiter<IteratorResult<Batch, undefined>>(
      wait,
      'Reading',
      (error) => {
        const index = this.#waiting.findIndex((read) => read.waiter === waiter);
        if (index >= 0) this.#waiting.splice(index, 1);
        return error;
      },
      () => this.#host.context(),
    );
    if (!waiter.settled) this.#waiting.push({ waiter, lent });
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
      const { gap } = step.value;
      if (gap !== undefined) (options?.onGap ?? ((missing) => this.refuse(missing)))(gap);
      for (const chunk of step.value) {
        length += chunk.length;
        chunks.push(chunk);
      }
      if (length > limit) {
        this.stop(NO_CODE);
        throw new BufferOverflowError(
          `More than the ${limit} bytes that were to be collected came on ${placeWords(this.#host.context())}. Raise limit, or read it in pieces.`,
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
    const error = new StreamClosedError(
      `Reading of ${placeWords(this.#host.context())} was stopped by this side (code ${code}). Open a new stream to read more.`,
      { context: this.#host.context(), origin: 'local' },
    );
    // A later read must throw, not look like the end of the data; but stopping is no fault of the stream.
    this.#failure = { error };
    for (const { waiter } of this.#waiting.splice(0)) waiter.reject(error);
    this.#over(undefined);
  }

  /** Bytes from the peer, read by the lease if there is one, and maybe the end. */
  onData(chunk: Uint8Array, fin: boolean, lease?: Lease): void {
    if (this.#failure !== undefined) {
      lease?.giveBack();
      if (chunk.length > 0) this.#host.engine.consumed(this.#host.stream, chunk.length);
      return;
    }
    this.#host.touch();
    if (chunk.length > 0) this.#append(chunk, lease);
    if (fin) this.#ended = true;
    this.#serve();
  }

  /** The peer gave up these bytes; what comes next lies behind them. */
  onGap(gap: StreamGap): void {
    if (this.#failure !== undefined) return;
    this.#host.touch();
    this.#queue.push({ gap, chunks: [], bytes: 0, leases: [] });
    this.#serve();
  }

  /** For whoever cannot tell of a gap: ends reading, and fails. */
  refuse({ offset, length }: StreamGap): never {
    this.stop(NO_CODE);
    throw new StreamClosedError(
      `${peerWords(this.#host.context())} gave up ${length} bytes of the stream from offset ${offset} on, which were older than its deadline. ` +
        'Read it with batches(), or give onGap, to go on behind such gaps.',
      { context: this.#host.context(), origin: 'peer' },
    );
  }

  /** The peer aborted sending: what was not read is gone. */
  onReset(code: number): void {
    if (this.#ended) return;
    this.#clear();
    const context = this.#host.context();
    this.fail(
      new StreamClosedError(
        `${peerWords(context)} aborted stream ${context.streamId} with code ${code} before its end. Its application chose that code: look there for why, then open a new stream to try again.`,
        { applicationCode: code, context, origin: 'peer' },
      ),
    );
  }

  /** The session ended. What arrived before stays readable; then comes the error, unless FIN was there. */
  fail(error: unknown): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.#failure = { error };
    for (const { waiter } of this.#waiting.splice(0)) waiter.reject(error);
    this.#over(error);
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      if (this.#queue.length > 0) {
        const read = this.#waiting.shift();
        read?.waiter.resolve({ done: false, value: this.#take(read.lent) });
      } else if (this.#ended) this.#waiting.shift()?.waiter.resolve(NOTHING);
      else return;
    }
    if (this.#ended && this.#queue.length === 0) this.#over(undefined);
  }

  #append(chunk: Uint8Array, lease: Lease | undefined): void {
    let last = this.#queue.at(-1);
    if (last === undefined) {
      last = { gap: undefined, chunks: [], bytes: 0, leases: [] };
      this.#queue.push(last);
    }
    last.chunks.push(chunk);
    last.bytes += chunk.length;
    if (lease !== undefined) last.leases.push(lease);
    this.#queuedBytes += chunk.length;
  }

  /** The chunks up to the next gap; with none they are all there is. */
  #take(lent: Lease[] | undefined): Batch {
    const [first, ...others] = this.#queue;
    if (first === undefined) return [];
    this.#queue = others;
    if (lent === undefined) for (const lease of first.leases) lease.keep();
    else lent.push(...first.leases);
    this.#consume(first.bytes);
    if (this.#ended && others.length === 0) this.#over(undefined);
    return first.gap === undefined ? first.chunks : Object.assign(first.chunks, { gap: first.gap });
  }

  /** Chunks that a loop gave back stand before everything else. */
  #unread(chunks: Uint8Array[]): void {
    let length = 0;
    for (const chunk of chunks) length += chunk.length;
    if (length === 0) return;
    const [first] = this.#queue;
    if (first === undefined || first.gap !== undefined) {
      this.#queue.unshift({ gap: undefined, chunks, bytes: length, leases: [] });
    } else {
      first.chunks.unshift(...chunks);
      first.bytes += length;
    }
    this.#queuedBytes += length;
    this.#returnedBytes += length;
  }

  /** Empties the queue and tells the core that there is room. */
  #clear(): void {
    for (const { leases } of this.#queue) giveBack(leases);
    this.#queue = [];
    this.#consume(this.#queuedBytes);
  }

  /** The first `bytes` of the queue are gone: the core hears of those that it has not heard of. */
  #consume(bytes: number): void {
    const returned = Math.min(bytes, this.#returnedBytes);
    this.#queuedBytes -= bytes;
    this.#returnedBytes -= returned;
    if (bytes > returned) this.#host.engine.consumed(this.#host.stream, bytes - returned);
  }

  #over(error: unknown): void {
    if (this.#done) return;
    this.#done = true;
    this.#host.halfDone(error);
  }
}

/** Nobody reads what these lent any more. */
function giveBack(leases: Lease[] | undefined): void {
  if (leases === undefined) return;
  for (const lease of leases) lease.giveBack();
  leases.length = 0;
}

/** Tells of the gap before a batch, if there is one. */
function tell(
  step: IteratorResult<Batch, undefined>,
  onGap: (gap: StreamGap) => void,
): IteratorResult<Batch, undefined> {
  if (step.done !== true && step.value.gap !== undefined) onGap(step.value.gap);
  return step;
}
