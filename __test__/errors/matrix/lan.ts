// Two nodes in network namespaces of their own, with a router between them.

import { SHORT_TIMINGS } from '@seigr/stt/testing';
import { ADDRESS, Network } from '../../kernel/network.ts';
import type { Context } from './context.ts';
import { type NodeEndpoint, NodeProcess } from './node.ts';

/** The server's port. */
export const PORT = 7788;

/** Two nodes in namespaces, and a session between them if the row wants one. */
export interface Lan {
  readonly net: Network;
  readonly client: NodeProcess;
  readonly server: NodeProcess;
  readonly from: NodeEndpoint;
  readonly there: NodeEndpoint;
  readonly address: string;
  readonly seed: Uint8Array;
  session: string;
}

export async function lan(
  context: Context,
  timings: Readonly<Record<string, number>> = SHORT_TIMINGS,
): Promise<Lan> {
  const net = new Network(context.defer);
  const client = new NodeProcess(context, 'client', { within: net.within('a') });
  const server = new NodeProcess(context, 'server', { within: net.within('b') });
  const both = { sharedSeed: context.network.sharedSeed, ...timings };
  const there = await server.create({ ...both, port: PORT });
  await server.serve(there);
  const from = await client.create(both);
  const seed = context.network.sharedSeed;
  return { net, client, server, from, there, address: `${ADDRESS.b}:${PORT}`, seed, session: '' };
}

/** The same nodes, with two more endpoints of other timings; the server's has another port. */
export async function beside(
  state: Lan,
  port: number,
  timings: Readonly<Record<string, number>>,
): Promise<Lan> {
  const both = { sharedSeed: state.seed, ...timings };
  const there = await state.server.create({ ...both, port });
  await state.server.serve(there);
  const from = await state.client.create(both);
  return { ...state, from, there, address: `${ADDRESS.b}:${port}` };
}

/** A new session works. */
export async function connects({ client, from, there }: Lan, address: string): Promise<string> {
  const session = await client.connect(from, address, {
    peerNodeId: there.nodeId,
    timeout: 30_000,
  });
  await client.exchange(session);
  return session;
}

export async function begin(state: Lan): Promise<void> {
  state.session = await connects(state, state.address);
}

export function tries(
  { client, from, there }: Lan,
  address: string,
  timeout = 8_000,
): Promise<void> {
  return client.tryConnect(from, address, { peerNodeId: there.nodeId, timeout });
}

/** Rules of a node itself, in its own namespace. */
export function rules(
  net: Network,
  node: 'a' | 'b' | 'r',
  hook: 'input' | 'output',
  rule: string,
): void {
  net.exec(node, 'nft', 'add table ip fault');
  net.exec(node, 'nft', `add chain ip fault ${hook} { type filter hook ${hook} priority 0; }`);
  net.exec(node, 'nft', `add rule ip fault ${hook} ${rule}`);
}

export function withoutRules(net: Network, node: 'a' | 'b' | 'r'): void {
  net.exec(node, 'nft', 'delete table ip fault');
}
