import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SttSession, SttStream } from '../../index.ts';
import { isSttError } from '../../index.ts';
import type { Run, Share } from './talk.ts';

/** Bytes of one write. What waits to be sent is bounded by the session's own buffers. */
const BLOCK_LENGTH = 64 * 1024;
/** How long whoever sends goes on after its own end, for a side whose clock began later. */
export const GRACE_MS = 2_000;

/** What this side does in a run. */
export interface Part {
  readonly sends: boolean;
  readonly receives: boolean;
}

/**
 * Takes part in a run on `stream`: sends, receives, or both, and counts what comes between the warm-up and the end by this
 * side's clock. Whoever receives ends it, so that all of its time is full of bytes; whoever sends ends by itself soon after.
 *
 * @throws the signal's reason; or what ended the session.
 */
export async function takePart(
  session: SttSession,
  stream: SttStream,
  { sends, receives }: Part,
  { warmUpMs, ms }: Pick<Run, 'warmUpMs' | 'ms'>,
  signal: AbortSignal,
  graceMs: number = GRACE_MS,
): Promise<Share> {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const counter = { received: 0 };
  // A half that has nothing to say may be stopped before its end has arrived.
  const sending = sends ? pump(stream, either) : stream.end().catch(() => undefined);
  sending.catch(() => undefined);
  if (receives) void drain(stream, counter);
  else stream.stop(0);
  const take = (): Snapshot => snapshot(session, counter.received);
  try {
    await Promise.race([sleep(warmUpMs, undefined, { signal: either }), failure(session)]);
    const before = take();
    await Promise.race([sleep(ms, undefined, { signal: either }), failure(session)]);
    const after = take();
    if (receives) stream.stop(0);
    // Until the other side, which may have begun later, has had all of its time.
    await Promise.race([sending, sleep(graceMs, undefined, { signal: either }), failure(session)]);
    return difference(before, after);
  } finally {
    over.abort();
    if (receives) stream.stop(0);
    if (sends) stream.reset(0);
  }
}

interface Snapshot {
  readonly at: number;
  readonly cpuMs: number;
  readonly received: number;
  readonly packetsSent: number;
  readonly packetsLost: number;
}

function snapshot(session: SttSession, received: number): Snapshot {
  const { packetsSent = 0, packetsLost = 0 } = session.stats() ?? {};
  const { user, system } = process.cpuUsage();
  return {
    at: performance.now(),
    cpuMs: (user + system) / 1_000,
    received,
    packetsSent,
    packetsLost,
  };
}

function difference(before: Snapshot, after: Snapshot): Share {
  const ms = after.at - before.at;
  return {
    ms,
    received: after.received - before.received,
    cpuPercent: ms > 0 ? ((after.cpuMs - before.cpuMs) / ms) * 100 : 0,
    packetsSent: after.packetsSent - before.packetsSent,
    packetsLost: after.packetsLost - before.packetsLost,
  };
}

/** Writes until the other side stops it. */
async function pump(stream: SttStream, signal: AbortSignal): Promise<void> {
  // Nobody's data: what cannot be compressed, for networks that try.
  const block = randomBytes(BLOCK_LENGTH);
  try {
    while (!signal.aborted) await stream.write(block, { signal });
  } catch (error) {
    if (!isSttError(error) && !signal.aborted) throw error;
  }
}

/** Reads and forgets. */
async function drain(stream: SttStream, counter: { received: number }): Promise<void> {
  try {
    for await (const batch of stream.batches({ lend: true })) {
      for (const { length } of batch) counter.received += length;
    }
  } catch {
    // It was stopped, or the session ended, which the side that waits for it says.
  }
}

/** Never resolves: rejects when the session has ended, whatever way. */
async function failure(session: SttSession): Promise<never> {
  const { error, message } = await session.settled;
  throw error ?? new SessionOverError(message);
}

/** The other side ended the session in the middle of it, without an error. */
export class SessionOverError extends Error {
  override readonly name = 'SessionOverError';
}
