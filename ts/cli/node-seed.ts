import { createHmac, randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { checkSeed } from '../native/engine.ts';
import { looksLikeSeed, seedInPlaceOf } from './argv-secrets.ts';
import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';
import type { Output } from './output.ts';
import { stateFolder } from './places.ts';
import { readSecretFile } from './seed-file.ts';
import { hasCode } from './transfer/files.ts';

/** Fewest bytes of the secret. */
const MIN_SECRET = 32;

/** Files that hold an id of the machine which outlives its boots and its names (machine-id(5)). */
const MACHINE_IDS = ['/etc/machine-id', '/var/lib/dbus/machine-id'];

/** What this machine is told from others by that may share its users' home folders. */
export async function thisMachine(): Promise<string> {
  for (const path of MACHINE_IDS) {
    const id = (await readFile(path, 'utf8').catch(() => '')).trim();
    if (/^[0-9a-f]{32}$/i.test(id)) return id.toLowerCase();
  }
  // Without the domain, which comes and goes with the network.
  return hostname().split('.')[0]?.toLowerCase() ?? '';
}

/** The secret of one of the machines that a secret in a shared home folder serves. */
function secretOf(root: Uint8Array, machine: string): Uint8Array {
  return createHmac('sha256', root)
    .update(JSON.stringify(['machine', machine]))
    .digest();
}

/**
 * The lasting secret of this user on this machine, which node ids come from.
 *
 * One node seed must not be used by two endpoints at a time (docs/PROTOCOL.md, section 0.2), and several
 * `stt` run side by side. So no endpoint gets the secret itself: each role gets a seed of its own from it,
 * always the same for the same role.
 */
export class NodeSecret {
  readonly #root: Uint8Array;
  /** A folder for what belongs to the secret; undefined where nothing lasts. */
  readonly folder: string | undefined;

  constructor(root: Uint8Array, folder: string | undefined) {
    this.#root = root;
    this.folder = folder;
  }

  /** Where processes that send note which file they send; undefined where nothing lasts. */
  get sending(): string | undefined {
    return this.folder === undefined ? undefined : join(this.folder, 'sending');
  }

  /** The node seed for a role: one that no two processes can have at a time. */
  seedFor(...role: readonly string[]): Uint8Array {
    return this.#mac('node', role);
  }

  /** The node seed of whatever listens on a port of this machine: one process at a time has the port. */
  listenerSeed(host: string, port: number): Uint8Array {
    // A socket for both families takes the port of either wildcard.
    return this.seedFor('recv', host === '::' ? '0.0.0.0' : host, String(port));
  }

  /** 32 hex digits that nobody else can make, the same for the same words. */
  name(...words: readonly string[]): string {
    return Buffer.from(this.#mac('name', words)).toString('hex', 0, 16);
  }

  #mac(kind: string, words: readonly string[]): Uint8Array {
    // JSON keeps ['a', 'bc'] and ['ab', 'c'] apart.
    return createHmac('sha256', this.#root)
      .update(JSON.stringify([kind, ...words]))
      .digest();
  }
}

/**
 * The secret from `--node-seed-file`, `STT_NODE_SEED_FILE`, or the file of this user; made at the first use. A home
 * folder may be on several machines at a time, so what comes from the user's file is this machine's own. A file that
 * was named is used as it is: whoever names it says whose it is.
 * Where it cannot be kept the ids last as long as the process, and that is said.
 *
 * @throws {CliError} when others can read the file, or it holds no seed, or one that was named cannot be made.
 */
export async function loadNodeSecret(
  option: string | undefined,
  output: Pick<Output, 'note'>,
  machine: () => Promise<string> = thisMachine,
): Promise<NodeSecret> {
  const named = option ?? process.env['STT_NODE_SEED_FILE'];
  if (named !== undefined && looksLikeSeed(named))
    throw seedInPlaceOf('the name of the node seed file');
  const path = named ?? join(stateFolder(), 'node-seed');
  try {
    await create(path);
  } catch (error) {
    if (named !== undefined) {
      throw new CliError(
        ExitCode.LocalFile,
        `cannot use the node seed file ${path}: ${messageOf(error)}.`,
        'name another with --node-seed-file.',
        { cause: error },
      );
    }
    output.note(`no lasting node id, so nothing can be resumed later: ${messageOf(error)}`);
    return new NodeSecret(randomBytes(32), undefined);
  }
  const text = await readSecretFile(path, 'node seed file', 'remove it to get a new one');
  const root = Buffer.from(text, /^(?:[0-9a-f]{2})+$/i.test(text) ? 'hex' : 'base64url');
  if (root.length < MIN_SECRET) {
    throw new CliError(
      ExitCode.Configuration,
      `the node seed in ${path} has ${root.length} bytes; ${MIN_SECRET} or more are needed.`,
      'remove it to get a new one, or name another.',
    );
  }
  const problem = checkSeed(root);
  if (problem !== null) {
    throw new CliError(
      ExitCode.Configuration,
      `the node seed in ${path} is refused: ${problem}.`,
      'remove it to get a new one, or name another.',
    );
  }
  return new NodeSecret(
    named === undefined ? secretOf(root, await machine()) : root,
    dirname(path),
  );
}

/** Makes the file if there is none. It appears whole, so that whoever else looks for it can read it. */
async function create(path: string): Promise<void> {
  const there = await open(path, 'r').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  });
  await there?.close();
  if (there !== undefined) return;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${randomBytes(32).toString('hex')}\n`);
    await file.sync();
    await file.close();
    await link(temporary, path).catch((error: unknown) => {
      // Another process was quicker; its secret is as good.
      if (!hasCode(error, 'EEXIST')) throw error;
    });
  } finally {
    await file.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
