import type { Socket } from 'node:net';
import type { SttListener, SttSession, SttStream } from '../../index.ts';
import type { Output } from '../output.ts';
import { decline } from '../purposes.ts';
import { ByteReader } from '../transfer/byte-reader.ts';
import type { AllowRule } from './allow-list.ts';
import { isAllowed } from './allow-list.ts';
import { Credits } from './credit.ts';
import { DialError, dial } from './dial.ts';
import { endingOfMany } from './ending.ts';
import type { Answer, Header } from './messages.ts';
import {
  abandon,
  CREDIT_PURPOSE,
  encode,
  readHeader,
  StreamCode,
  stopOneWay,
  TUNNEL_PURPOSE,
  TunnelProtocolError,
  WINDOW,
} from './messages.ts';
import { tellEnd } from './near.ts';
import { Pipe } from './pipe.ts';
import { RefusalLog, refusalOf } from './refusals.ts';
import { show } from './target.ts';

/** What the far side needs to know. */
export interface FarOptions {
  readonly allow: readonly AllowRule[];
  /** Of all sessions together. */
  readonly maxConnections: number;
  /** Milliseconds that a target may take to answer. */
  readonly connectTimeout: number;
  /**
   * Milliseconds that a peer may take for the credit of its session, and for the header of a stream.
   * @default 10_000
   */
  readonly headerTimeout?: number;
  readonly output: Output;
}

/** @default of {@link FarOptions.headerTimeout} */
const HEADER_MS = 10_000;

/** How long a refusal may take to arrive. */
const REFUSAL_MS = 10_000;

type Refused = Extract<Answer, { accept: false }>;

/** Makes the connections that near sides ask for, as far as they are allowed. */
export class Far {
  readonly #options: FarOptions;
  readonly #patience: number;
  readonly #refusals: RefusalLog;
  readonly #ending = endingOfMany();
  readonly #carried = new Set<Promise<void>>();
  #draining = false;
  #count = 0;

  constructor(options: FarOptions) {
    this.#options = options;
    this.#patience = options.headerTimeout ?? HEADER_MS;
    this.#refusals = new RefusalLog(options.output);
  }

