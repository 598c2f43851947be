import type { SocketAddress } from './address.ts';
import type { PathMeasure } from './carriers/trials.ts';
import type {
  ChecksumMismatchError,
  EncryptionError,
  InvalidFrameError,
  UdpSendError,
  UnknownFrameTypeError,
} from './errors/classes.ts';
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

/**
 * Why a session's packets take another way. Of this side, where it connected and `transport` is not `'udp'`:
 *
 * - `silent`: UDP drew no answer any more.
 * - `refused`: the system refused to send by UDP.
 * - `starved`: UDP lost too much of what it was given, or carried little; the WebSocket is on trial.
 * - `lost`: the WebSocket closed.
 * - `recovered`: UDP answers again; if it had starved, it is on trial.
 * - `trial-lost`: the path that was on trial did no better, so that the session is back.
 *
 * Of this side, whoever connected: `migrated`, by `session.migrate()`. Of the peer's side: `nat-rebinding`, only
 * its port has changed; `peer-moved`, all else that changes where it is, its own moves for the reasons above included.
 */
export type PathChangeReason =
  | 'silent'
  | 'refused'
  | 'starved'
  | 'lost'
  | 'recovered'
  | 'trial-lost'
  | 'migrated'
  | 'nat-rebinding'
  | 'peer-moved';

/** Where a session's packets go now, and why. */
export interface PathChangeEvent extends SocketAddress {
  /** What carries them now. */
  readonly transport: 'udp' | 'websocket';
  /** What carried them before. */
  readonly from: 'udp' | 'websocket';
  readonly reason: PathChangeReason;
  /** What was measured, where the reason is a measurement. */
  readonly measured?: PathMeasure;
}

/** Frames that were dropped and counted; nothing is lost by them. */
export interface FrameErrorEvent {
  /** What was wrong with them, with the peer and the session where they are known. */
  readonly error: FrameError;
  /** 0x0401 to 0x0404. */
  readonly code: FrameError['code'];
  /** Its name, such as `CHECKSUM_MISMATCH`. */
  readonly codeName: FrameError['codeName'];
  /** How many since the last such event. */
  readonly count: number;
  /** For 0x0404: the type of the newest of them, 0 to 255; 128 to 254 are the application's own. */
  readonly frameType?: number;
}

/** The errors of single frames. */
export type FrameError =
  | InvalidFrameError
  | EncryptionError
  | ChecksumMismatchError
  | UnknownFrameTypeError;

/**
 * The system refused to send datagrams. Nothing is lost by it: they are sent again until the system
 * takes them, or until nothing has left this machine for `keepAliveTimeout`.
 */
export interface SendErrorEvent {
  /** 0x0501, with `systemCode` and `errno` of the last refusal. */
  readonly error: UdpSendError;
  /** Datagrams refused since the last such event. */
  readonly count: number;
}

/**
 * A path that damages more than one packet in twenty of late. Told once, and again if it happens after a
 * time with less than half as much.
 */
export interface PathWarningEvent {
  /** Share of the newest packets that arrived damaged, 0 to 1. */
  readonly corruption: number;
  /** How many of them did. */
  readonly damaged: number;
  /** How many they are, 512 at most. */
  readonly packets: number;
  readonly message: string;
}

/** Who is about to end a session, as `draining` tells it. */
export interface DrainingEvent {
  /**
   * `local`: `close()` was called here, and what was written is still delivered. `remote`: the peer drains its endpoint
   * (PROTOCOL.md section 6.6). Streams that are open go on; begin nothing new on it, and connect elsewhere for that.
   */
  readonly initiator: 'local' | 'remote';
  /** Milliseconds that the peer leaves for what is under way, from when it said so. */
  readonly within?: number;
}

/** The events of a session. */
export interface SttSessionEvents {
  /**
   * The session's packets take another way, which the peer has answered on: the address of the peer,
   * which is the one before where this side moved by `migrate()`.
   */
  pathChange: PathChangeEvent;
  /** The network damages packets. */
  pathWarning: PathWarningEvent;
  /** Frames were dropped and counted. Rate-limited. */
  frameError: FrameErrorEvent;
  /** The system refuses to send; the session tries on. At once for the first, then once a second. */
  sendError: SendErrorEvent;
  /** The session is about to end: this side closes it, or the peer tells that it will. Once for each. */
  draining: DrainingEvent;
  /** The peer gave out a ticket to return by: `session.resumptionTicket`. */
  resumptionTicket: Uint8Array;
}
