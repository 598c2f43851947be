import type { SttStream } from '../../../index.ts';
import type { ByteReader } from '../byte-reader.ts';
import type { Mark } from '../messages.ts';
import {
  checkMarks,
  countOrNull,
  isHex,
  MAX_MARKS,
  malformed,
  readObject,
  writeMessage,
} from '../messages.ts';
import type { Manifest } from './manifest.ts';
import { decodeEntry, encodeEntry } from './manifest.ts';

/**
 * How folders and several files go over one session (docs/adr/0115-folders.md). One bidirectional stream
 * with this purpose leads:
 *
 * 1. sender: a {@link TreeOffer}, then the manifest in {@link writeManifest}'s batches;
 * 2. receiver: an answer; if it takes the tree, the files that stand there whole, in batches of numbers and hashes;
 * 3. sender: an {@link Agreed}; then both: files, on lanes;
 * 4. sender: a {@link Finish}; receiver: a {@link TreeReceipt} once everything stands under its final name, FIN.
 *
 * A lane is a bidirectional stream with {@link LANE_PURPOSE}, opened by the sender, and carries one file after the
 * other: a message with its number; for files longer than {@link SMALL} the receiver's marks, and where the sender
 * begins; chunks of bytes behind a length of four bytes, a length of 0, and a message with the SHA-256 of the whole
 * file, or what went wrong with it at the sender.
 */
export const TREE_PURPOSE = 'stt.tree.1';
export const LANE_PURPOSE = 'stt.tree.1.lane';

/** Longest file that goes in one piece, and begins again after a break. */
export const SMALL: number = 1024 * 1024;

/** Longest chunk on a lane. */
export const MAX_CHUNK: number = 512 * 1024;

/** Lanes that a sender opens, and most that a receiver serves. */
export const LANES = 6;
export const MAX_LANES = 16;

/** Most characters of a batch, below the longest message that is read. */
const BATCH = 8 * 1024;

/** What the sender has, but for the manifest. */
export interface TreeOffer {
  /** Names the transfer over all its sessions, 32 hex digits. */
  readonly transfer: string;
  /** Whether what stands there is wanted. */
  readonly resume: boolean;
}

/** Whether the receiver takes it. `complete`: all of it stands there, and this is its {@link treeDigest}. */
export type TreeAnswer =
  | { readonly accept: true; readonly complete: string | null }
  | { readonly accept: false; readonly busy: boolean; readonly why: string };

/** What of the files that stand there whole is the same at the sender, so that it is not sent again. */
export interface Agreed {
  readonly files: number;
  /** Of these files. */
  readonly bytes: number;
}

/** The sender has sent all that it can. */
export interface Finish {
  /** Files that it could not read. */
  readonly failed: number;
}

/** What became of it. */
export type TreeReceipt =
  | {
      readonly ok: true;
      /** The names that the roots were given, in order. */
      readonly names: readonly string[];
      /** 64 hex digits: see `Digests`. */
      readonly sha256: string;
    }
  | {
      readonly ok: false;
      readonly fault: 'hash' | 'disk' | 'exists' | 'size';
      readonly why: string;
    };

/** Sends items in messages of a bounded length, and an empty one at the end. */
async function writeBatches(stream: SttStream, items: Iterable<unknown>): Promise<void> {
  let batch: unknown[] = [];
  let length = 0;
  for (const item of items) {
    const size = JSON.stringify(item).length;
    if (batch.length > 0 && length + size > BATCH) {
      await writeMessage(stream, { batch });
      batch = [];
      length = 0;
    }
    batch.push(item);
    length += size + 1;
  }
  if (batch.length > 0) await writeMessage(stream, { batch });
  await writeMessage(stream, { batch: [] });
}

async function* readBatches(reader: ByteReader, what: string): AsyncGenerator<unknown, void> {
  for (;;) {
    const { batch } = await readObject(reader);
    if (!Array.isArray(batch)) throw malformed(what);
    if (batch.length === 0) return;
    yield* batch;
  }
}

/** Sends all entries of a manifest. */
export function writeManifest(stream: SttStream, manifest: Manifest): Promise<void> {
  return writeBatches(stream, mapped(manifest.entries, encodeEntry));
}

/** Reads entries into a manifest, each checked before the next is read. */
export async function readManifest(reader: ByteReader, manifest: Manifest): Promise<void> {
  for await (const value of readBatches(reader, 'manifest')) manifest.add(decodeEntry(value));
}

