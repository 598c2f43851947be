import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { SttEndpoint, SttError } from '@seigr/stt';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { closedPort, endpoint, next } from '../contract/pair.ts';
import type { Certificates } from './certificates.ts';
import { makeCertificates } from './certificates.ts';
import { echo, failure, listening, sides } from './support.ts';

let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
});

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
    const { server, client, port } = await sides({}, 5_000);
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
        timeout: 60_000,
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
    // The timeout is longer than a test may be.
    const error = await attempt(client, await closedPort(), { timeout: 3_600_000 });
    expect(error).toMatchObject({ code: 0x0102, context: { transport: 'websocket' } });
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

  test('a proxy that the environment names, but for hosts that it says need none', async () => {
    const { good, ca } = certificates;
    const plain = await sides();
    const secure = await sides({ websocket: { port: 0, tls: good } });
    const proxy = createServer();
    const asked: string[] = [];
    proxy.on('connect', (request, socket, head) => {
      asked.push(request.url ?? '');
      const upstream = connectTcp(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connected\r\n\r\n');
        upstream.write(head);
        socket.pipe(upstream).pipe(socket);
      });
      for (const end of [socket, upstream]) end.on('error', () => end.destroy());
    });
    const url = `http://127.0.0.1:${await listening(proxy)}`;
    onTestFinished(() => void vi.unstubAllEnvs());
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY']) {
      vi.stubEnv(name, undefined);
      vi.stubEnv(name.toLowerCase(), undefined);
    }
    const reached = async ({ server, client, port }: typeof plain, options: object = {}) => {
      const before = asked.length;
      const session = await client.connect(`localhost:${port}`, {
        peerNodeId: server.nodeId,
        transport: 'websocket',
        ...options,
      });
      await echo(session, 1_000);
      await session.close();
      return asked.slice(before);
    };
    const tls = { ca };
    expect([await reached(plain), await reached(secure, { tls })]).toEqual([[], []]);
    vi.stubEnv('HTTP_PROXY', url);
    expect(await reached(plain)).toEqual([`localhost:${plain.port}`]);
    expect(await reached(secure, { tls })).toEqual([]);
    vi.stubEnv('HTTPS_PROXY', url);
    expect(await reached(secure, { tls })).toEqual([`localhost:${secure.port}`]);
    // What the caller says goes before it, and so does the list of who needs none.
    expect(await reached(plain, { proxy: false })).toEqual([]);
    vi.stubEnv('NO_PROXY', 'example.org,localhost');
    expect([await reached(plain), await reached(secure, { tls })]).toEqual([[], []]);
    expect(await reached(plain, { proxy: url })).toEqual([`localhost:${plain.port}`]);
  });

  test('a proxy that never answers costs no more than the timeout, and its connection ends with that', async () => {
    const client = await endpoint();
    const ends: Promise<unknown>[] = [];
    const proxy = createTcpServer((socket) => {
      socket.on('error', () => {});
      ends.push(once(socket.resume(), 'close'));
    });
    const error = await attempt(client, 9, {
      proxy: `http://127.0.0.1:${await listening(proxy)}`,
      timeout: 300,
    });
    expect(error).toMatchObject({ code: 0x0101 });
    // What is left of it would keep a process that has nothing else to do from ending.
    expect(ends).toHaveLength(1);
    await Promise.all(ends);
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
