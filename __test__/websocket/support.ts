import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo, createServer as createTcpServer } from 'node:net';
import type { SttSession } from '@seigr/stt';
import { generateSeed, type SttEndpoint, SttError } from '@seigr/stt';
import { expect, onTestFinished } from 'vitest';
import { endpoint } from '../contract/pair.ts';

/** A server that echoes what each stream brings, and a client for it. */
export async function sides(
  listen: NonNullable<Parameters<SttEndpoint['listen']>[0]> = {},
  keepAliveTimeout = 30_000,
): Promise<{ server: SttEndpoint; client: SttEndpoint; port: number; accepted: SttSession[] }> {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const client = await endpoint({ sharedSeed, keepAliveTimeout });
  const accepted: SttSession[] = [];
  const listener = server.serve(
    async (session) => {
      accepted.push(session);
      for await (const stream of session.incomingBidirectionalStreams) {
        stream
          .write(await stream.bytes())
          .then(() => stream.end())
          .catch(() => {});
      }
    },
    { websocket: { port: 0 }, ...listen, onError: () => {} },
  );
  await listener.ready;
  return { server, client, port: listener.websocketAddress?.port ?? 0, accepted };
}

export async function echo(session: SttSession, size: number): Promise<void> {
  const stream = await session.createBidirectionalStream();
  const sent = Buffer.alloc(size, 0x5a);
  await stream.write(sent);
  await stream.end();
  expect(Buffer.compare(await stream.bytes(), sent)).toBe(0);
}

export async function listening(
  server: Server | ReturnType<typeof createTcpServer>,
): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

export async function failure(promise: Promise<unknown>): Promise<SttError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SttError);
  return error as SttError;
}
