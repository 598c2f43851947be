import type { SttListener, SttSession } from '../../index.ts';
import { ExitCode, exitCodeOf } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { counted, formatDuration, formatPace } from '../units.ts';
import { Desk } from './desk.ts';
import type { Collision } from './files.ts';
import type { Received } from './receive.ts';
import { NothingOfferedError, receive } from './receive.ts';
import { Busy, SuspendedError } from './refusal.ts';
import type { Sink } from './stdout-part.ts';
import type { TreeReceived } from './tree/receive.ts';

/** What a receiver takes, and how long it waits. */
export interface InboxOptions {
  readonly folder: string;
  readonly collision: Collision;
  /** Largest file that is taken, in bytes. */
  readonly maxSize: number;
  /** Any number of files, or one. */
  readonly forever: boolean;
  /** Milliseconds that an unfinished transfer is waited for. */
  readonly resumeTimeout: number;
  readonly output: Output;
  /** Takes the place of the folder where one file goes to stdout. */
  readonly sink?: Sink | undefined;
}

/** How long a session may take to say goodbye once its file is there, or was refused. */
const CLOSE_TIMEOUT_MS = 5_000;

/** How long a receiver whose file is whole waits for a sender that may not know. */
const UNSURE_MS = 60_000;

/** Receives from every session that comes, and knows when that is enough. */
export class Inbox {
  readonly #options: InboxOptions;
  readonly #desk: Desk;
  readonly #tasks = new Set<Promise<void>>();
  /** What was reported, with its hash; a sender that did not hear of it brings it again. */
  readonly #reported = new Map<string, string>();
  /** Sessions that each unfinished transfer has had. */
  readonly #breaks = new Map<string, number>();
  #finish!: { resolve: () => void; reject: (error: unknown) => void };
  readonly #finished: Promise<void>;
  #patience: NodeJS.Timeout | undefined;
  #progress: { bytes: number; until: number } | undefined;
  #draining: { reason: unknown } | undefined;
  #ended = false;

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#desk = new Desk(!options.forever);
    this.#finished = new Promise((resolve, reject) => (this.#finish = { resolve, reject }));
    this.#finished.catch(() => undefined);
  }

  /** Serves until all that was asked for is done, or cannot be. Sessions may still be open then. */
  async serve(sessions: SttListener): Promise<void> {
    const accepting = this.#accept(sessions);
    try {
      await Promise.race([this.#finished, accepting.then(() => this.#finished)]);
    } finally {
      clearTimeout(this.#patience);
      this.#ended = true;
      sessions.close();
    }
  }

  /** Resolves once no session is served any more: every part is closed, or kept. */
  async idle(): Promise<void> {
    await Promise.all(this.#tasks);
  }

  /** Nothing more begins; ends with `reason` once nothing is under way. */
  drain(reason: unknown): void {
    this.#desk.close();
    this.#draining = { reason };
    this.#endIfDrained();
  }

  /** Ends with `reason`, whatever is under way. */
  end(reason: unknown): void {
    this.#ended = true;
    this.#desk.abandon();
    this.#finish.reject(reason);
  }

  #endIfDrained(): void {
    if (this.#draining !== undefined && this.#desk.size === 0) this.end(this.#draining.reason);
  }

  async #accept(sessions: AsyncIterable<SttSession>): Promise<void> {
    for await (const session of sessions) {
      const task: Promise<void> = this.#receive(session).finally(() => {
        this.#tasks.delete(task);
        this.#endIfDrained();
      });
      this.#tasks.add(task);
    }
  }

  async #receive(session: SttSession): Promise<void> {
    const { output, forever } = this.#options;
    output.detail(`session ${session.id} with node ${session.peerNodeId}`);
    try {
      const received = await receive(session, { ...this.#options, desk: this.#desk });
      this.#report(received, session);
      if (forever) {
        await session.settled;
      } else if (received.acknowledged) {
        await session.settled;
        this.#finish.resolve();
      } else {
        this.#wait(UNSURE_MS, () => this.#finish.resolve());
      }
    } catch (error) {
      await this.#onFailure(error, session);
    }
  }

  async #onFailure(error: unknown, session: SttSession): Promise<void> {
    const { output, forever } = this.#options;
    // A refusal is told on the stream; it must arrive before the session ends.
    await session.close({ timeout: CLOSE_TIMEOUT_MS }).catch(() => undefined);
    if (this.#ended) return;
    if (error instanceof SuspendedError) {
      this.#suspend(error);
    } else if (error instanceof NothingOfferedError || error instanceof Busy) {
      // Neither is this command's end: somebody looked in, or came at a bad time.
      output.note(error.message);
    } else if (forever) {
      output.failure(error, exitCodeOf(error));
    } else {
      this.#finish.reject(error);
    }
  }

  #suspend(error: SuspendedError): void {
    const { output, forever, resumeTimeout } = this.#options;
    const { key, file: name, bytes } = error;
    this.#breaks.set(key, (this.#breaks.get(key) ?? 0) + 1);
    output.event('suspended', { name, bytes });
    output.note(`${error.message}; waiting for its sender to return`);
    if (forever) return;
    // A sender that comes and goes without bringing anything is not waited for again and again.
    const now = performance.now();
    if (this.#progress === undefined || bytes > this.#progress.bytes)
      this.#progress = { bytes, until: now + resumeTimeout };
    this.#wait(Math.max(0, this.#progress.until - now), () =>
      this.#finish.reject(
        new CliError(
          ExitCode.Interrupted,
          `${error.message}, and its sender did not return within ${formatDuration(resumeTimeout)}.`,
          'what came is kept for a week: run the same command again, and "stt send" there.',
          { cause: error },
        ),
      ),
    );
  }

  /** Acts after a time in which the sender does not come back. */
  #wait(milliseconds: number, act: () => void): void {
    clearTimeout(this.#patience);
    // A session that serves the transfer decides itself; the next break waits anew.
    this.#patience = setTimeout(
      () => (this.#desk.size === 0 ? act() : undefined),
      Math.min(milliseconds, this.#options.resumeTimeout),
    );
  }

  #report(received: Received | TreeReceived, session: SttSession): void {
    const { key, sha256 } = received;
    if (this.#reported.get(key) === sha256) return;
    if (!received.acknowledged) this.#reported.set(key, sha256);
    if ('files' in received) this.#reportTree(received, session);
    else this.#reportFile(received, session);
  }

  /** How often a transfer was broken off, now that it is over. */
  #takeBreaks(key: string): number {
    const breaks = this.#breaks.get(key) ?? 0;
    this.#breaks.delete(key);
    return breaks;
  }

  #reportFile(received: Received, session: SttSession): void {
    const { name, bytes, sha256, seconds, resumedFrom, bytesByCarrier, key } = received;
    const reconnects = this.#takeBreaks(key);
    this.#options.output.result(
      'received',
      {
        name,
        bytes,
        sha256,
        verified: true,
        seconds,
        peerNodeId: session.peerNodeId,
        sessionId: session.id,
        transport: session.transport,
        bytesByCarrier,
        resumedFrom,
        reconnects,
      },
      `received ${name}: ${formatPace(bytes, resumedFrom, seconds)}\nsha256 ${sha256}`,
    );
  }

  #reportTree(received: TreeReceived, session: SttSession): void {
    const { names, files, folders, links, missing, bytes, sha256, seconds, key } = received;
    const reconnects = this.#takeBreaks(key);
    const lost =
      missing === 0 ? '' : `; ${counted(missing, 'file')} could not be read at the sender`;
    this.#options.output.result(
      'received',
      {
        name: names.join(', '),
        names,
        files,
        folders,
        links,
        missing,
        bytes,
        sha256,
        verified: true,
        seconds,
        peerNodeId: session.peerNodeId,
        sessionId: session.id,
        transport: session.transport,
        bytesByCarrier: received.bytesByCarrier,
        resumedFrom: received.resumedFrom,
        resumedFiles: received.resumedFiles,
        reconnects,
      },
      `received ${names.join(', ')}: ${counted(files, 'file')} in ${counted(folders, 'folder')}, ${formatPace(bytes, received.resumedFrom, seconds)}${lost}\nsha256 ${sha256}`,
    );
  }
}
