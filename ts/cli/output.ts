import { SingleBar } from 'cli-progress';
import { barLine } from './bar-line.ts';
import type { FailureReport } from './failure.ts';
import { describeFailure } from './failure.ts';
import type { ResolvedPeer } from './peers/resolve.ts';
import { barStream, drawsBars } from './terminal.ts';
import type { Totals } from './tree-progress.ts';
import { TreeProgress } from './tree-progress.ts';
import { formatClock, formatRate, formatSize } from './units.ts';

/** What the options common to all commands say about output. */
export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly color: boolean;
  /** Where results go: stdout, but for a command whose stdout is taken by what it receives. */
  readonly results?: NodeJS.WritableStream;
}

/** How often a progress line is printed where there is no terminal. */
const PLAIN_INTERVAL_MS = 2_000;
/** How often a progress object is printed with `--json`. */
const JSON_INTERVAL_MS = 500;

/**
 * All that a command says. Results go to stdout, all else to stderr; with `--json` every result is
 * one object a line.
 */
export class Output {
  readonly options: OutputOptions;
  #to: ResolvedPeer | undefined;

  constructor(options: OutputOptions) {
    this.options = options;
  }

  /** From here on failures are told in words for whoever calls that peer. */
  calls(to: ResolvedPeer): void {
    this.#to = to;
  }

  /** What to say of a failure. */
  describe(error: unknown): FailureReport {
    return describeFailure(error, this.#to);
  }

  /** A result: `text` for a person, `fields` for a program. */
  result(event: string, fields: Record<string, unknown>, text: string): void {
    if (this.options.json) writeJson(event, fields);
    else (this.options.results ?? process.stdout).write(`${text}\n`);
  }

  /** What happened on the way, for a program alone; a person reads it in a note. */
  event(event: string, fields: Record<string, unknown>): void {
    if (this.options.json) writeJson(event, fields);
  }

  /** A remark for a person; silent with `--quiet` and `--json`. */
  note(text: string): void {
    if (!this.options.quiet && !this.options.json) process.stderr.write(`${text}\n`);
  }

  /** A remark that only `--verbose` shows. */
  detail(text: string): void {
    if (this.options.verbose) process.stderr.write(`${text}\n`);
  }

  /** The failure that ends the command, or one transfer of `recv --forever`. */
  failure(error: unknown, exitCode: number): void {
    const report = this.describe(error);
    if (this.options.json) {
      const { headline, ...rest } = report;
      writeJson('error', { ...rest, message: headline, exitCode });
    }
    const [red, plain] =
      this.options.color && process.stderr.isTTY ? ['\u001b[31m', '\u001b[0m'] : ['', ''];
    process.stderr.write(`${red}${report.headline}${plain}\nTry: ${report.hint}\n`);
  }

  /**
   * Progress of one transfer; `total` is undefined when nobody knows it, and `base` is what was there before:
   * it counts as done and not for the rate.
   */
  progress(label: string, total: number | undefined, base = 0): Progress {
    const meter = new Meter(total, base);
    if (this.options.json) return new JsonProgress(label, meter);
    if (this.options.quiet) return new SilentProgress();
    if (drawsBars()) return new BarProgress(label, meter);
    return new PlainProgress(label, meter);
  }

  /** Progress of many files at once; `base` is what was there before. */
  tree(label: string, totals: Totals, base: Totals): TreeProgress {
    return new TreeProgress(label, totals, base, this.options);
  }
}

/** A running total of bytes, shown while it grows. */
export interface Progress {
  /** Bytes done so far. */
  update(done: number): void;
  stop(): void;
}

/** One line for a program. */
export function writeJson(event: string, fields: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ schema: 1, event, ...fields })}\n`);
}

class SilentProgress implements Progress {
  update(): void {}
  stop(): void {}
}

/** Rate and time left of what grows to a total. */
export class Meter {
  readonly #start = performance.now();
  readonly total: number | undefined;
  readonly base: number;

  constructor(total: number | undefined, base: number) {
    this.total = total;
    this.base = base;
  }

  seconds(): number {
    return (performance.now() - this.#start) / 1_000;
  }

  rate(done: number): number {
    const seconds = this.seconds();
    return seconds > 0 ? (done - this.base) / seconds : 0;
  }

  eta(done: number): number {
    const rate = this.rate(done);
    return this.total === undefined || rate === 0
      ? Number.POSITIVE_INFINITY
      : (this.total - done) / rate;
  }
}

class JsonProgress implements Progress {
  readonly #label: string;
  readonly #meter: Meter;
  #last = 0;

  constructor(label: string, meter: Meter) {
    this.#label = label;
    this.#meter = meter;
  }

  update(done: number): void {
    const now = performance.now();
    if (now - this.#last < JSON_INTERVAL_MS) return;
    this.#last = now;
    const total = this.#meter.total;
    writeJson('progress', {
      name: this.#label,
      bytes: done,
      ...(total === undefined ? {} : { total }),
      bytesPerSecond: Math.round(this.#meter.rate(done)),
    });
  }

  stop(): void {}
}

class PlainProgress implements Progress {
  readonly #label: string;
  readonly #meter: Meter;
  #last = performance.now();

  constructor(label: string, meter: Meter) {
    this.#label = label;
    this.#meter = meter;
  }

  update(done: number): void {
    const now = performance.now();
    if (now - this.#last < PLAIN_INTERVAL_MS) return;
    this.#last = now;
    const { total } = this.#meter;
    const share =
      total === undefined || total === 0
        ? ''
        : ` of ${formatSize(total)} (${Math.floor((done / total) * 100)} %)`;
    process.stderr.write(
      `${this.#label}: ${formatSize(done)}${share}, ${formatRate(this.#meter.rate(done))}, ${formatClock(this.#meter.eta(done))} left\n`,
    );
  }

  stop(): void {}
}

class BarProgress implements Progress {
  readonly #bar: SingleBar;
  readonly #meter: Meter;
  #done = 0;

  constructor(label: string, meter: Meter) {
    this.#meter = meter;
    const { total, base } = meter;
    this.#done = base;
    this.#bar = new SingleBar({
      format: barLine(total !== undefined),
      stream: barStream(),
      hideCursor: true,
      clearOnComplete: false,
      gracefulExit: false,
    });
    this.#bar.start(Math.max(total ?? 1, 1), total === undefined ? 0 : base, {
      label,
      ...this.#payload(base),
    });
  }

  update(done: number): void {
    this.#done = done;
    this.#bar.update(this.#meter.total === undefined ? 0 : done, this.#payload(done));
  }

  stop(): void {
    this.update(this.#done);
    this.#bar.stop();
  }

  #payload(done: number): Record<string, string> {
    return {
      size: formatSize(done),
      rate: formatRate(this.#meter.rate(done)),
      left: formatClock(this.#meter.eta(done)),
    };
  }
}
