// Whose doing it was, for the errors of connects that fail before a packet is sent, and of streams.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SttError } from '@seigr/stt';
import { expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, pair, streamPair } from './pair.ts';

const BY_WEBSOCKET = { peerNodeId: 'any', transport: 'websocket', proxy: false } as const;

async function failure(promise: Promise<unknown>): Promise<SttError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SttError);
  return error as SttError;
}

/** A web server that knows no upgrade; its port. */
async function webServer(): Promise<number> {
  const server = createServer((_request, response) => void response.end('a page'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

test('a connect by WebSocket that fails says where', async () => {
  const client = await endpoint();
  const web = `127.0.0.1:${await webServer()}`;
  const refused = `127.0.0.1:${await closedPort()}`;
  const tries = [
    client.connect(web, BY_WEBSOCKET),
    client.connect(web, { ...BY_WEBSOCKET, tls: true }),
    client.connect(refused, BY_WEBSOCKET),
  ];
  const errors = await Promise.all(tries.map(failure));
  expect(errors.map(({ code }) => code)).toEqual([0x0503, 0x0504, 0x0102]);
  for (const { origin } of errors) expect(origin).toBe('path');
});

test('a proxy that nobody runs is named, and not the peer behind it', async () => {
  const client = await endpoint();
  const proxy = `http://user:hunter2@127.0.0.1:${await closedPort()}`;
  const error = await failure(client.connect('192.0.2.1:7788', { ...BY_WEBSOCKET, proxy }));
  expect(error).toMatchObject({ code: 0x0102, origin: 'path' });
  expect(error.message).toMatch(/^TCP to the proxy http:\/\/127\.0\.0\.1:\d+ was refused/);
  expect(error.message).toContain('Start the proxy, or correct its address');
  expect(JSON.stringify(error)).not.toContain('hunter2');
});

test('a name without an address is of the path, an address that does not fit of this side', async () => {
  const client = await endpoint();
  const any = { peerNodeId: 'any' } as const;
  expect(await failure(client.connect('nowhere.invalid:9', any))).toMatchObject({
    code: 0x0104,
    origin: 'path',
  });
  expect(await failure(client.connect('[::1]:9', any))).toMatchObject({
    code: 0x0104,
    origin: 'local',
  });
});

test('a stream that was reset, stopped or ended says by whom', async () => {
  const both = await pair();
  const { opened, incoming } = await streamPair(both);
  opened.reset(7);
  expect(await failure(opened.write('x'))).toMatchObject({ code: 0x0301, origin: 'local' });
  expect(await failure(incoming.text())).toMatchObject({ code: 0x0301, origin: 'peer' });
  incoming.reset(8);
  expect(await failure(opened.text())).toMatchObject({ code: 0x0301, origin: 'peer' });
  const other = await streamPair(both);
  other.incoming.stop(9);
  expect(await failure(other.opened.closed)).toMatchObject({ code: 0x0301, origin: 'peer' });
  expect(await failure(other.incoming.text())).toMatchObject({ code: 0x0301, origin: 'local' });
});
