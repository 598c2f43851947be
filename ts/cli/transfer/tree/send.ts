import { createHash } from 'node:crypto';
import type { SttSession, SttStream } from '../../../index.ts';
import { ExitCode, systemCode } from '../../exit-codes.ts';
import { CliError } from '../../failure.ts';
import type { Output } from '../../output.ts';
import type { FileProgress, TreeProgress } from '../../tree-progress.ts';
import { ByteReader } from '../byte-reader.ts';
import { encodeMessage, writeMessage } from '../messages.ts';
import { quote } from '../names.ts';
import { declinedError, ReceiverBusyError, receiptError } from '../send.ts';
import { FileReading } from '../source.ts';
import { Digests } from './digests.ts';
import { GATHER, Lane } from './lane.ts';
import type { Entry } from './manifest.ts';
import type { Agreed, TreeAnswer, TreeReceipt } from './messages.ts';
import {
  LANE_PURPOSE,
  LANES,
  MAX_CHUNK,
  readHave,
  readMarks,
  readTreeAnswer,
  readTreeReceipt,
  SMALL,
  writeManifest,
} from './messages.ts';
import { inParallel } from './parallel.ts';
import type { Skipped, Tree } from './scan.ts';

/** What one `stt send` of folders or several files knows over all of its sessions. */
export interface TreeSending {
  readonly tree: Tree;
  /** 32 hex digits, the same for the same paths. */
  readonly transfer: string;
  /** What it is called where progress is shown. */
  readonly label: string;
  /** Whether to go on with what stands there. */
  readonly resume: boolean;
  readonly output: Output;
  /** Kept while it goes on. */
  readonly state: TreeState;
}

/** How far it has come. */
export interface TreeState {
  /** Whether there was a session at all. */
  met: boolean;
  /** Whether a receiver has taken the offer. */
  begun: boolean;
  /** Bytes that were there, or were written, in the last session; and the most ever. */
  position: number;
  best: number;
  /** When it last came on, as `performance.now()` tells it. */
  advanced: number;
  /** Bytes of files that were written to streams, those sent twice included. */
  bytesSent: number;
}

/** A tree that the receiver has whole and verified. */
export interface TreeSent {
  /** The names that the receiver gave to what was named here. */
  readonly names: readonly string[];
  readonly sha256: string;
  readonly seconds: number;
  /** Files, and bytes, that stood there when the last session began. */
  readonly resumedFiles: number;
  readonly resumedFrom: number;
  /** What could not be read. */
  readonly failed: readonly Skipped[];
}

/**
 * Sends a tree, or what is missing of it, over one session, and waits for the receipt.
 *
 * @param stream has the purpose `TREE_PURPOSE`.
 * @param signal aborts when the session has ended, or the command does.
 * @throws {CliError} when the receiver declines, cannot store it, or reports another hash.
 * @throws {SttError} when the session ends before the receipt.
 */
export async function sendTree(
  stream: SttStream,
  session: SttSession,
  sending: TreeSending,
  signal: AbortSignal,
): Promise<TreeSent> {
  const { manifest } = sending.tree;
  const reader = new ByteReader(stream.batches());
  const answer = await offer(stream, reader, sending);
  if (!answer.accept) {
    if (answer.busy) throw new ReceiverBusyError(answer.why);
    throw declinedError(answer.why);
  }
  sending.state.begun = true;
  const run = new Run(session, sending, signal);
  const have =
    answer.complete === null ? await readHave(reader, manifest.count('file')) : undefined;
  const agreed = await run.verify(have);
  const receiving = readTreeReceipt(reader);
  receiving.catch(() => undefined);
  try {
    await writeMessage(stream, agreed);
    if (have !== undefined) await Promise.race([run.lanes(), refused(receiving)]);
    await writeMessage(stream, { failed: run.failed.length });
    const [receipt] = await Promise.all([receiving, stream.end()]);
    if (!receipt.ok) throw receiptError(receipt);
    return run.sent(receipt);
  } catch (error) {
    const receipt = error instanceof CliError ? undefined : await receiving.catch(() => undefined);
    throw receipt?.ok === false ? receiptError(receipt) : error;
  } finally {
    await run.stop();
  }
}

async function offer(
  stream: SttStream,
  reader: ByteReader,
  { tree, transfer, resume }: TreeSending,
): Promise<TreeAnswer> {
  try {
    await writeMessage(stream, { transfer, resume });
    await writeManifest(stream, tree.manifest);
  } catch (error) {
    // A receiver that has read enough of it says why before it stops us.
    throw (await readTreeAnswer(reader).then(declined, () => undefined)) ?? error;
  }
  return readTreeAnswer(reader);
}

