// 0x0304 and 0x04xx: damage, forgery, and peers that break the rules.

import { strict as assert } from 'node:assert';
import { createHash, randomBytes } from 'node:crypto';
import { generateSeed, isSttError, type PathWarningEvent, type SttSession } from '@seigr/stt';
import { type Passing, SHORT_TIMINGS, type TestPair } from '@seigr/stt/testing';
import { forge } from '../../../../ts/testing/peer.ts';
import { buildClock } from '../clock.ts';
import { type Context, exchange, inTime, serveEcho } from '../context.ts';
import { reconnects, refusal, together } from '../meeting.ts';
import { NodeError, NodeProcess } from '../node.ts';
import { row } from '../row.ts';

const MIB = 1024 * 1024;

const isSealed = ({ bytes }: Passing): boolean => ((bytes[0] ?? 0) & 0x80) !== 0;

/**
 * A connect that tries again by itself, as it does where it is told nothing else: what held its HELLO up passes after
 * the first try.
 */
async function passesByItself({ client, faults, server }: TestPair): Promise<void> {
  const tried: (number | undefined)[] = [];
  const session = await client.connect(faults.address, {
    peerNodeId: server.nodeId,
    retry: {
      base: 50,
      onRetry: async ({ error }) => {
        tried.push(isSttError(error) ? error.subcode : 0);
        await faults.heal();
      },
    },
  });
  assert.equal(tried[0], 2);
  await exchange(session);
}

/** Another endpoint with the seed of the server connects. */
async function withOneSeed({ faults, server }: TestPair, { network }: Context): Promise<void> {
  const client = await network.endpoint({ sharedSeed: network.sharedSeed });
  await exchange(await client.connect(faults.address, { peerNodeId: server.nodeId }));
}

/** Sends random bytes there and back, and compares what came with what was sent. */
async function intact(session: SttSession, length: number): Promise<void> {
  const sent = randomBytes(length);
  const stream = await session.createBidirectionalStream();
  const read = stream.bytes({ timeout: 60_000 });
  await stream.write(sent, { timeout: 60_000 });
  await stream.end({ timeout: 60_000 });
  const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  assert.equal(digest(await read), digest(sent));
}

