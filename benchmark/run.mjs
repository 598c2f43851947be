// npm run bench: every peer in two processes of its own, peers in turn (A B A B ...) so that a machine that slows down
// slows them all. Ratios are of medians in one run.

import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { BUSY, describe } from './lib/environment.mjs';
import { render } from './lib/report.mjs';
import { judge, named } from './lib/targets.mjs';
import { FULL, QUICK, SMOKE, SMOKE_PEERS } from './lib/times.mjs';
import { WORKLOADS } from './lib/workloads.mjs';

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    smoke: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    peers: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const TIMES = values.smoke ? SMOKE : values.quick ? QUICK : FULL;
/** Runs of what a target names; of others, which are there for scale, fewer. */
const RUNS = Number(values.runs ?? (values.smoke ? 1 : 3));
const RUNS_FOR_SCALE = Math.min(RUNS, 2);
const CHOSEN = values.smoke ? SMOKE_PEERS : values.peers?.split(',');

const started = performance.now();
const environment = describe();
log(environment.text);
if (environment.load > BUSY)
  log(`The load is ${environment.load}: what else runs here takes part in every figure.`);

const results = {};
const skipped = [];
for (const workload of WORKLOADS) {
  if (values.only !== undefined && !values.only.some((name) => workload.name.startsWith(name)))
    continue;
  await runWorkload(workload);
}
const targets = judge(results);
const seconds = elapsed();
const about = { environment, results, targets, skipped, runs: RUNS, seconds, quick: values.quick };
log(`\n${render(about)}`);
if (values.write) await write(about);
if (values.json)
  console.log(JSON.stringify({ environment, runs: RUNS, seconds, targets, skipped, results }));

async function runWorkload(workload) {
  const { name } = workload;
  const why = await workload.unfit?.();
  if (why !== undefined) {
    skip({ workload: name, why });
    return;
  }
  const wanted = named(name, { quick: values.quick });
  let peers = workload.peers;
  if (CHOSEN !== undefined) peers = peers.filter((peer) => CHOSEN.includes(peer));
  else if (values.quick) peers = peers.filter((peer) => wanted.has(peer));
  const samples = new Map(peers.map((peer) => [peer, []]));
  const most = (values.quick ? workload.quickRounds : undefined) ?? workload.rounds ?? RUNS;
  for (let round = 0; round < Math.min(RUNS, most); round += 1) {
    // Forth and back, so that no peer always runs after the same other one.
    const order = round % 2 === 0 ? peers : peers.toReversed();
    for (const peer of order) {
      if (!samples.has(peer) || (round >= RUNS_FOR_SCALE && !wanted.has(peer))) continue;
      log(`${elapsed().toFixed(0)} s: ${name}, round ${round + 1}: ${peer}`);
      const figures = await attempt(workload, peer);
      if (figures !== undefined) samples.get(peer).push(figures);
      // What it did before it failed stays; it is not tried again.
      else if (samples.get(peer).length === 0) samples.delete(peer);
    }
  }
  if (samples.size === 0) return;
  results[name] = Object.fromEntries([...samples].map(([peer, list]) => [peer, summarize(list)]));
}

/** One peer that fails is no reason to lose the others. It may fail once: some do now and then. */
async function attempt(workload, peer) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await workload.run(peer, TIMES);
    } catch (error) {
      const why = reason(error);
      if (tries === 0) {
        log(`${workload.name}, ${peer} failed, and is tried once more: ${why}`);
        continue;
      }
      skip({ workload: workload.name, peer, why });
      return undefined;
    }
  }
}

function skip(what) {
  skipped.push(what);
  log(`left out: ${[what.workload, what.peer, what.why].filter(Boolean).join(', ')}`);
}

/** The first line that says something. */
function reason({ message }) {
  return message
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('at '))
    .slice(0, 2)
    .join(' ')
    .slice(0, 300);
}

function summarize(samples) {
  const figures = {};
  for (const figure of Object.keys(samples[0])) {
    const values = samples.map((sample) => sample[figure]);
    const sorted = values.toSorted((a, b) => a - b);
    const [below, above] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
    figures[figure] = {
      samples: values,
      median: (below + above) / 2,
      min: sorted[0],
      max: sorted.at(-1),
    };
  }
  return figures;
}

async function write(about) {
  // Large, and no part of what is measured.
  const { draw } = await import('./lib/plot.mjs');
  const drawing = await draw(about.results);
  const plot = drawing === undefined ? undefined : 'plots/results.svg';
  if (plot !== undefined) {
    await mkdir(new URL('plots/', import.meta.url), { recursive: true });
    await writeFile(new URL(plot, import.meta.url), drawing);
  }
  await writeFile(new URL('RESULTS.md', import.meta.url), render({ ...about, plot }));
}

function elapsed() {
  return (performance.now() - started) / 1_000;
}

function log(text) {
  process.stderr.write(`${text}\n`);
}
