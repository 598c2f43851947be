import { once } from 'node:events';
import type { IncomingMessage, RequestOptions, Server, ServerResponse } from 'node:http';
import { createServer, request } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { SttEndpoint } from '@seigr/stt';
import express from 'express';
import fastify from 'fastify';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { closedPort, endpoint } from '../contract/pair.ts';
import type { Certificates } from './certificates.ts';
import { makeCertificates } from './certificates.ts';
import { echo, listening, sides } from './support.ts';

let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
});

/** The status and the text of an answer. */
async function ask(port: number, options: RequestOptions = {}): Promise<[number, string]> {
  const asked = request({ port, host: '127.0.0.1', agent: false, ...options }).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  return [response.statusCode ?? 0, text];
}

/** What a raw upgrade is answered with, until the connection ends. */
async function upgrade(port: number, path: string): Promise<string> {
  const socket = connectTcp(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  );
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

async function connectTo(
  client: SttEndpoint,
  server: SttEndpoint,
  port: number,
  path = '/stt',
): Promise<void> {
  const session = await client.connect(`127.0.0.1:${port}`, {
    peerNodeId: server.nodeId,
    transport: 'websocket',
    websocket: { url: `ws://127.0.0.1:${port}${path}` },
  });
  await echo(session, 100_000);
  await session.close();
}

/** A WebSocket of somebody else on the same server, at `/chat`. */
async function chat(web: Server): Promise<() => Promise<string>> {
  const sockets = new WebSocketServer({ noServer: true });
  web.on('upgrade', (message, socket, head) => {
    if (message.url !== '/chat') return;
    sockets.handleUpgrade(message, socket, head, (own) => own.send('hello'));
  });
  return async () => {
    const { port } = web.address() as { port: number };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
    const [words] = await once(socket, 'message');
    socket.terminate();
    return String(words);
  };
}

describe('an application that is there', () => {
  test('Express: its routes and its WebSockets go on beside a session', async () => {
    const app = express();
    app.get('/', (_request, response) => void response.send('a page'));
    const web = createServer(app);
    const hello = await chat(web);
    const port = await listening(web);
    const { server, client } = await sides({ websocket: { server: web } });
    await connectTo(client, server, port);
    expect(await hello()).toBe('hello');
    expect(await ask(port)).toEqual([200, 'a page']);
    expect((await ask(port, { path: '/stt' }))[0]).toBe(404);
  });

  test('Fastify: its routes and its WebSockets go on beside a session', async () => {
    const app = fastify();
    app.get('/', async () => 'a page');
    const hello = await chat(app.server);
    await app.listen({ port: 0, host: '127.0.0.1' });
    onTestFinished(() => app.close());
    const port = app.addresses()[0]?.port ?? 0;
    const { server, client } = await sides({ websocket: { server: app.server } });
    await connectTo(client, server, port);
    expect(await hello()).toBe('hello');
    expect(await ask(port)).toEqual([200, 'a page']);
  });

  test('https: a session beside its pages', async () => {
    const { ca, good } = certificates;
    const web = createHttpsServer(good, (_request, response) => response.end('a page'));
    const port = await listening(web);
    const { server, client } = await sides({ websocket: { server: web } });
    const session = await client.connect(`localhost:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
      tls: { ca },
    });
    await echo(session, 100_000);
  });

  test('one that listens on a socket of the file system, as behind a proxy on this machine', async () => {
    const web = createServer();
    const path = `/tmp/stt-${process.pid}-${await closedPort()}.sock`;
    web.listen(path);
    await once(web, 'listening');
    onTestFinished(() => void web.close());
    const { server, client, accepted } = await sides({
      websocket: { server: web, trustProxy: true },
    });
    const proxy = createServer();
    proxy.on('upgrade', (message, socket) => {
      const upstream = connectTcp(path, () => {
        const headers = Object.entries(message.headers).map(([name, value]) => `${name}: ${value}`);
        headers.push('X-Forwarded-For: 192.0.2.7');
        upstream.write(`GET ${message.url} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
        socket.pipe(upstream).pipe(socket);
      });
      for (const end of [socket, upstream]) end.on('error', () => end.destroy());
    });
    await connectTo(client, server, await listening(proxy));
    expect(accepted[0]?.remoteAddress.address).toBe('192.0.2.7');
  });
});

