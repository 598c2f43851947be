import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';

/**
 * Asks on the terminal without showing what is typed. `signal` ends it with its reason: a signal may be sent to the process
 * by others than the terminal.
 */
export async function promptSecret(question: string, signal?: AbortSignal): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  // After the terminal is in raw mode: what is typed at the sight of the question is read by it.
  process.stderr.write(question);
  try {
    return await lines.question('', signal === undefined ? {} : { signal });
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : givenUp(error);
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}

/** Asks on the terminal, showing what is typed. */
export async function prompt(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: true });
  try {
    return await lines.question(question);
  } catch (error) {
    throw givenUp(error);
  } finally {
    lines.close();
  }
}

/** A terminal in raw mode makes no signal of Ctrl-C, nor an end of Ctrl-D: readline rejects with either. */
function givenUp(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'AbortError') return error;
  return new CliError(
    ExitCode.Interrupt,
    'ended at the prompt; nothing was changed.',
    'run the same command again.',
    { cause: error },
  );
}
