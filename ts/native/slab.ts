/** Size of a slab in bytes. */
const SLAB_BYTES = 256 * 1024;

/**
 * Chunks up to this size are copied out of the slab, larger ones are views of it. A reader that keeps a
 * view keeps the whole slab, so this bounds what a kept chunk can cost: 32 times its size.
 */
const COPY_BYTES = 8 * 1024;

/** A slab with less room than this is given up: what would still fit is not worth a poll. */
const LOW_WATER = 16 * 1024;

/** Slabs that wait for their next use: as many as a WebSocket has in hand at a time, and some more. */
const MAX_IDLE = 4;

/**
 * What a chunk is a view of, for whoever has the chunk to say, once, what becomes of it. Who says nothing costs the slab
 * its next use, and nothing else.
 */
export interface Lease {
  /** The chunk belongs to somebody for good. */
  keep(): void;
  /** Nobody reads the chunk any more: its memory is free. */
  giveBack(): void;
}

/** The memory of a slab, and who else holds it. */
class Memory implements Lease {
  // Not zeroed: only what Rust has written is ever handed out. A plain view, because chunks are
  // documented as Uint8Array and a Buffer's methods differ.
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(
    Buffer.allocUnsafeSlow(SLAB_BYTES).buffer,
  );
  /** Views that are lent, and come back. */
  lent = 0;
  /** A view was given away for good, so that nobody can tell when it is free. */
  given = false;
  /** It is not polled into any more. */
  retired = false;
  readonly #idle: Memory[];

  /** `idle` is where it waits for its next use. */
  constructor(idle: Memory[]) {
    this.#idle = idle;
  }

  keep(): void {
    this.given = true;
    this.lent -= 1;
  }

  giveBack(): void {
    this.lent -= 1;
    if (this.retired) this.takeBack();
  }

  /** Lets it be used again if nobody holds any of it. */
  takeBack(): void {
    if (this.lent > 0 || this.given || this.#idle.length >= MAX_IDLE) return;
    this.#idle.push(this);
  }
}

/**
 * Memory that one poll writes into. What is handed out as a view belongs to the reader from then on, and
 * that part of the slab is never written again. What is lent comes back, and a slab that has only been lent
 * is used again: fresh memory costs more than all that is copied into it.
 */
export class Slab {
  /** From where on to poll. */
  offset = 0;
  readonly #idle: Memory[] = [];
  #memory: Memory = new Memory(this.#idle);
  #kept = 0;

  /** What to poll into. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#memory.bytes;
  }

  /** The chunk at `offset`, for the reader to keep. */
  chunk(offset: number, length: number): Uint8Array {
    if (length <= COPY_BYTES) return this.bytes.slice(offset, offset + length);
    this.#kept = offset + length;
    this.#memory.given = true;
    return this.bytes.subarray(offset, offset + length);
  }

  /** The chunk at `offset`, and the lease that it is read by; none for a copy, which is the reader's. */
  lease(offset: number, length: number): [chunk: Uint8Array, lease: Lease | undefined] {
    if (length <= COPY_BYTES) return [this.bytes.slice(offset, offset + length), undefined];
    this.#kept = offset + length;
    this.#memory.lent += 1;
    return [this.bytes.subarray(offset, offset + length), this.#memory];
  }

  /**
   * The chunk at `offset`, until the function beside it is called, when nobody reads the chunk any
   * more. One that is never called costs the slab its next use, and nothing else.
   */
  lend(offset: number, length: number): [chunk: Uint8Array, giveBack: () => void] {
    const [chunk, lease] = this.lease(offset, length);
    if (lease === undefined) return [chunk, nothing];
    let lent = true;
    const giveBack = (): void => {
      if (lent) lease.giveBack();
      lent = false;
    };
    return [chunk, giveBack];
  }

  /** Call before a poll: a slab of which nobody holds anything is used from its start, where it is warm. */
  rewind(): void {
    const { given, lent } = this.#memory;
    if (given || lent > 0) return;
    this.offset = 0;
    this.#kept = 0;
  }

  /** Call after the chunks of one poll were taken: behind the last view everything is free again. */
  settle(): void {
    this.offset = this.#kept;
    if (this.bytes.length - this.offset < LOW_WATER) this.renew();
  }

  /** Another slab instead of this one. */
  renew(): void {
    const before = this.#memory;
    before.retired = true;
    // First, so that memory that is warm is used again.
    before.takeBack();
    this.#memory = this.#idle.pop() ?? new Memory(this.#idle);
    this.#memory.retired = false;
    this.offset = 0;
    this.#kept = 0;
  }
}

function nothing(): void {}
