// A user-space wire between two endpoints that keeps what passes, loses what it is told to, can give the
// initiator another address, as a NAT or a change of network does, and leads from a second one of its own.

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
  /** The initiator's own address, before the wire gave it another. */
  readonly local: string;
}

/** Says which datagrams, by their index, are lost. */
export type Loses = (index: number, from: Role, bytes: Buffer) => boolean;

interface Outside {
  readonly socket: Socket;
  readonly path: Path;
  readonly local: string;
}

const HOME = '127.0.0.1';

export class Wire {
  readonly datagrams: Datagram[] = [];
  readonly #inside: Socket;
  readonly #responder: number;
  readonly #loses: Loses;
  /** Every address that the initiator had; of those from one of its own, the present one last. */
  readonly #outside: Outside[] = [];
  #initiator = 0;

  private constructor(inside: Socket, responder: number, loses: Loses) {
    this.#inside = inside;
    this.#responder = responder;
    this.#loses = loses;
    inside.on('message', (bytes, { address, port }) => {
      this.#initiator = port;
      const outside = this.#present(address);
      if (outside === undefined) return;
      if (this.#keep('initiator', bytes, outside)) outside.socket.send(bytes, responder, HOME);
    });
  }

  /** A wire to the responder's port of 127.0.0.1. */
  static async to(responder: number, loses: Loses = () => false): Promise<Wire> {
    const wire = new Wire(await bound(HOME), responder, loses);
    await wire.move(HOME);
    return wire;
  }

  /** Where the initiator is to connect to. */
  get port(): number {
    return (this.#inside.address() as AddressInfo).port;
  }

  /**
   * From here on the responder sees the initiator, as far as it sends from `local`, at another port of this
   * address; the one before is dead.
   */
  async move(host: string, local = HOME): Promise<Path> {
    const socket = await bound(host);
    const path = { host, port: (socket.address() as AddressInfo).port };
    const outside = { socket, path, local };
    socket.on('message', (bytes, { port }) => {
      if (port !== this.#responder) return;
      const alive = outside === this.#present(local);
      if (this.#keep('responder', bytes, outside, alive)) {
        this.#inside.send(bytes, this.#initiator, local);
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

  #present(local: string): Outside | undefined {
    return this.#outside.filter((outside) => outside.local === local).at(-1);
  }

  /** Whether it is to be handed on. */
  #keep(from: Role, bytes: Buffer, { path, local }: Outside, alive = true): boolean {
    const delivered = alive && !this.#loses(this.datagrams.length, from, bytes);
    this.datagrams.push({ from, bytes, delivered, path, local });
    return delivered;
  }
}

async function bound(host: string): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
  socket.bind(0, host);
  await once(socket, 'listening');
  return socket;
}
