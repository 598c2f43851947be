import type { Server, Socket } from 'node:net';
import type { SttStream } from '../../index.ts';
import type { Output } from '../output.ts';
import { ByteReader } from '../transfer/byte-reader.ts';
import { formatSize } from '../units.ts';
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
  readonly #ending = new AbortController();
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
    else if (this.#carried.size >= this.#options.maxConnections) this.#refuse(socket, id, 'full');
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
    const { target, output, patience } = this.#options;
    const gone = new AbortController();
    const leave = (): void => gone.abort(this.#ending.signal.reason);
    socket.once('close', leave);
    this.#ending.signal.addEventListener('abort', leave, { once: true });
    try {
      const lane = await this.#open(AbortSignal.any([gone.signal, AbortSignal.timeout(patience)]));
      if (gone.signal.aborted) {
        if (lane !== undefined) abandon(lane.stream, StreamCode.Ending);
        socket.resetAndDestroy();
        return;
      }
      if (lane === undefined) return this.#refuse(socket, id, 'offline');
      const { stream, credits } = lane;
      const reader = new ByteReader(stream.batches({ preventCancel: true }));
      const answer = await this.#ask(stream, reader, gone.signal);
      if (answer === undefined || !answer.accept) {
        if (gone.signal.aborted) socket.resetAndDestroy();
        else this.#refuse(socket, id, answer?.refusal ?? 'silent', answer?.code);
        return;
      }
      const from = show({ host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 });
      output.event('opened', { connection: id, from, target: show(target) });
      output.detail(`connection ${id} from ${from}: opened`);
      const pipe = new Pipe(socket, stream, reader, credits, answer.window);
      const cut = (): void => pipe.abort(StreamCode.Ending, this.#ending.signal.reason);
      this.#ending.signal.addEventListener('abort', cut, { once: true });
      const started = performance.now();
      const end = await pipe.run();
      this.#ending.signal.removeEventListener('abort', cut);
      tellEnd(output, id, end, performance.now() - started);
    } finally {
      this.#ending.signal.removeEventListener('abort', leave);
    }
  }

  /** A stream in the session of now or of soon; undefined when there is none in time. */
  async #open(
    signal: AbortSignal,
  ): Promise<{ stream: SttStream; credits: Lane['credits'] } | undefined> {
    while (!signal.aborted) {
      try {
        const { session, credits } = await this.#options.link.lane(signal);
        const stream = await session
          .createBidirectionalStream({ purpose: TUNNEL_PURPOSE, waitUntilAvailable: true, signal })
          .catch((error: unknown) => {
            // One that has just ended is followed by another.
            if (session.ended !== undefined) return undefined;
            throw error;
          });
        if (stream !== undefined) return { stream, credits };
        await new Promise((resolve) => setImmediate(resolve));
      } catch (error) {
        this.#options.output.detail(`no stream: ${String(error)}`);
        return undefined;
      }
    }
    return undefined;
  }

  /** What the far side says; undefined when it says nothing of use, or nobody waits any more. */
  async #ask(
    stream: SttStream,
    reader: ByteReader,
    gone: AbortSignal,
  ): Promise<Answer | undefined> {
    const { target } = this.#options;
    const late = setTimeout(() => abandon(stream, StreamCode.Late), ANSWER_MS);
    const leave = (): void => abandon(stream, StreamCode.Reset);
    gone.addEventListener('abort', leave, { once: true });
    try {
      await stream.write(encode({ ...target, window: WINDOW }));
      const answer = await readAnswer(reader);
      if (!answer.accept) stream.close().catch(() => undefined);
      return answer;
    } catch (error) {
      this.#options.output.detail(`no answer: ${String(error)}`);
      abandon(stream, StreamCode.Malformed);
      return undefined;
    } finally {
      clearTimeout(late);
      gone.removeEventListener('abort', leave);
    }
  }

  #refuse(socket: Socket, id: number, refusal: NearRefusal, code?: string): void {
    const from = show({ host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 });
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
