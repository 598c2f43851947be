import { hostname, networkInterfaces } from 'node:os';
import { SttEndpoint } from '../../index.ts';
import type { NodeSecret } from '../node-seed.ts';
import { DEFAULT_PORT } from '../peers/resolve.ts';
import type { Introduction } from './talk.ts';

/** The node id of what listens on a port of this machine, for all its addresses. */
export async function listenerId(
  secret: NodeSecret,
  sharedSeed: Uint8Array | string,
  port: number = DEFAULT_PORT,
): Promise<string> {
  // It says nothing to anybody: an endpoint that neither listens nor connects sends no packet.
  const endpoint = await SttEndpoint.create({
    sharedSeed,
    nodeSeed: secret.listenerSeed('0.0.0.0', port),
    host: '127.0.0.1',
    port: 0,
  });
  try {
    return endpoint.nodeId;
  } finally {
    await endpoint.close();
  }
}

/** This machine, as it introduces itself. */
export async function introduceSelf(
  secret: NodeSecret,
  sharedSeed: Uint8Array | string,
): Promise<Introduction> {
  return {
    name: hostname(),
    nodeId: await listenerId(secret, sharedSeed),
    port: DEFAULT_PORT,
    hosts: ownAddresses(),
  };
}

/** Addresses of this machine that others may reach: none of loopback, none that needs the name of an interface. */
export function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const usable = all.filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address));
  const families = ['IPv4', 'IPv6'].map((family) => usable.filter((one) => one.family === family));
  return families
    .flat()
    .map(({ address }) => address)
    .slice(0, 16);
}
