import {
  CLOSE_REASONS,
  ERROR_TABLE,
  HANDSHAKE_SUBCODES,
  REASON_RECOVERY,
  SUBCODE_RECOVERY,
} from './table.generated.ts';

export { CLOSE_REASONS, ERROR_TABLE, HANDSHAKE_SUBCODES };

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
 * - `automatic`: the transport has repaired it already. Of frames that ended their session it is `reconnect`.
 * - `none`: nothing, because the end was meant, or nothing but a report.
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
  /** The error reference's own words on recovery, such as `No (fix seed)` or `Auto (retransmit)`. */
  readonly advice: string;
}

/** The 25 names. */
export type SttErrorCodeName = (typeof ERROR_TABLE)[number]['codeName'];

/** The 25 numbers. */
export type SttErrorCode = (typeof ERROR_TABLE)[number]['code'];

/** The name of a handshake subcode. */
export type HandshakeSubcodeName = (typeof HANDSHAKE_SUBCODES)[keyof typeof HANDSHAKE_SUBCODES];

/** Why a session ended. */
export type CloseReason = (typeof CLOSE_REASONS)[number];

const CODE_SESSION_CLOSED = 0x0201;
const CODE_HANDSHAKE = 0x0405;

const BY_CODE: ReadonlyMap<number, SttErrorInfo> = new Map(
  ERROR_TABLE.map((info) => [info.code, info]),
);

/** The line of the table for `code`, or undefined for a number that nobody gave a meaning. */
export function errorInfo(code: number): SttErrorInfo | undefined {
  return BY_CODE.get(code);
}

/**
 * What a program can do about an error: what its code says, unless the sub-code of a handshake or the
 * reason for which a session ended says more.
 */
export function recoveryOf(code: number, subcode?: number, reason?: CloseReason): SttRecovery {
  if (code === CODE_HANDSHAKE && subcode !== undefined && subcode in SUBCODE_RECOVERY) {
    return SUBCODE_RECOVERY[subcode as keyof typeof SUBCODE_RECOVERY];
  }
  if (code === CODE_SESSION_CLOSED && reason !== undefined) return REASON_RECOVERY[reason];
  return errorInfo(code)?.recovery ?? 'none';
}

/** A code as people and logs read it: `0x0102`. */
export function formatCode(code: number): string {
  return `0x${code.toString(16).padStart(4, '0')}`;
}
