// 0x02xx: what ends a session, or keeps it from beginning; and the four reasons, as everything pending sees them.

import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import {
  type CloseReason,
  type EndpointOptions,
  generateSeed,
  type LogRecord,
  logTo,
  type SttErrorCode,
} from '@seigr/stt';
import { SHORT_TIMINGS, type TestPair } from '@seigr/stt/testing';
import { type Context, exchange, inTime, serveEcho } from '../context.ts';
import { lasting } from '../lasting.ts';
import { PATIENT, refusal, together } from '../meeting.ts';
import { NodeProcess } from '../node.ts';
import { type AnyRow, type Expected, type Recovery, row } from '../row.ts';

const MIB = 1024 * 1024;

/** A session on which every kind of operation waits at both sides. */
async function busy(context: Context, timings: Partial<EndpointOptions>): Promise<Busy> {
  const nodeSeed = generateSeed();
  const logged: LogRecord[] = [];
  const server = { ...timings, maxConcurrentStreams: 2, nodeSeed };
  const pair = await context.network.connect({ server, client: timings });
  context.defer(logTo((_, record) => void logged.push(record)));
  const { session, accepted } = pair;
  context.watchSession('client', session);
  context.watchSession('server', accepted);
  const streams = accepted.incomingBidirectionalStreams[Symbol.asyncIterator]();
  const opened = await session.createBidirectionalStream();
  const { value: incoming } = await streams.next();
  // Neither side reads this one: however fast the path is, what is written to it waits for credit.
  const unread = await session.createBidirectionalStream();
  const { value: unreadThere } = await streams.next();
  assert(incoming !== undefined && unreadThere !== undefined);
  void context.watch('client', 'read', opened.text());
  void context.watch('server', 'read', incoming.text());
  void context.watch('client', 'write', unread.write(Buffer.alloc(32 * MIB)));
  void context.watch('client', 'drained', unread.drained());
  void context.watch('client', 'end', unread.end());
  void context.watch('server', 'write', unreadThere.write(Buffer.alloc(32 * MIB)));
  const waiting = session.createBidirectionalStream({ waitUntilAvailable: true });
  void context.watch('client', 'open', waiting);
  const none = session.incomingBidirectionalStreams[Symbol.asyncIterator]().next();
  void context.watch('client', 'streams', none);
  void context.watch('server', 'datagrams', accepted.datagrams[Symbol.asyncIterator]().next());
  return { ...pair, nodeSeed, logged };
}

/** Two nodes with a busy session, and what the program logs of them. */
interface Busy extends TestPair {
  readonly nodeSeed: Uint8Array;
  readonly logged: LogRecord[];
}

/** What {@link busy} leaves waiting. */
const PENDING: readonly (readonly [side: string, how: string])[] = [
  ['client', 'read'],
  ['client', 'write'],
  ['client', 'drained'],
  ['client', 'end'],
  ['client', 'open'],
  ['server', 'read'],
  ['server', 'write'],
];
/** What ends well after a graceful end, and throws after any other. */
const ITERATORS: readonly (readonly [side: string, how: string])[] = [
  ['client', 'streams'],
  ['server', 'datagrams'],
];

/** Milliseconds in which a session has to end, of both sides. */
const END_LIMIT = 30_000;

interface End {
  readonly reason: CloseReason;
  readonly fault: string;
  inject(pair: Busy): Promise<unknown>;
  /** What `closed` rejects with, at either side. */
  readonly closed: Readonly<Partial<Record<'client' | 'server', SttErrorCode>>>;
  undo?(pair: Busy): Promise<void>;
  readonly recovery: Readonly<Record<string, Recovery<Busy>>>;
}

