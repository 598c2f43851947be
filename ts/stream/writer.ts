import type { WaitOptions } from '../async.ts';
import { checkWait, DONE, rejected, Waiter } from '../async.ts';
import {
  BufferOverflowError,
  ResourceExhaustedError,
  StreamClosedError,
} from '../errors/classes.ts';
import { createError } from '../errors/create.ts';
import type { SttErrorContext } from '../errors/error.ts';
import { hasBrand } from '../errors/error.ts';
import { shortage } from '../errors/fault.ts';
import { peerWords, placeWords } from '../errors/place.ts';
import type { Engine } from '../native/engine.ts';
import type { ByteSource } from './bytes.ts';
import { checkCode, toBytes } from './bytes.ts';

/** What a half of a stream needs to know of the whole. */
export interface HalfHost {
  readonly engine: Engine;
  /** The endpoint's number for the stream. */
  readonly stream: number;
  /** For error messages' context. */
  context(): Partial<SttErrorContext>;
  /** Something moved: the stream is not idle. */
  touch(): void;
  /** This half is over, well or not. */
  halfDone(error: unknown): void;
}

interface Pending {
  readonly bytes: Uint8Array;
  /** Bytes taken so far. */
  taken: number;
  readonly waiter: Waiter<void>;
}

/** Stream code that the peer sees when this side gives up by itself: the STT code that explains it. */
const GIVEN_UP_TIMEOUT = 0x0601;
const GIVEN_UP_OVERFLOW = 0x0602;

/** What the core says of a write when `maxMemory` is used up and nothing of the stream is under way. */
const EXHAUSTED = -2;
/** Milliseconds after which what memory had no room for is offered again. */
const STARVED_MS = 20;

/** How many waiting chunks cross the boundary in one call. */
const GATHER = 256;

/** Largest write that is joined with its neighbours: to copy more costs more than the call that it saves. */
const SMALL = 1024;

/** Bytes that are joined, and that cross the boundary in one call. */
const JOINED_SIZE = 16 * 1024;

/** Memory to join in that no stream has now, and how much of it is kept. */
const spare: Uint8Array[] = [];
const SPARE = 8;

/**
 * The sending half. Bytes go straight into the core's bounded send ring while it has room; the rest
 * waits here in order, by reference, until the core asks for more.
 */
export class Writer {
  readonly #host: HalfHost;
  readonly #maxPending: number;
  readonly #pending: Pending[] = [];
  #pendingBytes = 0;
  #written = 0;
  /** Small writes of this tick, one behind the other. */
  #joined: Uint8Array | undefined;
  #joinedLength = 0;
  /** What there was no room for of them, while it waits: before all else, and nobody was told to. */
  #rest: Pending | undefined;
  /** As the core said last. */
  #acknowledged = 0;
  /** The core says nothing more of it. */
  #settled = false;
  /** The core took less than it was offered and owes a word when it has room again. */
  #refused = false;
  #failure: { readonly error: unknown } | undefined;
  #ending = false;
  #finishSent = false;
  #finished = false;
  #end: Waiter<void>[] = [];
  #drained: Waiter<void>[] = [];

  /** Set while what waits is to be offered again before long: memory had no room for it. */
  #starved: NodeJS.Timeout | undefined;
  /** Set until it is known who awaits what memory had no room for. */
  #judging: NodeJS.Immediate | undefined;
  /** What waits was offered, and memory had no room for it. */
  #short = false;
  /** Writes have been refused, and whoever awaits them has not seen it yet. */
  #refusing = false;

  constructor(host: HalfHost, maxPending: number) {
    this.#host = host;
    this.#maxPending = maxPending;
  }

  /** Bytes that the core has not taken yet. */
  get pendingBytes(): number {
    return this.#pendingBytes + this.#joinedLength;
  }

  /** Bytes that the core has taken. */
  get bytesWritten(): number {
    this.flushJoined();
    return this.#written;
  }

