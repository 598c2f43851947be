import { lookup } from 'node:dns/promises';
import { closeSync, openSync } from 'node:fs';
import type { LookupFunction } from 'node:net';
import { isIP } from 'node:net';
import { constants, devNull } from 'node:os';
import { NetworkUnreachableError, ResourceExhaustedError } from './errors/classes.ts';
import type { SttErrorContext } from './errors/error.ts';
import { SttOptionError } from './errors/local.ts';

/** Where a socket is: what `endpoint.address` gives. */
export interface SocketAddress {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
}

/**
 * How a peer can be named: `'host:port'`, `'[::1]:port'`, `'stt://host:port'`, or an object with a
 * host name or IP address and a port.
 */
export type PeerAddress = string | { readonly address: string; readonly port: number };

/** A host and a port, the host still a name or an address. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Reads any form of {@link PeerAddress}. */
export function parseAddress(input: PeerAddress, option = 'address'): HostPort {
  if (typeof input === 'string') return parseText(input, option);
  if (typeof input !== 'object' || input === null) {
    throw new SttOptionError(option, "must be 'host:port' or { address, port }");
  }
  const { address, port } = input;
  if (typeof address !== 'string' || address === '') {
    throw new SttOptionError(option, 'must name a host or an IP address');
  }
  const host = unbracket(address);
  checkHost(host, option);
  return { host, port: checkPort(port, option, 1) };
}

/** `host:port` as people write it, IPv6 in brackets. */
export function formatAddress({ address, port }: { address: string; port: number }): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Checks a port number. */
export function checkPort(port: unknown, option: string, least: 0 | 1): number {
  if (typeof port !== 'number' || !Number.isInteger(port) || port < least || port > 65_535) {
    throw new SttOptionError(option, `must have a port from ${least} to 65535`);
  }
  return port;
}

/**
 * Looks names up in place of the system's resolver, as `lookup` of node:net, node:http and packages such as
 * cacheable-lookup do: it is called with `all: true`, and gives a list of addresses, or one.
 */
export type Lookup = LookupFunction;

/**
 * The IP address of a host: itself, or the first that the system's resolver says.
 *
 * @param family 4 or 6 for a socket that can reach only one of them, 0 for both.
 * @param about for the context of errors.
 * @throws {NetworkUnreachableError} 0x0104 for a name without an address.
 */
export async function resolveHost(
  target: HostPort,
  family: 0 | 4 | 6,
  about: Partial<SttErrorContext> = {},
): Promise<SocketAddress> {
  const [first] = await resolveHosts(target, family, about);
  return first;
}

/**
 * The IP addresses of a host, in the order in which to try them: the resolver's, but with families in turn, the first
 * one's first (RFC 8305, section 4). At least one, and no more than {@link MAX_ADDRESSES}.
 *
 * @param lookup in place of the system's resolver
 * @throws as {@link resolveHost}
 */
export async function resolveHosts(
  { host, port }: HostPort,
  family: 0 | 4 | 6,
  about: Partial<SttErrorContext> = {},
  lookup?: Lookup,
): Promise<readonly [SocketAddress, ...SocketAddress[]]> {
  const context = { peer: formatAddress({ address: host, port }), ...about };
  const version = isIP(host.split('%', 1)[0] ?? host);
  if (version !== 0) {
    if (family !== 0 && version !== family) throw wrongFamily(host, family, context);
    return [{ address: host, port, family: version === 4 ? 'IPv4' : 'IPv6' }];
  }
  let found: readonly string[] = [];
  let cause: unknown;
  try {
    found = await (lookup === undefined ? lookUp(host, family) : askOwn(lookup, host, family));
  } catch (error) {
    cause = error;
    const short = shortage(cause);
    if (short !== undefined) {
      throw new ResourceExhaustedError(
        `The name ${host} could not be looked up: this process or machine has no more ${short.what} (${short.code}). Close some, or raise the limits (ulimit -n); then try again.`,
        {
          cause,
          context,
          origin: 'local',
          system: { code: short.code, errno: short.errno },
        },
      );
    }
  }
  const [first, ...others] = inTurn(found, family);
  if (first === undefined) {
    throw new NetworkUnreachableError(
      `The name ${host} has no address. Check its spelling, and the name servers of this machine.`,
      { cause, context, origin: 'path' },
    );
  }
  const at = (address: string): SocketAddress => ({
    address,
    port,
    family: isIP(address) === 4 ? 'IPv4' : 'IPv6',
  });
  return [at(first), ...others.map(at)];
}

/** Addresses of a name that are tried at most. */
const MAX_ADDRESSES = 8;

