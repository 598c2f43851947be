// 0x0501: the system refuses to send. And what takes long to show: the limit of forgeries.

import { strict as assert } from 'node:assert';
import { SHORT_TIMINGS } from '@seigr/stt/testing';
import { exchange } from '../context.ts';
import { attack, command } from '../hostile.ts';
import { begin, beside, connects, type Lan, lan, PORT, rules, withoutRules } from '../lan.ts';
import { PATIENT, together } from '../meeting.ts';
import { type AnyRow, row } from '../row.ts';

/** The least integrityLimit that an endpoint takes. */
const FORGERIES = 2 ** 20;
const KIB = 1024;
const MIB = 1024 * KIB;

export const sendRows: readonly AnyRow[] = [
  row({
    id: '0x0501',
    title: 'the own firewall drops what is sent',
    fault: `nft: output udp dport ${PORT} drop, in the namespace of the client: EPERM`,
    needs: ['netns'],
    setup: (context) => lan(context),
    baseline: (state) => begin(state),
    inject: async ({ net }) => rules(net, 'a', 'output', `udp dport ${PORT} drop`),
    expect: [
      // At once as an event, and as an error when nothing has left this machine for the whole timeout.
      { side: 'client', how: 'sendError', code: 0x0501, says: /EPERM/ },
      { side: 'client', how: 'closed', code: 0x0501, says: /A firewall rule of this machine/ },
      // To the other side it is silence, or what the first one still manages to say.
      { side: 'server', how: 'closed', code: 0x0202 },
    ],
    undo: async ({ net }) => withoutRules(net, 'a'),
    recovery: {
      '0x0501/1': async (state) => void (await connects(state, state.address)),
      async '0x0501/2'(state) {
        // Shorter than the timeout, however long the commands take on a busy machine: sending is tried again by
        // itself, and the session goes on.
        const patient = await beside(state, PORT + 1, { ...SHORT_TIMINGS, ...PATIENT });
        const session = await connects(patient, patient.address);
        rules(state.net, 'a', 'output', `udp dport ${PORT + 1} drop`);
        const waiting = state.client.exchange(session, 100_000);
        await refused(patient);
        withoutRules(state.net, 'a');
        await waiting;
      },
    },
  }),

  row({
    id: '0x0501',
    title: 'the queue of the interface is full',
    fault: 'tc qdisc: tbf rate 2mbit burst 4kb limit 6kb on the wire of the client: ENOBUFS',
    needs: ['netns'],
    setup: (context) => lan(context),
    baseline: (state) => begin(state),
    inject: async ({ net }) => narrow(net),
    act: async ({ client, session }) => {
      await client.exchange(session, 200_000);
    },
    patience: 10_000,
    expect: [{ side: 'client', how: 'sendError', code: 0x0501, says: /ENOBUFS/ }],
    async undo({ net }) {
      net.exec('a', 'tc', 'qdisc', 'del', 'dev', 'wire', 'root');
    },
    recovery: {
      // Refused again and again, and what was written has arrived all the same.
      '0x0501/2': async (state) => void (await connects(state, state.address)),
      async '0x0501/3'(state) {
        const { net, client, there, address, seed } = state;
        // A wire as narrow, with a queue that holds all of it: nothing is refused.
        narrow(net, '4mb');
        const session = await connects(state, address);
        // The system's EMSGSIZE to a search for larger datagrams counts as well: that is over with the first.
        await client.exchange(session, 200_000);
        const before = await sendErrors(state);
        await client.exchange(session, 200_000);
        assert.equal(await sendErrors(state), before);
        // Where the queue stays short: what a session may hold decides how much a program can write meanwhile.
        const by = async (sendBufferSize: number): Promise<string> => {
          const timings = { ...SHORT_TIMINGS, keepAliveTimeout: 20_000 };
          const from = await client.create({ sharedSeed: seed, ...timings, sendBufferSize });
          return client.connect(from, address, { peerNodeId: there.nodeId });
        };
        const [small, large] = [await by(64 * KIB), await by(8 * MIB)];
        narrow(net);
        // Four seconds of that wire.
        const written = { bytes: MIB, timeout: 1_000 };
        await client.call('write', { session: large, ...written });
        await assert.rejects(client.call('write', { session: small, ...written }), /: TIMEOUT: /);
      },
    },
  }),

  row({
    id: '0x0501',
    title: 'an interface that is down for good',
    fault: 'ip link set wire down, in the namespace of the client',
    needs: ['netns'],
    setup: (context) => lan(context),
    baseline: (state) => begin(state),
    inject: async ({ net }) => net.interface('a', 'down'),
    expect: [
      // At once, and by name; the end is one by silence where something left after the peer was last heard.
      { side: 'client', how: 'sendError', code: 0x0501, says: /ENETUNREACH|ENETDOWN/ },
      { side: 'client', how: 'closed', code: 0x0501, or: 0x0202 },
      { side: 'server', how: 'closed', code: 0x0202 },
    ],
    recovery: {
      async '0x0501/1'(state) {
        // Whoever checks it sees that it is down; up again, it carries a session.
        assert.match(state.net.ip('a', 'link', 'show', 'wire'), /state DOWN/);
        state.net.interface('a', 'up');
        await connects(state, state.address);
      },
    },
  }),

  row({
    id: '0x0402',
    title: 'forgeries up to the limit',
    fault: `${command('forge', 4 * FORGERIES)}; integrityLimit is 2^20`,
    needs: ['hostile'],
    alone: true,
    patience: 60_000,
    async setup(context) {
      const pair = await together(context, {
        server: { integrityLimit: FORGERIES, keepAliveTimeout: 30_000 },
      });
      return pair;
    },
    baseline: ({ session }) => exchange(session),
    async inject({ server }, context) {
      const attacked = new Promise<void>((resolve) => {
        const known = new Set(server.sessions);
        const look = setInterval(() => {
          const added = server.sessions.find((session) => !known.has(session));
          if (added === undefined) return;
          clearInterval(look);
          context.watchSession('attacked', added);
          void context.watch(
            'attacked',
            'pending',
            added
              .createBidirectionalStream({ waitUntilAvailable: true })
              .then((stream) => stream.text()),
          );
          resolve();
        }, 5);
        context.defer(() => clearInterval(look));
      });
      const { port } = server.address;
      const running = attack(context, 'forge', { port, count: 4 * FORGERIES, seconds: 60 });
      await attacked;
      await running.event('closed', 60_000);
    },
    expect: [
      { side: 'attacked', how: 'frameError', code: 0x0402 },
      { side: 'attacked', how: 'closed', code: 0x0402 },
      { side: 'attacked', how: 'pending', code: 0x0201, reason: 'error' },
      { side: 'hostile', how: 'closed', code: 0x0402 },
    ],
    recovery: {
      async '0x0402/1'({ faults, server, session }, context) {
        await exchange(session);
        const again = await context.network.endpoint();
        await exchange(await again.connect(faults.address, { peerNodeId: server.nodeId }));
      },
    },
  }),
];

/** Makes the client's wire slow, with a queue before it: as short as it can be, unless said. */
function narrow(net: Lan['net'], limit = '6kb'): void {
  const tbf = ['root', 'tbf', 'rate', '2mbit', 'burst', '4kb', 'limit', limit];
  net.exec('a', 'tc', 'qdisc', 'replace', 'dev', 'wire', ...tbf);
}

async function sendErrors({ client, from }: Pick<Lan, 'client' | 'from'>): Promise<number> {
  const stats = await client.call<{ sendErrors: number }>('stats', { endpoint: from.endpoint });
  return stats.sendErrors;
}

/** Resolves once the system has refused to send. */
async function refused({ client, from }: Lan): Promise<void> {
  const errors = (): Promise<number> => sendErrors({ client, from });
  const before = await errors();
  const until = performance.now() + 30_000;
  while ((await errors()) === before) {
    if (performance.now() > until) throw new Error('nothing was refused');
  }
}
