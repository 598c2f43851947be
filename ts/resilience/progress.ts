import type { SttStream } from '../stream.ts';

/** How far the sending half of a stream has come. */
export interface StreamProgress {
  /** Bytes that were written, as far as the transport had taken them. */
  readonly bytesWritten: number;
  /**
   * Of those, how many the peer's transport has acknowledged, without a hole. Its application may have
   * read fewer, and stored fewer still: go on from a checkpoint that it tells, not from here.
   */
  readonly bytesAcknowledged: number;
}

/** The progress of a stream, to keep. */
export function progressOf(stream: SttStream): StreamProgress {
  const { bytesWritten, bytesAcknowledged } = stream;
  return Object.freeze({ bytesWritten, bytesAcknowledged });
}
