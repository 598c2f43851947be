import type { Command } from 'commander';
import type { Shell } from '../help/completion.ts';
import { completionScript } from '../help/completion.ts';
import { describeCommand } from '../help/tree.ts';

/** Prints the script that completes this program in a shell. */
export function completion(shell: Shell, program: Command): void {
  process.stdout.write(completionScript(shell, describeCommand(program)));
}
