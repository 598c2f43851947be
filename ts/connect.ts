import type { WaitOptions } from './async.ts';
import { checkWait } from './async.ts';
import { SttOptionError } from './errors/local.ts';
import { checkNumber, checkOneOf } from './options.ts';

/** How a session is opened. */
export interface ConnectOptions extends WaitOptions {
  /**
   * The node that must answer: 64 hex digits or 32 bytes, as its `endpoint.nodeId` says; or `'any'`,
   * which lets every holder of the shared seed answer.
   */
  readonly peerNodeId: string | Uint8Array;
  /**
   * Milliseconds until it fails with 0x0101.
   * @default handshakeTimeout of the endpoint
   */
  readonly timeout?: number;
  /**
   * What carries the session. This version has UDP; `'auto'` means UDP for now.
   * @default 'auto'
   */
  readonly transport?: 'udp' | 'websocket' | 'auto';
}

/** The same, checked. */
export interface ResolvedConnectOptions {
  /** Undefined: any holder of the seed. */
  readonly peerNodeId: Uint8Array | undefined;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

const NODE_ID_LENGTH = 32;
const NAMES = ['peerNodeId', 'timeout', 'signal', 'transport'];

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
  if (transport === 'websocket') {
    throw new SttOptionError('transport', "'websocket' is not in this version; use 'udp'");
  }
  checkNumber('timeout', timeout, [1, 2 ** 31 - 1]);
  const { signal } = checkWait(options);
  return {
    peerNodeId: peerNodeId === 'any' ? undefined : parseNodeId('peerNodeId', peerNodeId),
    timeout,
    signal,
  };
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
