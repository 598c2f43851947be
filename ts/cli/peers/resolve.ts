import { formatAddress, parseAddress } from '../../address.ts';
import { parseNodeId } from '../../connect.ts';
import { looksLikeSeed, seedInCommandLine } from '../argv-secrets.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Peer } from './book.ts';
import { parsePeerName, readPeers } from './book.ts';

/** The port of whatever listens, unless another is said. */
export const DEFAULT_PORT = 7788;

/** Where a command is to connect, and to whom. */
export interface ResolvedPeer {
  /** `HOST:PORT` or `[IPV6]:PORT`. */
  readonly address: string;
  /** 64 hex digits, or `any` for every holder of the seed. */
  readonly peerNodeId: string;
  /** The peer of that name in the book, if it was meant. */
  readonly peer?: Peer;
}

/**
 * What a person means by a peer: the name of one that was paired, with its pinned node id, or an address.
 * `peerId` is what was said by `--peer-id`, which goes before the pin.
 *
 * @throws {CliError} when a pinned peer is asked for at a port for which there is no pin.
 * @throws {SttOptionError} when it is neither.
 */
export async function resolvePeer(text: string, peerId?: string): Promise<ResolvedPeer> {
  if (peerId !== undefined && peerId !== 'any') parseNodeId('peerNodeId', peerId);
  const [name = '', port] = text.split(':');
  const wanted = /^[^:]+(:\d{1,5})?$/.test(text) ? parsePeerName(name) : undefined;
  const peer =
    wanted === undefined
      ? undefined
      : (await readPeers()).find((candidate) => candidate.name === wanted);
  if (peer === undefined) {
    if (looksLikeSeed(name)) throw seedInCommandLine('the peer');
    const address = withDefaultPort(text);
    parseAddress(address);
    return { address, peerNodeId: peerId ?? 'any' };
  }
  const at = port === undefined ? peer.port : Number(port);
  if (at !== peer.port && peerId === undefined) {
    throw new CliError(
      ExitCode.Configuration,
      `${peer.name} was paired with its port ${peer.port}; who answers on port ${at} is not known.`,
      `say "--peer-id any" for every holder of the seed, or the id that the other side prints.`,
    );
  }
  const [host] = peer.hosts;
  if (host === undefined) {
    throw new CliError(
      ExitCode.Configuration,
      `where ${peer.name} is, is not known.`,
      'give its address, and its node id from "stt peers" by --peer-id.',
    );
  }
  const address = formatAddress({ address: host, port: at });
  return { address, peerNodeId: peerId ?? peer.nodeId, peer };
}

/** Adds port 7788 to an address that names none. */
export function withDefaultPort(peer: string): string {
  if (peer.startsWith('stt://') || /^\[[^\]]+\]:\d+$/.test(peer) || /^[^:]+:\d+$/.test(peer))
    return peer;
  if (/^\[[^\]]+\]$/.test(peer) || !peer.includes(':')) return `${peer}:${DEFAULT_PORT}`;
  return `[${peer}]:${DEFAULT_PORT}`;
}
