#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { refuseSecrets } from './argv-secrets.ts';
import { ExitCode, exitCodeOf } from './exit-codes.ts';
import { describeFailure, ShownError } from './failure.ts';
import { Output } from './output.ts';
import { createProgram, failureOf } from './program.ts';
import { Signals } from './signals.ts';
import { sayNow, unblockTerminals } from './terminal.ts';
import { isStdoutOwned } from './transfer/stdout-part.ts';

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

/**
 * A reader that went away (`stt ... | head`) ends the command quietly, as other tools do; a disk that is full ends it
 * with a word. What stdout is owned by is told by its own writes.
 */
function endOnBrokenOutput(): void {
  process.stderr.on('error', () => process.exit(process.exitCode ?? ExitCode.LocalFile));
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (isStdoutOwned()) return;
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? ExitCode.Done);
    const { headline, hint } = describeFailure(error);
    sayNow(`stdout: ${headline}\nTry: ${hint}\n`);
    process.exit(ExitCode.LocalFile);
  });
}

async function main(): Promise<void> {
  unblockTerminals();
  endOnBrokenOutput();
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
    await refuseSecrets(process.argv.slice(2));
    await program.parseAsync();
  } catch (error) {
    const failure = failureOf(error);
    if (failure === undefined) return;
    process.exitCode = exitCodeOf(failure);
    if (!(failure instanceof ShownError)) output.failure(failure, process.exitCode);
  }
}

void main();
