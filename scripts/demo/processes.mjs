// The demo's processes: started, listened to, and waited for, but not for ever.
import { fork, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const STT = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const RELAY = fileURLToPath(new URL('./relay.mjs', import.meta.url));

/** How long the receiver may take to listen, and to end once the sender has. */
const STEP_TIMEOUT_MS = 30_000;

/** Starts one `stt` process; `done` rejects when it ends with anything but 0. */
export function run(children, name, args, { stdout = 'pipe' } = {}) {
  const child = spawn(process.execPath, [STT, ...args], { stdio: ['ignore', stdout, 'inherit'] });
  children.add(child);
  const done = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      children.delete(child);
      if (code === 0) resolve();
      else reject(new Error(`stt ${name} ended with ${signal ?? `code ${code}`}`));
    });
  });
  // Awaited later; a failure in between must not count as unhandled.
  done.catch(() => undefined);
  return { child, done };
}

/** Gathers the JSON lines of a process. */
export function collect({ child, done }, onRecord = () => undefined) {
  const records = [];
  const waiting = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const record = JSON.parse(line);
    records.push(record);
    onRecord(record);
    for (const waiter of waiting) waiter(record);
  });
  return {
    /** Those of a kind so far. */
    all: (event) => records.filter((record) => record.event === event),
    next: (event) =>
      Promise.race([
        new Promise((resolve) =>
          waiting.push((record) => record.event === event && resolve(record)),
        ),
        done.then(() => Promise.reject(new Error(`it ended without saying "${event}"`))),
      ]),
    last: (event) => {
      const record = records.findLast((candidate) => candidate.event === event);
      if (record === undefined) throw new Error(`nothing was reported as ${event}`);
      return record;
    },
  };
}

/**
 * Starts the relay: `port` is where it takes datagrams, `dead` resolves with the signal that ended it. It is killed once
 * `bytes` have passed on their way to `port` and back, which `pass` says.
 */
export async function startRelay(children, onKill) {
  const child = fork(RELAY, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.add(child);
  const dead = new Promise((resolve) => {
    child.once('close', (_code, signal) => {
      children.delete(child);
      resolve(signal);
    });
  });
  const told = new Promise((resolve) => child.once('message', resolve));
  const { port } = await within(told, 'the relay to listen');
  return {
    port,
    dead,
    pass: (target, bytes) => {
      child.once('message', () => {
        onKill();
        child.kill('SIGKILL');
      });
      child.send({ port: target, bytes });
    },
  };
}

export async function within(promise, what) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`waited ${STEP_TIMEOUT_MS / 1_000} s in vain for ${what}`)),
      STEP_TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
