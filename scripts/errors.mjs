// `npm run errors [-- OPTIONS]`: the fault matrix. Each of the errors by its true fault, seen by every side that
// must see it, and every recovery at work. `--help` lists the options.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { inRoot, root } from './lib/paths.mjs';
import { main, run, say } from './lib/process.mjs';

await main(async () => {
  const options = process.argv.slice(2);
  if (!options.includes('--list') && !options.includes('--help')) buildHostile();
  const hooks = new URL('./lib/typescript-hooks.mjs', import.meta.url).href;
  const argv = ['--import', hooks, '--enable-source-maps', '--no-warnings'];
  const program = inRoot('__test__', 'errors', 'matrix', 'main.ts');
  return run(process.execPath, [...argv, program, ...options], { stdio: 'inherit' });
});

/**
 * The peer that holds the seed and breaks the rules, in the build that `cargo test` shares; without a toolchain its
 * rows are skipped.
 */
function buildHostile() {
  if (!existsSync(inRoot('crates', 'stt-hostile'))) return;
  try {
    const argv = ['build', '--quiet', '--locked', '-p', 'stt-hostile'];
    execFileSync('cargo', argv, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  } catch (error) {
    say(`errors: the hostile peer was not built (${error.message}); its rows are skipped`);
  }
}
