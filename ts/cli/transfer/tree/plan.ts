import { constants } from 'node:fs';
import { lstat, open, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isModeless, syncFolder } from '../files.ts';
import { isHex } from '../messages.ts';
import { checkRootName } from '../names.ts';
import type { Folder } from './folders.ts';
import { NOFOLLOW } from './folders.ts';
import type { Manifest } from './manifest.ts';
import { MAX_ROOTS } from './manifest.ts';

/** Longest plan that is read, in bytes: as many roots as there may be, with the longest names. */
const MAX_PLAN = 4 * 1024 * 1024;

/** Where one root of a finished tree goes. */
export interface PlannedRoot {
  /** Its number in the manifest. */
  readonly root: number;
  /** What it is called in the tree. */
  readonly from: string;
  /** What it is called in the end. */
  readonly name: string;
  /** Which one it is, as {@link identityOf} tells it. */
  readonly identity: string;
  /** Inode of the folder of that name whose files it replaces, one by one; null where it is moved as a whole. */
  readonly into: string | null;
}

/**
 * Where the roots of a finished tree go. It is on the disk, in the tree's own folder, before the first of them is
 * moved, so that a receiver that is killed in between knows its own roots by it, and moves the others.
 */
export interface Plan {
  /** The manifest's digest. */
  readonly manifest: string;
  /** The digest of all of it. */
  readonly sha256: string;
  readonly roots: readonly PlannedRoot[];
}

/** Notes a plan in a tree's own folder, for good. */
export async function writePlan(staging: string, plan: Plan): Promise<void> {
  const temporary = join(staging, 'plan.new');
  await rm(temporary, { recursive: true, force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(JSON.stringify(plan));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, planPath(staging));
  await syncFolder(staging);
}

/** The plan that {@link writePlan} noted; undefined if there is none. It may be of another manifest. */
export async function readPlan(staging: string): Promise<Plan | undefined> {
  try {
    // Somebody else's may be anything: one that waits for a writer would hold a thread.
    const flags = constants.O_RDONLY | NOFOLLOW | (constants.O_NONBLOCK ?? 0);
    const file = await open(planPath(staging), flags);
    try {
      const stats = await file.stat();
      if (!stats.isFile() || stats.size > MAX_PLAN) return undefined;
      if (process.getuid !== undefined && stats.uid !== process.getuid()) return undefined;
      return parsePlan(JSON.parse(await file.readFile('utf8')));
    } finally {
      await file.close();
    }
  } catch {
    // None, or none of ours: then the tree is received as if nothing had been moved.
    return undefined;
  }
}

/** Forgets the plan. */
export async function removePlan(staging: string): Promise<void> {
  await rm(planPath(staging), { recursive: true, force: true });
}

/** Whether it is a plan for that manifest, and every root is where it was, or where it goes. */
export async function isStanding(
  plan: Plan,
  tree: Folder,
  inbox: string,
  manifest: Manifest,
): Promise<boolean> {
  if (plan.manifest !== manifest.digest()) return false;
  for (const planned of plan.roots) {
    const entry = manifest.entries[planned.root];
    if (entry?.parent !== -1 || entry.name !== planned.from) return false;
    const staged = tree.at(planned.from);
    if (!(await isPlaced(planned, staged, inbox)) && !(await isStaged(planned, staged)))
      return false;
  }
  return true;
}

/** Whether a root has its final name already. `staged` is the path at which it was before. */
export async function isPlaced(
  planned: PlannedRoot,
  staged: string,
  inbox: string,
): Promise<boolean> {
  const { name, identity, into } = planned;
  const now = await identityOf(join(inbox, name)).catch(() => undefined);
  if (now === undefined || into === null) return now === identity;
  return inodeOf(now) === into && (await identityOf(staged).catch(() => undefined)) === undefined;
}

/** Whether a root waits for its final name at the path `staged`, with all of it or what is left of it. */
export async function isStaged({ identity, into }: PlannedRoot, staged: string): Promise<boolean> {
  const now = await identityOf(staged).catch(() => undefined);
  if (now === undefined) return false;
  // Moving files out of a folder changes its time.
  return into === null ? now === identity : inodeOf(now) === inodeOf(identity);
}

/**
 * Whether what stands at that path can be what a receiver took the name of a folder with before it was killed: an empty
 * folder of this user, closed to others, or an empty one where modes say nothing. One that is somebody's own is not told
 * from it, and nothing is lost with it.
 *
 * @param beside a folder of ours on the same file system, which was made for its owner alone
 */
export async function isFolderPlaceholder(path: string, beside: string): Promise<boolean> {
  try {
    const stats = await lstat(path);
    if (!stats.isDirectory()) return false;
    if ((stats.mode & 0o077) !== 0 && !(await isModeless(beside))) return false;
    if (process.getuid !== undefined && stats.uid !== process.getuid()) return false;
    return (await readdir(path)).length === 0;
  } catch {
    return false;
  }
}

/** Gives the names back that a receiver has taken and was killed before it used them, where nobody goes on. */
export async function clearPlaceholders(plan: Plan, tree: string, inbox: string): Promise<void> {
  for (const planned of plan.roots) {
    const staged = join(tree, planned.from);
    if (planned.into !== null || !(await isStaged(planned, staged))) continue;
    const path = join(inbox, planned.name);
    if (!(await lstat(staged)).isDirectory()) continue;
    if (await isFolderPlaceholder(path, dirname(tree))) await rmdir(path).catch(() => undefined);
  }
}

/** Which file or folder a path leads to, and when it was last written: another one of that name is not it. */
export async function identityOf(path: string): Promise<string> {
  const { dev, ino, mtimeNs } = await lstat(path, { bigint: true });
  return [dev, ino, mtimeNs].join(':');
}

/** The part of an identity that stays when a folder's files are changed. */
export function inodeOf(identity: string): string {
  return identity.split(':').slice(0, 2).join(':');
}

function planPath(staging: string): string {
  return join(staging, 'plan');
}

function parsePlan(value: unknown): Plan | undefined {
  const { manifest, sha256, roots } = value as Record<string, unknown>;
  if (!isHex(manifest, 64) || !isHex(sha256, 64)) return undefined;
  if (!Array.isArray(roots) || roots.length > MAX_ROOTS) return undefined;
  const checked: PlannedRoot[] = [];
  for (const planned of roots as Record<string, unknown>[]) {
    const { root, from, name, identity, into } = planned;
    if (!Number.isSafeInteger(root) || typeof identity !== 'string') return undefined;
    if (into !== null && typeof into !== 'string') return undefined;
    checked.push({
      root: root as number,
      from: checkRootName(String(from)),
      name: checkRootName(String(name)),
      identity,
      into,
    });
  }
  return { manifest, sha256, roots: checked };
}
