import { setTimeout as sleep } from 'node:timers/promises';
import type { SttSession, SttStream } from '../../index.ts';
import { isSttError, SttTimeoutError } from '../../index.ts';
import { printable } from '../../printable.ts';
import { SessionOverError, takePart } from '../bench/measure.ts';
import type { Direction, Share } from '../bench/talk.ts';
import {
  BENCH_PURPOSE,
  BYTES_PURPOSE,
  DIRECTIONS,
  readAnswer,
  readShare,
  say,
} from '../bench/talk.ts';
import type { CallOptions } from '../calling.ts';
import { call, nameOf } from '../calling.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import type { Percentiles } from '../percentiles.ts';
import { percentiles, round } from '../percentiles.ts';
import { ByteReader } from '../transfer/byte-reader.ts';
import { formatDuration, formatRate } from '../units.ts';

/** Options of `stt bench PEER`, parsed. */
export interface BenchOptions extends CallOptions {
  /** Milliseconds of each direction that count. */
  readonly ms: number;
  /** Milliseconds before, that do not. */
  readonly warmUpMs: number;
}

/** Round trips that are measured while nothing else goes on, one after the other. */
const IDLE_PINGS = 40;
/** Milliseconds between them, and between those under load. */
const PING_EVERY_MS = 10;
const LOADED_PING_EVERY_MS = 25;
/** After so long one counts as lost. */
const PING_TIMEOUT_MS = 2_000;
/** Most that are on their way at a time. */
const MAX_PINGS = 100;
/** Longest that the listener may take to answer. */
const ANSWER_MS = 10_000;

/** Measures what the way to a peer carries, in both directions and both at once, and what it costs. */
export async function bench(options: BenchOptions, output: Output): Promise<void> {
  await call(options, output, (session) => new Bench(session, options, output).run());
}

class Bench {
  readonly #session: SttSession;
  readonly #options: BenchOptions;
  readonly #output: Output;
  #moves = 0;

  constructor(session: SttSession, options: BenchOptions, output: Output) {
    this.#session = session;
    this.#options = options;
    this.#output = output;
    session.on('pathChange', () => (this.#moves += 1));
  }

  async run(): Promise<void> {
    const { ending } = this.#options.signals;
    let taken = false;
    try {
      const control = await this.#session.createBidirectionalStream({ purpose: BENCH_PURPOSE });
      const reader = new ByteReader(control.batches());
      // First of all, so that whoever has no part in benches says so before anything is measured.
      await this.#ask(control, reader, DIRECTIONS[0]);
      taken = true;
      this.#tellIdle(await this.#idle());
      for (const [index, direction] of DIRECTIONS.entries()) {
        if (index > 0) await this.#ask(control, reader, direction);
        await this.#measure(reader, direction);
      }
      await control.end();
      this.#tellEnd();
    } catch (error) {
      if (ending.aborted) throw ending.reason;
      if (error instanceof SessionOverError) throw gone(error);
      // A stream that was declined, of a session that lives.
      if (!taken && isSttError(error, 'STREAM_CLOSED')) throw noBench(error);
      throw error;
    }
  }

  async #ask(control: SttStream, reader: ByteReader, direction: Direction): Promise<void> {
    const { ms, warmUpMs } = this.#options;
    await say(control, { direction, warmUpMs, ms });
    const answer = await inTime(readAnswer(reader), this.#options.signals.ending);
    if (answer.accept) return;
    throw new CliError(
      ExitCode.Interrupted,
      `the peer declined: ${printable(answer.why)}.`,
      answer.busy ? 'try again in a minute.' : 'ask for less, as with --seconds 5.',
    );
  }

  async #measure(reader: ByteReader, direction: Direction): Promise<void> {
    const { ms, warmUpMs, signals } = this.#options;
    const session = this.#session;
    const stream = await session.createBidirectionalStream({ purpose: BYTES_PURPOSE });
    const part = { sends: direction !== 'down', receives: direction !== 'up' };
    const pinging = new AbortController();
    const rtts = this.#loaded(warmUpMs, AbortSignal.any([signals.ending, pinging.signal]));
    try {
      const here = await takePart(session, stream, part, { warmUpMs, ms }, signals.ending);
      pinging.abort();
      const there = await inTime(readShare(reader), signals.ending);
      this.#tellRun(direction, here, there, percentiles(await rtts));
    } finally {
      pinging.abort();
    }
  }

  async #idle(): Promise<Percentiles> {
    const rtts: number[] = [];
    const { ending } = this.#options.signals;
    for (let sent = 0; sent < IDLE_PINGS; sent += 1) {
      const rtt = await this.#ping();
      if (rtt !== undefined) rtts.push(rtt);
      await sleep(PING_EVERY_MS, undefined, { signal: ending });
    }
    return percentiles(rtts);
  }

