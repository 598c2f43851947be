import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, rename, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Collision } from '../files.ts';
import {
  exists,
  hasCode,
  isFolder,
  isPlaceholder,
  KIND_HINT,
  placeNew,
  syncFolder,
  TargetExistsError,
} from '../files.ts';
import { isHex } from '../messages.ts';
import { checkRootName, numberedName } from '../names.ts';
import { Folder, FolderCache } from './folders.ts';
import type { Entry, Manifest } from './manifest.ts';
import { MAX_ROOTS } from './manifest.ts';
import type { Plan, PlannedRoot } from './plan.ts';
import { identityOf, inodeOf, isFolderPlaceholder, isPlaced, writePlan } from './plan.ts';

/** How many numbered names `--rename` tries. */
const MAX_RENAMES = 10_000;

/** Longest record that is read. */
const MAX_RECORD = 4 * 1024 * 1024;

/** What is moved, and where to. */
export interface Placement {
  /** The tree's own folder, which the plan is noted in. */
  readonly staging: string;
  /** The folder in it that all roots are in. */
  readonly tree: Folder;
  readonly inbox: string;
  readonly manifest: Manifest;
  readonly collision: Collision;
}

/**
 * Chooses a final name for each of the roots, and notes the choice, before any of them is moved.
 *
 * @param sha256 the digest of all of it.
 * @throws {TargetExistsError} when a name is taken that may not be.
 */
export async function planRoots(
  to: Placement,
  roots: readonly number[],
  sha256: string,
): Promise<Plan> {
  const planned: PlannedRoot[] = [];
  const chosen = new Set<string>();
  for (const root of roots) {
    const { name: from } = to.manifest.entries[root] as Entry;
    const identity = await identityOf(to.tree.at(from));
    const choice = await choose(to, root, chosen);
    chosen.add(choice.name);
    planned.push({ root, from, identity, ...choice });
  }
  const plan = { manifest: to.manifest.digest(), sha256, roots: planned };
  await writePlan(to.staging, plan);
  return plan;
}

/**
 * Gives the roots their final names, those that have them already left as they are, and returns the names. What is
 * under a name that is not ours is never replaced unless that is allowed.
 *
 * @param again whether a receiver that was killed may have done some of it.
 * @param step called between all that it does: where a test ends it.
 * @throws {TargetExistsError} when a name is taken by now and may not be.
 */
export async function placeRoots(
  to: Placement,
  plan: Plan,
  again: boolean,
  step: (at: string) => Promise<void> = async () => undefined,
): Promise<string[]> {
  const roots = [...plan.roots];
  for (const [n, { root, from }] of roots.entries()) {
    await step(`before ${from}`);
    const staged = to.tree.at(from);
    for (let turn = 0; ; turn += 1) {
      const planned = roots[n] as PlannedRoot;
      if (again && (await isPlaced(planned, staged, to.inbox))) break;
      if (await placeRoot(to, planned, again, step)) break;
      if (turn > MAX_RENAMES) throw new TargetExistsError(`${from} exists already`);
      // Somebody has taken the name meanwhile.
      const others = roots.filter((_, other) => other !== n).map(({ name }) => name);
      roots[n] = { ...planned, ...(await choose(to, root, new Set(others))) };
      await writePlan(to.staging, { ...plan, roots });
      await step(`chosen again ${from}`);
    }
    await step(`named ${from}`);
    if (to.manifest.entries[root]?.kind !== 'folder') continue;
    const { name } = roots[n] as PlannedRoot;
    await restrict(join(to.inbox, name), root, to.manifest, again);
  }
  await step('all named');
  return roots.map(({ name }) => name);
}

