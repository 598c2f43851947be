// npm run bench: Node to Node over loopback, every peer in two processes of its own, peers in turn
// (A B A B ...) so that a machine that slows down slows them all. Ratios are of medians in one run.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { missing } from './lib/rust.mjs';
import { TARGETS, WORKLOADS, withPeer } from './lib/workloads.mjs';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    bytes: { type: 'string', default: String(1_000_000_000) },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const runs = values.quick ? 3 : Number(values.runs);
const bytes = Math.ceil((values.quick ? 300_000_000 : Number(values.bytes)) / 65_536) * 65_536;
const pings = values.quick ? 3_000 : 10_000;
const setups = values.quick ? 50 : 200;
const moves = values.quick ? 15 : 50;
const connects = values.quick ? 500 : 2_000;

const environment = describe();
log(environment.text);
if (environment.load > 0.5)
  log(`The load is ${environment.load}: what else runs here takes part in every figure.`);

const results = {};
const skipped = [];
for (const workload of WORKLOADS) {
  if (values.only !== undefined && !workload.name.startsWith(values.only)) continue;
  const why = workload.rust === undefined ? undefined : missing();
  if (why !== undefined) {
    log(`${workload.name}: left out, ${why}`);
    skipped.push({ workload: workload.name, why });
    continue;
  }
  const samples = Object.fromEntries(workload.peers.map((peer) => [peer, []]));
  for (let round = 0; round < runs; round += 1) {
    // Forth and back, so that no peer always runs after the same other one.
    const order = round % 2 === 0 ? workload.peers : workload.peers.toReversed();
    for (const peer of order) {
      log(`${workload.name}, round ${round + 1} of ${runs}: ${peer}`);
      samples[peer].push(await withPeer(peer, workload, { bytes, pings, setups, moves, connects }));
    }
  }
  results[workload.name] = Object.fromEntries(
    Object.entries(samples).map(([peer, list]) => [peer, summarize(list)]),
  );
}
const targets = TARGETS.filter(({ workload }) => results[workload] !== undefined).map(judge);
const report = render(results, targets);
log(`\n${report}`);
if (values.write) await writeFile(new URL('./RESULTS.md', import.meta.url), report);
if (values.json)
  console.log(
    JSON.stringify({
      environment,
      runs,
      bytes,
      pings,
      targets: targets.map(({ name, ratio, range, op, target, met }) => ({
        name,
        ratio,
        range,
        op,
        target,
        met,
      })),
      skipped,
      results,
    }),
  );

function describe() {
  const [cpu] = cpus();
  const [load] = loadavg();
  const figures = {
    stt: version(new URL('../package.json', import.meta.url)),
    commit: commit(),
    node: process.version,
    openssl: process.versions.openssl,
    system: `${process.platform} ${process.arch} ${release()}`,
    cpu: cpu.model,
    processors: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: Number(load.toFixed(2)),
  };
  const { stt, node, openssl, system, processors, memoryGiB } = figures;
  const text =
    `stt ${stt} (${figures.commit}), Node ${node}, OpenSSL ${openssl}, ${system}, ` +
    `${cpu.model}, ${processors} processors, ${memoryGiB} GiB; load before the first run ${figures.load}.`;
  return { ...figures, text };
}

function version(url) {
  return JSON.parse(readFileSync(url, 'utf8')).version;
}

/** The commit measured, where this is a checkout and git is there. */
function commit() {
  try {
    const cwd = import.meta.dirname;
    const options = { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return execFileSync('git', ['describe', '--always', '--dirty'], options).trim();
  } catch {
    return 'no checkout';
  }
}

function summarize(samples) {
  const figures = {};
  for (const figure of Object.keys(samples[0])) {
    const sorted = samples.map((sample) => sample[figure]).sort((a, b) => a - b);
    figures[figure] = {
      samples: samples.map((sample) => sample[figure]),
      median: sorted[Math.floor(sorted.length / 2)],
      min: sorted[0],
      max: sorted.at(-1),
    };
  }
  return figures;
}

function judge(target) {
  const figure = (peer) => results[target.workload][peer][target.figure].median;
  const ratio = target.to === undefined ? figure(target.of) : figure(target.of) / figure(target.to);
  const samples = (peer) => results[target.workload][peer][target.figure].samples;
  // Round by round: what slows the machine down slows both.
  const rounds = samples(target.of).map((value, round) =>
    target.to === undefined ? value : value / samples(target.to)[round],
  );
  return {
    ...target,
    range: [Math.min(...rounds), Math.max(...rounds)].map((value) => Number(value.toFixed(3))),
    ratio: Number(ratio.toFixed(3)),
    met: target.op === '>=' ? ratio >= target.target : ratio <= target.target,
  };
}

function render(byWorkload, judged) {
  const lines = [
    '# Benchmark results',
    '',
    `Made by \`npm run bench -- --write${values.quick ? ' --quick' : ''}\`: ${runs} runs of each, medians, ranges in brackets. ${(bytes / 1e6).toFixed(0)} MB a bulk run.`,
    '',
  ];
  lines.push(environment.text, '');
  for (const [workload, peers] of Object.entries(byWorkload)) {
    const figures = Object.keys(Object.values(peers)[0]);
    lines.push(
      `## ${workload}`,
      '',
      `| peer | ${figures.join(' | ')} |`,
      `| --- |${' --- |'.repeat(figures.length)}`,
    );
    for (const [peer, values] of Object.entries(peers)) {
      lines.push(`| ${peer} | ${figures.map((figure) => cell(values[figure])).join(' | ')} |`);
    }
    lines.push('');
  }
  lines.push(
    '## Targets',
    '',
    '| what | figure or ratio | wanted | met |',
    '| --- | --- | --- | --- |',
  );
  for (const { name, ratio, range, op, target, met } of judged)
    lines.push(
      `| ${name} | ${ratio} (${range.join('-')}) | ${op} ${target} | ${met ? 'yes' : 'no'} |`,
    );
  return `${lines.join('\n')}\n`;
}

function cell({ median, min, max }) {
  const digits = Math.abs(median) < 10 ? 2 : Math.abs(median) < 100 ? 1 : 0;
  return `${median.toFixed(digits)} (${min.toFixed(digits)}-${max.toFixed(digits)})`;
}

function log(text) {
  process.stderr.write(`${text}\n`);
}
