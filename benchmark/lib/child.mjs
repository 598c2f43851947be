import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROCESS = fileURLToPath(new URL('./process.mjs', import.meta.url));
const START_TIMEOUT_MS = 30_000;
/** Milliseconds that anything may take which does not say otherwise. */
const STEP_TIMEOUT_MS = 60_000;

/** A peer's process. Calls fail when it ends or takes too long. */
export class Child {
  #process;
  #calls = new Map();
  #next = 0;
  #failure;
  #stderr = '';

  /** `inside` is what the process runs under: a program and its arguments. */
  static async start(peerUrl, inside = []) {
    const child = new Child();
    const [execPath, ...before] = [...inside, process.execPath];
    child.#process = fork(PROCESS, [peerUrl], {
      execPath,
      execArgv: before,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    child.#process.stderr.on('data', (data) => {
      child.#stderr = (child.#stderr + data).slice(-4_096);
    });
    child.#process.on('message', (message) => child.#receive(message));
    child.#process.on('error', (error) => child.#fail(error));
    child.#process.on('exit', (code, signal) =>
      child.#fail(new Error(`a peer's process ended: ${signal ?? code} ${child.#stderr.trim()}`)),
    );
    try {
      await child.#wait('ready', 'starting a process', START_TIMEOUT_MS);
    } catch (error) {
      child.stop();
      throw error;
    }
    return child;
  }

  call(name, argument, timeout = STEP_TIMEOUT_MS) {
    if (this.#failure) return Promise.reject(this.#failure);
    this.#next += 1;
    const id = this.#next;
    const answered = this.#wait(id, name, timeout);
    this.#process.send({ id, call: name, argument }, (error) => {
      if (error !== null) this.#fail(error);
    });
    return answered;
  }

  stop() {
    this.#process.kill('SIGKILL');
  }

  #wait(key, what, timeout) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#calls.delete(key);
        reject(new Error(`${what} took more than ${timeout / 1_000} s`));
      }, timeout);
      const settle = (act) => (value) => {
        clearTimeout(timer);
        act(value);
      };
      this.#calls.set(key, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  #receive({ id, ready, result, error }) {
    const key = ready ? 'ready' : id;
    const call = this.#calls.get(key);
    this.#calls.delete(key);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(error));
  }

  #fail(error) {
    this.#failure = error;
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }
}
