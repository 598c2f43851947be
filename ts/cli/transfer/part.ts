import type { Hash } from 'node:crypto';
import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, unlink } from 'node:fs/promises';
import { claim, forget, unclaim } from './claim.ts';
import type { DoneRecord } from './done.ts';
import { removeDone, writeDone } from './done.ts';
import type { Collision } from './files.ts';
import { fileTime, hasCode, place, syncFolder } from './files.ts';
import type { Mark, Offer } from './messages.ts';
import { TOUCH_INTERVAL_MS } from './owner.ts';

/** How much of the file is read at once for its hash. */
const HASH_BLOCK = 1024 * 1024;

/** How much may wait in the system's cache before it is brought to the disk: what a power cut costs. */
const SYNC_EVERY = 32 * 1024 * 1024;

/** Marks that a part has at most, and how far they are apart at least. */
const MARKS = 32;
const MIN_MARK_STEP = 1024 * 1024;

/** Permissions of a part: for its owner only, whatever the file has in the end. */
const OWN_MODE = 0o600;

/** What the system takes away from the permissions of all that this process makes. */
const UMASK = process.umask();

/** A key of its own for a file that is never gone on with. */
export function randomKey(): string {
  return randomBytes(16).toString('hex');
}

/** The key of a sender's transfer: another node cannot name it, whatever it says its transfer is. */
export function partKey(peerNodeId: string, transfer: string): string {
  return createHash('sha256').update(`${peerNodeId}\0${transfer}`).digest('hex').slice(0, 32);
}

/**
 * A file being received: written under a temporary name in the folder it belongs to, and given its final
 * name only once it is whole, on disk and verified. Never seen half-written under that name.
 */
export class Part {
  readonly #folder: string;
  readonly #key: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #toucher: NodeJS.Timeout;
  #position: number;
  /** Bytes that a sync has brought to the disk. What another process has left is not known to be there before one has. */
  #safe = 0;
  #unsynced = 0;
  #syncing: Promise<unknown> | undefined;
  #syncError: unknown;
  #settled = false;

