// What the core costs in instructions for each byte, counted by callgrind, which counts the same on a machine that does
// other things as well. `npm run counts` compares with benchmark/counts.json and fails on a change of more than 5 %;
// `-- --write` takes what it counted as the new figures: the commit says why they changed.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inRoot } from './lib/paths.mjs';

const COMMITTED = inRoot('benchmark', 'counts.json');
const TOLERANCE = 0.05;
/** The difference of these two runs, in MiB, has no handshake in it and no window that grows. */
const [LESS, MORE] = [8, 24];

/** A function of crates/stt-sim/examples/counts.rs, and the part of it that calls it. */
const PARTS = [
  { name: 'parse', part: 'parse', what: 'outer checks and frames of a packet' },
  { name: 'seal', part: 'crypto', what: 'AES-256-GCM, one packet of 1452 bytes' },
  { name: 'open', part: 'crypto', what: 'the same, opened' },
  { name: 'send', part: 'transfer', what: 'data packets built, sealed and noted' },
  { name: 'receive', part: 'transfer', what: 'data packets checked, opened, put into a stream' },
  {
    name: 'ack',
    part: 'transfer',
    what: 'acknowledgements and credit taken in, for each byte of data',
  },
  { name: 'read', part: 'transfer', what: 'bytes taken by the application' },
];

const write = process.argv.includes('--write');
const program = build();
const folder = mkdtempSync(join(tmpdir(), 'stt-counts-'));
try {
  const counted = Object.fromEntries(PARTS.map(({ name, part }) => [name, perByte(name, part)]));
  const found = { ...conditions(), instructionsPerByte: counted };
  if (write) {
    writeFileSync(COMMITTED, `${JSON.stringify(found, undefined, 2)}\n`);
    console.log(table(counted, counted));
  } else {
    process.exitCode = compare(JSON.parse(readFileSync(COMMITTED, 'utf8')), found);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Optimised as a release is, but with the names that callgrind looks for. */
function build() {
  const target = ['-p', 'stt-sim', '--example', 'counts'];
  const cargo = ['rustc', '--quiet', '--locked', '--release', ...target, '--', '-C', 'strip=none'];
  execFileSync('cargo', cargo, { cwd: inRoot(), stdio: 'inherit' });
  return join(process.env.CARGO_TARGET_DIR ?? inRoot('target'), 'release', 'examples', 'counts');
}

function perByte(name, part) {
  const [less, more] = [LESS, MORE].map((mib) => count(name, part, mib));
  return Number(((more - less) / ((MORE - LESS) * 2 ** 20)).toFixed(4));
}

function count(name, part, mib) {
  const out = join(folder, 'out');
  const { status, stderr, error } = spawnSync(
    'valgrind',
    [
      '--tool=callgrind',
      `--callgrind-out-file=${out}`,
      `--toggle-collect=*counted_${name}*`,
      ...[program, part, String(mib)],
    ],
    { encoding: 'utf8' },
  );
  if (error !== undefined)
    throw new Error('valgrind is needed for this (apt-get install valgrind)', { cause: error });
  if (status !== 0) throw new Error(`valgrind ended with ${status}:\n${stderr}`);
  const instructions = Number(/^(?:summary|totals): (\d+)/m.exec(readFileSync(out, 'utf8'))?.[1]);
  if (!(instructions > 0)) throw new Error(`nothing was counted in counted_${name}`);
  return instructions;
}

/** What the figures hold for: another compiler, or a processor with other instructions, gives others. */
function conditions() {
  const rustc = execFileSync('rustc', ['--version'], { encoding: 'utf8' }).trim();
  // Valgrind has no instructions beyond AVX2.
  const flags =
    /^flags\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' ') ?? [];
  const cpu = [
    process.arch,
    ...['aes', 'pclmulqdq', 'avx2', 'bmi2'].filter((flag) => flags.includes(flag)),
  ].join(' ');
  return { rustc, cpu };
}

function compare(committed, found) {
  console.log(table(committed.instructionsPerByte, found.instructionsPerByte));
  for (const condition of ['rustc', 'cpu'])
    if (committed[condition] !== found[condition]) {
      console.log(
        `not judged: counted with ${found[condition]}, committed are those of ${committed[condition]}`,
      );
      return 0;
    }
  const changed = PARTS.filter(({ name }) => {
    const [before, now] = [committed, found].map(
      ({ instructionsPerByte }) => instructionsPerByte[name],
    );
    return !(Math.abs(now / before - 1) <= TOLERANCE);
  }).map(({ name }) => name);
  if (changed.length === 0) return 0;
  console.log(
    `more than ${TOLERANCE * 100} % have changed: ${changed.join(', ')}. If that is meant: npm run counts -- --write, and say why in the commit.`,
  );
  return 1;
}

function table(before, now) {
  return PARTS.map(({ name, what }) => {
    const change = ((now[name] / before[name] - 1) * 100).toFixed(1);
    return `${name.padEnd(8)} ${now[name].toFixed(3).padStart(8)} instructions a byte  ${change.padStart(6)} %  ${what}`;
  }).join('\n');
}
