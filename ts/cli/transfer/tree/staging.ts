import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, constants, futimesSync, openSync, writeSync } from 'node:fs';
import {
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { claim, forget, KEEP_MS, removeStale, unclaim } from '../claim.ts';
import { exists, fileTime, hasCode } from '../files.ts';
import { TOUCH_INTERVAL_MS } from '../owner.ts';
import { Part } from '../part.ts';
import { Folder, FolderCache, NOFOLLOW, NotAFolderError } from './folders.ts';
import type { Entry, Manifest } from './manifest.ts';
import { SMALL } from './messages.ts';
import { inParallel } from './parallel.ts';
import type { Plan } from './plan.ts';
import { clearPlaceholders, isStanding, readPlan, removePlan } from './plan.ts';

/** How many unfinished trees a folder keeps; the oldest go first. */
const MAX_KEPT_TREES = 8;

/** How many files are looked at, or brought to the disk, at once. */
const WIDTH = 16;

/** What the system takes away from the permissions of all that this process makes. */
const UMASK = process.umask();

/** How many files are brought to the disk one by one; that of others is not waited for then. */
const SYNC_EACH = 500;

/** How long the system may take to bring a tree to the disk. */
const SYNC_TIMEOUT_MS = 600_000;

/**
 * A tree being received. It grows in a folder of its own beside where it will be, closed to others, and is never seen
 * half there under its final names. No link is made in it before the last file is written.
 */
export class Staging {
  /** Folder of what is whole. */
  readonly tree: Folder;
  /** The tree's own folder. */
  readonly path: string;
  /** Where its roots go, if it was whole already and some of them may be there. */
  readonly plan: Plan | undefined;
  /** Whether there was nothing of it before. */
  readonly fresh: boolean;
  readonly #inbox: string;
  readonly #key: string;
  readonly #claim: string;
  readonly #manifest: Manifest;
  readonly #folders: FolderCache;
  readonly #toucher: NodeJS.Timeout;
  /** Files that stood here whole and have not come anew: their bytes alone are known to be what they should be. */
  readonly #standing = new Set<number>();
  #settled = false;

  private constructor(
    [inbox, key, claimed]: readonly [string, string, string],
    tree: Folder,
    of: Manifest,
    { fresh, plan }: Pick<Staging, 'fresh' | 'plan'>,
  ) {
    this.#inbox = inbox;
    this.#key = key;
    this.#claim = claimed;
    this.path = stagingPath(inbox, key);
    this.tree = tree;
    this.fresh = fresh;
    this.plan = plan;
    this.#manifest = of;
    this.#folders = new FolderCache(tree, (index) => of.entries[index] as Entry);
    this.#toucher = setInterval(() => {
      const now = new Date();
      lutimes(claimed, now, now).catch(() => undefined);
    }, TOUCH_INTERVAL_MS).unref();
  }

  /**
   * The place with that key, for this process alone. Unless there is a plan, {@link layOut} comes next.
   *
   * @throws {ClaimBusyError} when somebody else has it.
   */
  static async open(
    inbox: string,
    key: string,
    manifest: Manifest,
    keep: boolean,
  ): Promise<Staging> {
    const { path: claimed } = await claim(inbox, key);
    let tree: Folder | undefined;
    try {
      const path = stagingPath(inbox, key);
      const plan = await readPlan(path);
      if (!keep) await clear(inbox, key);
      const fresh = !(await exists(inbox, basename(path)));
      await ownFolder(path);
      await ownFolder(join(path, 'parts'));
      await ownFolder(join(path, 'tree'));
      const now = new Date();
      await utimes(path, now, now);
      tree = await Folder.open(join(path, 'tree'));
      const standing =
        keep && plan !== undefined && (await isStanding(plan, tree, inbox, manifest));
      if (plan !== undefined && !standing) {
        await clearPlaceholders(plan, join(path, 'tree'), inbox);
        await removePlan(path);
      }
      const found = { fresh, plan: standing ? plan : undefined };
      return new Staging([inbox, key, claimed], tree, manifest, found);
    } catch (error) {
      await tree?.close();
      await unclaim(inbox, key, claimed).catch(() => undefined);
      throw error;
    }
  }

  /** Makes the folders of the manifest, and removes whatever is not in it: an earlier state of the tree has left it. */
  async layOut(): Promise<void> {
    const { entries } = this.#manifest;
    const inside = new Map<number, Set<string>>([[-1, new Set()]]);
    for (const [index, { kind, parent, name }] of entries.entries()) {
      inside.get(parent)?.add(name);
      if (kind === 'folder') inside.set(index, new Set());
    }
    for (const [index, names] of inside) {
      if (index >= 0) {
        const { parent, name } = entries[index] as Entry;
        await this.#folders.with(parent, (folder) => ownFolder(folder.at(name)));
      }
      await this.#folders.with(index, async (folder) => {
        for (const name of await readdir(folder.at('.')))
          if (!names.has(name)) await rm(folder.at(name), { recursive: true, force: true });
      });
    }
  }

  /**
   * Files that stand here whole, by their size, with the hash of what stands here. {@link complete} gives those that do
   * not come anew their permissions and times: these may have changed at the sender, or were never set.
   */
  async whole(alive: () => void): Promise<Map<number, string>> {
    const { entries } = this.#manifest;
    const found = new Map<number, string>();
    const files = [...entries.keys()].filter((index) => entries[index]?.kind === 'file');
    await inParallel(files, WIDTH, async (index) => {
      alive();
      const { parent, name, size } = entries[index] as Entry;
      const sha256 = await this.#folders.with(parent, (folder) => hashOf(folder.at(name), size));
      if (sha256 === undefined) return;
      found.set(index, sha256);
      this.#standing.add(index);
    });
    return found;
  }

  /** Bytes of long files that stand here unfinished. */
  async unfinishedBytes(): Promise<number> {
    const parts = join(this.path, 'parts');
    let bytes = 0;
    for (const name of await readdir(parts)) bytes += (await lstat(join(parts, name))).size;
    return bytes;
  }

  /**
   * Writes a short file. The calls are made on this thread: each of them takes microseconds, and handing them to
   * another thread and back takes several times as long, which is what a folder of many small files costs.
   */
  async write(index: number, chunks: readonly Uint8Array[]): Promise<void> {
    const { parent, name, mode, modified } = this.#manifest.entries[index] as Entry;
    await this.#folders.with(parent, async (folder) => {
      const file = await createFile(folder.at(name), mode & ~UMASK);
      try {
        for (const chunk of chunks)
          for (let at = 0; at < chunk.length; ) at += writeSync(file, chunk, at);
        futimesSync(file, new Date(), fileTime(modified));
      } finally {
        closeSync(file);
      }
    });
    this.#standing.delete(index);
  }

  /** The unfinished state of a long file. */
  async part(index: number): Promise<Part> {
    const key = createHash('sha256').update(this.#manifest.path(index)).digest('hex').slice(0, 32);
    return Part.open(join(this.path, 'parts'), key);
  }

  /** Puts a long file that is whole to its place. */
  async finish(index: number, part: Part): Promise<void> {
    const { parent, name, mode, modified } = this.#manifest.entries[index] as Entry;
    await this.#folders.with(parent, async (folder) => {
      await rm(folder.at(name), { recursive: true, force: true });
      await part.moveTo(folder.at(name), mode & ~UMASK, modified);
    });
    this.#standing.delete(index);
  }

  /** Removes a file that is not in the tree after all. */
  async remove(index: number): Promise<void> {
    const { parent, name } = this.#manifest.entries[index] as Entry;
    await this.#folders.with(parent, (folder) => rm(folder.at(name), { force: true }));
    this.#standing.delete(index);
  }

  /** Makes the links, gives what has none yet its permissions and times, and brings all of it to the disk. */
  async complete(): Promise<void> {
    const { entries } = this.#manifest;
    await inParallel([...this.#standing], WIDTH, async (index) => {
      const { parent, name, size, mode, modified } = entries[index] as Entry;
      await this.#folders.with(parent, (folder) =>
        settle(folder.at(name), { size, mode: mode & ~UMASK, modified }),
      );
    });
    for (const { kind, parent, name, target, modified } of entries) {
      if (kind !== 'link') continue;
      await this.#folders.with(parent, async (folder) => {
        await rm(folder.at(name), { recursive: true, force: true });
        await symlink(target, folder.at(name));
        await lutimes(folder.at(name), new Date(), fileTime(modified)).catch(() => undefined);
      });
    }
    await this.#sync();
    for (let index = entries.length - 1; index >= 0; index -= 1) {
      const { kind, mode, modified } = entries[index] as Entry;
      if (kind !== 'folder') continue;
      await this.#folders.with(index, async ({ handle }) => {
        // What is in it still has to be moved; what its owner may not do comes last.
        await handle.chmod((mode & ~UMASK) | 0o700);
        await handle.utimes(new Date(), fileTime(modified));
      });
    }
  }

  /** Leaves it for the sender's return. */
  async release(): Promise<void> {
    if (!(await this.#close())) return;
    await unclaim(this.#inbox, this.#key, this.#claim).catch(() => undefined);
  }

  /** Removes it. */
  async discard(): Promise<void> {
    if (!(await this.#close())) return;
    await clear(this.#inbox, this.#key).catch(() => undefined);
    await unlink(this.#claim).catch(() => undefined);
    forget(this.#claim);
  }

  /** Removes what a killed process has left of a tree that has its final names; harmless if there is nothing. */
  static async sweep(inbox: string, key: string): Promise<void> {
    if (await exists(inbox, basename(stagingPath(inbox, key)))) await sweepTree(inbox, key);
    else await removeStale(inbox, key);
  }

  async #close(): Promise<boolean> {
    if (this.#settled) return false;
    this.#settled = true;
    clearInterval(this.#toucher);
    await this.#folders.close();
    await this.tree.close();
    return true;
  }

  /** Brings short files to the disk, long ones are there: each by a call of its own, or, where they are many, all. */
  async #sync(): Promise<void> {
    const { entries } = this.#manifest;
    const files: number[] = [];
    const folders: number[] = [-1];
    for (const [index, { kind, size }] of entries.entries()) {
      if (kind === 'file' && size <= SMALL) files.push(index);
      else if (kind === 'folder') folders.push(index);
    }
    if (files.length + folders.length > SYNC_EACH && (await syncDisk(this.path))) return;
    await inParallel(files, WIDTH, async (index) => {
      const { parent, name } = entries[index] as Entry;
      await this.#folders.with(parent, async (folder) => {
        const file = await open(folder.at(name), constants.O_RDONLY | NOFOLLOW).catch(
          () => undefined,
        );
        await file?.sync().finally(() => file.close());
      });
    });
    await inParallel(folders, WIDTH, (index) =>
      this.#folders.with(index, ({ handle }) => handle.sync().catch(() => undefined)),
    );
  }
}

/** Brings all of a file system to the disk, which is one call for any number of files; false where nothing can. */
async function syncDisk(path: string): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  return promisify(execFile)('sync', ['-f', path], { timeout: SYNC_TIMEOUT_MS }).then(
    () => true,
    () => false,
  );
}

/** Removes trees that nobody came back for: past their time, and past their number. */
export async function sweepTrees(inbox: string): Promise<void> {
  const kept: { key: string; touched: number }[] = [];
  for (const name of await readdir(inbox).catch(() => [])) {
    const [, key] = /^\.stt-([0-9a-f]{32})\.tree$/.exec(name) ?? [];
    if (key === undefined) continue;
    const touched = await stat(join(inbox, name)).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    );
    if (touched !== undefined) kept.push({ key, touched });
  }
  kept.sort((a, b) => b.touched - a.touched);
  for (const [n, { key, touched }] of kept.entries()) {
    if (n < MAX_KEPT_TREES && touched > Date.now() - KEEP_MS) continue;
    await sweepTree(inbox, key);
  }
}

async function sweepTree(inbox: string, key: string): Promise<void> {
  // Whoever works on it has claimed it.
  const claimed = await claim(inbox, key).catch(() => undefined);
  if (claimed === undefined) return;
  await clear(inbox, key).catch(() => undefined);
  await unlink(claimed.path).catch(() => undefined);
  forget(claimed.path);
}

/** Removes a tree's own folder, and the empty ones that were to take its names. */
async function clear(inbox: string, key: string): Promise<void> {
  const path = stagingPath(inbox, key);
  const plan = await readPlan(path);
  if (plan !== undefined) await clearPlaceholders(plan, join(path, 'tree'), inbox);
  await rm(path, { recursive: true, force: true });
}

function stagingPath(inbox: string, key: string): string {
  return join(inbox, `.stt-${key}.tree`);
}

/** A folder that is there, is no link, and is this user's alone. */
async function ownFolder(path: string): Promise<void> {
  for (let again = false; ; again = true) {
    try {
      await mkdir(path, 0o700);
      return;
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
    const stats = await lstat(path);
    if (stats.isDirectory() && (process.getuid === undefined || stats.uid === process.getuid())) {
      const folder = await Folder.open(path);
      await folder.handle.chmod(0o700).finally(() => folder.close());
      return;
    }
    if (again) throw new NotAFolderError('something else stands where a folder has to be');
    await rm(path, { recursive: true, force: true });
  }
}

/** A new file under that name, whatever was there before. */
async function createFile(path: string, mode: number): Promise<number> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NOFOLLOW;
  try {
    return openSync(path, flags, mode);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  await rm(path, { recursive: true, force: true });
  return openSync(path, flags, mode);
}

/** The hash of a file that has that size; undefined for whatever else is there. */
async function hashOf(path: string, size: number): Promise<string | undefined> {
  const flags = constants.O_RDONLY | NOFOLLOW | (constants.O_NONBLOCK ?? 0);
  const file = await open(path, flags).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    const stats = await file.stat();
    if (!stats.isFile() || stats.size !== size || stats.nlink !== 1) return undefined;
    const hash = createHash('sha256');
    const bytes = file.createReadStream({ highWaterMark: 512 * 1024, autoClose: false });
    for await (const chunk of bytes) hash.update(chunk as Buffer);
    return hash.digest('hex');
  } finally {
    await file.close().catch(() => undefined);
  }
}

/**
 * Gives a file that stands in a closed folder its permissions, in one step, and its time, where it has others. A long one
 * is brought to the disk for that: short ones are, with all of the tree.
 */
async function settle(
  path: string,
  { size, mode, modified }: Pick<Entry, 'size' | 'mode' | 'modified'>,
): Promise<void> {
  const file = await open(path, constants.O_RDONLY | NOFOLLOW | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = await file.stat();
    // It was whole a moment ago; what anybody has put there since is not made anything of.
    if (!stats.isFile() || stats.size !== size || stats.nlink !== 1)
      throw new Error('something else stands where a file was whole');
    const permitted = (stats.mode & 0o7777) === mode;
    if (permitted && Math.trunc(stats.mtimeMs) === modified) return;
    if (!permitted) {
      await file.chmod(mode).catch((error: unknown) => {
        // A file system without permissions gives every file the same.
        if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error;
      });
    }
    await file.utimes(new Date(), fileTime(modified));
    if (size > SMALL) await file.sync();
  } finally {
    await file.close().catch(() => undefined);
  }
}
