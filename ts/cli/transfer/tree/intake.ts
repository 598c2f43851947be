import { createHash } from 'node:crypto';
import type { SttSession, SttStream } from '../../../index.ts';
import { ExitCode } from '../../exit-codes.ts';
import type { FileProgress, TreeProgress } from '../../tree-progress.ts';
import { counted } from '../../units.ts';
import { ByteReader } from '../byte-reader.ts';
import { readStart, TransferProtocolError, writeMessage } from '../messages.ts';
import { Refusal } from '../refusal.ts';
import type { Digests } from './digests.ts';
import type { Entry, Manifest } from './manifest.ts';
import type { Finish } from './messages.ts';
import {
  LANE_PURPOSE,
  MAX_LANES,
  readChunkLength,
  readFileEnd,
  readLaneFile,
  SMALL,
} from './messages.ts';
import type { Staging } from './staging.ts';

/** What is to be taken in, and where. */
export interface IntakeTask {
  readonly session: SttSession;
  /** Resolves once the sender says, on the stream that leads, that it has sent all. */
  readonly finish: () => Promise<Finish>;
  readonly manifest: Manifest;
  /** What the tree is called. */
  readonly label: string;
  readonly staging: Staging;
  /** Of what stands here; what comes is added. */
  readonly digests: Digests;
  readonly progress: TreeProgress;
  /** Told of each unfinished file that is gone on from. */
  readonly onResumed: (path: string, offset: number) => void;
  /** Throws once the session is over. */
  readonly alive: () => void;
}

/** Takes in the files that a sender has on its lanes. */
export class Intake {
  /** Files that the sender could not read. */
  missing = 0;
  /** Bytes of files that came by each carrier. */
  readonly bytesByCarrier: Record<SttSession['transport'], number> = { udp: 0, websocket: 0 };
  /** Bytes of unfinished files that stood here and were gone on from. */
  kept = 0;
  readonly #task: IntakeTask;
  /** Files that a lane has begun with. */
  readonly #taken: Uint8Array;

  constructor(task: IntakeTask) {
    this.#task = task;
    this.#taken = new Uint8Array(task.manifest.entries.length);
  }

  /** Serves lanes until the sender says that there is no more, then sees whether that is all. */
  async run(): Promise<void> {
    const lanes = new Set<Promise<void>>();
    const streams = this.#task.session.incomingBidirectionalStreams[Symbol.asyncIterator]();
    let stopped = false;
    let fail = (_error: unknown): void => undefined;
    const failed = new Promise<never>((_resolve, reject) => (fail = reject));
    failed.catch(() => undefined);
    const open = new Set<SttStream>();
    const accept = async (): Promise<void> => {
      for (;;) {
        const { value: stream, done } = await streams.next();
        if (done === true) return;
        if (stopped || stream.purpose !== LANE_PURPOSE || lanes.size >= MAX_LANES) {
          stream.reset(0);
          stream.stop(0);
          if (stopped) return;
          continue;
        }
        open.add(stream);
        const lane: Promise<void> = this.#lane(stream).then(
          () => void [lanes.delete(lane), open.delete(stream)],
          fail,
        );
        lanes.add(lane);
      }
    };
    // Waits for a stream as long as the session is there.
    void accept().catch(fail);
    try {
      const { failed: missing } = await Promise.race([this.#task.finish(), failed]);
      this.missing = missing;
      await Promise.race([Promise.all(lanes), failed]);
    } finally {
      stopped = true;
      for (const stream of open) {
        stream.stop(0);
        stream.reset(0);
      }
      await streams.return?.();
      await Promise.allSettled(lanes);
    }
    if (this.#task.digests.count + this.missing !== this.#task.manifest.count('file')) {
      throw new Refusal(
        'size',
        ExitCode.HashMismatch,
        `${counted(this.#task.manifest.count('file') - this.#task.digests.count, 'file')} of ${this.#task.label} did not come.`,
        'send it again; it was changed while it was read.',
      );
    }
  }

  async #lane(stream: SttStream): Promise<void> {
    // Lent: all that is read of a lane is read by `exactly`, which copies.
    const reader = new ByteReader(stream.batches({ lend: true }));
    for (;;) {
      const next = await readLaneFile(reader);
      if (next === undefined) break;
      const { file: index, failed } = next;
      const entry = this.#task.manifest.entries[index];
      if (entry?.kind !== 'file' || this.#taken[index] === 1)
        throw new TransferProtocolError('a file that was not offered, or is there already');
      this.#taken[index] = 1;
      // What stood there is another state of it.
      this.#task.digests.unset(index);
      if (failed) await this.#task.staging.remove(index);
      else if (entry.size > SMALL) await this.#long(stream, reader, index, entry);
      else await this.#short(reader, index, entry);
    }
    // Whether the sender hears of it is the receipt's affair.
    stream.end().catch(() => undefined);
  }

  async #short(reader: ByteReader, index: number, { size }: Entry): Promise<void> {
    const hash = createHash('sha256');
    const chunks: Uint8Array[] = [];
    let length = 0;
    for (let next = await readChunkLength(reader); next > 0; next = await readChunkLength(reader)) {
      length += next;
      if (length > size) throw this.#tooLong(index);
      const chunk = await this.#chunk(reader, next);
      hash.update(chunk);
      chunks.push(chunk);
    }
    const told = await readFileEnd(reader);
    const sha256 = hash.digest('hex');
    if (told === undefined) return this.#task.staging.remove(index);
    if (told !== sha256 || length !== size) throw this.#wrongHash(index);
    const progress = this.#file(index, size, 0);
    await this.#task.staging.write(index, chunks);
    this.#task.digests.set(index, sha256);
    progress.add(size);
    progress.end();
  }

