import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { makeCertificates } from './certificates.ts';
import { frame, rawClient } from './raw.ts';
import { echo, failure, listening, sides } from './support.ts';

const REQUEST = 'GET /stt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';

/** A TCP connection from that address of this machine, and whether it has ended. */
function open(port: number, localAddress = '127.0.0.1'): Socket & { over?: boolean } {
  const socket: Socket & { over?: boolean } = connectTcp({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  socket.on('close', () => {
    socket.over = true;
  });
  socket.resume();
  onTestFinished(() => void socket.destroy());
  return socket;
}

describe('slow strangers', () => {
  test('requests that never end are bounded by source, and keep no other source out', async () => {
    const { server, client, port } = await sides({
      websocket: {
        port: 0,
        maxUnauthenticated: 32,
        maxUnauthenticatedPerSource: 24,
        handshakeTimeout: 120_000,
      },
    });
    const slow = Array.from({ length: 80 }, (_, index) => {
      const socket = open(port, `127.0.0.${10 + (index % 2)}`);
      socket.write(REQUEST);
      return socket;
    });
    // A byte now and then, each of which is a header that goes on.
    const drip = setInterval(() => {
      for (const socket of slow) if (socket.over !== true) socket.write('X');
    }, 10);
    onTestFinished(() => clearInterval(drip));
    await expect.poll(() => slow.filter(({ over }) => over !== true).length).toBe(32);
    for (let round = 0; round < 3; round += 1) {
      const session = await client.connect(`127.0.0.1:${port}`, {
        peerNodeId: server.nodeId,
        transport: 'websocket',
      });
      await echo(session, 1_000);
    }
    expect(slow.filter(({ over }) => over !== true).length).toBeGreaterThan(0);
  });

  test('connections that say nothing are bounded as well, with TLS and without', async () => {
    const { ca, good } = makeCertificates();
    for (const tls of [undefined, good]) {
      const { server, client, port } = await sides({
        websocket: {
          port: 0,
          maxUnauthenticatedPerSource: 8,
          handshakeTimeout: 120_000,
          ...(tls && { tls }),
        },
      });
      const idle = Array.from({ length: 20 }, () => open(port, '127.0.0.10'));
      await expect.poll(() => idle.filter(({ over }) => over !== true).length).toBe(8);
      const session = await client.connect(`localhost:${port}`, {
        peerNodeId: server.nodeId,
        transport: 'websocket',
        ...(tls && { tls: { ca } }),
      });
      await echo(session, 1_000);
      await session.close();
    }
  });

  test('a session leaves the place that its connection had', async () => {
    const { ca, good } = makeCertificates();
    const { server, client, port } = await sides({
      websocket: { port: 0, maxUnauthenticated: 2, tls: good },
    });
    for (let index = 0; index < 5; index += 1) {
      const session = await client.connect(`localhost:${port}`, {
        peerNodeId: server.nodeId,
        transport: 'websocket',
        tls: { ca },
      });
      await echo(session, 100);
    }
    expect(server.sessions).toHaveLength(5);
    const stranger = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(stranger, 'secureConnect');
    stranger.destroy();
  });

  test('bytes that no session explains end the WebSocket, in whatever frames they come', async () => {
    const { port } = await sides();
    const block = Buffer.alloc(100);
    const kinds = [
      // A message that never ends, pongs that nobody asked for, and messages of rubbish.
      [
        frame({ opcode: 2, fin: false }, Buffer.alloc(65_536)),
        ...Array<Buffer>(20).fill(frame({ opcode: 0, fin: false }, Buffer.alloc(50_000))),
      ],
      Array<Buffer>(12_000).fill(frame({ opcode: 10 }, block)),
      Array<Buffer>(20).fill(frame({ opcode: 2 }, Buffer.alloc(65_536, 1))),
    ];
    for (const frames of kinds) {
      const { raw } = await rawClient(port);
      raw.send(...frames);
      expect([1_006, 1_009]).toContain(await raw.closed);
    }
  });

  test('messages that are not whole have one bound for all, and the largest go first', async () => {
    const { server, client, port } = await sides({
      websocket: { port: 0, maxUnauthenticatedPerSource: 128, handshakeTimeout: 120_000 },
    });
    const part = frame({ opcode: 2, claims: 1_000_000n }, Buffer.alloc(700_000));
    const small = await rawClient(port);
    small.raw.send(frame({ opcode: 2, claims: 1_000_000n }, Buffer.alloc(10_000)));
    let ended = 0;
    for (let index = 0; index < 64; index += 1) {
      const { raw } = await rawClient(port);
      raw.send(part);
      void raw.closed.then(() => {
        ended += 1;
      });
    }
    // 64 times 700 000 bytes are 12 MB more than all may hold.
    await expect.poll(() => ended).toBeGreaterThanOrEqual(16);
    expect(ended).toBeLessThan(64);
    expect(small.raw.socket.destroyed).toBe(false);
    const session = await client.connect(`127.0.0.1:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
    });
    await echo(session, 100_000);
  });

  test('whoever asks with pings and never reads is hung up on', async () => {
    const { port } = await sides();
    const { raw } = await rawClient(port);
    raw.socket.pause();
    const pings = Buffer.concat(Array<Buffer>(100).fill(frame({ opcode: 9 }, Buffer.alloc(125))));
    // Its end shows when it writes: as often as it has to, until then.
    while (!raw.socket.destroyed) {
      raw.socket.write(pings);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(raw.socket.destroyed).toBe(true);
  });

  test('a server that is there answers 503 as well, and its pages go on', async () => {
    const web = createServer((_request, response) => response.end('a page'));
    const port = await listening(web);
    const { server, client } = await sides({
      websocket: { server: web, maxUnauthenticatedPerSource: 2 },
    });
    await Promise.all([rawClient(port), rawClient(port)]);
    const error = await failure(
      client.connect(`127.0.0.1:${port}`, { peerNodeId: server.nodeId, transport: 'websocket' }),
    );
    expect(error).toMatchObject({ code: 0x0503, context: { httpStatus: 503 } });
    const socket = connectTcp(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 200 /);
  });
});
