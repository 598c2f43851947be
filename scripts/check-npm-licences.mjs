// Fails if a package that a user of @seigr/stt installs has a licence outside the list. Development tools
// are not looked at: they are never distributed.
import { readFileSync } from 'node:fs';
import { inRoot } from './lib/paths.mjs';

const ALLOWED = new Set(['MIT', 'ISC', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0']);

const { packages } = JSON.parse(readFileSync(inRoot('package-lock.json'), 'utf8'));
const shipped = Object.entries(packages).filter(([path, entry]) => path !== '' && !entry.dev);
const refused = shipped.filter(([, { license }]) => !isAllowed(license));

/** One of the list, or a choice of which one is. */
function isAllowed(license) {
  const choices = license?.replace(/^\((.*)\)$/, '$1').split(' OR ') ?? [];
  return choices.some((choice) => ALLOWED.has(choice));
}

for (const [path, entry] of refused) {
  console.error(`${path}: licence ${entry.license ?? 'not stated'} is not on the list`);
}
console.log(`npm licences: ${shipped.length - refused.length} passed, ${refused.length} failed`);
process.exitCode = refused.length === 0 ? 0 : 1;
