import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';

/** Reads exact pieces from a stream of batches, and hands on what is left. */
export class ByteReader {
  readonly #batches: AsyncIterator<readonly Uint8Array[]>;
  #pending: Uint8Array[] = [];

  constructor(batches: AsyncIterable<readonly Uint8Array[]>) {
    this.#batches = batches[Symbol.asyncIterator]();
  }

  /** The next `length` bytes. Throws when the stream ends before. */
  async exactly(length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const chunk = this.#pending.shift() ?? (await this.#more());
      if (chunk === undefined) throw new UnexpectedEndError(length - filled);
      const part = chunk.subarray(0, length - filled);
      out.set(part, filled);
      filled += part.length;
      if (part.length < chunk.length) this.#pending.unshift(chunk.subarray(part.length));
    }
    return out;
  }

  /** All that is left, batch by batch, until the stream's FIN. */
  async *rest(): AsyncGenerator<readonly Uint8Array[], void, undefined> {
    while (true) {
      const first = this.#pending.shift() ?? (await this.#more());
      if (first === undefined) return;
      const batch = [first, ...this.#pending];
      this.#pending = [];
      yield batch;
    }
  }

  /** Waits for the stream's FIN; whatever comes before it is dropped. */
  async end(): Promise<void> {
    for await (const _ of this.rest());
  }

  /** Waits for the next bytes or the stream's FIN; true if it was that. */
  async ends(): Promise<boolean> {
    const chunk = this.#pending.shift() ?? (await this.#more());
    if (chunk !== undefined) this.#pending.unshift(chunk);
    return chunk === undefined;
  }

  /** Stops reading; the peer is told if it has not ended. */
  async cancel(): Promise<void> {
    await this.#batches.return?.();
  }

  async #more(): Promise<Uint8Array | undefined> {
    const step = await this.#batches.next();
    if (step.done === true) return undefined;
    this.#pending = [...step.value];
    return this.#pending.shift() ?? this.#more();
  }
}

/** The stream ended where more had to come. */
export class UnexpectedEndError extends CliError {
  constructor(missing: number) {
    super(
      ExitCode.Interrupted,
      `the far side ended the stream ${missing} bytes too early.`,
      'see what it says there, then run the same command again.',
    );
  }
}
