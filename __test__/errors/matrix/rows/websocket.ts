// 0x0502: the WebSocket below a session ends, and nothing takes its place in time. And 0x0101 where WebSocket helps.

import { strict as assert } from 'node:assert';
import type { SttSession } from '@seigr/stt';
import { SHORT_TIMINGS } from '@seigr/stt/testing';
import { WebSocket, WebSocketServer } from 'ws';
import { ADDRESS, Network } from '../../../kernel/network.ts';
import { carried, connectsAnew } from '../carried.ts';
import { type Context, exchange, inTime } from '../context.ts';
import { connectionsOf, listening, webServer } from '../gateway.ts';
import { lasting } from '../lasting.ts';
import { NodeProcess } from '../node.ts';
import { type AnyRow, type Expected, row } from '../row.ts';

/** Both ends see the end of their WebSocket, and what waits at one of them ends with the session. */
function bothSee(closeCode: number, says: RegExp): Expected[] {
  const facts = { transport: 'websocket', closeCode } as const;
  return [
    { side: 'client', how: 'closed', code: 0x0502, facts, says },
    { side: 'client', how: 'read', code: 0x0201, reason: 'timeout', cause: 0x0502 },
    { side: 'server', how: 'closed', code: 0x0502, facts },
  ];
}

export const websocketRows: readonly AnyRow[] = [
  row({
    id: '0x0502',
    title: 'the server closes its sockets, and its port',
    fault: 'http.Server.close(), and socket.destroy() of each of its connections',
    async setup(context) {
      const { server: web, port } = await webServer(context, (_, response) => response.end());
      const sockets = connectionsOf(context, web);
      const both = await carried(context, { websocket: { server: web }, port });
      const close = (): void => {
        web.close();
        for (const socket of sockets) socket.destroy();
      };
      return { ...both, web, port, close };
    },
    baseline: ({ session }) => exchange(session),
    async inject({ close }) {
      close();
    },
    expect: bothSee(1_006, /no other was there within \d+ ms.*Connect again/),
    recovery: {
      async '0x0502/1'({ connect, web, port }, context) {
        // Tries while nobody listens yet; the server is back after the first has failed.
        const tried: number[] = [];
        const session = await connect(
          {
            retry: {
              attempts: 10,
              base: 50,
              onRetry: async ({ error }) => {
                tried.push((error as { code?: number }).code ?? 0);
                if (tried.length === 1) await listening(context, web, port);
              },
            },
          },
          port,
        );
        assert.equal(tried[0], 0x0102);
        await exchange(session);
      },
    },
  }),

  row({
    id: '0x0502',
    title: 'a gateway whose heartbeat the peer does not bear',
    fault: 'a gateway that sends a text message down each WebSocket: the peer closes it with 1003',
    async setup(context) {
      const peer = new NodeProcess(context, 'server');
      const there = await peer.create({
        sharedSeed: context.network.sharedSeed,
        host: '127.0.0.1',
        ...SHORT_TIMINGS,
      });
      await peer.call('log', {});
      const { port } = await peer.serve(there, { websocket: { port: 0 } });
      const gateway = await speakingGateway(context, port ?? 0);
      const client = await context.network.endpoint();
      const connect = (): Promise<SttSession> =>
        client.connect(`127.0.0.1:${gateway.port}`, {
          peerNodeId: there.nodeId,
          transport: 'websocket',
          proxy: false,
        });
      const session = await connect();
      context.watchSession('client', session);
      return { peer, gateway, connect, session };
    },
    baseline: ({ session }) => exchange(session),
    async inject({ gateway }) {
      gateway.beat('are you there?');
    },
    expect: [
      {
        side: 'client',
        how: 'closed',
        code: 0x0502,
        facts: { transport: 'websocket', closeCode: 1_003 },
        says: /code 1003, "STT speaks in binary messages".*look at the peer's logs/,
      },
      { side: 'server', how: 'closed', code: 0x0502, facts: { closeCode: 1_003 } },
    ],
    recovery: {
      async '0x0502/2'({ peer, gateway, connect }) {
        // As whoever runs the peer reads it: what it would not bear. Then that is mended, at the gateway.
        const ended = peer.logged.filter(({ event }) => event === 'session.closed');
        assert.match(JSON.stringify(ended), /0x0502.*STT speaks in binary messages/);
        gateway.beat(undefined);
        await exchange(await connect());
      },
    },
  }),

  row({
    id: '0x0502',
    title: 'a proxy that drops what is idle',
    fault: 'a proxy with an idle timeout of 100 ms, that takes no connection anew',
    setup: (context) =>
      carried(context, {
        server: { keepAliveTimeout: 4_000 },
        client: { keepAliveInterval: 300, keepAliveTimeout: 4_000 },
      }),
    baseline: ({ session }) => exchange(session),
    async inject({ gateway, session }) {
      gateway.idleTimeout = 100;
      gateway.closeDoor();
      // The proxy counts from what it hears next.
      await session.ping().catch(() => undefined);
    },
    expect: bothSee(1_006, /idle timeout of proxies/),
    recovery: {
      async '0x0502/3'(state) {
        const { gateway } = state;
        await gateway.openDoor();
        gateway.idleTimeout = 0;
        const session = await connectsAnew(state);
        // With the timeout as it was the proxy drops again whatever is silent for so long...
        gateway.idleTimeout = 100;
        const dropped = new Promise<void>((resolve) => {
          gateway.onDrop = resolve;
        });
        await session.ping();
        await inTime(dropped, 'a drop by the idle timeout');
        // ... and with one longer than keepAliveInterval nothing, for several of them.
        gateway.idleTimeout = 5_000;
        gateway.drop();
        await exchange(session);
        const kept = { dropped: gateway.dropped, taken: gateway.taken };
        await new Promise((done) => setTimeout(done, 650));
        await exchange(session);
        assert.deepEqual(kept, { dropped: gateway.dropped, taken: gateway.taken });
      },
      async '0x0502/1'(state, context) {
        // By itself: a session that is replaced when it is lost.
        const { client, server, gateway } = state;
        const session = await lasting(context, client, `localhost:${gateway.port}`, {
          peerNodeId: server.nodeId,
          transport: 'websocket',
          proxy: false,
        });
        gateway.closeDoor();
        gateway.drop();
        assert.equal((await session.lost()).code, 0x0502);
        await gateway.openDoor();
        await session.back();
      },
    },
  }),

  row({
    id: '0x0502',
    title: 'the network resets the connection',
    fault: "nft: forward tcp dport 7789 reject with tcp reset, in the router's namespace; and back",
    needs: ['netns'],
    async setup(context) {
      const state = await websocketLan(context);
      return { ...state, session: await state.connect({ transport: 'websocket' }) };
    },
    async baseline({ client, session }) {
      await client.exchange(session);
    },
    async inject({ net, client, session }) {
      net.forward(...[`tcp dport ${PORT}`, `tcp sport ${PORT}`].map((tcp) => `${tcp} ${RESET}`));
      // What is sent next draws the reset: from either side.
      await client.call('ping', { session, timeout: 200 }).catch(() => undefined);
    },
    expect: [
      { side: 'client', how: 'closed', code: 0x0502, facts: { transport: 'websocket' } },
      { side: 'server', how: 'closed', code: 0x0502, facts: { transport: 'websocket' } },
    ],
    undo: async ({ net }) => net.forward(),
    recovery: {
      async '0x0502/1'({ client, connect }) {
        await client.exchange(await connect({ transport: 'websocket' }));
      },
    },
  }),

  row({
    id: '0x0101',
    title: 'a firewall that swallows UDP, and lets TCP pass',
    fault: "nft: forward meta l4proto udp drop, in the router's namespace",
    needs: ['netns'],
    setup: websocketLan,
    async baseline({ client, connect }) {
      await client.exchange(await connect({ transport: 'udp' }));
    },
    inject: async ({ net }) => net.forward('meta l4proto udp drop'),
    act: ({ tries }) => tries({ transport: 'udp', timeout: 2_500 }),
    expect: [{ side: 'client', how: 'connect', code: 0x0101, facts: {}, says: /that UDP passes/ }],
    recovery: {
      async '0x0101/4'({ client, connect }) {
        // The firewall is as it was: the same endpoint gets through by the other carrier, when it is told to
        // and when the choice is its own.
        for (const transport of ['websocket', 'auto'] as const) {
          await client.exchange(await connect({ transport }));
        }
      },
    },
  }),
];

