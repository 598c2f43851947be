import { spawn, spawnSync } from 'node:child_process';
import { root } from './paths.mjs';

/** A failure whose message is all that the person at the terminal needs: printed without a stack. */
export class SetupError extends Error {
  name = 'SetupError';
}

/** All chatter goes to stderr: stdout belongs to results, which may be JSON. */
export const say = (line) => void process.stderr.write(`${line}\n`);

/** `3.2 s` since `start`, a value of `performance.now()`. */
export const since = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;

/**
 * Runs a program in the root folder and resolves to its exit code; a signal counts as 128 + its number.
 * Its stdout joins stderr unless `stdio` says otherwise.
 */
export function run(command, args, { stdio = ['ignore', 2, 2], env = {}, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio, env: { ...process.env, ...env } });
    // A Ctrl-C reaches the whole foreground group; a SIGTERM reaches only us, so hand it on.
    const forward = (signal) => child.kill(signal);
    process.on('SIGTERM', forward);
    process.on('SIGHUP', forward);
    const ignore = () => {};
    process.on('SIGINT', ignore);
    const settle = () => {
      process.off('SIGTERM', forward);
      process.off('SIGHUP', forward);
      process.off('SIGINT', ignore);
    };
    child.once('error', (error) => {
      settle();
      reject(error);
    });
    child.once('close', (code, signal) => {
      settle();
      resolve(code ?? 128 + (signalNumbers[signal] ?? 0));
    });
  });
}

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGABRT: 6, SIGTERM: 15 };

/** Runs Node on a script in the root folder. */
export const runNode = (script, args, options) => run(process.execPath, [script, ...args], options);

/** What `command --version` prints, or undefined if there is no such program. */
export function versionOf(command) {
  const { status, stdout } = spawnSync(command, ['--version'], { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** Runs the body of a script; a `SetupError` becomes one plain message and exit code 1. */
export async function main(body) {
  try {
    const code = await body();
    if (typeof code === 'number') process.exitCode = code;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`\nsetup: ${error.message}`);
    process.exitCode = 1;
  }
}
