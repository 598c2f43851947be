import { timingSafeEqual } from 'node:crypto';
import type { SttSession, SttStream } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { formatSize } from '../units.ts';
import { ByteReader } from './byte-reader.ts';
import type { Offer, Receipt } from './messages.ts';
import { DIGEST_LENGTH, readOffer, TRANSFER_PURPOSE, writeMessage } from './messages.ts';
import { checkName, NameError, quote } from './names.ts';
import type { Collision } from './target.ts';
import { exists, freeSpace, TargetExistsError, TargetFile } from './target.ts';

/** Where files go and which are taken. */
export interface ReceiveOptions {
  readonly folder: string;
  readonly collision: Collision;
  /** Largest file that is taken, in bytes. */
  readonly maxSize: number;
  readonly output: Output;
}

/** A file that arrived whole. */
export interface Received {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly seconds: number;
}

/**
 * Receives the one file that a sender offers on `session`.
 *
 * @throws {CliError} when the offer is refused or the file cannot be kept; the sender is told why first.
 * @throws {SttError} when the session ends before the file is whole. Nothing is left under the final name.
 */
export async function receiveFile(session: SttSession, options: ReceiveOptions): Promise<Received> {
  const stream = await nextTransfer(session);
  const reader = new ByteReader(stream.batches());
  const offer = await readOffer(reader);
  const name = await admit(stream, reader, offer, options);
  const started = performance.now();
  await writeMessage(stream, { accept: true });
  const progress = options.output.progress(name, offer.size ?? undefined);
  const target = await TargetFile.create(options.folder);
  try {
    const stated = await store(reader, target, offer, options.maxSize, (done) =>
      progress.update(done),
    );
    const digest = await target.digest();
    if (!timingSafeEqual(digest, stated)) {
      throw new Refusal(
        'hash',
        ExitCode.HashMismatch,
        `${name}: what stands on the disk is not what was sent.`,
        'run the same command again; if it happens twice, check this disk and its memory.',
      );
    }
    const final = await target.commit(name, options.collision, offer.modified);
    const received = { name: final, bytes: target.length, sha256: digest.toString('hex') };
    await sendReceipt(stream, { ok: true, ...received });
    return { ...received, seconds: (performance.now() - started) / 1_000 };
  } catch (error) {
    const refusal = asRefusal(error, name);
    if (refusal === undefined) throw error;
    await sendReceipt(stream, { ok: false, fault: refusal.fault, why: refusal.message }).catch(
      () => undefined,
    );
    await reader.cancel().catch(() => undefined);
    throw refusal;
  } finally {
    progress.stop();
    await target.discard();
  }
}

/** A reason of ours not to keep the file, told to the sender in the receipt. */
class Refusal extends CliError {
  readonly fault: Exclude<Receipt, { ok: true }>['fault'];

  constructor(
    fault: Refusal['fault'],
    exitCode: ExitCode,
    message: string,
    hint: string,
    options?: ErrorOptions,
  ) {
    super(exitCode, message, hint, options);
    this.fault = fault;
  }
}

async function nextTransfer(session: SttSession): Promise<SttStream> {
  for await (const stream of session.incomingBidirectionalStreams) {
    if (stream.purpose === TRANSFER_PURPOSE) return stream;
    // Another program of the same network may share the port; what is not ours is declined, not read.
    stream.reset(0);
    stream.stop(0);
  }
  throw new CliError(
    ExitCode.Interrupted,
    'the sender left without offering a file.',
    'run "stt send" there again.',
  );
}