/** Tells which files stand there whole. */
export function writeHave(stream: SttStream, have: ReadonlyMap<number, string>): Promise<void> {
  return writeBatches(stream, have);
}

/** Reads what {@link writeHave} told, of at most `count` files. */
export async function readHave(reader: ByteReader, count: number): Promise<Map<number, string>> {
  const have = new Map<number, string>();
  for await (const value of readBatches(reader, 'answer')) {
    const [index, sha256] = Array.isArray(value) ? (value as unknown[]) : [];
    if (!Number.isSafeInteger(index) || !isHex(sha256, 64) || have.size >= count)
      throw malformed('answer');
    have.set(index as number, sha256);
  }
  return have;
}

/** Reads a {@link TreeOffer}. */
export async function readTreeOffer(reader: ByteReader): Promise<TreeOffer> {
  const { transfer, resume } = await readObject(reader);
  if (!isHex(transfer, 32) || typeof resume !== 'boolean') throw malformed('offer');
  return { transfer, resume };
}

/** Reads a {@link TreeAnswer}. */
export async function readTreeAnswer(reader: ByteReader): Promise<TreeAnswer> {
  const { accept, complete, busy, why } = await readObject(reader);
  if (accept === true && (complete === null || isHex(complete, 64))) return { accept, complete };
  if (accept === false && typeof busy === 'boolean' && typeof why === 'string')
    return { accept, busy, why };
  throw malformed('answer');
}

/** Reads an {@link Agreed}, of no more than stands here. */
export async function readAgreed(reader: ByteReader, there: Agreed): Promise<Agreed> {
  const message = await readObject(reader);
  const files = countOrNull(message['files'], 'start');
  const bytes = countOrNull(message['bytes'], 'start');
  if (files === null || bytes === null || files > there.files || bytes > there.bytes)
    throw malformed('start');
  return { files, bytes };
}

/** Reads a {@link Finish}. */
export async function readFinish(reader: ByteReader): Promise<Finish> {
  const failed = countOrNull((await readObject(reader))['failed'], 'end');
  if (failed === null) throw malformed('end');
  return { failed };
}

/** Reads a {@link TreeReceipt}, and the receiver's FIN behind it. */
export async function readTreeReceipt(reader: ByteReader): Promise<TreeReceipt> {
  const { ok, names, sha256, fault, why } = await readObject(reader);
  await reader.end();
  if (ok === true && isNames(names) && isHex(sha256, 64)) return { ok, names, sha256 };
  if (
    ok === false &&
    typeof why === 'string' &&
    (fault === 'hash' || fault === 'disk' || fault === 'exists' || fault === 'size')
  )
    return { ok, fault, why };
  throw malformed('receipt');
}

/** What comes next on a lane: a file, or that it could not be read. */
export interface LaneFile {
  readonly file: number;
  readonly failed: boolean;
}

/** Reads which file comes next on a lane; undefined at its FIN. */
export async function readLaneFile(reader: ByteReader): Promise<LaneFile | undefined> {
  if (await reader.ends()) return undefined;
  const message = await readObject(reader);
  const file = countOrNull(message['file'], 'file');
  if (file === null) throw malformed('file');
  return { file, failed: message['failed'] === true };
}

/** Reads what stands there of a long file. */
export async function readMarks(reader: ByteReader): Promise<Mark[]> {
  const { marks } = await readObject(reader);
  if (!Array.isArray(marks) || marks.length > MAX_MARKS) throw malformed('answer');
  return checkMarks(marks);
}

/** The length of the next chunk; 0 after the last. */
export async function readChunkLength(reader: ByteReader): Promise<number> {
  const length = Buffer.from(await reader.exactly(4)).readUInt32LE();
  if (length > MAX_CHUNK) throw malformed('chunk');
  return length;
}

/** The end of a file: its hash, or undefined where the sender could not read it. */
export async function readFileEnd(reader: ByteReader): Promise<string | undefined> {
  const { sha256, failed } = await readObject(reader);
  if (isHex(sha256, 64)) return sha256;
  if (failed === true) return undefined;
  throw malformed('end of a file');
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

function* mapped<T, R>(items: Iterable<T>, change: (item: T) => R): Generator<R, void> {
  for (const item of items) yield change(item);
}
