import { createHash } from 'node:crypto';
import { fstatSync, readSync, statSync, write } from 'node:fs';
import { devNull } from 'node:os';
import { promisify } from 'node:util';
import { ExitCode, systemCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
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
 * Refuses a stdout that takes every byte and keeps none, unless somebody asked for just that: the sender would hear that
 * its file has arrived. Where stdout is closed at start, Node opens the null device in its place, for reading and writing.
 * So does a parent that ignores the output (`stdio: 'ignore'` in Node.js, `subprocess.DEVNULL` in Python), and nothing
 * tells the two apart; a shell that is told `> /dev/null` opens it for writing alone.
 *
 * @throws {CliError} where stdout is a null device that is open for reading, too.
 */
export function refuseLostStdout(): void {
  if (!isReadableNull(process.stdout.fd)) return;
  throw new CliError(
    ExitCode.LocalFile,
    'stdout is closed, or ignored by what started this: what comes would be lost.',
    'lead it to a file or a pipe; "> /dev/null" is taken for the wish to keep nothing.',
  );
}

function isReadableNull(fd: number): boolean {
  // Node fills no gap there, and its null device cannot be told from a console by these means.
  if (process.platform === 'win32') return false;
  const stats = fstatSync(fd);
  if (!stats.isCharacterDevice()) return false;
  try {
    if (stats.rdev !== statSync(devNull).rdev) return false;
    // The end of the file where it is open for reading, EBADF where it is not. Nothing else is ever read: it could wait,
    // or take what is another's.
    readSync(fd, Buffer.alloc(1));
    return true;
  } catch {
    return false;
  }
}

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
