// What was measured, and on what.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { PACKAGES } from './peers.mjs';

/** From which the rest of the machine takes part in every figure. */
export const BUSY = 0.5;

export function describe() {
  const [cpu] = cpus();
  const [load] = loadavg();
  const figures = {
    stt: version(new URL('../../package.json', import.meta.url)),
    commit: commit(),
    node: process.version,
    openssl: process.versions.openssl,
    system: `${process.platform} ${process.arch} ${release()}`,
    cpu: cpu.model,
    processors: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    tcp: tcp(),
    load: Number(load.toFixed(2)),
    packages: Object.fromEntries(PACKAGES.map((name) => [name, installed(name)])),
    crates: crates(),
  };
  const { stt, node, openssl, system, processors, memoryGiB, packages } = figures;
  const named = (versions) =>
    Object.entries(versions)
      .map((pair) => pair.join(' '))
      .join(', ');
  const text =
    `stt ${stt} (${figures.commit}), Node ${node}, OpenSSL ${openssl}, ${system}, ` +
    `${cpu.model}, ${processors} processors, ${memoryGiB} GiB, TCP by ${figures.tcp}; load before the first run ${figures.load}. ` +
    `Packages: ${named(packages)}. Crates: ${named(figures.crates)}.`;
  return { ...figures, text };
}

function version(url) {
  return JSON.parse(readFileSync(url, 'utf8')).version;
}

function installed(name) {
  try {
    return version(new URL(`../node_modules/${name}/package.json`, import.meta.url));
  } catch {
    return 'not installed';
  }
}

/** How the kernel's TCP holds back by itself. */
function tcp() {
  try {
    return readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim();
  } catch {
    return 'its default';
  }
}

/** The peers in Rust, as their lock file has them. */
function crates() {
  const lock = readFileSync(new URL('../rust/Cargo.lock', import.meta.url), 'utf8');
  const found = lock.matchAll(/name = "(quinn|quinn-udp|s2n-quic|aws-lc-rs)"\nversion = "(.*)"/g);
  return Object.fromEntries([...found].map(([, name, is]) => [name, is]));
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
