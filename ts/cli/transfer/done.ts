import { randomBytes } from 'node:crypto';
import { lstat, open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isPlaceholder } from './files.ts';
import { checkRootName } from './names.ts';

/** A file that is whole under its final name, and whose sender may not know yet. */
export interface DoneRecord {
  readonly name: string;
  readonly bytes: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

interface Stored extends DoneRecord {
  /** Which file it was, and when it was last written: another one of that name is not it. */
  readonly identity: string;
}

/** Longest record that is read. */
const MAX_RECORD = 4_096;

/**
 * Notes, before a file gets its final name, that it will have been received under it. A receiver that is
 * killed before its receipt has arrived can then tell the sender that all is well.
 */
export async function writeDone(
  folder: string,
  key: string,
  file: string,
  record: DoneRecord,
): Promise<void> {
  const stored: Stored = { ...record, identity: await identityOf(file) };
  // Under a name of its own first: a link that somebody has laid under the record's is not followed.
  const temporary = join(folder, `.stt-${key}.${randomBytes(8).toString('hex')}.done`);
  const handle = await open(temporary, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(JSON.stringify(stored));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, doneName(folder, key));
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}

/** What was received for that key, if it still stands there untouched. */
export async function readDone(folder: string, key: string): Promise<DoneRecord | undefined> {
  const path = doneName(folder, key);
  try {
    const text = await readFile(path, 'utf8');
    if (text.length > MAX_RECORD) return undefined;
    const { name, bytes, sha256, identity } = JSON.parse(text) as Partial<Stored>;
    if (typeof name !== 'string' || typeof bytes !== 'number' || typeof sha256 !== 'string')
      return undefined;
    const same = (await identityOf(join(folder, checkRootName(name)))) === identity;
    if (same && /^[0-9a-f]{64}$/.test(sha256)) return { name, bytes, sha256 };
  } catch {
    // None, or none of ours: then nothing is known.
  }
  return undefined;
}

/**
 * Removes the empty file that a receiver took the final name with, on a file system without hard links, and was killed
 * before it moved the whole one there.
 */
export async function removePlaceholder(folder: string, key: string): Promise<void> {
  const noted = doneName(folder, key);
  try {
    const text = await readFile(noted, 'utf8');
    if (text.length > MAX_RECORD) return;
    const { name, identity } = JSON.parse(text) as Partial<Stored>;
    if (typeof name !== 'string') return;
    const path = join(folder, checkRootName(name));
    // An empty file that was received is no placeholder, and one that was there before the note is not ours.
    if ((await identityOf(path)) === identity) return;
    const [before, after] = [await lstat(noted), await lstat(path)];
    if (after.mtimeMs < before.mtimeMs || !(await isPlaceholder(path, noted))) return;
    await unlink(path);
    await unlink(noted);
  } catch {
    // There is none.
  }
}

/** The sender knows, or it does not matter any more. */
export async function removeDone(folder: string, key: string): Promise<void> {
  await unlink(doneName(folder, key)).catch(() => undefined);
}

function doneName(folder: string, key: string): string {
  return join(folder, `.stt-${key}.done`);
}

async function identityOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs } = await lstat(path, { bigint: true });
  return [dev, ino, size, mtimeNs].join(':');
}