  private constructor(folder: string, key: string, path: string, file: FileHandle, length: number) {
    this.#folder = folder;
    this.#key = key;
    this.#path = path;
    this.#file = file;
    this.#position = length;
    // Other machines that share the folder see from it that somebody is here.
    this.#toucher = setInterval(() => {
      const now = new Date();
      file.utimes(now, now).catch(() => undefined);
    }, TOUCH_INTERVAL_MS).unref();
  }

  /** Bytes that stand there. */
  get length(): number {
    return this.#position;
  }

  /**
   * The part with that key, for this process alone; empty if there was none.
   *
   * @throws {ClaimBusyError} when somebody else has it.
   */
  static async open(folder: string, key: string): Promise<Part> {
    const { path } = await claim(folder, key);
    try {
      const file = await openOwn(path);
      const { size } = await file.stat();
      return new Part(folder, key, path, file, size);
    } catch (error) {
      forget(path);
      throw error;
    }
  }

  /**
   * Brings all that stands there to the disk, and reads it back: what a sender is told of survives this
   * process and the machine's power.
   */
  async marks(alive: () => void): Promise<Mark[]> {
    if (this.#position === 0) return [];
    await this.#sync();
    const step = Math.max(
      MIN_MARK_STEP,
      Math.ceil(this.#position / MARKS / HASH_BLOCK) * HASH_BLOCK,
    );
    const marks: Mark[] = [];
    await this.#hash(this.#position, (length, hash) => {
      alive();
      if (length % step === 0 || length === this.#position)
        marks.push({ length, sha256: hash.copy().digest('hex') });
    });
    // Another process cannot have shortened it; if so the marks that there are still hold.
    return marks;
  }

  /** Cuts it to what is kept of it. */
  async truncate(length: number): Promise<void> {
    if (length === this.#position) return;
    await this.#file.truncate(length);
    this.#position = length;
    this.#safe = Math.min(this.#safe, length);
  }

  /** Appends; returns when the system has taken the bytes. */
  async write(chunks: readonly Uint8Array[]): Promise<void> {
    let rest = chunks.filter((chunk) => chunk.length > 0);
    while (rest.length > 0) {
      const { bytesWritten } = await this.#file.writev(rest, this.#position);
      this.#position += bytesWritten;
      this.#unsynced += bytesWritten;
      rest = dropBytes(rest, bytesWritten);
    }
    if (this.#syncError !== undefined) throw this.#syncError;
    if (this.#unsynced >= SYNC_EVERY && this.#syncing === undefined) this.#syncBehind();
  }

  /** Brings the bytes to the disk and reads them back for their SHA-256. */
  async digest(): Promise<Buffer> {
    await this.#sync();
    return (await this.#hash(Number.POSITIVE_INFINITY)).digest();
  }

  /** Gives the file its final name and returns it, with a note of it that {@link removeDone} removes. */
  async commit(
    name: string,
    collision: Collision,
    { modified, mode }: Pick<Offer, 'modified' | 'mode'>,
    record: Omit<DoneRecord, 'name'> | undefined,
  ): Promise<string> {
    clearInterval(this.#toucher);
    if (modified !== null)
      await this.#file.utimes(new Date(), new Date(modified)).catch(() => undefined);
    const permissions = (mode ?? 0o666) & ~UMASK;
    let noted = false;
    const final = await place(this.#path, this.#folder, name, collision, async (candidate) => {
      if (record !== undefined) {
        await writeDone(this.#folder, this.#key, this.#path, { ...record, name: candidate });
        noted = true;
      }
      // Its owner's as well as the sender's: should it not get that name, it can be gone on with.
      await this.#permit(permissions | OWN_MODE);
    }).catch(async (error: unknown) => {
      if (noted) await removeDone(this.#folder, this.#key);
      // It is kept from now on, not from the date of the sender's file on, and for its owner alone.
      const now = new Date();
      await this.#file.utimes(now, now).catch(() => undefined);
      await this.#permit(OWN_MODE).catch(() => undefined);
      throw error;
    });
    if ((permissions & OWN_MODE) !== OWN_MODE)
      await this.#file.chmod(permissions).catch(() => undefined);
    await this.#file.close();
    this.#settled = true;
    forget(this.#path);
    await syncFolder(this.#folder);
    return final;
  }

  /** Gives the file, which is on the disk by now, another place on it. */
  async moveTo(path: string, mode: number, modified: number): Promise<void> {
    clearInterval(this.#toucher);
    await this.#permit(mode);
    await this.#file.utimes(new Date(), fileTime(modified));
    await this.#file.close();
    await rename(this.#path, path);
    this.#settled = true;
    forget(this.#path);
  }

  /** Leaves it for the sender's return; an empty one is removed. Harmless once settled. */
  async release(): Promise<void> {
    if (this.#settled) return;
    // What did not get there may be read back from memory all the same, and is gone with the next power cut.
    await this.#sync().catch(() => this.truncate(this.#safe).catch(() => undefined));
    if (this.#position === 0) return this.discard();
    this.#settled = true;
    await this.#close();
    await unclaim(this.#folder, this.#key, this.#path);
  }

  /** Removes it; harmless once settled. */
  async discard(): Promise<void> {
    if (this.#settled) return;
    this.#settled = true;
    await this.#syncing;
    await this.#close();
    await unlink(this.#path).catch(() => undefined);
    forget(this.#path);
  }

  /** Gives the file permissions. A file system that has none says so by EPERM, and gives every file the same. */
  async #permit(mode: number): Promise<void> {
    const { mode: has } = await this.#file.stat();
    if ((has & 0o777) === mode) return;
    await this.#file.chmod(mode).catch((error: unknown) => {
      if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error;
    });
  }

  async #close(): Promise<void> {
    clearInterval(this.#toucher);
    await this.#file.close().catch(() => undefined);
  }

  /**
   * Brings all of it to the disk. The system tells of a failed write-back once, and a sync after that one succeeds
   * whatever is missing: what failed has failed for good.
   */
  async #sync(): Promise<void> {
    await this.#syncing;
    if (this.#syncError !== undefined) throw this.#syncError;
    const length = this.#position;
    try {
      await this.#file.sync();
      this.#safe = Math.max(this.#safe, length);
    } catch (error) {
      this.#syncError = error;
      throw error;
    }
  }

  #syncBehind(): void {
    this.#unsynced = 0;
    const length = this.#position;
    this.#syncing = this.#file
      .datasync()
      .then(() => (this.#safe = Math.max(this.#safe, length)))
      .catch((error: unknown) => (this.#syncError = error))
      .finally(() => (this.#syncing = undefined));
  }

  async #hash(end: number, onBlock?: (length: number, hash: Hash) => void): Promise<Hash> {
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(HASH_BLOCK);
    let position = 0;
    while (position < end) {
      // Up to the next multiple of a block whatever the system gives, so that marks are where they should be.
      const wanted = Math.min(HASH_BLOCK - (position % HASH_BLOCK), end - position);
      const { bytesRead } = await this.#file.read(block, 0, wanted, position);
      if (bytesRead === 0) break;
      hash.update(block.subarray(0, bytesRead));
      position += bytesRead;
      onBlock?.(position, hash);
    }
    return hash;
  }
}

/** Opens a claimed file. One that another name leads to as well is not ours to write, and is replaced. */
async function openOwn(path: string): Promise<FileHandle> {
  const nofollow = process.platform === 'win32' ? 0 : constants.O_NOFOLLOW;
  const file = await open(path, constants.O_RDWR | nofollow).catch((error: unknown) => {
    if (hasCode(error, 'ELOOP', 'EISDIR', 'ENXIO')) return undefined;
    throw error;
  });
  if (file !== undefined) {
    const stat = await file.stat();
    if (stat.isFile() && stat.nlink === 1) {
      if ((stat.mode & 0o777) !== OWN_MODE) await file.chmod(OWN_MODE).catch(() => undefined);
      return file;
    }
    await file.close();
  }
  await unlink(path).catch(() => undefined);
  return open(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, OWN_MODE);
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
