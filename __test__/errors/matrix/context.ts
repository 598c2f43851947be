// What a row works with: a network of its own, a notebook for errors, and what is to be undone.

import { strict as assert } from 'node:assert';
import { inspect } from 'node:util';
import type {
  EndpointOptions,
  ListenOptions,
  SttEndpoint,
  SttErrorContext,
  SttListener,
  SttSession,
  SttStream,
} from '@seigr/stt';
import { isSttError } from '@seigr/stt';
import { TestNetwork } from '@seigr/stt/testing';
import type { Facts, Seen } from './row.ts';

/** The facts of an error, as a side reports them; with all of its text, where it was met in another process. */
export type Report = Omit<Seen, 'side' | 'how' | 'ms'> & { readonly text?: string };

/** Handshakes take their time on a machine that others use as well; a row that is about a timeout has one of its own. */
class PatientNetwork extends TestNetwork {
  readonly #onOptions: (options: Partial<EndpointOptions>) => void;

  constructor(onOptions: (options: Partial<EndpointOptions>) => void) {
    super();
    this.#onOptions = onOptions;
  }

  override endpoint(options: Partial<EndpointOptions> = {}): Promise<SttEndpoint> {
    this.#onOptions(options);
    return super.endpoint({ handshakeTimeout: 30_000, ...options });
  }
}

export class Context {
  readonly network: TestNetwork = new PatientNetwork((options) => this.keepSecret(options));
  readonly seen: Seen[] = [];
  /** Which errors held a seed, or bytes of the application. */
  readonly leaks: string[] = [];
  /** Seeds of this row, as a log may show them. */
  readonly #secrets = new Set<string>();
  readonly #disposers: (() => unknown)[] = [];
  readonly #watchers = new Set<() => void>();
  #started = performance.now();

  constructor() {
    this.keepSecret({ sharedSeed: this.network.sharedSeed });
  }

  /** From now on no error may tell these seeds. */
  keepSecret({
    sharedSeed,
    nodeSeed,
  }: Pick<Partial<EndpointOptions>, 'sharedSeed' | 'nodeSeed'>): void {
    const seeds: readonly unknown[] = [sharedSeed, nodeSeed].flat();
    for (const seed of seeds) {
      const bytes = typeof seed === 'string' ? Buffer.from(seed, 'hex') : seed;
      if (!(bytes instanceof Uint8Array) || bytes.length < SHOWN_BYTES) continue;
      const buffer = Buffer.from(bytes);
      const list = [...buffer.subarray(0, SHOWN_BYTES)];
      this.#secrets
        .add(buffer.toString('base64'))
        .add(buffer.toString('base64url'))
        // Also as `Buffer` and `Uint8Array` in a console and in JSON, where more may be left out.
        .add(buffer.toString('hex', 0, 2 * SHOWN_BYTES))
        .add(list.join(','))
        .add(list.map((byte, index) => `"${index}":${byte}`).join(','));
    }
  }

  /** From here on errors count, and their milliseconds. */
  start(): void {
    this.seen.length = 0;
    this.#started = performance.now();
  }

  /** Does this when the row is over, the last first. */
  readonly defer = (dispose: () => unknown): void => {
    this.#disposers.push(dispose);
  };

  async dispose(): Promise<void> {
    for (const dispose of this.#disposers.reverse()) await dispose();
    await this.network[Symbol.asyncDispose]();
  }

  #noteError(side: string, how: string, error: unknown): void {
    // Whatever may end up in a log, by whatever way it gets there.
    this.#search(`${side} ${how}`, `${JSON.stringify(error)} ${inspect(error, { depth: 9 })}`);
    this.note(side, how, describe(error));
  }

  /** Looks for seeds and for payload. */
  #search(where: string, text: string): void {
    const dense = text.replaceAll(/\s+/g, '');
    const secrets = [...this.#secrets, PAYLOAD.repeat(2)];
    const found = secrets.some((secret) => dense.includes(secret));
    if (found) this.leaks.push(where);
  }

