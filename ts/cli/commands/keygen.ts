import { deriveSharedSeed, generateSeed } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { prompt, promptSecret } from '../prompt.ts';
import { defaultSeedFile, writeSeedFile } from '../seed-file.ts';

/** Options of `stt keygen`. */
export interface KeygenOptions {
  readonly out?: string;
  readonly fromPassphrase: boolean;
  /** Shows the seed itself; not with `--json`, whose lines end up in logs. */
  readonly print: boolean;
}

/** Makes a shared seed and writes it to a file that only its owner can read. */
export async function keygen(options: KeygenOptions, output: Output): Promise<void> {
  const seed = options.fromPassphrase ? await seedFromPassphrase() : generateSeed();
  const text = Buffer.from(seed).toString('hex');
  if (options.print && options.out === undefined) {
    process.stdout.write(`${text}\n`);
    return;
  }
  const path = options.out ?? defaultSeedFile();
  await writeSeedFile(path, text);
  output.result('keygen', { file: path }, path);
  if (options.print) process.stdout.write(`${text}\n`);
  output.note('Copy this file to the other machine by a safe way; whoever holds it can join.');
}

async function seedFromPassphrase(): Promise<Uint8Array> {
  if (!process.stdin.isTTY) {
    throw new CliError(
      ExitCode.Usage,
      '--from-passphrase asks on a terminal, and there is none.',
      'run it in a terminal, or make a random seed without it.',
    );
  }
  const salt = networkSalt(await prompt('Name of the network (the same on every machine): '));
  const passphrase = await promptSecret('Passphrase: ');
  if ((await promptSecret('Once more: ')) !== passphrase) {
    throw new CliError(
      ExitCode.Usage,
      'the two passphrases differ.',
      'run the same command again.',
    );
  }
  return deriveSharedSeed(passphrase, salt);
}

/** What goes before a network's name, so that a seed of ours is no hash of another program's. */
const SALT_PREFIX = 'stt network ';

/** Fewest bytes of a name: with the prefix they make the 16 that a salt must have (RFC 9106). */
const MIN_NETWORK_NAME = 4;

/**
 * The salt of a network: the same name gives the same seed on every machine, and two networks that happen
 * to share a passphrase share nothing else.
 */
export function networkSalt(name: string): string {
  const network = name.trim().normalize('NFC');
  const bytes = Buffer.byteLength(network);
  if (bytes < MIN_NETWORK_NAME) {
    throw new CliError(
      ExitCode.Usage,
      `the name of the network has ${bytes} bytes; ${MIN_NETWORK_NAME} or more are needed.`,
      'choose a longer name, the same on every machine; it is no secret.',
    );
  }
  return SALT_PREFIX + network;
}
