import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { ExitCode } from '../exit-codes.ts';
import type { Mark } from './messages.ts';
import type { Part } from './part.ts';
import { Refusal } from './refusal.ts';

/** What a reception needs of the place that bytes go to. */
export type Sink = Pick<
  Part,
  'length' | 'marks' | 'truncate' | 'write' | 'digest' | 'commit' | 'release' | 'discard'
>;

/**
 * What was received and written to stdout. It goes on after a break as long as this process lives: the hash of what
 * was written is known, and nothing of it can be taken back.
 */
export class StdoutPart implements Sink {
  readonly #hash = createHash('sha256');
  readonly #out: NodeJS.WritableStream;
  #length = 0;

  constructor(out: NodeJS.WritableStream) {
    this.#out = out;
  }

  get length(): number {
    return this.#length;
  }

  async marks(): Promise<Mark[]> {
    if (this.#length === 0) return [];
    return [{ length: this.#length, sha256: this.#hash.copy().digest('hex') }];
  }

  async truncate(length: number): Promise<void> {
    if (length === this.#length) return;
    throw new Refusal(
      'size',
      ExitCode.Interrupted,
      `what was sent before is another file, and its ${this.#length} bytes are on stdout already.`,
      'run both commands again.',
    );
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      this.#hash.update(chunk);
      this.#length += chunk.length;
      // Whoever reads slowly slows the sender down, and nothing grows here.
      if (!this.#out.write(chunk)) await once(this.#out, 'drain');
    }
  }

  async digest(): Promise<Buffer> {
    return this.#hash.copy().digest();
  }

  async commit(name: string): Promise<string> {
    return name;
  }

  async release(): Promise<void> {}

  async discard(): Promise<void> {}
}
