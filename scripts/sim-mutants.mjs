// Proves the simulator: each patch of crates/stt-sim/mutants breaks the core in one place, and must make the scenario
// that it names fail. `--check` only sees whether the patches apply, which CI does; the rest takes a build for each.
// `node scripts/sim-mutants.mjs [--check] [NAME...]`

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from './lib/paths.mjs';

const folder = inRoot('crates', 'stt-sim', 'mutants');
const work = inRoot('target', 'sim-mutants');
const tree = join(work, 'tree');
const SEEDS = '3';
/** A run that hangs is a failure, too. */
const TIMEOUT_MS = 300_000;

const names = process.argv.slice(2).filter((argument) => argument !== '--check');
const check = process.argv.includes('--check');
const mutants = readdirSync(folder)
  .filter((file) => file.endsWith('.patch'))
  .map((file) => file.replace(/\.patch$/, ''))
  .filter((name) => names.length === 0 || names.includes(name))
  .sort();

function git(args) {
  return spawnSync('git', args, { cwd: tree, encoding: 'utf8' });
}

/** A copy of the sources, outside of any repository, so that `git apply` looks at nothing else. */
function copy() {
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  git(['init', '--quiet']);
  for (const entry of ['Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', 'crates']) {
    cpSync(inRoot(entry), join(tree, entry), { recursive: true, preserveTimestamps: true });
  }
}

function cargo(args) {
  // A shared target folder, and no link-time optimisation: a mutant costs the build of two crates.
  const env = {
    ...process.env,
    CARGO_TARGET_DIR: join(work, 'target'),
    CARGO_PROFILE_RELEASE_LTO: 'off',
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
  };
  return spawnSync('cargo', args, { cwd: tree, env, encoding: 'utf8', timeout: TIMEOUT_MS * 4 });
}

function sim(scenario) {
  const binary = join(work, 'target', 'release', 'stt-sim');
  const args = ['--scenario', scenario, '--seeds', SEEDS, '--out', join(work, 'out')];
  return spawnSync(binary, args, { encoding: 'utf8', timeout: TIMEOUT_MS });
}

function judge(name) {
  const patch = join(folder, `${name}.patch`);
  const scenario = /^scenario: (.+)$/m.exec(readFileSync(patch, 'utf8'))?.[1];
  if (scenario === undefined) return `names no scenario`;
  const applied = git(['apply', ...(check ? ['--check'] : []), patch]);
  if (applied.status !== 0) return `does not apply: ${applied.stderr.trim()}`;
  if (check) return undefined;
  try {
    const built = cargo(['build', '--release', '--quiet', '--locked', '-p', 'stt-sim']);
    if (built.status !== 0) return `does not build: ${built.stderr.trim().slice(-2000)}`;
    const run = sim(scenario);
    if (run.status === 0) return `survived ${scenario}`;
    const why = /FAILED .*/.exec(run.stderr)?.[0] ?? `ended with ${run.status ?? run.signal}`;
    console.log(`killed   ${name}: ${why.slice(0, 160)}`);
    return undefined;
  } finally {
    git(['apply', '--reverse', patch]);
  }
}

copy();
let failed = 0;
for (const name of mutants) {
  const problem = judge(name);
  if (problem !== undefined) {
    failed += 1;
    console.log(`PROBLEM  ${name}: ${problem}`);
  }
}
console.log(
  `${mutants.length} mutants, ${failed} problems${check ? ' (only applied, not run)' : ''}`,
);
process.exitCode = failed === 0 && mutants.length > 0 ? 0 : 1;