  /** Bytes from the start that the peer's transport has without a gap. */
  get bytesAcknowledged(): number {
    if (!this.#settled) this.#ask();
    return this.#acknowledged;
  }

  /** Bytes that were to be delivered and are not known to be; none where sending is over. */
  get undelivered(): number {
    if (this.over) return 0;
    return this.#written - this.bytesAcknowledged + this.pendingBytes;
  }

  /** From now on what is acknowledged stays: as many bytes as given, or as the core knows now. */
  settleAcknowledged(bytes?: number): void {
    if (this.#settled) return;
    if (bytes === undefined) this.#ask();
    else this.#acknowledged = bytes;
    this.#settled = true;
  }

  /** Neither ended nor broken. */
  get open(): boolean {
    return !this.#ending && this.#failure === undefined;
  }

  /** All of it, the end included, has been acknowledged. */
  get finished(): boolean {
    return this.#finished;
  }

  get over(): boolean {
    return this.#finished || this.#failure !== undefined;
  }

  write(data: ByteSource, options?: WaitOptions): Promise<void> {
    let bytes: Uint8Array;
    let wait: WaitOptions;
    try {
      bytes = toBytes(data);
      wait = checkWait(options);
    } catch (error) {
      return rejected(error);
    }
    if (this.#failure !== undefined) return rejected(this.#failure.error);
    if (this.#ending) return rejected(this.#closed('has ended'));
    if (wait.signal?.aborted === true) return rejected(wait.signal.reason);
    this.#host.touch();
    if (this.#pending.length === 0) {
      if (this.#join(bytes)) return DONE;
      this.flushJoined();
    }
    if (this.#pending.length === 0 && !this.#refusing) {
      const taken = this.#offer(bytes, 0);
      if (taken === bytes.length) return DONE;
      if (taken === EXHAUSTED) {
        this.#short = true;
        this.#judge();
      }
      return this.#enqueue(bytes, Math.max(0, taken), wait);
    }
    if (this.#pending.length > 0 && this.#isTooMuch(bytes.length))
      return this.#overflow(bytes.length);
    return this.#enqueue(bytes, 0, wait);
  }

  tryWrite(data: ByteSource): boolean {
    const bytes = toBytes(data);
    if (!this.open || this.#pending.length > 0 || this.#refusing) return false;
    if (this.#join(bytes)) return true;
    this.flushJoined();
    if (this.#pending.length > 0) return false;
    const taken = this.#offer(bytes, 0);
    if (taken === bytes.length) return true;
    if (taken <= 0) return false;
    // What was begun is kept whole; the caller may reuse the buffer at once, so the rest is copied.
    this.#enqueue(bytes.slice(taken), 0, {});
    return true;
  }

  drained(options?: WaitOptions): Promise<void> {
    this.flushJoined();
    if (this.#failure !== undefined) return rejected(this.#failure.error);
    if (!this.#refused && this.#pending.length === 0) return DONE;
    const waiter = new Waiter<void>(
      checkWait(options),
      'Waiting for room to write',
      undefined,
      () => this.#host.context(),
    );
    this.#drained.push(waiter);
    return waiter.promise;
  }

  end(options?: WaitOptions): Promise<void> {
    let wait: WaitOptions;
    try {
      wait = checkWait(options);
    } catch (error) {
      return rejected(error);
    }
    if (this.#finished) return DONE;
    if (this.#failure !== undefined) return rejected(this.#failure.error);
    this.#ending = true;
    const waiter = new Waiter<void>(
      wait,
      'Ending the stream',
      (error) => {
        this.#end = this.#end.filter((other) => other !== waiter);
        return error;
      },
      () => this.#host.context(),
    );
    if (!waiter.settled) this.#end.push(waiter);
    this.#finishWhenDrained();
    return waiter.promise;
  }

  /** Stops sending at once; the peer's reader gets `code`. */
  reset(code: number): void {
    checkCode(code);
    if (this.over) return;
    this.flushJoined();
    this.#host.engine.reset(this.#host.stream, code);
    this.fail(this.#closed(`aborted, with code ${code},`));
  }

  /** The core has room again. */
  onWritable(): void {
    this.#refused = false;
    this.#short = false;
    this.#drain();
    if (!this.#refused) this.#settleDrained();
  }

  /** The peer's transport holds every byte and the end. */
  onFinished(): void {
    if (this.over) return;
    this.#finished = true;
    for (const waiter of this.#end.splice(0)) waiter.resolve(undefined);
    this.#host.halfDone(undefined);
  }

  /** The peer asked this side to stop. */
  onStopped(code: number): void {
    if (this.over) return;
    const context = this.#host.context();
    this.fail(
      new StreamClosedError(
        `${peerWords(context)} stopped reading stream ${context.streamId} (code ${code}); ${this.#unsentText()}. Open a new stream if there is more to send.`,
        { applicationCode: code, context, origin: 'peer' },
      ),
    );
  }

  /** Ends this half with an error; everything that waits is rejected with it. */
  fail(error: unknown): void {
    if (this.over) return;
    this.#failure = { error };
    this.flushJoined();
    const pending = this.#pending.splice(0);
    this.#rest = undefined;
    this.#pendingBytes = 0;
    for (const { waiter, taken } of pending) waiter.reject(withTaken(error, taken));
    for (const waiter of this.#end.splice(0)) waiter.reject(error);
    for (const waiter of this.#drained.splice(0)) waiter.reject(error);
    this.#host.halfDone(error);
  }

  /**
   * Copies a small write behind others of this tick, all of which cross the boundary in one call. It is as good as taken:
   * what the core then has no room for waits as what `write` left does. False: it has to go by itself.
   */
  #join(bytes: Uint8Array): boolean {
    const { length } = bytes;
    if (length === 0) return true;
    if (length > SMALL || this.#refused) return false;
    if (this.#joinedLength + length > JOINED_SIZE) {
      this.flushJoined();
      if (this.#refused || this.#failure !== undefined) return false;
    }
    if (this.#joined === undefined) {
      if (!this.#host.engine.joins(this)) return false;
      this.#joined = spare.pop() ?? new Uint8Array(JOINED_SIZE);
    }
    this.#joined.set(bytes, this.#joinedLength);
    this.#joinedLength += length;
    return true;
  }

  /**
   * Whether so many bytes more would pass what may wait of writes that nobody awaits. Who awaits each of them is
   * never told so: it was not told of the rest of joined writes either.
   */
  #isTooMuch(length: number): boolean {
    const [first] = this.#pending;
    if (first === undefined || first !== this.#rest)
      return this.#pendingBytes + length > this.#maxPending;
    const others = this.#pendingBytes - (first.bytes.length - first.taken);
    return this.#pending.length > 1 && others + length > this.#maxPending;
  }

  /** Hands over what was joined. Whatever else is asked of the core for this stream comes after it. */
  flushJoined(): void {
    const joined = this.#joined;
    if (joined === undefined) return;
    const length = this.#joinedLength;
    this.#joined = undefined;
    this.#joinedLength = 0;
    if (this.#failure === undefined && length > 0) {
      const { engine, stream } = this.#host;
      const answer = engine.write(stream, joined, 0, length);
      const taken = Math.max(0, answer);
      this.#written += taken;
      if (taken < length) {
        this.#refused = true;
        this.#enqueue(joined.slice(taken, length), 0, {});
        this.#rest = this.#pending[0];
        if (answer === EXHAUSTED) this.#tryLater();
      }
    }
    if (spare.length < SPARE) spare.push(joined);
  }

  /**
   * Offers what waits again before long: for want of memory nothing of this stream is under way, and the event that tells of
   * some may have come for others. Writes wait behind it meanwhile.
   */
  #tryLater(): void {
    this.#starved ??= setTimeout(() => {
      this.#starved = undefined;
      if (this.#failure === undefined) this.onWritable();
    }, STARVED_MS).unref();
  }

  /**
   * Memory has no room for what waits. Who waits for a write of which nothing was taken is told so, as it would be had it
   * written only now; what nobody waits for, and what stands before it, can't be missing and is offered again.
   */
  #starve(): void {
    const isDue = ({ taken, waiter }: Pending): boolean => taken === 0 && waiter.observed;
    const from = this.#ending
      ? this.#pending.length
      : this.#pending.findLastIndex((entry) => !isDue(entry)) + 1;
    for (const { bytes, waiter } of this.#pending.splice(from)) {
      this.#pendingBytes -= bytes.length;
      waiter.reject(this.#exhausted(bytes.length));
      this.#refusing = true;
    }
    this.#refused = true;
    this.#short = false;
    if (this.#refusing) this.#judge();
    if (this.#pending.length > 0) this.#tryLater();
  }

  /**
   * Sees, once this turn is over, what becomes of writes that found no memory: by then it is known who awaits them, and who
   * does was told of those that were refused before. Meanwhile others wait behind them, so that none comes in between.
   */
  #judge(): void {
    this.#judging ??= setImmediate(() => {
      this.#judging = undefined;
      this.#refusing = false;
      if (this.#failure !== undefined || this.#pending.length === 0) return;
      if (this.#short) this.#starve();
      else this.onWritable();
    });
  }

  #ask(): void {
    const bytes = this.#host.engine.acknowledged(this.#host.stream);
    if (bytes > this.#acknowledged) this.#acknowledged = bytes;
  }

  #offer(bytes: Uint8Array, from: number): number {
    if (bytes.length === from) return 0;
    const { engine, stream } = this.#host;
    const answer = engine.write(stream, bytes, from, bytes.length);
    if (answer < bytes.length - from) this.#refused = true;
    if (answer === EXHAUSTED) return EXHAUSTED;
    // -1: the core will take no more. The event that says why is on its way and rejects what waits.
    const taken = Math.max(0, answer);
    this.#written += taken;
    return taken;
  }

  #enqueue(bytes: Uint8Array, taken: number, wait: WaitOptions): Promise<void> {
    const entry: Pending = {
      bytes,
      taken,
      waiter: new Waiter<void>(
        wait,
        'Writing',
        (error) => this.#abandon(entry, error),
        () => this.#host.context(),
      ),
    };
    this.#pending.push(entry);
    this.#pendingBytes += bytes.length - taken;
    return entry.waiter.promise;
  }

  #drain(): void {
    while (this.#pending.length > 0) {
      const [first] = this.#pending;
      if (first === undefined) return;
      const offered = this.#gather(first);
      const answer =
        offered === undefined
          ? this.#host.engine.write(this.#host.stream, first.bytes, first.taken, first.bytes.length)
          : this.#host.engine.writev(this.#host.stream, offered);
      if (answer === EXHAUSTED) {
        this.#starve();
        return;
      }
      const taken = Math.max(0, answer);
      if (taken > 0) this.#host.touch();
      this.#pendingBytes -= taken;
      this.#written += taken;
      if (!this.#settleTaken(taken)) {
        this.#refused = true;
        return;
      }
    }
    // Nothing is to be offered again.
    clearTimeout(this.#starved);
    this.#starved = undefined;
    this.#finishWhenDrained();
  }

  /** The waiting chunks for one call, or undefined when one chunk is all there is. */
  #gather(first: Pending): Uint8Array[] | undefined {
    if (this.#pending.length === 1) return undefined;
    const chunks = [first.taken === 0 ? first.bytes : first.bytes.subarray(first.taken)];
    for (let index = 1; index < this.#pending.length && index < GATHER; index += 1) {
      const entry = this.#pending[index];
      if (entry !== undefined) chunks.push(entry.bytes);
    }
    return chunks;
  }

  /** Books `taken` bytes onto the waiting chunks. False when the core took less than was offered. */
  #settleTaken(taken: number): boolean {
    let left = taken;
    let settled = 0;
    let full = false;
    for (const entry of this.#pending) {
      if (settled === GATHER) break;
      const missing = entry.bytes.length - entry.taken;
      if (left < missing) {
        entry.taken += left;
        full = true;
        break;
      }
      left -= missing;
      entry.taken = entry.bytes.length;
      settled += 1;
    }
    for (const entry of this.#pending.splice(0, settled)) {
      if (entry === this.#rest) this.#rest = undefined;
      entry.waiter.resolve(undefined);
    }
    return !full;
  }

  #finishWhenDrained(): void {
    this.flushJoined();
    if (!this.#ending || this.#finishSent || this.#pending.length > 0) return;
    this.#finishSent = true;
    this.#host.engine.finish(this.#host.stream);
  }

  #settleDrained(): void {
    for (const waiter of this.#drained.splice(0)) waiter.resolve(undefined);
  }

  /**
   * A write whose signal or timeout came first. Where bytes of it are gone, or later writes stand
   * behind it, or nobody watches, going on would leave a hole that the peer can't see: so sending ends.
   */
  #abandon(entry: Pending, error: unknown): unknown {
    const last = this.#pending.at(-1) === entry;
    if (entry.taken === 0 && last && entry.waiter.observed && !this.#ending) {
      this.#pending.pop();
      this.#pendingBytes -= entry.bytes.length;
      return withTaken(error, 0);
    }
    const index = this.#pending.indexOf(entry);
    if (index >= 0) {
      this.#pending.splice(index, 1);
      this.#pendingBytes -= entry.bytes.length - entry.taken;
    }
    const failure = withTaken(error, entry.taken);
    this.#host.engine.reset(this.#host.stream, GIVEN_UP_TIMEOUT);
    this.fail(failure);
    return failure;
  }

  #overflow(length: number): Promise<never> {
    const error = new BufferOverflowError(
      `${this.#pendingBytes} bytes wait to be written to ${placeWords(this.#host.context())} and ${length} more would pass maxPendingBytes (${this.#maxPending}). ` +
        'Await each write, or raise maxPendingBytes; the stream has been reset.',
      { bytesTaken: 0, context: this.#host.context() },
    );
    this.#host.engine.reset(this.#host.stream, GIVEN_UP_OVERFLOW);
    this.fail(error);
    return rejected(error);
  }

  /** Not a byte was taken, and the stream is as it was: the caller may try again, or wait for `drained()`. */
  #exhausted(length: number): ResourceExhaustedError {
    const { limit, used } = this.#host.engine.memory();
    const words = shortage({ kind: 'memory', limit, used, asked: length }) ?? '';
    return new ResourceExhaustedError(`Nothing was written. ${words}`, {
      bytesTaken: 0,
      origin: 'local',
      context: this.#host.context(),
    });
  }

  #unsentText(): string {
    return this.#pendingBytes === 0
      ? 'what was written before may not have been read'
      : `${this.#pendingBytes} bytes had not been taken yet`;
  }

  #closed(did: string): StreamClosedError {
    const context = this.#host.context();
    return new StreamClosedError(
      `This side ${did} its sending half of ${placeWords(context)} already. Open a new stream to send more.`,
      { context, origin: 'local' },
    );
  }
}

/** The error for one write: its own count beside a failure that all share. An abort reason stays untouched. */
function withTaken(error: unknown, bytesTaken: number): unknown {
  if (!hasBrand(error)) return error;
  const { message, subcode, reason, origin, context, cause, applicationCode } = error;
  const details = { subcode, reason, origin, context, cause, applicationCode, bytesTaken };
  return createError(error.code, message, details);
}
