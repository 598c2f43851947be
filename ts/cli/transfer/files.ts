import { link, lstat, open, rename, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { numberedName } from './names.ts';

/** What to do when a file of that name is there already. */
export type Collision = 'refuse' | 'overwrite' | 'rename';

/** How many numbered names `--rename` tries. */
const MAX_RENAMES = 10_000;

/** The final name is taken and may not be replaced. */
export class TargetExistsError extends Error {
  override readonly name = 'TargetExistsError';
  /** What helps. */
  readonly hint: string;

  constructor(message: string, hint: string = TAKEN_HINT) {
    super(message);
    this.hint = hint;
  }
}

const TAKEN_HINT = 'allow it with --overwrite, or keep both with --rename.';

/** What helps where one of the two is a folder and the other is none, whatever may be overwritten. */
export const KIND_HINT = 'move it away there, or keep both with --rename.';

/** Whether a real folder of that name is there. */
export async function isFolder(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
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

/**
 * Gives a finished file its final name, and returns that.
 *
 * @param before called with each name before it is tried, for a note that outlives this process.
 */
export async function place(
  from: string,
  folder: string,
  name: string,
  collision: Collision,
  before: (name: string) => Promise<void>,
): Promise<string> {
  if (collision === 'overwrite') {
    if (await isFolder(join(folder, name)))
      throw new TargetExistsError(`${name} is a folder in ${folder}`, KIND_HINT);
    await before(name);
    await rename(from, join(folder, name));
    return name;
  }
  const last = collision === 'rename' ? MAX_RENAMES : 0;
  for (let number = 0; number <= last; number += 1) {
    const candidate = number === 0 ? name : numberedName(name, number);
    if (await exists(folder, candidate)) continue;
    await before(candidate);
    if (await placeNew(from, join(folder, candidate))) return candidate;
  }
  throw new TargetExistsError(`${name} exists already`);
}

/**
 * Names the file without ever replacing another: a hard link fails where the name is taken.
 *
 * @param isOurs whether what is under the name, on a file system without hard links, is a {@link isPlaceholder placeholder}
 *   of a receiver that was killed
 * @returns false where it is.
 */
export async function placeNew(
  temporary: string,
  final: string,
  isOurs: () => Promise<boolean> = async () => false,
): Promise<boolean> {
  try {
    await link(temporary, final);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error;
    // A file system without hard links: claim the name first, then replace our own claim.
    return placeByClaim(temporary, final, isOurs);
  }
  await unlink(temporary);
  return true;
}

async function placeByClaim(
  temporary: string,
  final: string,
  isOurs: () => Promise<boolean>,
): Promise<boolean> {
  try {
    await (await open(final, 'wx', 0o600)).close();
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    if (!(await isOurs())) return false;
  }
  try {
    await rename(temporary, final);
  } catch (error) {
    if (await isPlaceholder(final, temporary)) await unlink(final).catch(() => undefined);
    throw error;
  }
  return true;
}

/**
 * Whether what stands at `path` can be what a receiver took the name with, where the file system has no hard links,
 * before it was killed: an empty file of this user, closed to others, or an empty file where modes say nothing. One that is
 * somebody's own is not told from it, and nothing is lost with it.
 *
 * @param beside a file of ours on the same file system, which was made for its owner alone: whether it is so tells
 *   whether modes say anything
 */
export async function isPlaceholder(path: string, beside: string): Promise<boolean> {
  try {
    const stats = await lstat(path);
    if (!stats.isFile() || stats.size !== 0 || stats.nlink !== 1) return false;
    if (process.getuid !== undefined && stats.uid !== process.getuid()) return false;
    return (stats.mode & 0o077) === 0 || (await isModeless(beside));
  } catch {
    return false;
  }
}

/** Whether a file or folder that was made for its owner alone is open to others: its file system has no modes. */
export async function isModeless(path: string): Promise<boolean> {
  return ((await lstat(path)).mode & 0o077) !== 0;
}

/** A new name survives a power cut only once its folder is on the disk; not every platform can. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync().catch(() => undefined);
  } finally {
    await handle.close();
  }
}

/** A time in milliseconds as the system is given it: seconds, and never the millisecond before for a rounding. */
export function fileTime(milliseconds: number): number {
  return (milliseconds + 0.001) / 1_000;
}

/** Whether a system error has one of these codes. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    codes.includes(error.code)
  );
}
