import { isIP } from 'node:net';
import type { SttSession, SttStream } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import { decline } from '../purposes.ts';

/**
 * The conversation of a pairing, on one bidirectional stream whose purpose is {@link PAIRING_PURPOSE}, each message UTF-8
 * JSON (docs/adr/0110-pairing.md):
 *
 * 1. joining side: an {@link Introduction};
 * 2. showing side: an introduction, and the shared seed;
 * 3. joining side: a {@link Verdict}, once both are written down there;
 * 4. showing side: a verdict, once the peer is written down.
 */
export const PAIRING_PURPOSE = 'stt.pair.1';

/** Longest message; an introduction fits many times. */
const MAX_MESSAGE = 4_096;

/** How long one side may take for a word. */
export const WORD_TIMEOUT_MS = 30_000;

/** What the showing side ends a session with that came second: each pairing is for one machine. */
export const TAKEN = 'another machine has been paired';

/** Who a side is. */
export interface Introduction {
  /** What it would like to be called. */
  readonly name: string;
  /** The node id of what listens there. */
  readonly nodeId: string;
  /** The port that it listens on. */
  readonly port: number;
  /** Where else it may be found: IP addresses. */
  readonly hosts: readonly string[];
}

/** What the showing side gives. */
export interface Gift extends Introduction {
  /** 64 hex digits. */
  readonly seed: string;
}

/** Whether a side has done its part. */
export interface Verdict {
  readonly ok: boolean;
  readonly why: string;
}

/** One side's end of the conversation. */
export class Talk {
  readonly #stream: SttStream;
  readonly #messages: AsyncIterator<Uint8Array, undefined>;

  constructor(stream: SttStream) {
    this.#stream = stream;
    this.#messages = stream.messages({ maxSize: MAX_MESSAGE });
  }

  static async open(session: SttSession, signal: AbortSignal): Promise<Talk> {
    return new Talk(await session.createBidirectionalStream({ purpose: PAIRING_PURPOSE, signal }));
  }

  /** The other side's conversation; what else it opens is not for us. */
  static async accept(session: SttSession): Promise<Talk | undefined> {
    for await (const stream of session.incomingBidirectionalStreams) {
      if (stream.purpose === PAIRING_PURPOSE) return new Talk(stream);
      decline(stream);
    }
    return undefined;
  }

  async say(message: Introduction | Gift | Verdict): Promise<void> {
    await this.#stream.writeMessage(Buffer.from(JSON.stringify(message)));
  }

  /** The last word: it has arrived when this resolves. */
  async end(): Promise<void> {
    await this.#stream.end({ timeout: WORD_TIMEOUT_MS });
  }

  async hearIntroduction(): Promise<Introduction> {
    return introduction(await this.#hear());
  }

  async hearGift(): Promise<Gift> {
    const message = await this.#hear();
    const { seed } = message;
    if (typeof seed !== 'string' || !/^[0-9a-f]{64}$/.test(seed)) throw malformed();
    return { ...introduction(message), seed };
  }

  async hearVerdict(): Promise<Verdict> {
    const { ok, why } = await this.#hear();
    if (typeof ok !== 'boolean' || typeof why !== 'string') throw malformed();
    return { ok, why };
  }

  async #hear(): Promise<Record<string, unknown>> {
    const { value } = await this.#messages.next();
    if (value === undefined) throw malformed();
    try {
      const message: unknown = JSON.parse(Buffer.from(value).toString('utf8'));
      if (typeof message === 'object' && message !== null)
        return message as Record<string, unknown>;
    } catch {
      // Said below.
    }
    throw malformed();
  }
}

function introduction(message: Record<string, unknown>): Introduction {
  const { name, nodeId, port, hosts } = message;
  const whole =
    typeof name === 'string' &&
    typeof nodeId === 'string' &&
    /^[0-9a-f]{64}$/.test(nodeId) &&
    typeof port === 'number' &&
    Number.isInteger(port) &&
    port > 0 &&
    port < 65_536 &&
    Array.isArray(hosts) &&
    hosts.length <= 16 &&
    hosts.every((host) => typeof host === 'string' && isIP(host) !== 0);
  if (!whole) throw malformed();
  return { name, nodeId, port, hosts };
}

function malformed(): CliError {
  return new CliError(
    ExitCode.Interrupted,
    'the other side of the pairing did not keep to the conversation.',
    'install the same version of stt on both machines, then pair again.',
  );
}
