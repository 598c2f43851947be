import type { WaitOptions } from '../async.ts';
import { checkWait, Waiter } from '../async.ts';
import type { FaultPlace } from '../errors/fault.ts';
import { faultToError } from '../errors/fault.ts';
import { SttOptionError } from '../errors/local.ts';
import type { Engine, Fault } from '../native/engine.ts';
import { checkNumber } from '../options.ts';
import type { SttStream } from '../stream.ts';
import type { Batch } from './reader.ts';

/** How a stream is opened. */
export interface StreamOptions extends WaitOptions {
  /**
   * A label that tells the peer what the stream is for, at most 255 bytes of UTF-8.
   * @default ''
   */
  readonly purpose?: string;
  /**
   * An id of the application's own choice, 0 to 2^32 - 1, never used before in this session by
   * either side; both see it as `stream.name`.
   * @default none: ids are assigned
   */
  readonly id?: number;
  /**
   * 0 (urgent) to 7 (background): streams of a lower number send first.
   * @default 3
   */
  readonly priority?: number;
  /**
   * Milliseconds after which bytes are given up instead of being sent, or sent again: both ways, on both
   * sides. The reader learns of every gap, see {@link Batch.gap}.
   * @default none: every byte arrives, however late
   */
  readonly deadline?: number;
  /**
   * At the peer's limit, waits for a stream to end instead of failing with 0x0302.
   * @default false
   */
  readonly waitUntilAvailable?: boolean;
}

/** The same, checked and with its defaults. */
export interface ResolvedStreamOptions {
  readonly purpose: string;
  readonly id: number | undefined;
  readonly priority: number;
  readonly deadline: number | undefined;
  readonly waitUntilAvailable: boolean;
  readonly wait: WaitOptions;
}

/** Codes for a stream whose opener stopped waiting for it. */
const ABANDONED = 0;
const TOO_MANY_STREAMS = 0x0302;
const DEFAULT_PRIORITY = 3;
const MAX_PURPOSE = 255;
/** A day: older bytes are of no use to anybody who asks for a deadline. */
const MAX_DEADLINE = 86_400_000;
const NAMES = ['purpose', 'id', 'priority', 'deadline', 'waitUntilAvailable', 'timeout', 'signal'];

/** Checks what a caller gave. */
export function checkStreamOptions(options: StreamOptions): ResolvedStreamOptions {
  if (typeof options !== 'object' || options === null) {
    throw new SttOptionError('options', 'must be an object');
  }
  for (const name of Object.keys(options)) {
    if (!NAMES.includes(name))
      throw new SttOptionError(name, 'is no option of a stream in this version');
  }
  const { purpose = '', id, priority = DEFAULT_PRIORITY, deadline } = options;
  const { waitUntilAvailable = false } = options;
  if (typeof purpose !== 'string' || Buffer.byteLength(purpose) > MAX_PURPOSE) {
    throw new SttOptionError('purpose', `must be a string of at most ${MAX_PURPOSE} bytes`);
  }
  if (id !== undefined) checkNumber('id', id, [0, 0xffff_ffff]);
  checkNumber('priority', priority, [0, 7]);
  if (deadline !== undefined) checkNumber('deadline', deadline, [1, MAX_DEADLINE]);
  return { purpose, id, priority, deadline, waitUntilAvailable, wait: checkWait(options) };
}

type OpenDirection = 'bidirectional' | 'send';

interface Opening {
  readonly direction: OpenDirection;
  readonly options: ResolvedStreamOptions;
  readonly waiter: Waiter<SttStream>;
  /** The attempt under way; undefined while it waits for room. */
  attempt: { readonly number: number; readonly stream: SttStream } | undefined;
}

/** What the opener needs of its session. */
export interface OpenerHost {
  place(): FaultPlace;
  create(number: number, direction: OpenDirection, options: ResolvedStreamOptions): SttStream;
  drop(number: number, stream: SttStream): void;
}

/** Opens streams and, where asked, waits for the peer to admit them, in order. */
export class StreamOpener {
  readonly #engine: Engine;
  readonly #session: number;
  readonly #host: OpenerHost;
  readonly #attempts = new Map<number, Opening>();
  #queued: Opening[] = [];

  constructor(engine: Engine, session: number, host: OpenerHost) {
    this.#engine = engine;
    this.#session = session;
    this.#host = host;
  }

  open(direction: OpenDirection, options: ResolvedStreamOptions): Promise<SttStream> {
    const opening: Opening = {
      direction,
      options,
      attempt: undefined,
      waiter: new Waiter<SttStream>(
        options.wait,
        'Opening a stream',
        (error) => {
          this.#abandon(opening);
          return error;
        },
        () => this.#host.place().context,
      ),
    };
    if (!opening.waiter.settled) this.#attempt(opening);
    return opening.waiter.promise;
  }

  /** The stream is open; undefined when nobody waits for it any more. */
  onOpened(number: number, id: number): SttStream | undefined {
    const opening = this.#attempts.get(number);
    this.#attempts.delete(number);
    const stream = opening?.attempt?.stream;
    stream?.onOpened(id);
    if (stream !== undefined) opening?.waiter.resolve(stream);
    return stream;
  }

  onOpenFailed(number: number, fault: Fault): void {
    const opening = this.#attempts.get(number);
    this.#attempts.delete(number);
    if (opening?.attempt === undefined) return;
    const { stream } = opening.attempt;
    opening.attempt = undefined;
    this.#host.drop(number, stream);
    if (fault.code === TOO_MANY_STREAMS && opening.options.waitUntilAvailable) {
      this.#queued.push(opening);
      return;
    }
    const error = faultToError(fault, { ...this.#host.place(), name: opening.options.id });
    stream.fail(error);
    opening.waiter.reject(error);
  }

  /** The peer admits more streams of a kind: those that wait try again. */
  onAvailable(direction: OpenDirection): void {
    const ready = this.#queued.filter((opening) => opening.direction === direction);
    this.#queued = this.#queued.filter((opening) => opening.direction !== direction);
    for (const opening of ready) this.#attempt(opening);
  }

  fail(error: unknown): void {
    for (const opening of this.#attempts.values()) opening.waiter.reject(error);
    for (const opening of this.#queued.splice(0)) opening.waiter.reject(error);
    this.#attempts.clear();
  }

  #attempt(opening: Opening): void {
    const { purpose, id, priority, deadline } = opening.options;
    const number = this.#engine.openStream(this.#session, {
      unidirectional: opening.direction === 'send',
      purpose,
      priority,
      ...(id === undefined ? {} : { name: id }),
      ...(deadline === undefined ? {} : { deadline }),
    });
    const stream = this.#host.create(number, opening.direction, opening.options);
    opening.attempt = { number, stream };
    this.#attempts.set(number, opening);
  }

  #abandon(opening: Opening): void {
    this.#queued = this.#queued.filter((other) => other !== opening);
    if (opening.attempt === undefined) return;
    const { number, stream } = opening.attempt;
    this.#attempts.delete(number);
    stream.reset(ABANDONED);
    if (opening.direction === 'bidirectional') stream.stop(ABANDONED);
  }
}
