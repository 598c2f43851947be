import { SessionClosedError } from './classes.ts';
import type { SttError } from './error.ts';
import { SttStateError } from './local.ts';

/** What a call gets that comes after the end of its endpoint. */
export function closedState(what: string): SttStateError {
  return new SttStateError(`Cannot ${what}: this endpoint has been closed. Create another one.`);
}

/** What a connect gets that the end of its endpoint breaks. */
export function connectEnded(peer: string, error: SttError | undefined): SttError {
  const message = `This endpoint was closed while it connected to ${peer}.`;
  const details = { reason: 'graceful', origin: 'local', context: { peer } } as const;
  return error ?? new SessionClosedError(message, details);
}
