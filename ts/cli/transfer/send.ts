import type { SttStream } from '../../index.ts';
import { printable } from '../../printable.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { formatSize } from '../units.ts';
import { ByteReader } from './byte-reader.ts';
import type { Mark, Receipt } from './messages.ts';
import { readAnswer, readReceipt, writeMessage } from './messages.ts';
import { quote } from './names.ts';
import type { Reading, Source } from './source.ts';

/** What one `stt send` knows over all of its sessions. */
export interface Sending {
  readonly source: Source;
  /** 32 hex digits, the same for the same file; null where it cannot be read twice. */
  readonly transfer: string | null;
  /** Whether to go on with what stands there. */
  readonly resume: boolean;
  readonly output: Output;
  /** Kept while it goes on. */
  readonly state: SendingState;
}

/** How far it has come. */
export interface SendingState {
  /** Whether there was a session at all. */
  met: boolean;
  /** Whether a receiver has taken the offer. */
  begun: boolean;
  /** How far the bytes have come. */
  position: number;
  /** How far they have ever come, and when that last grew, as `performance.now()` tells it. */
  best: number;
  advanced: number;
  /** Bytes of the file that were written to streams, those sent twice included. */
  bytesSent: number;
  /** The size, once it is known. */
  size: number | null;
}

/** A file that the receiver has whole and verified. */
export interface Sent {
  /** The name that the receiver gave it. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly seconds: number;
  /** Bytes that stood there when the last session began. */
  readonly resumedFrom: number;
}

/** The receiver works on another file, or on this one for another sender; that may pass. */
export class ReceiverBusyError extends CliError {
  constructor(why: string) {
    super(
      ExitCode.Interrupted,
      `the receiver is busy: ${printable(why)}`,
      'wait for the other transfer, then run the same command again.',
    );
  }
}

/**
 * Sends one file, or what is missing of it, on a stream of one session, and waits for the receipt.
 *
 * @param signal aborts when the session has ended, or the command does.
 * @throws {CliError} when the receiver declines, cannot store it, or reports another hash.
 * @throws {SttError} when the session ends before the receipt.
 */
export async function sendFile(
  stream: SttStream,
  sending: Sending,
  signal: AbortSignal,
): Promise<Sent> {
  const reading = await sending.source.read();
  try {
    return await converse(stream, reading, sending, signal);
  } finally {
    await reading.close();
  }
}

async function converse(
  stream: SttStream,
  reading: Reading,
  sending: Sending,
  signal: AbortSignal,
): Promise<Sent> {
  const { source, transfer, resume, output, state } = sending;
  const { name } = source;
  const { size, modified, mode } = reading;
  const reader = new ByteReader(stream.batches());
  await writeMessage(stream, { name, size, modified, mode, transfer, resume });
  const answer = await readAnswer(reader);
  if (!answer.accept) {
    if (answer.busy) throw new ReceiverBusyError(answer.why);
    throw declinedError(answer.why);
  }
  state.begun = true;
  state.size = size;
  const started = performance.now();
  const { offset, hash } = await agree(reading, resume ? answer.marks : [], sending, signal);
  await writeMessage(stream, { offset });
  const progress = output.progress(name, size ?? undefined, offset);
  try {
    let position = offset;
    for await (const chunk of reading.bytes(offset)) {
      const taken = stream.write(chunk);
      hash.update(chunk);
      await taken;
      signal.throwIfAborted();
      position += chunk.length;
      advance(state, position, chunk.length);
      progress.update(position);
    }
    if (size !== null && position !== size) {
      throw new CliError(
        ExitCode.LocalFile,
        `${quote(name)} shrank from ${size} to ${position} bytes while it was read.`,
        'send it again once nothing writes to it.',
      );
    }
    const digest = hash.digest();
    const receipt = await finish(stream, reader, digest);
    const sha256 = digest.toString('hex');
    checkReceipt(receipt, name, sha256);
    const seconds = (performance.now() - started) / 1_000;
    return { name: receipt.name, bytes: position, sha256, seconds, resumedFrom: offset };
  } catch (error) {
    throw (await receiptInstead(error, reader, name)) ?? error;
  } finally {
    progress.stop();
  }
}

/** Where to go on: after the longest beginning of this file that stands there. */
async function agree(
  reading: Reading,
  marks: readonly Mark[],
  { source, output, state }: Sending,
  signal: AbortSignal,
): ReturnType<Reading['match']> {
  const there = marks.at(-1)?.length ?? 0;
  if (there > 0) output.detail(`${source.name}: ${formatSize(there)} may be there already`);
  const matched = await reading.match(marks, signal);
  if (matched.offset > 0) {
    output.event('resumed', { name: source.name, offset: matched.offset });
    output.note(`${source.name}: goes on after ${formatSize(matched.offset)}`);
  } else if (there > 0) {
    output.note(`${source.name}: what stands there is another file, so it begins again`);
  }
  // What stands there says how far it has come, not what was written to a session that broke.
  advance(state, matched.offset, 0);
  return matched;
}

function advance(state: SendingState, position: number, sent: number): void {
  state.bytesSent += sent;
  state.position = position;
  if (position <= state.best) return;
  state.best = position;
  state.advanced = performance.now();
}

async function finish(stream: SttStream, reader: ByteReader, digest: Uint8Array): Promise<Receipt> {
  await stream.write(digest);
  // The receipt says more than the acknowledgement of FIN, so both are awaited at once.
  const [receipt] = await Promise.all([readReceipt(reader), stream.end()]);
  // The far side's FIN is on its way; closing before it came would cut its stream.
  for await (const _ of reader.rest());
  return receipt;
}

function checkReceipt(
  receipt: Receipt,
  name: string,
  sha256: string,
): asserts receipt is Extract<Receipt, { ok: true }> {
  if (!receipt.ok) throw receiptError(receipt);
  if (receipt.sha256 !== sha256) {
    throw new CliError(
      ExitCode.HashMismatch,
      `${quote(name)}: the receiver stored other bytes than were sent.`,
      'run the same command again; if it happens twice, check the disks and memory of both machines.',
    );
  }
}

/** A receiver's no to what was offered. Names that are taken and sizes are for its options to allow. */
export function declinedError(why: string): CliError {
  return new CliError(
    ExitCode.Interrupted,
    `the receiver declined: ${printable(why)}`,
    'agree with the other side, whose "stt recv" may take --overwrite, --rename or another --max-size; then run the same command again.',
  );
}

/** What a receiver's no in the end means here. */
export function receiptError(receipt: Extract<Receipt, { ok: false }>): CliError {
  const exitCode = receipt.fault === 'hash' ? ExitCode.HashMismatch : ExitCode.Interrupted;
  return new CliError(
    exitCode,
    `the receiver could not keep it: ${printable(receipt.why)}`,
    'mend that there, then run the same command again.',
  );
}

/** A receiver that gives up in the middle stops our stream; its receipt, which says why, is the better error. */
async function receiptInstead(
  error: unknown,
  reader: ByteReader,
  name: string,
): Promise<CliError | undefined> {
  if (error instanceof CliError) return undefined;
  if (error instanceof Error && 'syscall' in error) {
    return new CliError(
      ExitCode.LocalFile,
      `${quote(name)} cannot be read: ${error.message}.`,
      'check the file and its disk.',
      { cause: error },
    );
  }
  try {
    const receipt = await readReceipt(reader);
    return receipt.ok ? undefined : receiptError(receipt);
  } catch {
    return undefined;
  }
}