/** A row for a reason: both sides, everything that waits, and what is tried afterwards. */
function endRow({ reason, fault, inject, closed, undo, recovery }: End): AnyRow {
  const of = ([side, how]: readonly [string, string]): Expected => ({
    side,
    how,
    code: 0x0201,
    reason,
  });
  return row({
    id: `reason.${reason}`,
    title: 'everything pending, at both sides',
    fault,
    // A second of silence is what the one is about, and nothing that may befall the others.
    setup: (context) => busy(context, reason === 'timeout' ? {} : PATIENT),
    async baseline({ session, accepted }) {
      await session.ping({ timeout: 30_000 });
      await accepted.ping({ timeout: 30_000 });
    },
    async inject(pair) {
      await inject(pair);
    },
    async act({ session, accepted }, context) {
      for (const [side, each] of [
        ['client', session],
        ['server', accepted],
      ] as const) {
        const ended = inTime(each.settled, 'the end', END_LIMIT).catch(() => undefined);
        void ended.then(() => context.watch(side, 'use after', each.ping({ timeout: 1_000 })));
      }
    },
    patience: END_LIMIT,
    expect: [
      ...PENDING.map(of),
      ...(reason === 'graceful' ? [] : ITERATORS.map(of)),
      of(['client', 'use after']),
      of(['server', 'use after']),
      ...Object.entries(closed).map(([side, code]): Expected => ({ side, how: 'closed', code })),
    ],
    ...(undo === undefined ? {} : { undo }),
    recovery,
  });
}

/** Exactly one error for each operation that waited. */
function onceEach(context: Context): void {
  for (const [side, how] of [...PENDING, ...ITERATORS]) {
    const count = context.seen.filter((seen) => seen.side === side && seen.how === how).length;
    assert(count <= 1, `${side} ${how} ended ${count} times`);
  }
}

