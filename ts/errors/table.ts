/** Where in the stack an error belongs. */
export type SttErrorCategory =
  | 'connection'
  | 'session'
  | 'stream'
  | 'protocol'
  | 'transport'
  | 'application';

/**
 * What a program can do about an error.
 *
 * - `retry`: the same call may succeed later.
 * - `reconnect`: open a new session.
 * - `reopen`: open a new stream on the same session.
 * - `fix-config`: somebody has to correct a setting first.
 * - `upgrade`: the peers run versions that do not speak to each other.
 * - `reduce-load`: use less, or raise a limit.
 * - `automatic`: the transport has repaired it already.
 * - `none`: nothing helps but a report.
 */
export type SttRecovery =
  | 'retry'
  | 'reconnect'
  | 'reopen'
  | 'fix-config'
  | 'upgrade'
  | 'reduce-load'
  | 'automatic'
  | 'none';

/** One line of the closed table of errors. The core holds the same table; a test compares both. */
export interface SttErrorInfo {
  /** Two 8-bit halves: category, then the error in it. */
  readonly code: number;
  /** The name on the wire's side of things, such as `CONNECTION_TIMEOUT`. */
  readonly codeName: string;
  /** The class that carries it. */
  readonly className: string;
  readonly category: SttErrorCategory;
  /** False only where nothing short of a person can help. */
  readonly recoverable: boolean;
  readonly recovery: SttRecovery;
  /** The short advice of the error reference, such as `fix seed`. */
  readonly advice: string;
}

/** The closed table: 25 errors, and no other. */
export const ERROR_TABLE = [
  {
    code: 0x0101,
    codeName: 'CONNECTION_TIMEOUT',
    className: 'ConnectionTimeoutError',
    category: 'connection',
    recoverable: true,
    recovery: 'retry',
    advice: 'retry',
  },
  {
    code: 0x0102,
    codeName: 'CONNECTION_REFUSED',
    className: 'ConnectionRefusedError',
    category: 'connection',
    recoverable: true,
    recovery: 'retry',
    advice: 'fix config',
  },
  {
    code: 0x0103,
    codeName: 'AUTHENTICATION_FAILED',
    className: 'AuthenticationError',
    category: 'connection',
    recoverable: false,
    recovery: 'fix-config',
    advice: 'fix seed',
  },
  {
    code: 0x0104,
    codeName: 'NETWORK_UNREACHABLE',
    className: 'NetworkUnreachableError',
    category: 'connection',
    recoverable: true,
    recovery: 'retry',
    advice: 'check network',
  },
  {
    code: 0x0105,
    codeName: 'PROTOCOL_VERSION_MISMATCH',
    className: 'ProtocolVersionMismatchError',
    category: 'connection',
    recoverable: false,
    recovery: 'upgrade',
    advice: 'upgrade',
  },
  {
    code: 0x0201,
    codeName: 'SESSION_CLOSED',
    className: 'SessionClosedError',
    category: 'session',
    recoverable: true,
    recovery: 'reconnect',
    advice: 'reconnect',
  },
  {
    code: 0x0202,
    codeName: 'SESSION_TIMEOUT',
    className: 'SessionTimeoutError',
    category: 'session',
    recoverable: true,
    recovery: 'reconnect',
    advice: 'reconnect',
  },
  {
    code: 0x0203,
    codeName: 'TOO_MANY_SESSIONS',
    className: 'TooManySessionsError',
    category: 'session',
    recoverable: true,
    recovery: 'reduce-load',
    advice: 'close some',
  },
  {
    code: 0x0204,
    codeName: 'SESSION_NOT_FOUND',
    className: 'SessionNotFoundError',
    category: 'session',
    recoverable: true,
    recovery: 'reconnect',
    advice: 'reconnect',
  },
  {
    code: 0x0301,
    codeName: 'STREAM_CLOSED',
    className: 'StreamClosedError',
    category: 'stream',
    recoverable: true,
    recovery: 'reopen',
    advice: 'reopen',
  },
  {
    code: 0x0302,
    codeName: 'TOO_MANY_STREAMS',
    className: 'TooManyStreamsError',
    category: 'stream',
    recoverable: true,
    recovery: 'reduce-load',
    advice: 'close some',
  },
  {
    code: 0x0303,
    codeName: 'STREAM_ID_CONFLICT',
    className: 'StreamIdConflictError',
    category: 'stream',
    recoverable: true,
    recovery: 'reopen',
    advice: 'auto-assign',
  },
  {
    code: 0x0304,
    codeName: 'FLOW_CONTROL_VIOLATION',
    className: 'FlowControlError',
    category: 'stream',
    recoverable: false,
    recovery: 'none',
    advice: 'bug',
  },
  {
    code: 0x0401,
    codeName: 'INVALID_FRAME',
    className: 'InvalidFrameError',
    category: 'protocol',
    recoverable: true,
    recovery: 'automatic',
    advice: 'retransmit',
  },
  {
    code: 0x0402,
    codeName: 'ENCRYPTION_ERROR',
    className: 'EncryptionError',
    category: 'protocol',
    recoverable: false,
    recovery: 'none',
    advice: 'serious',
  },
  {
    code: 0x0403,
    codeName: 'CHECKSUM_MISMATCH',
    className: 'ChecksumMismatchError',
    category: 'protocol',
    recoverable: true,
    recovery: 'automatic',
    advice: 'retransmit',
  },
  {
    code: 0x0404,
    codeName: 'UNKNOWN_FRAME_TYPE',
    className: 'UnknownFrameTypeError',
    category: 'protocol',
    recoverable: true,
    recovery: 'automatic',
    advice: 'discard',
  },
  {
    code: 0x0405,
    codeName: 'HANDSHAKE_FAILURE',
    className: 'HandshakeError',
    category: 'protocol',
    recoverable: true,
    recovery: 'retry',
    advice: 'retry',
  },
  {
    code: 0x0501,
    codeName: 'UDP_SEND_FAILED',
    className: 'UdpSendError',
    category: 'transport',
    recoverable: true,
    recovery: 'retry',
    advice: 'retry',
  },
  {
    code: 0x0502,
    codeName: 'WEBSOCKET_CLOSED',
    className: 'WebSocketClosedError',
    category: 'transport',
    recoverable: true,
    recovery: 'reconnect',
    advice: 'reconnect',
  },
  {
    code: 0x0503,
    codeName: 'WEBSOCKET_HANDSHAKE_FAILED',
    className: 'WebSocketHandshakeError',
    category: 'transport',
    recoverable: true,
    recovery: 'fix-config',
    advice: 'fix config',
  },
  {
    code: 0x0504,
    codeName: 'TLS_ERROR',
    className: 'TlsError',
    category: 'transport',
    recoverable: true,
    recovery: 'fix-config',
    advice: 'fix cert',
  },
  {
    code: 0x0601,
    codeName: 'TIMEOUT',
    className: 'SttTimeoutError',
    category: 'application',
    recoverable: true,
    recovery: 'retry',
    advice: 'retry/increase',
  },
  {
    code: 0x0602,
    codeName: 'BUFFER_OVERFLOW',
    className: 'BufferOverflowError',
    category: 'application',
    recoverable: true,
    recovery: 'reduce-load',
    advice: 'increase buffer',
  },
  {
    code: 0x0603,
    codeName: 'RESOURCE_EXHAUSTED',
    className: 'ResourceExhaustedError',
    category: 'application',
    recoverable: true,
    recovery: 'reduce-load',
    advice: 'reduce load',
  },
] as const;

