// `npm test [-- cargo | vitest | types]`: set-up, then every runner, each to its end, then one line for each.
import { spawn } from 'node:child_process';
import { root } from './lib/paths.mjs';
import { main, SetupError, say, since } from './lib/process.mjs';
import { setup } from './setup.mjs';

const VITEST = 'node_modules/vitest/vitest.mjs';

/**
 * All crates; then the cryptography again with its other provider, which has to give the same answers to every
 * vector. The workspace has the first one only: of two features that are both on, one wins.
 */
const CARGO_TESTS = [
  ['--workspace'],
  ['-p', 'stt-crypto', '--no-default-features', '--features', 'rustcrypto,passphrase'],
];

const runners = {
  cargo: cargoTests,
  vitest: () => vitestTests(['--project', 'main', '--project', 'websocket']),
  types: () => vitestTests(['--project', 'types']),
};

await main(async () => {
  const wanted = process.argv.slice(2);
  const unknown = wanted.find((name) => !(name in runners));
  if (unknown !== undefined) {
    throw new SetupError(`no runner "${unknown}"; there are ${Object.keys(runners).join(', ')}.`);
  }
  await setup();
  const results = [];
  for (const [name, runner] of Object.entries(runners)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const start = performance.now();
    say(`\n== ${name}`);
    results.push({ name, ...(await runner()), time: since(start) });
  }
  console.log('');
  for (const { name, time } of results) console.log(`${name} took ${time}`);
  for (const { name, passed, failed, skipped } of results) {
    const tail = skipped > 0 ? `, ${skipped} skipped` : '';
    console.log(`${name}: ${passed} passed, ${failed} failed${tail}`);
  }
  return results.some((result) => result.failed > 0) ? 1 : 0;
});

async function cargoTests() {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const what of CARGO_TESTS) {
    for (const [name, count] of Object.entries(await cargoTest(what))) sum[name] += count;
  }
  return sum;
}

/** Runs cargo's tests and adds up the closing line of every test binary. */
function cargoTest(what) {
  return new Promise((resolve, reject) => {
    const args = ['test', ...what, '--locked', '--no-fail-fast'];
    const child = spawn('cargo', args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      process.stdout.write(chunk);
      text += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      const sum = { passed: 0, failed: 0, skipped: 0 };
      for (const line of text.matchAll(
        /^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored/gm,
      )) {
        sum.passed += Number(line[1]);
        sum.failed += Number(line[2]);
        sum.skipped += Number(line[3]);
      }
      // A crate that does not compile, or a test binary that dies, closes with no line of its own.
      if (code !== 0 && sum.failed === 0) sum.failed = 1;
      resolve(sum);
    });
  });
}

/** Runs vitest with its own reporter beside one that hands the counts back over the IPC channel. */
function vitestTests(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [VITEST, 'run', ...args], {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    let counts;
    child.on('message', (message) => {
      if (message?.sttCounts !== undefined) counts = message.sttCounts;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      const sum = counts ?? { passed: 0, failed: 0, skipped: 0 };
      // An unhandled error outside of any test, or a run without a test, is a failure too.
      if ((code !== 0 || sum.passed === 0) && sum.failed === 0) sum.failed = 1;
      resolve(sum);
    });
  });
}
