import type { SttSession, SttStream } from '../../../index.ts';
import { ExitCode } from '../../exit-codes.ts';
import { CliError } from '../../failure.ts';
import type { TreeProgress } from '../../tree-progress.ts';
import { formatSize } from '../../units.ts';
import { receiveAt } from '../at-desk.ts';
import type { ByteReader } from '../byte-reader.ts';
import { sweep } from '../claim.ts';
import { freeSpace, TargetExistsError } from '../files.ts';
import { TransferProtocolError, writeMessage } from '../messages.ts';
import { partKey } from '../part.ts';
import type { ReceiveOptions } from '../receive.ts';
import { asDecline, asRefusal, Busy, type Refusal, SuspendedError } from '../refusal.ts';
import { Digests } from './digests.ts';
import { Intake } from './intake.ts';
import type { Entry } from './manifest.ts';
import { Manifest } from './manifest.ts';
import type { Finish, TreeOffer, TreeReceipt } from './messages.ts';
import { readAgreed, readFinish, readManifest, writeHave } from './messages.ts';
import type { Placement, TreeRecord } from './placing.ts';
import {
  checkKinds,
  placeRoots,
  planRoots,
  readTreeRecord,
  removeTreeRecord,
  takenRoot,
  writeTreeRecord,
} from './placing.ts';
import type { Plan } from './plan.ts';
import { Staging, sweepTrees } from './staging.ts';

/** A tree that a sender offers; its manifest is on the way. */
export interface TreeOffered {
  readonly stream: SttStream;
  readonly reader: ByteReader;
  readonly tree: TreeOffer;
}

/** A tree that arrived whole. */
export interface TreeReceived {
  /** The names that its roots were given. */
  readonly names: readonly string[];
  readonly files: number;
  readonly folders: number;
  readonly links: number;
  /** Files that the sender could not read. */
  readonly missing: number;
  readonly bytes: number;
  readonly sha256: string;
  /** Time of its last session. */
  readonly seconds: number;
  /** Bytes of files that came by each carrier in its last session. */
  readonly bytesByCarrier: Readonly<Record<SttSession['transport'], number>>;
  /** Bytes, and files, that stood there when its last session began. */
  readonly resumedFrom: number;
  readonly resumedFiles: number;
  /** The tree's key. */
  readonly key: string;
  /** Whether the sender is known to know. */
  readonly acknowledged: boolean;
}

/** Room that is left on a disk beyond the files themselves, for what each of them costs. */
const ROOM_FOR_EACH = 512;

/** Names that a receipt tells. */
const TOLD_NAMES = 16;

/**
 * Receives a tree, or the rest of it.
 *
 * @throws {CliError} when it is refused or cannot be kept; the sender is told why first.
 * @throws {SuspendedError} when the session ends before it is whole, and what came is kept.
 */
export async function receiveTree(
  session: SttSession,
  offered: TreeOffered,
  options: ReceiveOptions,
): Promise<TreeReceived> {
  const key = partKey(session.peerNodeId, `tree ${offered.tree.transfer}`);
  const reception = new TreeReception(session, offered, key, options);
  return receiveAt(options.desk, key, session, reception, async () => {
    if (options.sink !== undefined) {
      throw new CliError(
        ExitCode.LocalFile,
        'a folder, or several files, cannot go to stdout.',
        'run "stt recv DIR", or send one file.',
      );
    }
    await reception.readManifest();
  });
}

/** One session's part in the transfer of one tree. */
class TreeReception {
  readonly #session: SttSession;
  readonly #stream: SttStream;
  readonly #reader: ByteReader;
  readonly #resumable: boolean;
  readonly #key: string;
  readonly #options: ReceiveOptions;
  readonly #manifest: Manifest;
  readonly #started = performance.now();
  #digests = new Digests(0);
  #intake: Intake | undefined;
  #progress: TreeProgress | undefined;
  #resumed = { files: 0, bytes: 0 };
  #over = false;

