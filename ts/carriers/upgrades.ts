import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { SttOptionError } from '../errors/local.ts';

/** Takes the upgrades of one path. */
export interface UpgradeHandler {
  readonly path: string;
  /** Milliseconds that an upgrade of a path which nobody has may wait for somebody else on its server. */
  readonly patience: number;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Those of each server, so that several listeners on one know of each other. */
const ofServers = new WeakMap<HttpServer | HttpsServer, Upgrades>();

/** The upgrades of a server, by path. What has another path is left to whoever else listens for upgrades. */
export class Upgrades {
  readonly #server: HttpServer | HttpsServer;
  readonly #handlers = new Map<string, UpgradeHandler>();
  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
    this.#upgrade(request, socket, head);

  private constructor(server: HttpServer | HttpsServer) {
    this.#server = server;
  }

  static of(server: HttpServer | HttpsServer): Upgrades {
    let upgrades = ofServers.get(server);
    if (upgrades === undefined) {
      upgrades = new Upgrades(server);
      ofServers.set(server, upgrades);
    }
    return upgrades;
  }

  /** @throws {SttOptionError} when another listener has that path. */
  add(handler: UpgradeHandler): void {
    if (this.#handlers.has(handler.path)) {
      throw new SttOptionError(
        'websocket.path',
        `'${handler.path}' is taken: another endpoint listens there on the same server`,
      );
    }
    if (this.#handlers.size === 0) this.#server.on('upgrade', this.#onUpgrade);
    this.#handlers.set(handler.path, handler);
  }

  remove({ path }: UpgradeHandler): void {
    this.#handlers.delete(path);
    if (this.#handlers.size === 0) this.#server.removeListener('upgrade', this.#onUpgrade);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const handler = this.#handlers.get((request.url ?? '').split('?', 1)[0] ?? '');
    const toWebSocket = /^websocket$/i.test((request.headers.upgrade ?? '').trim());
    if (handler !== undefined && toWebSocket) handler.upgrade(request, socket, head);
    else if (this.#server.listenerCount('upgrade') > 1) this.#leave(socket);
    else if (!toWebSocket) this.#asOrdinary(request, socket, head);
    else refuse(socket, 404);
  }

  /** It is somebody else's; but a socket of which nobody wants to know is nobody's to keep. */
  #leave(socket: Duplex): void {
    // Until somebody takes it, nobody else hears that the peer has reset it: that would end this process.
    socket.on('error', () => {});
    const patience = Math.max(...[...this.#handlers.values()].map((handler) => handler.patience));
    const timer = setTimeout(() => {
      const taken =
        (socket as Socket).bytesWritten > 0 ||
        socket.writableLength > 0 ||
        socket.listenerCount('data') + socket.listenerCount('readable') > 0;
      if (!taken && !socket.destroyed) refuse(socket, 404);
    }, patience);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }

  /**
   * Without a listener for upgrades, Node takes such a request as any other, as one that only offers h2c. That there
   * is a listener now, for a path of this library, must not change it: the request is read again, without its offer.
   */
  #asOrdinary(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { method, url, httpVersion, rawHeaders } = request;
    const lines = [`${method} ${url} HTTP/${httpVersion}`];
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at] ?? '';
      if (!/^upgrade$/i.test(name)) lines.push(`${name}: ${rawHeaders[at + 1]}`);
    }
    socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
    this.#server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket);
  }
}

/** Answers an upgrade with a status, and ends its connection. */
export function refuse(socket: Duplex, status: number): void {
  socket.on('error', () => {});
  endWell(
    socket,
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
  );
}

/** Whoever does not close its side would hold the descriptor for as long as it likes. */
function endWell(socket: Duplex, words?: string): void {
  socket.once('finish', () => socket.destroy());
  socket.end(words);
}
