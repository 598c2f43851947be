import type { WaitOptions } from './async.ts';
import { checkWait } from './async.ts';
import type { ResolvedWebSocket, TlsOptions, WebSocketConnectOptions } from './carriers/options.ts';
import { checkWebSocketConnect } from './carriers/options.ts';
import { SttOptionError } from './errors/local.ts';
import { checkNumber, checkOneOf } from './options.ts';
import type { RetryOptions, RetryPolicy } from './resilience/policy.ts';
import { checkRetry } from './resilience/policy.ts';

/** How a session is opened. */
export interface ConnectOptions extends WaitOptions {
  /**
   * The node that must answer: 64 hex digits or 32 bytes, as its `endpoint.nodeId` says; or `'any'`,
   * which lets every holder of the shared seed answer. Where a name has several addresses, those at which
   * another node answers are passed by; it fails with 0x0103 and `context.answeredBy` once all have been tried.
   */
  readonly peerNodeId: string | Uint8Array;
  /**
   * Milliseconds until it fails with 0x0101; with `retry`, until a try does.
   * @default handshakeTimeout of the endpoint
   */
  readonly timeout?: number;
  /**
   * What carries the session: UDP, or a WebSocket, as where a network lets no UDP through. `'auto'` tries
   * UDP, and a WebSocket as well if that has not answered in 250 ms or has failed; whoever wins is tried
   * first the next time. The session then goes over to the other when the one in use falls silent, and
   * back to UDP when that answers again. If both fail, the error is UDP's, and `attempts` has both.
   * @default 'auto'
   */
  readonly transport?: 'udp' | 'websocket' | 'auto';
  /**
   * Resolves one round trip earlier, once the peer has proved itself but has not admitted this node
   * yet. The session may then still end with 0x0103 or 0x0203 when the peer refuses.
   * @default false
   */
  readonly early?: boolean;
  /**
   * A `session.resumptionTicket` of an earlier session with the same peer: returns in one round trip.
   * Serves once. A ticket that the peer no longer takes, or that is of no use here, costs nothing but
   * time: the connect goes on with a whole handshake. `session.resumed` tells which it was.
   */
  readonly resume?: Uint8Array;
  /**
   * Bytes that travel with the first packet of a resumption, at most 898 with the tickets
   * that this version gives out, and never less than 492. The peer gets them at once if it listens with
   * `acceptEarlyData`; `session.earlyDataStatus` tells. They are never sent again by themselves.
   * They lack forward secrecy against whoever gets hold of the ticket or of the peer's memory.
   */
  readonly earlyData?: Uint8Array;
  /**
   * Tries again when it fails for a reason that passes: after pauses that grow at random up to 1, 2, 4,
   * 8 s, five tries in all, or as the options say. `context.attempt` of an error is its try. `resume` and
   * `earlyData` go with the first try that sends anything, never with another.
   * @default false
   */
  readonly retry?: boolean | RetryOptions;
  /** For a WebSocket: TLS below it, with `true` or options of `node:tls`. */
  readonly tls?: boolean | TlsOptions;
  /**
   * For a WebSocket: the HTTP proxy to go through, `http://user:password@host:port`; `false` for none.
   * @default as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say
   */
  readonly proxy?: string | false;
  /** For a WebSocket: where it is, if not at the peer's address. */
  readonly websocket?: WebSocketConnectOptions;
}

/** The same, checked. */
export interface ResolvedConnectOptions {
  /** Undefined: any holder of the seed. */
  readonly peerNodeId: Uint8Array | undefined;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly early: boolean;
  readonly resume: Uint8Array | undefined;
  readonly earlyData: Uint8Array | undefined;
  /** Undefined: one try. */
  readonly retry: RetryPolicy | undefined;
  readonly transport: 'udp' | 'websocket' | 'auto';
  /** Where the peer's WebSocket is. */
  readonly websocket: (host: string, port: number) => ResolvedWebSocket;
}

const NODE_ID_LENGTH = 32;
const NAMES = [
  'peerNodeId',
  'timeout',
  'signal',
  'transport',
  'early',
  'resume',
  'earlyData',
  'retry',
  'tls',
  'proxy',
  'websocket',
];

/** Bytes of a ticket before what the peer sealed; equal to Rust's (tested). */
const TICKET_HEADER = 105;
/** The first byte of a ticket: its format. */
const TICKET_FORMAT = 1;
/** Bytes that the peer's part of a ticket and early data share (PROTOCOL.md section 2.7). */
const RESUME_ROOM = 1_004;
/** Longest ticket of a peer (PROTOCOL.md section 1.6). */
const MAX_PEER_TICKET = 512;

/** Checks what a caller gave. */
export function checkConnectOptions(
  options: ConnectOptions,
  handshakeTimeout: number,
): ResolvedConnectOptions {
  if (typeof options !== 'object' || options === null) {
    throw new SttOptionError('peerNodeId', "is required: the peer's node id, or 'any'");
  }
  for (const name of Object.keys(options)) {
    if (!NAMES.includes(name)) throw new SttOptionError(name, 'is no option of connect()');
  }
  const { peerNodeId, timeout = handshakeTimeout, transport = 'auto' } = options;
  checkOneOf('transport', transport, ['udp', 'websocket', 'auto']);
  checkNumber('timeout', timeout, [1, 2 ** 31 - 1]);
  const { signal } = checkWait(options);
  const { early = false, resume, earlyData } = options;
  if (typeof early !== 'boolean') throw new SttOptionError('early', 'must be true or false');
  checkResumption(resume, earlyData);
  return {
    peerNodeId: peerNodeId === 'any' ? undefined : parseNodeId('peerNodeId', peerNodeId),
    timeout,
    signal,
    early,
    resume,
    earlyData,
    retry: checkRetry(options.retry),
    transport,
    websocket: checkWebSocketConnect(options.websocket, options.tls, options.proxy),
  };
}

function checkResumption(resume: unknown, earlyData: unknown): void {
  if (resume === undefined) {
    if (earlyData === undefined) return;
    throw new SttOptionError('earlyData', 'travels with a ticket: it needs `resume`');
  }
  const sealed = resume instanceof Uint8Array ? resume.length - TICKET_HEADER : 0;
  if (
    !(resume instanceof Uint8Array) ||
    resume[0] !== TICKET_FORMAT ||
    sealed < 1 ||
    sealed > MAX_PEER_TICKET
  ) {
    throw new SttOptionError('resume', 'must be the resumptionTicket of an earlier session');
  }
  if (earlyData === undefined) return;
  if (!(earlyData instanceof Uint8Array)) {
    throw new SttOptionError('earlyData', 'must be a Uint8Array');
  }
  const most = RESUME_ROOM - sealed;
  if (earlyData.length > most) {
    throw new SttOptionError(
      'earlyData',
      `has ${earlyData.length} bytes, but one packet with this ticket holds ${most}`,
    );
  }
}

/** The 32 bytes of a node id. */
export function parseNodeId(option: string, input: unknown): Uint8Array {
  if (input instanceof Uint8Array && input.length === NODE_ID_LENGTH) return input;
  if (typeof input === 'string' && /^[0-9a-f]{64}$/i.test(input)) return Buffer.from(input, 'hex');
  throw new SttOptionError(option, "must be 64 hex digits, 32 bytes, or 'any'");
}

/** Bytes as lower-case hex digits. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
