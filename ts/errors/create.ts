import type { AnySttError } from './classes.ts';
import {} from './classes.ts';
import type { SttErrorDetails } from './error.ts';
import { SttError } from './error.ts';
import type { CloseReason, SttErrorCode } from './table.ts';

type ErrorClass = new (
  message: string,
  details: SttErrorDetails & { reason: CloseReason },
) => AnySttError;

const CLASSES: Readonly<Record<SttErrorCode, ErrorClass>> = {
  257: ConnectionTimeoutError,
  258: ConnectionRefusedError,
  259: AuthenticationError,
  260: NetworkUnreachableError,
  261: ProtocolVersionMismatchError,
  513: SessionClosedError,
  514: SessionTimeoutError,
  515: TooManySessionsError,
  516: SessionNotFoundError,
  769: StreamClosedError,
  770: TooManyStreamsError,
  771: StreamIdConflictError,
  772: FlowControlError,
  1025: InvalidFrameError,
  1026: EncryptionError,
  1027: ChecksumMismatchError,
  1028: UnknownFrameTypeError,
  1029: HandshakeError,
  1281: UdpSendError,
  1282: WebSocketClosedError,
  1283: WebSocketHandshakeError,
  1284: TlsError,
  1537: SttTimeoutError,
  1538: BufferOverflowError,
  1539: ResourceExhaustedError,
};

/**
 * The error for a number: an instance of its class, or of {@link SttError} itself for a number that
 * this version does not know.
 */
export function createError(
  code: number,
  message: string,
  details: SttErrorDetails = {},
): SttError {
  const Class: ErrorClass | undefined = CLASSES[code as SttErrorCode];
  if (Class === undefined) return new SttError(code, message, details);
  return new Class(message, { ...details, reason: details.reason ?? 'error' });
}