/** Of both carriers. */
const PORT = 7_789;
const RESET = 'reject with tcp reset';

/** Two nodes in namespaces, whose server takes both carriers on one port. */
async function websocketLan(context: Context) {
  const net = new Network(context.defer);
  const client = new NodeProcess(context, 'client', { within: net.within('a') });
  const server = new NodeProcess(context, 'server', { within: net.within('b') });
  const both = { sharedSeed: context.network.sharedSeed, ...SHORT_TIMINGS };
  const there = await server.create({ ...both, port: PORT });
  await server.serve(there, { websocket: { port: PORT, host: ADDRESS.b } });
  const from = await client.create(both);
  const address = `${ADDRESS.b}:${PORT}`;
  const options = { peerNodeId: there.nodeId, proxy: false, timeout: 30_000 } as const;
  type More = { readonly transport: 'udp' | 'websocket' | 'auto'; readonly timeout?: number };
  return {
    net,
    client,
    connect: (more: More) => client.connect(from, address, { ...options, ...more }),
    tries: (more: More) => client.tryConnect(from, address, { ...options, ...more }),
  };
}

/** A gateway that ends one WebSocket and begins another, as many of the cloud do; it may speak in between. */
async function speakingGateway(context: Context, to: number) {
  let words: string | undefined;
  const upstreams = new Set<WebSocket>();
  const { server, port } = await webServer(context, (_, response) => response.end());
  const taking = new WebSocketServer({ server, handleProtocols: () => 'stt.1' });
  taking.on('connection', (below) => {
    const above = new WebSocket(`ws://127.0.0.1:${to}/stt`, 'stt.1');
    const early: Buffer[] = [];
    upstreams.add(above);
    above.on('open', () => {
      for (const bytes of early.splice(0)) above.send(bytes);
      if (words !== undefined) above.send(words);
    });
    below.on('message', (bytes: Buffer) => {
      if (above.readyState === above.OPEN) above.send(bytes);
      else early.push(bytes);
    });
    above.on('message', (bytes: Buffer) => below.send(bytes));
    // How one of the two ended is passed on to the other.
    above.on('close', (code, reason) => {
      upstreams.delete(above);
      if (below.readyState === below.OPEN) below.close(code, reason);
    });
    below.on('close', () => above.terminate());
    for (const end of [below, above]) end.on('error', () => undefined);
  });
  context.defer(() => {
    for (const socket of taking.clients) socket.terminate();
  });
  return {
    port,
    /** Says this from now on, to those that are open and at the beginning of others. */
    beat(text: string | undefined): void {
      words = text;
      if (text === undefined) return;
      for (const above of upstreams) if (above.readyState === above.OPEN) above.send(text);
    },
  };
}
