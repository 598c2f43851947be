// Both sides of a tunnel in processes of their own, with this process as the client and what is connected to.

import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { onTestFinished } from 'vitest';
import { closedPort } from '../contract/pair.ts';
import { Stt, seedFile, temporaryFolder, within } from './stt.ts';

/** Something that takes TCP connections, as long as the test runs. */
export interface TcpTarget {
  readonly port: number;
  readonly server: Server;
  readonly sockets: Socket[];
  /** The next connection that comes. */
  next(): Promise<Socket>;
}

/** Listens on loopback; without a handler, connections wait for `next()`. */
export async function tcpTarget(handler?: (socket: Socket) => void): Promise<TcpTarget> {
  const sockets: Socket[] = [];
  const waiting: ((socket: Socket) => void)[] = [];
  const queued: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (handler !== undefined) handler(socket);
    else if (waiting.length > 0) waiting.shift()?.(socket);
    else queued.push(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const next = (): Promise<Socket> => {
    const socket = queued.shift();
    if (socket !== undefined) return Promise.resolve(socket);
    return within(new Promise((resolve) => waiting.push(resolve)), 'a connection');
  };
  return { port: (server.address() as AddressInfo).port, server, sockets, next };
}

/** What is sent comes back, and its end. */
export function echo(socket: Socket): void {
  socket.pipe(socket);
}

/** Connects to a port of loopback. What comes is not read before somebody asks. */
export async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  await within(once(socket, 'connect'), 'a connection to the tunnel');
  socket.on('error', () => undefined);
  return socket;
}

/** All that comes until FIN. */
export async function all(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk)).resume();
  await within(
    new Promise<void>((resolve, reject) => {
      socket.once('end', resolve).once('error', reject);
      socket.once('close', () => reject(new Error('closed before its end')));
    }),
    'the end of a connection',
  );
  return Buffer.concat(chunks);
}

/** Sends that, and gives what comes back up to the end. */
export async function exchange(port: number, bytes: string | Uint8Array): Promise<string> {
  const socket = await dial(port);
  socket.end(bytes);
  return (await all(socket)).toString();
}

/** The code that a connection ends with. */
export async function failure(socket: Socket): Promise<string> {
  socket.resume();
  const failed = new Promise<string>((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.once('close', (hadError) => {
      if (!hadError) reject(new Error('it was closed without an error'));
    });
  });
  return within(failed, 'a connection to fail');
}

/** The code that a connection to a port of loopback ends with; the reset may come before it is known to be open. */
export function refused(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  return failure(socket);
}

/** A tunnel whose two sides can be ended and started again. */
export class Tunnel {
  readonly #seed: string;
  readonly #env: NodeJS.ProcessEnv;
  far!: Stt;
  near!: Stt;
  /** Of the far side. */
  port: number;
  nodeId = '';
  /** Where connections are taken. */
  local = 0;

  private constructor(seed: string, env: NodeJS.ProcessEnv, port: number) {
    this.#seed = seed;
    this.#env = env;
    this.port = port;
  }

  static async make(): Promise<Tunnel> {
    const folder = await temporaryFolder();
    // A port that was chosen has a node id that lasts.
    return new Tunnel(await seedFile(folder), { XDG_STATE_HOME: folder }, await closedPort());
  }

  /** Both sides, with one target, which is allowed. */
  static async to(target: { readonly port: number }, ...more: string[]): Promise<Tunnel> {
    const tunnel = await Tunnel.make();
    await tunnel.serve('--allow', `127.0.0.1:${target.port}`);
    await tunnel.forward(`127.0.0.1:${target.port}`, ...more);
    return tunnel;
  }

  get seed(): string {
    return this.#seed;
  }

  /** Starts the far side, on the port that it had before. */
  async serve(...more: string[]): Promise<void> {
    const listen = ['--serve', '--listen', `127.0.0.1:${this.port}`];
    this.far = this.start(...listen, ...more);
    const { nodeId } = await this.far.record(({ event }) => event === 'serving');
    this.nodeId = nodeId as string;
  }

  /** Starts the near side. */
  async forward(target: string, ...more: string[]): Promise<void> {
    await this.forwardBy(this.port, target, ...more);
  }

  /** The same by another port of the far side, as that of a relay. */
  async forwardBy(port: number, target: string, ...more: string[]): Promise<void> {
    this.near = this.start('0', `127.0.0.1:${port}:${target}`, ...more);
    const record = await this.near.record(({ event }) => event === 'forwarding');
    this.local = record.port as number;
  }

  start(...args: string[]): Stt {
    return this.startOther('tunnel', ...args);
  }

  /** Another command, with the same seed. */
  startOther(...args: string[]): Stt {
    return new Stt([...args, '--seed-file', this.#seed, '--json'], { env: this.#env });
  }
}
