import { BufferOverflowError, StreamClosedError } from '../errors/classes.ts';
import type { SttErrorContext } from '../errors/error.ts';
import { placeWords } from '../errors/place.ts';
import { concatenate } from './bytes.ts';
import type { Batch } from './reader.ts';

/** Most bytes of one message unless the caller says otherwise. */
export const DEFAULT_MAX_MESSAGE: number = 16 * 1024 * 1024;

/** Longest length prefix. */
const MAX_PREFIX = 8;

/** The length of a message as a variable-length integer (RFC 9000, section 16). */
export function encodeLength(length: number): Uint8Array {
  if (length < 2 ** 6) return Uint8Array.of(length);
  if (length < 2 ** 14) return Uint8Array.of(0x40 | (length >> 8), length & 0xff);
  if (length < 2 ** 30) {
    const four = new Uint8Array(4);
    new DataView(four.buffer).setUint32(0, 0x8000_0000 + length);
    return four;
  }
  const eight = new Uint8Array(MAX_PREFIX);
  new DataView(eight.buffer).setBigUint64(0, (3n << 62n) | BigInt(length));
  return eight;
}

/** A length and how many bytes it took, or undefined when `bytes` ends before it does. */
export function decodeLength(bytes: Uint8Array): { length: number; size: number } | undefined {
  const [first] = bytes;
  if (first === undefined) return undefined;
  const size = 1 << (first >> 6);
  if (bytes.length < size) return undefined;
  let length = first & 0x3f;
  // Past 2^53 the sum is not exact, and far over any limit, so that does not matter.
  for (let index = 1; index < size; index += 1) length = length * 256 + (bytes[index] ?? 0);
  return { length, size };
}

/** Cuts a stream of batches into the messages that the sender framed. */
export class MessageSplitter {
  readonly #maxSize: number;
  readonly #context: () => Partial<SttErrorContext>;
  #prefix: Uint8Array = new Uint8Array(0);
  #parts: Uint8Array[] = [];
  /** Bytes of the current message that are missing; undefined while its length is being read. */
  #missing: number | undefined;
  #length = 0;

  constructor(maxSize: number, context: () => Partial<SttErrorContext>) {
    this.#maxSize = maxSize;
    this.#context = context;
  }

  /** The messages that these chunks complete. */
  push(batch: Batch): Uint8Array[] {
    const messages: Uint8Array[] = [];
    for (const chunk of batch) this.#pushChunk(chunk, messages);
    return messages;
  }

  /** Throws when the stream ended within a message. */
  end(): void {
    if (this.#missing === undefined && this.#prefix.length === 0) return;
    throw new StreamClosedError(
      `A message on ${placeWords(this.#context())} is ${this.#missing === undefined ? 'cut off within its length' : `${this.#missing} of ${this.#length} bytes short`}: the stream ended. The sender must write whole messages before it ends.`,
      { context: this.#context(), origin: 'peer' },
    );
  }

  #pushChunk(chunk: Uint8Array, messages: Uint8Array[]): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#missing === undefined) {
        rest = this.#readLength(rest);
      } else {
        const part = rest.subarray(0, this.#missing);
        this.#parts.push(part);
        this.#missing -= part.length;
        rest = rest.subarray(part.length);
      }
      if (this.#missing === 0) {
        messages.push(concatenate(this.#parts, this.#length));
        this.#parts = [];
        this.#missing = undefined;
      }
    }
  }

  #readLength(rest: Uint8Array): Uint8Array {
    const held = this.#prefix.length;
    const bytes =
      held === 0 ? rest : Buffer.concat([this.#prefix, rest.subarray(0, MAX_PREFIX - held)]);
    const decoded = decodeLength(bytes);
    if (decoded === undefined) {
      this.#prefix = bytes.slice();
      return rest.subarray(rest.length);
    }
    if (decoded.length > this.#maxSize) {
      throw new BufferOverflowError(
        `A message of ${decoded.length} bytes was announced on ${placeWords(this.#context())}; maxSize is ${this.#maxSize}. Raise maxSize, or check that the peer frames its messages.`,
        { context: this.#context() },
      );
    }
    this.#prefix = new Uint8Array(0);
    this.#length = decoded.length;
    this.#missing = decoded.length;
    return rest.subarray(decoded.size - held);
  }
}
