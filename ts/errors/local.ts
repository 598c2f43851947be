/**
 * A setting or an argument that cannot be: out of range, of the wrong type, missing, contradictory.
 * Thrown or rejected before anything is started. Not an {@link SttError}: no network had a part in it.
 */
export class SttOptionError extends TypeError {
  override readonly name = 'SttOptionError';
  /** The option or argument, as the caller spelled it: `keepAliveInterval`, `STT_PRESET`. */
  readonly option: string;

  constructor(option: string, problem: string, options?: ErrorOptions) {
    super(`${option} ${problem}`, options);
    this.option = option;
  }
}

/** A call that comes at the wrong time, such as a second `listen()` or any call after `close()`. */
export class SttStateError extends Error {
  override readonly name = 'SttStateError';
  readonly code = 'ERR_STT_STATE';
}

/** What a system error says about a socket. */
export interface SttSystemErrorDetails {
  readonly code: string;
  readonly errno?: number | undefined;
  readonly syscall?: string | undefined;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  readonly cause?: unknown;
}

/**
 * A failure of this machine that has a code of the system's own (`EADDRINUSE`, `EACCES`,
 * `EADDRNOTAVAIL`): what Node's own sockets would throw in its place.
 */
export class SttSystemError extends Error {
  override readonly name = 'SttSystemError';
  /** The system's code, such as `EADDRINUSE`. */
  readonly code: string;
  /** The system's number for it, negative as in Node. */
  readonly errno?: number;
  /** The call that failed, such as `bind`. */
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;

  constructor(message: string, details: SttSystemErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.address !== undefined) this.address = details.address;
    if (details.port !== undefined) this.port = details.port;
  }
}

/** What an open circuit tells whoever it refuses. */
export interface CircuitOpenDetails {
  readonly peer: string;
  readonly nodeId?: string | undefined;
  readonly retryAfter: number;
  readonly cause?: unknown;
}

/**
 * A connect that was not tried, because those before it to the same peer failed too often: the
 * endpoint's `breaker` is open. Not an {@link SttError}: nothing was sent.
 */
export class CircuitOpenError extends Error {
  override readonly name = 'CircuitOpenError';
  readonly code = 'ERR_STT_CIRCUIT_OPEN';
  /** The peer's address, `host:port`. */
  readonly peer: string;
  /** The node that was asked for, 64 hex digits; undefined for any. */
  readonly nodeId?: string;
  /** Milliseconds until the next connect is let through; 0 while one is under way to try the peer. */
  readonly retryAfter: number;
  /** Milliseconds since 1970 at which that is. */
  readonly until: number;

  constructor(message: string, details: CircuitOpenDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.peer = details.peer;
    if (details.nodeId !== undefined) this.nodeId = details.nodeId;
    this.retryAfter = details.retryAfter;
    this.until = Date.now() + details.retryAfter;
  }
}
