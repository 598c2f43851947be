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

/** The memory of a slab, and who else holds it. */
interface Memory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Views that are lent, and come back. */
  lent: number;
  /** A view was given away for good, so that nobody can tell when it is free. */
  given: boolean;
  /** It is not polled into any more. */
  retired: boolean;
}

/**
 * Memory that one poll writes into. What is handed out as a view belongs to the reader from then on, and
 * that part of the slab is never written again. What is lent comes back, and a slab that has only been lent
 * is used again: fresh memory costs more than all that is copied into it.
 */
export class Slab {
  /** From where on to poll. */
  offset = 0;
  #memory: Memory = fresh();
  #kept = 0;
  readonly #idle: Memory[] = [];

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

  /**
   * The chunk at `offset`, until the function beside it is called, when nobody reads the chunk any
   * more. One that is never called costs the slab its next use, and nothing else.
   */
  lend(offset: number, length: number): [chunk: Uint8Array, giveBack: () => void] {
    if (length <= COPY_BYTES) return [this.bytes.slice(offset, offset + length), nothing];
    const memory = this.#memory;
    this.#kept = offset + length;
    memory.lent += 1;
    let lent = true;
    const giveBack = (): void => {
      if (!lent) return;
      lent = false;
      memory.lent -= 1;
      if (memory.retired) this.#takeBack(memory);
    };
    return [this.bytes.subarray(offset, offset + length), giveBack];
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
    this.#takeBack(before);
    this.#memory = this.#idle.pop() ?? fresh();
    this.#memory.retired = false;
    this.offset = 0;
    this.#kept = 0;
  }

  #takeBack(memory: Memory): void {
    if (memory.lent > 0 || memory.given || this.#idle.length >= MAX_IDLE) return;
    this.#idle.push(memory);
  }
}

function fresh(): Memory {
  // Not zeroed: only what Rust has written is ever handed out. A plain view, because chunks are
  // documented as Uint8Array and a Buffer's methods differ.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(SLAB_BYTES).buffer);
  return { bytes, lent: 0, given: false, retired: false };
}

function nothing(): void {}