/** Those of a family that can be reached, each once, the families by turns. */
function inTurn(addresses: readonly string[], family: 0 | 4 | 6): readonly string[] {
  const usable = [...new Set(addresses)].filter((address) => {
    const version = isIP(address.split('%', 1)[0] ?? '');
    return version !== 0 && (family === 0 || version === family);
  });
  const preferred = isIP(usable[0] ?? '');
  const first = usable.filter((address) => isIP(address) === preferred);
  const second = usable.filter((address) => isIP(address) !== preferred);
  const longest = Math.max(first.length, second.length);
  return Array.from({ length: longest }, (_, index) => [first[index], second[index]])
    .flat()
    .filter((address) => address !== undefined)
    .slice(0, MAX_ADDRESSES);
}

/** What the application's own resolver says. */
function askOwn(lookup: Lookup, host: string, family: 0 | 4 | 6): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    lookup(host, { family, all: true }, (error, found) => {
      if (error != null) reject(error);
      else if (Array.isArray(found)) resolve(found.map(({ address }) => address));
      else resolve([found]);
    });
  });
}

/** What the system is out of, when that is why a name was not found. */
function shortage(cause: unknown): { what: string; code: string; errno: number } | undefined {
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (code === 'EAI_MEMORY' || code === 'ENOMEM') return out('memory', 'ENOMEM');
  if (code === 'EMFILE' || code === 'ENFILE') return out('descriptors', code);
  // A resolver that gets no descriptor for its files and sockets says only that there is no answer.
  try {
    closeSync(openSync(devNull, 'r'));
  } catch (error) {
    const own = (error as { code?: unknown }).code;
    if (own === 'EMFILE' || own === 'ENFILE') return out('descriptors', own);
    if (own === 'ENOMEM') return out('memory', own);
  }
  return undefined;
}

function out(what: string, code: 'EMFILE' | 'ENFILE' | 'ENOMEM') {
  return { what, code, errno: -constants.errno[code] };
}

/** Whether an IP address stands for this machine alone. */
export function isLoopback(address: string): boolean {
  return /^(?:::ffff:)?127\./i.test(address) || address === '::1';
}

/** Questions that the resolver has not answered. */
const asked = new Map<string, Promise<readonly string[]>>();

/**
 * Asks the resolver, once at a time for each name: a question cannot be taken back, and each that hangs
 * holds one of the process's few threads for files and names, so that tries must share it.
 */
function lookUp(host: string, family: 0 | 4 | 6): Promise<readonly string[]> {
  const name = `${family} ${host}`;
  let answer = asked.get(name);
  if (answer === undefined) {
    answer = lookup(host, { family, all: true })
      .then((found) => found.map(({ address }) => address))
      .finally(() => asked.delete(name));
    asked.set(name, answer);
  }
  return answer;
}

/** Which version of IP a socket reaches that is bound there; 0 for both: one on the IPv6 wildcard. */
export function reachableFamily({
  address,
  family,
}: Pick<SocketAddress, 'address' | 'family'>): 0 | 4 | 6 {
  if (family === 'IPv4') return 4;
  return address === '::' ? 0 : 6;
}

function parseText(text: string, option: string): HostPort {
  const rest = text.startsWith('stt://') ? text.slice('stt://'.length).replace(/\/$/, '') : text;
  const match = /^(?:\[([^\]]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(rest);
  if (match === null) {
    const hint = isIP(rest) === 6 ? ": an IPv6 address stands in brackets, '[::1]:7788'" : '';
    throw new SttOptionError(
      option,
      `must be 'host:port', '[::1]:port' or 'stt://host:port'${hint}`,
    );
  }
  const [, bracketed, plain, digits] = match;
  if (bracketed !== undefined && isIP(bracketed.split('%', 1)[0] ?? '') !== 6) {
    throw new SttOptionError(option, 'has something other than an IPv6 address in brackets');
  }
  const host = bracketed ?? plain ?? '';
  checkHost(host, option);
  return { host, port: checkPort(Number(digits), option, 1) };
}

function checkHost(host: string, option: string): void {
  if (isIP(host.split('%', 1)[0] ?? '') !== 0) return;
  // Four numbers that are no address would be asked of the resolver, which has odd answers for them.
  if (host.length > 253 || /[\s:/[\]@]/.test(host) || /^[\d.]+$/.test(host)) {
    throw new SttOptionError(option, 'has neither a host name nor an IP address in it');
  }
}

function unbracket(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

function wrongFamily(
  host: string,
  family: 4 | 6,
  context: Partial<SttErrorContext>,
): NetworkUnreachableError {
  return new NetworkUnreachableError(
    `${host} is an ${family === 4 ? 'IPv6' : 'IPv4'} address, and this endpoint is bound to IPv${family}. ` +
      `Create it with host '${family === 4 ? '::' : '0.0.0.0'}', or use another address of the peer.`,
    { context, origin: 'local' },
  );
}