export const protocolRows = [
  row({
    id: '0x0402',
    title: 'forged packets, by somebody without a key',
    fault: 'a relay that sends altered copies of sealed packets, both checksums right',
    setup: (context) => together(context),
    baseline: ({ session }) => exchange(session),
    async inject({ faults }) {
      let forged = 0;
      faults.intercept((passing) => {
        if (isSealed(passing) && forged < 50) {
          forged += 1;
          passing.forward(forge(passing.bytes));
        }
        passing.forward();
      });
    },
    act: ({ session }) => intact(session, MIB),
    expect: [
      { side: 'server', how: 'frameError', code: 0x0402 },
      { side: 'client', how: 'frameError', code: 0x0402 },
    ],
    undo: ({ faults }) => faults.heal(),
    recovery: {
      async '0x0402/2'({ faults, server, client }, context) {
        // The seeds are what they should be if a handshake under them succeeds, and another's fails.
        await reconnects({ client, server, faults });
        const stranger = await context.network.endpoint({ sharedSeed: randomBytes(32) });
        const error = await refusal(stranger.connect(faults.address, { peerNodeId: 'any' }));
        assert.equal(error.code, 0x0103);
      },
      async '0x0402/3'({ session, accepted }) {
        // What a report needs is counted, and the session that was attacked has lost nothing.
        assert((accepted.stats()?.encryptionErrors ?? 0) > 0);
        await intact(session, 100_000);
      },
      async '0x0402/1'({ faults, server, client }, { network }) {
        // The application, started anew: nothing of what was forged is known to it any more.
        const nodeSeed = generateSeed();
        const again = await faults.restart(() => network.endpoint({ nodeSeed }));
        serveEcho(again);
        await exchange(await client.connect(faults.address, { peerNodeId: again.nodeId }));
        assert.equal(again.stats()?.encryptionErrors, 0);
        assert.equal(server.sessions.length, 0);
      },
    },
  }),

  row({
    id: '0x0403',
    title: 'a bit in fifty packets turned over',
    fault: 'a relay that turns one bit over in 2 % of the datagrams, anywhere in them',
    setup: (context) => together(context),
    baseline: ({ session }) => exchange(session),
    inject: ({ faults }) => faults.corrupt(0.02, 7),
    act: ({ session }) => intact(session, 4 * MIB),
    patience: 15_000,
    expect: [{ side: 'server', how: 'frameError', code: 0x0403 }],
    recovery: {
      async '0x0403/1'({ session }) {
        // The damage goes on, and nothing is lost by it.
        await intact(session, MIB);
      },
    },
  }),

  row({
    id: '0x0403',
    title: 'damage above 5 %',
    fault: 'a relay that turns one bit over in 15 % of the datagrams',
    async setup(context) {
      const pair = await together(context);
      const warning = new Promise<PathWarningEvent>((resolve) =>
        pair.accepted.once('pathWarning', resolve),
      );
      return { ...pair, warning };
    },
    baseline: ({ session }) => exchange(session),
    inject: ({ faults }) => faults.corrupt(0.15, 11),
    async act({ session }, context) {
      await intact(session, 512 * 1024);
      // Reports are a second apart: something has to go on moving until the next.
      const moving = setInterval(() => void session.ping().catch(() => undefined), 5);
      context.defer(() => clearInterval(moving));
    },
    patience: 10_000,
    expect: [{ side: 'server', how: 'frameError', code: 0x0403 }],
    recovery: {
      async '0x0403/2'({ warning, faults, session, accepted }, context) {
        const { message, corruption } = await inTime(warning, 'pathWarning', 60_000);
        assert.match(message, /cables, network cards/);
        assert(corruption > 0.05);
        // The cable is changed: no more damage is counted.
        await faults.heal();
        await session.ping();
        const damaged = accepted.stats()?.checksumErrors;
        await intact(session, MIB);
        assert.equal(accepted.stats()?.checksumErrors, damaged);
        void context;
      },
    },
  }),

  row({
    id: '0x0404',
    title: 'a custom frame that nobody handles',
    fault: 'session.sendFrame(0x90) to a peer without a handler',
    setup: (context) => together(context),
    async baseline({ session, accepted }) {
      accepted.onFrame(0x80, () => undefined);
      await session.sendFrame(0x80, 'handled');
      await exchange(session);
    },
    inject: ({ session }) => session.sendFrame(0x90, 'not handled'),
    act: ({ session }) => exchange(session),
    expect: [{ side: 'server', how: 'frameError', code: 0x0404 }],
    recovery: {
      '0x0404/3': ({ session }) => exchange(session),
      async '0x0404/2'({ session, accepted }) {
        const heard = new Promise((resolve) => accepted.onFrame(0x90, resolve));
        await session.sendFrame(0x90, 'handled now');
        assert.equal(
          Buffer.from((await inTime(heard, 'the frame')) as Buffer).toString(),
          'handled now',
        );
      },
    },
  }),

  row({
    id: '0x0405.1',
    title: 'a HELLO that is played again from another port',
    fault: 'a relay sends the captured HELLO of a session once more, from a port of its own',
    async setup(context) {
      const pair = await together(context);
      context.watchEndpoint('server', pair.server);
      let hello: Buffer | undefined;
      pair.faults.intercept((passing) => {
        const { bytes, towards } = passing;
        if (towards === 'target' && bytes[0] === 1 && bytes[1] === 1) hello = Buffer.from(bytes);
        passing.forward();
      });
      return { ...pair, hello: () => hello };
    },
    async baseline(state) {
      await reconnects(state);
      assert(state.hello() !== undefined);
    },
    inject: ({ faults, hello }) => faults.inject(hello() as Buffer),
    expect: [{ side: 'server', how: 'handshakeError', code: 0x0405, subcode: 1 }],
    recovery: {
      async '0x0405/2'(state, context) {
        const error = context.last('server', 'handshakeError');
        assert.match(error.message, /report/i);
        await reconnects(state);
      },
      async '0x0405.1/1'({ session }) {
        // Whoever was imitated has noticed nothing.
        await exchange(session);
      },
    },
  }),

  row({
    id: '0x0405.2',
    title: 'a HELLO that took longer than the window',
    fault: 'a relay holds it for 4 s; timestampWindow is 1500',
    async setup(context) {
      const pair = await together(context, {
        server: { timestampWindow: 1_500 },
        client: { handshakeTimeout: 20_000 },
      });
      context.watchEndpoint('server', pair.server);
      return pair;
    },
    baseline: ({ session }) => exchange(session),
    inject: ({ faults }) => faults.clockSkew(4_000),
    act: ({ client, faults, server }, context) =>
      context.watch(
        'client',
        'connect',
        client.connect(faults.address, { peerNodeId: server.nodeId }),
      ),
    expect: [
      { side: 'client', how: 'connect', code: 0x0405, subcode: 2 },
      { side: 'server', how: 'handshakeError', code: 0x0405, subcode: 2, says: /clock/i },
    ],
    recovery: {
      '0x0405/1': (state) => passesByItself(state),
      async '0x0405.2/1'(state, { network }) {
        await state.faults.clockSkew(4_000);
        const client = await network.endpoint({ handshakeTimeout: 20_000 });
        await passesByItself({ ...state, client });
      },
    },
  }),

  row({
    id: '0x0405.2',
    title: 'a clock that is an hour ahead',
    fault: 'LD_PRELOAD=clock.so STT_CLOCK_OFFSET=3600, for the process of the client',
    needs: ['cc'],
    async setup(context) {
      const server = await context.network.endpoint();
      serveEcho(server);
      context.watchEndpoint('server', server);
      const environment: Record<string, string> = {};
      const options = {
        sharedSeed: context.network.sharedSeed,
        host: '127.0.0.1',
        ...SHORT_TIMINGS,
      };
      /** A client in a process with the clock as it is by now, and what it does. */
      const client = async (): Promise<(address: string) => Promise<void>> => {
        const node = new NodeProcess(context, 'client', { environment });
        const from = await node.create(options);
        return async (address) => {
          const session = await node.connect(from, address, { peerNodeId: 'any' });
          await node.exchange(session);
        };
      };
      return { server, environment, client, clock: await buildClock(context) };
    },
    async baseline({ server, client }) {
      const connect = await client();
      await connect(`127.0.0.1:${server.address.port}`);
    },
    async inject({ environment, clock }) {
      Object.assign(environment, { LD_PRELOAD: clock, STT_CLOCK_OFFSET: '3600' });
    },
    async act({ server, client }, context) {
      const connect = await client();
      try {
        await connect(`127.0.0.1:${server.address.port}`);
      } catch (error) {
        if (!(error instanceof NodeError)) throw error;
        context.note('client', 'connect', error.report);
      }
    },
    expect: [
      // Both say by how much.
      {
        side: 'client',
        how: 'connect',
        code: 0x0405,
        subcode: 2,
        says: /3[56]\d{5} ms (ahead|behind)/,
      },
      { side: 'server', how: 'handshakeError', code: 0x0405, subcode: 2, says: /by NTP/ },
    ],
    recovery: {
      async '0x0405.2/2'({ client, environment, server }, context) {
        // Either widens the window, or the clock is set.
        const wide = await context.network.endpoint({ timestampWindow: 7_200_000 });
        serveEcho(wide);
        const skewed = await client();
        await skewed(`127.0.0.1:${wide.address.port}`);
        for (const name of Object.keys(environment)) delete environment[name];
        const right = await client();
        await right(`127.0.0.1:${server.address.port}`);
      },
    },
  }),

  row({
    id: '0x0405.3',
    title: 'a CHALLENGE under another seed',
    fault: 'SttEndpoint.create({ sharedSeed: another })',
    async setup(context) {
      const pair = await together(context);
      return { ...pair, seed: context.network.sharedSeed as Uint8Array };
    },
    baseline: ({ session }) => exchange(session),
    async inject(state) {
      state.seed = randomBytes(32);
    },
    async act({ seed, faults }, context) {
      const client = await context.network.endpoint({ sharedSeed: seed });
      const connecting = client.connect(faults.address, { peerNodeId: 'any' });
      try {
        await connecting;
      } catch (error) {
        // The sub-code's own error is the cause of 0x0103: what the handshake reported.
        await context.watch('client', 'cause', Promise.reject((error as Error).cause));
      }
    },
    expect: [{ side: 'client', how: 'cause', code: 0x0405, subcode: 3 }],
    recovery: {
      '0x0405/3': withOneSeed,
      '0x0405.3/1': withOneSeed,
    },
  }),
];
