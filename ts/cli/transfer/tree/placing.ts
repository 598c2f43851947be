import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, rename, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Collision } from '../files.ts';
import { exists, hasCode, place, syncFolder, TargetExistsError } from '../files.ts';
import { isHex } from '../messages.ts';
import { checkRootName, numberedName } from '../names.ts';
import { Folder, FolderCache } from './folders.ts';
import type { Entry, Manifest } from './manifest.ts';
import { MAX_ROOTS } from './manifest.ts';

/** How many numbered names `--rename` tries. */
const MAX_RENAMES = 10_000;

/** Longest record that is read. */
const MAX_RECORD = 4 * 1024 * 1024;

/** Takes a name for a root that is finished, and returns it. */
export async function placeRoot(
  from: Folder,
  inbox: string,
  manifest: Manifest,
  root: number,
  collision: Collision,
): Promise<string> {
  const { kind, name } = manifest.entries[root] as Entry;
  if (kind !== 'folder') return place(from.at(name), inbox, name, collision, async () => undefined);
  const last = collision === 'rename' ? MAX_RENAMES : 0;
  for (let number = 0; number <= last; number += 1) {
    const candidate = number === 0 ? name : numberedName(name, number);
    if (!(await takeFolderName(join(inbox, candidate)))) continue;
    await rename(from.at(name), join(inbox, candidate)).catch(async (error: unknown) => {
      await rmdir(join(inbox, candidate)).catch(() => undefined);
      throw error;
    });
    await restrict(join(inbox, candidate), root, manifest);
    return candidate;
  }
  if (collision !== 'overwrite') throw new TargetExistsError(`${name} exists already`);
  await merge(from.at(name), join(inbox, name), name);
  await restrict(join(inbox, name), root, manifest);
  return name;
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
async function merge(from: string, to: string, shown: string): Promise<void> {
  const source = await Folder.open(from);
  try {
    const target = await Folder.open(to).catch(() => {
      throw new TargetExistsError(`${shown} exists already and is no folder`);
    });
    try {
      for (const name of await readdir(source.at('.'))) {
        const [moved, there] = [source.at(name), target.at(name)];
        const isFolder = (await lstat(moved)).isDirectory();
        const other = await lstat(there).catch(() => undefined);
        if (isFolder && other !== undefined) await merge(moved, there, `${shown}/${name}`);
        else if (other?.isDirectory() === true)
          throw new TargetExistsError(`${shown}/${name} is a folder already`);
        else await rename(moved, there);
      }
      await target.handle.sync().catch(() => undefined);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
  await rmdir(from);
}

/** Takes from the owner of folders what the sender's owner may not do there either, inner ones first. */
async function restrict(path: string, root: number, { entries }: Manifest): Promise<void> {
  const strict = [...entries.keys()].filter((index) => {
    const { kind, mode } = entries[index] as Entry;
    return kind === 'folder' && (mode & 0o700) !== 0o700;
  });
  if (strict.length === 0) return;
  const top = await Folder.open(path);
  const folders = new FolderCache(top, (index) => {
    const { parent, name } = entries[index] as Entry;
    return { parent: parent === root ? -1 : parent, name };
  });
  try {
    for (const index of strict.reverse()) {
      if (rootOf(index, entries) !== root) continue;
      const mode = (entries[index] as Entry).mode & ~process.umask();
      await folders.with(index === root ? -1 : index, ({ handle }) => handle.chmod(mode));
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

function recordPath(inbox: string, key: string): string {
  return join(inbox, `.stt-${key}.done`);
}

async function identityOf(path: string): Promise<string> {
  const { dev, ino, mtimeNs } = await lstat(path, { bigint: true });
  return [dev, ino, mtimeNs].join(':');
}
