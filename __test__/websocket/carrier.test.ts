import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer, request } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { SttSession } from '@seigr/stt';
import { generateSeed, type SttEndpoint, SttError } from '@seigr/stt';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { closedPort, endpoint, next } from '../contract/pair.ts';
import type { Certificates } from './certificates.ts';
import { makeCertificates } from './certificates.ts';

let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
});

/** A server that echoes what each stream brings, and a client for it. */
async function sides(
  listen: NonNullable<Parameters<SttEndpoint['listen']>[0]> = {},
): Promise<{ server: SttEndpoint; client: SttEndpoint; port: number; accepted: SttSession[] }> {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const client = await endpoint({ sharedSeed, keepAliveTimeout: 5_000 });
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

async function echo(session: SttSession, size: number): Promise<void> {
  const stream = await session.createBidirectionalStream();
  const sent = Buffer.alloc(size, 0x5a);
  await stream.write(sent);
  await stream.end();
  expect(Buffer.compare(await stream.bytes(), sent)).toBe(0);
}

async function listening(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function failure(promise: Promise<unknown>): Promise<SttError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SttError);
  return error as SttError;
}

describe('a session over a WebSocket', () => {
  test('on a port of its own, plain and with TLS', async () => {
    const { ca, good } = certificates;
    for (const tls of [undefined, good]) {
      const { server, client, port, accepted } = await sides({
        websocket: { port: 0, ...(tls === undefined ? {} : { tls }) },
      });
      const session = await client.connect(`localhost:${port}`, {
        peerNodeId: server.nodeId,
        transport: 'websocket',
        ...(tls === undefined ? {} : { tls: { ca } }),
      });
      expect(session.transport).toBe('websocket');
      await echo(session, 3 << 20);
      expect(accepted[0]?.transport).toBe('websocket');
      expect(accepted[0]?.id).toBe(session.id);
      await session.close();
      await expect(accepted[0]?.settled).resolves.toMatchObject({ reason: 'graceful' });
    }
  });

  test('on a server that is there, whose other requests and upgrades go on', async () => {
    const web = createServer((_request, response) => response.end('a page'));
    const other = new WebSocketServer({ noServer: true });
    web.on('upgrade', (request, socket, head) => {
      if (request.url !== '/chat') return;
      other.handleUpgrade(request, socket, head, (socket) => socket.send('hello'));
    });
    const port = await listening(web);
    const { server, client } = await sides({ websocket: { server: web, path: '/transport' } });
    const session = await client.connect(`127.0.0.1:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
      websocket: { url: `ws://127.0.0.1:${port}/transport?some=query` },
    });
    await echo(session, 100_000);
    const chat = new WebSocket(`ws://127.0.0.1:${port}/chat`);
    const [words] = await once(chat, 'message');
    expect(String(words)).toBe('hello');
    chat.terminate();
    const [page] = await once(request({ port, host: '127.0.0.1' }).end(), 'response');
    expect(page.statusCode).toBe(200);
    page.resume();
    await session.close();
  });

  test('both carriers feed one listener', async () => {
    const { server, client, port, accepted } = await sides();
    const peerNodeId = server.nodeId;
    const udp = await client.connect(server.address, { peerNodeId, transport: 'udp' });
    const websocket = await client.connect(`127.0.0.1:${port}`, {
      peerNodeId,
      transport: 'websocket',
    });
    await Promise.all([echo(udp, 50_000), echo(websocket, 50_000)]);
    expect(accepted.map((session) => session.transport).sort()).toEqual(['udp', 'websocket']);
  });

  test('a connection that is cut, and not back in time, is 0x0502 with its close code', async () => {
    const { server, client, port } = await sides();
    const cuts: Socket[] = [];
    const proxy = createTcpServer((socket) => {
      const upstream = connectTcp(port, '127.0.0.1');
      socket.pipe(upstream).pipe(socket);
      cuts.push(socket, upstream);
      for (const end of [socket, upstream]) end.on('error', () => {});
    });
    const through = await listening(proxy);
    const session = await client.connect(`127.0.0.1:${through}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
    });
    await echo(session, 1_000);
    proxy.close();
    for (const socket of cuts) socket.destroy();
    const error = await failure(session.closed);
    expect(error).toMatchObject({ code: 0x0502, context: { transport: 'websocket' } });
    expect(error.context.closeCode).toBe(1_006);
  });
});

describe('a WebSocket that does not come to be', () => {
  const attempt = (
    client: SttEndpoint,
    port: number,
    options: Partial<Parameters<SttEndpoint['connect']>[1]> = {},
  ): Promise<SttError> =>
    failure(
      client.connect(`localhost:${port}`, {
        peerNodeId: 'any',
        transport: 'websocket',
        timeout: 5_000,
        ...options,
      }),
    );

  test('answers that are no upgrade: 0x0503 with the status', async () => {
    const client = await endpoint();
    for (const status of [200, 403, 404, 426]) {
      const web = createServer((_request, response) => response.writeHead(status).end('no'));
      web.on('upgrade', (_request, socket) =>
        socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 2\r\n\r\nno`),
      );
      const error = await attempt(client, await listening(web));
      expect(error).toMatchObject({ code: 0x0503, context: { httpStatus: status } });
      expect(error.message).toContain(String(status));
    }
  });

  test('a path that nobody has, and a subprotocol that nobody speaks', async () => {
    const { client, port } = await sides();
    const elsewhere = await attempt(client, port, {
      websocket: { url: `ws://127.0.0.1:${port}/elsewhere` },
    });
    expect(elsewhere).toMatchObject({ code: 0x0503, context: { httpStatus: 404 } });
    const stranger = new WebSocket(`ws://127.0.0.1:${port}/stt`, 'chat');
    const [, response] = await once(stranger, 'unexpected-response');
    expect(response.statusCode).toBe(400);
    stranger.on('error', () => {});
    stranger.terminate();
  });

  test('a server that is no web server, and one that only listens', async () => {
    const client = await endpoint();
    const rude = createTcpServer((socket) => socket.end('220 mail.example ESMTP\r\n'));
    expect(await attempt(client, await listening(rude))).toMatchObject({ code: 0x0503 });
    const silent = createTcpServer(() => {});
    const error = await attempt(client, await listening(silent), { timeout: 300 });
    expect(error).toMatchObject({ code: 0x0101 });
  });

  test('a closed TCP port is refused at once: 0x0102', async () => {
    const client = await endpoint();
    const started = performance.now();
    const error = await attempt(client, await closedPort());
    expect(error).toMatchObject({ code: 0x0102, context: { transport: 'websocket' } });
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  test('certificates: expired, for another name, self-signed, of an unknown authority: 0x0504', async () => {
    const client = await endpoint();
    const { ca, good, expired, wrongHost, selfSigned } = certificates;
    const cases = [
      { identity: expired, tls: { ca }, reason: 'CERT_HAS_EXPIRED' },
      { identity: wrongHost, tls: { ca }, reason: 'ERR_TLS_CERT_ALTNAME_INVALID' },
      { identity: selfSigned, tls: { ca }, reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
      { identity: good, tls: true, reason: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
    ] as const;
    for (const { identity, tls, reason } of cases) {
      const port = await listening(createHttpsServer(identity));
      const error = await attempt(client, port, { tls });
      expect(error).toMatchObject({ code: 0x0504, context: { tlsReason: reason } });
      expect(Date.parse(error.context.certificateValidTo ?? '')).not.toBeNaN();
      expect(error.cause).toBeInstanceOf(Error);
    }
  });

  test('TLS asked of a server that has none: 0x0504', async () => {
    const { client, port } = await sides();
    const error = await attempt(client, port, { tls: true });
    expect(error).toMatchObject({ code: 0x0504 });
  });

  test('a proxy: passed with credentials, refused without: 0x0503 with 407', async () => {
    const { server, client, port } = await sides();
    const proxy = createServer();
    const asked: string[] = [];
    proxy.on('connect', (request, socket, head) => {
      asked.push(request.url ?? '');
      const wanted = `Basic ${Buffer.from('me:secret').toString('base64')}`;
      if (request.headers['proxy-authorization'] !== wanted) {
        socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
        return;
      }
      const upstream = connectTcp(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connected\r\n\r\n');
        upstream.write(head);
        socket.pipe(upstream).pipe(socket);
      });
      for (const end of [socket, upstream]) end.on('error', () => end.destroy());
    });
    const proxyPort = await listening(proxy);
    const refused = await attempt(client, port, { proxy: `http://127.0.0.1:${proxyPort}` });
    expect(refused).toMatchObject({ code: 0x0503, context: { httpStatus: 407 } });
    const secret = await attempt(client, port, { proxy: `http://me:wrong@127.0.0.1:${proxyPort}` });
    expect(JSON.stringify(secret)).not.toContain('wrong');
    const session = await client.connect(`localhost:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
      proxy: `http://me:secret@127.0.0.1:${proxyPort}`,
    });
    await echo(session, 10_000);
    expect(asked.at(-1)).toBe(`localhost:${port}`);
    await session.close();
  });

  test('a proxy that never answers costs no more than the timeout', async () => {
    const client = await endpoint();
    const silent = await listening(createTcpServer(() => {}));
    const error = await attempt(client, 9, {
      proxy: `http://127.0.0.1:${silent}`,
      timeout: 300,
    });
    expect(error).toMatchObject({ code: 0x0101 });
  });

  test('a certificate that is none leaves an endpoint that can listen', async () => {
    const server = await endpoint();
    const tls = { cert: 'no certificate', key: 'no key' };
    expect(() => server.listen({ websocket: { port: 0, tls } })).toThrowError();
    const listener = server.listen({ websocket: { port: 0 } });
    // Closed before it is bound: nobody waits for ever.
    listener.close();
    await listener.ready;
  });

  test('an aborted signal rejects with its reason, before and during', async () => {
    const client = await endpoint();
    const silent = await listening(createTcpServer(() => {}));
    const reason = new Error('changed my mind');
    for (const wait of [0, 100]) {
      const controller = new AbortController();
      const connecting = client.connect(`127.0.0.1:${silent}`, {
        peerNodeId: 'any',
        transport: 'websocket',
        signal: controller.signal,
      });
      setTimeout(() => controller.abort(reason), wait);
      await expect(connecting).rejects.toBe(reason);
    }
  });

  test('a busy TCP port: ready and the iteration reject with the system’s code', async () => {
    const port = await listening(createTcpServer(() => {}));
    const server = await endpoint();
    const listener = server.listen({ websocket: { port } });
    await expect(listener.ready).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await expect(next(listener)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});

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