  constructor(
    session: SttSession,
    { stream, reader, tree }: TreeOffered,
    key: string,
    options: ReceiveOptions,
  ) {
    this.#session = session;
    this.#stream = stream;
    this.#reader = reader;
    this.#resumable = tree.resume;
    this.#key = key;
    this.#options = options;
    this.#manifest = new Manifest({ maxBytes: options.maxSize });
    void session.settled.then(() => (this.#over = true));
  }

  /** Reads what is offered, each entry checked before the next. */
  async readManifest(): Promise<void> {
    await readManifest(this.#reader, this.#manifest);
    const { length } = this.#manifest.entries;
    if (length === 0) throw new TransferProtocolError('a manifest with nothing in it');
    this.#digests = new Digests(length);
  }

  /** Runs `step`; what it throws is told to the sender as the answer. */
  async declineIf<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      const decline = asDecline(error);
      const why = decline?.message ?? 'the receiver failed';
      const busy = decline instanceof Busy;
      await writeMessage(this.#stream, { accept: false, busy, why }).catch(() => undefined);
      // What is still on its way is of no use; the answer must not wait for it.
      await Promise.all([
        this.#stream.end().catch(() => undefined),
        this.#reader.cancel().catch(() => undefined),
      ]);
      throw decline ?? error;
    }
  }

  async run(): Promise<TreeReceived> {
    const { folder } = this.#options;
    const record = this.#resumable
      ? await readTreeRecord(folder, this.#key, this.#manifest)
      : undefined;
    if (record !== undefined) {
      // It was killed before it could tidy up.
      await Staging.sweep(folder, this.#key);
      return this.#confirm(record);
    }
    const staging = await this.declineIf(() => this.#open());
    if (staging.plan !== undefined) return this.#goOnPlacing(staging, staging.plan);
    let keep = this.#resumable;
    try {
      await this.declineIf(() => this.#lookAt(staging));
      this.#intake = this.#intakeTo(staging);
      await this.#intake.run();
      const { names, sha256 } = await this.#place(staging);
      await staging.discard();
      const acknowledged = await this.#tell(names, sha256);
      if (acknowledged) await removeTreeRecord(folder, this.#key);
      return this.#received(names, sha256, acknowledged);
    } catch (error) {
      const refusal = asRefusal(error, this.#label);
      if (refusal?.keepsTree === false) keep = false;
      // While nobody else can be at it.
      const there = keep ? await this.#bytesThere(staging) : 0;
      await (keep ? staging.release() : staging.discard());
      if (refusal !== undefined) return await this.#refuse(refusal);
      if (!keep || error instanceof CliError) throw error;
      throw new SuspendedError(this.#key, this.#label, there, error);
    } finally {
      this.#progress?.stop();
    }
  }

  /** What it is called where one name has to do. */
  get #label(): string {
    const roots = this.#manifest.roots();
    const first = this.#manifest.path(roots[0] as number);
    return roots.length === 1 ? first : `${first} and ${roots.length - 1} more`;
  }

  async #open(): Promise<Staging> {
    const { folder, collision } = this.#options;
    await sweep(folder);
    await sweepTrees(folder);
    const staging = await Staging.open(folder, this.#key, this.#manifest, this.#resumable);
    if (staging.plan !== undefined) return staging;
    try {
      if (collision === 'refuse') {
        const taken = await takenRoot(folder, this.#manifest);
        if (taken !== undefined)
          throw new TargetExistsError(`${taken} exists already in ${folder}`);
      }
      if (collision === 'overwrite') await checkKinds(folder, this.#manifest);
      await staging.layOut();
      return staging;
    } catch (error) {
      await (staging.fresh || !this.#resumable ? staging.discard() : staging.release());
      throw error;
    }
  }

  /** All of it is here, and the receiver that gave it its names was killed before it had done so. */
  async #goOnPlacing(staging: Staging, plan: Plan): Promise<TreeReceived> {
    let record: TreeRecord;
    try {
      record = await this.declineIf(async () => {
        const names = await placeRoots(this.#placement(staging), plan, true);
        return this.#note(plan.sha256, names);
      });
    } catch (error) {
      await staging.release();
      throw error;
    }
    await staging.discard();
    return this.#confirm(record);
  }

  /** Looks at what stands here, whether the rest has room, and takes the offer. */
  async #lookAt(staging: Staging): Promise<void> {
    const { folder, output } = this.#options;
    const { entries } = this.#manifest;
    const whole = await staging.whole(() => this.#alive());
    const resumed = { files: whole.size, bytes: 0 };
    for (const [index, sha256] of whole) {
      this.#digests.set(index, sha256);
      resumed.bytes += (entries[index] as Entry).size;
    }
    this.#resumed = resumed;
    const files = this.#manifest.count('file');
    const there = resumed.bytes + (await staging.unfinishedBytes());
    const needed = this.#manifest.bytes - there + (files - whole.size) * ROOM_FOR_EACH;
    const free = await freeSpace(folder);
    if (needed > free) {
      throw new CliError(
        ExitCode.LocalFile,
        `${this.#label} needs ${formatSize(needed)} more; the disk has ${formatSize(free)} free.`,
        'free some space, or choose another folder.',
      );
    }
    await writeMessage(this.#stream, { accept: true, complete: null });
    await writeHave(this.#stream, whole);
    if (there > 0 || whole.size > 0) {
      output.note(
        `${this.#label}: ${whole.size} of ${files} files are here already, ${formatSize(there)} with what is unfinished`,
      );
    }
    const totals = { files, bytes: this.#manifest.bytes };
    this.#progress = output.tree(this.#label, totals, resumed);
  }

  #intakeTo(staging: Staging): Intake {
    return new Intake({
      staging,
      session: this.#session,
      finish: () => this.#finish(),
      manifest: this.#manifest,
      label: this.#label,
      digests: this.#digests,
      progress: this.#progress as TreeProgress,
      onResumed: (name, offset) => this.#options.output.event('resumed', { name, offset }),
      alive: () => this.#alive(),
    });
  }

  /** What the sender says beside the lanes: what it does not send again, and when it has sent the rest. */
  async #finish(): Promise<Finish> {
    this.#resumed = await readAgreed(this.#reader, this.#resumed);
    const { files, bytes: offset } = this.#resumed;
    if (files > 0) this.#options.output.event('resumed', { name: this.#label, files, offset });
    return readFinish(this.#reader);
  }

  /** Gives everything its final name. */
  async #place(staging: Staging): Promise<{ names: string[]; sha256: string }> {
    const { entries } = this.#manifest;
    await staging.complete();
    const sha256 = this.#digests.total(this.#manifest.digest());
    const roots = this.#manifest.roots().filter((root) => {
      const { kind } = entries[root] as Entry;
      return kind !== 'file' || this.#digests.has(root);
    });
    const placement = this.#placement(staging);
    // Once more, before anything is moved: that was long ago.
    if (placement.collision === 'overwrite') await checkKinds(placement.inbox, this.#manifest);
    const plan = await planRoots(placement, roots, sha256);
    const names = await placeRoots(placement, plan, false);
    if (this.#resumable) await this.#note(sha256, names);
    return { names, sha256 };
  }

  #placement({ path: staging, tree }: Staging): Placement {
    const { folder: inbox, collision } = this.#options;
    return { staging, tree, inbox, manifest: this.#manifest, collision };
  }

  /** Notes that all of it stands there, for a sender that does not hear of it. */
  async #note(sha256: string, names: readonly string[]): Promise<TreeRecord> {
    const record = { manifest: this.#manifest.digest(), sha256, names };
    // All of it stands there; without the record a lost receipt is one that is not given again.
    await writeTreeRecord(this.#options.folder, this.#key, record).catch(() => undefined);
    return record;
  }

  /** All of it has been here before; the sender did not hear of it. */
  async #confirm(record: TreeRecord): Promise<TreeReceived> {
    this.#resumed = { files: this.#manifest.count('file'), bytes: this.#manifest.bytes };
    let heard = false;
    try {
      await writeMessage(this.#stream, { accept: true, complete: record.sha256 });
      await this.#finish();
      heard = await this.#tell(record.names, record.sha256);
    } catch {
      // It goes again before it knows: the record is for its next return.
    }
    if (heard) await removeTreeRecord(this.#options.folder, this.#key);
    return this.#received(record.names, record.sha256, heard);
  }

  async #tell(names: readonly string[], sha256: string): Promise<boolean> {
    return this.#receipt({ ok: true, names: names.slice(0, TOLD_NAMES), sha256 }).then(
      () => true,
      () => false,
    );
  }

  async #refuse(refusal: Refusal): Promise<never> {
    const { fault, message: why } = refusal;
    await this.#receipt({ ok: false, fault, why }).catch(() => undefined);
    await this.#reader.cancel().catch(() => undefined);
    throw refusal;
  }

  async #receipt(receipt: TreeReceipt): Promise<void> {
    await writeMessage(this.#stream, receipt);
    await this.#stream.end();
  }

  #received(names: readonly string[], sha256: string, acknowledged: boolean): TreeReceived {
    const missing = this.#intake?.missing ?? 0;
    return {
      names,
      sha256,
      acknowledged,
      files: this.#manifest.count('file') - missing,
      folders: this.#manifest.count('folder'),
      links: this.#manifest.count('link'),
      missing,
      bytes: this.#manifest.bytes,
      bytesByCarrier: this.#intake?.bytesByCarrier ?? { udp: 0, websocket: 0 },
      seconds: (performance.now() - this.#started) / 1_000,
      resumedFrom: this.#resumed.bytes + (this.#intake?.kept ?? 0),
      resumedFiles: this.#resumed.files,
      key: this.#key,
    };
  }

  /** Bytes that are known to stand there: of files that are whole, and of unfinished ones. */
  async #bytesThere(staging: Staging): Promise<number> {
    // That they cannot be counted must not hide why it was cut off.
    let bytes = await staging.unfinishedBytes().catch(() => 0);
    for (const [index, { size }] of this.#manifest.entries.entries())
      if (this.#digests.has(index)) bytes += size;
    return bytes;
  }

  /** There is no sense in reading much back for a sender that is gone. */
  #alive(): void {
    if (this.#over) throw new TransferProtocolError('the session ended');
  }
}
