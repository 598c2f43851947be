import type { SttSession, SttStream } from '../../index.ts';
import type { ByteReader } from '../transfer/byte-reader.ts';
import type { Target } from './target.ts';
import { canonicalHost } from './target.ts';

/**
 * The conversation of a tunnel (docs/adr/0116-tunnels-have-credit-of-their-own.md). Each TCP connection is one bidirectional
 * stream of that purpose, opened by the near side, the one that listens for the connections:
 *
 * 1. near: a {@link Header};
 * 2. far: an {@link Answer}; after a refusal, FIN and no more;
 * 3. both: the bytes of the connection, FIN for FIN and {@link StreamCode.Reset} for RST.
 *
 * Header and answer are UTF-8 JSON behind a length of two bytes, little endian. How many bytes a side may have sent that
 * the other has not passed on is in `window` of what that other has sent, and in the records of {@link CREDIT_PURPOSE}.
 */
export const TUNNEL_PURPOSE = 'stt.tunnel.1';

/** One bidirectional stream of each session, opened by the near side before any other (see credit.ts). */
export const CREDIT_PURPOSE = 'stt.tunnel.credit.1';

/** Codes with which streams of a tunnel are reset and stopped. */
export const StreamCode = {
  /** The TCP connection was reset, or failed: the other one is reset too. */
  Reset: 1,
  /** What the other side sent is not of this conversation. */
  Malformed: 2,
  /** The header, or the answer, did not come in time. */
  Late: 3,
  /** The command ends. */
  Ending: 4,
  /** More bytes came than the window allowed. */
  Overrun: 5,
} as const;

/** Bytes of a connection that one side takes without having passed them on. */
export const WINDOW: number = 1 << 20;

/** What the near side wants. */
export interface Header extends Target {
  /** Bytes that the near side takes before it has passed any on. */
  readonly window: number;
}

/** Why the far side does not connect. */
export const REFUSALS = [
  /** Not on its allow-list. */
  'forbidden',
  /** The name does not resolve there. */
  'unresolved',
  /** Nobody listens there. */
  'refused',
  /** No way leads there from the far side. */
  'unreachable',
  /** Nobody answered there in time. */
  'timeout',
  /** The far side has as many connections as it takes, or is out of descriptors. */
  'busy',
  /** The far side is about to end. */
  'ending',
  /** The far side could not read the header. */
  'malformed',
  /** Something else, which `code` may say. */
  'failed',
] as const;

/** One of {@link REFUSALS}. */
export type Refusal = (typeof REFUSALS)[number];

/** What the far side says. */
export type Answer =
  | { readonly accept: true; readonly window: number }
  | {
      readonly accept: false;
      readonly refusal: Refusal;
      /** The system's code, as ECONNREFUSED, where there is one. */
      readonly code?: string;
    };

/** Longest message: a name of 253 bytes fits with room to spare. */
const LONGEST = 1_024;

/** Largest window that is believed; with it a counter stays exact. */
const LARGEST_WINDOW = 2 ** 31 - 1;

/** The other side does not keep to the conversation. */
export class TunnelProtocolError extends Error {
  override readonly name = 'TunnelProtocolError';
}

/** A message, as it goes over the wire. */
export function encode(message: Header | Answer): Uint8Array {
  const body = Buffer.from(JSON.stringify(message));
  const frame = Buffer.alloc(2 + body.length);
  frame.writeUInt16LE(body.length);
  body.copy(frame, 2);
  return frame;
}

/** Reads a {@link Header}. */
export async function readHeader(reader: ByteReader): Promise<Header> {
  const { host, port, window } = await readMessage(reader);
  const name = typeof host === 'string' ? canonicalHost(host) : undefined;
  if (name === undefined || !isWithin(port, 65_535)) throw new TunnelProtocolError('no target');
  return { host: name, port, window: windowOf(window) };
}

/** Reads an {@link Answer}. */
export async function readAnswer(reader: ByteReader): Promise<Answer> {
  const { accept, window, refusal, code } = await readMessage(reader);
  if (accept === true) return { accept, window: windowOf(window) };
  if (accept !== false) throw new TunnelProtocolError('no answer');
  // A reason of a later version is still a refusal.
  const known = REFUSALS.find((name) => name === refusal) ?? 'failed';
  const isCode = typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,39}$/.test(code);
  return { accept, refusal: known, ...(isCode ? { code } : {}) };
}

async function readMessage(reader: ByteReader): Promise<Record<string, unknown>> {
  const length = Buffer.from(await reader.exactly(2)).readUInt16LE();
  if (length > LONGEST) throw new TunnelProtocolError(`a message of ${length} bytes`);
  const text = Buffer.from(await reader.exactly(length)).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new TunnelProtocolError('a message that is not JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null) throw new TunnelProtocolError('no object');
  return value as Record<string, unknown>;
}

function windowOf(value: unknown): number {
  if (!isWithin(value, LARGEST_WINDOW)) throw new TunnelProtocolError('no window');
  return value;
}

function isWithin(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= most;
}

/** Ends both halves of a stream at once. */
export function abandon(stream: SttStream, code: number): void {
  stream.reset(code);
  stream.stop(code);
}

/** A tunnel has no streams of one direction. */
export async function stopOneWay(session: SttSession): Promise<void> {
  for await (const stream of session.incomingUnidirectionalStreams)
    stream.stop(StreamCode.Malformed);
}

/** The far side of a tunnel opens no streams. */
export async function resetAll(session: SttSession): Promise<void> {
  for await (const stream of session.incomingBidirectionalStreams)
    abandon(stream, StreamCode.Malformed);
}