  async #long(
    stream: SttStream,
    reader: ByteReader,
    index: number,
    { size }: Entry,
  ): Promise<void> {
    const part = await this.#task.staging.part(index);
    let progress: FileProgress | undefined;
    try {
      if (part.length > size) await part.truncate(0);
      const marks = await part.marks(() => this.#task.alive());
      await writeMessage(stream, { marks });
      const { offset } = await readStart(reader);
      if (offset !== 0 && !marks.some(({ length }) => length === offset))
        throw new TransferProtocolError(`a start at ${offset}, which was not told`);
      await part.truncate(offset);
      this.kept += offset;
      if (offset > 0) this.#task.onResumed(this.#task.manifest.path(index), offset);
      progress = this.#file(index, size, offset);
      for (
        let next = await readChunkLength(reader);
        next > 0;
        next = await readChunkLength(reader)
      ) {
        if (part.length + next > size) throw this.#tooLong(index);
        await part.write([await this.#chunk(reader, next)]);
        progress?.add(next);
      }
      const told = await readFileEnd(reader);
      if (told === undefined) {
        await part.discard();
        return await this.#task.staging.remove(index);
      }
      const sha256 = (await part.digest()).toString('hex');
      if (told !== sha256 || part.length !== size) throw this.#wrongHash(index);
      await this.#task.staging.finish(index, part);
      this.#task.digests.set(index, sha256);
    } catch (error) {
      // What is not what was sent is not gone on with; all else of the tree is.
      const drop = error instanceof Refusal && !error.keeps;
      await (drop ? part.discard() : part.release()).catch(() => undefined);
      throw error;
    } finally {
      progress?.end();
    }
  }

  async #chunk(reader: ByteReader, length: number): Promise<Uint8Array> {
    const chunk = await reader.exactly(length);
    this.bytesByCarrier[this.#task.session.transport] += length;
    return chunk;
  }

  #file(index: number, size: number, base: number): FileProgress {
    return this.#task.progress.file(() => this.#task.manifest.path(index), size, base);
  }

  #tooLong(index: number): Refusal {
    return new Refusal(
      'size',
      ExitCode.LocalFile,
      `the sender sent more of ${this.#task.manifest.path(index)} than it announced.`,
      'send it again.',
    );
  }

  #wrongHash(index: number): Refusal {
    return new Refusal(
      'hash',
      ExitCode.HashMismatch,
      `${this.#task.manifest.path(index)}: what stands on the disk is not what was sent.`,
      'run the same command again; if it happens twice, check this disk and its memory.',
    );
  }
}
