// What only a peer that holds the seed can do.

import { strict as assert } from 'node:assert';
import { isSttError, type LogRecord, logTo, type SttEndpoint, type SttSession } from '@seigr/stt';
import { type Context, exchange, inTime, serveEcho } from '../context.ts';
import { attack, command, type HostileMode } from '../hostile.ts';
import { row } from '../row.ts';

const KIB = 1024;
/** Packets of impossible structure that a session bears, one after another. */
const BORNE = 15;

interface Target {
  readonly server: SttEndpoint;
  readonly client: SttEndpoint;
  /** What the attack may do to the row's own session: nothing. */
  connects(): Promise<void>;
  /**
   * The same program, mended: it does what it did, `count` times, which breaks no rule. Its session lives.
   */
  behaves(mode: HostileMode, count: number): Promise<void>;
  /** What the program logs. */
  readonly logged: LogRecord[];
}

/** A server that echoes, tells what its sessions end with, and has well-behaved peers. */
async function target(context: Context): Promise<Target> {
  const server = await context.network.endpoint({
    keepAliveTimeout: 30_000,
    recvBufferSize: 64 * KIB,
    streamRecvBuffer: 64 * KIB,
  });
  const logged: LogRecord[] = [];
  context.defer(logTo((_, record) => void logged.push(record)));
  let watching = false;
  let onSession: (session: SttSession) => void = () => undefined;
  serveEcho(server, (session) => {
    // The sessions of the attack, not those that show the healthy state.
    if (watching) context.watchSession('server', session);
    if (watching) {
      const datagram = session.datagrams[Symbol.asyncIterator]().next();
      void context.watch('server', 'datagram', datagram);
    }
    onSession(session);
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
  const behaves = async (mode: HostileMode, count: number): Promise<void> => {
    watching = false;
    const accepted = new Promise<SttSession>((resolve) => {
      onSession = resolve;
    });
    await attack(context, mode, { port: server.address.port, count }).event('attacked');
    const session = await inTime(accepted, 'the session of the program');
    // What is answered after all that it sent shows that none of it ended the session.
    await session.ping({ timeout: 30_000 });
    await session.close({ timeout: 30_000 });
  };
  return { server, client, connects, behaves, logged };
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
      async '0x0304/1'({ behaves }, context) {
        // Who it was and what it did is in the error: enough for a report. Mended, the peer is served.
        assert.match(
          context.last('server', 'closed').message,
          /127\.0\.0\.1:\d+ sent beyond its credit, which ended at byte \d+/,
        );
        await behaves('ignore-credit', 10 * KIB);
      },
      // A new session has windows of its own: that of a peer that heeds them lives.
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
        // Dropped and counted: the session that they came by lives on, and so does any other.
        assert(!context.seen.some(({ how }) => how === 'closed'));
        const [session] = server.sessions;
        await session?.ping({ timeout: 30_000 });
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
      { side: 'server', how: 'datagram', code: 0x0201, reason: 'error', cause: 0x0401 },
      { side: 'hostile', how: 'closed', code: 0x0401 },
    ],
    recovery: {
      async '0x0401/2'({ server, connects }) {
        // The damage was none of the network's: not one checksum was wrong.
        assert.equal(server.stats()?.checksumErrors, 0);
        await connects();
      },
      async '0x0201/3'({ logged, behaves }) {
        // The log says what broke the protocol, and which peer did; that is what is mended.
        const ended = logged.find(({ event, code }) => {
          return event === 'session.closed' && code === '0x0401';
        });
        assert.match(String(ended?.peer), /^127\.0\.0\.1:\d+$/);
        await behaves('impossible-frame', 0);
      },
      // The version at fault, replaced by one that makes no such frames.
      '0x0401/3': ({ behaves }) => behaves('impossible-frame', 0),
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
      async '0x0404/3'({ server, connects }, context) {
        // The session that they came by lives on.
        assert(!context.seen.some(({ how }) => how === 'closed'));
        const [session] = server.sessions;
        await session?.ping({ timeout: 30_000 });
        await connects();
      },
      async '0x0404/1'({ server, behaves }) {
        // Both of one version: nothing unknown any more.
        const unknown = server.stats()?.unknownFrames;
        await behaves('unknown-frame', 0);
        assert.equal(server.stats()?.unknownFrames, unknown);
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
      {
        side: 'client',
        how: 'connect',
        code: 0x0405,
        subcode: 4,
        says: /did not take this side.s proof.*Try again/,
      },
      { side: 'hostile', how: 'closed', code: 0x0405 },
    ],
    recovery: {
      async '0x0405.4/1'({ client }, context) {
        // Tried again by itself: what refuses goes away after the first time.
        const refusing = attack(context, 'refuse-proof');
        const { port = 0 } = await refusing.event('listening');
        const tried: (number | undefined)[] = [];
        const session = await client.connect(`127.0.0.1:${port}`, {
          peerNodeId: 'any',
          retry: {
            attempts: 10,
            base: 50,
            onRetry: async ({ error }) => {
              tried.push(isSttError(error) ? error.subcode : 0);
              if (tried.length > 1) return;
              await refusing.ended;
              serveEcho(await context.network.endpoint({ port }));
            },
          },
        });
        assert.equal(tried[0], 4);
        await exchange(session);
      },
      '0x0405.4/2': async ({ connects }, context) => {
        assert.match(context.last('client', 'connect').message, /on the way alters packets/);
        await connects();
      },
    },
  }),

  row({
    id: '0x0405.4',
    title: 'a proof for another association',
    fault: command('wrong-proof-path-id'),
    needs: ['hostile'],
    setup: target,
    baseline: ({ connects }) => connects(),
    async inject({ server }, context) {
      const { port } = server.address;
      await attack(context, 'wrong-proof-path-id', { port }).event('final');
    },
    expect: [
      {
        side: 'server',
        how: 'handshakeError',
        code: 0x0405,
        subcode: 4,
        says: /another handshake/,
      },
      { side: 'hostile', how: 'final', code: 0x0405, subcode: 4 },
    ],
    recovery: {
      async '0x0405.4/2'({ server, connects }, context) {
        // It says whose packets they are, is counted, and lets nobody in.
        assert.match(context.last('server', 'handshakeError').message, /127\.0\.0\.1:\d+ proved/);
        assert((server.stats()?.proofFailed ?? 0) > 0);
        assert.equal(server.sessions.length, 0);
        await connects();
      },
    },
  }),
];
