import { MultiBar, type SingleBar } from 'cli-progress';
import { barLine, shortened } from './bar-line.ts';
import type { OutputOptions } from './output.ts';
import { Meter, writeJson } from './output.ts';
import { barStream, drawsBars } from './terminal.ts';
import { formatClock, formatRate, formatSize } from './units.ts';

/** How often the lines change: on a terminal, elsewhere, and with `--json`. */
const BAR_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 2_000;
const JSON_INTERVAL_MS = 500;

/** How long a name may be where a line has to hold it. */
const LABEL = 32;

/** What a file costs beside its bytes, in bytes, where time is told: many small files take longer than one. */
const FILE_COST = 32 * 1024;

/** How much there is in all, or is done. */
export interface Totals {
  readonly files: number;
  readonly bytes: number;
}

/** One file of a tree. */
export interface FileProgress {
  /** So many bytes more. */
  add(bytes: number): void;
  /** Nothing more comes of it. */
  end(): void;
}

interface Active {
  readonly name: () => string;
  readonly meter: Meter;
  done: number;
  bar?: SingleBar | undefined;
}

/** Progress of a whole tree, and of each of the files that are on their way. */
export class TreeProgress {
  readonly #label: string;
  readonly #options: OutputOptions;
  readonly #totals: Totals;
  readonly #meter: Meter;
  readonly #work: Meter;
  readonly #active = new Set<Active>();
  readonly #bars: MultiBar | undefined;
  readonly #whole: SingleBar | undefined;
  readonly #interval: number;
  #bytes: number;
  #files: number;
  #last = performance.now();

  constructor(label: string, totals: Totals, base: Totals, options: OutputOptions) {
    this.#label = label;
    this.#options = options;
    this.#totals = totals;
    this.#bytes = base.bytes;
    this.#files = base.files;
    this.#meter = new Meter(totals.bytes, base.bytes);
    this.#work = new Meter(workOf(totals), workOf(base));
    const person = !options.json && !options.quiet;
    if (person && drawsBars()) {
      this.#bars = new MultiBar({
        format: barLine(true),
        stream: barStream(),
        hideCursor: true,
        clearOnComplete: false,
        gracefulExit: false,
        fps: 1_000 / BAR_INTERVAL_MS,
      });
      this.#whole = this.#bars.create(Math.max(totals.bytes, 1), base.bytes, this.#wholePayload());
    }
    this.#interval = options.json
      ? JSON_INTERVAL_MS
      : this.#bars === undefined
        ? PLAIN_INTERVAL_MS
        : BAR_INTERVAL_MS;
  }

  /** A file begins: `base` of its bytes are there already. */
  file(name: () => string, size: number, base: number): FileProgress {
    const active: Active = { name, meter: new Meter(size, base), done: base };
    this.#active.add(active);
    this.#bytes += base;
    return {
      add: (bytes) => {
        active.done += bytes;
        this.#bytes += bytes;
        this.#show();
      },
      end: () => {
        if (!this.#active.delete(active)) return;
        if (active.done >= size) this.#files += 1;
        if (active.bar !== undefined) this.#bars?.remove(active.bar);
        this.#show();
      },
    };
  }

  stop(): void {
    for (const { bar } of this.#active) if (bar !== undefined) this.#bars?.remove(bar);
    this.#active.clear();
    this.#whole?.update(this.#bytes, this.#wholePayload());
    this.#bars?.stop();
  }

  #show(): void {
    const now = performance.now();
    if (now - this.#last < this.#interval) return;
    this.#last = now;
    if (this.#options.json) this.#showJson();
    else if (this.#bars !== undefined) this.#showBars();
    else if (!this.#options.quiet) this.#showPlain();
  }

  #showJson(): void {
    const eta = this.#left();
    writeJson('progress', {
      name: this.#label,
      bytes: this.#bytes,
      total: this.#totals.bytes,
      files: this.#files,
      totalFiles: this.#totals.files,
      bytesPerSecond: Math.round(this.#meter.rate(this.#bytes)),
      ...(Number.isFinite(eta) ? { secondsLeft: Math.round(eta) } : {}),
      active: [...this.#active].map(({ name, meter, done }) => ({
        name: name(),
        bytes: done,
        total: meter.total,
        bytesPerSecond: Math.round(meter.rate(done)),
      })),
    });
  }

  #showPlain(): void {
    const { bytes, files } = this.#totals;
    const share = bytes === 0 ? 100 : Math.floor((this.#bytes / bytes) * 100);
    process.stderr.write(
      `${this.#label}: ${this.#files} of ${files} files, ${formatSize(this.#bytes)} of ${formatSize(bytes)} (${share} %), ${formatRate(this.#meter.rate(this.#bytes))}, ${formatClock(this.#left())} left\n`,
    );
  }

  #showBars(): void {
    this.#whole?.update(this.#bytes, this.#wholePayload());
    for (const active of this.#active) {
      const { meter, done } = active;
      // What is gone before it can be read has no line of its own.
      active.bar ??= this.#bars?.create(Math.max(meter.total ?? 1, 1), done, {
        label: short(active.name()),
        ...payload(meter, done),
      });
      active.bar?.update(done, payload(meter, done));
    }
  }

  #wholePayload(): Record<string, string> {
    const label = `${this.#label} ${this.#files}/${this.#totals.files}`;
    return {
      label: short(label),
      ...payload(this.#meter, this.#bytes),
      left: formatClock(this.#left()),
    };
  }

  /** Seconds. */
  #left(): number {
    return this.#work.eta(workOf({ files: this.#files, bytes: this.#bytes }));
  }
}

function workOf({ files, bytes }: Totals): number {
  return bytes + files * FILE_COST;
}

function payload(meter: Meter, done: number): Record<string, string> {
  return {
    size: formatSize(done),
    rate: formatRate(meter.rate(done)),
    left: formatClock(meter.eta(done)),
  };
}

function short(name: string): string {
  return shortened(name, LABEL).padEnd(LABEL);
}
