#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { refuseInvitations } from './argv-secrets.ts';
import { ExitCode, exitCodeOf } from './exit-codes.ts';
import { ShownError } from './failure.ts';
import { Output } from './output.ts';
import { createProgram, failureOf } from './program.ts';
import { Signals } from './signals.ts';

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
  const signals = new Signals().watch();
  let output = new Output({
    json: process.argv.includes('--json'),
    quiet: false,
    verbose: false,
    color: true,
  });
  const program = createProgram({
    version: packageVersion(),
    signals,
    onOutput: (chosen) => (output = chosen),
  });
  try {
    await refuseInvitations(process.argv.slice(2));
    await program.parseAsync();
  } catch (error) {
    const failure = failureOf(error);
    if (failure === undefined) return;
    process.exitCode = exitCodeOf(failure);
    if (!(failure instanceof ShownError)) output.failure(failure, process.exitCode);
  }
}

void main();
