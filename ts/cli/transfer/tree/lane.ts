import type { SttStream } from '../../../index.ts';
import { ByteReader } from '../byte-reader.ts';
import { encodeMessage } from '../messages.ts';

/** What is gathered of short files before it is written. */
export const GATHER: number = 256 * 1024;

/** What is written to a lane, gathered to pieces that are worth a call. */
export class Lane {
  readonly reader: ByteReader;
  readonly #stream: SttStream;
  #waiting: Uint8Array[] = [];
  #length = 0;

  constructor(stream: SttStream) {
    this.#stream = stream;
    this.reader = new ByteReader(stream.batches());
  }

  add(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#length += bytes.length;
  }

  chunk(bytes: Uint8Array): void {
    this.add(lengthOf(bytes.length));
    this.add(bytes);
  }

  /** Tells of a file that could not be read. */
  async failed(index: number): Promise<void> {
    this.add(encodeMessage({ file: index, failed: true }));
    await this.flush(GATHER);
  }

  /** What ends a file. */
  last(message: object): void {
    this.add(lengthOf(0));
    this.add(encodeMessage(message));
  }

  /** Writes what waits, if it is so much. */
  async flush(least = 1): Promise<void> {
    if (this.#length < least) return;
    const bytes = this.#waiting.length === 1 ? this.#waiting[0] : Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#length = 0;
    await this.#stream.write(bytes as Uint8Array);
  }

  /** Resolves once the receiver has taken all of it. */
  async end(): Promise<void> {
    await this.flush();
    await Promise.all([this.#stream.end(), this.reader.end()]);
  }
}

function lengthOf(bytes: number): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes);
  return length;
}
