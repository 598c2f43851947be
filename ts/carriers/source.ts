import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SocketAddress } from '../address.ts';
import { SttOptionError } from '../errors/local.ts';

/**
 * Whose `X-Forwarded-For` is believed: nobody's, that of whoever connects, or that of the addresses and subnets of
 * these proxies.
 */
export type TrustProxy = boolean | readonly string[];

/** Where nothing better is known, as of a socket of the file system. */
const UNKNOWN = '0.0.0.0';

/** Addresses at which a proxy of one's own would be: this machine, and private networks (RFC 1918, RFC 4193). */
const NEAR = subnets(
  ...['127.0.0.0/8', '::1/128', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
);

/** Tells where the peers of upgrades are, behind whatever proxies are trusted. */
export class Sources {
  readonly #trusted: boolean | BlockList;
  /** Told once of a header that nobody believes, and nobody decided not to. */
  #warnAbout: (() => void) | undefined;

  /** @param trustProxy undefined: nobody is trusted, and a process warning says so where a proxy seems to be */
  constructor(trustProxy: TrustProxy | undefined) {
    this.#trusted = typeof trustProxy === 'object' ? subnets(...trustProxy) : trustProxy === true;
    this.#warnAbout = trustProxy === undefined ? warnOfProxy : undefined;
  }

  /** Whether connections from there may be those of many peers. */
  trusts(address: string | undefined): boolean {
    if (typeof this.#trusted === 'boolean') return this.#trusted;
    return address !== undefined && contains(this.#trusted, withoutZone(address));
  }

  /** Where the peer of an upgrade is. The port is that of the connection, which a proxy of its own opens. */
  remoteOf(request: IncomingMessage): SocketAddress {
    const { remoteAddress, remotePort = 0 } = request.socket;
    const address = this.#behind(withoutZone(remoteAddress ?? UNKNOWN), request);
    return { address, port: remotePort, family: isIP(address) === 6 ? 'IPv6' : 'IPv4' };
  }

  /** From the connection on, each proxy that is trusted is believed on who came to it. */
  #behind(connected: string, request: IncomingMessage): string {
    const header = request.headers['x-forwarded-for'];
    if (header === undefined) return connected;
    if (!this.trusts(request.socket.remoteAddress)) {
      if (this.#warnAbout !== undefined && (connected === UNKNOWN || contains(NEAR, connected))) {
        this.#warnAbout();
        this.#warnAbout = undefined;
      }
      return connected;
    }
    const told = (Array.isArray(header) ? header.join(',') : header).split(',').reverse();
    let address = connected;
    for (const text of told) {
      const next = readAddress(text.trim());
      // What is before it was written by nobody who is trusted.
      if (next === undefined) break;
      address = next;
      if (typeof this.#trusted === 'boolean' || !contains(this.#trusted, address)) break;
    }
    return address;
  }
}

/** What limits by source count to: an IPv4 address, or the /64 of an IPv6 one. */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const first = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : 8 - first.length - tail.split(':').length;
  const groups = [...first, ...Array<string>(Math.max(0, missing)).fill('0')];
  return groups.slice(0, 4).join(':');
}

/** A name for a connection that both its socket and the TLS above it have. */
export function connectionKey(socket: Duplex): string {
  const { remoteAddress, remotePort } = socket as { remoteAddress?: string; remotePort?: number };
  return `${remoteAddress} ${remotePort}`;
}

/** Checks what `trustProxy` was given. */
export function checkTrustProxy(trust: unknown): TrustProxy | undefined {
  if (trust === undefined || typeof trust === 'boolean') return trust;
  if (!Array.isArray(trust)) {
    throw new SttOptionError('websocket.trustProxy', 'must be true, false, or a list of subnets');
  }
  subnets(...trust);
  return [...trust];
}

function subnets(...texts: readonly unknown[]): BlockList {
  const list = new BlockList();
  for (const text of texts) {
    const [address = '', prefix] = typeof text === 'string' ? text.split('/') : [];
    const version = isIP(address);
    const bits = version === 6 ? 128 : 32;
    const length = prefix === undefined ? bits : Number(/^\d{1,3}$/.exec(prefix)?.[0]);
    if (version === 0 || !(length <= bits)) {
      throw new SttOptionError(
        'websocket.trustProxy',
        "must list IP addresses and subnets, such as '10.0.0.0/8'",
      );
    }
    list.addSubnet(address, length, version === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}

/** Knows an IPv4 address that is written as one of IPv6 as well. */
function contains(list: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

/** An address as proxies write it: alone, in brackets, with a port. */
function readAddress(text: string): string | undefined {
  const bare =
    /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text;
  const address = withoutZone(bare);
  return isIP(address) === 0 ? undefined : address;
}

/** An address without the name of this machine's interface, which a link-local one has. */
function withoutZone(address: string): string {
  return address.split('%', 1)[0] ?? address;
}

function warnOfProxy(): void {
  process.emitWarning(
    'A WebSocket came with X-Forwarded-For, and websocket.trustProxy is not set: limits by source take all peers behind that proxy for one. Set trustProxy to the addresses of your proxies, or to false if there are none.',
    { type: 'SttWarning', code: 'STT_TRUST_PROXY' },
  );
}
