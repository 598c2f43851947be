// Made by scripts/generate-errors.mjs from crates/stt-wire/src/codes.rs and codes/reference.rs: change those.
import type { SttErrorDetails } from './error.ts';
import { SttError } from './error.ts';
import type { CloseReason } from './table.ts';

/** 0x0101: The handshake did not come to an end within its timeout. */
export class ConnectionTimeoutError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0101;
  declare readonly code: 0x0101;
  declare readonly codeName: 'CONNECTION_TIMEOUT';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0101, message, details);
  }
}

/** 0x0102: The peer, or the system that it runs on, turned the connection down. */
export class ConnectionRefusedError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0102;
  declare readonly code: 0x0102;
  declare readonly codeName: 'CONNECTION_REFUSED';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0102, message, details);
  }
}

/** 0x0103: The two sides could not prove to one another that they belong together. */
export class AuthenticationError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0103;
  declare readonly code: 0x0103;
  declare readonly codeName: 'AUTHENTICATION_FAILED';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0103, message, details);
  }
}

/** 0x0104: This machine knows no way to the peer. */
export class NetworkUnreachableError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0104;
  declare readonly code: 0x0104;
  declare readonly codeName: 'NETWORK_UNREACHABLE';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0104, message, details);
  }
}

/** 0x0105: The two sides have no version of the protocol in common. */
export class ProtocolVersionMismatchError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0105;
  declare readonly code: 0x0105;
  declare readonly codeName: 'PROTOCOL_VERSION_MISMATCH';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0105, message, details);
  }
}

/** 0x0201: The session has ended; the reason tells how, and the cause why. */
export class SessionClosedError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0201;
  declare readonly code: 0x0201;
  declare readonly codeName: 'SESSION_CLOSED';
  declare readonly reason: CloseReason;

  constructor(message: string, details: SttErrorDetails & { reason: CloseReason }) {
    super(0x0201, message, details);
  }
}

/** 0x0202: Nothing authentic came from the peer for the whole keep-alive timeout. */
export class SessionTimeoutError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0202;
  declare readonly code: 0x0202;
  declare readonly codeName: 'SESSION_TIMEOUT';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0202, message, details);
  }
}

/** 0x0203: A limit on sessions is reached, on this side or at the peer. */
export class TooManySessionsError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0203;
  declare readonly code: 0x0203;
  declare readonly codeName: 'TOO_MANY_SESSIONS';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0203, message, details);
  }
}

/** 0x0204: The peer is there, but does not know the session. */
export class SessionNotFoundError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0204;
  declare readonly code: 0x0204;
  declare readonly codeName: 'SESSION_NOT_FOUND';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0204, message, details);
  }
}

/** 0x0301: The stream, or the half of it that was used, has ended. */
export class StreamClosedError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0301;
  declare readonly code: 0x0301;
  declare readonly codeName: 'STREAM_CLOSED';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0301, message, details);
  }
}

/** 0x0302: A limit on streams of the session is reached, on this side or at the peer. */
export class TooManyStreamsError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0302;
  declare readonly code: 0x0302;
  declare readonly codeName: 'TOO_MANY_STREAMS';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0302, message, details);
  }
}

/** 0x0303: The id that was chosen for a stream is taken. */
export class StreamIdConflictError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0303;
  declare readonly code: 0x0303;
  declare readonly codeName: 'STREAM_ID_CONFLICT';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0303, message, details);
  }
}

/** 0x0304: The peer sent more than it had been given credit for. */
export class FlowControlError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0304;
  declare readonly code: 0x0304;
  declare readonly codeName: 'FLOW_CONTROL_VIOLATION';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0304, message, details);
  }
}

/** 0x0401: A frame arrived whole, but cannot be: its structure is impossible. */
export class InvalidFrameError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0401;
  declare readonly code: 0x0401;
  declare readonly codeName: 'INVALID_FRAME';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0401, message, details);
  }
}

/** 0x0402: A packet with right checksums does not open under the session's keys. */
export class EncryptionError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0402;
  declare readonly code: 0x0402;
  declare readonly codeName: 'ENCRYPTION_ERROR';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0402, message, details);
  }
}

/** 0x0403: A packet arrived damaged: its checksum is wrong. */
export class ChecksumMismatchError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0403;
  declare readonly code: 0x0403;
  declare readonly codeName: 'CHECKSUM_MISMATCH';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0403, message, details);
  }
}

/** 0x0404: An authentic frame has a type that nobody here handles. */
export class UnknownFrameTypeError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0404;
  declare readonly code: 0x0404;
  declare readonly codeName: 'UNKNOWN_FRAME_TYPE';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0404, message, details);
  }
}

/** 0x0405: The handshake failed at the step that the sub-code names. */
export class HandshakeError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0405;
  declare readonly code: 0x0405;
  declare readonly codeName: 'HANDSHAKE_FAILURE';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0405, message, details);
  }
}

/** 0x0501: The system refuses to send. */
export class UdpSendError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0501;
  declare readonly code: 0x0501;
  declare readonly codeName: 'UDP_SEND_FAILED';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0501, message, details);
  }
}

/** 0x0502: The WebSocket below the session was closed. */
export class WebSocketClosedError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0502;
  declare readonly code: 0x0502;
  declare readonly codeName: 'WEBSOCKET_CLOSED';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0502, message, details);
  }
}

/** 0x0503: The upgrade to WebSocket was refused. */
export class WebSocketHandshakeError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0503;
  declare readonly code: 0x0503;
  declare readonly codeName: 'WEBSOCKET_HANDSHAKE_FAILED';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0503, message, details);
  }
}

/** 0x0504: TLS could not be set up, or the certificate was not accepted. */
export class TlsError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0504;
  declare readonly code: 0x0504;
  declare readonly codeName: 'TLS_ERROR';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0504, message, details);
  }
}

/** 0x0601: An operation took longer than the time that it was given. */
export class SttTimeoutError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0601;
  declare readonly code: 0x0601;
  declare readonly codeName: 'TIMEOUT';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0601, message, details);
  }
}

/** 0x0602: A bounded queue inside would have run over. */
export class BufferOverflowError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0602;
  declare readonly code: 0x0602;
  declare readonly codeName: 'BUFFER_OVERFLOW';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0602, message, details);
  }
}

/** 0x0603: The system has no more of something that is needed. */
export class ResourceExhaustedError extends SttError {
  /** Number of this class in the table. */
  static readonly code = 0x0603;
  declare readonly code: 0x0603;
  declare readonly codeName: 'RESOURCE_EXHAUSTED';

  constructor(message: string, details: SttErrorDetails = {}) {
    super(0x0603, message, details);
  }
}

/** Any of the 25, told apart by `codeName` or `code`. */
export type AnySttError =
  | ConnectionTimeoutError
  | ConnectionRefusedError
  | AuthenticationError
  | NetworkUnreachableError
  | ProtocolVersionMismatchError
  | SessionClosedError
  | SessionTimeoutError
  | TooManySessionsError
  | SessionNotFoundError
  | StreamClosedError
  | TooManyStreamsError
  | StreamIdConflictError
  | FlowControlError
  | InvalidFrameError
  | EncryptionError
  | ChecksumMismatchError
  | UnknownFrameTypeError
  | HandshakeError
  | UdpSendError
  | WebSocketClosedError
  | WebSocketHandshakeError
  | TlsError
  | SttTimeoutError
  | BufferOverflowError
  | ResourceExhaustedError;
