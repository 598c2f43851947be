import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import { peersFile } from '../places.ts';
import { ClaimBusyError, claim, forget } from '../transfer/claim.ts';
import { hasCode } from '../transfer/files.ts';

/** A machine that this one has been paired with. */
export interface Peer {
  /** What it is called here. */
  readonly name: string;
  /** The node id of what listens there on `port`, 64 hex digits. */
  readonly nodeId: string;
  /** Hosts that it was met under, the latest first; addresses or names, without a port. */
  readonly hosts: readonly string[];
  readonly port: number;
  /** Milliseconds since 1970. */
  readonly pairedAt: number;
}

/** Names are for a terminal and a command line: letters, digits, and what no shell reads. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** Longest name; see {@link NAME}. */
const MAX_NAME = 63;

/** The last time that a date can say (ECMA-262, section 21.4.1.1). */
const MAX_TIME_MS = 8.64e15;

/** What is read as an address is no name: a peer could call itself so, and be reached in the place of another. */
function passesForAddress(name: string): boolean {
  // Resolvers also take 10, 127.1 and 0x7f.1 for addresses of IPv4 (inet_aton(3)).
  return (
    isIP(name) !== 0 ||
    /^(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+))*$/.test(name) ||
    /^(?:.+\.)?localhost$/.test(name)
  );
}

/** A name that a person gave, or undefined where it will not do. */
export function parsePeerName(text: string): string | undefined {
  const name = text.trim().toLowerCase();
  return NAME.test(name) && !passesForAddress(name) ? name : undefined;
}

/** A name from the network: what of it will do, or one made of the node id. */
export function peerNameFrom(suggestion: string, nodeId: string): string {
  const name = suggestion
    .toLowerCase()
    .split('.')[0]
    ?.replace(/[^a-z0-9_-]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, 40);
  return parsePeerName(name ?? '') ?? `peer-${nodeId.slice(0, 6)}`;
}

/**
 * All peers, by name.
 *
 * @throws {CliError} when the file is there and cannot be read as one of ours.
 */
export async function readPeers(path: string = peersFile()): Promise<Peer[]> {
  let text: string;
  try {
    const file = await open(path, 'r');
    try {
      const { mode } = await file.stat();
      if (process.platform !== 'win32' && (mode & 0o022) !== 0) throw writable(path, mode);
      text = await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
  const peers = parse(text);
  if (peers === undefined) {
    throw new CliError(
      ExitCode.Configuration,
      `${path} is not a file of peers of this version.`,
      'move it away, and pair again.',
    );
  }
  return peers.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Who may write it could put another node in the place of a peer. */
function writable(path: string, mode: number): CliError {
  return new CliError(
    ExitCode.Configuration,
    `the list of peers ${path} can be written by others (mode ${(mode & 0o777).toString(8)}).`,
    `chmod 600 ${path}, and see with "stt peers" that it is what you paired.`,
  );
}

/** Longest wait for another process that writes the list. */
const TURN_MS = 5_000;

/** One process at a time reads the list to write it anew: or of two pairings at once one would be lost. */
async function inTurn<T>(path: string, act: () => Promise<T>): Promise<T> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const key = createHash('sha256').update(`list of peers ${path}`).digest('hex').slice(0, 32);
  const until = performance.now() + TURN_MS;
  for (;;) {
    try {
      const { path: mark } = await claim(folder, key);
      try {
        return await act();
      } finally {
        await unlink(mark).catch(() => undefined);
        forget(mark);
      }
    } catch (error) {
      if (!(error instanceof ClaimBusyError) || performance.now() > until) throw error;
      await sleep(10);
    }
  }
}

/** Writes a peer down. One of the same node id is replaced; the name of another is not taken from it. Returns what it is called. */
export function addPeer(peer: Peer, path: string = peersFile()): Promise<string> {
  return inTurn(path, () => add(peer, path));
}

async function add(peer: Peer, path: string): Promise<string> {
  const others = (await readPeers(path)).filter(({ nodeId }) => nodeId !== peer.nodeId);
  const taken = new Set(others.map(({ name }) => name));
  let name = peer.name;
  for (let number = 2; taken.has(name); number += 1) {
    const suffix = `-${number}`;
    name = peer.name.slice(0, MAX_NAME - suffix.length) + suffix;
  }
  await write([...others, { ...peer, name }], path);
  return name;
}

/** Forgets a peer; false when there is none of that name. */
export function removePeer(name: string, path: string = peersFile()): Promise<boolean> {
  return inTurn(path, () => remove(name, path));
}

async function remove(name: string, path: string): Promise<boolean> {
  const peers = await readPeers(path);
  const left = peers.filter((peer) => peer.name !== name);
  if (left.length === peers.length) return false;
  await write(left, path);
  return true;
}

/** The file appears whole, so that whoever else reads it never sees half of it. */
async function write(peers: readonly Peer[], path: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const byName = Object.fromEntries(peers.map(({ name, ...rest }) => [name, rest]));
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ schema: 1, peers: byName }, undefined, 2)}\n`);
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}

function parse(text: string): Peer[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { schema, peers } = (value ?? {}) as Record<string, unknown>;
  if (schema !== 1 || typeof peers !== 'object' || peers === null) return undefined;
  const list: Peer[] = [];
  for (const [name, entry] of Object.entries(peers)) {
    const { nodeId, hosts, port, pairedAt } = (entry ?? {}) as Record<string, unknown>;
    const whole =
      NAME.test(name) &&
      typeof nodeId === 'string' &&
      /^[0-9a-f]{64}$/.test(nodeId) &&
      Array.isArray(hosts) &&
      hosts.every((host) => typeof host === 'string') &&
      typeof port === 'number' &&
      typeof pairedAt === 'number' &&
      Math.abs(pairedAt) <= MAX_TIME_MS;
    if (!whole) return undefined;
    list.push({ name, nodeId, hosts, port, pairedAt });
  }
  return list;
}
