import { formatAddress } from '../address.ts';
import type { DiagnosticsChannel, DiagnosticsMessages } from '../diagnostics.ts';
import { hasBrand } from '../errors/error.ts';
import { errorInfo, formatCode } from '../errors/table.ts';
import type { SttSession } from '../session.ts';
import type { SttStream } from '../stream.ts';

/** How much a record matters. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** One event, flat and ready for JSON: no objects of this package, no secret, no payload. */
export interface LogRecord {
  /** What happened, such as `session.closed`: the name of the diagnostics channel without `stt.`. */
  readonly event: string;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** The error, such as `0x0202`; null where there is none. */
  readonly code: string | null;
  /** The peer's address, `host:port`; null where there is none. */
  readonly peer: string | null;
  readonly [detail: string]: string | number | boolean | null;
}

/** A record with its words and its weight. */
export interface LogEntry {
  readonly level: LogLevel;
  readonly message: string;
  readonly record: LogRecord;
}

type Detail = string | number | boolean | undefined;
type Details = Readonly<Record<string, Detail>>;

/** What one channel says to a log. */
interface Description<Message> {
  readonly level: LogLevel | ((message: Message) => LogLevel);
  readonly words: (message: Message) => string;
  readonly details?: (message: Message) => Details;
}

type Descriptions = {
  readonly [Name in DiagnosticsChannel]: Description<DiagnosticsMessages[Name]>;
};

const DESCRIPTIONS: Descriptions = {
  'stt.endpoint.created': {
    level: 'debug',
    words: ({ endpoint }) => `endpoint bound to ${formatAddress(endpoint.address)}`,
    details: ({ endpoint }) => ({ localNodeId: endpoint.nodeId }),
  },
  'stt.endpoint.closed': {
    level: ({ error }) => (error === undefined ? 'debug' : 'error'),
    words: ({ error }) => `endpoint ended${because(error)}`,
  },
  'stt.endpoint.handshakeError': {
    level: 'warn',
    words: ({ peer, error }) => `handshake of ${peer} failed${because(error)}`,
  },
  'stt.endpoint.sendError': {
    level: 'warn',
    words: ({ error, count }) => `${counted(count, 'datagram')} not sent${because(error)}`,
    details: ({ count }) => ({ count }),
  },
  'stt.endpoint.frameError': {
    level: 'warn',
    words: ({ error, count }) =>
      `${counted(count, 'frame')} outside any session dropped${because(error)}`,
    details: ({ count }) => ({ count }),
  },
  'stt.endpoint.resourceWarning': {
    level: 'warn',
    words: ({ resource, wanted, granted }) => `${resource}: ${granted} of ${wanted} granted`,
    details: ({ resource, wanted, granted }) => ({ resource, wanted, granted }),
  },
  'stt.endpoint.addressChange': {
    level: 'info',
    words: ({ address }) => `endpoint bound to ${formatAddress(address)} now`,
  },
  'stt.connect.failed': {
    // An application that changes its mind is no failure.
    level: ({ error }) => (hasBrand(error) ? 'error' : 'warn'),
    words: ({ peer, error }) => `connect to ${peer} failed${because(error)}`,
  },
  'stt.connect.retry': {
    level: 'warn',
    words: ({ peer, attempt, delay, error }) =>
      `try ${attempt} of ${peer} failed, the next in ${delay} ms${because(error)}`,
    details: ({ attempt, delay }) => ({ attempt, delay }),
  },
  'stt.breaker.change': {
    level: ({ state }) => (state === 'open' ? 'warn' : 'info'),
    words: ({ peer, state }) => `circuit of ${peer} is ${state}`,
    details: ({ nodeId, state, retryAfter, total, failed }) => ({
      nodeId,
      state,
      retryAfter,
      total,
      failed,
    }),
  },
  'stt.session.opened': {
    level: 'info',
    words: ({ session }) =>
      `session ${session.isInitiator ? 'to' : 'from'} ${peerOf(session)} opened`,
    details: ({ session }) => ({ initiator: session.isInitiator, resumed: session.resumed }),
  },
  'stt.session.draining': {
    level: 'debug',
    words: ({ session, initiator }) =>
      initiator === 'local'
        ? `session with ${peerOf(session)} is closing`
        : `${peerOf(session)} is about to end its session`,
    details: ({ initiator, within }) => ({
      initiator,
      ...(within === undefined ? {} : { within }),
    }),
  },
  'stt.session.pathChange': {
    level: 'info',
    words: ({ session, transport, reason }) =>
      `session goes on with ${peerOf(session)} by ${transport === 'udp' ? 'UDP' : 'WebSocket'} (${reason})`,
    details: ({ transport, from, reason, measured }) => ({
      transport,
      from,
      reason,
      ...measured,
    }),
  },
  'stt.session.pathWarning': {
    level: 'warn',
    words: ({ message }) => message,
    details: ({ corruption }) => ({ corruption }),
  },
  'stt.session.frameError': {
    level: 'warn',
    words: ({ session, code, count }) =>
      `${counted(count, 'frame')} from ${peerOf(session)} dropped: ${errorInfo(code)?.codeName ?? 'UNKNOWN'}`,
    details: ({ count }) => ({ count }),
  },
  'stt.session.sendError': {
    // The endpoint has told it.
    level: 'debug',
    words: ({ session, error, count }) =>
      `${counted(count, 'datagram')} to ${peerOf(session)} not sent${because(error)}`,
    details: ({ count }) => ({ count }),
  },
  'stt.session.closed': {
    level: ({ error }) => (error === undefined ? 'info' : 'warn'),
    words: ({ session, reason, error }) =>
      `session with ${peerOf(session)} ended (${reason})${because(error)}`,
    details: ({ reason }) => ({ reason }),
  },
  'stt.session.reconnecting': {
    level: 'warn',
    words: ({ peer, attempt, delay, error }) =>
      `session with ${peer} is lost, try ${attempt} in ${delay} ms${because(error)}`,
    details: ({ attempt, delay }) => ({ attempt, delay }),
  },
  'stt.session.reconnected': {
    level: 'info',
    words: ({ session, downtime, attempts }) =>
      `session with ${peerOf(session)} is back after ${Math.round(downtime)} ms and ${attempts} ${attempts === 1 ? 'try' : 'tries'}`,
    details: ({ downtime, attempts, lost }) => ({ downtime, attempts, streamsLost: lost.length }),
  },
  'stt.stream.opened': {
    level: 'debug',
    words: ({ session, stream }) => `stream ${stream.id} with ${peerOf(session)} opened`,
  },
  'stt.stream.closed': {
    level: ({ error }) => (error === undefined ? 'debug' : 'info'),
    words: ({ session, stream, error }) =>
      `stream ${stream.id} with ${peerOf(session)} ended${because(error)}`,
  },
};