export const sessionRows = [
  endRow({
    reason: 'graceful',
    fault: 'accepted.close() at the peer',
    inject: ({ accepted }) => accepted.close({ timeout: 200 }).catch(() => undefined),
    closed: {},
    recovery: {
      async '0x0201/1'({ session }, context) {
        onceEach(context);
        assert.equal((await session.closed).reason, 'graceful');
      },
      'reason.graceful/1': async ({ session }) => {
        assert.equal((await session.settled).error, undefined);
      },
    },
  }),

  endRow({
    reason: 'timeout',
    fault: 'a partition: a relay that lets nothing through',
    inject: ({ faults }) => faults.partition(),
    closed: { client: 0x0202, server: 0x0202 },
    undo: ({ faults }) => faults.heal(),
    recovery: {
      async '0x0201/2'(state, context) {
        onceEach(context);
        await connectsAgain(state);
      },
      async 'reason.timeout/1'({ client, server, faults }, context) {
        // By itself: a session that is replaced when the way is cut, and back when it is whole.
        const options = { peerNodeId: server.nodeId };
        const session = await lasting(context, client, faults.address, options, 'ping');
        await faults.partition();
        assert.equal((await session.lost()).code, 0x0202);
        await faults.heal();
        await session.back();
      },
    },
  }),

  endRow({
    reason: 'error',
    fault: "accepted.destroy('the peer gives up') at the peer",
    inject: async ({ accepted }) => accepted.destroy('the peer gives up'),
    closed: { client: 0x0201, server: 0x0201 },
    recovery: {
      async '0x0201/3'(state, context) {
        onceEach(context);
        // The cause is in what each operation got, and in the logs of both sides.
        assert.match(context.last('client', 'read').message, /the peer gives up/);
        const ended = state.logged.filter(({ event, sessionId }) => {
          return event === 'session.closed' && sessionId === state.session.id;
        });
        assert.equal(ended.length, 2);
        assert(ended.every(({ code, reason }) => code === '0x0201' && reason === 'error'));
        await connectsAgain(state);
      },
      'reason.error/1': connectsAgain,
      'reason.error/2': async ({ client, server, faults }, context) => {
        assert.match(context.last('client', 'closed').message, /the peer gives up/);
        // What gave up is mended, and does not: a session lives for as long as it is wanted.
        const session = await client.connect(faults.address, { peerNodeId: server.nodeId });
        await session.ping();
        assert.equal((await session.close()).reason, 'graceful');
      },
    },
  }),

  endRow({
    reason: 'auth_failure',
    fault: 'server.revoke(client.nodeId)',
    inject: async ({ server, client }) => server.revoke(client.nodeId),
    closed: { client: 0x0103 },
    recovery: {
      'reason.auth_failure/1': async (state, context) => {
        onceEach(context);
        assert.match(context.last('client', 'closed').message, /Ask who runs it/);
        // It stays out until whoever runs the peer takes the revocation back, which is made for the life of
        // an endpoint: the peer is started anew, and admits this very node.
        const { client, server, faults, nodeSeed } = state;
        const options = { peerNodeId: server.nodeId };
        const error = await refusal(client.connect(faults.address, options));
        assert.equal(error.code, 0x0103);
        await faults.restart(async () => {
          const again = await context.network.endpoint({ nodeSeed });
          serveEcho(again);
          return again;
        });
        await exchange(await client.connect(faults.address, options));
      },
    },
  }),

  row({
    id: '0x0202',
    title: 'a peer that is stopped',
    fault: 'kill -STOP of the process of the peer',
    async setup(context) {
      const state = await withChild(context, {});
      const { client, address, nodeId } = state;
      return { ...state, kept: await lasting(context, client, address, { peerNodeId: nodeId }) };
    },
    baseline: ({ session }) => exchange(session),
    async inject({ peer }) {
      peer.signal('SIGSTOP');
    },
    expect: [{ side: 'client', how: 'closed', code: 0x0202, says: /crashed, hangs/ }],
    recovery: {
      async '0x0202/2'({ peer, client, address, nodeId }, context) {
        // Whoever looks after it sees that it is stopped, and lets it go on.
        assert.equal(stateOf(peer.pid), 'T');
        peer.signal('SIGCONT');
        // Both sides tell of it, each in its own logs: the stopped one once it runs again.
        const heard = (): boolean =>
          context.seen.some(({ side, how }) => side === peer.side && how === 'closed');
        assert(await context.until(heard, 30_000), 'the peer has not noticed');
        await exchange(await client.connect(address, { peerNodeId: nodeId }));
      },
      async '0x0202/1'({ kept }) {
        // By itself: the session that is replaced was lost as well.
        assert.equal((await kept.lost()).code, 0x0202);
        await kept.back();
      },
    },
  }),

  row({
    id: '0x0202',
    title: 'a gap that is longer than the timeout',
    fault: 'kill -STOP of the process of the peer, until the session is given up; then kill -CONT',
    async setup(context) {
      const short = await withChild(context, {});
      const patient = { keepAliveTimeout: 20_000 };
      const there = await short.peer.create({ ...options(context), ...patient });
      await short.peer.serve(there);
      const client = await context.network.endpoint(patient);
      const address = `127.0.0.1:${there.port}`;
      return { ...short, kept: await client.connect(address, { peerNodeId: there.nodeId }) };
    },
    async baseline({ session, kept }) {
      await exchange(session);
      await exchange(kept);
    },
    async inject({ peer }) {
      peer.signal('SIGSTOP');
    },
    expect: [{ side: 'client', how: 'closed', code: 0x0202, says: /keepAliveTimeout/ }],
    async undo({ peer }) {
      peer.signal('SIGCONT');
    },
    recovery: {
      // The same gap, on a session for which keepAliveTimeout was raised.
      '0x0202/3': ({ kept }) => exchange(kept),
    },
  }),

  row({
    id: '0x0202',
    title: 'a peer that is killed, on a host that lives',
    alone: true,
    fault: 'kill -9 of the process of the peer; its port refuses from then on',
    async setup(context) {
      const patient = { keepAliveTimeout: 30_000 };
      return withChild(context, patient, patient);
    },
    baseline: ({ session }) => exchange(session),
    async inject({ peer, session }, context) {
      await peer.kill();
      context.start();
      // The first probe that is refused.
      void context.watch('client', 'ping', session.ping());
    },
    expect: [
      { side: 'client', how: 'closed', code: 0x0202, within: 2_500 },
      { side: 'client', how: 'ping', code: 0x0201, reason: 'timeout' },
    ],
    recovery: {
      async '0x0202/1'({ client, there }, context) {
        const peer = new NodeProcess(context, 'peer');
        const again = await peer.create({ ...options(context), port: there.port });
        await peer.serve(again);
        const address = `127.0.0.1:${there.port}`;
        await exchange(await client.connect(address, { peerNodeId: again.nodeId }));
      },
    },
  }),

  row({
    id: '0x0203',
    title: "the peer's limit",
    fault: 'a session more than listen({ maxSessions: 2 })',
    async setup(context) {
      const pair = await together(context, { listen: { maxSessions: 2 } });
      const { client, faults, server } = pair;
      const more = () => client.connect(faults.address, { peerNodeId: server.nodeId });
      return { ...pair, more, second: await more() };
    },
    async baseline({ session, second }) {
      await exchange(session);
      await exchange(second);
    },
    inject: ({ more }, context) => context.watch('client', 'connect', more()),
    expect: [{ side: 'client', how: 'connect', code: 0x0203, says: /raise maxConcurrentSessions/ }],
    recovery: {
      async '0x0203/1'({ more, second }) {
        await second.close();
        await exchange(await eventually(more, 0x0203));
      },
      async '0x0203/3'({ more, client }) {
        // Found: sessions that are open and that nobody uses are all in this list.
        const leaked = client.sessions;
        assert.equal(leaked.length, 2);
        for (const session of leaked) await session.close();
        assert.equal(client.sessions.length, 0);
        // Mended: each is closed when it was used, and far more than the limit of them come one after another.
        for (let count = 0; count < 10; count += 1) {
          const session = await eventually(more, 0x0203);
          try {
            await exchange(session);
          } finally {
            await session.close();
          }
        }
      },
      async '0x0203/2'({ client, faults }, { network }) {
        // Raised where the limit is: at the peer, which is started anew with room for one more.
        const nodeSeed = generateSeed();
        const roomy = await faults.restart(() => network.endpoint({ nodeSeed }));
        serveEcho(roomy, undefined, { maxSessions: 3 });
        const to = { peerNodeId: roomy.nodeId };
        const three = [];
        for (let count = 0; count < 3; count += 1) {
          three.push(await client.connect(faults.address, to));
        }
        await Promise.all(three.map((session) => exchange(session)));
        // And no further: it is a limit still.
        await assert.rejects(client.connect(faults.address, to), { code: 0x0203 });
      },
    },
  }),

  row({
    id: '0x0203',
    title: 'the own limit',
    fault: 'a session more than maxConcurrentSessions: 1 of the endpoint that connects',
    async setup(context) {
      const pair = await together(context, { client: { maxConcurrentSessions: 1 } });
      const { client, faults, server } = pair;
      const more = () => client.connect(faults.address, { peerNodeId: server.nodeId });
      return { ...pair, more };
    },
    baseline: ({ session }) => exchange(session),
    inject: ({ more }, context) => context.watch('client', 'connect', more()),
    expect: [
      {
        side: 'client',
        how: 'connect',
        code: 0x0203,
        says: /has 1 session, as many as it may \(maxConcurrent/,
      },
    ],
    recovery: {
      async '0x0203/2'({ faults, server }, context) {
        const roomy = await context.network.endpoint({ maxConcurrentSessions: 2 });
        for (let count = 0; count < 2; count += 1) {
          await exchange(await roomy.connect(faults.address, { peerNodeId: server.nodeId }));
        }
      },
      async '0x0203/1'({ session, more }) {
        // At once: the limit is this side's own, and so is the place.
        await session.close();
        await exchange(await more());
      },
    },
  }),

  row({
    id: '0x0204',
    title: 'a peer that was started anew',
    alone: true,
    fault: 'kill -9 of the process of the peer; then the same port and node seed in another',
    async setup(context) {
      const nodeSeed = generateSeed();
      const patient = { keepAliveTimeout: 30_000 };
      const peer = new NodeProcess(context, 'peer');
      const there = await peer.create({ ...options(context), ...patient, nodeSeed });
      await peer.serve(there);
      const faults = await context.network.link({ address: { port: there.port } });
      const client = await context.network.endpoint(patient);
      const { address } = faults;
      const pinned = { peerNodeId: there.nodeId };
      const session = await client.connect(address, pinned);
      context.watchSession('client', session);
      // Another one, of another client, that is replaced when it is lost.
      const other = await context.network.endpoint(patient);
      const kept = await lasting(context, other, address, pinned);
      const nodeId = there.nodeId;
      const frames = { sent: 0, sentSinceEnd: 0, over: false };
      return { peer, there, client, session, kept, faults, address, nodeId, nodeSeed, frames };
    },
    baseline: ({ session }) => exchange(session),
    async inject({ peer, there, nodeSeed, session, faults, frames }, context) {
      await faults.partition();
      await peer.kill();
      const next = new NodeProcess(context, 'peer again');
      const again = await next.create({ ...options(context), port: there.port, nodeSeed });
      await next.serve(again);
      await faults.heal();
      context.start();
      faults.intercept(({ towards, client, forward }) => {
        if (client === 0 && towards === 'target') {
          frames.sent += 1;
          if (frames.over) frames.sentSinceEnd += 1;
        }
        forward();
      });
      // The next frame, unless a keep-alive has been it already.
      const asked = session.ping({ timeout: 30_000 });
      await context.watch('client', 'ping', asked);
      // What was sent before the answer had come may still wait in this thread's socket.
      for (let turn = 0; turn < 20; turn += 1) await new Promise((next) => setImmediate(next));
      frames.over = true;
    },
    expect: [
      // One round trip of the next frame, which is no time on loopback: a thirtieth of the timeout.
      { side: 'client', how: 'closed', code: 0x0204, says: /started anew/, within: 1_000 },
      { side: 'client', how: 'ping', code: 0x0201, reason: 'error' },
    ],
    recovery: {
      async '0x0204/1'({ client, address, nodeId, kept, frames }) {
        // The first answer was enough: the session has sent nothing since.
        assert(frames.sent > 0);
        assert.equal(frames.sentSinceEnd, 0);
        await exchange(await client.connect(address, { peerNodeId: nodeId }));
        // By itself, too.
        assert.equal((await kept.lost()).code, 0x0204);
        await kept.back();
      },
      async '0x0204/2'({ session, client, address, nodeId }) {
        // Asked before it is used: the session tells that it is over, and nothing fails.
        const end = await inTime(session.settled, 'settled', 100);
        assert.equal(end.error?.code, 0x0204);
        await exchange(await client.connect(address, { peerNodeId: nodeId }));
      },
    },
  }),
];

/** The same endpoint connects once more; the session before stays what it was: over. */
async function connectsAgain({ client, server, faults, session }: Busy): Promise<void> {
  const again = await client.connect(faults.address, { peerNodeId: server.nodeId });
  await again.ping();
  await assert.rejects(session.ping(), { code: 0x0201 });
}

/** The system's letter for the state of a process: `T` for one that is stopped. */
function stateOf(pid: number): string {
  if (process.platform === 'linux') {
    // Its name, in parentheses, may hold anything.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.charAt(0) ?? '';
  }
  const columns = execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return columns.trim().charAt(0);
}

/** What an endpoint of the row's network is made with. */
function options(context: Context) {
  return { sharedSeed: context.network.sharedSeed, host: '127.0.0.1', ...SHORT_TIMINGS };
}

/** A session with a node in a process of its own. */
async function withChild(context: Context, theirs: object, ours: object = {}) {
  const peer = new NodeProcess(context, 'peer');
  const there = await peer.create({ ...options(context), ...theirs });
  await peer.serve(there);
  const client = await context.network.endpoint(ours);
  const address = `127.0.0.1:${there.port}`;
  const session = await client.connect(address, { peerNodeId: there.nodeId });
  context.watchSession('client', session);
  return { peer, there, client, session, address, nodeId: there.nodeId };
}

/** Tries again while it is refused with this code: the other side learns of an end a moment later. */
async function eventually<T>(act: () => Promise<T>, code: number): Promise<T> {
  const until = performance.now() + 30_000;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if ((error as { code?: number }).code !== code || performance.now() > until) throw error;
    }
  }
}
