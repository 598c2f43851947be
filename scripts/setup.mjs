// Makes a checkout ready to run: packages, addon, dist/. Plain Node, because it runs before anything is
// installed. Does nothing, quickly, when nothing has changed; all of its output is on stderr.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { withLock } from './lib/lock.mjs';
import { stateDir } from './lib/paths.mjs';
import { main } from './lib/process.mjs';
import {
  checkCargo,
  checkNode,
  ensureNative,
  ensureTs,
  installDependencies,
} from './lib/steps.mjs';

/** Brings the checkout up to date; safe to call from several processes at once. */
export async function setup() {
  checkNode();
  await withLock(join(stateDir, 'lock'), async () => {
    checkCargo();
    await installDependencies();
    await ensureNative();
    await ensureTs();
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(setup);
