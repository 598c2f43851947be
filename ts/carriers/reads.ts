import type { OnReadOpts, Socket } from 'node:net';

/** A socket is read by so much at most. */
const READ_BYTES = 256 * 1024;

/** The longest frame whose parts are gathered here: a length of two bytes, and four before it. */
const LONGEST = 65_535 + 4;
/** Those of STT have this. */
const USUAL = 16 * 1024;

/** What all sockets are read into, one after the other: nobody keeps any of it beyond the call that brings it. */
let memory: Buffer | undefined;

const NOTHING = Buffer.alloc(0);

/** The first byte of a frame that is a whole binary message (RFC 6455 section 5.2). */
const BINARY = 0x82;
/** Close, ping and pong, each a frame. */
const CONTROL: ReadonlySet<number> = new Set([0x88, 0x89, 0x8a]);
/** In the place of a length: it follows in two bytes. More than that: in eight, or a key does. */
const TWO_BYTES = 126;

/**
 * Reads a client's socket without garbage: into memory that is used again at once, where Node makes 64 KiB for each read. That
 * needs a `ws` that keeps nothing of what it is given, so it is given frames that are whole, and what is left of one waits here.
 *
 * Whatever is not as STT's peers send it, a frame that is a whole binary message, makes this side read as Node does from
 * then on: `ws` has the say about it, and may keep what it likes.
 */
export class FrameReads {
  /** For `net.connect`. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#room(),
    callback: (length) => {
      try {
        this.#onRead(length);
      } catch (error) {
        // Node would not ask for memory again, and read into what it had.
        this.#socket?.destroy(error as Error);
      }
      return true;
    },
  };
  #socket: Socket | undefined;
  /** What is called when all that was read has been handed over. */
  #settle: (() => void) | undefined;
  /** Chunks are gathered into frames: not before the upgrade, nor after a surprise. */
  #gathers = false;
  #handing = false;
  /** The start of a frame, and the memory that it is in. */
  #kept = 0;
  #store = NOTHING;

  /** What is read of that socket, which has the `onread` of this, is emitted as its `data`. */
  attach(socket: Socket): void {
    this.#socket = socket;
  }

  /** From here on there are frames, which begin with what is read next. */
  begin(settle: () => void): void {
    this.#settle = settle;
    this.#gathers = true;
    // What came with the answer to the upgrade, and `ws` has put back.
    this.#socket?.on('data', () => {
      if (!this.#handing) this.#gathers = false;
    });
  }

  #room(): Buffer {
    memory ??= Buffer.allocUnsafeSlow(READ_BYTES);
    return this.#kept === 0 ? memory : memory.subarray(this.#kept);
  }

  #onRead(length: number): void {
    const bytes = memory as Buffer;
    // What was read stands behind where the kept goes.
    const end = this.#kept + length;
    if (this.#kept > 0) this.#store.copy(bytes, 0, 0, this.#kept);
    this.#kept = 0;
    const found = this.#gathers ? wholeFrames(bytes, end) : undefined;
    if (found === undefined) {
      this.#gathers = false;
      this.#store = NOTHING;
      this.#emit(Buffer.from(bytes.subarray(0, end)));
      return;
    }
    const whole = found < 0 ? -1 - found : found;
    const rest = end - whole;
    if (rest > 0) {
      if (this.#store.length < rest)
        this.#store = Buffer.allocUnsafeSlow(rest <= USUAL ? USUAL : LONGEST);
      bytes.copy(this.#store, 0, whole, end);
      this.#kept = rest;
    } else {
      this.#store = NOTHING;
    }
    const frames = bytes.subarray(0, whole);
    if (whole > 0) this.#emit(found < 0 ? Buffer.from(frames) : frames);
  }

  #emit(bytes: Buffer): void {
    this.#handing = true;
    try {
      this.#socket?.emit('data', bytes);
    } finally {
      this.#handing = false;
      this.#settle?.();
    }
  }
}

/**
 * Where the last whole frame ends of those that begin with the bytes; negative, less one, where one of them is a control
 * frame, of which `ws` may keep the payload.
 * @returns `undefined` where one is something else than a binary message without a key, or longer than what is gathered
 */
export function wholeFrames(bytes: Uint8Array, end: number): number | undefined {
  let control = false;
  for (let at = 0; ; ) {
    if (at < end && bytes[at] !== BINARY) {
      if (!CONTROL.has(bytes[at] as number)) return undefined;
      control = true;
    }
    let next = at + 2;
    if (next <= end) {
      const short = bytes[at + 1] as number;
      // With a key, or a length of eight bytes.
      if (short > TWO_BYTES) return undefined;
      next += short;
      if (short === TWO_BYTES) {
        next = at + 4;
        if (next <= end) next += ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
      }
    }
    if (next > end) return control ? -1 - at : at;
    at = next;
  }
}
