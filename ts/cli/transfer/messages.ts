import type { SttStream } from '../../index.ts';
import type { ByteReader } from './byte-reader.ts';

/**
 * The conversation on one bidirectional stream whose purpose is {@link TRANSFER_PURPOSE}:
 *
 * 1. sender: an {@link Offer};
 * 2. receiver: an {@link Answer};
 * 3. sender: the bytes of the file, then their SHA-256 (32 bytes), then FIN;
 * 4. receiver: a {@link Receipt}, once the file stands under its final name, then FIN.
 *
 * Offer, Answer and Receipt are UTF-8 JSON behind a length of four bytes, little endian.
 */
export const TRANSFER_PURPOSE = 'stt.transfer.1';

/** Bytes of the digest that ends the file's bytes. */
export const DIGEST_LENGTH = 32;

/** Longest message that is read; an offer with the longest name fits many times. */
const MAX_MESSAGE = 16 * 1024;

/** What the sender has. */
export interface Offer {
  readonly name: string;
  /** Bytes, or null where the sender reads from a pipe. */
  readonly size: number | null;
  /** Milliseconds since 1970, or null. */
  readonly modified: number | null;
}

/** Whether the receiver takes it. */
export type Answer = { readonly accept: true } | { readonly accept: false; readonly why: string };

/** What became of it. */
export type Receipt =
  | { readonly ok: true; readonly name: string; readonly bytes: number; readonly sha256: string }
  | {
      readonly ok: false;
      readonly fault: 'hash' | 'disk' | 'exists' | 'size';
      readonly why: string;
    };

/** The far side did not keep to the conversation. */
export class TransferProtocolError extends Error {
  override readonly name = 'TransferProtocolError';
}

/** Sends one message. */
export async function writeMessage(
  stream: SttStream,
  message: Offer | Answer | Receipt,
): Promise<void> {
  const body = Buffer.from(JSON.stringify(message));
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32LE(body.length);
  body.copy(frame, 4);
  await stream.write(frame);
}

/** Reads an {@link Offer}. */
export async function readOffer(reader: ByteReader): Promise<Offer> {
  const { name, size, modified } = await readObject(reader);
  if (typeof name !== 'string') throw malformed('offer');
  return { name, size: countOrNull(size), modified: countOrNull(modified) };
}

/** Reads an {@link Answer}. */
export async function readAnswer(reader: ByteReader): Promise<Answer> {
  const { accept, why } = await readObject(reader);
  if (accept === true) return { accept };
  if (accept === false && typeof why === 'string') return { accept, why };
  throw malformed('answer');
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

async function readObject(reader: ByteReader): Promise<Record<string, unknown>> {
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

function countOrNull(value: unknown): number | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw malformed('offer');
}

function malformed(what: string): TransferProtocolError {
  return new TransferProtocolError(`the far side sent a malformed ${what}`);
}
