import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { createServer as createHttpServer, STATUS_CODES } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import { createServer as createHttpsServer } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import type { SocketAddress } from '../address.ts';
import { startError } from '../errors/system.ts';
import { warn } from '../events.ts';
import { loadWs } from './dial.ts';
import type { Link } from './link.ts';
import { MAX_MESSAGE } from './link.ts';
import type { Links } from './links.ts';
import type { ResolvedWebSocketListen } from './options.ts';
import { SUBPROTOCOL } from './options.ts';

/** Milliseconds for the headers of a request, and how often slow ones are looked for. */
const HEADERS_TIMEOUT = 10_000;
const CHECK_INTERVAL = 2_000;
/** Bytes of the headers of an upgrade. */
const MAX_HEADERS = 16 * 1024;

const NOT_HERE = 'This is an STT endpoint: it takes WebSockets of subprotocol stt.1 alone.\n';

/** Takes the WebSockets of peers, and hands each to the endpoint as a link. */
export class WebSocketListener {
  readonly #options: ResolvedWebSocketListen;
  readonly #links: Links;
  readonly #server: HttpServer | HttpsServer;
  readonly #sockets: WebSocketServer;
  /** Links without a session, by the source that they count to. */
  readonly #waiting = new Map<Link, string>();
  readonly #perSource = new Map<string, number>();
  /** Upgrades under way. */
  #upgrading = 0;
  /** Ends the wait for the port, which a server that is closed meanwhile says nothing of. */
  #settleListening: (() => void) | undefined;
  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
    this.#upgrade(request, socket, head);

