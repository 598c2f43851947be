import type {
  EndpointOptions,
  ListenOptions,
  PeerAddress,
  SttListener,
  SttSession,
  SttStream,
} from '@seigr/stt';
import { generateSeed, SttEndpoint } from '@seigr/stt';
import { type TestLink, TestNetwork } from '@seigr/stt/testing';
import { onTestFinished } from 'vitest';

export { closedPort, silentSocket } from '@seigr/stt/testing';

/** An endpoint on loopback that goes when the test ends. */
export async function endpoint(options: Partial<EndpointOptions> = {}): Promise<SttEndpoint> {
  const created = await SttEndpoint.create({
    sharedSeed: generateSeed(),
    host: '127.0.0.1',
    ...options,
  });
  onTestFinished(() => created.destroy());
  return created;
}

/** Two endpoints and one session between them, seen from both sides. */
export interface Pair {
  readonly server: SttEndpoint;
  readonly client: SttEndpoint;
  /** The session where it was accepted. */
  readonly accepted: SttSession;
  /** The session where it was opened. */
  readonly session: SttSession;
}

export interface PairOptions {
  readonly server?: Partial<EndpointOptions>;
  readonly client?: Partial<EndpointOptions>;
  readonly listen?: ListenOptions;
}

/** What carries the pairs of this run: one suite says what holds over each. */
export const TRANSPORT = process.env.STT_TEST_TRANSPORT === 'websocket' ? 'websocket' : 'udp';

/** How to listen for the carrier of this run, beside what else a test wants. */
export const CARRIED: ListenOptions = TRANSPORT === 'websocket' ? { websocket: { port: 0 } } : {};

/** Where this run's carrier reaches what listens so. */
export async function placeOf(server: SttEndpoint, listener: SttListener): Promise<PeerAddress> {
  await listener.ready;
  return listener.websocketAddress ?? server.address;
}

/** Connects two fresh endpoints. */
export async function pair(options: PairOptions = {}): Promise<Pair & { place: PeerAddress }> {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed, ...options.server });
  const client = await endpoint({ sharedSeed, ...options.client });
  const listener = server.listen({ ...CARRIED, ...options.listen });
  const place = await placeOf(server, listener);
  const sessions = listener[Symbol.asyncIterator]();
  const [session, { value: accepted }] = await Promise.all([
    client.connect(place, {
      peerNodeId: server.nodeId,
      transport: TRANSPORT,
    }),
    sessions.next(),
  ]);
  return { server, client, session, accepted, place };
}

/** A stream that one side opened, seen from both. */
export async function streamPair(
  { session, accepted }: Pair,
  options?: Parameters<SttSession['createBidirectionalStream']>[0],
): Promise<{ opened: SttStream; incoming: SttStream }> {
  const opened = await session.createBidirectionalStream(options);
  return { opened, incoming: await next(accepted.incomingBidirectionalStreams) };
}

/** The next item, without leaving the iteration. */
export async function next<Item>(iterable: AsyncIterable<Item>): Promise<Item> {
  const step = await iterable[Symbol.asyncIterator]().next();
  if (step.done === true) throw new Error('the iteration was over');
  return step.value;
}

/** Whether a promise has settled by now. */
export async function isPending(promise: Promise<unknown>, ms = 50): Promise<boolean> {
  const pending = Symbol('pending');
  const later = new Promise((resolve) => setTimeout(resolve, ms, pending));
  const first = await Promise.race([promise.catch(() => undefined), later]);
  return first === pending;
}

/** A way to `port` that can be cut, and can damage packets, without either side being told. */
export async function relay(
  port: number,
  damages: (count: number) => boolean = () => false,
): Promise<{ port: number; cut: () => void; heal: () => void; link: TestLink }> {
  const network = new TestNetwork();
  onTestFinished(() => network[Symbol.asyncDispose]());
  const link = await network.link({ address: { port } });
  let count = 0;
  link.intercept(({ bytes, forward }) => {
    count += 1;
    const last = bytes.length - 1;
    if (damages(count)) bytes[last] = (bytes[last] ?? 0) ^ 1;
    forward();
  });
  const cut = (): void => void link.partition();
  const heal = (): void => void link.heal();
  return { port: link.port, cut, heal, link };
}
