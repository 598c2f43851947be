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
  return /^[\w-]{43}$/.test(text) && isMixed(text);
}

/** Whether a seed may be somewhere in a text, of which no honest one is that long. */
function mayHoldSeed(text: string): boolean {
  return /[0-9a-f]{64}/i.test(text) || (text.match(/[\w-]{43,}/g) ?? []).some(isMixed);
}

/** Random bytes as base64url have letters of both cases, and digits; words have not. */
function isMixed(text: string): boolean {
  return [/[a-z]/, /[A-Z]/, /\d/].every((kind) => kind.test(text));
}

/** What to say of a seed where something else belongs: a path, or an address, without repeating it. */
export function seedInPlaceOf(what: string): CliError {
  return new CliError(
    ExitCode.Usage,
    `${what} is a seed itself.`,
    'write the seed into a file that only you can read, and name that file; if others may have seen it, make a new one.',
  );
}

/** Options whose values may look like a seed, and be none: a node id, the name of a file. {@link refuseSeedInUse} knows better. */
const NOT_SECRET = new Set(['--peer-id', '--name']);

const IN_ARGV = 'a word of this command line, which every user of this machine can read,';

/** A shorter text may be part of a word by chance. */
const SHORTEST_SEED = 16;

/**
 * Looks for a seed that is in use, in the command line that is to use it: where a name or a node id is asked for, what looks like
 * a seed may be none, but this one is. It would go to the peer, and to the screens of both.
 *
 * @throws {CliError} which does not repeat it.
 */
export function refuseSeedInUse(seed: string, argv: readonly string[]): void {
  const bytes = Buffer.from(seed, /^(?:[0-9a-f]{2})+$/i.test(seed) ? 'hex' : 'base64url');
  if (bytes.length < SHORTEST_SEED) return;
  const [hex, base64] = [bytes.toString('hex'), bytes.toString('base64url')];
  if (argv.some((word) => word.toLowerCase().includes(hex) || word.includes(base64)))
    throw seedInPlaceOf(IN_ARGV);
}

/**
 * Looks for secrets in a command line, before any of it is read or repeated: seeds anywhere, the one-time secrets of a
 * pairing, a ticket anywhere and its words behind `pair`.
 *
 * @throws {CliError} which does not repeat them.
 */
export async function refuseSecrets(argv: readonly string[]): Promise<void> {
  for (const [index, argument] of argv.entries()) {
    const before = argv[index - 1] ?? '';
    // Nothing stands between it and the name of an option or a command: neither is so long, nor has both cases.
    const isName = index === 0 || (argument.startsWith('-') && !NOT_SECRET.has(before));
    if (isName && mayHoldSeed(argument.split('=', 1)[0] ?? '') && !existsSync(argument))
      throw seedInPlaceOf(IN_ARGV);
    const [, option = before, value = argument] = /^(--[\w-]+)=(.*)$/s.exec(argument) ?? [];
    if (NOT_SECRET.has(option) || existsSync(value)) continue;
    // A port or a host may be written behind it: SEED:80, and SEED:localhost:80.
    if (basename(value.trim()).split(/[:=,]/).some(looksLikeSeed)) throw seedInPlaceOf(IN_ARGV);
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
