// A user-space wire between two endpoints that keeps what passes, and loses what it is told to.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

/** Who sent a datagram. */
export type Role = 'initiator' | 'responder';

/** One datagram in the order in which the wire saw it. */
export interface Datagram {
  readonly from: Role;
  readonly bytes: Buffer;
  /** Whether it was handed on to the other side. */
  readonly delivered: boolean;
}

export class Wire {
  readonly datagrams: Datagram[] = [];
  readonly #socket: Socket;
  readonly #responder: number;
  readonly #loses: (index: number, from: Role) => boolean;
  #initiator = 0;

  private constructor(
    socket: Socket,
    responder: number,
    loses: (index: number, from: Role) => boolean,
  ) {
    this.#socket = socket;
    this.#responder = responder;
    this.#loses = loses;
    socket.on('message', (bytes, { port }) => this.#pass(bytes, port));
  }

  /** A wire to the responder's port of 127.0.0.1. `loses` says which datagrams, by their index, it loses. */
  static async to(
    responder: number,
    loses: (index: number, from: Role) => boolean = () => false,
  ): Promise<Wire> {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new Wire(socket, responder, loses);
  }

  /** Where the initiator is to connect to. */
  get port(): number {
    return (this.#socket.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }

  #pass(bytes: Buffer, port: number): void {
    const from = port === this.#responder ? 'responder' : 'initiator';
    if (from === 'initiator') this.#initiator = port;
    const delivered = !this.#loses(this.datagrams.length, from);
    this.datagrams.push({ from, bytes, delivered });
    const to = from === 'initiator' ? this.#responder : this.#initiator;
    if (delivered) this.#socket.send(bytes, to, '127.0.0.1');
  }
}
