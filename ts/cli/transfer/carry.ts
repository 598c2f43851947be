import { setTimeout as pause } from 'node:timers/promises';
import type { SttSession } from '../../index.ts';
import { isSttError } from '../../index.ts';
import { describeFailure } from '../failure.ts';
import { UnexpectedEndError } from './byte-reader.ts';
import type { Sending, Sent } from './send.ts';
import { ReceiverBusyError, sendFile } from './send.ts';

/** How the sessions of one transfer are had. */
export interface Line {
  /** One try to reach the receiver; after the first, the same node and no other. */
  connect(): Promise<SttSession>;
  /** How long it may stand still after a break, in milliseconds. */
  readonly patience: number;
}

/** How a transfer went. */
export interface Carried extends Sent {
  readonly session: SttSession;
  /** Sessions after the first. */
  readonly reconnects: number;
}

/** Pauses between tries: at random from half to all of what doubles from the first to the last of these. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

/** How long a session may take to say goodbye once the receipt is there. */
const GOODBYE_MS = 5_000;

/** Connecting, sessions, streams and the network below; of the others, what passes by itself. */
const PASSING_CATEGORIES: ReadonlySet<number> = new Set([1, 2, 3, 5]);
const PASSING_NAMES: ReadonlySet<string> = new Set(['HANDSHAKE_FAILURE', 'RESOURCE_EXHAUSTED']);

/** Sends a file on as many sessions as it takes. What the first cannot begin is not tried again. */
export async function carry(sending: Sending, line: Line): Promise<Carried> {
  const { state, output, signal } = sending;
  let sessions = 0;
  let tries = 0;
  let best = state.best;
  for (;;) {
    let session: SttSession | undefined;
    try {
      session = await line.connect();
      sessions += 1;
      output.detail(
        `session ${session.id} with node ${session.peerNodeId} over ${session.transport}`,
      );
      const sent = await sendFile(session, sending);
      // The receipt is there: whatever happens to the session now, the file has arrived.
      await session.close({ timeout: GOODBYE_MS }).catch(() => undefined);
      return { ...sent, session, reconnects: sessions - 1 };
    } catch (thrown) {
      const error = rootOf(thrown);
      session?.destroy('this side begins anew');
      signal.throwIfAborted();
      if (!sending.resume || !state.begun || !sending.source.readable || !isPassing(error))
        throw error;
      if (state.best > best) tries = 0;
      best = state.best;
      const delay = pauseAfter(tries);
      if (performance.now() + delay - state.advanced > line.patience) throw error;
      tries += 1;
      const { code, headline } = describeFailure(error);
      output.event('reconnecting', { try: tries, code, message: headline, delay });
      if (tries === 1) output.note(`${headline}\nTrying again ...`);
      await pause(delay, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

function pauseAfter(tries: number): number {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries);
  return Math.round(longest * (0.5 + Math.random() / 2));
}

/** What ended a session, rather than that it has ended. */
function rootOf(error: unknown): unknown {
  return isSttError(error, 'SESSION_CLOSED') && isSttError(error.cause) ? error.cause : error;
}

/** Whether the same may succeed later: a session that ended, a peer that is away, and not a verdict. */
function isPassing(error: unknown): boolean {
  if (error instanceof UnexpectedEndError || error instanceof ReceiverBusyError) return true;
  if (!isSttError(error) || !error.recoverable) return false;
  return PASSING_CATEGORIES.has(error.code >> 8) || PASSING_NAMES.has(error.codeName);
}
