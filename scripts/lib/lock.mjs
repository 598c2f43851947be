import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './process.mjs';

const POLL_MS = 200;
/** A lock folder without an owner file is between two system calls, unless it is older than this. */
const OWNERLESS_MS = 5_000;

/**
 * Runs `body` while holding the lock folder `path`. `mkdir` is atomic on every platform, and the owner's
 * process id in it lets the next one take over a lock whose holder was killed.
 */
export async function withLock(path, body) {
  mkdirSync(dirname(path), { recursive: true });
  let told = false;
  while (!tryTake(path)) {
    const owner = readOwner(path);
    if (isStale(path, owner)) {
      discard(path, owner);
      continue;
    }
    if (!told)
      say(`setup: waiting for another setup in this checkout (process ${owner?.pid ?? '?'})`);
    told = true;
    await sleep(POLL_MS);
  }
  // A signal skips `finally`; the exit event does not fire on SIGKILL, which is what the owner file is for.
  const release = () => rmSync(path, { recursive: true, force: true });
  const onSignal = (signal) => {
    release();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('exit', release);
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  try {
    return await body();
  } finally {
    process.off('exit', release);
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    release();
  }
}

function tryTake(path) {
  try {
    mkdirSync(path);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(join(path, 'owner.json'), JSON.stringify({ pid: process.pid, host: hostname() }));
  return true;
}

function readOwner(path) {
  try {
    return JSON.parse(readFileSync(join(path, 'owner.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

function isStale(path, owner) {
  if (owner === undefined) {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats !== undefined && Date.now() - stats.mtimeMs > OWNERLESS_MS;
  }
  // A process id means nothing on another machine that shares the folder.
  if (owner.host !== hostname()) return false;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

function discard(path, owner) {
  // Two waiters may both find the lock stale. The rename lets one of them have it; if what it moved is by
  // then somebody's live lock, it goes back.
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (readOwner(aside)?.pid === owner?.pid) {
    rmSync(aside, { recursive: true, force: true });
    return;
  }
  try {
    renameSync(aside, path);
  } catch {
    rmSync(aside, { recursive: true, force: true });
  }
}