function declined(answer: TreeAnswer): CliError | undefined {
  if (answer.accept) return undefined;
  if (answer.busy) return new ReceiverBusyError(answer.why);
  return declinedError(answer.why);
}

/** Never resolves; rejects as soon as the receiver says that it cannot keep the tree. */
async function refused(receiving: Promise<TreeReceipt>): Promise<never> {
  const receipt = await receiving;
  if (!receipt.ok) throw receiptError(receipt);
  throw new CliError(
    ExitCode.Interrupted,
    'the receiver says that all is there before all was sent.',
    'install the same version of stt on both machines.',
  );
}

/** One session's part in the transfer. */
class Run {
  readonly failed: Skipped[] = [];
  readonly #session: SttSession;
  readonly #sending: TreeSending;
  readonly #signal: AbortSignal;
  readonly #digests: Digests;
  readonly #streams: SttStream[] = [];
  readonly #started = performance.now();
  #queue: number[] = [];
  #next = 0;
  #running: Promise<unknown> = Promise.resolve();
  #progress: TreeProgress | undefined;
  #resumed = { files: 0, bytes: 0 };
  #stopped = false;

  constructor(session: SttSession, sending: TreeSending, signal: AbortSignal) {
    this.#session = session;
    this.#sending = sending;
    this.#signal = signal;
    this.#digests = new Digests(sending.tree.manifest.entries.length);
  }

  /** Compares what stands there with what is here, and returns what is the same; with nothing, all of it should stand there. */
  async verify(have: ReadonlyMap<number, string> | undefined): Promise<Agreed> {
    const { tree, output, label, state } = this.#sending;
    const { entries } = tree.manifest;
    const files = [...entries.keys()].filter((index) => entries[index]?.kind === 'file');
    state.position = 0;
    await inParallel(files, LANES, async (index) => {
      const told = have?.get(index);
      if (have !== undefined && told === undefined) return;
      const sha256 = await this.#hash(index);
      // Reading is no progress to the other side, but it takes its time.
      state.advanced = performance.now();
      // All stands there but what could not be read before, and there are no lanes to find that out.
      if (sha256 === undefined && have === undefined) this.#fail(index, unreadable());
      if (sha256 === undefined || (told !== undefined && told !== sha256)) return;
      this.#digests.set(index, sha256);
      const { size } = entries[index] as Entry;
      this.#resumed.files += 1;
      this.#resumed.bytes += size;
      this.#advance(size, 0);
    });
    this.#queue = files.filter((index) => !this.#digests.has(index));
    const { files: count, bytes } = this.#resumed;
    if (count > 0) {
      output.event('resumed', { name: label, files: count, offset: bytes });
      output.note(`${label}: ${count} of ${files.length} files are there already`);
    }
    const totals = { bytes: tree.manifest.bytes, files: files.length };
    this.#progress = output.tree(label, totals, { files: count, bytes });
    return { files: count, bytes };
  }

