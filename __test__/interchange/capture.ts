// A user-space wire between two endpoints that keeps what passes, loses what it is told to, and can give
// the initiator another address, as a NAT or a change of network does.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

/** Who sent a datagram. */
export type Role = 'initiator' | 'responder';

/** The address that the responder sees the initiator at. */
export interface Path {
  readonly host: string;
  readonly port: number;
}

/** One datagram in the order in which the wire saw it. */
export interface Datagram {
  readonly from: Role;
  readonly bytes: Buffer;
  /** Whether it was handed on to the other side. */
  readonly delivered: boolean;
  readonly path: Path;
}

/** Says which datagrams, by their index, are lost. */
export type Loses = (index: number, from: Role) => boolean;

interface Outside {
  readonly socket: Socket;
  readonly path: Path;
}

export class Wire {
  readonly datagrams: Datagram[] = [];
  readonly #inside: Socket;
  readonly #responder: number;
  readonly #loses: Loses;
  /** Every address that the initiator had, the present one last. */
  readonly #outside: Outside[] = [];
  #initiator = 0;

  private constructor(inside: Socket, responder: number, loses: Loses) {
    this.#inside = inside;
    this.#responder = responder;
    this.#loses = loses;
    inside.on('message', (bytes, { port }) => {
      this.#initiator = port;
      const { socket, path } = this.#outside.at(-1) as Outside;
      if (this.#keep('initiator', bytes, path)) socket.send(bytes, responder, '127.0.0.1');
    });
  }

  /** A wire to the responder's port of 127.0.0.1. */
  static async to(responder: number, loses: Loses = () => false): Promise<Wire> {
    const wire = new Wire(await bound('127.0.0.1'), responder, loses);
    await wire.move('127.0.0.1');
    return wire;
  }

  /** Where the initiator is to connect to. */
  get port(): number {
    return (this.#inside.address() as AddressInfo).port;
  }

  /** From here on the responder sees the initiator at another port of this address; the old one is dead. */
  async move(host: string): Promise<Path> {
    const socket = await bound(host);
    const path = { host, port: (socket.address() as AddressInfo).port };
    const outside = { socket, path };
    socket.on('message', (bytes, { port }) => {
      if (port !== this.#responder) return;
      const alive = outside === this.#outside.at(-1);
      if (this.#keep('responder', bytes, path, alive)) {
        this.#inside.send(bytes, this.#initiator, '127.0.0.1');
      }
    });
    this.#outside.push(outside);
    return path;
  }

  async close(): Promise<void> {
    for (const socket of [this.#inside, ...this.#outside.map((outside) => outside.socket)]) {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    }
  }

  /** Whether it is to be handed on. */
  #keep(from: Role, bytes: Buffer, path: Path, alive = true): boolean {
    const delivered = alive && !this.#loses(this.datagrams.length, from);
    this.datagrams.push({ from, bytes, delivered, path });
    return delivered;
  }
}

async function bound(host: string): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
  socket.bind(0, host);
  await once(socket, 'listening');
  return socket;
}
