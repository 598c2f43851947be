import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';
import { restoreTerminal, sayNow } from './terminal.ts';

/** How long the clean end of a command may take before the process just ends. */
const END_GRACE_MS = 3_000;

/** How long SIGTERM lets what is under way come to its end, unless `--drain` says otherwise. */
export const DEFAULT_DRAIN_MS = 5_000;

const EXIT_CODES = { SIGINT: ExitCode.Interrupt, SIGTERM: ExitCode.Terminate } as const;

/**
 * What a process is asked for from outside. SIGINT ends it now, and cleanly. SIGTERM first lets what is under
 * way come to its end, and begins nothing more. A second signal ends the process without ado.
 */
export class Signals {
  readonly #draining = new AbortController();
  readonly #ending = new AbortController();
  #drainMs = 0;

  /** Aborts when nothing more shall begin; what is under way may still end well. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** Aborts when everything shall end. Its reason is the {@link CliError} to end with. */
  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  /** Says that this command drains, and for how long in milliseconds; others end at once. */
  drainFor(milliseconds: number): void {
    this.#drainMs = milliseconds;
  }

  /** Begins to take the process's signals. */
  watch(): this {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        // A second signal means now.
        if (this.draining.aborted) endNow(signal);
        this.#on(signal);
      });
    }
    return this;
  }

  #on(signal: 'SIGINT' | 'SIGTERM'): void {
    const exitCode = EXIT_CODES[signal];
    const reason = new CliError(exitCode, `ended by ${signal}.`, 'run the same command again.');
    this.#draining.abort(reason);
    const end = (): void => {
      this.#ending.abort(reason);
      setTimeout(() => {
        // Whatever it is that does not come to an end: the command has said nothing yet.
        sayNow(`${reason.message}\nTry: ${reason.hint}\n`);
        endNow(signal);
      }, END_GRACE_MS).unref();
    };
    if (signal === 'SIGTERM' && this.#drainMs > 0) setTimeout(end, this.#drainMs).unref();
    else end();
  }
}

/**
 * Ends the process by the signal itself, as it would have ended without a handler: `process.exit` waits for every thread,
 * and one may be held by the disk, or by a named pipe into which nobody writes.
 */
function endNow(signal: 'SIGINT' | 'SIGTERM'): void {
  restoreTerminal();
  if (process.platform === 'win32') process.exit(EXIT_CODES[signal]);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // The first process of a container is not ended by a signal that it does not handle.
  process.exit(EXIT_CODES[signal]);
}
