import { createHash } from 'node:crypto';
import { ExitCode, systemCode } from '../exit-codes.ts';
import type { Mark } from './messages.ts';
import type { Part } from './part.ts';
import { Refusal } from './refusal.ts';

/** What a reception needs of the place that bytes go to. */
export type Sink = Pick<
  Part,
  'length' | 'marks' | 'truncate' | 'write' | 'digest' | 'commit' | 'release' | 'discard'
>;

let owned = false;

/** Whether stdout is written to by a {@link StdoutPart}, which tells of its failures itself. */
export function isStdoutOwned(): boolean {
  return owned;
}

function notWritten(cause: Error): Refusal {
  const code = systemCode(cause) ?? 'EIO';
  const [why, hint] =
    code === 'EPIPE'
      ? ['whoever read it has ended', 'let it read to the end of the file.']
      : code === 'ENOSPC' || code === 'EDQUOT'
        ? ['the disk is full', 'free some space, and run both commands again.']
        : [cause.message, 'look at where stdout leads.'];
  const message = `${code}: stdout takes no more: ${why}.`;
  return new Refusal('disk', ExitCode.LocalFile, message, hint, { cause });
}

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
    owned ||= out === process.stdout;
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
      await new Promise<void>((resolve, reject) => {
        this.#out.write(chunk, (error) => (error ? reject(notWritten(error)) : resolve()));
      });
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
