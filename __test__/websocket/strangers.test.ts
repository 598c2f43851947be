import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { echo, failure, listening, sides } from './support.ts';

describe('strangers', () => {
  const open = async (port: number): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/stt`, 'stt.1');
    socket.on('error', () => {});
    onTestFinished(() => socket.terminate());
    await once(socket, 'open');
    return socket;
  };

  test('who send nothing, text, too much, or rubbish are cut off; others are served', async () => {
    const { server, client, port } = await sides({
      websocket: { port: 0, handshakeTimeout: 500 },
    });
    const silent = await open(port);
    const closed = once(silent, 'close');
    const talker = await open(port);
    talker.send('hello');
    expect((await once(talker, 'close'))[0]).toBe(1_003);
    const huge = await open(port);
    huge.send(Buffer.alloc(2 << 20));
    expect((await once(huge, 'close'))[0]).toBe(1_009);
    const noisy = await open(port);
    for (let index = 0; index < 20; index += 1) noisy.send(Buffer.alloc(65_536, index));
    await once(noisy, 'close');
    await closed;
    const session = await client.connect(`127.0.0.1:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
    });
    await echo(session, 1_000);
  });

  test('more at a time than the limit are answered 503, and make room again', async () => {
    const { server, client, port } = await sides({
      websocket: { port: 0, maxUnauthenticated: 8, maxUnauthenticatedPerSource: 8 },
    });
    const waiting = await Promise.all(Array.from({ length: 8 }, () => open(port)));
    const options = { peerNodeId: server.nodeId, transport: 'websocket' } as const;
    const error = await failure(client.connect(`127.0.0.1:${port}`, options));
    expect(error).toMatchObject({ code: 0x0503, context: { httpStatus: 503 } });
    const gone = waiting.map((socket) => once(socket, 'close'));
    for (const socket of waiting) socket.close();
    await Promise.all(gone);
    const session = await client.connect(`127.0.0.1:${port}`, options);
    await echo(session, 1_000);
  });

  test('an address of an interface, as a link-local one is, ends nothing', async () => {
    const { server, client, port } = await sides({ websocket: { port: 0, trustProxy: true } });
    const headers = { 'x-forwarded-for': '192.0.2.1, fe80::1%eth0' };
    const session = await client.connect(`127.0.0.1:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
      websocket: { headers },
    });
    await echo(session, 1_000);
  });

  test('whoever was refused and does not hang up is hung up on', async () => {
    const { port } = await sides();
    const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(
      'GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    // This side never ends: what a socket that is gone answers to another word is a reset.
    const knock = setInterval(() => socket.write('?'), 10);
    onTestFinished(() => clearInterval(knock));
    const code = await new Promise((resolve) => {
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      socket.resume();
    });
    expect(['ECONNRESET', 'EPIPE']).toContain(code);
  });

  test('frames that come byte by byte are put together', async () => {
    const { server, client, port } = await sides();
    // Byte by byte on the way: a WebSocket that a poor middlebox splits.
    const proxy = createTcpServer((socket) => {
      const upstream = connectTcp(port, '127.0.0.1');
      upstream.setNoDelay(true);
      socket.on('data', (bytes) => {
        for (let at = 0; at < bytes.length; at += 7) upstream.write(bytes.subarray(at, at + 7));
      });
      upstream.pipe(socket);
      for (const end of [socket, upstream]) end.on('error', () => end.destroy());
    });
    const session = await client.connect(`127.0.0.1:${await listening(proxy)}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
    });
    await echo(session, 200_000);
    await session.close();
  });
});
