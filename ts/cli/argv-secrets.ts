import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';

/**
 * Secrets that have got into the command line by mistake. Every user of the machine can read it there, so that they are
 * refused, and not repeated on a screen or in a log.
 */

/** Whether a text is a seed itself, in one of its two forms, and not the path or the name of something. */
export function looksLikeSeed(text: string): boolean {
  if (/^[0-9a-f]{64}$/i.test(text)) return true;
  return /^[\w-]{43}$/.test(text) && [/[a-z]/, /[A-Z]/, /\d/].every((kind) => kind.test(text));
}

/** What to say of a seed where something else belongs: a path, or an address, without repeating it. */
export function seedInPlaceOf(what: string): CliError {
  return new CliError(
    ExitCode.Usage,
    `${what} is a seed itself.`,
    'write the seed into a file that only you can read, and name that file; if others may have seen it, make a new one.',
  );
}

/** Options whose values may look like a seed, and are none: a node id, the name of a file. */
const NOT_SECRET = new Set(['--peer-id', '--name']);

/**
 * Looks for secrets in a command line, before any of it is read or repeated: seeds anywhere, the one-time secrets of a
 * pairing, a ticket anywhere and its words behind `pair`.
 *
 * @throws {CliError} which does not repeat them.
 */
export async function refuseSecrets(argv: readonly string[]): Promise<void> {
  for (const [index, argument] of argv.entries()) {
    const [, option = argv[index - 1] ?? '', value = argument] =
      /^(--[\w-]+)=(.*)$/s.exec(argument) ?? [];
    if (NOT_SECRET.has(option) || existsSync(value)) continue;
    if (looksLikeSeed(basename(value.trim())))
      throw seedInPlaceOf(
        'a word of this command line, which every user of this machine can read,',
      );
  }
  const found =
    argv.some((argument) => /stt-pair:/i.test(argument)) ||
    (argv[0] === 'pair' && (await holdsWords(argv.slice(1))));
  if (!found) return;
  throw new CliError(
    ExitCode.Usage,
    'the words or the ticket of a pairing do not go into a command line, where every user of this machine can read them.',
    'run "stt pair HOST" or "stt pair --join", and type or paste them when asked; begin the pairing anew if others may have seen them.',
  );
}

/** As few of the list in a row do not come about by chance: a host is one word. */
const FEWEST_WORDS = 6;

async function holdsWords(argv: readonly string[]): Promise<boolean> {
  const { wordlist } = await import('@scure/bip39/wordlists/english.js');
  let inRow = 0;
  for (const word of argv
    .join(' ')
    .toLowerCase()
    .split(/[^a-z]+/)) {
    inRow = wordlist.includes(word) ? inRow + 1 : 0;
    if (inRow >= FEWEST_WORDS) return true;
  }
  return false;
}
