import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns';
import { lookup as lookUp } from 'node:dns/promises';
import type { Lookup } from '../../address.ts';
import { formatAddress, parseAddress } from '../../address.ts';
import { parseNodeId } from '../../connect.ts';
import { looksLikeSeed, seedInPlaceOf } from '../argv-secrets.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Peer } from './book.ts';
import { parsePeerName, readPeers } from './book.ts';

/** The port of whatever listens, unless another is said. */
export const DEFAULT_PORT = 7788;

/** Where a command is to connect, and to whom. */
export interface ResolvedPeer {
  /** `HOST:PORT` or `[IPV6]:PORT`; of a peer with several hosts `NAME:PORT`, which {@link ResolvedPeer.lookup} knows. */
  readonly address: string;
  /** How the endpoint that calls looks up the address: all hosts that the peer is known under are tried, and those passed by that another node has. */
  readonly lookup?: Lookup;
  /** 64 hex digits, or `any` for every holder of the seed. */
  readonly peerNodeId: string;
  /** The peer of that name in the book, if it was meant. */
  readonly peer?: Peer;
  /** Its name, where `peerNodeId` is the pin of the book, and nobody said another. */
  readonly pinnedBy?: string;
  /** `HOST:PORT` of each of several hosts: where `NAME:PORT` leads. */
  readonly places?: readonly string[];
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
    if (looksLikeSeed(name)) throw seedInPlaceOf('the peer');
    const why = whyNoPeer(text);
    if (why !== undefined)
      throw new CliError(
        ExitCode.Usage,
        `the peer ${why}.`,
        'write NAME, HOST, HOST:PORT or [IPV6]:PORT.',
      );
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
  const found = {
    peerNodeId: peerId ?? peer.nodeId,
    peer,
    ...(peerId === undefined ? { pinnedBy: peer.name } : {}),
  };
  const places = peer.hosts.map((address) => formatAddress({ address, port: at }));
  if (places.length === 1) return { ...found, address: places.join() };
  return { ...found, address: `${peer.name}:${at}`, places, lookup: lookupOf(peer) };
}

/** What people write that is no peer, and what is wrong with it; the rest is told by whoever reads addresses. */
function whyNoPeer(text: string): string | undefined {
  if (text.trim() === '' || /^:\d*$/.test(text)) return 'has no host';
  if (/^\w+:\/\//.test(text) && !text.startsWith('stt://')) return 'is a URL, and no host';
  if (text.startsWith('[') && !text.includes(']')) return 'has a bracket that is not closed';
  const port = /^(?:[^:[\]]+|\[[^\]]*\]):([^:]*)$/.exec(text)?.[1];
  if (port !== undefined && !/^\d{1,5}$/.test(port)) return 'has no number behind its colon';
  return undefined;
}

/** The option of the endpoint that calls a peer. */
export function lookupFor({ lookup }: ResolvedPeer): { lookup?: Lookup } {
  return lookup === undefined ? {} : { lookup };
}

/** The addresses of a peer that is known under several, names among them looked up by the system. */
function lookupOf({ name, hosts }: Peer): Lookup {
  return (host, options, callback) => {
    if (host !== name) return lookup(host, options, callback);
    addressesOf(hosts).then(
      (addresses) => callback(null, addresses),
      (error: NodeJS.ErrnoException) => callback(error, []),
    );
  };
}

/** What can be looked up, in the order of the hosts; the failure of the first where nothing can. */
async function addressesOf(hosts: readonly string[]): Promise<LookupAddress[]> {
  const asked = await Promise.allSettled(hosts.map((host) => lookUp(host, { all: true })));
  const addresses = asked.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const failed = asked.find((answer) => answer.status === 'rejected');
  if (addresses.length === 0 && failed !== undefined) throw failed.reason;
  return addresses;
}

/** Adds port 7788 to an address that names none. */
export function withDefaultPort(peer: string): string {
  if (peer.startsWith('stt://') || /^\[[^\]]+\]:\d+$/.test(peer) || /^[^:]+:\d+$/.test(peer))
    return peer;
  if (/^\[[^\]]+\]$/.test(peer) || !peer.includes(':')) return `${peer}:${DEFAULT_PORT}`;
  return `[${peer}]:${DEFAULT_PORT}`;
}
