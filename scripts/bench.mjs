// `npm run bench [-- OPTIONS]`: set-up, what only the benchmark's peers need, then the benchmark; with `--prepare` all but
// the benchmark.
import { existsSync } from 'node:fs';
import { BUILD } from '../benchmark/lib/rust.mjs';
import { inRoot, npmCli } from './lib/paths.mjs';
import { main, run, runNode, SetupError, say } from './lib/process.mjs';
import { digest, readStamp, writeStamp } from './lib/stamp.mjs';
import { setup } from './setup.mjs';

await main(async () => {
  await setup();
  await installPeers();
  await buildPeers();
  if (process.argv.includes('--prepare')) return 0;
  return runNode(inRoot('benchmark', 'run.mjs'), process.argv.slice(2), { stdio: 'inherit' });
});

/** The peers in Rust (`benchmark/rust`), a workspace of their own; nothing but Linux measures them. */
async function buildPeers() {
  if (process.platform !== 'linux') return;
  say('bench: building the peers in Rust (minutes, the first time)');
  const code = await run('cargo', BUILD);
  if (code !== 0)
    throw new SetupError(`cargo build in benchmark/rust ended with exit code ${code}.`);
}

/** The benchmark has a lockfile of its own, so that its peers are no dependencies of the package. */
async function installPeers() {
  const lock = digest([inRoot('benchmark', 'package-lock.json')]);
  if (readStamp('benchmark') === lock && existsSync(inRoot('benchmark', 'node_modules'))) return;
  say("bench: installing the peers' packages from benchmark/package-lock.json");
  const cwd = inRoot('benchmark');
  // What the lockfile has, and nothing else is taken. `npm ci` would not do: it refuses a lockfile without the binaries
  // of other platforms, and of some peers those were never published.
  const args = [
    'install',
    '--no-save',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  const cli = npmCli();
  const code = await (cli === undefined ? run('npm', args, { cwd }) : runNode(cli, args, { cwd }));
  if (code !== 0) throw new SetupError(`npm install in benchmark/ ended with exit code ${code}.`);
  writeStamp('benchmark', lock);
}