/** All channels. */
export const CHANNELS = Object.keys(DESCRIPTIONS) as readonly DiagnosticsChannel[];

/** What a log gets of one message of a channel. */
export function describe<Name extends DiagnosticsChannel>(
  name: Name,
  message: DiagnosticsMessages[Name],
): LogEntry {
  const description: Description<DiagnosticsMessages[Name]> = DESCRIPTIONS[name];
  const { level } = description;
  const { timestamp, code, peer, session, stream, error } = message as DiagnosticsMessages[Name] & {
    session?: SttSession;
    stream?: SttStream;
    error?: unknown;
  };
  const details: Details = {
    ...(session === undefined ? {} : { nodeId: session.peerNodeId, sessionId: session.id }),
    ...(stream === undefined ? {} : { streamId: stream.id, purpose: stream.purpose }),
    ...description.details?.(message),
    ...(error === undefined ? {} : errorDetails(error)),
  };
  const record = {
    event: name.slice('stt.'.length),
    timestamp,
    code: code === undefined ? null : formatCode(code),
    peer: peer ?? null,
    ...Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined)),
  } as LogRecord;
  return {
    level: typeof level === 'function' ? level(message) : level,
    message: description.words(message),
    record,
  };
}

function errorDetails(error: unknown): Details {
  if (!hasBrand(error)) {
    return error instanceof Error
      ? { error: error.name, errorMessage: error.message }
      : { error: String(error) };
  }
  return {
    codeName: error.codeName,
    subcodeName: error.subcodeName,
    reason: error.reason,
    origin: error.origin,
    recovery: error.recovery,
    errorMessage: error.message,
  };
}

function because(error: unknown): string {
  if (error === undefined) return '';
  return `: ${error instanceof Error ? error.message : String(error)}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function peerOf(session: SttSession): string {
  return formatAddress(session.remoteAddress);
}
