import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { access, chmod, copyFile, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { looksLikeSeed, refuseSeedInUse, seedInPlaceOf } from './argv-secrets.ts';
import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';
import { configFolder } from './places.ts';
import { promptSecret } from './prompt.ts';

/** A seed is 32 bytes: 64 hex digits or 43 base64url characters. Anything longer is not a seed file. */
const MAX_SEED_FILE = 4_096;

/** Where the seed lives when neither `--seed-file` nor `STT_SEED_FILE` names a file. */
export function defaultSeedFile(): string {
  return join(configFolder(), 'seed');
}

/**
 * The shared seed as text, from `--seed-file`, `STT_SEED_FILE`, the default file, or a prompt on a
 * terminal; never from an argument, which every user of the machine could read.
 */
export async function loadSeed(option: string | undefined): Promise<string> {
  const named = option ?? process.env['STT_SEED_FILE'];
  const path = named ?? defaultSeedFile();
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (named === undefined && isMissing(error)) return promptForSeed(path);
    refuseSeed(path, 'the name of the seed file');
    throw new CliError(
      ExitCode.Configuration,
      `cannot read the seed file ${path}: ${reasonOf(error)}.`,
      'make one with "stt keygen", or name another with --seed-file.',
      { cause: error },
    );
  }
  try {
    await checkPermissions(file, path, 'seed file');
    return await readSeedText(file, path, 'make one with "stt keygen"');
  } finally {
    await file.close();
  }
}

/**
 * The seed in a file that has been named or made before, as text.
 *
 * @throws {CliError} when it cannot be read, others can read it, or it holds no seed.
 */
export async function readSecretFile(path: string, what: string, remedy: string): Promise<string> {
  const file = await open(path, 'r').catch((error: unknown) => {
    refuseSeed(path, `the name of the ${what}`);
    throw new CliError(
      ExitCode.Configuration,
      `cannot read the ${what} ${path}: ${reasonOf(error)}.`,
      `${remedy}, or name another.`,
      { cause: error },
    );
  });
  try {
    await checkPermissions(file, path, what);
    return await readSeedText(file, path, remedy);
  } finally {
    await file.close();
  }
}

/**
 * The seed in a file, as text; undefined where there is no file.
 *
 * @throws {CliError} when others can read it, or it holds no seed.
 */
export async function readSeedIfAny(path: string): Promise<string | undefined> {
  try {
    await access(path);
  } catch (error) {
    refuseSeed(path, 'the name of the seed file');
    if (isMissing(error)) return undefined;
  }
  return await readSecretFile(path, 'seed file', 'make one with "stt keygen"');
}

/**
 * Writes a new seed file that only its owner can read. An existing file is never replaced: with `setAside` it gets
 * another name.
 */
export async function writeSeedFile(
  path: string,
  seed: string,
  { setAside = false }: { readonly setAside?: boolean } = {},
): Promise<void> {
  refuseSeed(path, 'the name of the seed file');
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  if (!setAside) return await writeNew(path, seed);
  const stamp = new Date().toISOString().replace(/[:.]/g, '');
  // The old one has its second name, and the new one is whole, before the place is taken over.
  await copyFile(path, `${path}.${stamp}`, constants.COPYFILE_EXCL);
  const fresh = `${path}.${stamp}.new`;
  try {
    await writeNew(fresh, seed);
    await rename(fresh, path);
  } catch (error) {
    await unlink(fresh).catch(() => undefined);
    throw error;
  }
}

async function writeNew(path: string, seed: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    throw new CliError(
      ExitCode.LocalFile,
      `${path} exists already.`,
      'a lost seed cannot be had again, so it is not overwritten: move it away, or name another file with --out.',
    );
  }
  try {
    await file.writeFile(`${seed}\n`);
    await file.sync();
  } catch (error) {
    // Half a seed in its place would keep the next one away.
    await unlink(path).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
  // A umask can only take rights away, but a file system without modes may have given some.
  await chmod(path, 0o600);
}

/** A seed in the place of its file is not named in a message. */
function refuseSeed(path: string, what: string): void {
  if (looksLikeSeed(path)) throw seedInPlaceOf(what);
}

async function checkPermissions(file: FileHandle, path: string, what: string): Promise<void> {
  if (process.platform === 'win32') return;
  const stat = await file.stat();
  // A pipe or a terminal handed over as /dev/fd/N has no readers but its holders.
  if (!stat.isFile()) return;
  if ((stat.mode & 0o077) !== 0) {
    throw new CliError(
      ExitCode.Configuration,
      `the ${what} ${path} can be read by others (mode ${(stat.mode & 0o777).toString(8)}).`,
      `chmod 600 ${path}; if others may have seen it, make a new seed.`,
    );
  }
}

async function readSeedText(file: FileHandle, path: string, remedy: string): Promise<string> {
  const buffer = Buffer.alloc(MAX_SEED_FILE + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  const text = buffer.toString('latin1', 0, length).trim();
  buffer.fill(0);
  if (length > MAX_SEED_FILE || !/^[\w-]+$/.test(text)) {
    throw new CliError(
      ExitCode.Configuration,
      `${path} does not hold a seed.`,
      `it has to be one line of 64 hex digits or 43 base64url characters; ${remedy}.`,
    );
  }
  refuseSeedInUse(text, process.argv.slice(2));
  return text;
}

async function promptForSeed(path: string): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new CliError(
      ExitCode.Configuration,
      `there is no seed: ${path} does not exist.`,
      'make one with "stt keygen", copy it to the other machine, or name it with --seed-file.',
    );
  }
  const seed = (await promptSecret('Seed (hex or base64url): ')).trim();
  refuseSeedInUse(seed, process.argv.slice(2));
  return seed;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) {
    if (error.code === 'ENOENT') return 'no such file';
    if (error.code === 'EACCES') return 'permission denied';
  }
  return error instanceof Error ? error.message : String(error);
}