  /** Notes an error that a side got. */
  note(side: string, how: string, { text = '', ...report }: Report): void {
    this.#search(`${side} ${how}`, `${JSON.stringify(report)} ${text}`);
    this.seen.push({ side, how, ...report, ms: Math.round(performance.now() - this.#started) });
    for (const watcher of this.#watchers) watcher();
  }

  /** Notes what a promise rejects with; never rejects. */
  async watch(side: string, how: string, promise: Promise<unknown>): Promise<void> {
    try {
      await promise;
    } catch (error) {
      this.#noteError(side, how, error);
    }
  }

  /** Notes how a session ends at this side, and the frames that it drops. */
  watchSession(side: string, session: SttSession): void {
    void this.watch(side, 'closed', session.closed);
    session.on('frameError', ({ error }) => this.#noteError(side, 'frameError', error));
    session.on('sendError', ({ error }) => this.#noteError(side, 'sendError', error));
  }

  /** Notes the handshakes that fail at a responder. */
  watchEndpoint(side: string, endpoint: SttEndpoint): void {
    endpoint.on('handshakeError', ({ error }) => this.#noteError(side, 'handshakeError', error));
  }

  /** Resolves once `holds`, which is asked at each error, or after `ms`. */
  async until(holds: () => boolean, ms: number): Promise<boolean> {
    if (holds()) return true;
    return new Promise((resolve) => {
      const done = (held: boolean): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(held);
      };
      const look = (): void => {
        if (holds()) done(true);
      };
      const timer = setTimeout(() => done(false), ms);
      this.#watchers.add(look);
    });
  }

  /** The last error that a side got this way; fails the row where there is none. */
  last(side: string, how: string): Seen {
    const found = this.seen.findLast((seen) => seen.side === side && seen.how === how);
    assert(found !== undefined, `${side} got no error from ${how}`);
    return found;
  }
}

/** The facts of whatever was thrown. */
export function describe(error: unknown): Report {
  if (!isSttError(error)) {
    return {
      code: 0,
      codeName: error instanceof Error ? error.name : 'unknown',
      message: `${error}`,
    };
  }
  const { code, codeName, subcode, reason, origin, message, recoverable, recovery } = error;
  const { cause, context } = error;
  return {
    code,
    codeName,
    ...(subcode === undefined ? {} : { subcode }),
    ...(reason === undefined ? {} : { reason }),
    ...(origin === undefined ? {} : { origin }),
    message,
    recoverable,
    recovery,
    ...(isSttError(cause) ? { cause: cause.code } : {}),
    facts: factsOf(context),
  };
}

function factsOf(context: SttErrorContext): Facts {
  const { transport, httpStatus, closeCode, tlsReason } = context;
  const { certificateValidFrom, certificateValidTo } = context;
  const all = { transport, httpStatus, closeCode, tlsReason };
  const dated = { ...all, certificateValidFrom, certificateValidTo };
  return Object.fromEntries(Object.entries(dated).filter(([, value]) => value !== undefined));
}

/** Answers every stream of every session with what came. */
export function serveEcho(
  endpoint: SttEndpoint,
  watch?: (session: SttSession) => void,
  options: ListenOptions = {},
): SttListener {
  const handler = async (session: SttSession): Promise<void> => {
    watch?.(session);
    for await (const stream of session.incomingBidirectionalStreams) void echo(stream);
  };
  return endpoint.serve(handler, { ...options, onError: () => undefined });
}

async function echo(stream: SttStream): Promise<void> {
  try {
    await stream.write(await stream.bytes());
    await stream.end();
  } catch {
    // The other side sees why.
  }
}

/** Sends bytes through a session and checks that they come back as they were. */
export async function exchange(session: SttSession, bytes = 1_000): Promise<void> {
  const sent = Buffer.alloc(bytes, PAYLOAD);
  const stream = await session.createBidirectionalStream({ timeout: EXCHANGE_LIMIT });
  const read = stream.bytes({ timeout: EXCHANGE_LIMIT });
  await stream.write(sent, { timeout: EXCHANGE_LIMIT });
  await stream.end({ timeout: EXCHANGE_LIMIT });
  assert(sent.equals(await read), 'what came back is not what was sent');
}

/** Rejects where a promise does not settle in time. */
export async function inTime<T>(promise: Promise<T>, what: string, ms = 30_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const EXCHANGE_LIMIT = 30_000;
/** Bytes of a seed that make it known wherever they are shown. */
const SHOWN_BYTES = 8;
/** What applications send here: no error may tell it. */
const PAYLOAD = 'payload-of-the-matrix.';
