import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import { formatSize } from '../../units.ts';
import { malformed } from '../messages.ts';
import { checkName, checkRootName, NameError, quote } from '../names.ts';

/** What a manifest names. */
export type EntryKind = 'folder' | 'file' | 'link';

/** One folder, file or symbolic link. */
export interface Entry {
  readonly kind: EntryKind;
  /** The number of the folder that it is in, which came before it; -1 for what was named to `stt send`. */
  readonly parent: number;
  /** Its name there, in Unicode form C. */
  readonly name: string;
  /** Bytes of a file; 0 for all else. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  /** Permission bits, 0 to 0o777. */
  readonly mode: number;
  /** What a link leads to; empty for all else. */
  readonly target: string;
}

/** The longest manifest that is made, and taken: what it costs in memory is bounded by these two. */
export const MAX_ENTRIES = 1_000_000;
export const MAX_CHARACTERS: number = 64 * 1024 * 1024;

/** Most things that one `stt send` names. */
export const MAX_ROOTS = 1_000;

/** How deep folders may lie in each other. */
const MAX_DEPTH = 200;

/** Longest path from the root on, in bytes, so that it fits the system's own limit in most places. */
const MAX_PATH_BYTES = 3_000;

/** Bits that are sent and taken: no setuid, setgid or sticky. */
export const MODE_BITS = 0o777;

const KINDS: readonly EntryKind[] = ['folder', 'file', 'link'];

/** Why a manifest is not taken, or not sent; shown to both sides. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
  /** What helps, where that is at the receiver. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** Bounds of a manifest. */
export interface ManifestLimits {
  /** Most bytes of all its files. */
  readonly maxBytes: number;
  readonly maxEntries?: number;
}

/**
 * All that one transfer moves, in an order in which folders come before what is in them. Sender and receiver
 * build it by the same checks, so that what is refused is refused before anything moves.
 */
export class Manifest {
  readonly entries: Entry[] = [];
  readonly #limits: ManifestLimits;
  readonly #names = new Set<string>();
  readonly #depths: number[] = [];
  readonly #lengths: number[] = [];
  readonly #hash: Hash = createHash('sha256');
  #characters = 0;
  #roots = 0;
  #bytes = 0;
  #counts = { folder: 0, file: 0, link: 0 };

