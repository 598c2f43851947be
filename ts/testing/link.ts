import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { SttOptionError } from '../errors/local.ts';
import { type Random, random } from './random.ts';
import { bindKeptPort, bindSocket, closeSocket, LOOPBACK } from './sockets.ts';

/** Which way a datagram goes: to the endpoint behind the link, or back to who reached it. */
export type Towards = 'target' | 'client';

/** One datagram on its way. */
export interface Passing {
  readonly bytes: Buffer;
  readonly towards: Towards;
  /** Which client's it is: a number from 0, in the order in which they were heard first. */
  readonly client: number;
  /** Sends it on, or other bytes in its place; as often as it is called, and whenever. */
  forward(bytes?: Uint8Array): void;
}

/** Decides what becomes of a datagram; what it does not forward is gone. */
export type Interceptor = (datagram: Passing) => void;

/** Where a link leads: an endpoint, or anything else on a port of 127.0.0.1. */
export interface LinkTarget {
  readonly address: { readonly port: number };
  /** Ends it at once, for `restart()`. */
  destroy?(): void;
}

/** One client's own way to the target: to the target, each is a source of its own. */
interface Client {
  readonly number: number;
  readonly port: number;
  upstream: Socket;
}

/** Faults that come by chance: how often, and drawn from what. */
interface Chance {
  readonly probability: number;
  readonly draw: Random;
}

const NEVER: Chance = { probability: 0, draw: () => 1 };
/** Types of the clear packets that begin a handshake, and carry its sender's clock. */
const GREETINGS: readonly number[] = [0x01, 0x06];
/** First byte of a clear packet of version 1. */
const CLEAR = 0x01;
const MAX_DELAY = 60_000;

/**
 * The way to one endpoint, over real sockets on 127.0.0.1 that can be made to lose, delay, damage,
 * cut, refuse. Neither side is told: connect to `link.address` in place of the endpoint's own.
 *
 * Made by `network.link(endpoint)`; gone with its network.
 */
export class TestLink implements AsyncDisposable {
  /** Where to connect to. */
  readonly address: string;
  /** The port of {@link address}. */
  readonly port: number;

  readonly #front: Socket;
  readonly #clients = new Map<number, Client>();
  /** Clients that were heard. */
  #heard = 0;
  readonly #held = new Set<NodeJS.Timeout>();
  readonly #forgotten: Socket[] = [];
  #target: LinkTarget;
  #partitioned = false;
  #refusing: Socket | undefined;
  #delay = 0;
  #skew = 0;
  #loss = NEVER;
  #corruption = NEVER;
  #interceptor: Interceptor | undefined;
  #closed = false;

  /** @internal */
  static async open(target: LinkTarget): Promise<TestLink> {
    return new TestLink(await bindKeptPort(), target);
  }

  private constructor(front: Socket, target: LinkTarget) {
    this.#front = front;
    this.#target = target;
    this.port = front.address().port;
    this.address = `${LOOPBACK}:${this.port}`;
    front.on('message', (bytes, { port }) => {
      // Without a socket for it (EMFILE) a client is not heard; it tries again, and so does this.
      this.#fromClient(bytes, port).catch(() => this.#clients.delete(port));
    });
  }

  /** What the link leads to now. */
  get target(): LinkTarget {
    return this.#target;
  }

  /**
   * Loses datagrams by chance, both ways.
   *
   * @param probability 0 to 1; 0 stops it.
   * @param seed the same seed draws the same chances, datagram by datagram.
   */
  async loss(probability: number, seed = 1): Promise<void> {
    this.#loss = chance(probability, seed);
  }

  /** Holds every datagram for some milliseconds, each way; 0 stops it. */
  async delay(ms: number): Promise<void> {
    this.#delay = checkDelay('delay', ms);
  }

  /**
   * Turns one bit over, anywhere in the datagram, by chance, both ways.
   *
   * @param probability 0 to 1; 0 stops it.
   * @param seed the same seed draws the same chances, datagram by datagram.
   */
  async corrupt(probability: number, seed = 1): Promise<void> {
    this.#corruption = chance(probability, seed);
  }

  /** Lets nothing through, either way, and says nothing about it. */
  async partition(): Promise<void> {
    this.#partitioned = true;
  }

