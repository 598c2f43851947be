import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { EndpointOptions, ListenOptions, SttListener, SttSession } from '@seigr/stt';
import { generateSeed, SttEndpoint } from '@seigr/stt';
import { expect, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';

/** An endpoint behind the proxy, as long as the file's tests run. */
export interface Backend {
  readonly endpoint: SttEndpoint;
  readonly listener: SttListener;
  /** Its sessions, in the order in which they came. */
  readonly accepted: SttSession[];
}

export const sharedSeed: Uint8Array = generateSeed();

/** A server as backends have: without TLS, for whoever is on this machine. */
export async function webServer(): Promise<{ server: Server; port: number }> {
  const server = createServer((_request, response) => response.end('a page'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

/** Takes sessions at a path of that server, as behind a proxy on this machine, and echoes what each stream brings. */
export async function backend(
  websocket: NonNullable<ListenOptions['websocket']>,
  options: Partial<EndpointOptions> = {},
): Promise<Backend> {
  const endpoint = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1', ...options });
  const accepted: SttSession[] = [];
  const listener = endpoint.serve(
    async (session) => {
      accepted.push(session);
      for await (const stream of session.incomingBidirectionalStreams) {
        void (async () => {
          for await (const chunk of stream) await stream.write(chunk);
          await stream.end();
        })().catch(() => {});
      }
    },
    { websocket: { trustProxy: ['127.0.0.1'], ...websocket }, onError: () => {} },
  );
  await listener.ready;
  return { endpoint, listener, accepted };
}

/** A client that goes when the test ends. */
export async function connector(options: Partial<EndpointOptions> = {}): Promise<SttEndpoint> {
  const endpoint = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1', ...options });
  onTestFinished(() => endpoint.destroy());
  return endpoint;
}

/** Sends bytes there and back while it calls `during`, and compares them. */
export async function transfer(
  session: SttSession,
  size: number,
  during: () => void | Promise<void> = () => {},
): Promise<void> {
  const stream = await session.createBidirectionalStream();
  const hashes = [createHash('sha256'), createHash('sha256')] as const;
  const sending = (async () => {
    for (let at = 0; at < size; at += 65_536) {
      const chunk = Buffer.alloc(Math.min(65_536, size - at), at >> 16);
      hashes[0].update(chunk);
      await stream.write(chunk);
      if (at < size / 3 && at + 65_536 >= size / 3) await during();
    }
    await stream.end();
  })();
  for await (const chunk of stream) hashes[1].update(chunk);
  await sending;
  expect(hashes[1].digest('hex')).toBe(hashes[0].digest('hex'));
}

/** A way to a TCP port that can cut all that goes by it. */
export async function cutter(port: number): Promise<{ port: number; cut: () => void }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    const upstream = connectTcp(port, '127.0.0.1');
    for (const end of [socket, upstream]) {
      sockets.add(end);
      end.on('error', () => end.destroy());
      end.on('close', () => sockets.delete(end));
    }
    socket.pipe(upstream).pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(() => {
    server.close();
    cut();
  });
  return { port: (server.address() as AddressInfo).port, cut };
}

/** A stranger's WebSocket from that address of this machine: open, or the status that it was refused with. */
export async function stranger(url: string, localAddress: string): Promise<number> {
  const socket = new WebSocket(url, 'stt.1', { localAddress });
  onTestFinished(() => socket.terminate());
  socket.on('error', () => {});
  return new Promise((resolve) => {
    socket.on('open', () => resolve(101));
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
  });
}

/** Waits until a session's packets go by that carrier. */
export async function becomes(session: SttSession, transport: 'udp' | 'websocket'): Promise<void> {
  while (session.transport !== transport) {
    await new Promise<void>((resolve) => session.once('pathChange', () => resolve()));
  }
}
