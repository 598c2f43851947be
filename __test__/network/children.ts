import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Takes what has to be done when its owner, such as a test, is over. */
export type Disposer = (dispose: () => void) => void;

/** Starts one of the programs in `processes/`; it ends with what it is for. */
export function startProcess(name: string, dispose: Disposer): ChildProcess {
  const path = fileURLToPath(new URL(`./processes/${name}.mjs`, import.meta.url));
  const child = fork(path, {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  dispose(() => void child.kill('SIGKILL'));
  return child;
}

/** The next message that has `key`; rejects when the process ends first or `limitMs` passes. */
export function message<T>(
  child: ChildProcess,
  key: keyof T & string,
  limitMs: number,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => settle(() => reject(new Error(`no "${key}" within ${limitMs} ms`))),
      limitMs,
    );
    const onMessage = (value: unknown): void => {
      if (typeof value === 'object' && value !== null && key in value)
        settle(() => resolve(value as T));
    };
    const onExit = (code: number | null): void =>
      settle(() => reject(new Error(`the process ended with ${code} before "${key}"`)));
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
      act();
    };
    child.on('message', onMessage);
    child.once('exit', onExit);
  });
}
