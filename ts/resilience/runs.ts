import { Waiter } from '../async.ts';
import { SttOptionError, SttStateError } from '../errors/local.ts';
import type { SttSession } from '../session.ts';
import type { StreamOptions } from '../stream/open.ts';
import { checkStreamOptions } from '../stream/open.ts';
import type { SttStream } from '../stream.ts';
import type { StreamProgress } from './progress.ts';
import { progressOf } from './progress.ts';

/** Which stream `run()` opens. */
export interface RunOptions extends StreamOptions {
  /** What the stream is for; its name across sessions. */
  readonly purpose: string;
  /** Ends the run: it rejects with the signal's reason, and the stream is reset. */
  readonly signal?: AbortSignal;
}

/** What a handler is told beside its stream. */
export interface RunContext {
  /** Which call, from 1. */
  readonly attempt: number;
  /** How far the stream of the call before came; undefined at the first. */
  readonly previous: StreamProgress | undefined;
  readonly session: SttSession;
  /** Aborted when the stream's session ends, or the run does: for whatever waits for something else. */
  readonly signal: AbortSignal;
}

/** What `run()` runs. */
export type RunHandler<Result> = (
  stream: SttStream,
  context: RunContext,
) => Result | Promise<Result>;

/** Checks what a caller gave. */
export function checkRun(purpose: string | RunOptions, handler: unknown): RunOptions {
  const options = typeof purpose === 'string' ? { purpose } : purpose;
  checkStreamOptions(options);
  if (typeof options.purpose !== 'string' || options.purpose === '') {
    throw new SttOptionError(
      'purpose',
      'must say what the stream is for: it is opened by it again',
    );
  }
  if (typeof handler !== 'function') throw new SttOptionError('handler', 'must be a function');
  return { ...options };
}

/** The streams that are opened anew in every session. */
export class Runs {
  readonly #purposes = new Set<string>();
  readonly #waiting = new Set<Waiter<SttSession>>();

  /** @param live gives the session of now, or of later; rejects when there will be none. */
  async run<Result>(
    options: RunOptions,
    handler: RunHandler<Result>,
    live: (signal: AbortSignal | undefined) => Promise<SttSession>,
  ): Promise<Result> {
    const { purpose, signal } = options;
    if (this.#purposes.has(purpose)) {
      throw new SttStateError(`A run of '${purpose}' goes on already; one at a time.`);
    }
    this.#purposes.add(purpose);
    const work = this.#work(options, handler, live);
    const free = (): void => void this.#purposes.delete(purpose);
    work.then(free, free);
    if (signal === undefined) return work;
    // Aborted, the caller has its answer at once; the purpose is free when the handler has settled.
    const waiter = new Waiter<Result>({ signal });
    work.then(
      (result) => waiter.resolve(result),
      (error: unknown) => waiter.reject(error),
    );
    return waiter.promise;
  }

  /** Resolves with the next session. */
  wait(signal: AbortSignal | undefined): Promise<SttSession> {
    const waiter = new Waiter<SttSession>(
      signal === undefined ? {} : { signal },
      'Waiting for a session',
      (reason) => {
        this.#waiting.delete(waiter);
        return reason;
      },
    );
    if (!waiter.settled) this.#waiting.add(waiter);
    return waiter.promise;
  }

  wake(session: SttSession): void {
    for (const waiter of this.#waiting) waiter.resolve(session);
    this.#waiting.clear();
  }

  end(error: unknown): void {
    for (const waiter of this.#waiting) waiter.reject(error);
    this.#waiting.clear();
  }

  async #work<Result>(
    options: RunOptions,
    handler: RunHandler<Result>,
    live: (signal: AbortSignal | undefined) => Promise<SttSession>,
  ): Promise<Result> {
    const { signal } = options;
    let previous: RunContext['previous'];
    let attempt = 1;
    for (;;) {
      const session = await live(signal);
      let stream: SttStream;
      try {
        stream = await session.createBidirectionalStream(options);
      } catch (error) {
        if (session.ended === undefined || signal?.aborted === true) throw error;
        continue;
      }
      try {
        return await call(handler, stream, { attempt, previous, session }, signal);
      } catch (error) {
        // What a handler throws when its session is lost is put down to that.
        if (session.ended === undefined || signal?.aborted === true) {
          abandon(stream);
          throw error;
        }
        previous = progressOf(stream);
        attempt += 1;
      }
    }
  }
}

/** One call of a handler, whose signal is aborted when its session ends or the run is. */
async function call<Result>(
  handler: RunHandler<Result>,
  stream: SttStream,
  context: Omit<RunContext, 'signal'>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  const over = new AbortController();
  void context.session.settled.then(({ error }) => over.abort(error));
  const abort = (): void => {
    over.abort(signal?.reason);
    abandon(stream);
  };
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted === true) abort();
  try {
    return await handler(stream, { ...context, signal: over.signal });
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** What was sent is of no use, and nothing more will be read. */
function abandon(stream: SttStream): void {
  stream.reset(0);
  stream.stop(0);
}
