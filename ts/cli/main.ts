#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { ExitCode, exitCodeOf } from './exit-codes.ts';
import { CliError } from './failure.ts';
import { Output } from './output.ts';
import { createProgram, failureOf, UsageShown } from './program.ts';

const SIGNAL_EXITS = { SIGINT: ExitCode.Interrupt, SIGTERM: ExitCode.Terminate } as const;

/** How long the clean end that a signal asks for may take before the process just ends. */
const SIGNAL_GRACE_MS = 3_000;

function packageVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest
      ? manifest.version
      : undefined;
  return typeof version === 'string' ? version : 'unknown';
}

function watchSignals(): AbortSignal {
  const controller = new AbortController();
  for (const [signal, exitCode] of Object.entries(SIGNAL_EXITS) as [
    keyof typeof SIGNAL_EXITS,
    ExitCode,
  ][]) {
    process.on(signal, () => {
      // A second signal means now.
      if (controller.signal.aborted) process.exit(exitCode);
      controller.abort(
        new CliError(exitCode, `ended by ${signal}.`, 'run the same command again.'),
      );
      setTimeout(() => process.exit(exitCode), SIGNAL_GRACE_MS).unref();
    });
  }
  return controller.signal;
}

/** A reader that went away (`stt ... | head`) ends the command quietly, as other tools do. */
function endOnBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? ExitCode.Done);
      throw error;
    });
  }
}

async function main(): Promise<void> {
  endOnBrokenPipe();
  const signal = watchSignals();
  let output = new Output({
    json: process.argv.includes('--json'),
    quiet: false,
    verbose: false,
    color: true,
  });
  const program = createProgram({
    version: packageVersion(),
    signal,
    onOutput: (chosen) => (output = chosen),
  });
  try {
    await program.parseAsync();
  } catch (error) {
    const failure = failureOf(error);
    if (failure === undefined) return;
    process.exitCode = exitCodeOf(failure);
    if (!(failure instanceof UsageShown)) output.failure(failure, process.exitCode);
  }
}

void main();