  /**
   * Answers as a machine on which nobody listens: by ICMP, from the system itself. The port stays
   * taken all the while.
   */
  async refuse(): Promise<void> {
    if (this.#refusing !== undefined) return;
    // A socket that hears one peer only is no receiver for anybody else.
    const nobody = await bindSocket();
    this.#refusing = nobody;
    this.#front.connect(nobody.address().port, LOOPBACK);
    await once(this.#front, 'connect');
  }

  /**
   * Makes the clocks of those who connect seem to be this much behind, as far as the target can see:
   * their first packets are held so long, and carry the time at which they were sent. The target tells
   * them apart from slow ones no better than from a clock that is wrong, so a `timestampWindow` shorter
   * than `ms` refuses them with 0x0405, TIMESTAMP_EXPIRED. A clock that is ahead cannot be imitated.
   */
  async clockSkew(ms: number): Promise<void> {
    this.#skew = checkDelay('clockSkew', ms);
  }

  /** Ends every fault; what was held still comes. */
  async heal(): Promise<void> {
    this.#partitioned = false;
    this.#delay = 0;
    this.#skew = 0;
    this.#loss = NEVER;
    this.#corruption = NEVER;
    this.#interceptor = undefined;
    if (this.#refusing === undefined) return;
    const nobody = this.#refusing;
    this.#refusing = undefined;
    this.#front.disconnect();
    await closeSocket(nobody);
  }

  /**
   * Gives every client another port, as seen by the target: what a NAT does that forgot them. What
   * comes to the ports before is lost.
   *
   * @returns the new ports, in the order in which the clients were heard first.
   */
  async rebind(): Promise<readonly number[]> {
    for (const client of this.#clients.values()) {
      const before = client.upstream;
      client.upstream = await this.#openUpstream(client);
      // It stays bound: a NAT swallows what it does not know, and refuses nothing.
      before.removeAllListeners('message');
      this.#forgotten.push(before);
    }
    return [...this.#clients.values()].map(({ upstream }) => upstream.address().port);
  }

  /**
   * The endpoint behind the link is killed without a word, and another takes its place. Give both the
   * same `nodeSeed`, and the second can tell the first one's peers that their sessions are gone (0x0204).
   */
  async restart<Target extends LinkTarget>(
    factory: () => Target | Promise<Target>,
  ): Promise<Target> {
    const wasPartitioned = this.#partitioned;
    // A process that is killed says no farewell; destroy() would.
    this.#partitioned = true;
    try {
      this.#target.destroy?.();
      // Nor does what it has said already arrive any more.
      await this.rebind();
      const next = await factory();
      this.#target = next;
      return next;
    } finally {
      // Also where nothing takes its place: what is sent there then finds nobody, and no partition.
      this.#partitioned = wasPartitioned;
    }
  }

  /** Hands every datagram to `interceptor`, after loss and before damage; undefined stops it. */
  intercept(interceptor: Interceptor | undefined): void {
    this.#interceptor = interceptor;
  }

  /** Sends bytes to the target from a port that no client has. */
  async inject(bytes: Uint8Array): Promise<void> {
    const socket = await bindSocket();
    await new Promise<void>((resolve) => {
      socket.send(bytes, this.#target.address.port, LOOPBACK, () => resolve());
    });
    await closeSocket(socket);
  }

  /** Closes its sockets; nothing passes any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#held) clearTimeout(timer);
    await closeSocket(this.#front);
    // Those that are being opened are closed by whoever opens them.
    const upstreams = [...this.#clients.values()]
      .map(({ upstream }) => upstream)
      .filter((upstream) => upstream !== this.#front);
    await Promise.all([...upstreams, ...this.#forgotten].map(closeSocket));
    if (this.#refusing !== undefined) await closeSocket(this.#refusing);
  }

  async #fromClient(bytes: Buffer, port: number): Promise<void> {
    let client = this.#clients.get(port);
    if (client === undefined) {
      client = { number: this.#heard, port, upstream: this.#front };
      this.#heard += 1;
      this.#clients.set(port, client);
      client.upstream = await this.#openUpstream(client);
      if (this.#closed) {
        await closeSocket(client.upstream);
        return;
      }
    }
    this.#pass(bytes, 'target', client);
  }

  async #openUpstream(client: Client): Promise<Socket> {
    const upstream = await bindSocket();
    upstream.on('message', (bytes) => this.#pass(bytes, 'client', client));
    return upstream;
  }

  #pass(bytes: Buffer, towards: Towards, client: Client): void {
    if (this.#partitioned || hits(this.#loss)) return;
    const forward = (other: Uint8Array = bytes): void => this.#hold(other, towards, client);
    if (this.#interceptor === undefined) forward();
    else this.#interceptor({ bytes, towards, client: client.number, forward });
  }

  #hold(bytes: Uint8Array, towards: Towards, client: Client): void {
    const sent = hits(this.#corruption) ? flipBit(bytes, this.#corruption.draw) : bytes;
    const skew = towards === 'target' && isGreeting(bytes) ? this.#skew : 0;
    const wait = this.#delay + skew;
    if (wait === 0) {
      this.#send(sent, towards, client);
      return;
    }
    const timer = setTimeout(() => {
      this.#held.delete(timer);
      this.#send(sent, towards, client);
    }, wait);
    this.#held.add(timer);
  }

  #send(bytes: Uint8Array, towards: Towards, client: Client): void {
    if (this.#closed || this.#partitioned) return;
    if (towards === 'target') {
      // Until its own socket is there, a new client's datagrams are lost; it repeats them.
      if (client.upstream === this.#front) return;
      client.upstream.send(bytes, this.#target.address.port, LOOPBACK);
    } else if (this.#refusing === undefined) {
      this.#front.send(bytes, client.port, LOOPBACK);
    }
  }
}

function hits({ probability, draw }: Chance): boolean {
  return probability > 0 && draw() < probability;
}

function chance(probability: number, seed: number): Chance {
  if (typeof probability !== 'number' || !(probability >= 0 && probability <= 1)) {
    throw new SttOptionError('probability', 'must be a number from 0 to 1');
  }
  return { probability, draw: random(seed) };
}

function checkDelay(option: string, ms: number): number {
  if (typeof ms !== 'number' || !(ms >= 0 && ms <= MAX_DELAY)) {
    throw new SttOptionError(option, `must be from 0 to ${MAX_DELAY} milliseconds`);
  }
  return ms;
}

function isGreeting(bytes: Uint8Array): boolean {
  return bytes[0] === CLEAR && GREETINGS.includes(bytes[1] ?? 0);
}

function flipBit(bytes: Uint8Array, draw: Random): Buffer {
  const damaged = Buffer.from(bytes);
  const bit = Math.floor(draw() * bytes.length * 8);
  damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return damaged;
}
