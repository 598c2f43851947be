import type { SttEndpoint, SttSession, SttStream } from '../../index.ts';
import { isSttError, ReconnectingSession } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { wasDeclined } from '../purposes.ts';
import { UnexpectedEndError } from './byte-reader.ts';
import { ReceiverBusyError } from './send.ts';

/** What is talked about with the receiver, over as many sessions as it takes. */
export interface Conversation<T> {
  readonly purpose: string;
  readonly output: Output;
  /** Whether another session could go on where this one breaks. */
  readonly resumable: () => boolean;
  readonly state: { met: boolean; readonly begun: boolean; readonly advanced: number };
  /** All of it on one session; `signal` aborts when that has ended. */
  readonly talk: (stream: SttStream, session: SttSession, signal: AbortSignal) => Promise<T>;
}

/** How the receiver is reached. */
export interface Line {
  /** 64 hex digits, or `any`: then whoever takes the first bytes gets the rest, and nobody else. */
  readonly peerNodeId: string;
  /** Milliseconds for one try. */
  readonly timeout: number;
  readonly transport: 'udp' | 'websocket' | 'auto';
  /** Milliseconds that a transfer may stand still after a break. */
  readonly patience: number;
  /** Ends the wait for the first session; then the end of the endpoint does. */
  readonly signal: AbortSignal;
}

/** How a transfer went. */
export interface Carriage {
  readonly peerNodeId: string;
  /** That of its last session, as is `sessionId`. */
  readonly transport: string;
  readonly sessionId: string;
  /** Sessions after the first. */
  readonly reconnects: number;
  /** Times that a session went over to another path. */
  readonly moves: number;
}

/** What one conversation came to, where another would come to the same. */
type Outcome<T> = { readonly sent: T } | { readonly verdict: unknown };

/** How long a session may take to say goodbye once the receipt is there. */
const GOODBYE_MS = 5_000;

/** Pauses between tries: somebody may just have started the receiver again. */
const PAUSES = { base: 250, minDelay: 50, maxDelay: 5_000 } as const;

/**
 * Sends something on as many sessions as it takes. Where not even the first session comes about, that is the end; one that
 * is lost before its receiver has answered is followed by another, as any later one is.
 */
export async function carry<T extends object>(
  endpoint: SttEndpoint,
  peer: string,
  conversation: Conversation<T>,
  { patience, signal, ...options }: Line,
): Promise<T & Carriage> {
  const { state, output } = conversation;
  const giveUp = new AbortController();
  const forward = (): void => giveUp.abort(signal.reason);
  signal.addEventListener('abort', forward, { once: true });
  const line = await ReconnectingSession.connect(endpoint, peer, {
    ...options,
    signal: giveUp.signal,
    reconnect: { ...PAUSES, deadline: patience },
  });
  // From here on whoever aborts closes the endpoint, so that what was written may still arrive.
  signal.removeEventListener('abort', forward);
  state.met = true;
  const met = performance.now();
  let reconnects = 0;
  let moves = 0;
  const mayGoOn = (): boolean =>
    conversation.resumable() &&
    // Sessions that come and go and bring nothing are no progress.
    performance.now() - Math.max(state.advanced, met) < patience;
  line.on('reconnecting', ({ attempt, delay, error }) => {
    const cause = rootOf(error);
    if (!mayGoOn()) return giveUp.abort(cause);
    const { code, headline } = output.describe(cause);
    output.event('reconnecting', { try: attempt, code, message: headline, delay });
    if (attempt === 1) output.note(`${headline}\nTrying again ...`);
  });
  line.on('reconnected', () => (reconnects += 1));
  try {
    const result = await line.run<Outcome<T>>(
      conversation.purpose,
      async (stream, { session, signal: over }) => {
        const { id: sessionId, peerNodeId, transport } = session;
        output.event('session', { sessionId, peerNodeId, transport });
        output.detail(`session ${sessionId} with node ${peerNodeId} over ${transport}`);
        session.on('pathChange', ({ transport }) => {
          moves += 1;
          output.event('moved', { sessionId, transport });
          output.detail(`session ${sessionId} goes on over ${transport}`);
        });
        try {
          return { sent: await conversation.talk(stream, session, over) };
        } catch (error) {
          if (wasDeclined(error)) return { verdict: noReceiver(error) };
          // Before the offer is taken, what a living peer says to it is an answer.
          if (isPassing(error) && state.begun && mayGoOn()) {
            // It may be better on another session; this one is given up for that.
            session.destroy('this side begins anew');
            throw error;
          }
          if (isSttError(error) || error === over.reason) throw error;
          // A verdict counts whether or not its session has ended since.
          return { verdict: error };
        }
      },
    );
    if ('verdict' in result) throw result.verdict;
    const { sent } = result;
    // The receipt is there: whatever happens to the session now, the file has arrived.
    await line.close({ timeout: GOODBYE_MS }).catch(() => undefined);
    const { transport, peerNodeId, id: sessionId } = line.session;
    return { ...sent, peerNodeId, transport, sessionId, reconnects, moves };
  } catch (error) {
    line.destroy('this side has ended the transfer');
    throw rootOf(error);
  }
}

function noReceiver(cause: unknown): CliError {
  return new CliError(
    ExitCode.Interrupted,
    'what listens there is not "stt recv".',
    'start that on the other machine, or correct the port.',
    { cause },
  );
}

/** What ended a session, rather than that it has ended. */
function rootOf(error: unknown): unknown {
  return isSttError(error, 'SESSION_CLOSED') && isSttError(error.cause) ? error.cause : error;
}

/** Whether a conversation that ended on a living session may go better on the next. */
function isPassing(error: unknown): boolean {
  return (
    error instanceof UnexpectedEndError ||
    error instanceof ReceiverBusyError ||
    isSttError(error, 'STREAM_CLOSED')
  );
}
