// Runs every examples/*.mjs as a reader would, with no arguments, and fails if one fails or hangs.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { inRoot, root } from './lib/paths.mjs';
import { main } from './lib/process.mjs';
import { setup } from './setup.mjs';

const LIMIT_MS = 60_000;

await main(async () => {
  await setup();
  const examples = readdirSync(inRoot('examples')).filter((name) => name.endsWith('.mjs'));
  let failed = 0;
  for (const name of examples) {
    console.log(`== examples/${name}`);
    const { status, error } = spawnSync(process.execPath, [inRoot('examples', name)], {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      timeout: LIMIT_MS,
    });
    if (status === 0) continue;
    failed += 1;
    console.log(error === undefined ? `exit code ${status}` : String(error));
  }
  console.log(`examples: ${examples.length - failed} passed, ${failed} failed`);
  return failed === 0 && examples.length > 0 ? 0 : 1;
});