  /** Sends what is missing, on several streams. */
  async lanes(): Promise<void> {
    const count = Math.min(LANES, this.#queue.length);
    const lanes = Array.from({ length: count }, () => this.#lane());
    this.#running = Promise.allSettled(lanes);
    await Promise.all(lanes);
  }

  /** Ends what may still be under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const stream of this.#streams) stream.reset(0);
    await this.#running;
    this.#progress?.stop();
  }

  sent({ names, sha256 }: Extract<TreeReceipt, { ok: true }>): TreeSent {
    const { tree, label } = this.#sending;
    if (this.#digests.total(tree.manifest.digest()) !== sha256)
      throw new CliError(
        ExitCode.HashMismatch,
        `${quote(label)}: the receiver stored other bytes than are here.`,
        'run the same command again; if it happens twice, check the disks and memory of both machines.',
      );
    return {
      names,
      sha256,
      seconds: (performance.now() - this.#started) / 1_000,
      resumedFiles: this.#resumed.files,
      resumedFrom: this.#resumed.bytes,
      failed: this.failed,
    };
  }

  async #lane(): Promise<void> {
    const stream = await this.#session.createBidirectionalStream({
      purpose: LANE_PURPOSE,
      waitUntilAvailable: true,
    });
    this.#streams.push(stream);
    const lane = new Lane(stream);
    for (;;) {
      const index = this.#queue[this.#next];
      if (index === undefined || this.#stopped) break;
      this.#next += 1;
      this.#signal.throwIfAborted();
      const { size } = this.#sending.tree.manifest.entries[index] as Entry;
      await (size > SMALL ? this.#long(lane, index, size) : this.#short(lane, index, size));
    }
    await lane.end();
  }

  /** A short file is read whole before anything is said of it. */
  async #short(lane: Lane, index: number, size: number): Promise<void> {
    const bytes = await this.#sending.tree
      .read(index, size)
      .catch((error: unknown) => this.#fail(index, error));
    if (bytes === undefined) return lane.failed(index);
    const progress = this.#file(index, size, 0);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    lane.add(encodeMessage({ file: index }));
    for (let at = 0; at < size; at += MAX_CHUNK) lane.chunk(bytes.subarray(at, at + MAX_CHUNK));
    lane.last({ sha256 });
    await lane.flush(GATHER);
    this.#digests.set(index, sha256);
    this.#advance(size, size);
    progress?.add(size);
    progress?.end();
  }

  async #long(lane: Lane, index: number, size: number): Promise<void> {
    const file = await this.#sending.tree
      .open(index)
      .catch((error: unknown) => this.#fail(index, error));
    if (file === undefined) return lane.failed(index);
    let progress: FileProgress | undefined;
    try {
      const reading = new FileReading(file, size, 0);
      lane.add(encodeMessage({ file: index }));
      await lane.flush();
      const marks = await readMarks(lane.reader);
      const { offset, hash } = await reading.match(this.#sending.resume ? marks : [], this.#signal);
      lane.add(encodeMessage({ offset }));
      this.#advance(offset, 0);
      this.#resumed.bytes += offset;
      if (offset > 0) this.#sending.output.event('resumed', { name: this.#path(index), offset });
      progress = this.#file(index, size, offset);
      let position = offset;
      const bytes = reading.bytes(offset)[Symbol.asyncIterator]();
      for (;;) {
        const step = await bytes.next().catch((error: unknown) => this.#fail(index, error));
        if (step === undefined || step.done === true) break;
        const { value } = step;
        lane.chunk(value);
        hash.update(value);
        await lane.flush();
        this.#signal.throwIfAborted();
        position += value.length;
        this.#advance(value.length, value.length);
        progress?.add(value.length);
      }
      if (position === size) {
        const sha256 = hash.digest('hex');
        lane.last({ sha256 });
        this.#digests.set(index, sha256);
      } else {
        if (this.failed.at(-1)?.path !== this.#path(index)) this.#fail(index, shrank());
        lane.last({ failed: true });
      }
      await lane.flush(GATHER);
    } finally {
      progress?.end();
      await file.close().catch(() => undefined);
    }
  }

  /** The hash of a file as it is here now; undefined if it cannot be read, or is shorter by now. */
  async #hash(index: number): Promise<string | undefined> {
    const { size } = this.#sending.tree.manifest.entries[index] as Entry;
    const file = await this.#sending.tree.open(index).catch(() => undefined);
    if (file === undefined) return undefined;
    try {
      const hash = createHash('sha256');
      let position = 0;
      for await (const chunk of new FileReading(file, size, 0).bytes(0)) {
        this.#signal.throwIfAborted();
        hash.update(chunk);
        position += chunk.length;
        this.#sending.state.advanced = performance.now();
      }
      return position === size ? hash.digest('hex') : undefined;
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      return undefined;
    } finally {
      await file.close().catch(() => undefined);
    }
  }

  /** What goes wrong with a file here is noted, and is no end of the transfer. */
  #fail(index: number, error: unknown): undefined {
    const why = systemCode(error) ?? (error instanceof Error ? error.message : String(error));
    const path = this.#path(index);
    this.failed.push({ path, why, lost: true });
    this.#sending.output.event('skipped', { path, why });
    this.#sending.output.note(`skipped ${quote(path)}: ${why}`);
    return undefined;
  }

  #path(index: number): string {
    return this.#sending.tree.manifest.path(index);
  }

  #file(index: number, size: number, base: number): FileProgress | undefined {
    return this.#progress?.file(() => this.#path(index), size, base);
  }

  #advance(bytes: number, sent: number): void {
    const { state } = this.#sending;
    state.bytesSent += sent;
    state.position += bytes;
    if (state.position <= state.best && bytes > 0) return;
    state.best = state.position;
    state.advanced = performance.now();
  }
}

function unreadable(): CliError {
  return new CliError(ExitCode.LocalFile, 'it cannot be read', 'send it again.');
}

function shrank(): CliError {
  return new CliError(ExitCode.LocalFile, 'it became shorter meanwhile', 'send it again.');
}