/** The 25 names. */
export type SttErrorCodeName = (typeof ERROR_TABLE)[number]['codeName'];

/** The 25 numbers. */
export type SttErrorCode = (typeof ERROR_TABLE)[number]['code'];

/** What {@link HandshakeError} and {@link AuthenticationError} add to their code. */
export const HANDSHAKE_SUBCODES = {
  1: 'NONCE_REUSE',
  2: 'TIMESTAMP_EXPIRED',
  3: 'CHALLENGE_DECRYPT_FAILED',
  4: 'PROOF_VERIFICATION_FAILED',
} as const;

/** The name of a handshake subcode. */
export type HandshakeSubcodeName = (typeof HANDSHAKE_SUBCODES)[keyof typeof HANDSHAKE_SUBCODES];

/** Why a session ended; the index is the number on the wire. */
export const CLOSE_REASONS = ['graceful', 'timeout', 'error', 'auth_failure'] as const;

/** Why a session ended. */
export type CloseReason = (typeof CLOSE_REASONS)[number];

const BY_CODE: ReadonlyMap<number, SttErrorInfo> = new Map(
  ERROR_TABLE.map((info) => [info.code, info]),
);

/** The line of the table for `code`, or undefined for a number that nobody gave a meaning. */
export function errorInfo(code: number): SttErrorInfo | undefined {
  return BY_CODE.get(code);
}

/** A code as people and logs read it: `0x0102`. */
export function formatCode(code: number): string {
  return `0x${code.toString(16).padStart(4, '0')}`;
}