  constructor(options: ResolvedWebSocketListen, links: Links) {
    this.#options = options;
    this.#links = links;
    const { WebSocketServer: Sockets } = loadWs();
    this.#sockets = new Sockets({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE,
      skipUTF8Validation: true,
      clientTracking: false,
      handleProtocols: () => SUBPROTOCOL,
    });
    this.#server = options.server ?? ownServer(options);
    this.#server.on('upgrade', this.#onUpgrade);
  }

  /**
   * Listens, where the port is its own.
   *
   * @param host address to listen on
   * @throws {SttSystemError} with the system's code for a busy port (`EADDRINUSE`) and the like.
   */
  async listen(host: string): Promise<void> {
    const { port } = this.#options;
    if (port === undefined) return;
    await new Promise<void>((resolve, reject) => {
      this.#settleListening = resolve;
      let bound = false;
      this.#server.on('error', (error: Error) => {
        if (bound) warn('the TCP port for WebSockets failed for a moment', error);
        else reject(startError(error));
      });
      this.#server.listen({ port, host }, () => {
        bound = true;
        // The endpoint holds the process, and not what it listens with.
        this.#server.unref();
        resolve();
      });
    });
  }

  /** Where it listens; undefined for a server that is not its own, or listens not yet. */
  get address(): SocketAddress | undefined {
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') return undefined;
    const { address, port, family } = bound;
    return Object.freeze({ address, port, family: family === 'IPv6' ? 'IPv6' : 'IPv4' });
  }

  /** Takes no more; links that have a session live on. */
  close(): void {
    this.#server.removeListener('upgrade', this.#onUpgrade);
    if (this.#options.server === undefined) {
      // Upgraded sockets are not among them: links that have a session live on.
      this.#server.close();
      this.#server.closeAllConnections();
      this.#settleListening?.();
    }
    for (const link of [...this.#waiting.keys()]) link.terminate();
  }

  /** The link has a session, or is gone. */
  settled(link: Link): void {
    const source = this.#waiting.get(link);
    if (source === undefined) return;
    this.#waiting.delete(link);
    this.#leaveSource(source);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== this.#options.path) {
      // Somebody else's, unless there is nobody else.
      if (this.#server.listenerCount('upgrade') === 1) refuse(socket, 404);
      return;
    }
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',');
    if (!offered.some((name) => name.trim() === SUBPROTOCOL)) {
      refuse(socket, 400);
      return;
    }
    const remote = this.#remoteOf(request);
    const source = sourceOf(remote.address);
    const { maxUnauthenticated, maxUnauthenticatedPerSource } = this.#options;
    const ofSource = this.#perSource.get(source) ?? 0;
    if (
      this.#waiting.size + this.#upgrading >= maxUnauthenticated ||
      ofSource >= maxUnauthenticatedPerSource
    ) {
      refuse(socket, 503);
      return;
    }
    this.#perSource.set(source, ofSource + 1);
    this.#upgrading += 1;
    let upgraded = false;
    const leave = (): void => {
      if (upgraded) return;
      upgraded = true;
      this.#upgrading -= 1;
      this.#leaveSource(source);
    };
    // An upgrade that `ws` refuses ends the socket, and says nothing.
    socket.once('close', leave);
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      try {
        this.#take(webSocket, request, remote, source);
      } catch (error) {
        // No stranger's address may be able to end this process.
        warn('a WebSocket could not be taken', error);
        webSocket.on('error', () => {});
        webSocket.terminate();
        return;
      }
      upgraded = true;
      this.#upgrading -= 1;
      socket.removeListener('close', leave);
    });
  }

  #take(
    webSocket: WebSocket,
    request: IncomingMessage,
    remote: SocketAddress,
    source: string,
  ): void {
    const link = this.#links.add(webSocket, request.socket, remote);
    this.#waiting.set(link, source);
    const timer = setTimeout(() => {
      if (this.#waiting.has(link)) link.terminate();
    }, this.#options.handshakeTimeout);
    timer.unref();
  }

  #leaveSource(source: string): void {
    const left = (this.#perSource.get(source) ?? 1) - 1;
    if (left > 0) this.#perSource.set(source, left);
    else this.#perSource.delete(source);
  }

  #remoteOf(request: IncomingMessage): SocketAddress {
    const { remoteAddress = '0.0.0.0', remotePort = 0 } = request.socket;
    const header = this.#options.trustProxy ? request.headers['x-forwarded-for'] : undefined;
    const listed = Array.isArray(header) ? header.join(',') : header;
    const told = withoutZone(listed?.split(',').at(-1)?.trim() ?? '');
    const address = isIP(told) === 0 ? withoutZone(remoteAddress) : told;
    return { address, port: remotePort, family: isIP(address) === 6 ? 'IPv6' : 'IPv4' };
  }
}

function ownServer({ tls }: ResolvedWebSocketListen): HttpServer | HttpsServer {
  const limits = {
    headersTimeout: HEADERS_TIMEOUT,
    requestTimeout: HEADERS_TIMEOUT,
    connectionsCheckingInterval: CHECK_INTERVAL,
    maxHeaderSize: MAX_HEADERS,
    keepAliveTimeout: 1_000,
  };
  const server =
    tls === undefined
      ? createHttpServer(limits)
      : createHttpsServer({ handshakeTimeout: HEADERS_TIMEOUT, ...tls, ...limits });
  // A connection holds the process no more than the server does.
  server.on('connection', (socket) => socket.unref());
  server.on('request', (_request, response) => {
    response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' });
    response.end(NOT_HERE);
  });
  return server;
}

function refuse(socket: Duplex, status: number): void {
  socket.on('error', () => {});
  // Whoever does not close its side would hold the descriptor for as long as it likes.
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
  );
}

/** An address without the name of this machine's interface, which a link-local one has. */
function withoutZone(address: string): string {
  return address.split('%', 1)[0] ?? address;
}

/** An IPv4 address, or the /64 of an IPv6 one. */
function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const first = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : 8 - first.length - tail.split(':').length;
  const groups = [...first, ...Array<string>(Math.max(0, missing)).fill('0')];
  return groups.slice(0, 4).join(':');
}