  constructor(limits: ManifestLimits) {
    this.#limits = limits;
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many there are of that kind. */
  count(kind: EntryKind): number {
    return this.#counts[kind];
  }

  /** 64 hex digits, the same for the same entries in the same order. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /**
   * Takes one more entry and returns its number.
   *
   * @throws {ManifestError} for whatever could not be put beside what is there already, or leads out of the tree.
   * @throws {NameError} for a name that is not the plain name of one file.
   */
  add(entry: Entry): number {
    const { kind, parent, size } = entry;
    const index = this.entries.length;
    const max = this.#limits.maxEntries ?? MAX_ENTRIES;
    if (index >= max) throw new ManifestError(`more than ${max} files and folders`);
    const name = parent < 0 ? checkRootName(entry.name) : checkName(entry.name);
    if (parent < 0) {
      this.#roots += 1;
      if (this.#roots > MAX_ROOTS)
        throw new ManifestError(`more than ${MAX_ROOTS} paths beside each other`);
    } else if (this.entries[parent]?.kind !== 'folder') {
      throw new ManifestError(`${quote(name)} is in something that is no folder`);
    }
    const depth = parent < 0 ? 0 : (this.#depths[parent] as number) + 1;
    const length =
      Buffer.byteLength(name) + (parent < 0 ? 0 : (this.#lengths[parent] as number) + 1);
    if (depth > MAX_DEPTH || length > MAX_PATH_BYTES)
      throw new ManifestError(`the path of ${quote(name)} is too long`);
    this.#characters += name.length + entry.target.length;
    if (this.#characters > MAX_CHARACTERS)
      throw new ManifestError(`more than ${MAX_CHARACTERS} characters of names`);
    // Beside each other on a disk that tells fewer names apart, one would take the other's place.
    const folded = `${parent}/${fold(name)}`;
    if (this.#names.has(folded))
      throw new ManifestError(
        `${quote(this.#pathOf(parent, name))} is there twice, in letters that some disks do not tell apart`,
      );
    if (kind === 'link') {
      const why = linkProblem(depth, entry.target);
      if (why !== undefined)
        throw new ManifestError(`the link ${quote(this.#pathOf(parent, name))} ${why}`);
    }
    if (this.#bytes + size > this.#limits.maxBytes)
      throw new ManifestError(
        `it has more than ${formatSize(this.#limits.maxBytes)} in all; no more is taken`,
        'raise --max-size.',
      );
    this.#names.add(folded);
    this.#bytes += size;
    this.#counts[kind] += 1;
    const taken = { ...entry, name, mode: entry.mode & MODE_BITS };
    this.entries.push(taken);
    this.#depths.push(depth);
    this.#lengths.push(length);
    this.#hash.update(JSON.stringify(encodeEntry(taken)));
    return index;
  }

  /** The names that lead to an entry, its own last. */
  names(index: number): string[] {
    const names: string[] = [];
    for (let at = index; at >= 0; ) {
      const entry = this.entries[at] as Entry;
      names.unshift(entry.name);
      at = entry.parent;
    }
    return names;
  }

  /** The same as a path, with slashes on every system; safe to print, for names are checked. */
  path(index: number): string {
    return this.names(index).join('/');
  }

  /** Numbers of the entries that are in no folder. */
  roots(): number[] {
    return [...this.entries.keys()].filter((index) => this.entries[index]?.parent === -1);
  }

  #pathOf(parent: number, name: string): string {
    return parent < 0 ? name : `${this.path(parent)}/${name}`;
  }
}

/** What names are told apart by on the most lenient of disks. */
export function fold(name: string): string {
  return name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC');
}

/**
 * Why a link may not be made `depth` folders below its root; undefined if it may.
 *
 * Dots lead up only at the beginning, where every folder above is a real one. After a name it goes down, through
 * links that keep to the same rule. So it cannot come out of the tree, whatever the other links are.
 */
export function linkProblem(depth: number, target: string): string | undefined {
  if (target === '' || target.length > MAX_PATH_BYTES) return 'leads nowhere';
  if (target.startsWith('/')) return 'leads to an absolute path';
  const parts = target.replace(/\/+$/, '').split('/');
  let up = 0;
  while (parts[up] === '..') up += 1;
  // At depth 1 it stands in the root folder itself, from which nothing leads up.
  if (up > Math.max(0, depth - 1) || depth === 0) return 'leads out of the tree';
  for (const part of parts.slice(up)) {
    if (part === '..') return 'leads up after a name';
    if (part === '.' && parts.length === up + 1) continue;
    try {
      if (checkName(part) !== part) return 'is not in Unicode form C';
    } catch (error) {
      if (error instanceof NameError) return `leads nowhere: ${error.message}`;
      throw error;
    }
  }
  return undefined;
}

/** An entry, as it goes over the wire. */
export function encodeEntry({
  kind,
  parent,
  name,
  size,
  modified,
  mode,
  target,
}: Entry): unknown[] {
  return [KINDS.indexOf(kind), parent, name, size, modified, mode, target];
}

/** Reads what {@link encodeEntry} wrote; bounds are checked, meaning is {@link Manifest.add}'s affair. */
export function decodeEntry(value: unknown): Entry {
  if (!Array.isArray(value) || value.length !== 7) throw malformed('manifest');
  const [kind, parent, name, size, modified, mode, target] = value as unknown[];
  const known = typeof kind === 'number' ? KINDS[kind] : undefined;
  if (known === undefined || typeof name !== 'string' || typeof target !== 'string')
    throw malformed('manifest');
  if (!isCount(parent, -1) || !isCount(size) || !isCount(modified) || !isCount(mode))
    throw malformed('manifest');
  if (modified > MAX_TIME || mode > 0xffff || (known !== 'file' && size !== 0))
    throw malformed('manifest');
  if (known !== 'link' && target !== '') throw malformed('manifest');
  return { kind: known, parent, name, size, modified, mode, target };
}

/** The last moment that a `Date` can hold. */
const MAX_TIME = 8.64e15;

function isCount(value: unknown, least = 0): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least;
}
