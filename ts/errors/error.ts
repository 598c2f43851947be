import type { InspectOptions } from 'node:util';
import { inspect } from 'node:util';
import type { CloseReason, SttErrorCategory, SttErrorCodeName, SttRecovery } from './table.ts';
import { errorInfo, formatCode, HANDSHAKE_SUBCODES, recoveryOf } from './table.ts';
import type { TalliedContext } from './tally.ts';
import { TALLY } from './tally.ts';

/** Shared by all copies of this package in a process, so that `instanceof` works across them. */
const BRAND: unique symbol = Symbol.for('@seigr/stt.error') as never;

/** Where and when an error happened. Never holds a seed, a key or a byte of payload. */
export interface SttErrorContext {
  /** The peer's address, `host:port`. */
  readonly peer?: string;
  /** The peer's node id, 64 hex digits. */
  readonly nodeId?: string;
  /** The session's id, 16 hex digits. */
  readonly sessionId?: string;
  /** The stream's id within its session. */
  readonly streamId?: number;
  /** The carrier. */
  readonly transport?: 'udp' | 'websocket';
  /** Milliseconds since 1970 at which the error was made. */
  readonly timestamp: number;
  /** Which try it was, from 1, of a connect that tries again. */
  readonly attempt?: number;
  /** The node that answered a connect in the place of {@link SttErrorContext.nodeId}, proved, 64 hex digits. */
  readonly answeredBy?: string;
  /** Milliseconds that the peer's clock was ahead of this machine's, negative for behind, where that was too far for it. */
  readonly clockSkew?: number;
  /** The proxy that made no tunnel to the peer, as `http://host:port`, without its credentials; `httpStatus` is its answer, if it gave one. */
  readonly proxy?: string;
  /** The HTTP status that came in place of a WebSocket. */
  readonly httpStatus?: number;
  /** The code that a WebSocket was closed with (RFC 6455 section 7.4.1); 1006: without a word. */
  readonly closeCode?: number;
  /** The words that came with it, or what the system said of a connection that broke. */
  readonly closeReason?: string;
  /** What node:tls calls the failure, such as `CERT_HAS_EXPIRED`, or OpenSSL: `tlsv1 alert protocol version`. */
  readonly tlsReason?: string;
  /** From when to when the certificate is valid that the server showed. */
  readonly certificateValidFrom?: string;
  readonly certificateValidTo?: string;
}

/**
 * Whose doing the end of a session, of a stream, or of a connect, was: `local` this side's application, a limit of
 * it, or a demand of it that the peer did not meet; `peer` the peer said so; `idle` nobody said anything, nothing
 * was heard for too long; `path` the way to the peer: its host refuses the port, no route leads there, or this
 * machine cannot send; `transport` what came breaks the protocol or does not authenticate, or the engine failed.
 */
export type SttErrorOrigin = 'local' | 'peer' | 'idle' | 'path' | 'transport';

/** How one carrier, or one address, failed. */
export interface SttAttempt {
  readonly transport: string;
  readonly error: unknown;
}

/** What the constructors of the error classes take beside a message. */
export interface SttErrorDetails {
  readonly subcode?: number | undefined;
  readonly reason?: CloseReason | undefined;
  readonly origin?: SttErrorOrigin | undefined;
  readonly context?: Partial<SttErrorContext> | undefined;
  readonly cause?: unknown;
  /** Bytes of a write that were taken before it failed. */
  readonly bytesTaken?: number | undefined;
  /** The peer's own number for a stream that it reset or stopped. */
  readonly applicationCode?: number | undefined;
  /** What the system said: its name for it, and its number, negative as in Node. */
  readonly system?: { readonly code: string; readonly errno: number } | undefined;
}

/**
 * The base of all errors of the transport. Every error of the closed table is one of the 25
 * subclasses; a number that this version does not know is an `SttError` itself.
 */
export class SttError extends Error {
  /** The number, such as 0x0102: category, then the error in it. */
  readonly code: number;
  /** Its name, such as `CONNECTION_REFUSED`. */
  readonly codeName: SttErrorCodeName | 'UNKNOWN';
  /** Where in the stack it belongs. */
  readonly category: SttErrorCategory;
  /** Which step failed, for handshakes; see {@link SttError.subcodeName}. */
  readonly subcode?: number;
  /** The name of {@link SttError.subcode}. */
  readonly subcodeName?: string;
  /** How the session ended, for what the end of a session broke. */
  readonly reason?: CloseReason;
  /** Whose doing it was, for what ended a session, a stream or a connect, and for what that broke. */
  readonly origin?: SttErrorOrigin;
  /** False where nothing short of a person can help. */
  readonly recoverable: boolean;
  /** What a program can do. */
  readonly recovery: SttRecovery;
  /** Where and when. */
  readonly context: SttErrorContext;
  /** Bytes of a failed write that were taken before; more than 0 breaks the stream's write half. */
  readonly bytesTaken?: number;
  /** The number that the peer's application gave when it reset or stopped a stream. */
  readonly applicationCode?: number;
  /** What each said, of a connect that tried both carriers, or several addresses of a name, and had no success. */
  declare readonly attempts?: readonly SttAttempt[];
  /** What this machine's system said, such as `EPERM`, where it stood in the way. */
  readonly systemCode?: string;
  /** The system's number for {@link SttError.systemCode}, negative as in Node. */
  readonly errno?: number;

