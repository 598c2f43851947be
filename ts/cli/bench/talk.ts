import type { SttStream } from '../../index.ts';
import type { ByteReader } from '../transfer/byte-reader.ts';
import { malformed, readObject, writeMessage } from '../transfer/messages.ts';

/**
 * The conversation of a bench, on a bidirectional stream with this purpose (docs/adr/0118-bench.md). For each run:
 *
 * 1. the measuring side: a {@link Run};
 * 2. the listener: an {@link Answer}; if it accepts, the measuring side opens a bidirectional stream with
 *    {@link BYTES_PURPOSE}, and each side that the run lets send writes to it until the other stops it;
 * 3. the listener: its {@link Share} of the run.
 *
 * FIN of the measuring side ends it. Messages are those of a transfer: JSON behind a length of four bytes, little endian.
 */
export const BENCH_PURPOSE = 'stt.bench.1';

/** The stream whose bytes are counted. */
export const BYTES_PURPOSE = 'stt.bench.bytes.1';

/** Who sends: whoever measures, the listener, or both at a time. */
export const DIRECTIONS = ['up', 'down', 'both'] as const;

export type Direction = (typeof DIRECTIONS)[number];

/** What is to be measured. */
export interface Run {
  readonly direction: Direction;
  /** Milliseconds at the beginning that do not count. */
  readonly warmUpMs: number;
  /** Milliseconds that count. */
  readonly ms: number;
}

/** Whether the listener takes part. */
export type Answer =
  | { readonly accept: true }
  | {
      readonly accept: false;
      /** It measures with another; that passes. */
      readonly busy: boolean;
      readonly why: string;
    };

/** What one side saw of the time that counts. */
export interface Share {
  /** Milliseconds that it was, by this side's clock. */
  readonly ms: number;
  /** Bytes that came, of what was written. */
  readonly received: number;
  /** Of one core, for the whole process. */
  readonly cpuPercent: number;
  readonly packetsSent: number;
  /** Of those, declared lost; what they carried was sent again. */
  readonly packetsLost: number;
}

/** Reads a {@link Run}; undefined when there is none any more. */
export async function readRun(reader: ByteReader): Promise<Run | undefined> {
  if (await reader.ends()) return undefined;
  const { direction, warmUpMs, ms } = await readObject(reader);
  const known = DIRECTIONS.find((one) => one === direction);
  if (known === undefined || !isAmount(warmUpMs) || !isAmount(ms)) throw malformed('run');
  return { direction: known, warmUpMs, ms };
}

/** Reads an {@link Answer}. */
export async function readAnswer(reader: ByteReader): Promise<Answer> {
  const { accept, busy, why } = await readObject(reader);
  if (accept === true) return { accept };
  if (accept === false && typeof busy === 'boolean' && typeof why === 'string')
    return { accept, busy, why };
  throw malformed('answer');
}

/** Reads a {@link Share}. */
export async function readShare(reader: ByteReader): Promise<Share> {
  const { ms, received, cpuPercent, packetsSent, packetsLost } = await readObject(reader);
  if (
    !isAmount(ms) ||
    !isAmount(received) ||
    !isAmount(cpuPercent) ||
    !isAmount(packetsSent) ||
    !isAmount(packetsLost)
  ) {
    throw malformed('share');
  }
  return { ms, received, cpuPercent, packetsSent, packetsLost };
}

/** Says one of them. */
export function say(stream: SttStream, message: Run | Answer | Share): Promise<void> {
  return writeMessage(stream, message);
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
