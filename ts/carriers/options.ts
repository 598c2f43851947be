import { X509Certificate } from 'node:crypto';
import type { Server as HttpServer } from 'node:http';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { Server as HttpsServer, ServerOptions as HttpsServerOptions } from 'node:https';
import type { ConnectionOptions, SecureContextOptions } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { SttOptionError } from '../errors/local.ts';
import { checkNumber } from '../options.ts';
import { printable } from '../printable.ts';
import type { TrustProxy } from './source.ts';
import { checkTrustProxy } from './source.ts';

/** The path of a WebSocket unless another is agreed on. */
export const DEFAULT_PATH = '/stt';

/** The subprotocol: version 1 of the protocol. */
export const SUBPROTOCOL = 'stt.1';

/** Options of TLS for a WebSocket that this side opens, as `node:tls` has them. */
export type TlsOptions = Pick<
  ConnectionOptions,
  | 'ca'
  | 'cert'
  | 'key'
  | 'passphrase'
  | 'pfx'
  | 'servername'
  | 'rejectUnauthorized'
  | 'checkServerIdentity'
  | 'minVersion'
  | 'maxVersion'
  | 'ciphers'
>;

/** How a WebSocket to the peer is opened. */
export interface WebSocketConnectOptions {
  /**
   * Where it listens, `ws://host:port/path` or `wss://...`.
   * @default the address that is connected to, path `/stt`, `wss` when `tls` is given
   */
  readonly url?: string | URL;
  /** Headers of the request, as a proxy before the peer may want them. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** How an endpoint accepts WebSockets: on a port of its own, or by a server that is there. */
export interface WebSocketListenOptions {
  /** TCP port to listen on, 0 for any; the number of the UDP port is free for it. */
  readonly port?: number;
  /**
   * Address for `port`.
   * @default that of the endpoint
   */
  readonly host?: string;
  /** A server that is there: its other upgrades are left alone. */
  readonly server?: HttpServer | HttpsServer;
  /**
   * Path of the upgrade.
   * @default '/stt'
   */
  readonly path?: string;
  /** With `port`: TLS, with `cert` and `key` or `pfx`. */
  readonly tls?: HttpsServerOptions;
  /**
   * Whose `X-Forwarded-For` says where a peer is, for limits by source, `authorize` and `remoteAddress`: a list of
   * addresses and subnets of reverse proxies, such as `['10.0.0.0/8']`, is read from its end on as long as it
   * names these; `true` believes whoever connects, on its last address, so that nobody but a proxy may reach the port.
   * @default false, with a process warning when the header comes from this machine or a private network
   */
  readonly trustProxy?: boolean | readonly string[];
  /**
   * WebSockets that have no session yet, at a time. The next takes the place of one of the address that has most, or of
   * one that has waited for two seconds; else it is answered 503. On a port of its own, as many connections that
   * have not asked for a WebSocket yet may be there.
   * @default 1_024
   */
  readonly maxUnauthenticated?: number;
  /**
   * The same, of one address.
   * @default 256
   */
  readonly maxUnauthenticatedPerSource?: number;
  /**
   * Milliseconds from the upgrade to a session. An upgrade of another path that nobody on the same server answers
   * is ended after that time as well.
   * @default 10_000
   */
  readonly handshakeTimeout?: number;
}

/** The same, checked. */
export interface ResolvedWebSocketListen {
  readonly port: number | undefined;
  readonly host: string | undefined;
  readonly server: HttpServer | HttpsServer | undefined;
  readonly path: string;
  readonly tls: HttpsServerOptions | undefined;
  readonly trustProxy: TrustProxy | undefined;
  readonly maxUnauthenticated: number;
  readonly maxUnauthenticatedPerSource: number;
  readonly handshakeTimeout: number;
}

const LISTEN_NAMES = [
  'port',
  'host',
  'server',
  'path',
  'tls',
  'trustProxy',
  'maxUnauthenticated',
  'maxUnauthenticatedPerSource',
  'handshakeTimeout',
];

/** Checks `listen({ websocket })`. */
export function checkWebSocketListen(options: WebSocketListenOptions): ResolvedWebSocketListen {
  if (typeof options !== 'object' || options === null) {
    throw new SttOptionError('websocket', 'must be an object with a port or a server');
  }
  for (const name of Object.keys(options)) {
    if (!LISTEN_NAMES.includes(name)) {
      throw new SttOptionError(`websocket.${name}`, 'is no option of listen()');
    }
  }
  const { port, host, server, path = DEFAULT_PATH, tls } = options;
  const trustProxy = checkTrustProxy(options.trustProxy);
  const {
    maxUnauthenticated = 1_024,
    maxUnauthenticatedPerSource = 256,
    handshakeTimeout = 10_000,
  } = options;
  if ((port === undefined) === (server === undefined)) {
    throw new SttOptionError('websocket', 'needs a port or a server, and not both');
  }
  if (port !== undefined) checkNumber('websocket.port', port, [0, 65_535]);
  if (server !== undefined && typeof server.on !== 'function') {
    throw new SttOptionError('websocket.server', 'must be an http.Server or https.Server');
  }
  if (server !== undefined && (tls !== undefined || host !== undefined)) {
    throw new SttOptionError('websocket.server', 'brings its own address and TLS');
  }
  if (tls !== undefined) checkTls('websocket.tls', tls);
  if (typeof path !== 'string' || !path.startsWith('/') || /[?#\s]/.test(path)) {
    throw new SttOptionError('websocket.path', "must be a path such as '/stt'");
  }
  checkNumber('websocket.maxUnauthenticated', maxUnauthenticated, [1, 1_000_000]);
  checkNumber('websocket.maxUnauthenticatedPerSource', maxUnauthenticatedPerSource, [1, 1_000_000]);
  checkNumber('websocket.handshakeTimeout', handshakeTimeout, [1, 2 ** 31 - 1]);
  return {
    port,
    host,
    server,
    path,
    tls,
    trustProxy,
    maxUnauthenticated,
    maxUnauthenticatedPerSource,
    handshakeTimeout,
  };
}

/** Where and how a WebSocket is opened. */
export interface ResolvedWebSocket {
  readonly url: URL;
  readonly tls: TlsOptions;
  /** Undefined: as the environment says. */
  readonly proxy: string | false | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Checks what `connect()` was given for a WebSocket, all but the address. */
export function checkWebSocketConnect(
  websocket: WebSocketConnectOptions | undefined,
  tls: boolean | TlsOptions | undefined,
  proxy: string | false | undefined,
): (host: string, port: number) => ResolvedWebSocket {
  if (websocket !== undefined && (typeof websocket !== 'object' || websocket === null)) {
    throw new SttOptionError('websocket', 'must be an object');
  }
  const { url, headers = {}, ...rest } = websocket ?? {};
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) {
    throw new SttOptionError(`websocket.${unknown}`, 'is no option of connect()');
  }
  checkHeaders(headers);
  if (tls !== undefined && typeof tls !== 'boolean' && (typeof tls !== 'object' || tls === null)) {
    throw new SttOptionError('tls', 'must be true, or options of node:tls');
  }
  if (typeof tls === 'object') checkTls('tls', tls);
  if (proxy !== undefined && proxy !== false) checkUrl('proxy', proxy, ['http:', 'https:']);
  const given = url === undefined ? undefined : checkUrl('websocket.url', url, ['ws:', 'wss:']);
  const secure = tls !== undefined && tls !== false;
  if (given?.protocol === 'ws:' && secure) {
    throw new SttOptionError('websocket.url', "is 'ws:', and tls was asked for: use 'wss:'");
  }
  return (host, port) => ({
    url:
      given ??
      new URL(
        `${secure ? 'wss' : 'ws'}://${host.includes(':') ? `[${host}]` : host}:${port}${DEFAULT_PATH}`,
      ),
    tls: typeof tls === 'object' ? tls : {},
    proxy,
    headers,
  });
}

/**
 * Checks options of TLS now: found out in a handshake, what is wrong with them looks like the peer's doing, as an
 * authority that nobody could read makes every certificate one of nobody known.
 */
function checkTls(option: string, tls: TlsOptions | HttpsServerOptions): void {
  if (typeof tls !== 'object' || tls === null) {
    throw new SttOptionError(option, 'must be options of node:tls');
  }
  const { ca, servername, checkServerIdentity } = tls as TlsOptions;
  if (servername !== undefined && typeof servername !== 'string') {
    throw new SttOptionError(`${option}.servername`, 'must be a name');
  }
  if (checkServerIdentity !== undefined && typeof checkServerIdentity !== 'function') {
    throw new SttOptionError(`${option}.checkServerIdentity`, 'must be a function');
  }
  for (const authority of ca === undefined ? [] : [ca].flat()) checkAuthority(option, authority);
  try {
    createSecureContext(tls as SecureContextOptions);
  } catch (cause) {
    const { message } = cause as Error;
    throw new SttOptionError(
      option,
      `cannot be used: ${printable(message)}. Check certificate, key and passphrase, that these belong together, and ciphers and versions`,
      { cause },
    );
  }
}

/** OpenSSL passes over what it cannot read of authorities, without a word. */
function checkAuthority(option: string, authority: unknown): void {
  const problem = 'must have certificates in PEM';
  if (typeof authority !== 'string' && !ArrayBuffer.isView(authority)) {
    throw new SttOptionError(`${option}.ca`, problem);
  }
  const text =
    typeof authority === 'string'
      ? authority
      : Buffer.from(authority.buffer, authority.byteOffset, authority.byteLength).toString(
          'latin1',
        );
  // A text may have others around them, as keys, and words between.
  const certificates = text.split(/(?=-----BEGIN )/).filter((part) => CERTIFICATE.test(part));
  if (certificates.length === 0)
    throw new SttOptionError(`${option}.ca`, `${problem}, and has none`);
  for (const certificate of certificates) {
    try {
      // Only OpenSSL reads one with what it is trusted for.
      if (!certificate.startsWith(TRUSTED)) new X509Certificate(certificate);
    } catch (cause) {
      throw new SttOptionError(`${option}.ca`, `${problem}, and one of them cannot be read`, {
        cause,
      });
    }
  }
}

const TRUSTED = '-----BEGIN TRUSTED';
const CERTIFICATE = /^-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/;

/** Their values may be secret: they are not repeated. */
function checkHeaders(headers: unknown): void {
  if (typeof headers !== 'object' || headers === null) {
    throw new SttOptionError('websocket.headers', 'must be an object');
  }
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch {
      throw new SttOptionError(
        'websocket.headers',
        `has a name or a value that no header has, at ${JSON.stringify(name)}`,
      );
    }
  }
}

function checkUrl(option: string, value: unknown, protocols: readonly string[]): URL {
  let url: URL | undefined;
  try {
    url = new URL(value as string | URL);
  } catch {
    // Told below.
  }
  if (url === undefined || !protocols.includes(url.protocol)) {
    const forms = protocols.map((protocol) => `${protocol}//host:port`).join(' or ');
    throw new SttOptionError(option, `must be a URL, ${forms}`);
  }
  return url;
}
