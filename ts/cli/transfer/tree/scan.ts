import { isUtf8 } from 'node:buffer';
import type { Stats } from 'node:fs';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { ExitCode, systemCode } from '../../exit-codes.ts';
import { CliError } from '../../failure.ts';
import type { Output } from '../../output.ts';
import { NameError, quote } from '../names.ts';
import { FolderCache, NOFOLLOW } from './folders.ts';
import type { Entry } from './manifest.ts';
import { linkProblem, Manifest, ManifestError, MODE_BITS } from './manifest.ts';

/** How many files are looked at at once. */
const LOOKS = 32;

/** Opens what is there and no link; a pipe that was put there meanwhile must not stop everything. */
const READ = constants.O_RDONLY | NOFOLLOW | (constants.O_NONBLOCK ?? 0);

/** Something that is not sent, and why. */
export interface Skipped {
  readonly path: string;
  readonly why: string;
  /** Whether it should have been sent, and could not be read. */
  readonly lost: boolean;
}

/** What is to be sent, as it was when it was looked at. */
export class Tree {
  readonly manifest: Manifest;
  readonly skipped: readonly Skipped[];
  /** Real paths of what was named to `stt send`, in order: what tells the transfer from others. */
  readonly paths: readonly string[];
  /** What is called otherwise on this disk than in the manifest. */
  readonly #realNames: ReadonlyMap<number, string>;
  readonly #rootPaths: ReadonlyMap<number, string>;
  readonly #folders: FolderCache;

  constructor(scan: Scan, paths: readonly string[]) {
    this.manifest = scan.manifest;
    this.skipped = scan.skipped;
    this.paths = paths;
    this.#realNames = scan.realNames;
    this.#rootPaths = scan.rootPaths;
    this.#folders = new FolderCache(undefined, (index) => {
      const path = this.#rootPaths.get(index);
      return path === undefined ? this.#stepTo(index) : { path };
    });
  }

  /** Opens a file for reading: no link in the place of it or of a folder above, and nothing but a file. */
  async open(index: number): Promise<FileHandle> {
    const path = this.#rootPaths.get(index);
    const { parent, name } = this.#stepTo(index);
    const file = await (path === undefined
      ? this.#folders.with(parent, (folder) => open(folder.at(name), READ))
      : open(path, READ));
    if ((await file.stat()).isFile()) return file;
    await file.close();
    throw noFile();
  }

  /**
   * The first `size` bytes of a short file. Read on this thread, as short files are written: the calls are short,
   * and there are many.
   */
  async read(index: number, size: number): Promise<Buffer> {
    const path = this.#rootPaths.get(index);
    const { parent, name } = this.#stepTo(index);
    if (path !== undefined) return readShort(path, size);
    return this.#folders.with(parent, async (folder) => readShort(folder.at(name), size));
  }

  async close(): Promise<void> {
    await this.#folders.close();
  }

  #stepTo(index: number): { parent: number; name: string } {
    const { parent, name } = this.manifest.entries[index] as Entry;
    return { parent, name: this.#realNames.get(index) ?? name };
  }
}

function readShort(path: string, size: number): Buffer {
  const file = openSync(path, READ);
  try {
    if (!fstatSync(file).isFile()) throw noFile();
    const bytes = Buffer.allocUnsafe(size);
    for (let at = 0; at < size; ) {
      const read = readSync(file, bytes, at, size - at, at);
      if (read === 0) throw new CliError(ExitCode.LocalFile, 'it became shorter', 'send it again.');
      at += read;
    }
    return bytes;
  } finally {
    closeSync(file);
  }
}

function noFile(): CliError {
  return new CliError(ExitCode.LocalFile, 'it is no file any more', 'send it again.');
}

/**
 * Looks at everything that is to be sent. Nothing is opened but folders, and no link is followed but one that was
 * named itself.
 *
 * @throws a Node system error for what was named and is not there, a {@link CliError} for what cannot be sent.
 */
export async function scan(
  paths: readonly string[],
  name: string | undefined,
  output: Output,
): Promise<Tree> {
  const found = new Scan(output);
  const real: string[] = [];
  for (const path of paths) {
    const at = await realpath(path);
    if (real.includes(at)) {
      throw new CliError(
        ExitCode.Usage,
        `${quote(path)} is given twice.`,
        'name each file and folder once.',
      );
    }
    real.push(at);
    // "." and ".." have a name only once they are resolved.
    const own = /(^|[/\\])\.{0,2}[/\\]*$/.test(path) ? basename(at) : basename(resolve(path));
    await found.root(at, name ?? own, await stat(at));
  }
  return new Tree(found, real);
}

