// 0x01xx: what keeps two nodes from meeting.

import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { generateSeed, isSttError, type SttEndpoint } from '@seigr/stt';
import { closedPort, silentSocket } from '@seigr/stt/testing';
import { helloPathId, versionsPacket } from '../../../../ts/testing/peer.ts';
import { bindSocket, closeSocket } from '../../../../ts/testing/sockets.ts';
import { crc16 } from '../../../../ts/testing/wire/packet.ts';
import { exchange, serveEcho } from '../context.ts';
import { connects, meeting, refusal, tries } from '../meeting.ts';
import { row } from '../row.ts';

/** Milliseconds to the system's answer for a closed port. */
const REFUSED_WITHIN = 100;

export const connectionRows = [
  row({
    id: '0x0101',
    title: 'a bound socket that never answers',
    fault: 'the server ends; dgram.bind(its port), which reads nothing',
    async setup({ network }) {
      const port = await closedPort();
      const server = await network.endpoint({ port, nodeSeed: generateSeed() });
      serveEcho(server);
      const state: {
        port: number;
        server: SttEndpoint;
        client: SttEndpoint;
        silent?: Awaited<ReturnType<typeof silentSocket>>;
      } = {
        port,
        server,
        client: await network.endpoint(),
      };
      return state;
    },
    async baseline({ client, server }) {
      await exchange(await client.connect(server.address, { peerNodeId: 'any' }));
    },
    async inject(state) {
      await state.server.close({ drain: 0 });
      state.silent = await silentSocket(state.port);
    },
    act: ({ client, port }, context) =>
      context.watch(
        'client',
        'connect',
        client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any', timeout: 1_500 }),
      ),
    expect: [
      { side: 'client', how: 'connect', code: 0x0101, says: /Check that it runs.*allow more time/ },
    ],
    async undo({ silent }) {
      await silent?.close();
    },
    recovery: {
      async '0x0101/1'({ client }, context) {
        // Tries, with pauses, while the server is not there yet; it comes after the first has failed.
        const port = await closedPort();
        const silent = await silentSocket(port);
        const tries: number[] = [];
        const session = await client.connect(`127.0.0.1:${port}`, {
          peerNodeId: 'any',
          timeout: 1_000,
          retry: {
            attempts: 100,
            base: 50,
            onRetry: async ({ error }) => {
              tries.push(isSttError(error) ? error.code : 0);
              if (tries.length > 1) return;
              await silent.close();
              serveEcho(await context.network.endpoint({ port }));
            },
          },
        });
        assert.equal(tries[0], 0x0101);
        await exchange(session);
      },
    },
  }),

  row({
    id: '0x0101',
    title: 'a network slower than the timeout',
    fault: 'a relay that holds every datagram for 1 s',
    setup: (context) => meeting(context),
    async baseline(state) {
      await connects(state, { peerNodeId: 'any', timeout: 30_000 });
    },
    inject: ({ faults }) => faults.delay(1_000),
    act: (state, context) => tries(state, context, { timeout: 1_800 }),
    expect: [{ side: 'client', how: 'connect', code: 0x0101, says: /allow more time/ }],
    recovery: {
      async '0x0101/2'(state) {
        await connects(state, { peerNodeId: 'any', timeout: 30_000 });
      },
    },
  }),

  row({
    id: '0x0102',
    title: 'a closed UDP port',
    alone: true,
    fault: 'the server ends; the system answers for its port by ICMP',
    async setup({ network }) {
      const port = await closedPort();
      const server = await network.endpoint({ port });
      serveEcho(server);
      return { port, server, client: await network.endpoint() };
    },
    async baseline({ client, server }) {
      await exchange(await client.connect(server.address, { peerNodeId: server.nodeId }));
    },
    inject: ({ server }) => server.close({ drain: 0 }),
    async act({ client, port }, context) {
      // The quickest of many: a busy machine may hold any one of them up, but none is ever early.
      for (let count = 0; count < 100; count += 1) {
        context.start();
        await context.watch(
          'client',
          'connect',
          client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' }),
        );
        if (context.seen.every(({ ms }) => ms <= REFUSED_WITHIN)) return;
      }
    },
    expect: [
      {
        side: 'client',
        how: 'connect',
        code: 0x0102,
        says: /Start it there, or correct the port/,
        // On loopback, where it is the system's answer and not a timeout.
        within: REFUSED_WITHIN,
      },
    ],
    recovery: {
      async '0x0102/1'({ client, port }, { network }) {
        // Whoever looks finds nobody on the port; then somebody is.
        assert.equal(await isTaken(port), false);
        serveEcho(await network.endpoint({ port }));
        assert.equal(await isTaken(port), true);
        await exchange(await client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' }));
      },
    },
  }),

  row({
    id: '0x0102',
    title: 'another port than the one that the peer prints',
    fault: 'connect to the port before it',
    async setup(context) {
      return { ...(await meeting(context)), wrong: await closedPort(), port: 0 };
    },
    async baseline(state) {
      await connects(state);
    },
    async inject(state) {
      state.port = state.wrong;
    },
    act: ({ client, server, port }, context) =>
      context.watch(
        'client',
        'connect',
        client.connect(`127.0.0.1:${port || server.address.port}`, { peerNodeId: 'any' }),
      ),
    expect: [{ side: 'client', how: 'connect', code: 0x0102, says: /correct the port/ }],
    recovery: {
      async '0x0102/4'({ client, server }) {
        const { port } = server.address;
        await exchange(await client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' }));
      },
    },
  }),

  row({
    id: '0x0102',
    title: 'an endpoint that does not listen, by its authenticated refusal',
    fault: 'listener.close()',
    async setup({ network }) {
      const server = await network.endpoint();
      return { server, listener: server.listen(), client: await network.endpoint() };
    },
    async baseline({ client, server }) {
      await client.connect(server.address, { peerNodeId: server.nodeId });
    },
    async inject({ listener }) {
      listener.close();
    },
    act: ({ client, server }, context) =>
      context.watch(
        'client',
        'connect',
        client.connect(server.address, { peerNodeId: server.nodeId }),
      ),
    expect: [{ side: 'client', how: 'connect', code: 0x0102, says: /Have it listen/ }],
    async undo({ server }) {
      serveEcho(server);
    },
    recovery: {
      async '0x0102/1'({ client, server }) {
        await exchange(await client.connect(server.address, { peerNodeId: server.nodeId }));
      },
    },
  }),

  row({
    id: '0x0103',
    title: 'another shared seed',
    fault: 'SttEndpoint.create({ sharedSeed: another })',
    async setup(context) {
      const state = await meeting(context);
      return { ...state, seed: context.network.sharedSeed };
    },
    async baseline(state) {
      await connects(state);
    },
    async inject(state) {
      state.seed = generateSeed();
    },
    async act({ seed, server }, context) {
      const client = await context.network.endpoint({ sharedSeed: seed });
      await context.watch(
        'client',
        'connect',
        client.connect(server.address, { peerNodeId: server.nodeId }),
      );
    },
    expect: [
      { side: 'client', how: 'connect', code: 0x0103, subcode: 3, says: /seed is not ours/ },
      {
        side: 'server',
        how: 'handshakeError',
        code: 0x0103,
        subcode: 3,
        says: /under a shared seed that is not ours/,
      },
    ],
    recovery: {
      async '0x0103/1'({ seed, server }, context) {
        const error = context.last('client', 'connect');
        assert.equal(error.recoverable, false);
        assert.equal(error.recovery, 'fix-config');
        // Nothing but a person helps: the same configuration fails again, and no retry is begun.
        const client = await context.network.endpoint({ sharedSeed: seed });
        let retries = 0;
        const again = await refusal(
          client.connect(server.address, {
            peerNodeId: 'any',
            retry: {
              base: 1,
              onRetry: () => {
                retries += 1;
              },
            },
          }),
        );
        assert.equal(again.code, 0x0103);
        assert.equal(retries, 0);
      },
      async '0x0103/2'({ server }, context) {
        const { sharedSeed } = context.network;
        const client = await context.network.endpoint({ sharedSeed });
        await exchange(await client.connect(server.address, { peerNodeId: server.nodeId }));
      },
    },
  }),

  row({
    id: '0x0103',
    title: 'a seed that was cut short when it was copied',
    fault: 'SttEndpoint.create({ sharedSeed: seed.subarray(0, 32) }) of a seed of 48 bytes',
    async setup({ network, ...context }) {
      const whole = Buffer.concat([generateSeed(), generateSeed().subarray(0, 16)]);
      const server = await network.endpoint({ sharedSeed: whole });
      serveEcho(server);
      return { whole, copied: whole, server, context };
    },
    async baseline({ whole, server }, { network }) {
      const client = await network.endpoint({ sharedSeed: whole });
      await exchange(await client.connect(server.address, { peerNodeId: server.nodeId }));
    },
    async inject(state) {
      state.copied = state.whole.subarray(0, 32);
    },
    async act({ copied, server }, context) {
      const client = await context.network.endpoint({ sharedSeed: copied });
      await context.watch(
        'client',
        'connect',
        client.connect(server.address, { peerNodeId: server.nodeId }),
      );
    },
    expect: [{ side: 'client', how: 'connect', code: 0x0103, subcode: 3, says: /same sharedSeed/ }],
    recovery: {
      async '0x0103/3'({ whole, server }, { network }) {
        const client = await network.endpoint({ sharedSeed: whole.toString('hex') });
        await exchange(await client.connect(server.address, { peerNodeId: server.nodeId }));
      },
    },
  }),

  row({
    id: '0x0103',
    title: 'another node than the pinned one',
    fault: 'connect({ peerNodeId: of another node })',
    async setup(context) {
      const other = await context.network.endpoint();
      const state = await meeting(context);
      return { ...state, other, pinned: state.server.nodeId };
    },
    async baseline(state) {
      await connects(state);
    },
    async inject(state) {
      state.pinned = state.other.nodeId;
    },
    act: (state, context) => tries(state, context, { peerNodeId: state.pinned }),
    expect: [{ side: 'client', how: 'connect', code: 0x0103, says: /peerNodeId/ }],
    recovery: {
      async '0x0103/4'(state) {
        await connects(state, { peerNodeId: state.server.nodeId });
      },
    },
  }),

  row({
    id: '0x0103',
    title: "the peer's authorize() says no",
    fault: 'listen({ authorize: () => false })',
    async setup({ network }) {
      const server = await network.endpoint();
      const state = { server, client: await network.endpoint(), admits: true };
      server.serve(() => undefined, { authorize: () => state.admits });
      return state;
    },
    async baseline({ client, server }) {
      await client.connect(server.address, { peerNodeId: server.nodeId });
    },
    async inject(state) {
      state.admits = false;
    },
    act: ({ client, server }, context) =>
      context.watch(
        'client',
        'connect',
        client.connect(server.address, { peerNodeId: server.nodeId }),
      ),
    expect: [{ side: 'client', how: 'connect', code: 0x0103 }],
    async undo(state) {
      state.admits = true;
    },
    recovery: {
      async '0x0103/1'({ client, server }) {
        await client.connect(server.address, { peerNodeId: server.nodeId });
      },
    },
  }),

  row({
    id: '0x0104',
    title: 'a name without an address',
    fault: 'connect to nowhere.invalid',
    async setup(context) {
      return { ...(await meeting(context)), host: 'localhost' };
    },
    async baseline(state) {
      await connects(state);
    },
    async inject(state) {
      state.host = 'nowhere.invalid';
    },
    act: ({ client, server, host }, context) =>
      context.watch(
        'client',
        'connect',
        client.connect(`${host}:${server.address.port}`, { peerNodeId: 'any', timeout: 20_000 }),
      ),
    patience: 20_000,
    expect: [{ side: 'client', how: 'connect', code: 0x0104, says: /Check its spelling/ }],
    recovery: {
      async '0x0104/2'({ client, server }) {
        const address = `localhost:${server.address.port}`;
        await exchange(await client.connect(address, { peerNodeId: server.nodeId }));
      },
    },
  }),

  row({
    id: '0x0105',
    title: 'a responder that speaks version 2',
    fault: 'a raw UDP socket answers HELLO with ERROR of version 2, CRC-16 right',
    async setup({ network }) {
      const port = await closedPort();
      const server = await network.endpoint({ port });
      serveEcho(server);
      const state: {
        port: number;
        server: SttEndpoint;
        client: SttEndpoint;
        other?: Awaited<ReturnType<typeof bindSocket>>;
      } = {
        port,
        server,
        client: await network.endpoint(),
      };
      return state;
    },
    async baseline({ client, server }) {
      await exchange(await client.connect(server.address, { peerNodeId: server.nodeId }));
    },
    async inject(state) {
      await state.server.close({ drain: 0 });
      const other = await bindSocket(state.port);
      other.on('message', (hello, { port, address }) => {
        other.send(versionsPacket(2, helloPathId(hello)), port, address);
      });
      state.other = other;
    },
    act: ({ client, port }, context) =>
      context.watch(
        'client',
        'connect',
        client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' }),
      ),
    expect: [
      {
        side: 'client',
        how: 'connect',
        code: 0x0105,
        says: /Install versions that match: upgrade this side/,
      },
    ],
    async undo({ other }) {
      if (other !== undefined) await closeSocket(other);
    },
    recovery: {
      async '0x0105/1'({ client, port }, { network }) {
        serveEcho(await network.endpoint({ port }));
        await exchange(await client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' }));
      },
    },
  }),

  row({
    id: '0x0105',
    title: 'an initiator that speaks version 2',
    fault: 'a raw UDP socket sends HELLO of version 2, CRC-16 right, and reads the answer',
    async setup(context) {
      const state = await meeting(context);
      const socket = await bindSocket();
      context.defer(() => closeSocket(socket));
      let hello = Buffer.alloc(0);
      state.faults.intercept(({ bytes, forward }) => {
        if (bytes[0] === 1 && bytes[1] === 1) hello = Buffer.from(bytes);
        forward();
      });
      return { ...state, socket, hello: () => hello };
    },
    async baseline(state) {
      await connects(state);
    },
    async inject({ socket, hello, server }) {
      const answered = once(socket, 'message', { signal: AbortSignal.timeout(30_000) });
      socket.send(asVersion(hello(), 2), server.address.port, '127.0.0.1');
      const [answer] = (await answered) as [Buffer];
      // ERROR of kind 1, that lists version 1: all that a peer of another version can read.
      const [type, kind, ...versions] = [answer[1], answer[24], ...answer.subarray(28, 30)];
      assert.deepEqual([type, kind, ...versions], [0xff, 1, 1, 1]);
    },
    expect: [
      {
        side: 'server',
        how: 'handshakeError',
        code: 0x0105,
        says: /Install versions that match: upgrade this side/,
      },
    ],
    recovery: {
      async '0x0105/1'(state) {
        await connects(state);
      },
    },
  }),
];

/** Whether a program has that UDP port of 127.0.0.1, as netstat would show it. */
async function isTaken(port: number): Promise<boolean> {
  try {
    await closeSocket(await bindSocket(port));
    return false;
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EADDRINUSE');
    return true;
  }
}

/** The same HELLO in another version: the header's checksum is right again. */
function asVersion(hello: Buffer, version: number): Buffer {
  const other = Buffer.from(hello);
  other[0] = version;
  other.writeUInt16LE(crc16(other.subarray(0, 22)), 22);
  return other;
}
