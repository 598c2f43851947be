import type { Server as HttpServer } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ResolvedWebSocketListen } from './options.ts';
import type { Sources } from './source.ts';
import { connectionKey, sourceOf } from './source.ts';
import type { Place } from './waiting.ts';
import { Waiting } from './waiting.ts';

/** Milliseconds for TLS, and for the headers of a request, and how often slow ones are looked for. */
const HEADERS_TIMEOUT = 10_000;
const CHECK_INTERVAL = 2_000;
/** Bytes of the headers of an upgrade. */
const MAX_HEADERS = 16 * 1024;

const NOT_HERE = 'This is an STT endpoint: it takes WebSockets of subprotocol stt.1 alone.\n';

/**
 * A web server that is there for upgrades alone. Connections that have not asked for one are bounded in number and
 * time, as they cost a descriptor whatever they say or do not say.
 */
export class OwnServer {
  readonly server: HttpServer | HttpsServer;
  readonly #sources: Sources;
  readonly #waiting: Waiting;
  readonly #fromProxies: Waiting;
  /** Those that have not asked yet. */
  readonly #places = new Map<string, () => void>();

  constructor(options: ResolvedWebSocketListen, sources: Sources) {
    const { tls, maxUnauthenticated, maxUnauthenticatedPerSource } = options;
    this.#sources = sources;
    this.#waiting = new Waiting(maxUnauthenticated, maxUnauthenticatedPerSource);
    // Who comes by a proxy is known only once it has asked.
    this.#fromProxies = new Waiting(maxUnauthenticated, maxUnauthenticated);
    const limits = {
      headersTimeout: HEADERS_TIMEOUT,
      requestTimeout: HEADERS_TIMEOUT,
      connectionsCheckingInterval: CHECK_INTERVAL,
      maxHeaderSize: MAX_HEADERS,
    };
    this.server =
      tls === undefined
        ? createHttpServer(limits)
        : createHttpsServer({ handshakeTimeout: HEADERS_TIMEOUT, ...tls, ...limits });
    this.server.on('connection', (socket: Socket) => this.#onConnection(socket));
    this.server.on('request', (_request, response) => {
      const headers = { 'content-type': 'text/plain', upgrade: 'websocket', connection: 'close' };
      response.writeHead(426, headers).end(NOT_HERE);
    });
  }

  /** Ends those that have not become a WebSocket; links that have a session live on. */
  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  /** A connection has asked for its upgrade. */
  asked(socket: Duplex): void {
    this.#places.get(connectionKey(socket))?.();
  }

  #onConnection(socket: Socket): void {
    // A connection holds the process no more than the server does.
    socket.unref();
    const { remoteAddress } = socket;
    // It has gone already.
    if (remoteAddress === undefined) return;
    const waiting = this.#sources.trusts(remoteAddress) ? this.#fromProxies : this.#waiting;
    const place: Place | undefined = waiting.enter(sourceOf(remoteAddress), () => socket.destroy());
    if (place === undefined) {
      socket.destroy();
      return;
    }
    const key = connectionKey(socket);
    const leave = (): void => {
      this.#places.delete(key);
      waiting.leave(place);
      socket.removeListener('close', leave);
    };
    this.#places.set(key, leave);
    socket.once('close', leave);
  }
}