/** Checks the offer before a byte of the file is sent. Returns the name to store it under. */
async function admit(
  stream: SttStream,
  reader: ByteReader,
  offer: Offer,
  options: ReceiveOptions,
): Promise<string> {
  try {
    const name = checkName(offer.name);
    const size = offer.size ?? 0;
    if (size > options.maxSize) {
      throw new CliError(
        ExitCode.LocalFile,
        `${name} has ${formatSize(size)}; at most ${formatSize(options.maxSize)} are taken.`,
        'raise --max-size.',
      );
    }
    const free = await freeSpace(options.folder);
    if (size > free) {
      throw new CliError(
        ExitCode.LocalFile,
        `${name} has ${formatSize(size)}; the disk has ${formatSize(free)} free.`,
        'free some space, or choose another folder.',
      );
    }
    if (options.collision === 'refuse' && (await exists(options.folder, name))) {
      throw new CliError(
        ExitCode.LocalFile,
        `${name} exists already in ${options.folder}.`,
        'allow it with --overwrite, or keep both with --rename.',
      );
    }
    return name;
  } catch (error) {
    const refusal =
      error instanceof NameError
        ? new CliError(
            ExitCode.LocalFile,
            `refused: ${error.message}.`,
            'rename the file at the sender.',
          )
        : error;
    const why = refusal instanceof Error ? refusal.message : 'the receiver failed';
    await writeMessage(stream, { accept: false, why }).catch(() => undefined);
    await stream.end().catch(() => undefined);
    await reader.cancel().catch(() => undefined);
    throw refusal;
  }
}

/** Writes all but the last {@link DIGEST_LENGTH} bytes to the file and returns these. */
async function store(
  reader: ByteReader,
  target: TargetFile,
  offer: Offer,
  maxSize: number,
  onProgress: (done: number) => void,
): Promise<Uint8Array> {
  let held: Uint8Array = new Uint8Array(0);
  const limit = offer.size ?? maxSize;
  for await (const batch of reader.rest()) {
    const { body, tail } = splitTail([held, ...batch]);
    held = tail;
    await target.write(body);
    if (target.length > limit) {
      throw new Refusal(
        'size',
        ExitCode.LocalFile,
        `the sender sent more than the ${formatSize(limit)} allowed.`,
        'raise --max-size, or send a file that does not grow meanwhile.',
      );
    }
    onProgress(target.length);
  }
  if (held.length < DIGEST_LENGTH || (offer.size !== null && target.length !== offer.size)) {
    throw new Refusal(
      'size',
      ExitCode.HashMismatch,
      `${quote(offer.name)} ended after ${target.length} bytes; ${offer.size ?? 'more'} were announced.`,
      'send it again; it was changed while it was read.',
    );
  }
  return held;
}

/** Cuts the last {@link DIGEST_LENGTH} bytes (or all, if fewer) off a list of chunks. */
function splitTail(chunks: readonly Uint8Array[]): { body: Uint8Array[]; tail: Uint8Array } {
  const body = [...chunks];
  const tail: Uint8Array[] = [];
  let missing = DIGEST_LENGTH;
  while (missing > 0) {
    const chunk = body.pop();
    if (chunk === undefined) break;
    const cut = Math.max(0, chunk.length - missing);
    tail.unshift(chunk.subarray(cut));
    missing -= chunk.length - cut;
    if (cut > 0) body.push(chunk.subarray(0, cut));
  }
  return { body, tail: Buffer.concat(tail) };
}

/** The sender closes the session once it holds the receipt, so that is not a failure here. */
async function sendReceipt(stream: SttStream, receipt: Receipt): Promise<void> {
  await writeMessage(stream, receipt);
  await stream.end();
}

function asRefusal(error: unknown, name: string): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (error instanceof TargetExistsError) {
    return new Refusal(
      'exists',
      ExitCode.LocalFile,
      `${error.message}.`,
      'allow it with --overwrite, or keep both with --rename.',
    );
  }
  if (
    error instanceof Error &&
    'syscall' in error &&
    'code' in error &&
    typeof error.code === 'string'
  ) {
    const full = error.code === 'ENOSPC' || error.code === 'EDQUOT';
    return new Refusal(
      'disk',
      ExitCode.LocalFile,
      `${error.code}: ${name} cannot be stored: ${full ? 'the disk is full' : error.message}.`,
      full ? 'free some space, or choose another folder.' : 'check the folder and its disk.',
      { cause: error },
    );
  }
  return undefined;
}
