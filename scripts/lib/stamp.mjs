import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { root, stateDir } from './paths.mjs';

/**
 * A digest of every file under the given paths and of `extra`. By content and not by time: a checkout, a
 * branch switch or a restored cache changes times without changing what would be built.
 * @param {readonly string[]} paths files and folders
 * @param {{ skip?: (path: string) => boolean, extra?: readonly string[] }} [options]
 */
export function digest(paths, { skip = () => false, extra = [] } = {}) {
  const hash = createHash('sha256');
  for (const path of paths) {
    for (const file of walk(path, skip)) {
      hash.update(`${relative(root, file).split(sep).join('/')}\0`);
      hash.update(createHash('sha256').update(readFileSync(file)).digest());
    }
  }
  for (const value of extra) hash.update(`\0${value}`);
  return hash.digest('hex');
}

function* walk(path, skip) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || skip(path)) return;
  if (!stats.isDirectory()) {
    yield path;
    return;
  }
  for (const name of readdirSync(path).sort()) yield* walk(join(path, name), skip);
}

const stampFile = (name) => join(stateDir, `${name}.stamp`);

/** The digest that the named step was last carried out for, if it ever was. */
export function readStamp(name) {
  try {
    return readFileSync(stampFile(name), 'utf8');
  } catch {
    return undefined;
  }
}

/** Records that the named step has been carried out for this digest. */
export function writeStamp(name, value) {
  writeFileAtomic(stampFile(name), value);
}

/** Writes beside the target and renames, so that a reader never sees half a file. */
export function writeFileAtomic(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}
