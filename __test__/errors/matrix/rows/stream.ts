// 0x0301 to 0x0303: what ends a stream, or keeps it from beginning.

import { strict as assert } from 'node:assert';
import type { SttSession, SttStream } from '@seigr/stt';
import type { TestPair, TestPairOptions } from '@seigr/stt/testing';
import type { Context } from '../context.ts';
import { patient } from '../meeting.ts';
import { type AnyRow, row } from '../row.ts';

/** A session whose accepted streams are the row's own, and one stream of it, seen from both sides. */
interface Streams extends TestPair {
  readonly opened: SttStream;
  readonly incoming: SttStream;
}

async function streams(context: Context, options: TestPairOptions = {}): Promise<Streams> {
  const pair = await patient(context, options);
  const opened = await pair.session.createBidirectionalStream();
  return { ...pair, opened, incoming: await nextStream(pair.accepted) };
}

async function nextStream(session: SttSession): Promise<SttStream> {
  const step = await session.incomingBidirectionalStreams[Symbol.asyncIterator]().next();
  assert(step.done !== true, 'the session has ended');
  return step.value;
}

/** Bytes go both ways through a stream of the session that is opened for it. */
async function streamWorks({ session, accepted }: TestPair): Promise<void> {
  const opened = await session.createBidirectionalStream();
  const incoming = await nextStream(accepted);
  await Promise.all([opened.write('there'), opened.end(), incoming.write('back'), incoming.end()]);
  assert.equal(await incoming.text(), 'there');
  assert.equal(await opened.text(), 'back');
}

