import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { link, lstat, open, rename, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { numberedName } from './names.ts';

/** What to do when a file of that name is there already. */
export type Collision = 'refuse' | 'overwrite' | 'rename';

/** How much of the file is read at once for its hash. */
const HASH_BLOCK = 1024 * 1024;

/** How many numbered names `--rename` tries. */
const MAX_RENAMES = 10_000;

/** The final name is taken and may not be replaced. */
export class TargetExistsError extends Error {
  override readonly name = 'TargetExistsError';
}

/**
 * A file being received: written under a temporary name in the folder it belongs to, and given its
 * final name only once it is whole, on disk and verified. Never seen half-written under that name.
 */
export class TargetFile {
  readonly #folder: string;
  readonly #temporary: string;
  readonly #file: FileHandle;
  #position = 0;
  #settled = false;

  private constructor(folder: string, temporary: string, file: FileHandle) {
    this.#folder = folder;
    this.#temporary = temporary;
    this.#file = file;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#position;
  }

  static async create(folder: string): Promise<TargetFile> {
    const temporary = join(folder, `.stt-${randomBytes(9).toString('base64url')}.part`);
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR;
    return new TargetFile(folder, temporary, await open(temporary, flags, 0o666));
  }

  /** Appends; returns when the system has taken the bytes. */
  async write(chunks: readonly Uint8Array[]): Promise<void> {
    let rest = chunks.filter((chunk) => chunk.length > 0);
    while (rest.length > 0) {
      const { bytesWritten } = await this.#file.writev(rest, this.#position);
      this.#position += bytesWritten;
      rest = dropBytes(rest, bytesWritten);
    }
  }

  /** Brings the bytes to the disk and reads them back for their SHA-256. */
  async digest(): Promise<Buffer> {
    await this.#file.sync();
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(HASH_BLOCK);
    let position = 0;
    while (true) {
      const { bytesRead } = await this.#file.read(block, 0, block.length, position);
      if (bytesRead === 0) return hash.digest();
      hash.update(block.subarray(0, bytesRead));
      position += bytesRead;
    }
  }

  /** Gives the file its final name and returns it. */
  async commit(name: string, collision: Collision, modified: number | null): Promise<string> {
    if (modified !== null)
      await this.#file.utimes(new Date(), new Date(modified)).catch(() => undefined);
    await this.#file.close();
    const final = await this.#place(name, collision);
    this.#settled = true;
    await syncFolder(this.#folder);
    return final;
  }

  /** Removes the temporary file; harmless after {@link commit}. */
  async discard(): Promise<void> {
    if (this.#settled) return;
    this.#settled = true;
    await this.#file.close().catch(() => undefined);
    await unlink(this.#temporary).catch(() => undefined);
  }

  async #place(name: string, collision: Collision): Promise<string> {
    if (collision === 'overwrite') {
      await rename(this.#temporary, join(this.#folder, name));
      return name;
    }
    const last = collision === 'rename' ? MAX_RENAMES : 0;
    for (let number = 0; number <= last; number += 1) {
      const candidate = number === 0 ? name : numberedName(name, number);
      if (await placeNew(this.#temporary, join(this.#folder, candidate))) return candidate;
    }
    throw new TargetExistsError(`${name} exists already`);
  }
}

/** Whether anything of that name, a dangling link included, is in the folder. */
export async function exists(folder: string, name: string): Promise<boolean> {
  return lstat(join(folder, name)).then(
    () => true,
    () => false,
  );
}

/** Bytes that an ordinary user may still write to the folder's file system. */
export async function freeSpace(folder: string): Promise<number> {
  const stats = await statfs(folder);
  return stats.bavail * stats.bsize;
}

/** Names the file without ever replacing another: a hard link fails where the name is taken. */
async function placeNew(temporary: string, final: string): Promise<boolean> {
  try {
    await link(temporary, final);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error;
    // A file system without hard links: claim the name first, then replace our own claim.
    return placeByClaim(temporary, final);
  }
  await unlink(temporary);
  return true;
}

async function placeByClaim(temporary: string, final: string): Promise<boolean> {
  try {
    await (await open(final, 'wx')).close();
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
  await rename(temporary, final);
  return true;
}

/** A new name survives a power cut only once its folder is on the disk; not every platform can. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync().catch(() => undefined);
  } finally {
    await handle.close();
  }
}

function dropBytes(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = count;
  for (const chunk of chunks) {
    if (skip >= chunk.length) skip -= chunk.length;
    else {
      rest.push(skip === 0 ? chunk : chunk.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    codes.includes(error.code)
  );
}
