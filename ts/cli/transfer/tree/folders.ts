import { constants, existsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open } from 'node:fs/promises';
import { join } from 'node:path';

/** Where a folder that is open can be named by its descriptor, whatever stands at its path by now. */
const BY_DESCRIPTOR = process.platform === 'linux' && existsSync('/proc/self/fd');

/** Flags that open what stands there and nothing that a link leads to; they are no flags on Windows. */
export const NOFOLLOW: number = process.platform === 'win32' ? 0 : constants.O_NOFOLLOW;

/** How many folders are kept open at a time, beside those in use. */
const KEPT_OPEN = 64;

/** Something that should be a real folder is a link, or something else. */
export class NotAFolderError extends Error {
  override readonly name = 'NotAFolderError';
}

/**
 * A folder, held open. What is in it is named through its descriptor where the system can, so that no link that
 * anybody puts in the place of a folder above it is ever followed.
 */
export class Folder {
  readonly #handle: FileHandle;
  readonly #path: string;
  /** How many use it now. */
  users = 0;

  private constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  /** Opens the folder at a path, and no link in its place. */
  static async open(path: string): Promise<Folder> {
    const directory = process.platform === 'win32' ? 0 : constants.O_DIRECTORY;
    if (!BY_DESCRIPTOR && !(await lstat(path)).isDirectory()) throw notAFolder(path);
    try {
      return new Folder(await open(path, constants.O_RDONLY | directory | NOFOLLOW), path);
    } catch (error) {
      if (error instanceof Error && 'code' in error && /^(ELOOP|ENOTDIR)$/.test(String(error.code)))
        throw notAFolder(path);
      throw error;
    }
  }

  /** The path of what has that name in it; good while this is open. */
  at(name: string): string {
    return BY_DESCRIPTOR ? `/proc/self/fd/${this.#handle.fd}/${name}` : join(this.#path, name);
  }

  /** Itself, for what the system does to open folders. */
  get handle(): FileHandle {
    return this.#handle;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function notAFolder(path: string): NotAFolderError {
  return new NotAFolderError(`${path} is not a folder, or a link in the place of one`);
}

/** How a folder is come by: from the one above, or by a path of its own. */
export type Step = { readonly parent: number; readonly name: string } | { readonly path: string };

/** Folders of a tree by their numbers, opened step by step from the root on, a bounded number at a time. */
export class FolderCache {
  readonly #root: Folder | undefined;
  readonly #step: (index: number) => Step;
  readonly #open = new Map<number, Promise<Folder>>();

  constructor(root: Folder | undefined, step: (index: number) => Step) {
    this.#root = root;
    this.#step = step;
  }

  /** Runs `act` with the folder of that number, or the root for -1, open. */
  async with<T>(index: number, act: (folder: Folder) => Promise<T>): Promise<T> {
    if (index < 0) {
      if (this.#root === undefined) throw new NotAFolderError('there is no folder above');
      return act(this.#root);
    }
    const folder = await this.#take(index);
    try {
      return await act(folder);
    } finally {
      folder.users -= 1;
    }
  }

  /** Closes what is open, but for the root. Nothing may be in use. */
  async close(): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(all.map(async (opening) => (await opening.catch(() => undefined))?.close()));
  }

  async #take(index: number): Promise<Folder> {
    for (;;) {
      const there = this.#open.get(index);
      const opening = there ?? this.#openNew(index);
      // The last used is the last to go.
      this.#open.delete(index);
      this.#open.set(index, opening);
      let folder: Folder;
      try {
        folder = await opening;
      } catch (error) {
        if (this.#open.get(index) === opening) this.#open.delete(index);
        throw error;
      }
      // It may have been closed between.
      if (this.#open.get(index) !== opening) continue;
      folder.users += 1;
      await this.#trim(index);
      return folder;
    }
  }

  #openNew(index: number): Promise<Folder> {
    const step = this.#step(index);
    if ('path' in step) return Folder.open(step.path);
    return this.with(step.parent, (above) => Folder.open(above.at(step.name)));
  }

  async #trim(keep: number): Promise<void> {
    if (this.#open.size <= KEPT_OPEN) return;
    for (const [index, opening] of this.#open) {
      if (index === keep) continue;
      const folder = await opening.catch(() => undefined);
      if (folder === undefined || folder.users > 0 || this.#open.get(index) !== opening) continue;
      this.#open.delete(index);
      await folder.close();
      return;
    }
  }
}
