// 0x0503: what answers is no WebSocket of this protocol, or does not let one pass.

import { strict as assert } from 'node:assert';
import { createServer, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { ConnectOptions } from '@seigr/stt';
import type { Certificates } from '../../../websocket/certificates.ts';
import { carrier, connectsAnew } from '../carried.ts';
import { type Context, serveEcho } from '../context.ts';
import { connectionsOf, join, listening, plain, webServer } from '../gateway.ts';
import { certificates } from '../needs.ts';
import { type AnyRow, row } from '../row.ts';

/** What web servers answer to an upgrade that they do not know, or do not want. */
const STATUSES = [200, 403, 404, 426] as const;

export const upgradeRows: readonly AnyRow[] = [
  row({
    id: '0x0503',
    title: 'a web server that has no WebSocket',
    fault: 'http.createServer() that answers 200, 403, 404, 426, where an endpoint is expected',
    async setup(context) {
      const both = await carrier(context);
      const servers = new Map<number, Awaited<ReturnType<typeof webServer>>>();
      for (const status of STATUSES) {
        const answer = await webServer(context, (_, response) => plain(response, status));
        servers.set(status, answer);
      }
      return { ...both, servers, ports: STATUSES.map(() => both.gateway.port) };
    },
    async baseline(state) {
      await connectsAnew(state);
    },
    async inject(state) {
      state.ports = STATUSES.map((status) => state.servers.get(status)?.port ?? 0);
    },
    async act({ connect, ports }, context) {
      for (const [index, status] of STATUSES.entries()) {
        await context.watch('client', `connect ${status}`, connect({}, ports[index]));
      }
    },
    expect: STATUSES.map((status) => ({
      side: 'client',
      how: `connect ${status}`,
      code: 0x0503 as const,
      facts: { transport: 'websocket' as const, httpStatus: status },
      says: new RegExp(`answered ${status} in place of an upgrade, after \\d+ ms.*[Cc]heck`),
    })),
    recovery: {
      async '0x0503/1'({ servers, connect, server }, context) {
        // The web server gets what it lacked: on the same port the same connect finds an endpoint.
        const offering = await context.network.endpoint();
        const { server: web, port } = servers.get(404) ?? assert.fail();
        const listener = serveEcho(offering, undefined, { websocket: { server: web } });
        await listener.ready;
        const state = { connect, server };
        await connectsAnew(state as never, { peerNodeId: offering.nodeId }, port);
      },
    },
  }),

  row({
    id: '0x0503',
    title: 'a reverse proxy that keeps the upgrade to itself',
    fault: 'a proxy that passes requests on without Upgrade and Connection: the peer answers 426',
    async setup(context) {
      const both = await carrier(context);
      const proxy = await reverseProxy(context, both.gateway.port);
      return { ...both, proxy };
    },
    async baseline(state) {
      await connectsAnew(state, {}, state.proxy.port);
    },
    async inject({ proxy }) {
      proxy.passesUpgrades = false;
    },
    act: ({ connect, proxy }, context) =>
      context.watch('client', 'connect', connect({}, proxy.port)),
    expect: [
      {
        side: 'client',
        how: 'connect',
        code: 0x0503,
        facts: { httpStatus: 426 },
        says: /answered 426/,
      },
    ],
    undo: async ({ proxy }) => {
      proxy.passesUpgrades = true;
    },
    recovery: {
      '0x0503/2': async (state) => void (await connectsAnew(state, {}, state.proxy.port)),
    },
  }),

  row({
    id: '0x0503',
    title: 'a proxy that wants credentials, and one that forbids the way',
    fault: 'CONNECT to a proxy that answers 407, and to one that answers 403',
    async setup(context) {
      const both = await carrier(context);
      const proxy = await forwardProxy(context);
      const by = (who = ''): Partial<ConnectOptions> => ({
        proxy: `http://${who}127.0.0.1:${proxy.port}`,
      });
      return { ...both, proxy, by };
    },
    async baseline(state) {
      await connectsAnew(state, state.by());
    },
    async inject({ proxy }) {
      proxy.wants = `Basic ${Buffer.from('me:secret').toString('base64')}`;
    },
    async act({ connect, by, proxy }, context) {
      await context.watch('client', 'connect', connect(by()));
      proxy.forbids = proxy.wants !== undefined;
      await context.watch('client', 'connect forbidden', connect(by('me:secret@')));
      proxy.forbids = false;
    },
    expect: [
      {
        side: 'client',
        how: 'connect',
        code: 0x0503,
        facts: { httpStatus: 407 },
        says: /The proxy http:.*answered 407.*user:password@host/,
      },
      { side: 'client', how: 'connect forbidden', code: 0x0503, facts: { httpStatus: 403 } },
    ],
    recovery: {
      async '0x0503/2'(state, context) {
        // Either side of the configuration: the right credentials here, or a proxy that wants none.
        for (const { message } of context.seen) assert.doesNotMatch(message, /secret/);
        await connectsAnew(state, state.by('me:secret@'));
        state.proxy.wants = undefined;
        await connectsAnew(state, state.by());
      },
    },
  }),

  row({
    id: '0x0503',
    title: 'a server that takes clients with a certificate only',
    fault: 'https with requestCert, which answers 400 to whoever shows none, as nginx does',
    needs: ['openssl'],
    async setup(context) {
      const both = await carrier(context);
      const gate = await clientGate(context, certificates(), both.gateway.port);
      return { ...both, certificates: certificates(), gate };
    },
    async baseline(state) {
      const { certificates, gate } = state;
      await connectsAnew(state, { tls: { ca: certificates.ca } }, gate.port);
    },
    async inject({ gate }) {
      gate.demands = true;
    },
    act: ({ connect, certificates: { ca }, gate }, context) =>
      context.watch('client', 'connect', connect({ tls: { ca } }, gate.port)),
    expect: [
      {
        side: 'client',
        how: 'connect',
        code: 0x0503,
        facts: { httpStatus: 400 },
        says: /wss:.*answered 400.*tls\.cert/,
      },
    ],
    recovery: {
      async '0x0503/3'(state) {
        // The server's own was good: what was missing is the client's.
        const { ca, client } = state.certificates;
        await connectsAnew(state, { tls: { ca, ...client } }, state.gate.port);
      },
    },
  }),
];

/** An nginx without `proxy_set_header Upgrade`, or with it. */
async function reverseProxy(context: Context, to: number) {
  const server = createServer((request, response) => {
    const { upgrade: _, connection: __, ...headers } = request.headers;
    const { method, url: path } = request;
    const onward = httpRequest({ host: '127.0.0.1', port: to, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, { connection: 'close' });
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  const state = { port: 0, passesUpgrades: true };
  server.on('upgrade', (request, socket, head) => {
    if (!state.passesUpgrades) {
      // As a request like any other.
      const { upgrade: _, connection: __, ...headers } = request.headers;
      const onward = httpRequest(
        { host: '127.0.0.1', port: to, path: request.url, headers },
        (answer) => {
          answer.resume();
          socket.end(
            `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\nConnection: close\r\n\r\n`,
          );
        },
      );
      onward.on('error', () => socket.destroy());
      onward.end();
      return;
    }
    const upstream = connect(to, '127.0.0.1', () => {
      const lines = request.rawHeaders.flatMap((text, index, all) =>
        index % 2 === 0 ? [`${text}: ${all[index + 1]}`] : [],
      );
      upstream.write(`GET ${request.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      upstream.write(head);
      join(socket, upstream);
    });
    for (const end of [socket, upstream]) end.on('error', () => end.destroy());
  });
  connectionsOf(context, server);
  state.port = await listening(context, server);
  return state;
}

/** A proxy for CONNECT, which may want credentials, and may forbid every way. */
async function forwardProxy(context: Context) {
  const state = { port: 0, wants: undefined as string | undefined, forbids: false };
  const server = createServer();
  server.on('connect', (request, socket, head) => {
    const answer = (status: string): void => {
      socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
    };
    const { wants, forbids } = state;
    if (wants !== undefined && request.headers['proxy-authorization'] !== wants) {
      answer('407 Proxy Authentication Required');
      return;
    }
    if (forbids) {
      answer('403 Forbidden');
      return;
    }
    const [, port] = (request.url ?? '').split(':');
    const upstream = connect(Number(port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connected\r\n\r\n');
      upstream.write(head);
      join(socket, upstream);
    });
    for (const end of [socket, upstream]) end.on('error', () => end.destroy());
  });
  connectionsOf(context, server);
  state.port = await listening(context, server);
  return state;
}

/** What ends TLS before the endpoint, and may want to see clients' certificates. */
async function clientGate(context: Context, { ca, good }: Certificates, to: number) {
  const state = { port: 0, demands: false };
  const server = createTlsServer({ ...good, ca, requestCert: true, rejectUnauthorized: false });
  server.on('secureConnection', (socket) => {
    if (state.demands && !socket.authorized) {
      socket.once('data', () => socket.end(NO_CERTIFICATE));
      return;
    }
    join(socket, connect(to, '127.0.0.1'));
  });
  connectionsOf(context, server);
  state.port = await listening(context, server);
  return state;
}

const NO_CERTIFICATE = 'HTTP/1.1 400 No required certificate was sent\r\nConnection: close\r\n\r\n';
