// `npm run build:native [-- flags of napi build]`: the addon, always.
import { join } from 'node:path';
import { withLock } from './lib/lock.mjs';
import { stateDir } from './lib/paths.mjs';
import { main } from './lib/process.mjs';
import { buildNative, checkNode, installDependencies } from './lib/steps.mjs';

await main(async () => {
  checkNode();
  await withLock(join(stateDir, 'lock'), async () => {
    await installDependencies();
    await buildNative(process.argv.slice(2));
  });
});