/** A final name for a root: its own, or the first that nothing stands under. */
async function choose(
  { inbox, manifest, collision }: Placement,
  root: number,
  chosen: ReadonlySet<string>,
): Promise<Pick<PlannedRoot, 'name' | 'into'>> {
  const { name, kind } = manifest.entries[root] as Entry;
  const last = collision === 'rename' ? MAX_RENAMES : 0;
  for (let number = 0; number <= last; number += 1) {
    const candidate = number === 0 ? name : numberedName(name, number);
    if (!chosen.has(candidate) && !(await exists(inbox, candidate)))
      return { name: candidate, into: null };
  }
  if (collision !== 'overwrite') throw new TargetExistsError(`${name} exists already in ${inbox}`);
  const into = kind === 'folder' ? inodeOf(await identityOf(join(inbox, name))) : null;
  return { name, into };
}

/** Gives one root its final name; false where that is taken. */
async function placeRoot(
  { staging, tree, inbox, manifest, collision }: Placement,
  { root, from, name, into }: PlannedRoot,
  again: boolean,
  step: (at: string) => Promise<void>,
): Promise<boolean> {
  const [staged, final] = [tree.at(from), join(inbox, name)];
  const { kind } = manifest.entries[root] as Entry;
  if (kind !== 'folder') {
    const isOurs = async () => again && (await isPlaceholder(final, staging));
    if (collision !== 'overwrite') return placeNew(staged, final, isOurs);
    if (await isFolder(final))
      throw new TargetExistsError(`${name} is a folder already in ${inbox}`, KIND_HINT);
    await rename(staged, final);
    return true;
  }
  if (into !== null) {
    if (collision !== 'overwrite')
      throw new TargetExistsError(
        `${name} exists already in ${inbox}`,
        'allow it with --overwrite, as before: some of its files were replaced by then.',
      );
    if (inodeOf(await identityOf(final).catch(() => '')) !== into) return false;
    await merge(staged, final, name, step);
    return true;
  }
  if (!(await takeFolderName(final)) && !(again && (await isFolderPlaceholder(final, staging))))
    return false;
  await step(`taken ${from}`);
  try {
    // What is empty is replaced, and nothing else.
    await rename(staged, final);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) return false;
    await rmdir(final).catch(() => undefined);
    throw error;
  }
}

