import { constants } from 'node:fs';
import { lstat, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from './files.ts';
import type { Owner } from './owner.ts';
import { isThisProcess, lives, ownerText, parseOwner, thisProcess } from './owner.ts';

/** How often a claim is tried again when another process was quicker. */
const MAX_ROUNDS = 16;

/** How long an unfinished file is kept for its sender to return. */
export const KEEP_MS: number = 7 * 24 * 3_600_000;

/** How many unfinished files a folder keeps; the oldest go first. */
export const MAX_KEPT = 32;

/** A name of ours, by its key: whatever else begins like it is somebody's file. */
const KEPT_NAME = /^\.stt-[0-9a-f]{32}(\.[0-9a-f-]+)?\.(part|done)$/;

/** Another living process, or another session of this one, works on that file. */
export class ClaimBusyError extends Error {
  override readonly name = 'ClaimBusyError';
  readonly owner: Owner;

  constructor(owner: Owner) {
    super(`process ${owner.pid} works on it`);
    this.owner = owner;
  }
}

/** A file that this process alone works on, by its name. */
export interface Claim {
  readonly path: string;
  /** Whether it was made just now. */
  readonly fresh: boolean;
}

/** Paths that this process has claimed and not given back. */
const held = new Set<string>();

/** The name of an unfinished file that nobody works on. `key` is 32 hex digits. */
export function freeName(key: string): string {
  return `.stt-${key}.part`;
}

/**
 * Takes the unfinished file with that key, or makes it.
 *
 * The owner stands in the name. Taking over is one rename of a name that only one dead owner, or nobody,
 * can have had, so of two who try one fails; there is no lock that could outlive its holder.
 *
 * @throws {ClaimBusyError} while another living process has it. Of two who begin at once both may be told so.
 */
export async function claim(folder: string, key: string): Promise<Claim> {
  const path = join(folder, `.stt-${key}.${ownerText(thisProcess())}.part`);
  if (held.has(path)) throw new ClaimBusyError(thisProcess());
  held.add(path);
  try {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const fresh = await take(folder, key, path);
      if (fresh === undefined) continue;
      if (await confirm(folder, key, path, fresh)) return { path, fresh };
    }
    throw new ClaimBusyError(thisProcess());
  } catch (error) {
    held.delete(path);
    throw error;
  }
}

/** Leaves the file for whoever comes next. */
export async function unclaim(folder: string, key: string, path: string): Promise<void> {
  try {
    await rename(path, join(folder, freeName(key)));
  } finally {
    held.delete(path);
  }
}

/** The file is gone, or has its final name. */
export function forget(path: string): void {
  held.delete(path);
}

/** Removes what a dead owner has left of a file that has its final name already. */
export async function removeStale(folder: string, key: string): Promise<void> {
  for (const { path } of await claims(folder, key, '').catch(() => []))
    await unlink(path).catch(() => undefined);
}

/** Removes the claims of processes that are no more; those of another machine after a week without a touch. */
export async function sweepClaims(folder: string): Promise<void> {
  const old = Date.now() - KEEP_MS;
  for (const name of await readdir(folder).catch(() => [])) {
    const [, key] = /^\.stt-([0-9a-f]{32})\./.exec(name) ?? [];
    const owner = key === undefined ? undefined : ownerIn(name, key);
    if (owner === undefined || isThisProcess(owner)) continue;
    const path = join(folder, name);
    const touched = await touchedAt(path);
    if (touched === undefined) continue;
    // Nobody touches them while the process lives, so that a time says nothing of another machine's.
    const gone = owner.host === thisProcess().host ? !lives(owner, touched) : touched < old;
    if (gone) await unlink(path).catch(() => undefined);
  }
}

/** Removes what nobody came back for: parts and records past their time, and parts past their number. */
export async function sweep(folder: string): Promise<void> {
  const old = Date.now() - KEEP_MS;
  const kept: { path: string; touched: number }[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!KEPT_NAME.test(name)) continue;
    const path = join(folder, name);
    const touched = await touchedAt(path);
    if (touched === undefined || (await isHeld(name, path, touched))) continue;
    if (touched < old) await unlink(path).catch(() => undefined);
    else if (name.endsWith('.part')) kept.push({ path, touched });
  }
  kept.sort((a, b) => b.touched - a.touched);
  for (const { path } of kept.slice(MAX_KEPT)) await unlink(path).catch(() => undefined);
}

/** True: made; false: taken over; undefined: another was quicker, look again. */
async function take(folder: string, key: string, path: string): Promise<boolean | undefined> {
  const others = await claims(folder, key, path);
  const from = others[0]?.path ?? join(folder, freeName(key));
  try {
    await rename(from, path);
    return false;
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    if (others.length > 0) return undefined;
  }
  try {
    await (
      await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600)
    ).close();
    return true;
  } catch (error) {
    // Left over from a claim of this process that could not be given back.
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Looks again: two who saw nothing may both have made one. False: ours is gone, look again. */
async function confirm(
  folder: string,
  key: string,
  path: string,
  fresh: boolean,
): Promise<boolean> {
  const free = join(folder, freeName(key));
  try {
    const others = await claims(folder, key, path);
    // Dead and superseded: what was taken is the one to go on with.
    if (!fresh) for (const { path: stale } of others) await unlink(stale).catch(() => undefined);
    if (!fresh || (others.length === 0 && (await touchedAt(free)) === undefined)) return true;
    await unlink(path);
    return false;
  } catch (error) {
    if (error instanceof ClaimBusyError)
      await (fresh ? unlink(path) : rename(path, free)).catch(() => undefined);
    throw error;
  }
}

/** Claims of dead owners on that key, but for ours; a living one throws. */
async function claims(folder: string, key: string, mine: string): Promise<{ path: string }[]> {
  const found: { path: string }[] = [];
  for (const name of await readdir(folder)) {
    const owner = ownerIn(name, key);
    const path = join(folder, name);
    if (owner === undefined || path === mine) continue;
    const touched = await touchedAt(path);
    if (touched === undefined) continue;
    if (lives(owner, touched)) throw new ClaimBusyError(owner);
    found.push({ path });
  }
  return found;
}

async function isHeld(name: string, path: string, touched: number): Promise<boolean> {
  const [, key] = /^\.stt-([0-9a-f]{32})\./.exec(name) ?? [];
  const owner = key === undefined ? undefined : ownerIn(name, key);
  if (owner === undefined) return false;
  return isThisProcess(owner) ? held.has(path) : lives(owner, touched);
}

function ownerIn(name: string, key: string): Owner | undefined {
  const prefix = `.stt-${key}.`;
  if (!name.startsWith(prefix) || !name.endsWith('.part')) return undefined;
  return parseOwner(name.slice(prefix.length, -'.part'.length));
}

async function touchedAt(path: string): Promise<number | undefined> {
  return lstat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}
