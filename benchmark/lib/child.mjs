import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROCESS = fileURLToPath(new URL('./process.mjs', import.meta.url));
const STEP_TIMEOUT_MS = 120_000;

/** A peer's process. Calls fail when it ends or takes too long. */
export class Child {
  #process;
  #calls = new Map();
  #next = 0;
  #failure;

  static async start(peerUrl) {
    const child = new Child();
    child.#process = fork(PROCESS, [peerUrl], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    const ready = new Promise((resolve) => child.#calls.set('ready', { resolve, reject: resolve }));
    child.#process.on('message', (message) => child.#receive(message));
    child.#process.on('exit', (code, signal) =>
      child.#fail(new Error(`a peer's process ended: ${signal ?? code}`)),
    );
    await ready;
    return child;
  }

  call(name, argument) {
    if (this.#failure) return Promise.reject(this.#failure);
    this.#next += 1;
    const id = this.#next;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${name} took more than ${STEP_TIMEOUT_MS / 1_000} s`)),
        STEP_TIMEOUT_MS,
      );
      const settle = (act) => (value) => {
        clearTimeout(timer);
        act(value);
      };
      this.#calls.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.#process.send({ id, call: name, argument });
    });
  }

  stop() {
    this.#process.kill('SIGKILL');
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
