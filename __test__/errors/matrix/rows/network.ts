// What takes a network: namespaces of this kernel, with routes, rules and links of their own. 0x0104, 0x0102 by a
// firewall and behind a NAT, 0x0202 by a link, 0x0501.

import { SHORT_TIMINGS } from '@seigr/stt/testing';
import { ADDRESS } from '../../../kernel/network.ts';
import { begin, connects, lan, PORT, rules, tries, withoutRules } from '../lan.ts';
import { type AnyRow, row } from '../row.ts';

export const networkRows: readonly AnyRow[] = [
  row({
    id: '0x0102',
    title: "the peer's firewall rejects",
    fault: `nft: input udp dport ${PORT} reject with icmp port-unreachable, in the peer's namespace`,
    needs: ['netns'],
    setup: lan,
    baseline: begin,
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
    setup: lan,
    baseline: begin,
    async inject({ net }) {
      net.ip('a', 'route', 'del', 'default');
    },
    act: (state) => tries(state, state.address),
    expect: [{ side: 'client', how: 'connect', code: 0x0104, says: /its routes/ }],
    async undo({ net }) {
      net.ip('a', 'route', 'add', 'default', 'via', '10.77.1.254');
    },
    recovery: { '0x0104/3': async (state) => void (await connects(state, state.address)) },
  }),

  row({
    id: '0x0104',
    title: 'the interface is down',
    fault: 'ip link set wire down, in the namespace of the client; another interface stays up',
    needs: ['netns'],
    async setup(context) {
      const state = await lan(context);
      state.net.secondWire();
      return state;
    },
    baseline: begin,
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
        state.net.ip('a', 'link', 'set', 'wire', 'up');
        state.net.ip('a', 'route', 'add', 'default', 'via', '10.77.1.254');
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
    expect: [{ side: 'client', how: 'connect', code: 0x0104, says: /the address/ }],
    recovery: { '0x0104/2': async (state) => void (await connects(state, state.address)) },
  }),

  row({
    id: '0x0202',
    title: 'a link that is down in the middle',
    fault: "ip link set to-b down, at the router's end",
    needs: ['netns'],
    setup: lan,
    baseline: begin,
    inject: async ({ net }) => net.link('b', 'down'),
    expect: [
      { side: 'client', how: 'closed', code: 0x0202, says: /the network between is cut/ },
      { side: 'server', how: 'closed', code: 0x0202 },
    ],
    undo: async ({ net }) => net.link('b', 'up'),
    recovery: { '0x0202/1': async (state) => void (await connects(state, state.address)) },
  }),
];
