import { timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import type { SttSession, SttStream } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { decline } from '../purposes.ts';
import { formatSize } from '../units.ts';
import { receiveAt } from './at-desk.ts';
import { ByteReader } from './byte-reader.ts';
import { removeStale, sweep } from './claim.ts';
import type { Desk } from './desk.ts';
import type { DoneRecord } from './done.ts';
import { readDone, removeDone, removePlaceholder } from './done.ts';
import type { Collision } from './files.ts';
import { exists, freeSpace, isFolder, KIND_HINT, TargetExistsError } from './files.ts';
import type { Mark, Offer, Receipt } from './messages.ts';
import {
  DIGEST_LENGTH,
  readOffer,
  readStart,
  TRANSFER_PURPOSE,
  TransferProtocolError,
  writeMessage,
} from './messages.ts';
import { checkRootName, quote } from './names.ts';
import { Part, partKey, randomKey } from './part.ts';
import { asDecline, asRefusal, Busy, Refusal, SuspendedError } from './refusal.ts';
import type { Sink } from './stdout-part.ts';
import { splitTail } from './tail.ts';
import { readTreeOffer, TREE_PURPOSE } from './tree/messages.ts';
import type { TreeOffered, TreeReceived } from './tree/receive.ts';
import { receiveTree } from './tree/receive.ts';

/** Where files go and which are taken. */
export interface ReceiveOptions {
  readonly folder: string;
  readonly collision: Collision;
  /** Largest file, or tree in all, that is taken, in bytes. */
  readonly maxSize: number;
  readonly output: Output;
  readonly desk: Desk;
  /** Takes the place of the folder where one file goes to stdout. */
  readonly sink?: Sink | undefined;
}

/** A file that arrived whole. */
export interface Received {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Time of its last session. */
  readonly seconds: number;
  /** Bytes that stood there when its last session began. */
  readonly resumedFrom: number;
  /** Bytes of the file that came by each carrier in its last session. */
  readonly bytesByCarrier: Readonly<Record<SttSession['transport'], number>>;
  /** The part's key. */
  readonly key: string;
  /** Whether the sender is known to know. */
  readonly acknowledged: boolean;
}

/**
 * Receives what a sender offers on `session`, or the rest of it: one file, or a tree.
 *
 * @throws as {@link receiveFile} and {@link receiveTree} do.
 */
export async function receive(
  session: SttSession,
  options: ReceiveOptions,
): Promise<Received | TreeReceived> {
  const offered = await nextOffer(session);
  return 'tree' in offered
    ? receiveTree(session, offered, options)
    : receiveFile(session, offered, options);
}

/**
 * Receives the one file that a sender offers on `session`, or the rest of it.
 *
 * @throws {CliError} when the offer is refused or the file cannot be kept; the sender is told why first.
 * @throws {SuspendedError} when the session ends before the file is whole, and what came is kept.
 * @throws {SttError} when the session ends before, and nothing is kept.
 */
async function receiveFile(
  session: SttSession,
  { stream, reader, offer }: FileOffer,
  options: ReceiveOptions,
): Promise<Received> {
  const key = offer.transfer === null ? randomKey() : partKey(session.peerNodeId, offer.transfer);
  const reception = new Reception(session, stream, reader, offer, key, options);
  return receiveAt(options.desk, key, session, reception, () => reception.check());
}

interface FileOffer {
  readonly stream: SttStream;
  readonly reader: ByteReader;
  readonly offer: Offer;
}

async function nextOffer(session: SttSession): Promise<FileOffer | TreeOffered> {
  try {
    const stream = await nextTransfer(session);
    const reader = new ByteReader(stream.batches());
    if (stream.purpose === TREE_PURPOSE)
      return { stream, reader, tree: await readTreeOffer(reader) };
    return { stream, reader, offer: await readOffer(reader) };
  } catch (error) {
    // Whatever it was, no transfer has begun.
    throw new NothingOfferedError({ cause: error });
  }
}

async function nextTransfer(session: SttSession): Promise<SttStream> {
  for await (const stream of session.incomingBidirectionalStreams) {
    if (stream.purpose === TRANSFER_PURPOSE || stream.purpose === TREE_PURPOSE) return stream;
    decline(stream);
  }
  throw new NothingOfferedError();
}

/** Somebody came and left again. */
export class NothingOfferedError extends CliError {
  constructor(options?: ErrorOptions) {
    super(
      ExitCode.Interrupted,
      'a node came and left without offering a file.',
      'run "stt send" there again.',
      options,
    );
  }
}

/** One session's part in one transfer. */
class Reception {
  readonly #session: SttSession;
  readonly #stream: SttStream;
  readonly #reader: ByteReader;
  readonly #offer: Offer;
  readonly #key: string;
  readonly #options: ReceiveOptions;
  readonly #started = performance.now();
  readonly #bytesByCarrier = { udp: 0, websocket: 0 };
  #name = '';
  /** What this transfer has brought before, under its final name, and its sender never heard of. */
  #earlier: DoneRecord | undefined;
  #over = false;

  constructor(
    session: SttSession,
    stream: SttStream,
    reader: ByteReader,
    offer: Offer,
    key: string,
    options: ReceiveOptions,
  ) {
    this.#session = session;
    this.#stream = stream;
    this.#reader = reader;
    this.#offer = offer;
    this.#key = key;
    this.#options = options;
    void session.settled.then(() => (this.#over = true));
  }

  /** Whether the sender returns for what is missing. */
  get #resumable(): boolean {
    return this.#offer.transfer !== null && this.#offer.resume;
  }

  /** What can be said of the offer before anything is touched. */
  check(): void {
    this.#name = checkRootName(this.#offer.name);
    const size = this.#offer.size ?? 0;
    if (size > this.#options.maxSize) {
      throw new CliError(
        ExitCode.LocalFile,
        `${this.#name} has ${formatSize(size)}; at most ${formatSize(this.#options.maxSize)} are taken.`,
        'raise --max-size.',
      );
    }
  }

  async run(): Promise<Received> {
    const { folder, sink } = this.#options;
    const done =
      this.#resumable && sink === undefined ? await readDone(folder, this.#key) : undefined;
    this.#earlier = done;
    // A file that has grown or shrunk since is another one, even where it begins the same.
    if (done !== undefined && done.bytes === this.#offer.size) {
      const offset = await this.#agree(done);
      if (offset === undefined) return this.#received(done, done.bytes, false);
      if (offset === done.bytes) return this.#confirm(done);
      // Its file has changed since: what it sends now is another one.
      return this.#receive(await this.#open(this.#refuse), offset, []);
    }
    if (done === undefined && this.#resumable && sink === undefined)
      await removePlaceholder(folder, this.#key);
    const part = await this.#open(this.#decline);
    let marks: Mark[];
    let offset: number;
    try {
      marks = await part.marks(() => this.#alive());
      await this.#answer(marks);
      ({ offset } = await readStart(this.#reader));
    } catch (error) {
      await part.release();
      const refusal = asRefusal(error, this.#name);
      if (refusal !== undefined) return await this.#decline(refusal);
      throw this.#resumable && part.length > 0 ? this.#suspended(part.length, error) : error;
    }
    return this.#receive(part, offset, marks);
  }

  /** Runs `step`; what it throws is told to the sender as the answer. */
  async declineIf<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      return this.#decline(error);
    }
  }

  readonly #decline = async (error: unknown): Promise<never> => {
    const decline = asDecline(error);
    const why = decline?.message ?? 'the receiver failed';
    const busy = decline instanceof Busy;
    await writeMessage(this.#stream, { accept: false, busy, why }).catch(() => undefined);
    await this.#stream.end().catch(() => undefined);
    await this.#reader.cancel().catch(() => undefined);
    throw decline ?? error;
  };

  readonly #refuse = async (error: unknown): Promise<never> => {
    const refusal = asRefusal(error, this.#name);
    if (refusal === undefined) throw error;
    const { fault, message: why } = refusal;
    await this.#receipt({ ok: false, fault, why }).catch(() => undefined);
    await this.#reader.cancel().catch(() => undefined);
    throw refusal;
  };

  async #answer(marks: readonly Mark[]): Promise<void> {
    await writeMessage(this.#stream, { accept: true, marks });
  }

  /** The part to write to, once there is nothing against it. */
  async #open(otherwise: (error: unknown) => Promise<never>): Promise<Sink> {
    const { folder, collision, sink } = this.#options;
    if (sink !== undefined) return sink;
    let part: Part | undefined;
    try {
      // An earlier state of the same file, whose sender never heard that it was whole, is what it replaces.
      if (collision === 'refuse' && !(await this.#replaces()) && (await exists(folder, this.#name)))
        throw new TargetExistsError(`${this.#name} exists already in ${folder}`);
      if (collision === 'overwrite' && (await isFolder(join(folder, this.#name))))
        throw new TargetExistsError(`${this.#name} is a folder in ${folder}`, KIND_HINT);
      await sweep(folder);
      part = await Part.open(folder, this.#key);
      if (!this.#resumable) await part.truncate(0);
      const size = this.#offer.size ?? 0;
      if (size > 0 && part.length > size) await part.truncate(size);
      const free = await freeSpace(folder);
      if (size - part.length > free) {
        throw new Refusal(
          'disk',
          ExitCode.LocalFile,
          `${this.#name} has ${formatSize(size)}; the disk has ${formatSize(free)} free.`,
          'free some space, or choose another folder.',
        );
      }
      return part;
    } catch (error) {
      await part?.release();
      return otherwise(error);
    }
  }

  async #receive(part: Sink, offset: number, marks: readonly Mark[]): Promise<Received> {
    const { output, collision, folder } = this.#options;
    const progress = output.progress(this.#name, this.#offer.size ?? undefined, offset);
    let keep = this.#resumable;
    try {
      if (offset !== 0 && !marks.some(({ length }) => length === offset))
        throw new TransferProtocolError(`a start at ${offset}, which was not told`);
      await part.truncate(offset);
      if (offset > 0) {
        output.event('resumed', { name: this.#name, offset });
        output.note(`${this.#name}: goes on after ${formatSize(offset)}`);
      }
      const stated = await this.#store(part, (done) => progress.update(done));
      const digest = await part.digest();
      if (!timingSafeEqual(digest, stated)) {
        throw new Refusal(
          'hash',
          ExitCode.HashMismatch,
          `${this.#name}: what stands on the disk is not what was sent.`,
          'run the same command again; if it happens twice, check this disk and its memory.',
        );
      }
      const [bytes, sha256] = [part.length, digest.toString('hex')];
      const noted = this.#resumable && this.#options.sink === undefined;
      const record = noted ? { bytes, sha256 } : undefined;
      const replaces = collision === 'refuse' && (await this.#replaces());
      const how = replaces ? 'overwrite' : collision;
      const name = await part.commit(this.#name, how, this.#offer, record);
      const acknowledged = await this.#tell({ name, bytes, sha256 });
      if (acknowledged && record !== undefined) await removeDone(folder, this.#key);
      return this.#received({ name, bytes, sha256 }, offset, acknowledged);
    } catch (error) {
      const refusal = asRefusal(error, this.#name);
      if (refusal?.keeps === false) keep = false;
      const bytes = part.length;
      // On a full disk even that may fail; whoever comes next takes it over.
      await (keep ? part.release() : part.discard()).catch(() => undefined);
      if (refusal !== undefined) return await this.#refuse(refusal);
      throw keep ? this.#suspended(bytes, error) : error;
    } finally {
      progress.stop();
    }
  }

  /** Whether what stands under the name now is what this very transfer brought, untouched and unacknowledged. */
  async #replaces(): Promise<boolean> {
    if (this.#earlier?.name !== this.#name) return false;
    const now = await readDone(this.#options.folder, this.#key);
    return now?.name === this.#name && now.sha256 === this.#earlier.sha256;
  }

  /** Tells that all stands there, and where the sender begins; undefined if it is gone again. */
  async #agree(done: DoneRecord): Promise<number | undefined> {
    try {
      // A mark tells of a beginning; an empty file has none.
      await this.#answer(done.bytes === 0 ? [] : [{ length: done.bytes, sha256: done.sha256 }]);
      return (await readStart(this.#reader)).offset;
    } catch {
      return undefined;
    }
  }

  /** The file has been whole before; the sender did not hear of it. */
  async #confirm(done: DoneRecord): Promise<Received> {
    let stated: Uint8Array | undefined;
    let more = false;
    try {
      stated = await this.#reader.exactly(DIGEST_LENGTH);
      more = !(await this.#reader.ends());
    } catch {
      stated = undefined;
    }
    if (stated !== undefined && (more || !timingSafeEqual(stated, Buffer.from(done.sha256, 'hex'))))
      return this.#refuse(
        new Refusal(
          'hash',
          ExitCode.HashMismatch,
          `${this.#name}: what was sent is not what stands on the disk.`,
          'send it again; it was changed while it was read.',
        ),
      );
    const heard = stated !== undefined && (await this.#tell(done));
    if (heard) await removeDone(this.#options.folder, this.#key);
    await removeStale(this.#options.folder, this.#key);
    return this.#received(done, done.bytes, heard);
  }

  /** Writes all but the last {@link DIGEST_LENGTH} bytes to the file and returns these. */
  async #store(part: Sink, onProgress: (done: number) => void): Promise<Uint8Array> {
    let held: Uint8Array = new Uint8Array(0);
    const { size } = this.#offer;
    const limit = size ?? this.#options.maxSize;
    for await (const batch of this.#reader.rest()) {
      const { body, tail } = splitTail([held, ...batch], DIGEST_LENGTH);
      held = tail;
      // As they are read: what came just before a move may count to the carrier after it.
      for (const { length } of body) this.#bytesByCarrier[this.#session.transport] += length;
      await part.write(body);
      if (part.length > limit) {
        throw new Refusal(
          'size',
          ExitCode.LocalFile,
          `the sender sent more than the ${formatSize(limit)} allowed.`,
          'raise --max-size, or send a file that does not grow meanwhile.',
        );
      }
      onProgress(part.length);
    }
    if (held.length < DIGEST_LENGTH || (size !== null && part.length !== size)) {
      throw new Refusal(
        'size',
        ExitCode.HashMismatch,
        `${quote(this.#offer.name)} ended after ${part.length} bytes; ${size ?? 'more'} were announced.`,
        'send it again; it was changed while it was read.',
      );
    }
    return held;
  }

  /** Tells the sender that it is done; false when that cannot be known to have arrived. */
  async #tell({ name, bytes, sha256 }: DoneRecord): Promise<boolean> {
    return this.#receipt({ ok: true, name, bytes, sha256 }).then(
      () => true,
      () => false,
    );
  }

  async #receipt(receipt: Receipt): Promise<void> {
    await writeMessage(this.#stream, receipt);
    await this.#stream.end();
  }

  #received(record: DoneRecord, resumedFrom: number, acknowledged: boolean): Received {
    const { name, bytes, sha256 } = record;
    const seconds = (performance.now() - this.#started) / 1_000;
    const bytesByCarrier = { ...this.#bytesByCarrier };
    const key = this.#key;
    return { name, bytes, sha256, seconds, resumedFrom, bytesByCarrier, key, acknowledged };
  }

  #suspended(bytes: number, cause: unknown): SuspendedError {
    return new SuspendedError(this.#key, this.#name, bytes, cause);
  }

  /** There is no sense in reading a long part back for a sender that is gone. */
  #alive(): void {
    if (this.#over) throw new TransferProtocolError('the session ended');
  }
}
