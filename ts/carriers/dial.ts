import { addAbortListener } from 'node:events';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { connect as tlsConnect } from 'node:tls';
import type * as Ws from 'ws';
import type { HostPort, SocketAddress } from '../address.ts';
import { handled } from '../async.ts';
import type { SttErrorContext } from '../errors/error.ts';
import { SttError } from '../errors/error.ts';
import { IS_NODE } from '../runtime.ts';
import { AttemptFacts, dialError } from './errors.ts';
import { MAX_FRAGMENTS, MAX_MESSAGE } from './link.ts';
import type { ResolvedWebSocket } from './options.ts';
import { SUBPROTOCOL } from './options.ts';
import { proxyAgent } from './proxy.ts';
import type { FrameReads } from './reads.ts';
import type { Reached } from './tcp.ts';
import { connectTcp } from './tcp.ts';

/** A WebSocket that is open. */
export interface Dialled {
  readonly socket: Ws.WebSocket;
  readonly stream: Socket;
  readonly remote: SocketAddress;
  /** How the stream is read. */
  readonly reads: FrameReads | undefined;
}

/** What bounds the opening of a WebSocket. */
export interface DialLimits {
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly context: Partial<SttErrorContext>;
  /** Looks up where the WebSocket is, in the order in which to try: as {@link resolveHosts}. */
  resolve(
    target: HostPort,
    context: Partial<SttErrorContext>,
  ): Promise<readonly [SocketAddress, ...SocketAddress[]]>;
  /** TCP has reached one of them; TLS and the upgrade go on from there. Not called where a proxy is on the way. */
  onReached?(address: SocketAddress): void;
}

/** The library, loaded at its first use: most programs speak UDP alone. */
export function loadWs(): typeof Ws {
  return createRequire(import.meta.url)('ws') as typeof Ws;
}

/**
 * Opens a WebSocket.
 *
 * @throws {ConnectionRefusedError} 0x0102, {NetworkUnreachableError} 0x0104, {ConnectionTimeoutError} 0x0101 as
 *   TCP has it; {WebSocketHandshakeError} 0x0503 when the upgrade is refused, by the peer or a proxy;
 *   {TlsError} 0x0504; or the signal's reason.
 */
export async function dial(to: ResolvedWebSocket, limits: DialLimits): Promise<Dialled> {
  const { timeout, signal } = limits;
  signal?.throwIfAborted();
  const facts = new AttemptFacts(to.url, limits.context, timeout);
  const deadline = performance.now() + timeout;
  const over = new AbortController();
  const agent = await proxyAgent(to, facts, over.signal);
  signal?.throwIfAborted();
  const { WebSocket } = loadWs();
  const reached = agent === undefined ? await reachTcp(to.url, facts, limits, deadline) : undefined;
  const { socket: tcp, reads } = reached ?? {};
  const way = tcp === undefined ? { agent } : { createConnection: connection(tcp, facts) };
  const options = {
    // The types of `ws` know fewer functions to judge a certificate than node:tls does.
    ...(to.tls as object),
    ...(way as object),
    headers: to.headers,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE,
    maxFragments: MAX_FRAGMENTS,
    handshakeTimeout: Math.max(1, Math.ceil(timeout)),
    skipUTF8Validation: true,
    // What it is given of memory that is used again, it hands on at once.
    allowSynchronousEvents: true,
    // What goes out is sealed: nobody can choose its bytes to look like a request, which is what masks are
    // against (RFC 6455 section 10.3). A mask of zeros costs nothing.
    generateMask: () => {},
  };
  let socket: Ws.WebSocket;
  try {
    socket = new WebSocket(to.url, SUBPROTOCOL, options);
  } catch (error) {
    // What it was given cannot be; it has not taken the connection then.
    tcp?.destroy();
    throw dialError(facts, error as Error);
  }
  return new Promise<Dialled>((resolve, reject) => {
    const abort = (): void => fail(signal?.reason);
    const fail = (error: unknown): void => {
      settle();
      // Its own complaint about being cut short has nobody left to hear it.
      socket.on('error', () => {});
      socket.terminate();
      over.abort();
      // TLS may have refused to begin, and nobody has taken it.
      tcp?.destroy();
      reject(error);
    };
    // The library's own timeout is one of silence, and begins only once a proxy has answered.
    const timer = setTimeout(
      () => fail(dialError(facts, new Error('it timed out'))),
      Math.max(1, deadline - performance.now()),
    );
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      socket.removeAllListeners();
    };
    signal?.addEventListener('abort', abort, { once: true });
    let stream: Socket | undefined;
    socket.on('upgrade', (response) => {
      stream = response.socket;
    });
    socket.on('open', () => {
      if (stream === undefined) {
        fail(dialError(facts, new Error('this runtime gives no access to its connection')));
        return;
      }
      settle();
      // Until its owner listens, which is in this very turn of the event loop or the next.
      socket.pause();
      resolve({ socket, stream, remote: remoteOf(stream, to.url), reads });
    });
    socket.on('unexpected-response', (_request, response) => {
      facts.status = response.statusCode;
      response.resume();
      fail(dialError(facts, undefined));
    });
    socket.on('error', (error) => fail(dialError(facts, error)));
    socket.on('close', () => fail(dialError(facts, undefined)));
  });
}

/** Connects by TCP to where the URL says, until the deadline. */
async function reachTcp(
  url: URL,
  facts: AttemptFacts,
  { signal, context, resolve, onReached }: DialLimits,
  deadline: number,
): Promise<Reached> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), Math.max(1, deadline - performance.now()));
  const either = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
  let listening: Disposable | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    listening = addAbortListener(either, () => reject(either.reason));
  });
  try {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = Number(url.port || (url.protocol === 'wss:' ? 443 : 80));
    const about = { ...context, transport: 'websocket' as const };
    const addresses = await Promise.race([resolve({ host, port }, about), handled(aborted)]);
    // By TLS what is read here are records, and Node makes no memory for them. Other runtimes have no `onread`, or
    // read into memory of their own with it.
    const reached = await connectTcp(addresses, either, url.protocol === 'ws:' && IS_NODE);
    onReached?.(reached.address);
    return reached;
  } catch (error) {
    signal?.throwIfAborted();
    if (over.signal.aborted) throw dialError(facts, new Error('it timed out'));
    throw error instanceof SttError ? error : dialError(facts, error as Error);
  } finally {
    clearTimeout(timer);
    // Node keeps a signal of several as long as somebody listens to it.
    listening?.[Symbol.dispose]();
  }
}

/** Goes on by a connection that is there: with TLS, keeps the certificate that was shown, for who wants to know why. */
function connection(
  socket: Socket,
  facts: AttemptFacts,
): (options: ConnectionOptions) => Socket | TLSSocket {
  if (facts.url.protocol !== 'wss:') return () => socket;
  return ({ path: _pathOfTheRequest, ...options }) => {
    const host = options.host ?? '';
    const servername = options.servername ?? (isIP(host) === 0 ? host : '');
    const secure = tlsConnect({ ...options, servername, socket });
    facts.watch(secure);
    return secure;
  };
}

function remoteOf(stream: Socket, url: URL): SocketAddress {
  // A link-local address names an interface of this machine, too.
  const address = stream.remoteAddress?.split('%', 1)[0];
  const port = stream.remotePort ?? Number(url.port || (url.protocol === 'wss:' ? 443 : 80));
  if (address === undefined || isIP(address) === 0) {
    return { address: '0.0.0.0', port, family: 'IPv4' };
  }
  return { address, port, family: isIP(address) === 6 ? 'IPv6' : 'IPv4' };
}