  /** Serves every session that comes, until the listener ends. */
  async serve(listener: SttListener): Promise<void> {
    for await (const session of listener) {
      const { output } = this.#options;
      output.event('session', {
        sessionId: session.id,
        peerNodeId: session.peerNodeId,
        transport: session.transport,
      });
      output.detail(`session ${session.id} with node ${session.peerNodeId}`);
      session.on('pathChange', ({ transport }) =>
        output.event('moved', { sessionId: session.id, transport }),
      );
      this.#serve(session).catch((error: unknown) => {
        output.detail(`session ${session.id}: ${String(error)}`);
        session.destroy('no side of a tunnel');
      });
    }
  }

  /** Refuses connections from now on; resolves once none is open. */
  async drain(): Promise<void> {
    this.#draining = true;
    while (this.#carried.size > 0) await Promise.all(this.#carried);
  }

  /** Resets every connection. */
  end(reason: Error): void {
    this.#draining = true;
    this.#ending.abort(reason);
  }

  async #serve(session: SttSession): Promise<void> {
    stopOneWay(session).catch(() => undefined);
    let begin!: (credits: Credits) => void;
    const begun = new Promise<Credits>((resolve) => (begin = resolve));
    // Its first stream may come behind others.
    const late = setTimeout(() => session.destroy('no side of a tunnel'), this.#patience);
    let hasCredits = false;
    try {
      for await (const stream of session.incomingBidirectionalStreams) {
        if (stream.purpose === TUNNEL_PURPOSE) this.#take(stream, begun, session);
        else if (stream.purpose === CREDIT_PURPOSE && !hasCredits) {
          hasCredits = true;
          clearTimeout(late);
          const credits = new Credits(stream);
          credits.greet();
          credits.run().catch((error: Error) => session.destroy(error.message));
          begin(credits);
        } else decline(stream);
      }
    } finally {
      clearTimeout(late);
    }
  }

  #take(stream: SttStream, begun: Promise<Credits>, session: SttSession): void {
    this.#count += 1;
    const id = this.#count;
    // A stream that was refused counts, too, until its peer has heard so.
    const task: Promise<void> = this.#answer(stream, begun, session, id)
      .catch((error: unknown) => {
        this.#options.output.detail(`connection ${id}: ${String(error)}`);
        abandon(
          stream,
          error instanceof TunnelProtocolError ? StreamCode.Malformed : StreamCode.Reset,
        );
      })
      .finally(() => this.#carried.delete(task));
    this.#carried.add(task);
  }

  async #answer(
    stream: SttStream,
    begun: Promise<Credits>,
    session: SttSession,
    id: number,
  ): Promise<void> {
    const { output, allow, maxConnections } = this.#options;
    const refuse = (why: Omit<Refused, 'accept'>, header?: Header): Promise<void> => {
      const target = header === undefined ? null : show(header);
      const { refusal, code } = why;
      this.#refusals.tell(
        `${target ?? 'a connection'} for node ${session.peerNodeId.slice(0, 16)}: ${refusal}${code === undefined ? '' : ` (${code})`}`,
        {
          connection: id,
          peerNodeId: session.peerNodeId,
          target,
          refusal,
          ...(code === undefined ? {} : { code }),
        },
      );
      return deny(stream, why);
    };
    if (this.#draining) return refuse({ refusal: 'ending' });
    if (this.#carried.size >= maxConnections) return refuse({ refusal: 'busy' });
    const reader = new ByteReader(stream.batches({ preventCancel: true }));
    const header = await within(stream, readHeader(reader), this.#patience).catch(
      (error: unknown) => {
        if (error instanceof TunnelProtocolError) return undefined;
        throw error;
      },
    );
    if (header === undefined) return refuse({ refusal: 'malformed' });
    if (!isAllowed(allow, header)) return refuse({ refusal: 'forbidden' }, header);
    const credits = await within(stream, begun, this.#patience);
    let socket: Socket;
    try {
      socket = await dial(header, this.#options.connectTimeout, this.#gone(stream));
    } catch (error) {
      if (!(error instanceof DialError)) throw error;
      const { code } = error;
      return refuse({ refusal: refusalOf(code), ...(code === undefined ? {} : { code }) }, header);
    }
    const pipe = new Pipe(socket, stream, reader, credits, header.window);
    const cut = (): void => pipe.abort(StreamCode.Ending, this.#ending.signal.reason);
    this.#ending.signal.addEventListener('abort', cut, { once: true });
    if (this.#ending.signal.aborted) cut();
    output.event('opened', {
      connection: id,
      peerNodeId: session.peerNodeId,
      target: show(header),
    });
    output.detail(`connection ${id} to ${show(header)}: opened`);
    const started = performance.now();
    // A stream that has failed by now fails the pipe. Nobody awaits it, so that it waits for memory, too.
    void stream.write(encode({ accept: true, window: WINDOW }));
    const end = await pipe.run();
    this.#ending.signal.removeEventListener('abort', cut);
    tellEnd(output, id, end, performance.now() - started);
  }

  /** Aborts when nobody waits for a connection any more. */
  #gone(stream: SttStream): AbortSignal {
    const gone = new AbortController();
    stream.closed.catch((error: unknown) => gone.abort(error));
    const { signal } = this.#ending;
    const leave = (): void => gone.abort(signal.reason);
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    stream.closed.finally(() => signal.removeEventListener('abort', leave)).catch(() => undefined);
    return gone.signal;
  }
}

/** Waits for what a peer has to bring; the wait ends as the stream does, or after so many milliseconds. */
async function within<T>(stream: SttStream, promise: Promise<T>, patience: number): Promise<T> {
  let late: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      promise,
      // Ends the wait when the stream fails.
      stream.closed.then(() => promise),
      new Promise<never>((_resolve, reject) => {
        late = setTimeout(() => {
          abandon(stream, StreamCode.Late);
          reject(new Error('nothing came in time'));
        }, patience);
      }),
    ]);
  } finally {
    clearTimeout(late);
  }
}

async function deny(stream: SttStream, why: Omit<Refused, 'accept'>): Promise<void> {
  stream.write(encode({ accept: false, ...why })).catch(() => undefined);
  await stream.close({ timeout: REFUSAL_MS });
}
