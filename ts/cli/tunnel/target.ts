import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { domainToASCII } from 'node:url';
import { formatAddress } from '../../address.ts';

/** A TCP port of a host, as one side names it to the other. */
export interface Target {
  /** A name in lower case, or an address in its shortest form, an IPv6 one without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What `stt tunnel` is given: where to listen here, whom to reach, and what there. */
export interface Forward {
  readonly local: Target;
  /** A name of the peer book, or an address: what `resolvePeer` takes. */
  readonly peer: string;
  readonly target: Target;
}

/** Longest name of the DNS in text form (RFC 1035 section 2.3.4). */
const LONGEST_NAME = 253;

/** One label of a name: letters, digits, dashes inside (RFC 1123 section 2.1), and the underscores of private names. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** What resolvers take for a number, and so for an IPv4 address in disguise: `127.1`, `0x7f000001`. */
const NUMBER = /^(?:\d+|0x[0-9a-f]*)$/;

/**
 * The one way to write a host, so that two ways to write the same one compare as equal; undefined for what is none.
 * Names are not looked up.
 */
export function canonicalHost(text: string): string | undefined {
  if (text.length > LONGEST_NAME + 1) return undefined;
  if (isIPv4(text)) return text;
  const address = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (isIPv6(address)) {
    // A zone is a matter of one machine.
    if (address.includes('%')) return undefined;
    return new SocketAddress({ address, family: 'ipv6' }).address;
  }
  if (!/^[\x21-\x7e]+$/.test(text)) return undefined;
  const name = text.toLowerCase().replace(/\.$/, '');
  const labels = name.split('.');
  if (name.length > LONGEST_NAME || !labels.every((label) => LABEL.test(label))) return undefined;
  return NUMBER.test(labels.at(-1) ?? '') ? undefined : name;
}

/** The same for what a person writes: names in other scripts are put into the letters of the DNS (RFC 5891). */
export function hostOf(text: string): string | undefined {
  return canonicalHost(/^[\x20-\x7e]*$/.test(text) ? text : domainToASCII(text));
}

/** A port that something can listen on. */
export function portOf(text: string): number | undefined {
  const port = Number(text);
  return /^\d{1,5}$/.test(text) && port > 0 && port <= 65_535 ? port : undefined;
}

/** `HOST:PORT`, or `[IPV6]:PORT`. */
export function show({ host, port }: { readonly host: string; readonly port: number }): string {
  return formatAddress({ address: host, port });
}

/** `PORT`, `HOST:PORT` or `[IPV6]:PORT` of this machine; port 0 lets the system choose, and without a host it is loopback. */
export function parseLocal(text: string): Target | undefined {
  const match = /^(?:(\[[^\]]+\]|[^:]+):)?(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, host = '127.0.0.1', digits] = match;
  const local = host === '*' ? '0.0.0.0' : hostOf(host);
  const port = Number(digits);
  return local === undefined || port > 65_535 ? undefined : { host: local, port };
}

/** `PEER:HOST:PORT`, read from its end: the peer may have a port of its own. */
export function parseRemote(text: string): { peer: string; target: Target } | undefined {
  const match = /^(.+):(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, peer = '', host = '', digits = ''] = match;
  const [name, port] = [hostOf(host), portOf(digits)];
  return name === undefined || port === undefined
    ? undefined
    : { peer, target: { host: name, port } };
}
