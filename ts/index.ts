/**
 * STT: encrypted, multiplexed byte streams between nodes that share a seed.
 *
 * @packageDocumentation
 */
export { type DuplexOptions, toDuplex } from './adapters/node.ts';
export type { Lookup, PeerAddress, SocketAddress } from './address.ts';
export type { WaitOptions } from './async.ts';
export type { PathMeasure } from './carriers/trials.ts';
export type { ConnectOptions } from './connect.ts';
export { SttDatagrams } from './datagrams.ts';
export type {
  DiagnosticsChannel,
  DiagnosticsMessages,
  DiagnosticsRecord,
} from './diagnostics.ts';
export {
  type EndpointCloseOptions,
  type ServeOptions,
  SttEndpoint,
} from './endpoint.ts';
export type {
  EndpointFrameErrorEvent,
  EndpointSendErrorEvent,
  HandshakeErrorEvent,
  ResourceWarningEvent,
  SessionClosedEvent,
  SttEndpointEvents,
  SttResource,
} from './endpoint-events.ts';
export * from './errors/classes.ts';
export {
  type SttAttempt,
  SttError,
  type SttErrorContext,
  type SttErrorDetails,
  type SttErrorOrigin,
} from './errors/error.ts';
export { isSttError } from './errors/guard.ts';
export {
  CircuitOpenError,
  SttOptionError,
  SttStateError,
  SttSystemError,
} from './errors/local.ts';
export {
  type CloseReason,
  ERROR_TABLE,
  type HandshakeSubcodeName,
  type SttErrorCategory,
  type SttErrorCode,
  type SttErrorCodeName,
  type SttErrorInfo,
  type SttRecovery,
} from './errors/table.ts';
export type { ErrorCounts } from './errors/tally.ts';
export type { Emits } from './events.ts';
export type { ListenOptions, PeerInfo, SttListener } from './listener.ts';
export type { FrameHandler } from './messages/frames.ts';
export type { MigrateOptions } from './moves.ts';
export {
  type ConsoleLike,
  type LogOptions,
  type LogTarget,
  logTo,
  type PinoLike,
  type WinstonLike,
} from './operators/log.ts';
export {
  OPEN_METRICS_CONTENT_TYPE,
  type OpenMetricsOptions,
  openMetrics,
} from './operators/openmetrics.ts';
export type { LogLevel, LogRecord } from './operators/records.ts';
export type { DatagramDrop, EndpointOptions, SttPreset, TuningOptions } from './options.ts';
export type { RebindOptions } from './rebinding.ts';
export type { BreakerOptions, CircuitState } from './resilience/breaker.ts';
export type { CircuitChangeEvent, CircuitInfo } from './resilience/breakers.ts';
export type { RetryCode, RetryPredicate } from './resilience/codes.ts';
export type { RetryEvent, RetryOptions } from './resilience/policy.ts';
export type { StreamProgress } from './resilience/progress.ts';
export {
  type CutStream,
  type ReconnectedEvent,
  type ReconnectingClosedEvent,
  type ReconnectingEvent,
  type ReconnectingOptions,
  ReconnectingSession,
  type ReconnectingSessionEvents,
  type ReconnectingState,
  type ReconnectOptions,
} from './resilience/reconnecting.ts';
export type { RunContext, RunHandler, RunOptions } from './resilience/runs.ts';
export {
  deriveSharedSeed,
  generateSeed,
  type PassphraseSeed,
  SEED_LENGTH,
  type SeedInput,
} from './seeds.ts';
export { type SessionCloseOptions, SttSession } from './session.ts';
export type {
  CloseInfo,
  DrainingEvent,
  FrameError,
  FrameErrorEvent,
  PathChangeEvent,
  PathChangeReason,
  PathWarningEvent,
  SendErrorEvent,
  SettledInfo,
  SttSessionEvents,
} from './session-state.ts';
export type { EndpointStats, SessionStats } from './stats.ts';
export type { ByteSource } from './stream/bytes.ts';
export type { StreamOptions } from './stream/open.ts';
export type { Batch, CollectOptions, IterateOptions, StreamGap } from './stream/reader.ts';
export {
  type MessageOptions,
  type StreamDirection,
  type SttReceiveStream,
  type SttSendStream,
  SttStream,
} from './stream.ts';
