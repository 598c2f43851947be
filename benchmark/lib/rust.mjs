// The peers of benchmark/rust: a process that serves and one that sends, each on a core of its own where the system can
// say so, steered by their arguments, heard by their lines of JSON.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../rust/', import.meta.url));
const TIMEOUT_MS = 60_000;

/** How the peers are built; cargo has nothing to do where they are. */
export const BUILD = ['build', '--release', '--locked', '--manifest-path', `${FOLDER}Cargo.toml`];

/** Whether there is something to run, or why not. */
export function missing() {
  if (process.platform !== 'linux') return 'the Rust peers are measured on Linux';
  return existsSync(program())
    ? undefined
    : 'benchmark/rust is not built: npm run bench -- --prepare';
}

/** Bytes from one process to another: what the sender and the receiver say of it. */
export async function transfer(peer, bytes) {
  const server = new Side(1, ['serve', peer]);
  try {
    const { target } = await server.line();
    const client = new Side(0, ['send', peer, target, String(bytes)]);
    try {
      // The first of two is to warm up.
      await client.line();
      const send = await client.line();
      await server.line();
      return { send, receive: await server.line() };
    } finally {
      client.stop();
    }
  } finally {
    server.stop();
  }
}

/** So many sessions, so many at a time. */
export async function connects(peer, count, atOnce) {
  const server = new Side(1, ['serve', peer]);
  try {
    const { target } = await server.line();
    const client = new Side(0, ['connect', peer, target, String(count), String(atOnce)]);
    try {
      return await client.line();
    } finally {
      client.stop();
    }
  } finally {
    server.stop();
  }
}

/** What a primitive reaches by itself: MB/s by the bytes at a time. */
export async function alone(primitive, bytes) {
  const process = new Side(0, ['alone', primitive, String(bytes)]);
  try {
    return (await process.line())['MB/s'];
  } finally {
    process.stop();
  }
}

function program() {
  const target = process.env.CARGO_TARGET_DIR ?? `${FOLDER}target`;
  return `${target}/release/stt-bench-peers`;
}

/** `taskset` puts a process on one core; without it, or with one core, the system places it. */
const pinned = availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0;

/** One process of them; `core` is the one that it is kept on, if on one. */
export class Side {
  #process;
  #lines;
  #error = '';

  constructor(core, args) {
    const [command, ...rest] =
      pinned && core !== undefined
        ? ['taskset', '-c', String(core), program(), ...args]
        : [program(), ...args];
    this.#process = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process.stderr.on('data', (data) => {
      this.#error += data;
    });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** The next thing it says. */
  async line() {
    let timer;
    const late = new Promise((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('a peer in Rust says nothing')), TIMEOUT_MS);
    });
    try {
      const { value, done } = await Promise.race([this.#lines.next(), late]);
      if (done) throw new Error(`a peer in Rust ended: ${this.#error.trim()}`);
      return JSON.parse(value);
    } finally {
      clearTimeout(timer);
    }
  }

  stop() {
    this.#process.kill('SIGKILL');
  }
}
