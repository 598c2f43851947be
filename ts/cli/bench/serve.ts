import type { SttSession, SttStream } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import { decline } from '../purposes.ts';
import { ByteReader } from '../transfer/byte-reader.ts';
import { formatDuration } from '../units.ts';
import { GRACE_MS, takePart } from './measure.ts';
import type { Answer, Direction, Run, Share } from './talk.ts';
import { BENCH_PURPOSE, BYTES_PURPOSE, readRun, say } from './talk.ts';

/** Longest warm-up. */
const MAX_WARM_UP_MS = 10_000;
/** Most runs of one bench: three are asked for. */
const MAX_RUNS = 8;
/** How long the next message, or the stream that was announced, may take to come, or one of this side to be taken. */
const PATIENCE_MS = 10_000;

/** What bounds a bench, in milliseconds. */
export interface BenchLimits {
  /** Longest time that counts, of one run. */
  readonly maxMs: number;
  /** @default 10 s */
  readonly patienceMs?: number;
  /** See {@link GRACE_MS}. */
  readonly graceMs?: number;
}

/** Who is told what becomes of benches. */
export interface BenchTold {
  readonly onBench: (session: SttSession, benched: Benched) => void;
  /** One was broken off. */
  readonly onFailure: (error: unknown) => void;
}

/** What a listener says of a bench that it took part in. */
export interface Benched {
  readonly runs: number;
  readonly bytesReceived: number;
  readonly seconds: number;
}

/**
 * Takes part in benches: one at a time, because two would measure each other, and each no longer than its runs may
 * take. Sessions that want nothing of it, such as those of `stt ping`, are let be.
 */
export class BenchServer {
  readonly #limits: Required<BenchLimits>;
  readonly #signal: AbortSignal;
  readonly #told: BenchTold;
  #busy = false;

  constructor(limits: BenchLimits, signal: AbortSignal, told: BenchTold) {
    this.#limits = { patienceMs: PATIENCE_MS, graceMs: GRACE_MS, ...limits };
    this.#signal = signal;
    this.#told = told;
  }

  /** Serves a session until it ends. */
  async serve(session: SttSession): Promise<void> {
    const place = new BytesStream();
    try {
      for await (const stream of session.incomingBidirectionalStreams) {
        if (stream.purpose === BENCH_PURPOSE) {
          void this.#bench(session, stream, place).catch((error: unknown) => {
            this.#told.onFailure(error);
            stream.reset(0);
            stream.stop(0);
          });
        } else if (stream.purpose !== BYTES_PURPOSE || !place.put(stream)) {
          decline(stream);
        }
      }
    } catch {
      // The session failed; whoever measured is told by its own side.
    }
  }

  async #bench(session: SttSession, control: SttStream, place: BytesStream): Promise<void> {
    if (this.#busy) {
      // Heard first: who is stopped while it still speaks does not look for an answer.
      await this.#soon(readRun(new ByteReader(control.batches())), 'a run');
      const why = 'it measures with another node now';
      await this.#say(control, { accept: false, busy: true, why });
      finish(control);
      return;
    }
    this.#busy = true;
    const total = { runs: 0, bytesReceived: 0, seconds: 0 };
    try {
      const reader = new ByteReader(control.batches());
      while (total.runs < MAX_RUNS) {
        const run = await this.#soon(readRun(reader), 'the next run');
        if (run === undefined) break;
        const why = this.#objection(run);
        if (why !== undefined) {
          await this.#say(control, { accept: false, busy: false, why });
          break;
        }
        const share = await this.#run(session, control, place, run);
        total.runs += 1;
        total.bytesReceived += share.received;
        total.seconds += share.ms / 1_000;
        await this.#say(control, share);
      }
      finish(control);
    } finally {
      this.#busy = false;
      place.close();
      if (total.runs > 0) this.#told.onBench(session, total);
    }
  }

  #objection({ ms, warmUpMs }: Run): string | undefined {
    const most = this.#limits.maxMs / 1_000;
    if (ms > this.#limits.maxMs) return `it measures for ${most} s at most (--max-seconds there)`;
    if (warmUpMs > MAX_WARM_UP_MS)
      return `it warms up for ${formatDuration(MAX_WARM_UP_MS)} at most`;
    return undefined;
  }

  async #run(
    session: SttSession,
    control: SttStream,
    place: BytesStream,
    run: Run,
  ): Promise<Share> {
    const coming = place.wait();
    await this.#say(control, { accept: true });
    const stream = await this.#soon(coming, 'the stream of bytes');
    const part = partOfListener(run.direction);
    return takePart(session, stream, part, run, this.#signal, this.#limits.graceMs);
  }

  #say(control: SttStream, message: Answer | Share): Promise<void> {
    return this.#soon(say(control, message), 'room for an answer');
  }

  /** Whoever holds the only place must not stand still. */
  async #soon<T>(promise: Promise<T>, what: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const { patienceMs } = this.#limits;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new BenchStalledError(what, patienceMs)), patienceMs);
    });
    promise.catch(() => undefined);
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Whoever measured stood still for too long. */
class BenchStalledError extends CliError {
  constructor(what: string, milliseconds: number) {
    super(
      ExitCode.Interrupted,
      `${what} did not come within ${formatDuration(milliseconds)}.`,
      'run "stt bench" there again.',
    );
  }
}

/** Says no more, and hears no more. Whoever has all that it wants closes the session and waits for nothing. */
function finish(control: SttStream): void {
  control.end().catch(() => undefined);
  control.stop(0);
}

function partOfListener(direction: Direction): { sends: boolean; receives: boolean } {
  return { sends: direction !== 'up', receives: direction !== 'down' };
}

/** Where the stream is put that a run waits for; without one that waits there is no place. */
class BytesStream {
  #take: ((stream: SttStream) => void) | undefined;

  wait(): Promise<SttStream> {
    return new Promise((resolve) => (this.#take = resolve));
  }

  close(): void {
    this.#take = undefined;
  }

  put(stream: SttStream): boolean {
    const take = this.#take;
    this.#take = undefined;
    take?.(stream);
    return take !== undefined;
  }
}
