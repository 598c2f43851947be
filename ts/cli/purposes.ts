import type { SttStream } from '../index.ts';
import { isSttError } from '../index.ts';

/**
 * The code with which a command that listens declines a stream whose purpose it does not know: whoever called wanted
 * another command, and can say so. Those of the commands' own conversations are smaller.
 */
export const NOT_MINE = 0x100;

/** Declines, unread, a stream that belongs to another command, or to another program of the same network. */
export function decline(stream: SttStream): void {
  stream.reset(NOT_MINE);
  stream.stop(NOT_MINE);
}

/** Whether a stream failed because what listens there is another command. */
export function wasDeclined(error: unknown): boolean {
  return isSttError(error, 'STREAM_CLOSED') && error.applicationCode === NOT_MINE;
}
