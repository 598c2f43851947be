import type { Server, Socket } from 'node:net';
import type { SttStream } from '../../index.ts';
import type { Output } from '../output.ts';
import { ByteReader } from '../transfer/byte-reader.ts';
import { formatSize } from '../units.ts';
import { endingOfMany } from './ending.ts';
import type { Lane, Link } from './link.ts';
import type { Answer } from './messages.ts';
import { abandon, encode, readAnswer, StreamCode, TUNNEL_PURPOSE, WINDOW } from './messages.ts';
import type { PipeEnd } from './pipe.ts';
import { Pipe } from './pipe.ts';
import type { NearRefusal } from './refusals.ts';
import { RefusalLog, reasonOf } from './refusals.ts';
import type { Target } from './target.ts';
import { show } from './target.ts';

/** What the near side needs to know. */
export interface NearOptions {
  readonly link: Link;
  readonly target: Target;
  readonly maxConnections: number;
  /** Milliseconds that a connection waits for a session, and then for room in it. */
  readonly patience: number;
  readonly output: Output;
}

/** How long the far side may take to connect: longer than it waits itself, so that it tells why. */
const ANSWER_MS = 30_000;

/** Takes TCP connections here, and has the far side make them there. */
export class Near {
  readonly #options: NearOptions;
  readonly #refusals: RefusalLog;
  readonly #ending = endingOfMany();
  readonly #carried = new Set<Promise<void>>();
  #count = 0;

  constructor(server: Server, options: NearOptions) {
    this.#options = options;
    this.#refusals = new RefusalLog(options.output);
    server.on('connection', (socket) => this.#take(socket));
  }

  /** Resolves once no connection is open. */
  async idle(): Promise<void> {
    while (this.#carried.size > 0) await Promise.all(this.#carried);
  }

  /** Resets every connection. */
  end(reason: Error): void {
    this.#ending.abort(reason);
  }

  #take(socket: Socket): void {
    // Also before anything else listens for it.
    socket.on('error', () => undefined);
    this.#count += 1;
    const id = this.#count;
    if (this.#ending.signal.aborted) socket.resetAndDestroy();
    else if (this.#carried.size >= this.#options.maxConnections)
      this.#refuse(socket, placeOf(socket), id, 'full');
    else {
      const task: Promise<void> = this.#carry(socket, id)
        .catch((error: unknown) => {
          this.#options.output.detail(`connection ${id}: ${String(error)}`);
          socket.resetAndDestroy();
        })
        .finally(() => this.#carried.delete(task));
      this.#carried.add(task);
    }
  }

  async #carry(socket: Socket, id: number): Promise<void> {
    const { target, output } = this.#options;
    const from = placeOf(socket);
    const gone = new AbortController();
    const { signal } = this.#ending;
    const leave = (): void => gone.abort(signal.reason);
    socket.once('close', leave);
    signal.addEventListener('abort', leave, { once: true });
    try {
      const reached = await this.#reach(gone.signal);
      if (gone.signal.aborted) {
        if (typeof reached !== 'string') abandon(reached.stream, StreamCode.Reset);
        socket.resetAndDestroy();
        return;
      }
      if (typeof reached === 'string') return this.#refuse(socket, from, id, reached);
      const { stream, reader, credits, answer } = reached;
      if (!answer.accept) return this.#refuse(socket, from, id, answer.refusal, answer.code);
      output.event('opened', { connection: id, from, target: show(target) });
      output.detail(`connection ${id} from ${from}: opened`);
      const pipe = new Pipe(socket, stream, reader, credits, answer.window);
      const cut = (): void => pipe.abort(StreamCode.Ending, signal.reason);
      signal.addEventListener('abort', cut, { once: true });
      const started = performance.now();
      const end = await pipe.run();
      signal.removeEventListener('abort', cut);
      tellEnd(output, id, end, performance.now() - started);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /**
   * What the far side says to a stream for one connection. Where the session is lost before that, as when the far side was
   * started again, it is asked anew in the next: nothing of the connection was sent.
   */
  async #reach(gone: AbortSignal): Promise<Reached | 'offline' | 'silent'> {
    const over = new AbortController();
    const leave = (): void => over.abort(gone.reason);
    const late = setTimeout(
      () => over.abort(new Error('no session in time')),
      this.#options.patience,
    );
    gone.addEventListener('abort', leave, { once: true });
    try {
      return await this.#reachBy(over.signal, gone);
    } finally {
      clearTimeout(late);
      gone.removeEventListener('abort', leave);
    }
  }

  async #reachBy(signal: AbortSignal, gone: AbortSignal): Promise<Reached | 'offline' | 'silent'> {
    const { link, output } = this.#options;
    for (;;) {
      let lane: Lane;
      try {
        lane = await link.lane(signal);
      } catch {
        return 'offline';
      }
      const { session, credits } = lane;
      let stream: SttStream | undefined;
      try {
        const options = { purpose: TUNNEL_PURPOSE, waitUntilAvailable: true, signal };
        stream = await session.createBidirectionalStream(options);
        const reader = new ByteReader(stream.batches({ preventCancel: true }));
        const answer = await this.#ask(stream, reader, gone);
        return { stream, reader, credits, answer };
      } catch (error) {
        output.detail(`no answer: ${String(error)}`);
        if (stream !== undefined) abandon(stream, StreamCode.Malformed);
        if (session.ended === undefined || gone.aborted) return 'silent';
        // What replaces it does so in a later turn.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  /** What the far side says. Rejects when it says nothing of use, or nobody waits any more. */
  async #ask(stream: SttStream, reader: ByteReader, gone: AbortSignal): Promise<Answer> {
    const late = setTimeout(() => abandon(stream, StreamCode.Late), ANSWER_MS);
    const leave = (): void => abandon(stream, StreamCode.Reset);
    gone.addEventListener('abort', leave, { once: true });
    try {
      // A far side that is full answers before it reads, and then stops this: the answer is what counts. Nobody awaits it, so
      // that it waits for memory, too.
      void stream.write(encode({ ...this.#options.target, window: WINDOW }));
      const answer = await readAnswer(reader);
      if (!answer.accept) stream.close().catch(() => undefined);
      return answer;
    } finally {
      clearTimeout(late);
      gone.removeEventListener('abort', leave);
    }
  }

  #refuse(socket: Socket, from: string, id: number, refusal: NearRefusal, code?: string): void {
    const message = reasonOf(refusal, this.#options.target, code);
    socket.resetAndDestroy();
    this.#refusals.tell(`${from}: ${message}`, {
      connection: id,
      from,
      target: show(this.#options.target),
      refusal,
      message,
    });
  }
}

/** A stream for a connection, and what the far side said. */
interface Reached {
  readonly stream: SttStream;
  readonly reader: ByteReader;
  readonly credits: Lane['credits'];
  readonly answer: Answer;
}

function placeOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return show({ host: remoteAddress, port: remotePort });
}

/** How a connection ended, on either side. */
export function tellEnd(output: Output, id: number, end: PipeEnd, milliseconds: number): void {
  const { sent, received, failure } = end;
  const seconds = Math.round(milliseconds) / 1_000;
  output.event('closed', {
    connection: id,
    bytesSent: sent,
    bytesReceived: received,
    seconds,
    reset: failure !== undefined,
    ...(failure === undefined ? {} : { message: failure.message }),
  });
  const how = failure === undefined ? 'closed' : `reset (${failure.message})`;
  output.detail(
    `connection ${id}: ${how} after ${seconds} s, ${formatSize(sent)} sent, ${formatSize(received)} received`,
  );
}
