// What only a peer that holds the seed can do.

import { strict as assert } from 'node:assert';
import type { SttEndpoint } from '@seigr/stt';
import { type Context, exchange, serveEcho } from '../context.ts';
import { attack, command } from '../hostile.ts';
import { row } from '../row.ts';

const KIB = 1024;
/** Packets of impossible structure that a session bears, one after another. */
const BORNE = 15;

interface Target {
  readonly server: SttEndpoint;
  readonly client: SttEndpoint;
  /** What the attack may do to the row's own session: nothing. */
  connects(): Promise<void>;
}

/** A server that echoes, tells what its sessions end with, and has well-behaved peers. */
async function target(context: Context): Promise<Target> {
  const server = await context.network.endpoint({
    keepAliveTimeout: 15_000,
    recvBufferSize: 64 * KIB,
    streamRecvBuffer: 64 * KIB,
  });
  let watching = false;
  serveEcho(server, (session) => {
    // The sessions of the attack, not those that show the healthy state.
    if (watching) context.watchSession('server', session);
  });
  context.watchEndpoint('server', server);
  const client = await context.network.endpoint();
  const connects = async (): Promise<void> => {
    watching = false;
    const session = await client.connect(server.address, { peerNodeId: server.nodeId });
    await exchange(session);
    await session.close();
    watching = true;
  };
  return { server, client, connects };
}

export const hostileRows = [
  row({
    id: '0x0304',
    title: 'a peer that ignores its credit',
    fault: command('ignore-credit', 1_000_000),
    needs: ['hostile'],
    setup: target,
    baseline: ({ connects }) => connects(),
    async inject({ server }, context) {
      const { port } = server.address;
      await attack(context, 'ignore-credit', { port, count: 1_000_000 }).event('closed');
    },
    expect: [
      { side: 'server', how: 'closed', code: 0x0304, says: /please report it/ },
      { side: 'hostile', how: 'closed', code: 0x0304 },
    ],
    recovery: {
      async '0x0304/1'({ connects }) {
        // Reported and mended: the same peer, when it heeds windows, is served.
        await connects();
      },
      '0x0304/2': ({ connects }) => connects(),
    },
  }),

  row({
    id: '0x0401',
    title: 'frames that cannot be, fewer than a session bears',
    fault: command('impossible-frame', 10),
    needs: ['hostile'],
    setup: target,
    baseline: ({ connects }) => connects(),
    async inject({ server }, context) {
      const { port } = server.address;
      await attack(context, 'impossible-frame', { port, count: 10 }).event('attacked');
    },
    expect: [{ side: 'server', how: 'frameError', code: 0x0401 }],
    recovery: {
      async '0x0401/1'({ server, connects }, context) {
        // Dropped and counted: no session has ended by it.
        assert(!context.seen.some(({ how }) => how === 'closed'));
        assert(server.sessions.length > 0);
        await connects();
      },
    },
  }),

  row({
    id: '0x0401',
    title: 'frames that cannot be, until the session ends',
    fault: command('impossible-frame', 40),
    needs: ['hostile'],
    setup: target,
    baseline: ({ connects }) => connects(),
    async inject({ server }, context) {
      const { port } = server.address;
      await attack(context, 'impossible-frame', { port, count: 40 }).event('closed');
    },
    expect: [
      { side: 'server', how: 'closed', code: 0x0401, says: /same version/ },
      { side: 'hostile', how: 'closed', code: 0x0401 },
    ],
    recovery: {
      async '0x0401/2'({ server, connects }) {
        // The damage was none of the network's: not one checksum was wrong.
        assert.equal(server.stats()?.checksumErrors, 0);
        await connects();
      },
      // The version at fault, replaced by one that is not.
      '0x0401/3': ({ connects }) => connects(),
    },
  }),

  row({
    id: '0x0404',
    title: 'a reserved frame type',
    fault: command('unknown-frame', BORNE),
    needs: ['hostile'],
    setup: target,
    baseline: ({ connects }) => connects(),
    async inject({ server }, context) {
      const { port } = server.address;
      await attack(context, 'unknown-frame', { port, count: BORNE }).event('attacked');
    },
    expect: [{ side: 'server', how: 'frameError', code: 0x0404 }],
    recovery: {
      // Both of one version: nothing unknown any more.
      '0x0404/1': ({ connects }) => connects(),
      async '0x0404/3'({ server, connects }, context) {
        assert(!context.seen.some(({ how }) => how === 'closed'));
        assert(server.sessions.length > 0);
        await connects();
      },
    },
  }),

  row({
    id: '0x0405.4',
    title: 'a responder that does not take the proof',
    fault: command('refuse-proof'),
    needs: ['hostile'],
    async setup(context) {
      const honest = await target(context);
      const { address, nodeId } = honest.server;
      return { ...honest, address: `127.0.0.1:${address.port}`, nodeId };
    },
    baseline: ({ connects }) => connects(),
    async inject(state, context) {
      const { port, nodeId = '' } = await attack(context, 'refuse-proof').event('listening');
      state.address = `127.0.0.1:${port}`;
      state.nodeId = nodeId;
    },
    act: ({ client, address, nodeId }, context) =>
      context.watch('client', 'connect', client.connect(address, { peerNodeId: nodeId })),
    expect: [
      { side: 'client', how: 'connect', code: 0x0405, subcode: 4, says: /Try again/ },
      { side: 'hostile', how: 'closed', code: 0x0405 },
    ],
    recovery: {
      '0x0405.4/1': ({ connects }) => connects(),
      '0x0405.4/2': async ({ connects }, context) => {
        assert.match(context.last('client', 'connect').message, /on the way alters packets/);
        await connects();
      },
    },
  }),
];
