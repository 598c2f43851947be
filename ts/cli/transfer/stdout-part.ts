import { createHash } from 'node:crypto';
import { fstatSync, write } from 'node:fs';
import { promisify } from 'node:util';
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

const writeTo = promisify(write);

/**
 * The descriptor where a file or a disk is behind stdout: Node's stream takes a write that was cut short, as on a disk
 * that fills, for a whole one, and drops what goes to a disk.
 */
function fileBehind(out: NodeJS.WritableStream): number | undefined {
  if (out !== process.stdout) return undefined;
  const stats = fstatSync(process.stdout.fd);
  return stats.isFile() || stats.isBlockDevice() ? process.stdout.fd : undefined;
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
  /** The descriptor to write to where it is not a stream's business. */
  readonly #file: number | undefined;
  #failure: Refusal | undefined;
  #length = 0;

  constructor(out: NodeJS.WritableStream) {
    this.#out = out;
    owned ||= out === process.stdout;
    this.#file = fileBehind(out);
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
      // Part of a chunk may be there: nothing goes on behind it.
      if (this.#failure !== undefined) throw this.#failure;
      try {
        await this.#put(chunk);
      } catch (error) {
        this.#failure = notWritten(error as Error);
        throw this.#failure;
      }
      this.#hash.update(chunk);
      this.#length += chunk.length;
    }
  }

  /** Resolves when all of it is written: whoever reads slowly slows the sender down, and nothing grows here. */
  async #put(chunk: Uint8Array): Promise<void> {
    if (this.#file === undefined) {
      return new Promise((resolve, reject) => {
        this.#out.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    }
    for (let at = 0; at < chunk.length; )
      at += (await writeTo(this.#file, chunk, at, chunk.length - at, null)).bytesWritten;
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
