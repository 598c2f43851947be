// Before publishing: every folder of npm/ holds exactly its addon, built for its own processor and system,
// under the version of the root package. `napi artifacts` sorts by file name alone.
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from './lib/paths.mjs';

/** A stripped release addon: far below is not the whole of it, far above has its symbols. */
const SIZE = { least: 200 * 1024, most: 16 * 1024 * 1024 };

const version = JSON.parse(readFileSync(inRoot('package.json'), 'utf8')).version;
let [passed, failed] = [0, 0];
for (const folder of readdirSync(inRoot('npm')).sort()) {
  const problem = problemOf(inRoot('npm', folder), folder);
  if (problem === undefined) passed += 1;
  else failed += 1;
  console.log(
    `${problem === undefined ? 'ok    ' : 'FAILED'} npm/${folder}${problem ? `: ${problem}` : ''}`,
  );
}
console.log(`artifacts: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

function problemOf(path, folder) {
  const manifest = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  if (manifest.version !== version) return `version ${manifest.version}, the root has ${version}`;
  const addons = readdirSync(path).filter((name) => name.endsWith('.node'));
  if (addons.length !== 1 || addons[0] !== manifest.main) {
    return `expected ${manifest.main} and no other addon, found ${addons.join(', ') || 'none'}`;
  }
  const file = join(path, manifest.main);
  const { size } = statSync(file);
  if (size < SIZE.least || size > SIZE.most) return `${size} bytes is outside the expected range`;
  const found = binaryKind(file);
  const wanted = folder.split('-').slice(0, 2).join('-');
  return found === wanted ? undefined : `the file is for ${found ?? 'no known system'}`;
}

/** `linux-x64` and so on, read from the ELF, Mach-O or PE header. */
function binaryKind(file) {
  const head = Buffer.alloc(4096);
  const fd = openSync(file, 'r');
  readSync(fd, head, 0, head.length, 0);
  closeSync(fd);
  if (head.readUInt32BE(0) === 0x7f454c46) {
    return { 62: 'linux-x64', 183: 'linux-arm64' }[head.readUInt16LE(18)];
  }
  if (head.readUInt32LE(0) === 0xfeedfacf) {
    return { 16777223: 'darwin-x64', 16777228: 'darwin-arm64' }[head.readUInt32LE(4)];
  }
  if (head.toString('latin1', 0, 2) === 'MZ') {
    const pe = head.readUInt32LE(0x3c);
    return { 34404: 'win32-x64', 43620: 'win32-arm64' }[head.readUInt16LE(pe + 4)];
  }
  return undefined;
}