export const streamRows: readonly AnyRow[] = [
  row({
    id: '0x0301',
    title: 'used after its end',
    fault: 'stream.end() and the end of the peer; then stream.write()',
    setup: (context) => streams(context),
    baseline: (state) => streamWorks(state),
    async inject({ opened, incoming }, context) {
      await Promise.all([opened.end(), incoming.end(), incoming.text(), opened.text()]);
      await context.watch('client', 'write', opened.write('more'));
      await context.watch('server', 'write', incoming.write('more'));
    },
    expect: [
      { side: 'client', how: 'write', code: 0x0301 },
      { side: 'server', how: 'write', code: 0x0301 },
    ],
    recovery: {
      async '0x0301/1'({ opened, incoming }) {
        // Everything had been said: both halves of both sides ended well.
        await Promise.all([opened.closed, incoming.closed]);
      },
      '0x0301/3': (state) => streamWorks(state),
    },
  }),

  row({
    id: '0x0301',
    title: 'reset by one side, stopped by the other',
    fault: 'incoming.reset(7) and incoming.stop(8) at the peer',
    setup: (context) => streams(context),
    baseline: (state) => streamWorks(state),
    async inject({ incoming }) {
      incoming.reset(7);
      incoming.stop(8);
    },
    async act({ session, opened, incoming }, context) {
      void context.watch('client', 'read', opened.text({ timeout: 60_000 }));
      void context.watch('client', 'closed', opened.closed);
      void context.watch('server', 'write', incoming.write('more'));
      // The peer's wish not to hear more has to arrive first. Where it never does, all of this still fits into the
      // credit of a stream that nobody reads.
      const until = performance.now() + 30_000;
      for (let count = 0; count < 2_000 && performance.now() < until; count += 1) {
        await context.watch('client', 'write more', opened.write('more'));
        if (context.seen.some(({ how }) => how === 'write more')) break;
        await session.ping({ timeout: 30_000 });
      }
    },
    expect: [
      { side: 'client', how: 'read', code: 0x0301 },
      { side: 'client', how: 'write more', code: 0x0301 },
      { side: 'client', how: 'closed', code: 0x0301 },
      { side: 'server', how: 'write', code: 0x0301 },
    ],
    recovery: {
      async '0x0301/2'(state) {
        // The session has not ended as well: that is what to look at.
        assert.equal(await isOver(state.session), false);
        await streamWorks(state);
      },
    },
  }),

  row({
    id: '0x0301',
    title: 'silent for streamIdleTimeout',
    fault: 'nothing is written any more: streamIdleTimeout is 2.5 s',
    async setup(context) {
      return {
        ...(await streams(context, { client: { streamIdleTimeout: 2_500 } })),
        quiet: false,
      };
    },
    baseline: (state) => streamWorks(state),
    async inject(state) {
      state.quiet = true;
    },
    async act(state, context) {
      void context.watch('client', 'read', state.opened.text());
      const keep = setInterval(() => {
        if (!state.quiet) void state.incoming.write('.');
      }, 50);
      context.defer(() => clearInterval(keep));
    },
    expect: [{ side: 'client', how: 'read', code: 0x0301, says: /2500 ms \(streamIdleTimeout\)/ }],
    recovery: { '0x0301/3': (state) => streamWorks(state) },
  }),

  row({
    id: '0x0302',
    title: "the peer's limit",
    fault: 'a stream more than the maxConcurrentStreams: 2 of the peer',
    async setup(context) {
      const state = await streams(context, { server: { maxConcurrentStreams: 2 } });
      const second = await state.session.createBidirectionalStream();
      return { ...state, second, incoming2: await nextStream(state.accepted) };
    },
    async baseline({ session }) {
      await session.ping({ timeout: 30_000 });
    },
    inject: ({ session }, context) =>
      context.watch('client', 'open', session.createBidirectionalStream()),
    expect: [{ side: 'client', how: 'open', code: 0x0302, says: /waitUntilAvailable/ }],
    recovery: {
      async '0x0302/1'({ session, accepted, second, incoming2 }) {
        const waiting = session.createBidirectionalStream({
          waitUntilAvailable: true,
          timeout: 30_000,
        });
        await endBoth(second, incoming2);
        const third = await waiting;
        await endBoth(third, await nextStream(accepted));
      },
      async '0x0302/3'({ session, accepted, opened, incoming }) {
        // The leak: a stream that was used and never ended keeps its place, until it is.
        const third = await session.createBidirectionalStream(ROOM);
        const thirdThere = await nextStream(accepted);
        await assert.rejects(session.createBidirectionalStream(), { code: 0x0302 });
        await Promise.all([endBoth(opened, incoming), endBoth(third, thirdThere)]);
        // Each of the three ways to end one gives its place back: far more than the limit come and go.
        const ways = [endBoth, closeBoth, resetBoth];
        for (let count = 0; count < 12; count += 1) {
          const stream = await session.createBidirectionalStream(ROOM);
          await ways[count % 3]?.(stream, await nextStream(accepted));
        }
      },
      async '0x0302/2'(_, context) {
        // Raised where the limit is: at the peer. One more works beside the others, and then it is a limit still.
        const roomy = await patient(context, { server: { maxConcurrentStreams: 3 } });
        const three: [SttStream, SttStream][] = [];
        for (let count = 0; count < 3; count += 1) {
          const stream = await roomy.session.createBidirectionalStream();
          three.push([stream, await nextStream(roomy.accepted)]);
        }
        await assert.rejects(roomy.session.createBidirectionalStream(), { code: 0x0302 });
        await Promise.all(three.map(([one, other]) => endBoth(one, other)));
      },
    },
  }),

  row({
    id: '0x0303',
    title: 'an id that was used before',
    fault: 'createBidirectionalStream({ id: 7 }) twice',
    setup: (context) => patient(context),
    async baseline({ session, accepted }) {
      await session.createBidirectionalStream({ id: 7 });
      await nextStream(accepted);
    },
    inject: ({ session }, context) =>
      context.watch('client', 'open', session.createBidirectionalStream({ id: 7 })),
    expect: [{ side: 'client', how: 'open', code: 0x0303, says: /Leave it out, or agree/ }],
    recovery: {
      '0x0303/1': (state) => streamWorks(state),
      async '0x0303/2'({ session, accepted }) {
        // One side the even, one the odd.
        const both = await Promise.all([
          session.createBidirectionalStream({ id: 8 }),
          accepted.createBidirectionalStream({ id: 9 }),
          nextStream(accepted),
          nextStream(session),
        ]);
        assert.deepEqual(
          both.map(({ name }) => name),
          [8, 9, 8, 9],
        );
      },
    },
  }),
  row({
    id: '0x0303',
    title: 'an id that both sides open at once',
    fault:
      'createBidirectionalStream({ id: 11 }) at both sides; a relay holds both until both are out',
    async setup(context) {
      const pair = await patient(context);
      return { ...pair, ids: { client: 10, server: 11 } };
    },
    async baseline(state) {
      await streamWorks(state);
    },
    async inject(state) {
      state.ids.client = state.ids.server;
    },
    async act({ faults, session, accepted, ids }, context) {
      await faults.delay(100);
      const open = async (side: string, by: SttSession, id: number): Promise<void> => {
        const stream = await by.createBidirectionalStream({ id });
        void context.watch(side, 'read', stream.text());
        void context.watch(side, 'closed', stream.closed);
        await context.watch(side, 'write', stream.write('mine'));
      };
      await Promise.all([
        open('client', session, ids.client),
        open('server', accepted, ids.server),
      ]);
    },
    expect: ['client', 'server'].flatMap((side) =>
      ['read', 'closed'].map((how) => ({
        side,
        how,
        code: 0x0303 as const,
        says: /agree with the peer on who takes which/,
      })),
    ),
    undo: ({ faults }) => faults.heal(),
    recovery: {
      // The ids are left out: both sides open as many as they like at once, and none of them meet.
      async '0x0303/1'({ session, accepted }) {
        const opened = await Promise.all(
          [session, accepted, session, accepted].map((by) => by.createBidirectionalStream()),
        );
        assert.equal(new Set(opened.map(({ id }) => id)).size, 4);
        await Promise.all(opened.map((stream) => stream.write('mine')));
        for (const by of [session, accepted]) {
          for (let count = 0; count < 2; count += 1) await nextStream(by);
        }
      },
    },
  }),
];

/** Waits for room, which the peer tells of a moment after a stream has ended. */
const ROOM = { waitUntilAvailable: true, timeout: 30_000 };

/** Ends a stream at both of its sides. */
async function endBoth(one: SttStream, other: SttStream): Promise<void> {
  await Promise.all([one.end(), other.end(), one.text(), other.text()]);
}

/** Closes it from both. */
function closeBoth(one: SttStream, other: SttStream): void {
  for (const stream of [one, other]) stream.close();
}

/** Gives both halves of it up, from both. */
function resetBoth(one: SttStream, other: SttStream): void {
  for (const stream of [one, other]) {
    stream.reset(1);
    stream.stop(1);
  }
}

async function isOver(session: SttSession): Promise<boolean> {
  const running = Symbol('running');
  return (await Promise.race([session.settled, Promise.resolve(running)])) !== running;
}
