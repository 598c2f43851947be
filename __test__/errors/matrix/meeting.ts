// Two endpoints within the matrix's own process, and what rows do with them.

import type { EndpointOptions, ListenOptions, SttEndpoint, SttSession } from '@seigr/stt';
import type { TestLink, TestPair, TestPairOptions } from '@seigr/stt/testing';
import { type Context, describe, exchange, serveEcho } from './context.ts';

/** For rows whose fault is not silence: on a busy machine a second of it is nothing, least of all by a relay of this process. */
export const PATIENT = { keepAliveTimeout: 30_000 };

/** A server that echoes, a client, and a link between them. */
export interface Meeting {
  server: SttEndpoint;
  readonly client: SttEndpoint;
  readonly faults: TestLink;
}

export async function meeting(
  context: Context,
  options: Partial<EndpointOptions> = {},
): Promise<Meeting> {
  const server = await context.network.endpoint({ ...PATIENT, ...options });
  serveEcho(server);
  context.watchEndpoint('server', server);
  const client = await context.network.endpoint(PATIENT);
  return { server, client, faults: await context.network.link(server) };
}

/** Connects to the link, and shows that the session works. */
export async function connects(
  { client, server, faults }: Meeting,
  options: Parameters<SttEndpoint['connect']>[1] = { peerNodeId: server.nodeId },
): Promise<SttSession> {
  const session = await client.connect(faults.address, options);
  await exchange(session);
  return session;
}

/** Tries to connect, and notes why it fails. */
export function tries(
  { client, faults, server }: Meeting,
  context: Context,
  options: Partial<Parameters<SttEndpoint['connect']>[1]> = {},
): Promise<void> {
  const connecting = client.connect(faults.address, { peerNodeId: server.nodeId, ...options });
  return context.watch('client', 'connect', connecting);
}

/** The facts of a connect that fails; rejects where it succeeds. */
export async function refusal(
  connecting: Promise<SttSession>,
): Promise<ReturnType<typeof describe>> {
  try {
    await connecting;
  } catch (error) {
    return describe(error);
  }
  throw new Error('it connected');
}

/** Two endpoints and a session between them, by a link: for rows whose fault is not silence. */
export function patient(
  context: Context,
  { server, client, ...options }: TestPairOptions = {},
): Promise<TestPair> {
  return context.network.connect({
    server: { ...PATIENT, ...server },
    client: { ...PATIENT, ...client },
    ...options,
  });
}

/** Two endpoints and a session between them, whose server echoes; errors of both sides are noted. */
export async function together(
  context: Context,
  options: {
    readonly server?: Partial<EndpointOptions>;
    readonly client?: Partial<EndpointOptions>;
    readonly listen?: ListenOptions;
  } = {},
): Promise<TestPair> {
  const server = await context.network.endpoint({ ...PATIENT, ...options.server });
  const client = await context.network.endpoint({ ...PATIENT, ...options.client });
  const faults = await context.network.link(server);
  const serving = new Promise<SttSession>((resolve) => serveEcho(server, resolve, options.listen));
  const session = await client.connect(faults.address, { peerNodeId: server.nodeId });
  const accepted = await serving;
  context.watchSession('client', session);
  context.watchSession('server', accepted);
  return { server, client, faults, session, accepted };
}

/** A new session by the same way works. */
export async function reconnects({
  client,
  server,
  faults,
}: Pick<TestPair, 'client' | 'server' | 'faults'>): Promise<SttSession> {
  const session = await client.connect(faults.address, { peerNodeId: server.nodeId });
  await exchange(session);
  return session;
}
