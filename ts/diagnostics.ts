import type { Channel } from 'node:diagnostics_channel';
import { channel } from 'node:diagnostics_channel';
import type { SocketAddress } from './address.ts';
import { formatAddress } from './address.ts';
import type { SttEndpoint } from './endpoint.ts';
import type { SttResource } from './endpoint-events.ts';
import type { SttError } from './errors/error.ts';
import { hasBrand } from './errors/error.ts';
import type { CircuitChangeEvent } from './resilience/breakers.ts';
import type { RetryEvent } from './resilience/policy.ts';
import type { ReconnectedEvent, ReconnectingEvent } from './resilience/reconnecting.ts';
import type { SttSession } from './session.ts';
import type { DrainingEvent, PathChangeEvent } from './session-state.ts';
import type { SttStream } from './stream.ts';

/** What every message has. */
export interface DiagnosticsRecord {
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** The peer's address, `host:port`, where there is one. */
  readonly peer?: string;
  /** The number of the error, where there is one. */
  readonly code?: number;
}

/** What each `node:diagnostics_channel` of this package publishes. */
export type DiagnosticsMessages = {
  readonly [Name in keyof Messages]: Messages[Name] & DiagnosticsRecord;
};

/** The same, without what every message has. */
interface Messages {
  'stt.endpoint.created': { readonly endpoint: SttEndpoint };
  'stt.endpoint.closed': { readonly endpoint: SttEndpoint; readonly error?: unknown };
  'stt.endpoint.handshakeError': {
    readonly endpoint: SttEndpoint;
    readonly peer: string;
    readonly error: SttError;
  };
  'stt.endpoint.resourceWarning': {
    readonly endpoint: SttEndpoint;
    readonly resource: SttResource;
    readonly wanted: number;
    readonly granted: number;
  };
  'stt.endpoint.addressChange': {
    readonly endpoint: SttEndpoint;
    readonly address: SocketAddress;
  };
  /** Of connects and sessions, and answers outside them; a session's stand in its own channel too. */
  'stt.endpoint.sendError': {
    readonly endpoint: SttEndpoint;
    readonly session?: SttSession;
    readonly error: SttError;
    readonly count: number;
  };
  /** Frames outside any session. */
  'stt.endpoint.frameError': {
    readonly endpoint: SttEndpoint;
    readonly error: SttError;
    readonly count: number;
  };
  'stt.session.sendError': {
    readonly session: SttSession;
    readonly error: SttError;
    readonly count: number;
  };
  /** A connect has failed for good. */
  'stt.connect.failed': {
    readonly endpoint: SttEndpoint;
    readonly peer: string;
    readonly error: unknown;
  };
  /** A try of a connect has failed, and another follows. */
  'stt.connect.retry': RetryEvent & { readonly endpoint: SttEndpoint; readonly peer: string };
  /** The circuit of a peer has changed. */
  'stt.breaker.change': CircuitChangeEvent & { readonly endpoint: SttEndpoint };
  'stt.session.opened': { readonly session: SttSession };
  'stt.session.draining': DrainingEvent & { readonly session: SttSession };
  'stt.session.pathChange': PathChangeEvent & { readonly session: SttSession };
  'stt.session.pathWarning': {
    readonly session: SttSession;
    readonly corruption: number;
    readonly message: string;
  };
  'stt.session.frameError': {
    readonly session: SttSession;
    readonly code: number;
    readonly count: number;
    readonly error: SttError;
  };
  'stt.session.closed': {
    readonly session: SttSession;
    readonly reason: string;
    readonly error?: SttError;
  };
  /** A session that is kept up was lost, or a try to replace it failed; another follows. */
  'stt.session.reconnecting': ReconnectingEvent & { readonly peer: string };
  /** It has been replaced. */
  'stt.session.reconnected': ReconnectedEvent;
  'stt.stream.opened': { readonly session: SttSession; readonly stream: SttStream };
  /** Both halves are over; the error is what the first half failed with that failed. */
  'stt.stream.closed': {
    readonly session: SttSession;
    readonly stream: SttStream;
    readonly error?: unknown;
  };
}

/** Names of the channels. */
export type DiagnosticsChannel = keyof DiagnosticsMessages;

const CHANNELS = new Map<string, Channel>();

/** Publishes, building the message only when somebody listens. */
export function publish<Name extends DiagnosticsChannel>(
  name: Name,
  message: () => Messages[Name],
): void {
  let found = CHANNELS.get(name);
  if (found === undefined) {
    found = channel(name);
    CHANNELS.set(name, found);
  }
  if (found.hasSubscribers) found.publish(complete(message()));
}

/** Adds what every message has, as far as the message knows it. */
function complete(message: object): DiagnosticsRecord {
  const { session, error, code } = message as {
    session?: SttSession;
    error?: unknown;
    code?: number;
  };
  const own = hasBrand(error) ? error : undefined;
  const peer = session === undefined ? own?.context.peer : formatAddress(session.remoteAddress);
  const number = own?.code ?? code;
  return {
    timestamp: Date.now(),
    ...(peer === undefined ? {} : { peer }),
    ...message,
    ...(number === undefined ? {} : { code: number }),
  };
}
