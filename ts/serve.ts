import { hasBrand } from './errors/error.ts';
import { warn } from './events.ts';
import type { SttSession } from './session.ts';

/** Runs one handler for one session; what it throws ends that session only. */
export async function runHandler(
  session: SttSession,
  handler: (session: SttSession) => void | Promise<void>,
  onError: ((error: unknown, session: SttSession) => void) | undefined,
): Promise<void> {
  try {
    await handler(session);
  } catch (error) {
    // The peer is told that it failed, not why: that is this side's affair.
    session.destroy('the handler of this session failed');
    report(error, session, onError);
  }
}

function report(
  error: unknown,
  session: SttSession,
  onError: ((error: unknown, session: SttSession) => void) | undefined,
): void {
  if (onError === undefined) {
    // What a peer or the network did is no mistake of the handler's.
    if (!hasBrand(error)) warn(`the handler of session ${session.id} threw`, error);
    return;
  }
  try {
    onError(error, session);
  } catch (second) {
    warn('onError threw', second);
  }
}
