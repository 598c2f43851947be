import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import type { SttSession, SttStream } from '../../index.ts';
import { printable } from '../../printable.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { ByteReader } from './byte-reader.ts';
import type { Offer, Receipt } from './messages.ts';
import { readAnswer, readReceipt, TRANSFER_PURPOSE, writeMessage } from './messages.ts';
import { quote } from './names.ts';

/** How much is read from the disk at once. */
const READ_BLOCK = 512 * 1024;

/** A file or pipe that is ready to be read once. */
export interface Source {
  readonly offer: Offer;
  readonly bytes: Readable;
  /** Releases it without reading on. */
  close(): Promise<void>;
}

/** A file that the receiver has whole and verified. */
export interface Sent {
  /** The name that the receiver gave it. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly seconds: number;
}

/**
 * Opens what is to be sent, so that a missing file is known before anybody is called.
 *
 * @throws a Node system error (`ENOENT`, `EACCES`) or a {@link CliError} for what is not a file.
 */
export async function openSource(path: string, name: string | undefined): Promise<Source> {
  if (path === '-') {
    const offer = { name: name ?? 'stdin', size: null, modified: null };
    return { offer, bytes: process.stdin, close: async () => void process.stdin.destroy() };
  }
  const file = await open(path, 'r');
  try {
    const stat = await file.stat();
    if (stat.isDirectory()) {
      throw new CliError(
        ExitCode.LocalFile,
        `${path} is a folder.`,
        'name a file; pack a folder first, as in "tar c DIR | stt send - PEER".',
      );
    }
    const size = stat.isFile() ? stat.size : null;
    const offer = { name: name ?? basename(path), size, modified: Math.trunc(stat.mtimeMs) };
    // Read only up to the size that was announced: a file that grows meanwhile is cut, not refused at the end.
    const end = size === null ? Number.POSITIVE_INFINITY : size - 1;
    const bytes = file.createReadStream({
      highWaterMark: READ_BLOCK,
      start: 0,
      end: Math.max(end, 0),
      autoClose: true,
    });
    return { offer, bytes, close: async () => void bytes.destroy() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Sends one file and waits for the receipt.
 *
 * @throws {CliError} when the receiver declines, cannot store it, or reports another hash.
 * @throws {SttError} when the session ends before the receipt.
 */
export async function sendFile(session: SttSession, source: Source, output: Output): Promise<Sent> {
  const { offer } = source;
  const stream = await session.createBidirectionalStream({ purpose: TRANSFER_PURPOSE });
  const reader = new ByteReader(stream.batches());
  await writeMessage(stream, offer);
  const answer = await readAnswer(reader);
  if (!answer.accept) {
    throw new CliError(
      ExitCode.Interrupted,
      `the receiver declined: ${printable(answer.why)}`,
      'agree with the other side, then run the same command again.',
    );
  }
  const started = performance.now();
  const progress = output.progress(offer.name, offer.size ?? undefined);
  try {
    const { bytes, digest } = await upload(stream, source, (done) => progress.update(done));
    await stream.write(digest);
    // The receipt says more than the acknowledgement of FIN, so both are awaited at once.
    const [receipt] = await Promise.all([readReceipt(reader), stream.end()]);
    // The far side's FIN is on its way; closing before it came would cut its stream.
    for await (const _ of reader.rest());
    const sha256 = digest.toString('hex');
    checkReceipt(receipt, offer, sha256);
    return { name: receipt.name, bytes, sha256, seconds: (performance.now() - started) / 1_000 };
  } catch (error) {
    throw (await receiptInstead(error, reader, offer)) ?? error;
  } finally {
    progress.stop();
  }
}

async function upload(
  stream: SttStream,
  source: Source,
  onProgress: (done: number) => void,
): Promise<{ bytes: number; digest: Buffer }> {
  const hash = createHash('sha256');
  let bytes = 0;
  if (source.offer.size !== 0) {
    for await (const chunk of source.bytes as AsyncIterable<Buffer>) {
      const taken = stream.write(chunk);
      hash.update(chunk);
      await taken;
      bytes += chunk.length;
      onProgress(bytes);
    }
  } else {
    await source.close();
  }
  if (source.offer.size !== null && bytes !== source.offer.size) {
    throw new CliError(
      ExitCode.LocalFile,
      `${quote(source.offer.name)} shrank from ${source.offer.size} to ${bytes} bytes while it was read.`,
      'send it again once nothing writes to it.',
    );
  }
  return { bytes, digest: hash.digest() };
}

function checkReceipt(
  receipt: Receipt,
  offer: Offer,
  sha256: string,
): asserts receipt is Extract<Receipt, { ok: true }> {
  if (!receipt.ok) throw receiptError(receipt);
  if (receipt.sha256 !== sha256) {
    throw new CliError(
      ExitCode.HashMismatch,
      `${quote(offer.name)}: the receiver stored other bytes than were sent.`,
      'run the same command again; if it happens twice, check the disks and memory of both machines.',
    );
  }
}

function receiptError(receipt: Extract<Receipt, { ok: false }>): CliError {
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
  offer: Offer,
): Promise<CliError | undefined> {
  if (error instanceof CliError) return undefined;
  try {
    const receipt = await readReceipt(reader);
    return receipt.ok ? undefined : receiptError(receipt);
  } catch {
    return error instanceof Error && 'syscall' in error
      ? new CliError(
          ExitCode.LocalFile,
          `${quote(offer.name)} cannot be read: ${error.message}.`,
          'check the file and its disk.',
          { cause: error },
        )
      : undefined;
  }
}
