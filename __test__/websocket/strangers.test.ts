import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isSttError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { echo, listening, sides } from './support.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

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
      websocket: { port: 0, handshakeTimeout: 4_000 },
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
    const options = { peerNodeId: server.nodeId, transport: 'websocket' } as const;
    // The oldest gives way after two seconds: on a busy machine they may have passed by the time that one more comes.
    let refused = false;
    for (let round = 0; round < 10 && !refused; round += 1) {
      const waiting = await Promise.all(Array.from({ length: 8 }, () => open(port)));
      const gone = waiting.map((socket) => once(socket, 'close'));
      const tried = await client.connect(`127.0.0.1:${port}`, options).catch((error) => error);
      refused = isSttError(tried);
      if (refused) expect(tried).toMatchObject({ code: 0x0503, context: { httpStatus: 503 } });
      for (const socket of waiting) socket.close();
      await Promise.all(gone);
    }
    expect(refused).toBe(true);
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
        for (let at = 0; at < bytes.length; at += 1) upstream.write(bytes.subarray(at, at + 1));
      });
      upstream.on('data', (bytes) => {
        for (let at = 0; at < bytes.length; at += 1) socket.write(bytes.subarray(at, at + 1));
      });
      socket.setNoDelay(true);
      for (const end of [socket, upstream]) end.on('error', () => end.destroy());
    });
    const session = await client.connect(`127.0.0.1:${await listening(proxy)}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
    });
    await echo(session, 20_000);
    await session.close();
  });

  test('10 000 of them leave room for who has a session, and cost what the limits say', async () => {
    const most = 512;
    const { server, client, port } = await sides({
      websocket: { port: 0, maxUnauthenticated: most, maxUnauthenticatedPerSource: 64 },
    });
    const to = { peerNodeId: server.nodeId, transport: 'websocket' } as const;
    const session = await client.connect(`127.0.0.1:${port}`, to);
    const before = process.memoryUsage.rss();
    const request = [
      'GET /stt HTTP/1.1',
      'Host: x',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      'Sec-WebSocket-Protocol: stt.1',
      '\r\n',
    ].join('\r\n');
    const open = new Set<Socket>();
    onTestFinished(() => {
      for (const socket of open) socket.destroy();
    });
    /** What the server says first: an upgrade, a refusal, or nothing at all. */
    const knock = async (number: number): Promise<string> => {
      const localAddress = `127.0.${1 + (number % 40)}.1`;
      const socket = connectTcp({ port, host: '127.0.0.1', localAddress });
      socket.on('error', () => {});
      socket.on('close', () => open.delete(socket));
      open.add(socket);
      socket.write(request);
      const answer = once(socket, 'data').then(([bytes]) => String(bytes).slice(9, 12));
      return Promise.race([answer, once(socket, 'close').then(() => 'none')]).catch(() => 'none');
    };
    const answers: Record<string, number> = {};
    let next = 0;
    const knocking = Array.from({ length: 100 }, async () => {
      while (next < 10_000) {
        next += 1;
        const answer = await knock(next);
        answers[answer] = (answers[answer] ?? 0) + 1;
      }
    });
    await Promise.all(knocking);
    const { 101: upgraded = 0, 503: refused = 0, none = 0 } = answers;
    expect(upgraded + refused + none).toBe(10_000);
    expect(upgraded).toBeGreaterThanOrEqual(most);
    await expect.poll(() => open.size).toBeLessThanOrEqual(most);
    // Both ends of 512 connections, the garbage of 10 000, and nothing for each of those that are gone.
    const grown = (): number => {
      collect();
      return process.memoryUsage.rss() - before;
    };
    await expect.poll(grown, { interval: 250 }).toBeLessThan(192 << 20);
    await echo(session, 100_000);
    // Who comes from an address of its own is served, as the address that has most gives way.
    await echo(await client.connect(`127.0.0.1:${port}`, to), 1_000);
  });
});
