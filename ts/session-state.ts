import type { SttError, SttErrorOrigin } from './errors/error.ts';
import type { CloseReason } from './errors/table.ts';

/** How a session ended that ended well. */
export interface CloseInfo {
  readonly reason: 'graceful';
  /** Who ended it. */
  readonly initiator: 'local' | 'remote';
  /** Bytes written here, taken or still waiting, that the peer's transport never acknowledged. */
  readonly undelivered: number;
}

/** How a session ended, whatever way: data, not an exception. */
export interface SettledInfo {
  readonly reason: CloseReason;
  readonly initiator: 'local' | 'remote';
  /** Bytes written here, taken or still waiting, that the peer's transport never acknowledged. */
  readonly undelivered: number;
  /** Whose doing it was; see {@link SttErrorOrigin}. */
  readonly origin: SttErrorOrigin;
  /** What the closing side said. */
  readonly message: string;
  /** The root cause, unless graceful. */
  readonly error?: SttError;
}

/** Frames that were dropped and counted; nothing is lost by them. */
export interface FrameErrorEvent {
  /** 0x0401 to 0x0404. */
  readonly code: number;
  /** Its name, such as `CHECKSUM_MISMATCH`. */
  readonly codeName: string;
  /** How many since the last such event. */
  readonly count: number;
}

/** A path that damages more than one packet in twenty. */
export interface PathWarningEvent {
  /** Share of packets that arrived damaged, 0 to 1. */
  readonly corruption: number;
  readonly message: string;
}
