// A transfer between two processes in the namespaces of a network, and what both tell of it.

import type { ChildProcess } from 'node:child_process';
import type { EndpointOptions, MigrateOptions, RebindOptions, SocketAddress } from '@seigr/stt';
import { generateSeed } from '@seigr/stt';
import { expect } from 'vitest';
import { message } from '../network/children.ts';
import { ADDRESS, type Network } from './network.ts';

export const MIB = 1024 * 1024;

/** Milliseconds that anything may take. */
export const LIMIT = 120_000;

/** How a transfer ended, as its sender tells it. */
export interface Done {
  ours: string;
  theirs: string;
  packetsLost: number;
  congestionEvents: number;
  mtu: number;
  error?: string;
}

/** How a session ended. */
export interface Ended {
  ended: { reason: string; code?: number; at: number };
}

/** A transfer that is under way. */
export interface Running {
  readonly sender: ChildProcess;
  readonly receiver: ChildProcess;
  /** Where the receiver is. */
  readonly port: number;
  /** Where the receiver has seen the sender, one address after the other. */
  readonly seen: SocketAddress[];
  /** What the sender's packets went by, one after the other; the first is not told. */
  readonly carriers: string[];
  /** How many bytes there are in all. */
  readonly bytes: number;
  /** What went wrong with the session at either side. */
  readonly faults: unknown[];
}

/** A transfer from `a` to `b`, once it is under way. */
export async function start(
  net: Network,
  bytes: number,
  options: Partial<EndpointOptions> = {},
  from: Partial<EndpointOptions> = {},
  websocket = false,
): Promise<Running> {
  const both = { ...options, sharedSeed: Buffer.from(generateSeed()).toString('hex') };
  const receiver = net.start('b', 'receiver');
  const seen: SocketAddress[] = [];
  const faults: unknown[] = [];
  const carriers: string[] = [];
  receiver.on('message', (told: { pathChange?: SocketAddress }) => {
    if (told.pathChange !== undefined) seen.push(told.pathChange);
  });
  receiver.send({ options: both, websocket });
  const { nodeId, port } = await message<{ nodeId: string; port: number }>(receiver, 'port', LIMIT);
  const sender = net.start('a', 'sender');
  sender.on('message', (told: { transport?: string }) => {
    if (told.transport !== undefined) carriers.push(told.transport);
  });
  const accepted = message<{ accepted: string }>(receiver, 'accepted', LIMIT);
  // It begins by UDP, also where a busy machine lets that wait for longer than the start that it has.
  if (websocket) net.forward('meta l4proto tcp drop');
  sender.send({
    options: { ...both, ...from },
    address: ADDRESS.b,
    port,
    nodeId,
    bytes,
    upTo: bytes / 2,
  });
  const { connected } = await message<{ connected: string }>(sender, 'connected', LIMIT);
  expect((await accepted).accepted).toBe(connected);
  if (websocket) net.forward();
  for (const child of [sender, receiver]) {
    child.on('message', (told: Partial<Ended> & { accepted?: string }) => {
      // One session from the beginning to its end, which is a good one.
      if (told.accepted !== undefined) faults.push(told);
      if (told.ended !== undefined && told.ended.reason !== 'graceful') faults.push(told);
    });
  }
  return { sender, receiver, port, seen, carriers, bytes, faults };
}

/** Both sides' hashes at the end of a transfer are one, and its session is the one it began with. */
export async function arrives({ sender, bytes, faults }: Running, limit = LIMIT): Promise<Done> {
  const ended = message<{ done: Done }>(sender, 'done', limit);
  sender.send({ upTo: bytes });
  const { done } = await ended;
  expect(done.error).toBeUndefined();
  expect(done.theirs).toBe(done.ours);
  expect(faults).toEqual([]);
  return done;
}

/** Resolves once the receiver has this many bytes, and before it has all of them. */
export async function received(
  { sender, receiver, bytes: all }: Running,
  bytes: number,
): Promise<void> {
  const enough = (async () => {
    for (;;) {
      const got = await message<{ received: number }>(receiver, 'received', LIMIT);
      if (got.received >= bytes) return;
    }
  })();
  sender.send({ upTo: bytes + (all - bytes) / 2 });
  await enough;
}

/** Resolves once the receiver has seen the sender elsewhere. */
export async function moved({ receiver, seen }: Running, times = 1): Promise<void> {
  while (seen.length < times) await message(receiver, 'pathChange', LIMIT);
}

/** Resolves once the sender's packets go by this. */
export async function carriedBy({ sender, carriers }: Running, transport: string): Promise<void> {
  while (carriers.at(-1) !== transport) await message(sender, 'transport', LIMIT);
}

/** What became of `session.migrate()` at the sender: the number of the error, or null. */
export async function migrate(
  { sender }: Running,
  options: MigrateOptions,
): Promise<number | null> {
  const told = message<{ migrated: { code: number | null } }>(sender, 'migrated', LIMIT);
  sender.send({ migrate: options });
  return (await told).migrated.code;
}

/** Where the sender is bound after `endpoint.rebind()`. */
export async function rebind({ sender }: Running, options: RebindOptions): Promise<SocketAddress> {
  const told = message<{ rebound: SocketAddress }>(sender, 'rebound', LIMIT);
  sender.send({ rebind: options });
  return (await told).rebound;
}
