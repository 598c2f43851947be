// What stands between the two ends of a WebSocket: a relay of TCP that drops, refuses and has an idle timeout, and
// servers that come and go on one port.

import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import type { ServerOptions } from 'node:https';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { connect, createServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Context } from './context.ts';

const LOOPBACK = '127.0.0.1';

/** Listens, on any port or on one that was free a moment ago; ends with the row. */
export async function listening(context: Context, server: Server, port = 0): Promise<number> {
  server.listen(port, LOOPBACK);
  await once(server, 'listening');
  context.defer(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** Every connection of a server, so that they can be cut; none outlives the row. */
export function connectionsOf(context: Context, server: Server): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  context.defer(() => {
    for (const socket of sockets) socket.destroy();
  });
  return sockets;
}

/** A web server that has no WebSocket: answers everything, upgrades too, by `answer`. */
export async function webServer(
  context: Context,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  tls?: ServerOptions,
): Promise<{ readonly server: HttpServer; readonly port: number }> {
  const server = tls === undefined ? createHttpServer(answer) : createHttpsServer(tls, answer);
  connectionsOf(context, server);
  return { server, port: await listening(context, server) };
}

/** A relay of TCP to a port, as load balancers and proxies of that layer are. */
export class Gateway {
  readonly port: number;
  /** Connections that it took since it was made. */
  taken = 0;
  /** Those that it dropped for being idle. */
  dropped = 0;
  /** Milliseconds of silence after which it drops a connection; 0: never. */
  idleTimeout = 0;

  /** Called at each of those. */
  onDrop: () => void = () => undefined;

  readonly #context: Context;
  readonly #to: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  static async to(context: Context, port: number): Promise<Gateway> {
    const server = createServer();
    return new Gateway(context, port, server, await listening(context, server));
  }

  private constructor(context: Context, to: number, server: Server, port: number) {
    this.#context = context;
    this.#to = to;
    this.#server = server;
    this.port = port;
    this.#sockets = connectionsOf(context, server);
    server.on('connection', (socket) => this.#relay(socket));
  }

  /** Takes no new connection: whoever tries is refused. */
  closeDoor(): void {
    this.#server.close();
  }

  /** Takes connections again, on the same port. */
  async openDoor(): Promise<void> {
    await listening(this.#context, this.#server, this.port);
  }

  /** Ends all connections, each with a FIN. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends all connections with a RST, at both ends. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  #relay(socket: Socket): void {
    this.taken += 1;
    const upstream = connect(this.#to, LOOPBACK);
    socket.on('error', () => upstream.resetAndDestroy());
    upstream.on('error', () => socket.resetAndDestroy());
    join(socket, upstream);
    let silent: NodeJS.Timeout | undefined;
    const heard = (): void => {
      clearTimeout(silent);
      if (this.idleTimeout === 0) return;
      silent = setTimeout(() => {
        this.dropped += 1;
        this.onDrop();
        socket.destroy();
      }, this.idleTimeout);
    };
    for (const end of [socket, upstream]) end.on('data', heard);
    socket.once('close', () => clearTimeout(silent));
    heard();
  }
}

/** What comes by one goes out by the other; neither outlives the other. */
export function join(one: Duplex, other: Duplex): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    if (from instanceof Socket) from.setNoDelay(true);
    from.on('error', () => to.destroy());
    from.once('close', () => to.destroy());
    from.pipe(to);
  }
}

/** The status line and body of an answer that is no upgrade. */
export function plain(response: ServerResponse, status: number): void {
  assert(!response.headersSent);
  response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' });
  response.end('This is a page.\n');
}
