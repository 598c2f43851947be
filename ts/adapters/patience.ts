// Writes that outlast a shortage of memory: whoever writes through an adapter has no other way to wait than its backpressure.

import { isSttError } from '../errors/guard.ts';
import type { ByteSource } from '../stream/bytes.ts';
import type { SttSendStream } from '../stream.ts';

/** As `write`; where memory has no room for any of it, waits for some and tries again. */
export async function writePatiently(stream: SttSendStream, bytes: ByteSource): Promise<void> {
  for (;;) {
    try {
      await stream.write(bytes);
      return;
    } catch (error) {
      if (!isShort(error)) throw error;
      await stream.drained();
    }
  }
}

/** The same for several in a row, at the price of one: those that are refused are the last of them, and go one after the other. */
export async function writeAllPatiently(
  stream: SttSendStream,
  chunks: readonly ByteSource[],
): Promise<void> {
  const outcomes = await Promise.allSettled(chunks.map((chunk) => stream.write(chunk)));
  for (const [at, outcome] of outcomes.entries()) {
    if (outcome.status === 'fulfilled') continue;
    if (!isShort(outcome.reason)) throw outcome.reason;
    await writePatiently(stream, chunks[at] as ByteSource);
  }
}

function isShort(error: unknown): boolean {
  return isSttError(error, 'RESOURCE_EXHAUSTED') && error.bytesTaken === 0;
}
