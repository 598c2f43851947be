/** Size of a slab in bytes. */
const SLAB_BYTES = 256 * 1024;

/**
 * Chunks up to this size are copied out of the slab, larger ones are views of it. A reader that keeps a
 * view keeps the whole slab, so this bounds what a kept chunk can cost: 32 times its size.
 */
const COPY_BYTES = 8 * 1024;

/** A slab with less room than this is given up: what would still fit is not worth a poll. */
const LOW_WATER = 16 * 1024;

/**
 * Memory that one poll writes into. What is handed out as a view belongs to the reader from then on, and
 * that part of the slab is never written again.
 */
export class Slab {
  /** What to poll into. */
  bytes: Uint8Array<ArrayBuffer> = fresh();
  /** From where on. */
  offset = 0;
  #kept = 0;

  /** The chunk at `offset`, for the reader to keep. */
  chunk(offset: number, length: number): Uint8Array {
    if (length <= COPY_BYTES) return this.bytes.slice(offset, offset + length);
    this.#kept = offset + length;
    return this.bytes.subarray(offset, offset + length);
  }

  /** Call after the chunks of one poll were taken: behind the last view everything is free again. */
  settle(): void {
    this.offset = this.#kept;
    if (this.bytes.length - this.offset < LOW_WATER) this.renew();
  }

  /** Another slab instead of this one. */
  renew(): void {
    this.bytes = fresh();
    this.offset = 0;
    this.#kept = 0;
  }
}

function fresh(): Uint8Array<ArrayBuffer> {
  // Not zeroed: only what Rust has written is ever handed out. A plain view, because chunks are
  // documented as Uint8Array and a Buffer's methods differ.
  return new Uint8Array(Buffer.allocUnsafeSlow(SLAB_BYTES).buffer);
}
