import type { SttSession } from '../../index.ts';
import { isSttError, SttTimeoutError } from '../../index.ts';
import type { CallOptions } from '../calling.ts';
import { call, nameOf } from '../calling.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { percentiles, round } from '../percentiles.ts';
import { formatDuration } from '../units.ts';

/** Options of `stt ping`, parsed. */
export interface PingOptions extends CallOptions {
  /** How many; 0 goes on until a signal. */
  readonly count: number;
  /** Milliseconds from one to the next. */
  readonly interval: number;
  /** Milliseconds after which one counts as lost. */
  readonly wait: number;
}

/** Measures the way to whatever listens at a peer, over a session of its own. It offers nothing and takes nothing. */
export async function ping(options: PingOptions, output: Output): Promise<void> {
  await call(options, output, async (session) => {
    const tally = new Tally(session);
    try {
      await run(session, tally, options, output);
    } finally {
      tally.report(output);
    }
  });
}

async function run(
  session: SttSession,
  tally: Tally,
  { count, interval, wait, signals }: PingOptions,
  output: Output,
): Promise<void> {
  const { ending } = signals;
  // One that is late must not hold the next one up.
  const pings = new Set<Promise<void>>();
  const pauses = new Pauses(ending, session);
  let failure: { readonly error: unknown } | undefined;
  for (let sequence = 1; count === 0 || sequence <= count; sequence += 1) {
    const answer: Promise<void> = once(session, sequence, wait, tally, output)
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => pings.delete(answer));
    pings.add(answer);
    if (sequence === count) break;
    await pauses.pause(interval);
    if (failure !== undefined || ending.aborted) break;
  }
  await Promise.race([Promise.all(pings), aborted(ending)]);
  if (ending.aborted) throw ending.reason;
  if (failure !== undefined) throw await rootCause(session, failure.error);
  if (tally.answered === 0) {
    throw new CliError(
      ExitCode.Unreachable,
      `none of ${tally.sent} pings was answered within ${formatDuration(wait)}.`,
      'the peer or the network between has stopped: look there, or allow more time with --wait.',
    );
  }
}

async function once(
  session: SttSession,
  sequence: number,
  wait: number,
  tally: Tally,
  output: Output,
): Promise<void> {
  tally.sent += 1;
  try {
    tally.add(sequence, await session.ping({ timeout: wait }), output);
  } catch (error) {
    if (!(error instanceof SttTimeoutError)) throw error;
    output.result(
      'unanswered',
      { sequence, waitMs: wait },
      `seq=${sequence} no answer within ${formatDuration(wait)}`,
    );
  }
}

/** What ended the session, where all that a ping can say is that it has ended. */
async function rootCause(session: SttSession, error: unknown): Promise<unknown> {
  if (!isSttError(error) || error.codeName !== 'SESSION_CLOSED') return error;
  return (await session.settled).error ?? error;
}

/** Pauses that end early once somebody ends the command, or the session has ended. Each leaves nothing behind. */
class Pauses {
  #over = false;
  #wake: () => void = () => undefined;

  constructor(ending: AbortSignal, session: SttSession) {
    const end = (): void => {
      this.#over = true;
      this.#wake();
    };
    if (ending.aborted) end();
    ending.addEventListener('abort', end, { once: true });
    void session.settled.then(end);
  }

  /** Until the next is due. */
  async pause(milliseconds: number): Promise<void> {
    if (this.#over) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** What came of all pings. */
class Tally {
  readonly #session: SttSession;
  readonly #rtts: number[] = [];
  #moves = 0;
  sent = 0;

  constructor(session: SttSession) {
    this.#session = session;
    // The report says how large datagrams may be, which is searched for where somebody asks.
    void session.datagrams.maxSize;
    session.on('pathChange', () => (this.#moves += 1));
  }

  get answered(): number {
    return this.#rtts.length;
  }

  add(sequence: number, rtt: number, output: Output): void {
    this.#rtts.push(rtt);
    const { transport } = this.#session;
    const rttMs = round(rtt);
    output.result(
      'pong',
      { sequence, rttMs, transport },
      `seq=${sequence} time=${rttMs} ms ${nameOf(transport)}`,
    );
  }

  report(output: Output): void {
    const { transport } = this.#session;
    const stats = this.#session.stats();
    const lost = this.sent === 0 ? 0 : round(((this.sent - this.answered) / this.sent) * 100);
    const rtt = percentiles(this.#rtts);
    const packetsLost = stats?.packetsLost ?? 0;
    const mtu = stats?.mtu ?? null;
    output.result(
      'ping',
      {
        sent: this.sent,
        answered: this.answered,
        lossPercent: lost,
        rttMs: rtt,
        transport,
        moves: this.#moves,
        packetsLost,
        mtu,
      },
      [
        `${this.sent} sent, ${this.answered} answered, ${lost} % lost, by ${nameOf(transport)}` +
          (this.#moves === 0 ? '' : `, after ${this.#moves} moves`) +
          (mtu === null ? '' : `, datagrams of ${mtu} bytes`),
        ...(this.answered === 0
          ? []
          : [`rtt min/p50/p90/p99/max ${Object.values(rtt).join('/')} ms`]),
      ].join('\n'),
    );
  }
}
