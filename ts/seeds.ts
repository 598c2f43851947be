import { randomBytes } from 'node:crypto';
import { SttOptionError } from './errors/local.ts';
import { checkSeed, deriveSeed } from './native/engine.ts';

/** Bytes of a seed that {@link generateSeed} makes, and the fewest that any seed may have. */
export const SEED_LENGTH = 32;

/** Fewest bytes of a salt (RFC 9106, section 4). */
const MIN_SALT = 16;

/** A seed made from words that people remember; see {@link deriveSharedSeed}. */
export interface PassphraseSeed {
  /** Weak ones are refused: one captured handshake permits guessing without asking anybody. */
  readonly passphrase: string;
  /** The same on every machine, and not the passphrase: a name of the network, 16 bytes or more. */
  readonly salt: string | Uint8Array;
}

/** At least 32 secret bytes: as they are, as hex or base64url text, or from a passphrase. */
export type SeedInput = Uint8Array | string | PassphraseSeed;

/** A fresh random seed of 32 bytes. Keep it as you would keep a private key. */
export function generateSeed(): Uint8Array {
  return new Uint8Array(randomBytes(SEED_LENGTH));
}

/**
 * A seed from a passphrase, by Argon2id with 64 MiB and three passes: the same on every machine that
 * uses the same two arguments. Takes some tenths of a second, off the JavaScript thread.
 *
 * @param salt at least 16 bytes; it need not be secret.
 * @throws {SttOptionError} for a passphrase that is easily guessed, or a salt that is too short.
 */
export async function deriveSharedSeed(
  passphrase: string,
  salt: string | Uint8Array,
): Promise<Uint8Array> {
  if (typeof passphrase !== 'string') throw new SttOptionError('passphrase', 'must be a string');
  if (typeof salt !== 'string' && !(salt instanceof Uint8Array)) {
    throw new SttOptionError('salt', 'must be a string or a Uint8Array');
  }
  const bytes = typeof salt === 'string' ? new TextEncoder().encode(salt.normalize('NFC')) : salt;
  if (bytes.length < MIN_SALT) {
    throw new SttOptionError('salt', `must have ${MIN_SALT} bytes or more, not ${bytes.length}`);
  }
  try {
    return await deriveSeed(passphrase.normalize('NFKC'), bytes);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SttOptionError('passphrase', `is refused: ${why}`);
  }
}

/** The bytes behind any form of seed, refused when short, malformed or an obvious placeholder. */
export async function resolveSeed(option: string, input: SeedInput): Promise<Uint8Array> {
  const seed = isPassphrase(input)
    ? await deriveSharedSeed(input.passphrase, input.salt)
    : parseSeed(option, input);
  const problem = checkSeed(seed);
  if (problem !== null) throw new SttOptionError(option, `is refused: ${problem}`);
  return seed;
}

/** Reads the bytes of a seed. Never puts any of them into an error. */
export function parseSeed(option: string, input: unknown): Uint8Array {
  const seed = typeof input === 'string' ? parseText(option, input) : input;
  if (!(seed instanceof Uint8Array)) {
    throw new SttOptionError(
      option,
      'must be a Uint8Array, a hex or base64url string, or { passphrase, salt }',
    );
  }
  if (seed.length < SEED_LENGTH) {
    throw new SttOptionError(
      option,
      `has ${seed.length} bytes; ${SEED_LENGTH} or more are needed. Make one with generateSeed()`,
    );
  }
  return seed;
}

function parseText(option: string, text: string): Uint8Array {
  // 64 hex digits are base64url as well; hex is what every tool of ours prints.
  if (/^(?:[0-9a-f]{2})+$/i.test(text)) return Buffer.from(text, 'hex');
  if (/^[\w-]{43,}={0,2}$/.test(text)) return Buffer.from(text, 'base64url');
  throw new SttOptionError(
    option,
    'is neither hex nor base64url of 32 bytes or more. For words that people remember use { passphrase, salt }',
  );
}

function isPassphrase(input: unknown): input is PassphraseSeed {
  return typeof input === 'object' && input !== null && 'passphrase' in input;
}
