import type { SttStream } from '../../index.ts';
import { TunnelProtocolError } from './messages.ts';

/** A record: the id of a stream in eight bytes and a number of bytes in four, little endian. */
const RECORD = 12;

/** More than that nobody has to give, and a sum of it stays exact. */
const LARGEST = 2 ** 40;

/** How many bytes this side may send on one stream. */
export class Allowance {
  #left: number;
  #wake: (() => void) | undefined;
  #over = false;

  constructor(left: number) {
    this.#left = left;
  }

  /** As many of `wanted` bytes as there are now, once there are any; 0 when it is over. */
  async take(wanted: number): Promise<number> {
    while (this.#left === 0 && !this.#over) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    if (this.#over) return 0;
    const taken = Math.min(wanted, this.#left);
    this.#left -= taken;
    return taken;
  }

  add(bytes: number): void {
    this.#left += bytes;
    if (this.#left > LARGEST) throw new TunnelProtocolError('more credit than can be');
    this.#wake?.();
  }

  /** Nobody waits for it any more. */
  end(): void {
    this.#over = true;
    this.#wake?.();
  }
}

/**
 * The credit of all connections of one session, told on a stream of its own. Each side passes on at once whatever the session
 * brings, so that a connection whose reader has stopped takes nothing from the window of the session, which all
 * others share; what it may keep for that reader is bounded by this.
 */
export class Credits {
  readonly #stream: SttStream;
  readonly #allowances = new Map<number, Allowance>();
  #begun!: { resolve: () => void; reject: (error: unknown) => void };
  /** Resolves with the peer's first record, which says that it is one for tunnels. */
  readonly ready: Promise<void>;

  constructor(stream: SttStream) {
    this.#stream = stream;
    this.ready = new Promise((resolve, reject) => (this.#begun = { resolve, reject }));
    this.ready.catch(() => undefined);
  }

  /** Tells the peer that this is a side of a tunnel: credit of nothing for no stream. */
  greet(): void {
    this.grant(0, 0);
  }

  /** How much this side may send on the stream of that id, to begin with. */
  allow(id: number, bytes: number): Allowance {
    const allowance = new Allowance(bytes);
    this.#allowances.set(id, allowance);
    return allowance;
  }

  /** The stream is over. */
  forget(id: number): void {
    this.#allowances.get(id)?.end();
    this.#allowances.delete(id);
  }

  /** Lets the peer send so many bytes more on a stream. */
  grant(id: number, bytes: number): void {
    const record = Buffer.alloc(RECORD);
    record.writeBigUInt64LE(BigInt(id));
    record.writeUInt32LE(bytes, 8);
    // Ends with the session, which all that waits for it learns of by itself. Nobody awaits it, so that it waits for memory, too.
    void this.#stream.write(record);
  }

  /**
   * Takes what the peer grants, until the session ends.
   *
   * @throws {TunnelProtocolError} when the peer does not keep to the conversation.
   * @throws {SttError} when the stream or the session fails.
   */
  async run(): Promise<never> {
    try {
      return await this.#take();
    } catch (error) {
      this.#begun.reject(error);
      throw error;
    }
  }

  async #take(): Promise<never> {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of this.#stream) {
      const bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
      let at = 0;
      for (; at + RECORD <= bytes.length; at += RECORD) {
        // One that is over already is nobody's mistake: the two crossed.
        this.#allowances.get(Number(bytes.readBigUInt64LE(at)))?.add(bytes.readUInt32LE(at + 8));
      }
      if (at > 0) this.#begun.resolve();
      rest = bytes.subarray(at);
    }
    throw new TunnelProtocolError('the end of the credit');
  }
}