  /** Round trips while bytes flow, from the end of the warm-up to the signal. */
  async #loaded(warmUpMs: number, signal: AbortSignal): Promise<number[]> {
    const rtts: number[] = [];
    const open = new Set<Promise<void>>();
    try {
      await sleep(warmUpMs, undefined, { signal });
      while (!signal.aborted) {
        if (open.size < MAX_PINGS) {
          const one: Promise<void> = this.#ping()
            .then((rtt) => void (rtt === undefined || rtts.push(rtt)))
            .catch(() => undefined)
            .finally(() => open.delete(one));
          open.add(one);
        }
        await sleep(LOADED_PING_EVERY_MS, undefined, { signal });
      }
    } catch {
      // The run is over.
    }
    await Promise.all(open);
    return rtts;
  }

  async #ping(): Promise<number | undefined> {
    try {
      return await this.#session.ping({ timeout: PING_TIMEOUT_MS });
    } catch (error) {
      if (error instanceof SttTimeoutError) return undefined;
      throw error;
    }
  }

  #tellIdle(rttMs: Percentiles): void {
    this.#output.result('idle', { rttMs }, `idle       ${inWords(rttMs)}`);
  }

  #tellRun(direction: Direction, here: Share, there: Share, rttMs: Percentiles): void {
    const up = direction === 'down' ? null : rateOf(there);
    const down = direction === 'up' ? null : rateOf(here);
    const cpuPercent = { here: round(here.cpuPercent), there: round(there.cpuPercent) };
    const packets = {
      sent: here.packetsSent + there.packetsSent,
      lost: here.packetsLost + there.packetsLost,
    };
    const rates = [
      ...(up === null ? [] : [`${direction === 'both' ? 'to ' : ''}${inBoth(up)}`]),
      ...(down === null ? [] : [`${direction === 'both' ? 'from ' : ''}${inBoth(down)}`]),
    ];
    this.#output.result(
      'run',
      {
        direction,
        seconds: round(here.ms / 1_000),
        bytesPerSecond: { up, down },
        cpuPercent,
        rttMs,
        packetsSent: packets.sent,
        packetsLost: packets.lost,
        transport: this.#session.transport,
      },
      [
        `${LABELS[direction]}  ${rates.join(', ')}`,
        `           ${inWords(rttMs)}`,
        `           CPU ${Math.round(cpuPercent.here)} % of a core here, ${Math.round(cpuPercent.there)} % there; ` +
          `${packets.lost} of ${packets.sent} packets lost and sent again`,
      ].join('\n'),
    );
  }

  #tellEnd(): void {
    const { transport } = this.#session;
    const mtu = this.#session.stats()?.mtu ?? null;
    const moves = this.#moves;
    this.#output.result(
      'bench',
      { transport, moves, mtu },
      `by ${nameOf(transport)}${mtu === null ? '' : `, datagrams of ${mtu} bytes`}${moves === 0 ? '' : `, after ${moves} moves`}`,
    );
  }
}

const LABELS: Readonly<Record<Direction, string>> = {
  up: 'to it    ',
  down: 'from it  ',
  both: 'both ways',
};

/** Bytes a second that came. */
function rateOf({ received, ms }: Share): number {
  return ms > 0 ? Math.round((received / ms) * 1_000) : 0;
}

/** In bytes, as files are measured, and in bits, as links are sold. */
function inBoth(bytesPerSecond: number): string {
  const bits = bytesPerSecond * 8;
  const sold =
    bits >= 1e9 ? `${(bits / 1e9).toFixed(2)} Gbit/s` : `${(bits / 1e6).toFixed(1)} Mbit/s`;
  return `${formatRate(bytesPerSecond)} (${sold})`;
}

function inWords(rtt: Percentiles): string {
  if (rtt.p50 === null) return 'no round trip came back';
  return `rtt min/p50/p90/p99/max ${Object.values(rtt).join('/')} ms`;
}

async function inTime<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => undefined);
  const over = new AbortController();
  const late = sleep(ANSWER_MS, undefined, { signal: AbortSignal.any([signal, over.signal]) }).then(
    () => {
      throw new CliError(
        ExitCode.Interrupted,
        `the peer said nothing for ${formatDuration(ANSWER_MS)}.`,
        'see what "stt bench --listen" says there.',
      );
    },
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
    late.catch(() => undefined);
  }
}

function gone(cause: Error): CliError {
  return new CliError(
    ExitCode.Interrupted,
    'the peer ended the session in the middle of it.',
    'start "stt bench --listen" there again.',
    { cause },
  );
}

function noBench(cause: Error): CliError {
  return new CliError(
    ExitCode.Interrupted,
    'whatever listens there takes no part in benches.',
    'run "stt bench --listen" there, in the place of what listens now.',
    { cause },
  );
}
