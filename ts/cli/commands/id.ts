import { entropyToMnemonic } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { deriveSharedSeed } from '../../index.ts';
import { loadNodeSecret } from '../node-seed.ts';
import type { Output } from '../output.ts';
import { listenerId } from '../pairing/self.ts';
import { loadSeed } from '../seed-file.ts';

/** Options of `stt id`, parsed. */
export interface IdOptions {
  readonly port: number;
  readonly seedFile: string | undefined;
  readonly nodeSeedFile: string | undefined;
}

/** Public: it only keeps this use of the derivation apart from every other. */
const FINGERPRINT_SALT = 'stt fingerprint of a seed';

/** Words of a fingerprint: 55 bits, each guess at which costs a run of Argon2id. */
const FINGERPRINT_WORDS = 5;

/** Says who this machine is to its peers, and which seed it has, in words to compare aloud. */
export async function id(options: IdOptions, output: Output): Promise<void> {
  const seed = await loadSeed(options.seedFile);
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  const nodeId = await listenerId(secret, seed, options.port);
  const fingerprint = await fingerprintOf(seed);
  output.result(
    'id',
    { nodeId, port: options.port, seedFingerprint: fingerprint },
    `node id of port ${options.port}: ${nodeId}\nseed: ${fingerprint}`,
  );
}

/** The same seed gives the same words on every machine, however its file writes it. */
export async function fingerprintOf(seed: string): Promise<string> {
  const bytes = Buffer.from(seed, /^(?:[0-9a-f]{2})+$/i.test(seed) ? 'hex' : 'base64url');
  const slow = await deriveSharedSeed(bytes.toString('hex'), FINGERPRINT_SALT);
  // Of 128 bits, for the sake of a list that knows no shorter ones, the first words.
  const words = entropyToMnemonic(slow.subarray(0, 16), wordlist).split(' ');
  return words.slice(0, FINGERPRINT_WORDS).join(' ');
}