describe('upgrades that are not ours', () => {
  test('two endpoints on one server have a path each; what has neither is answered 404', async () => {
    const web = createServer();
    const port = await listening(web);
    const one = await sides({ websocket: { server: web, path: '/one' } });
    const two = await sides({ websocket: { server: web, path: '/two' } });
    await connectTo(one.client, one.server, port, '/one');
    await connectTo(two.client, two.server, port, '/two');
    expect(await upgrade(port, '/three')).toMatch(/^HTTP\/1.1 404 /);
    // The path of one that has closed is nobody's.
    await one.server.close();
    expect(await upgrade(port, '/one')).toMatch(/^HTTP\/1.1 404 /);
    await connectTo(two.client, two.server, port, '/two');
    await two.server.close();
    expect(web.listenerCount('upgrade')).toBe(0);
  });

  test('a path that is taken is refused, and leaves an endpoint that can listen', async () => {
    const web = createServer();
    await sides({ websocket: { server: web } });
    const late = await endpoint();
    expect(() => late.listen({ websocket: { server: web } })).toThrowError(/is taken/);
    late.listen({ websocket: { server: web, path: '/late' } });
    expect(web.listenerCount('upgrade')).toBe(1);
  });

  test('one that nobody answers is ended in time; one that somebody has is left alone', async () => {
    const web = createServer();
    web.on('upgrade', (message, socket) => {
      // Takes its time: whoever reads has taken it.
      if (message.url === '/slow') socket.on('data', (bytes) => socket.end(bytes));
    });
    const port = await listening(web);
    await sides({ websocket: { server: web, handshakeTimeout: 100 } });
    const slow = connectTcp(port, '127.0.0.1');
    onTestFinished(() => void slow.destroy());
    slow.write('GET /slow HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n');
    // The later one is ended, and the earlier one is not.
    expect(await upgrade(port, '/nobody')).toMatch(/^HTTP\/1.1 404 /);
    slow.write('still here');
    expect(String((await once(slow, 'data'))[0])).toBe('still here');
  });

  test('one that its peer resets while nobody has it does not end the process', async () => {
    const web = createServer();
    const upgraded = new Promise<Duplex>((resolve) => {
      web.on('upgrade', (_message, socket) => resolve(socket));
    });
    const port = await listening(web);
    await sides({ websocket: { server: web } });
    const uncaught: unknown[] = [];
    const onUncaught = (error: unknown): void => void uncaught.push(error);
    process.on('uncaughtException', onUncaught);
    onTestFinished(() => void process.off('uncaughtException', onUncaught));
    const peer = connectTcp(port, '127.0.0.1');
    peer.write('GET /nobody HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n');
    const socket = await upgraded;
    peer.resetAndDestroy();
    // Not by `once`, which would hear of the error itself.
    await new Promise((resolve) => socket.on('close', resolve));
    expect(uncaught).toEqual([]);
  });

  test('a request that only offers h2c is answered as before, with its body', async () => {
    const reply = (message: IncomingMessage, response: ServerResponse): void => {
      const parts: Buffer[] = [];
      message.on('data', (part: Buffer) => parts.push(part));
      message.on('end', () => response.end(`${message.method} ${Buffer.concat(parts)}`));
    };
    const webs = [createServer(reply), createHttpsServer(certificates.good, reply)];
    for (const web of webs) {
      const port = await listening(web);
      await sides({ websocket: { server: web } });
      const socket =
        web === webs[0]
          ? connectTcp(port, '127.0.0.1')
          : connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
      onTestFinished(() => void socket.destroy());
      const offer = 'Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n';
      socket.write(`GET / HTTP/1.1\r\n${offer}\r\n`);
      expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 200 [\s\S]*GET /);
      // The connection goes on, and so do its offers.
      socket.write(`POST / HTTP/1.1\r\n${offer}Content-Length: 4\r\n\r\nbo`);
      socket.write('dy');
      expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 200 [\s\S]*POST body/);
    }
  });

  test('a port of its own answers requests that are no upgrade, and hangs up', async () => {
    const { port } = await sides();
    const asked = request({ port, host: '127.0.0.1' }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(426);
    expect(response.headers).toMatchObject({ upgrade: 'websocket', connection: 'close' });
    response.resume();
  });
});
