// What takes a network: namespaces of this kernel, with routes, rules and links of their own. 0x0104, 0x0102 by a
// firewall and behind a NAT, 0x0202 by a link, 0x0501.

import { strict as assert } from 'node:assert';
import { SHORT_TIMINGS } from '@seigr/stt/testing';
import { Icmp } from '../../../kernel/icmp.ts';
import { ADDRESS } from '../../../kernel/network.ts';
import { begin, connects, lan, PORT, rules, tries, withoutRules } from '../lan.ts';
import { type AnyRow, row } from '../row.ts';

/** Of the client. */
const GATEWAY = '10.77.1.254';

export const networkRows: readonly AnyRow[] = [
  row({
    id: '0x0101',
    title: 'a router that has lost the way, and says nothing of it',
    fault: `ip route add blackhole ${ADDRESS.b}/32, in the router's namespace`,
    needs: ['netns', 'cc'],
    async setup(context) {
      const state = await lan(context);
      return { ...state, icmp: await Icmp.build(state.net, context.defer) };
    },
    baseline: (state) => begin(state),
    async inject({ net }) {
      net.ip('r', 'route', 'add', 'blackhole', `${ADDRESS.b}/32`);
    },
    act: (state) => tries(state, state.address, 2_500),
    expect: [{ side: 'client', how: 'connect', code: 0x0101, says: /that the address is right/ }],
    recovery: {
      async '0x0101/3'(state) {
        // Whoever asks the hosts on the way finds out where it ends: the router answers, what is behind it does not.
        const { icmp, net } = state;
        assert.equal(await icmp.answers('a', GATEWAY), true);
        assert.equal(await icmp.answers('a', ADDRESS.b, 300), false);
        net.ip('r', 'route', 'del', 'blackhole', `${ADDRESS.b}/32`);
        assert.equal(await icmp.answers('a', ADDRESS.b), true);
        await connects(state, state.address);
      },
    },
  }),

  row({
    id: '0x0102',
    title: "the peer's firewall rejects",
    fault: `nft: input udp dport ${PORT} reject with icmp port-unreachable, in the peer's namespace`,
    needs: ['netns'],
    setup: (context) => lan(context),
    baseline: (state) => begin(state),
    inject: async ({ net }) => rules(net, 'b', 'input', `udp dport ${PORT} reject`),
    act: (state) => tries(state, state.address),
    expect: [{ side: 'client', how: 'connect', code: 0x0102 }],
    undo: async ({ net }) => withoutRules(net, 'b'),
    recovery: { '0x0102/2': async (state) => void (await connects(state, state.address)) },
  }),

  row({
    id: '0x0102',
    title: 'a NAT forwards another port',
    fault: `nft: prerouting udp dport 9000 dnat to ${ADDRESS.b}:9001, in the router's namespace`,
    needs: ['netns'],
    async setup(context) {
      const state = await lan(context);
      const forward = (to: number): void => {
        state.net.exec('r', 'nft', 'add table ip forward');
        state.net.exec('r', 'nft', 'delete table ip forward');
        state.net.exec('r', 'nft', 'add table ip forward');
        state.net.exec(
          'r',
          'nft',
          'add chain ip forward in { type nat hook prerouting priority -100; }',
        );
        state.net.exec(
          'r',
          'nft',
          `add rule ip forward in udp dport 9000 dnat to ${ADDRESS.b}:${to}`,
        );
      };
      forward(PORT);
      return { ...state, forward, outside: '10.77.1.254:9000' };
    },
    async baseline(state) {
      await connects(state, state.outside);
    },
    inject: async ({ forward }) => forward(9_001),
    async act(state) {
      // The router follows the old connection: another socket is another connection.
      const { client, there } = state;
      const from = await client.create({ sharedSeed: state.seed, ...SHORT_TIMINGS });
      await tries({ ...state, from, there }, state.outside);
    },
    expect: [{ side: 'client', how: 'connect', code: 0x0102, says: /correct the port/ }],
    undo: async ({ forward }) => forward(PORT),
    recovery: {
      async '0x0102/3'(state) {
        const from = await state.client.create({ sharedSeed: state.seed, ...SHORT_TIMINGS });
        await connects({ ...state, from }, state.outside);
      },
    },
  }),

  row({
    id: '0x0104',
    title: 'no route',
    fault: 'ip route del default, in the namespace of the client',
    needs: ['netns'],
    setup: (context) => lan(context),
    baseline: (state) => begin(state),
    async inject({ net }) {
      net.ip('a', 'route', 'del', 'default');
      assert.throws(() => net.ip('a', 'route', 'get', ADDRESS.b), /unreachable/);
    },
    act: (state) => tries(state, state.address),
    expect: [{ side: 'client', how: 'connect', code: 0x0104, says: /its routes/ }],
    async undo({ net }) {
      net.ip('a', 'route', 'add', 'default', 'via', '10.77.1.254');
    },
    recovery: {
      // The table that was without it has the route again.
      async '0x0104/3'(state) {
        assert.match(state.net.ip('a', 'route', 'get', ADDRESS.b), /via 10\.77\.1\.254/);
        await connects(state, state.address);
      },
    },
  }),

  row({
    id: '0x0104',
    title: 'the interface is down',
    fault: 'ip link set wire down, in the namespace of the client; another interface stays up',
    needs: ['netns', 'cc'],
    async setup(context) {
      const state = await lan(context);
      state.net.secondWire();
      return { ...state, icmp: await Icmp.build(state.net, context.defer) };
    },
    baseline: (state) => begin(state),
    async inject({ net }) {
      net.ip('a', 'link', 'set', 'wire', 'down');
    },
    act: (state) => tries(state, state.address),
    expect: [{ side: 'client', how: 'connect', code: 0x0104, says: /this machine's network/ }],
    recovery: {
      async '0x0104/4'(state, context) {
        const { sharedSeed } = context.network;
        const host = ADDRESS.other;
        const from = await state.client.create({ sharedSeed, host, ...SHORT_TIMINGS });
        await connects({ ...state, from }, state.address);
      },
      async '0x0104/1'(state) {
        // The gateway does not answer; it does once the interface is up.
        assert.equal(await state.icmp.answers('a', GATEWAY, 300), false);
        state.net.interface('a', 'up');
        assert.equal(await state.icmp.answers('a', GATEWAY), true);
        await connects(state, state.address);
      },
    },
  }),

  row({
    id: '0x0104',
    title: 'nobody with that address',
    fault: 'connect to 10.77.1.99: the neighbour does not answer ARP',
    needs: ['netns'],
    async setup(context) {
      const state = await lan(context);
      return { ...state, target: state.address };
    },
    baseline: (state) => begin(state),
    async inject(state) {
      state.target = `10.77.1.99:${PORT}`;
    },
    act: (state) => tries(state, state.target),
    patience: 10_000,
    expect: [
      { side: 'client', how: 'connect', code: 0x0104, says: /no host was found.*the address/ },
    ],
    recovery: { '0x0104/2': async (state) => void (await connects(state, state.address)) },
  }),

  row({
    id: '0x0202',
    title: 'a link that is down in the middle',
    fault: "ip link set to-b down, at the router's end",
    needs: ['netns'],
    setup: (context) => lan(context),
    baseline: (state) => begin(state),
    inject: async ({ net }) => net.link('b', 'down'),
    expect: [
      { side: 'client', how: 'closed', code: 0x0202, says: /the network between is cut/ },
      { side: 'server', how: 'closed', code: 0x0202 },
    ],
    undo: async ({ net }) => net.link('b', 'up'),
    recovery: { '0x0202/1': async (state) => void (await connects(state, state.address)) },
  }),
];
