import { SttEndpoint } from '../endpoint.ts';
import type { ListenOptions } from '../listener.ts';
import type { EndpointOptions } from '../options.ts';
import { generateSeed } from '../seeds.ts';
import type { SttSession } from '../session.ts';
import { type LinkTarget, TestLink } from './link.ts';
import { SeedHolder, type SeedHolderOptions } from './peer.ts';
import { LOOPBACK } from './sockets.ts';

/** Timings with which a fault shows within a test's patience, unless an endpoint is told others. */
export const SHORT_TIMINGS: Readonly<{
  keepAliveInterval: number;
  keepAliveTimeout: number;
  handshakeTimeout: number;
}> = Object.freeze({
  keepAliveInterval: 200,
  keepAliveTimeout: 2_500,
  handshakeTimeout: 4_000,
});

/** What `network.connect()` makes. */
export interface TestPair {
  readonly client: SttEndpoint;
  readonly server: SttEndpoint;
  /** The way between the two, whose faults are yours. */
  readonly faults: TestLink;
  /** The session where it was opened. */
  readonly session: SttSession;
  /** The same session where it was accepted. */
  readonly accepted: SttSession;
}

/** How `network.connect()` makes them. */
export interface TestPairOptions {
  readonly server?: Partial<EndpointOptions>;
  readonly client?: Partial<EndpointOptions>;
  readonly listen?: ListenOptions;
}

/**
 * Endpoints that share a seed, within one process and over real sockets on 127.0.0.1, and links between
 * them that can break. All of it goes when the network is disposed of.
 *
 * @example
 * await using network = new TestNetwork();
 * const { session, faults } = await network.connect();
 * await faults.partition();
 * await expect(session.closed).rejects.toBeSttError('SESSION_TIMEOUT');
 */
export class TestNetwork implements AsyncDisposable {
  /** The seed of all endpoints that are not told another. */
  readonly sharedSeed: Uint8Array = generateSeed();
  readonly #endpoints: SttEndpoint[] = [];
  readonly #links: TestLink[] = [];
  readonly #peers: SeedHolder[] = [];

  /** An endpoint on 127.0.0.1 with {@link SHORT_TIMINGS}; any option can be another. */
  async endpoint(options: Partial<EndpointOptions> = {}): Promise<SttEndpoint> {
    const endpoint = await SttEndpoint.create({
      sharedSeed: this.sharedSeed,
      host: LOOPBACK,
      ...SHORT_TIMINGS,
      ...options,
    });
    this.#endpoints.push(endpoint);
    return endpoint;
  }

  /** A way to an endpoint that can be made to fail; others connect to its `address`. */
  async link(target: LinkTarget): Promise<TestLink> {
    const link = await TestLink.open(target);
    this.#links.push(link);
    return link;
  }

  /** Two endpoints, a link, and a session over it. */
  async connect(options: TestPairOptions = {}): Promise<TestPair> {
    const server = await this.endpoint(options.server);
    const client = await this.endpoint(options.client);
    const faults = await this.link(server);
    const sessions = server.listen(options.listen)[Symbol.asyncIterator]();
    const [session, step] = await Promise.all([
      client.connect(faults.address, { peerNodeId: server.nodeId }),
      sessions.next(),
    ]);
    if (step.done === true) throw new Error('the server stopped listening');
    return { client, server, faults, session, accepted: step.value };
  }

  /** A fresh seed, for endpoints that are to keep their identity over a restart. */
  newSeed(): Uint8Array {
    return generateSeed();
  }

  /** A peer with the network's seed that follows no rules, connected to a port. */
  async seedHolder(
    options: Omit<SeedHolderOptions, 'sharedSeed'> & { readonly sharedSeed?: Uint8Array },
  ): Promise<SeedHolder> {
    const peer = await SeedHolder.connect({ sharedSeed: this.sharedSeed, ...options });
    this.#peers.push(peer);
    return peer;
  }

  /** Destroys every endpoint, and closes every link and socket. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const endpoint of this.#endpoints) endpoint.destroy();
    const rest: readonly AsyncDisposable[] = [...this.#links, ...this.#peers];
    await Promise.all(rest.map((each) => each[Symbol.asyncDispose]()));
  }
}
