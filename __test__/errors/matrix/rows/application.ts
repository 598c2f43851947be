// 0x06xx: an operation's own time, bounded queues, and what the system runs out of.

import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import type { SttStream } from '@seigr/stt';
import { SHORT_TIMINGS } from '@seigr/stt/testing';
import { exchange } from '../context.ts';
import { patient, together } from '../meeting.ts';
import { type NodeEndpoint, NodeError, NodeProcess } from '../node.ts';
import { row } from '../row.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export const applicationRows = [
  row({
    id: '0x0601',
    title: 'a receiver that does not read, a sender that does not send',
    fault:
      'write(32 MiB), drained(), end(), text(), createBidirectionalStream() and close() with short timeouts',
    async setup(context) {
      const pair = await patient(context, { server: { maxConcurrentStreams: 2 } });
      const opened = await pair.session.createBidirectionalStream();
      const second = await pair.session.createBidirectionalStream();
      const other = await patient(context);
      const unread = await other.session.createBidirectionalStream();
      return { ...pair, opened, second, other: other.session, unread };
    },
    async baseline({ session, other }) {
      await session.ping({ timeout: 30_000 });
      await other.ping({ timeout: 30_000 });
    },
    async inject({ session, opened, second, other, unread }, context) {
      const soon = { timeout: 100 };
      const each: [string, Promise<unknown>][] = [
        ['write', opened.write(Buffer.alloc(32 * MIB), soon)],
        ['drained', opened.drained(soon)],
        ['end', opened.end(soon)],
        ['read', second.text(soon)],
        ['open', session.createBidirectionalStream({ waitUntilAvailable: true, ...soon })],
      ];
      await Promise.all(each.map(([how, promise]) => context.watch('client', how, promise)));
      unread.write(Buffer.alloc(16 * MIB)).catch(() => undefined);
      await context.watch('client', 'close', other.close(soon));
    },
    expect: ['write', 'drained', 'end', 'read', 'open', 'close'].map((how) => ({
      side: 'client',
      how,
      code: 0x0601,
    })),
    recovery: {},
  }),

  row({
    id: '0x0601',
    title: 'a receiver that is slow',
    fault: 'the peer reads nothing for as long as the write may take',
    async setup(context) {
      const pair = await patient(context);
      const opened = await pair.session.createBidirectionalStream();
      const step = await pair.accepted.incomingBidirectionalStreams[Symbol.asyncIterator]().next();
      assert(step.done !== true);
      return { ...pair, opened, incoming: step.value, reads: true, read: 0 };
    },
    async baseline({ session }) {
      await session.ping({ timeout: 30_000 });
    },
    async inject(state) {
      state.reads = false;
    },
    async act(state, context) {
      const { opened } = state;
      if (state.reads) void drain(state);
      await context.watch(
        'client',
        'write',
        opened.write(Buffer.alloc(8 * MIB), { timeout: 5_000 }),
      );
    },
    expect: [{ side: 'client', how: 'write', code: 0x0601 }],
    recovery: {
      async '0x0601/2'({ session, accepted }) {
        const stream = await session.createBidirectionalStream();
        const step = await accepted.incomingBidirectionalStreams[Symbol.asyncIterator]().next();
        assert(step.done !== true);
        const writing = stream.write(Buffer.alloc(8 * MIB), { timeout: 60_000 });
        // Where the bytes are shows who is slow: the way is open, and they wait at this side all the same.
        const waiting = (): number => session.stats()?.pendingBytes ?? 0;
        for (let count = 0; count < 3; count += 1) await session.ping();
        assert(waiting() > 0, 'nothing waits');
        // Then the receiver keeps up: the write goes through in its time, and nothing waits any more.
        const reading = drain({ incoming: step.value, read: 0 });
        await writing;
        await stream.end();
        await reading;
        assert.equal(waiting(), 0);
      },
      async '0x0601/3'({ session, accepted }) {
        // The same operation again, on a stream that is whole.
        const stream = await session.createBidirectionalStream();
        const step = await accepted.incomingBidirectionalStreams[Symbol.asyncIterator]().next();
        assert(step.done !== true);
        const other = step.value;
        const reading = drain({ incoming: other, read: 0 });
        await stream.write(Buffer.alloc(MIB), { timeout: 30_000 });
        await stream.end({ timeout: 30_000 });
        await reading;
      },
      async '0x0601/1'({ session, accepted }) {
        // Slow by nature: the answer takes its 300 ms, which is too long for the one and in time for the other.
        const answers = accepted.incomingBidirectionalStreams;
        const answering = (async () => {
          for await (const question of answers) {
            setTimeout(() => void answer(question), 300);
          }
        })();
        answering.catch(() => undefined);
        const ask = async (timeout: number): Promise<string> => {
          const stream = await session.createBidirectionalStream();
          await stream.end();
          return stream.text({ timeout });
        };
        await assert.rejects(ask(100), { code: 0x0601 });
        assert.equal(await ask(60_000), 'at last');
      },
    },
  }),

  row({
    id: '0x0602',
    title: 'writes that nobody awaits',
    fault: '64 writes of 64 KiB at once; maxPendingBytes is 256 KiB',
    setup: (context) => together(context, { client: { maxPendingBytes: 256 * KIB } }),
    baseline: ({ session }) => exchange(session),
    async inject({ session }, context) {
      const stream = await session.createBidirectionalStream();
      // As many as are refused; those that are taken wait.
      for (let count = 0; count < 64; count += 1) {
        void context.watch('client', 'write', stream.write(Buffer.alloc(64 * KIB)));
      }
    },
    expect: [{ side: 'client', how: 'write', code: 0x0602 }],
    recovery: {
      async '0x0602/2'({ session }) {
        const stream = await session.createBidirectionalStream();
        const read = stream.bytes();
        for (let count = 0; count < 64; count += 1) await stream.write(Buffer.alloc(64 * KIB));
        await stream.end();
        assert.equal((await read).length, 64 * 64 * KIB);
      },
      async '0x0602/1'({ faults, server }, context) {
        const roomy = await context.network.endpoint({ maxPendingBytes: 64 * MIB });
        const session = await roomy.connect(faults.address, { peerNodeId: server.nodeId });
        const stream = await session.createBidirectionalStream();
        const read = stream.bytes();
        const writes = Array.from({ length: 64 }, () => stream.write(Buffer.alloc(64 * KIB)));
        await Promise.all([...writes, stream.end()]);
        assert.equal((await read).length, 64 * 64 * KIB);
      },
    },
  }),

  row({
    id: '0x0602',
    title: 'sessions that nobody takes',
    fault: 'a session more than listen({ backlog: 1 }) while nobody takes them',
    async setup({ network }) {
      const server = await network.endpoint();
      const client = await network.endpoint();
      const sessions = server.listen({ backlog: 1 })[Symbol.asyncIterator]();
      const more = () => client.connect(server.address, { peerNodeId: server.nodeId });
      return { server, client, sessions, more };
    },
    async baseline({ more, sessions }) {
      const [session] = await Promise.all([more(), sessions.next()]);
      await session.ping();
    },
    async inject({ more }, context) {
      await more();
      const shed = await more();
      context.watchSession('client', shed);
    },
    expect: [{ side: 'client', how: 'closed', code: 0x0602 }],
    recovery: {
      async '0x0602/1'({ client }, { network }) {
        // The bound that was reached, raised: as many wait, and none of them is shed.
        const roomy = await network.endpoint();
        const waiting = roomy.listen({ backlog: 2 })[Symbol.asyncIterator]();
        const to = { peerNodeId: roomy.nodeId };
        const two = [
          await client.connect(roomy.address, to),
          await client.connect(roomy.address, to),
        ];
        for (const session of two) await session.ping();
        await waiting.next();
        await waiting.next();
      },
      async '0x0602/3'({ more, sessions }) {
        // The one that waited is taken, and so is every other as it comes: far more than the backlog.
        await sessions.next();
        for (let count = 0; count < 3; count += 1) {
          const [session] = await Promise.all([more(), sessions.next()]);
          await session.ping();
        }
      },
    },
  }),

  row({
    id: '0x0603',
    title: 'no descriptor left',
    fault:
      'prlimit --nofile=N: of the running node, N its descriptors now; then SttEndpoint.create()',
    needs: ['prlimit'],
    async setup(context) {
      const node = new NodeProcess(context, 'node');
      const create = (): Promise<NodeEndpoint> =>
        node.create({
          sharedSeed: context.network.sharedSeed,
          host: '127.0.0.1',
          ...SHORT_TIMINGS,
        });
      const spare = await create();
      return { node, create, spare };
    },
    async baseline({ node, create }) {
      await node.call('destroy', await create());
    },
    async inject({ node }) {
      limit(node.pid, descriptors(node.pid));
    },
    async act({ create, node }, context) {
      // Numbers that became free before are used up first.
      for (let count = 0; count < 12; count += 1) {
        try {
          await create();
        } catch (error) {
          if (!(error instanceof NodeError)) throw error;
          context.note(node.side, 'create', error.report);
        }
      }
    },
    expect: [{ side: 'node', how: 'create', code: 0x0603, says: /ulimit -n/ }],
    recovery: {
      async '0x0603/1'({ node, spare, create }) {
        await node.call('destroy', spare);
        await create();
      },
      async '0x0603/2'({ node, create }) {
        limit(node.pid, 4_096);
        for (let count = 0; count < 8; count += 1) await create();
      },
    },
  }),
];

async function answer(question: SttStream): Promise<void> {
  // Whoever asked may be gone by now.
  await question.write('at last').catch(() => undefined);
  await question.end().catch(() => undefined);
}

/** Reads a stream to its end, and counts. */
async function drain(state: { incoming: AsyncIterable<Uint8Array>; read: number }): Promise<void> {
  try {
    for await (const chunk of state.incoming) state.read += chunk.length;
  } catch {
    // The other side sees why.
  }
}

/** Sets the soft limit alone: only that can be undone without rights. */
function limit(pid: number, descriptors: number): void {
  execFileSync('prlimit', [`--pid=${pid}`, `--nofile=${descriptors}:`]);
}

/** How many descriptors a process has open: new ones take the least numbers that are free. */
function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
