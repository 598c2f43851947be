// Proves the simulator: each patch of crates/stt-sim/mutants breaks the core in one place, and must make the scenario
// that it names fail, on the profile that it names, where the unbroken core passes it. `--check` only sees whether the
// patches apply, which CI does; the rest takes a build of two crates for each.
// `node scripts/sim-mutants.mjs [--check] [NAME...]`

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from './lib/paths.mjs';

const folder = inRoot('crates', 'stt-sim', 'mutants');
const work = inRoot('target', 'sim-mutants');
const tree = join(work, 'tree');
const SEEDS = '2';
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

/**
 * A copy of the sources, outside of any repository, so that `git apply` looks at nothing else. Its files are new, which
 * makes cargo build them anew and not take what the last mutant of an earlier run left.
 */
function copy() {
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  git(['init', '--quiet']);
  for (const entry of ['Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', 'crates']) {
    cpSync(inRoot(entry), join(tree, entry), { recursive: true });
  }
}

/** Only dependencies are optimised in full: a mutant then costs seconds. */
const BUILD = [
  'build --release --quiet --locked -p stt-sim',
  '--config profile.release.lto="off" --config profile.release.codegen-units=16',
  '--config profile.release.opt-level=1 --config profile.release.incremental=true',
  '--config profile.release.package."*".opt-level=3',
]
  .join(' ')
  .split(' ');

function build() {
  const env = { ...process.env, CARGO_TARGET_DIR: join(work, 'target') };
  const built = spawnSync('cargo', BUILD, { cwd: tree, env, encoding: 'utf8' });
  return built.status === 0 ? undefined : `does not build: ${built.stderr.trim().slice(-2000)}`;
}

function sim(place) {
  const binary = join(work, 'target', 'release', 'stt-sim');
  const [scenario, profile] = place.split(' on ');
  const only = profile === undefined ? [] : ['--profile', profile];
  const args = ['--scenario', scenario, ...only, '--seeds', SEEDS, '--out', join(work, 'out')];
  const run = spawnSync(binary, args, { encoding: 'utf8', timeout: TIMEOUT_MS });
  if (run.status === 0) return undefined;
  return /FAILED .*/.exec(run.stderr)?.[0] ?? `ended with ${run.status ?? run.signal}`;
}

/** Where a patch says that it must be noticed: `NAME`, or `NAME on PROFILE`. */
function placeOf(name) {
  const patch = readFileSync(join(folder, `${name}.patch`), 'utf8');
  return /^scenario: (.+)$/m.exec(patch)?.[1];
}

function judge(name) {
  const patch = join(folder, `${name}.patch`);
  const place = placeOf(name);
  if (place === undefined) return 'names no scenario';
  const applied = git(['apply', ...(check ? ['--check'] : []), patch]);
  if (applied.status !== 0) return `does not apply: ${applied.stderr.trim()}`;
  if (check) return undefined;
  try {
    const problem = build();
    if (problem !== undefined) return problem;
    const why = sim(place);
    if (why === undefined) return `survived ${place}`;
    console.log(`killed   ${name}: ${why.slice(0, 200)}`);
    return undefined;
  } finally {
    git(['apply', '--reverse', patch]);
  }
}

/** What the unbroken core fails proves nothing. */
function baseline() {
  const problem = build();
  if (problem !== undefined) return [problem];
  const places = new Set(mutants.map(placeOf).filter((place) => place !== undefined));
  return [...places].flatMap((place) => sim(place) ?? []);
}

copy();
const broken = check ? [] : baseline();
for (const problem of broken) console.log(`PROBLEM  without a mutant: ${problem}`);
let failed = broken.length;
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