class Scan {
  readonly manifest: Manifest = new Manifest({ maxBytes: Number.MAX_SAFE_INTEGER });
  readonly skipped: Skipped[] = [];
  readonly realNames: Map<number, string> = new Map();
  readonly rootPaths: Map<number, string> = new Map();
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  async root(path: string, name: string, stats: Stats): Promise<void> {
    if (!stats.isDirectory() && !stats.isFile())
      return this.#skip(path, 'is neither file nor folder');
    if (name === '')
      throw new CliError(
        ExitCode.LocalFile,
        `${quote(path)} has no name of its own.`,
        'give it one with --name, or name what is in it.',
      );
    const index = this.#add(path, { ...describe(stats), parent: -1, name, target: '' });
    this.rootPaths.set(index, path);
    if (stats.isDirectory()) await this.#folder(path, index, 0);
  }

  async #folder(path: string, parent: number, depth: number): Promise<void> {
    const names: string[] = [];
    try {
      for (const bytes of await readdir(path, { encoding: 'buffer' })) {
        const name = bytes.toString();
        // As text it is another name, under which nothing is there, or something else.
        if (isUtf8(bytes)) names.push(name);
        else this.#lose(join(path, name), 'its name is not UTF-8');
      }
    } catch (error) {
      return this.#lose(path, messageOf(error));
    }
    names.sort();
    for (let at = 0; at < names.length; at += LOOKS) {
      const some = names.slice(at, at + LOOKS);
      const looks = await Promise.all(
        some.map((name) => lstat(join(path, name)).catch((error: unknown) => messageOf(error))),
      );
      for (const [n, name] of some.entries()) {
        const child = join(path, name);
        const stats = looks[n] as Stats | string;
        if (typeof stats === 'string') this.#lose(child, stats);
        else if (stats.isSymbolicLink()) await this.#link(child, parent, name, depth + 1, stats);
        else if (stats.isFile() || stats.isDirectory()) {
          const index = this.#add(child, { ...describe(stats), parent, name, target: '' });
          if (stats.isDirectory()) await this.#folder(child, index, depth + 1);
        } else this.#skip(child, `is ${kindOf(stats)}`);
      }
    }
  }

  async #link(
    path: string,
    parent: number,
    name: string,
    depth: number,
    stats: Stats,
  ): Promise<void> {
    let bytes: Buffer;
    try {
      bytes = await readlink(path, { encoding: 'buffer' });
    } catch (error) {
      return this.#lose(path, messageOf(error));
    }
    if (!isUtf8(bytes)) return this.#lose(path, 'is a link whose target is not UTF-8');
    const target = bytes.toString().normalize('NFC');
    const problem = linkProblem(depth, target);
    if (problem !== undefined) return this.#skip(path, `is a link that ${problem}`);
    this.#add(path, { ...describe(stats), kind: 'link', size: 0, parent, name, target });
  }

  #add(path: string, entry: Entry): number {
    try {
      const index = this.manifest.add(entry);
      const { name } = this.manifest.entries[index] as Entry;
      if (name !== entry.name) this.realNames.set(index, entry.name);
      return index;
    } catch (error) {
      if (!(error instanceof NameError || error instanceof ManifestError)) throw error;
      throw new CliError(
        ExitCode.LocalFile,
        `${quote(path)} cannot be sent: ${error.message}.`,
        'rename or leave it out, or pack the folder: "tar c DIR | stt send - PEER --name DIR.tar".',
        { cause: error },
      );
    }
  }

  /** Leaves out what is not sent of any tree. */
  #skip(path: string, why: string): void {
    this.#leaveOut({ path, why, lost: false });
  }

  /** Leaves out what cannot be read, which is no success. */
  #lose(path: string, why: string): void {
    this.#leaveOut({ path, why, lost: true });
  }

  #leaveOut(skipped: Skipped): void {
    const { path, why } = skipped;
    this.skipped.push(skipped);
    this.#output.event('skipped', { path, why });
    this.#output.note(`skipped ${quote(path)}: ${why}`);
  }
}

function describe(stats: Stats): Pick<Entry, 'kind' | 'size' | 'modified' | 'mode'> {
  return {
    kind: stats.isDirectory() ? 'folder' : 'file',
    size: stats.isFile() ? stats.size : 0,
    modified: Math.max(0, Math.trunc(stats.mtimeMs)),
    mode: stats.mode & MODE_BITS,
  };
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'a pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

function messageOf(error: unknown): string {
  return systemCode(error) ?? (error instanceof Error ? error.message : String(error));
}
