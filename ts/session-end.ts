import type { SttError, SttErrorOrigin } from './errors/error.ts';
import type { FaultPlace } from './errors/fault.ts';
import {
  asEnd,
  closeReason,
  faultToError,
  peerFaultToError,
  reasonToError,
  sessionClosedError,
} from './errors/fault.ts';
import type { Fault } from './native/engine.ts';

/** What the core tells about the end of a session. */
export interface SessionEnd {
  readonly reason: number;
  readonly remote: boolean;
  readonly fault?: Fault | undefined;
  readonly message: string;
  /** What the core knows of; what waits here is added. */
  readonly undelivered: number;
  /** Whose doing it was, where neither the fault nor the side that ended it says. */
  readonly origin?: SttErrorOrigin;
}

const CODE_SESSION_CLOSED = 0x0201;

/** What a session that did not end well ended by. */
export function rootCause(end: SessionEnd, origin: SttErrorOrigin, place: FaultPlace): SttError {
  const { fault, message } = end;
  const reason = closeReason(end.reason);
  if (fault !== undefined && fault.origin === 'peer') {
    return peerFaultToError(fault, reason, message, place);
  }
  if (fault !== undefined && fault.code !== CODE_SESSION_CLOSED) {
    return faultToError(asEnd(fault, place.peer), place);
  }
  if (end.remote || reason !== 'error') return reasonToError(reason, message, place);
  return sessionClosedError('error', undefined, place, origin);
}
