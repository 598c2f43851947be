import { hkdfSync, randomBytes } from 'node:crypto';
import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { parseNodeId } from '../../connect.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';

/** Bytes of a one-time secret: twelve words of BIP39, the last of which holds a checksum. */
const SECRET_BYTES = 16;
const WORDS = 12;
const TICKET_SCHEME = 'stt-pair:';

/** What the showing side shows: all that a stranger would need, for as long as the pairing lasts. */
export interface Invitation {
  readonly secret: Uint8Array;
  /** Where the showing side is, `HOST:PORT`, the likeliest first; empty where only words were typed. */
  readonly addresses: readonly string[];
  /** The node id of its temporary endpoint; undefined where only words were typed. */
  readonly nodeId?: string;
}

/** A new one-time secret, 128 bits of chance. */
export function makeSecret(): Uint8Array {
  return randomBytes(SECRET_BYTES);
}

/** The shared seed of the temporary endpoints: the secret is used for nothing else, and this seed by nobody else. */
export function seedOf(secret: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, '', 'stt pairing 1', 32));
}

/** The secret as twelve words. */
export function wordsOf(secret: Uint8Array): string {
  return entropyToMnemonic(secret, wordlist);
}

/** The invitation as one line to copy, or to scan: `stt-pair:SECRET@NODEID?ADDRESS&ADDRESS`. */
export function ticketOf({ secret, nodeId = '', addresses }: Invitation): string {
  const text = Buffer.from(secret).toString('base64url');
  return `${TICKET_SCHEME}${text}@${nodeId}?${addresses.map(encodeURIComponent).join('&')}`;
}

/**
 * What a person has typed or pasted: twelve words or a ticket.
 *
 * @throws {CliError} which says what is wrong with it, without repeating it.
 */
export function parseInvitation(text: string): Invitation {
  const line = text.trim();
  return line.toLowerCase().startsWith(TICKET_SCHEME)
    ? parseTicket(line.slice(TICKET_SCHEME.length))
    : { secret: parseWords(line), addresses: [] };
}

function parseWords(text: string): Uint8Array {
  const words = text
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== '');
  if (words.length === 0) throw unusable('nothing was read');
  if (words.length !== WORDS) throw unusable(`${words.length} words; there are ${WORDS}`);
  // Their place, and not themselves: what is shown may be seen by others, or land in a log.
  const unknown = words.flatMap((word, index) => (wordlist.includes(word) ? [] : [index + 1]));
  if (unknown.length > 0) throw unusable(`word ${unknown.join(', ')} is not one of the list`);
  try {
    return mnemonicToEntropy(words.join(' '), wordlist);
  } catch (error) {
    throw unusable(
      'the words do not belong together: one of them is another, or two are swapped',
      error,
    );
  }
}

function parseTicket(text: string): Invitation {
  const match = /^([\w-]+)@([0-9a-f]{64})\?(.*)$/i.exec(text);
  const secret = Buffer.from(match?.[1] ?? '', 'base64url');
  if (match === null || secret.length !== SECRET_BYTES) throw unusable('the ticket is not whole');
  try {
    const addresses = (match[3] ?? '').split('&').filter((part) => part !== '');
    const nodeId = (match[2] ?? '').toLowerCase();
    parseNodeId('peerNodeId', nodeId);
    return { secret, nodeId, addresses: addresses.map(decodeURIComponent) };
  } catch (error) {
    throw unusable('the ticket is not whole', error);
  }
}

function unusable(what: string, cause?: unknown): CliError {
  return new CliError(
    ExitCode.Usage,
    `that does not open a pairing: ${what}.`,
    'type the twelve words, or paste the ticket, as the other machine shows them.',
    cause === undefined ? undefined : { cause },
  );
}
