// Whether the benchmark can run at all: a small workload with two peers that need nothing installed. What it measures is
// looked at by people; here it only has to be there.
import { spawnSync } from 'node:child_process';
import { inRoot } from './lib/paths.mjs';

const WORKLOAD = 'requests';
const PEERS = ['stt', 'net'];

const ran = spawnSync(
  process.execPath,
  [inRoot('benchmark', 'run.mjs'), '--smoke', '--json', '--only', WORKLOAD],
  { encoding: 'utf8', timeout: 60_000 },
);
const line = ran.stdout.trimEnd().split('\n').at(-1);
const { targets, skipped, results } = ran.status === 0 ? JSON.parse(line) : {};
const checks = {
  'ends well': ran.status === 0,
  'leaves nobody out': skipped?.length === 0,
  'judges only what ran': targets?.length === 0,
  ...Object.fromEntries(
    PEERS.map((peer) => [
      `measures ${peer}`,
      Object.values(results?.[WORKLOAD]?.[peer] ?? { none: { median: 0 } }).every(
        ({ median }) => median > 0,
      ),
    ]),
  ),
};
const failed = Object.keys(checks).filter((name) => !checks[name]);
for (const name of failed) console.error(`bench: does not hold: ${name}`);
if (failed.length > 0) console.error(ran.error ?? ran.stderr);
console.log(`bench: ${Object.keys(checks).length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
