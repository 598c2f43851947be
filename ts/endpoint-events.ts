import type { SocketAddress } from './address.ts';
import type { SttError } from './errors/error.ts';
import type { CircuitChangeEvent } from './resilience/breakers.ts';
import type { SttSession } from './session.ts';
import type { FrameErrorEvent, SendErrorEvent, SettledInfo } from './session-state.ts';

/** The events of an endpoint. */
export interface SttEndpointEvents {
  /** A peer's handshake failed: wrong seed, replay, clock, version. Rate-limited. */
  handshakeError: HandshakeErrorEvent;
  /**
   * The system refuses to send, for a session, a connect, or an answer to somebody. What is refused is
   * tried again. At once for the first of a session, then once a second.
   */
  sendError: EndpointSendErrorEvent;
  /** Frames were dropped and counted, of a session or outside any. Rate-limited. */
  frameError: EndpointFrameErrorEvent;
  /** The system gives less than was asked for, such as smaller socket buffers. */
  resourceWarning: ResourceWarningEvent;
  /** The endpoint is bound elsewhere: after `rebind()`, or by itself when its address went away. */
  addressChange: SocketAddress;
  /** A session has ended, whatever way. */
  sessionClosed: SessionClosedEvent;
  /** The circuit of a peer has opened, closed, or lets one connect through: with `breaker` only. */
  circuitChange: CircuitChangeEvent;
}

/** A handshake of a peer that never became a session. */
export interface HandshakeErrorEvent {
  readonly address: string;
  readonly port: number;
  readonly error: SttError;
}

/** Datagrams of this endpoint that the system refused to send. */
export interface EndpointSendErrorEvent extends SendErrorEvent {
  /** Whose they were; undefined while connecting, and for answers outside any session. */
  readonly session: SttSession | undefined;
}

/** Frames that came to this endpoint and were dropped. */
export interface EndpointFrameErrorEvent extends FrameErrorEvent {
  /** Whose they were; undefined outside any session, as while a handshake runs. */
  readonly session: SttSession | undefined;
}

/**
 * What a {@link ResourceWarningEvent} is about: the system's buffers of the socket, in bytes; its busy polling, in
 * microseconds; the processor, in milliseconds by which the engine's thread ran late; or `maxMemory`, in bytes, of which seven eighths are in use
 * (told again once less than half was).
 */
export type SttResource =
  | 'socketSendBuffer'
  | 'socketRecvBuffer'
  | 'socketBusyPoll'
  | 'engineLag'
  | 'memory';

/** Something is short. Rate-limited. */
export interface ResourceWarningEvent {
  readonly resource: SttResource;
  /** What was asked for, or borne without a word. */
  readonly wanted: number;
  /** What there is. */
  readonly granted: number;
}

/** How a session ended. */
export interface SessionClosedEvent extends SettledInfo {
  readonly session: SttSession;
}
