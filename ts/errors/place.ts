import type { SttErrorContext } from './error.ts';

/** A stream, or what else an operation was for, as messages call it: `stream 4 with 192.0.2.1:7788`. */
export function placeWords({ streamId, peer }: Partial<SttErrorContext>): string {
  const who = peer === undefined ? '' : ` with ${peer}`;
  return `${streamId === undefined ? 'the session' : `stream ${streamId}`}${who}`;
}

/** Whoever is at the other end, to begin a sentence with. */
export function peerWords({ peer }: Partial<SttErrorContext>): string {
  return peer ?? 'The peer';
}