/** Takes a name by an empty folder, in whose place another can be moved; false where it is taken. */
async function takeFolderName(path: string): Promise<boolean> {
  try {
    await mkdir(path, 0o700);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Moves what is in one folder into another that is there, file by file. No link in the other is followed. */
async function merge(
  from: string,
  to: string,
  shown: string,
  step: (at: string) => Promise<void>,
): Promise<void> {
  const source = await Folder.open(from);
  try {
    const target = await Folder.open(to).catch(() => {
      throw new TargetExistsError(`${shown} exists already and is no folder`, KIND_HINT);
    });
    try {
      for (const name of await readdir(source.at('.'))) {
        const [moved, there] = [source.at(name), target.at(name)];
        const inner = (await lstat(moved)).isDirectory();
        const other = await lstat(there).catch(() => undefined);
        if (inner && other !== undefined) await merge(moved, there, `${shown}/${name}`, step);
        else if (other?.isDirectory() === true)
          throw new TargetExistsError(`${shown}/${name} is a folder already`, KIND_HINT);
        else await rename(moved, there);
        await step(`merged ${shown}/${name}`);
      }
      await target.handle.sync().catch(() => undefined);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
  await rmdir(from);
  await step(`merged ${shown}`);
}

/**
 * Takes from the owner of folders what the sender's owner may not do there either, inner ones first.
 *
 * @param again whether some of it may have been done before: a folder that cannot be opened any more is done.
 */
async function restrict(
  path: string,
  root: number,
  { entries }: Manifest,
  again: boolean,
): Promise<void> {
  const strict = [...entries.keys()].filter((index) => {
    const { kind, mode } = entries[index] as Entry;
    return kind === 'folder' && (mode & 0o700) !== 0o700;
  });
  if (strict.length === 0) return;
  const done = (error: unknown): undefined => {
    if (again && hasCode(error, 'EACCES')) return undefined;
    throw error;
  };
  const top = await Folder.open(path).catch(done);
  if (top === undefined) return;
  const folders = new FolderCache(top, (index) => {
    const { parent, name } = entries[index] as Entry;
    return { parent: parent === root ? -1 : parent, name };
  });
  try {
    for (const index of strict.reverse()) {
      if (rootOf(index, entries) !== root) continue;
      const mode = (entries[index] as Entry).mode & ~process.umask();
      await folders
        .with(index === root ? -1 : index, ({ handle }) => handle.chmod(mode))
        .catch(done);
    }
  } finally {
    await folders.close();
    await top.close();
  }
}

function rootOf(index: number, entries: readonly Entry[]): number {
  let at = index;
  for (let entry = entries[at]; entry !== undefined && entry.parent >= 0; entry = entries[at])
    at = entry.parent;
  return at;
}

/** A tree that stands under its final names, and whose sender may not know yet. */
export interface TreeRecord {
  /** The manifest's digest. */
  readonly manifest: string;
  /** The digest of all of it. */
  readonly sha256: string;
  readonly names: readonly string[];
}

/** Notes that a tree stands there, for a sender that did not hear of it. */
export async function writeTreeRecord(
  inbox: string,
  key: string,
  record: TreeRecord,
): Promise<void> {
  const identities = await Promise.all(record.names.map((name) => identityOf(join(inbox, name))));
  const path = recordPath(inbox, key);
  const temporary = join(inbox, `.stt-${key}.${randomBytes(8).toString('hex')}.done`);
  const file = await open(temporary, 'wx', 0o600);
  try {
    try {
      await file.writeFile(JSON.stringify({ ...record, identities }));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(inbox);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}

/** What {@link writeTreeRecord} noted, if it was that manifest and its roots still stand there. */
export async function readTreeRecord(
  inbox: string,
  key: string,
  manifest: Manifest,
): Promise<TreeRecord | undefined> {
  const path = recordPath(inbox, key);
  try {
    if ((await lstat(path)).size > MAX_RECORD) return undefined;
    const stored = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    const { sha256, names, identities } = stored;
    if (stored['manifest'] !== manifest.digest() || !isHex(sha256, 64)) return undefined;
    if (!Array.isArray(names) || !Array.isArray(identities) || names.length > MAX_ROOTS)
      return undefined;
    for (const [n, name] of names.entries())
      if ((await identityOf(join(inbox, checkRootName(String(name))))) !== identities[n])
        return undefined;
    return { manifest: manifest.digest(), sha256, names: names.map(String) };
  } catch {
    // None, or none of ours.
    return undefined;
  }
}

/** The sender knows. */
export async function removeTreeRecord(inbox: string, key: string): Promise<void> {
  await unlink(recordPath(inbox, key)).catch(() => undefined);
}

/** Any of the roots whose name is taken. */
export async function takenRoot(inbox: string, manifest: Manifest): Promise<string | undefined> {
  for (const index of manifest.roots()) {
    const { name } = manifest.entries[index] as Entry;
    if (await exists(inbox, name)) return name;
  }
  return undefined;
}

/**
 * Sees whether files can take the places of files, and folders go into folders, wherever both are there. Nothing is
 * looked at through a link.
 *
 * @throws {TargetExistsError} where one is a folder and the other is none.
 */
export async function checkKinds(inbox: string, manifest: Manifest): Promise<void> {
  // Folders of the manifest that are there as folders, with their paths.
  const there = new Map<number, string>();
  for (const [index, { kind, parent, name }] of manifest.entries.entries()) {
    const above = parent < 0 ? inbox : there.get(parent);
    if (above === undefined) continue;
    const path = join(above, name);
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined) continue;
    const shown = `${manifest.path(index)} is ${stats.isDirectory() ? 'a' : 'no'} folder in ${inbox}`;
    if (stats.isDirectory() !== (kind === 'folder')) throw new TargetExistsError(shown, KIND_HINT);
    if (kind === 'folder') there.set(index, path);
  }
}

function recordPath(inbox: string, key: string): string {
  return join(inbox, `.stt-${key}.done`);
}
