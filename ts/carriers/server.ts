import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import type { SocketAddress } from '../address.ts';
import { startError } from '../errors/system.ts';
import { warn } from '../events.ts';
import { loadWs } from './dial.ts';
import type { Link } from './link.ts';
import { MAX_FRAGMENTS, MAX_MESSAGE } from './link.ts';
import type { Links } from './links.ts';
import type { ResolvedWebSocketListen } from './options.ts';
import { SUBPROTOCOL } from './options.ts';
import { OwnServer } from './own-server.ts';
import { Sources, sourceOf } from './source.ts';
import { refuse, Upgrades } from './upgrades.ts';
import type { Place } from './waiting.ts';
import { Waiting } from './waiting.ts';

/** Takes the WebSockets of peers, and hands each to the endpoint as a link. */
export class WebSocketListener {
  readonly path: string;
  readonly patience: number;
  readonly #options: ResolvedWebSocketListen;
  readonly #links: Links;
  /** Undefined for a server that was there. */
  readonly #own: OwnServer | undefined;
  readonly #server: HttpServer | HttpsServer;
  readonly #sockets: WebSocketServer;
  readonly #sources: Sources;
  /** Upgrades, and links without a session. */
  readonly #waiting: Waiting;
  readonly #places = new Map<Link, Place>();
  /** Ends the wait for the port, which a server that is closed meanwhile says nothing of. */
  #settleListening: (() => void) | undefined;

  /** @throws {SttOptionError} when another listener has the path on that server. */
  constructor(options: ResolvedWebSocketListen, links: Links) {
    this.path = options.path;
    this.patience = options.handshakeTimeout;
    this.#options = options;
    this.#links = links;
    this.#sources = new Sources(options.trustProxy);
    this.#waiting = new Waiting(options.maxUnauthenticated, options.maxUnauthenticatedPerSource);
    const { WebSocketServer: Sockets } = loadWs();
    this.#sockets = new Sockets({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE,
      maxFragments: MAX_FRAGMENTS,
      skipUTF8Validation: true,
      clientTracking: false,
      handleProtocols: () => SUBPROTOCOL,
    });
    this.#own = options.server === undefined ? new OwnServer(options, this.#sources) : undefined;
    this.#server = options.server ?? (this.#own as OwnServer).server;
    Upgrades.of(this.#server).add(this);
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
    Upgrades.of(this.#server).remove(this);
    if (this.#own !== undefined) {
      this.#own.close();
      this.#settleListening?.();
    }
    for (const link of [...this.#places.keys()]) link.terminate();
  }

  /** The link has a session, or is gone. */
  settled(link: Link): void {
    const place = this.#places.get(link);
    if (place === undefined) return;
    this.#places.delete(link);
    this.#waiting.leave(place);
  }

  /** Takes an upgrade of this path. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#own?.asked(socket);
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',');
    if (!offered.some((name) => name.trim() === SUBPROTOCOL)) {
      refuse(socket, 400);
      return;
    }
    const remote = this.#sources.remoteOf(request);
    const place = this.#waiting.enter(sourceOf(remote.address), () => socket.destroy());
    if (place === undefined) {
      refuse(socket, 503);
      return;
    }
    // An upgrade that `ws` refuses ends the socket, and says nothing.
    const leave = (): void => this.#waiting.leave(place);
    socket.once('close', leave);
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      try {
        this.#take(webSocket, request, remote, place);
      } catch (error) {
        // No stranger's address may be able to end this process.
        warn('a WebSocket could not be taken', error);
        webSocket.on('error', () => {});
        webSocket.terminate();
        return;
      }
      socket.removeListener('close', leave);
    });
  }

  #take(webSocket: WebSocket, request: IncomingMessage, remote: SocketAddress, place: Place): void {
    const link = this.#links.add(webSocket, request.socket, 'server', remote);
    this.#places.set(link, place);
    const timer = setTimeout(() => {
      if (this.#places.has(link)) link.terminate();
    }, this.#options.handshakeTimeout);
    timer.unref();
  }
}
