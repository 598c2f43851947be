import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import { closeSync, constants, createReadStream, fstatSync, openSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, realpath, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { basename } from 'node:path';
import { isatty, ReadStream } from 'node:tty';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Mark } from './messages.ts';
import { checkRootName, NameError, quote } from './names.ts';
import { MODE_BITS } from './tree/manifest.ts';

/** How much is read from the disk at once. */
const READ_BLOCK = 512 * 1024;

/** Bytes that come as they like. */
type Bytes = AsyncIterable<Buffer> & { destroy(): void };

/** What is to be sent: a file, which can be read as often as needed, or a pipe, which cannot. */
export interface Source {
  /** The name that the receiver is asked to give it. */
  readonly name: string;
  /** What tells it from other files of this machine; undefined for what can be read but once. */
  readonly path: string | undefined;
  /** Whether it can be read from its beginning (again). */
  readonly readable: boolean;
  /** Opens it for one session. */
  read(): Promise<Reading>;
  /** Releases what is not to be read any more. */
  close(): Promise<void>;
}

/** A source, as one session reads it. */
export interface Reading {
  /** Bytes, or null where nobody knows. It is read up to there, whatever is appended meanwhile. */
  readonly size: number | null;
  /** Milliseconds since 1970, or null. */
  readonly modified: number | null;
  /** Permission bits `rwx`, or null. */
  readonly mode: number | null;
  /** The longest of the marks that is a beginning of it, and the hash so far. */
  match(marks: readonly Mark[], signal: AbortSignal): Promise<{ offset: number; hash: Hash }>;
  /** The bytes from there on. */
  bytes(offset: number): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/**
 * Looks at what is to be sent, so that a missing file is known before anybody is called.
 *
 * @throws a Node system error (`ENOENT`, `EACCES`) or a {@link CliError} for what is not a file.
 */
export async function openSource(path: string, name: string | undefined): Promise<Source> {
  const chosen = sendableName(name ?? (path === '-' ? 'stdin' : basename(path)), path);
  if (path === '-') return new Pipe(chosen, stdinBytes(), null);
  const stats = await stat(path);
  if (stats.isDirectory()) {
    throw new CliError(
      ExitCode.LocalFile,
      `${path} is a folder.`,
      'name a file; pack a folder first, as in "tar c DIR | stt send - PEER".',
    );
  }
  if (!stats.isFile()) {
    const bytes = openDevice(path, stats.isFIFO());
    return new Pipe(chosen, bytes, Math.trunc(stats.mtimeMs));
  }
  await (await open(path, 'r')).close();
  return new RegularFile(chosen, await realpath(path));
}

/** The receiver would refuse it, after a call. */
function sendableName(name: string, path: string): string {
  try {
    return checkRootName(name);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    throw new CliError(
      ExitCode.LocalFile,
      `${path === '-' ? 'stdin' : quote(path)} cannot be sent: ${error.message}.`,
      'give it another name there with --name.',
      { cause: error },
    );
  }
}

/**
 * What is read as it comes: a named pipe, a terminal, a device.
 *
 * A named pipe without a writer, and a terminal, would hold a thread for as long as nothing comes, and no process ends
 * while one of its threads is held: these are waited for without one.
 */
function openDevice(path: string, isPipe: boolean): Bytes {
  // Of its own, as a FileHandle would not give the descriptor away.
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  if (isPipe) return new Socket({ fd, readable: true, writable: false });
  if (isatty(fd)) return new ReadStream(fd);
  closeSync(fd);
  // Other devices say at once that there is nothing, where they are not to wait.
  return createReadStream(path, { highWaterMark: READ_BLOCK }) as Bytes;
}

/** All of stdin. Node has an empty stream where that is a disk. */
function stdinBytes(): Bytes {
  if (!fstatSync(0).isBlockDevice()) return process.stdin;
  return createReadStream('', { fd: 0, highWaterMark: READ_BLOCK }) as Bytes;
}

class RegularFile implements Source {
  readonly name: string;
  readonly path: string;
  readonly readable = true;

  constructor(name: string, path: string) {
    this.name = name;
    this.path = path;
  }

  async read(): Promise<Reading> {
    const file = await open(this.path, 'r');
    try {
      const { size, mtimeMs, mode } = await file.stat();
      return new FileReading(file, size, Math.max(0, Math.trunc(mtimeMs)), mode & MODE_BITS);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async close(): Promise<void> {}
}

/** A file that is open, as one session reads it: up to the size that it had, whatever is appended meanwhile. */
export class FileReading implements Reading {
  readonly size: number;
  readonly modified: number;
  readonly mode: number | null;
  readonly #file: FileHandle;

  constructor(file: FileHandle, size: number, modified: number, mode: number | null = null) {
    this.#file = file;
    this.size = size;
    this.modified = modified;
    this.mode = mode;
  }

  async match(
    marks: readonly Mark[],
    signal: AbortSignal,
  ): Promise<{ offset: number; hash: Hash }> {
    const hash = createHash('sha256');
    let matched = { offset: 0, hash: hash.copy() };
    const block = Buffer.allocUnsafe(READ_BLOCK);
    let position = 0;
    for (const { length, sha256 } of marks) {
      if (length > this.size) break;
      while (position < length) {
        signal.throwIfAborted();
        const wanted = Math.min(block.length, length - position);
        const { bytesRead } = await this.#file.read(block, 0, wanted, position);
        if (bytesRead === 0) return matched;
        hash.update(block.subarray(0, bytesRead));
        position += bytesRead;
      }
      if (hash.copy().digest('hex') !== sha256) return matched;
      matched = { offset: length, hash: hash.copy() };
    }
    return matched;
  }

  bytes(offset: number): AsyncIterable<Buffer> {
    if (offset >= this.size) return nothing();
    return this.#file.createReadStream({
      highWaterMark: READ_BLOCK,
      start: offset,
      end: this.size - 1,
      autoClose: false,
    }) as AsyncIterable<Buffer>;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

class Pipe implements Source {
  readonly name: string;
  readonly path = undefined;
  readonly #bytes: Bytes;
  readonly #modified: number | null;
  #readable = true;

  constructor(name: string, bytes: Bytes, modified: number | null) {
    this.name = name;
    this.#bytes = bytes;
    this.#modified = modified;
  }

  get readable(): boolean {
    return this.#readable;
  }

  async read(): Promise<Reading> {
    return {
      size: null,
      modified: this.#modified,
      mode: null,
      match: async () => ({ offset: 0, hash: createHash('sha256') }),
      bytes: () => {
        this.#readable = false;
        return this.#bytes;
      },
      close: async () => undefined,
    };
  }

  async close(): Promise<void> {
    this.#bytes.destroy();
  }
}

async function* nothing(): AsyncGenerator<Buffer, void, undefined> {}
