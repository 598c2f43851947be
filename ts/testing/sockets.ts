// Plain UDP sockets on 127.0.0.1: what stands where no peer does.

import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** The address on which everything here happens. */
export const LOOPBACK = '127.0.0.1';

/** Tries before it is given up to take a port. */
const TRIES = 20;

/** Above what services have, and below the ports that systems choose: those of Linux begin at 32768. */
const FIRST_PORT = 20_000;
const END_OF_PORTS = 32_768;

/** Closed ports that were found by this process; the others of it may use theirs. */
const given = new Set<number>();

/** A bound socket and its port. */
export interface BoundSocket {
  readonly port: number;
  /** Closes it; its port is free once this resolves. */
  close(): Promise<void>;
}

/** Binds a socket, to a port that the system chooses unless one is given. */
export async function bindSocket(port = 0): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(port, LOOPBACK);
  try {
    await once(socket, 'listening');
  } catch (error) {
    socket.close();
    throw error;
  }
  // What a peer's host reports about one datagram must not end what carries all of them.
  socket.on('error', () => undefined);
  return socket;
}

/** Closes a socket. */
export async function closeSocket(socket: Socket): Promise<void> {
  socket.close();
  await once(socket, 'close');
}

/** A bound socket that never answers. */
export async function silentSocket(port = 0): Promise<BoundSocket> {
  const socket = await bindSocket(port);
  return { port: socket.address().port, close: () => closeSocket(socket) };
}

/**
 * A port of 127.0.0.1 on which nobody listens, by UDP or TCP. It is none that a system gives out by itself, so nobody
 * is likely to have it when it is used a moment later.
 */
export async function closedPort(): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const port = randomInt(FIRST_PORT, END_OF_PORTS);
    if (given.has(port)) continue;
    try {
      await (await silentSocket(port)).close();
      const server = createServer().listen(port, LOOPBACK);
      await once(server, 'listening');
      server.close();
      await once(server, 'close');
      given.add(port);
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || tries === TRIES) throw error;
    }
  }
}

/**
 * A socket that owns its port even while it hears one peer only: the system releases a port that it
 * chose itself when a socket lets go of its peer, so the port has to be asked for by its number.
 */
export async function bindKeptPort(): Promise<Socket> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await bindSocket(await closedPort());
    } catch (error) {
      // Somebody else was given it in between.
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || tries === TRIES) throw error;
    }
  }
}
