// `npm run build:ts`: dist/, always.
import { join } from 'node:path';
import { withLock } from './lib/lock.mjs';
import { stateDir } from './lib/paths.mjs';
import { main } from './lib/process.mjs';
import { buildTs, checkNode, installDependencies } from './lib/steps.mjs';

await main(async () => {
  checkNode();
  await withLock(join(stateDir, 'lock'), async () => {
    await installDependencies();
    await buildTs();
  });
});
