import { Duplex } from 'node:stream';
import { SttOptionError } from '../errors/local.ts';
import type { Batch } from '../stream/reader.ts';
import { SttStream } from '../stream.ts';
import { writeAllPatiently, writePatiently } from './patience.ts';

/** How much a Duplex holds of its own, both ways, in bytes. */
export interface DuplexOptions {
  /** @default 64 KiB */
  readonly highWaterMark?: number;
}

/** Code that the peer gets when a Duplex is destroyed before its end. */
const DESTROYED = 0;

/**
 * A bidirectional stream as a `node:stream` Duplex, for `pipeline()` and everything that takes one.
 * `end()` waits for the peer's acknowledgement before `finish`; `destroy()` resets both ways.
 */
export function toDuplex(stream: SttStream, options: DuplexOptions = {}): Duplex {
  if (!(stream instanceof SttStream) || stream.direction !== 'bidirectional') {
    throw new SttOptionError('stream', 'must be a bidirectional SttStream');
  }
  return new StreamDuplex(stream, options.highWaterMark ?? 64 * 1024);
}

class StreamDuplex extends Duplex {
  readonly #stream: SttStream;
  readonly #batches: AsyncIterator<Batch, undefined>;
  #reading = false;
  #readEnded = false;
  #writeEnded = false;

  constructor(stream: SttStream, highWaterMark: number) {
    super({ highWaterMark, decodeStrings: true, allowHalfOpen: true });
    this.#stream = stream;
    this.#batches = stream.batches({ preventCancel: true });
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#batches
      .next()
      .then((step) => {
        this.#reading = false;
        if (step.done === true) {
          this.#readEnded = true;
          this.push(null);
          return;
        }
        if (step.value.gap !== undefined) this.#stream.refuseGap(step.value.gap);
        // A refusal only asks to pause: what is pushed is kept, and the batch is bounded.
        for (const chunk of step.value) this.push(chunk);
      })
      .catch((error: Error) => this.destroy(error));
  }

  override _write(
    chunk: Uint8Array,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    writePatiently(this.#stream, chunk).then(() => callback(), callback);
  }

  override _writev(
    chunks: { chunk: Uint8Array; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    writeAllPatiently(
      this.#stream,
      chunks.map(({ chunk }) => chunk),
    ).then(() => callback(), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#stream.end().then(() => {
      this.#writeEnded = true;
      callback();
    }, callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#writeEnded) this.#stream.reset(DESTROYED);
    if (!this.#readEnded) this.#stream.stop(DESTROYED);
    callback(error);
  }
}
