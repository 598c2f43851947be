import type { SttStream } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { ByteReader } from './byte-reader.ts';

/**
 * The conversation on one bidirectional stream whose purpose is {@link TRANSFER_PURPOSE}
 * (docs/adr/0079-transfers-resume.md):
 *
 * 1. sender: an {@link Offer}, in which a sender of before may leave the mode out;
 * 2. receiver: an {@link Answer}, which tells how much of it stands there already;
 * 3. sender: a {@link Start}, the bytes of the file from there on, the SHA-256 of the whole file (32
 *    bytes), then FIN;
 * 4. receiver: a {@link Receipt}, once the file stands under its final name, then FIN.
 *
 * All but the bytes and their digest is UTF-8 JSON behind a length of four bytes, little endian.
 */
export const TRANSFER_PURPOSE = 'stt.transfer.2';

/** Bytes of the digest that ends the file's bytes. */
export const DIGEST_LENGTH = 32;

/** Most marks that an {@link Answer} has; they fit a message many times. */
export const MAX_MARKS = 64;

/** Longest message that is read; an offer with the longest name fits many times. */
const MAX_MESSAGE = 16 * 1024;

/** What the sender has. */
export interface Offer {
  readonly name: string;
  /** Bytes, or null where the sender reads from a pipe. */
  readonly size: number | null;
  /** Milliseconds since 1970, or null. */
  readonly modified: number | null;
  /** Permission bits `rwx`, of which the receiver takes its umask; null, or left out, where there are none. */
  readonly mode: number | null;
  /** Names the transfer over all its sessions, 32 hex digits; null where the sender cannot read twice. */
  readonly transfer: string | null;
  /** Whether what stands there is wanted; false throws it away, and keeps nothing after a break. */
  readonly resume: boolean;
}

/** The SHA-256 of the first bytes of a file. */
export interface Mark {
  /** How many bytes. */
  readonly length: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

/** Whether the receiver takes it. */
export type Answer =
  | {
      readonly accept: true;
      /** What is on the receiver's disk, for good: beginnings of it, shorter ones first. */
      readonly marks: readonly Mark[];
    }
  | {
      readonly accept: false;
      /** The receiver, or the file there, is in use; that may pass. */
      readonly busy: boolean;
      readonly why: string;
    };

/** Where the sender's bytes begin: 0, or the length of a mark that is a beginning of its file. */
export interface Start {
  readonly offset: number;
}

/** What became of it. */
export type Receipt =
  | { readonly ok: true; readonly name: string; readonly bytes: number; readonly sha256: string }
  | {
      readonly ok: false;
      readonly fault: 'hash' | 'disk' | 'exists' | 'size';
      readonly why: string;
    };

/** The far side did not keep to the conversation. */
export class TransferProtocolError extends CliError {
  constructor(message: string, options?: ErrorOptions) {
    super(
      ExitCode.Interrupted,
      `${message}.`,
      'install the same version of stt on both machines, then run the same command again.',
      options,
    );
  }
}

/** Sends one message. */
export async function writeMessage(stream: SttStream, message: object): Promise<void> {
  await stream.write(encodeMessage(message));
}

/** One message, as it goes over the wire. */
export function encodeMessage(message: object): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32LE(body.length);
  body.copy(frame, 4);
  return frame;
}

/** Reads an {@link Offer}. */
export async function readOffer(reader: ByteReader): Promise<Offer> {
  const { name, size, modified, mode, transfer, resume } = await readObject(reader);
  if (typeof name !== 'string' || typeof resume !== 'boolean') throw malformed('offer');
  if (transfer !== null && !isHex(transfer, 32)) throw malformed('offer');
  return {
    name,
    size: countOrNull(size, 'offer'),
    modified: countOrNull(modified, 'offer'),
    mode: modeOrNull(mode),
    transfer,
    resume,
  };
}

/** Reads an {@link Answer}. */
export async function readAnswer(reader: ByteReader): Promise<Answer> {
  const { accept, marks, busy, why } = await readObject(reader);
  if (accept === true && Array.isArray(marks) && marks.length <= MAX_MARKS) {
    return { accept, marks: checkMarks(marks) };
  }
  if (accept === false && typeof busy === 'boolean' && typeof why === 'string')
    return { accept, busy, why };
  throw malformed('answer');
}

/** Reads a {@link Start}. */
export async function readStart(reader: ByteReader): Promise<Start> {
  const message = await readObject(reader);
  const offset = countOrNull(message['offset'], 'start');
  if (offset === null) throw malformed('start');
  return { offset };
}

/** Reads a {@link Receipt}. */
export async function readReceipt(reader: ByteReader): Promise<Receipt> {
  const { ok, name, bytes, sha256, fault, why } = await readObject(reader);
  // The receiver's end() counts on it: a session closed before its FIN came would be a failure there.
  await reader.end();
  if (
    ok === true &&
    typeof name === 'string' &&
    typeof bytes === 'number' &&
    typeof sha256 === 'string'
  ) {
    return { ok, name, bytes, sha256 };
  }
  if (
    ok === false &&
    typeof why === 'string' &&
    (fault === 'hash' || fault === 'disk' || fault === 'exists' || fault === 'size')
  ) {
    return { ok, fault, why };
  }
  throw malformed('receipt');
}

/** Reads one message of any kind; what is in it has yet to be checked. */
export async function readObject(reader: ByteReader): Promise<Record<string, unknown>> {
  const length = Buffer.from(await reader.exactly(4)).readUInt32LE();
  if (length > MAX_MESSAGE)
    throw new TransferProtocolError(
      `a message of ${length} bytes; the longest allowed is ${MAX_MESSAGE}`,
    );
  const text = Buffer.from(await reader.exactly(length)).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new TransferProtocolError('a message that is not JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null) throw malformed('message');
  return value as Record<string, unknown>;
}

/** Lengths that grow, each with its hash. */
export function checkMarks(marks: readonly unknown[]): Mark[] {
  let last = 0;
  return marks.map((mark) => {
    const { length, sha256 } = (mark ?? {}) as Record<string, unknown>;
    if (typeof length !== 'number' || !Number.isSafeInteger(length) || length <= last)
      throw malformed('answer');
    if (!isHex(sha256, 64)) throw malformed('answer');
    last = length;
    return { length, sha256 };
  });
}

/** Whether it is a text of so many hex digits. */
export function isHex(value: unknown, digits: number): value is string {
  return typeof value === 'string' && value.length === digits && /^[0-9a-f]*$/.test(value);
}

/** A number of something, or nothing. */
export function countOrNull(value: unknown, what: string): number | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw malformed(what);
}

/** Permissions, or none: never setuid, setgid or sticky. */
function modeOrNull(value: unknown): number | null {
  const mode = countOrNull(value, 'offer');
  if (mode !== null && mode > 0xffff) throw malformed('offer');
  return mode === null ? null : mode & 0o777;
}

/** What was read is no message of that kind. */
export function malformed(what: string): TransferProtocolError {
  return new TransferProtocolError(`the far side sent a malformed ${what}`);
}
