import { ExitCode } from '../exit-codes.ts';
import { findErrors } from '../explain/find.ts';
import { pageOf, render } from '../explain/page.ts';
import { nearest, parseQuestion } from '../explain/question.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';

/** How to write one. */
const FORMS =
  'write a code as 0x0101 or 0x0405_03, a name as CONNECTION_TIMEOUT, or reason:timeout; docs/ERRORS.md has all.';

/**
 * `stt explain`: what an error means, what causes it, what to look at, and what to do. `-` finds the errors in stdin, and tells
 * each once.
 *
 * @throws {CliError} when it is no error, or there is none.
 */
export async function explain(query: string, output: Output): Promise<void> {
  if (query === '-') {
    const found = await findErrors(process.stdin);
    if (found.length === 0) throw new CliError(ExitCode.Usage, 'no error of STT in stdin.', FORMS);
    for (const one of found) {
      const page = pageOf(one, true);
      output.result('explanation', { ...page }, render(page));
    }
    return;
  }
  const question = parseQuestion(query);
  if (question === undefined) throw unknown(query);
  const page = pageOf({ question, count: 1 }, false);
  output.result('explanation', { ...page }, render(page));
}

function unknown(query: string): CliError {
  const meant = nearest(query);
  const shown = query.length > 40 ? `${query.slice(0, 40)}…` : query;
  return new CliError(
    ExitCode.Usage,
    `${JSON.stringify(shown)} is no error of STT.`,
    meant.length === 0 ? FORMS : `did you mean ${meant.join(', or ')}? docs/ERRORS.md has all.`,
  );
}