  constructor(code: number, message: string, details: SttErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    const info = errorInfo(code);
    this.code = code;
    this.codeName = (info?.codeName as SttErrorCodeName | undefined) ?? 'UNKNOWN';
    this.category = info?.category ?? 'application';
    this.recoverable = info?.recoverable ?? false;
    const recovery = recoveryOf(code, details.subcode, details.reason);
    // Frames that are dropped one by one repair themselves; those that ended their session did not.
    const ended = recovery === 'automatic' && details.origin !== undefined;
    this.recovery = ended ? 'reconnect' : recovery;
    const { [TALLY]: tally, ...context }: TalliedContext = details.context ?? {};
    tally?.count(code);
    this.context = Object.freeze({ timestamp: Date.now(), ...context });
    if (details.subcode !== undefined && details.subcode !== 0) {
      this.subcode = details.subcode;
      const name = HANDSHAKE_SUBCODES[details.subcode as keyof typeof HANDSHAKE_SUBCODES];
      if (name !== undefined) this.subcodeName = name;
    }
    if (details.reason !== undefined) this.reason = details.reason;
    if (details.origin !== undefined) this.origin = details.origin;
    if (details.bytesTaken !== undefined) this.bytesTaken = details.bytesTaken;
    if (details.applicationCode !== undefined) this.applicationCode = details.applicationCode;
    if (details.system !== undefined) {
      this.systemCode = details.system.code;
      this.errno = details.system.errno;
    }
    Object.defineProperty(this, 'name', {
      value: info?.className ?? 'SttError',
      configurable: true,
      writable: true,
    });
    Object.defineProperty(this, BRAND, { value: code });
  }

  /** Ready for a log: the code as `0x0102`, the cause's chain, no stack. */
  toJSON(): Record<string, unknown> {
    return {
      name: this.name,
      code: formatCode(this.code),
      codeName: this.codeName,
      category: this.category,
      ...facts(this),
      recoverable: this.recoverable,
      recovery: this.recovery,
      message: this.message,
      context: this.context,
      ...(this.cause === undefined ? {} : { cause: causeToJson(this.cause) }),
    };
  }
}

// True for errors of the same class from any copy of this package in the process.
Object.defineProperty(SttError, Symbol.hasInstance, {
  value(this: unknown, value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false;
    if (this === SttError) return BRAND in value;
    if (typeof this === 'function' && Object.hasOwn(this, 'code') && BRAND in value) {
      return (value as Record<typeof BRAND, unknown>)[BRAND] === (this as { code?: unknown }).code;
    }
    // A subclass that an application made has no number of its own.
    return Function.prototype[Symbol.hasInstance].call(this as never, value);
  },
});

// What `console.log` and the REPL show.
Object.defineProperty(SttError.prototype, inspect.custom, {
  value(this: SttError, depth: number, options: InspectOptions): string {
    if (depth < 0) return `[${this.name}: ${this.message}]`;
    const shown = {
      code: formatCode(this.code),
      codeName: this.codeName,
      ...facts(this),
      recoverable: this.recoverable,
      recovery: this.recovery,
      context: this.context,
      ...(this.cause === undefined ? {} : { cause: this.cause }),
    };
    const body = inspect(shown, { ...options, compact: false, depth: Math.max(depth, 1) });
    return `${this.stack ?? `${this.name}: ${this.message}`} ${body}`;
  },
});

/** Whether any copy of this package made `error`. */
export function hasBrand(error: unknown): error is SttError {
  return typeof error === 'object' && error !== null && BRAND in error;
}

function facts(error: SttError): Record<string, unknown> {
  const { subcode, subcodeName, reason, origin, bytesTaken, applicationCode } = error;
  const { systemCode, errno } = error;
  const given = { subcode, subcodeName, reason, origin, bytesTaken, applicationCode };
  const entries = Object.entries({ ...given, systemCode, errno });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function causeToJson(cause: unknown): unknown {
  if (hasBrand(cause)) return cause.toJSON();
  if (!(cause instanceof Error)) return String(cause);
  const code = 'code' in cause ? { code: cause.code } : {};
  return { name: cause.name, ...code, message: cause.message };
}
