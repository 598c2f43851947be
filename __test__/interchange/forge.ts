// Deviations to order: packets of a capture changed by somebody who has its keys, and sealed again.

import { type Frame, parseBundle, writePart } from '../../ts/testing/wire/frames.ts';
import {
  decrypt,
  encrypt,
  headerMask,
  packetNonce,
  ratchet,
  trafficKeys,
} from '../../ts/testing/wire/keys.ts';
import {
  applyMask,
  decodePacket,
  encodePacket,
  type Header,
} from '../../ts/testing/wire/packet.ts';
import type { Datagram } from './capture.ts';
import { decode } from './decoder.ts';
import { Deviation } from './deviation.ts';
import type { Tickets } from './seeds.ts';
import type { Open } from './stage.ts';

const BUNDLE = 0x1f;

/** A sealed packet of the first key phase in plain. */
export interface Plain {
  readonly header: Header;
  readonly number: bigint;
  readonly plaintext: Buffer;
  /** Sealed under the next key, where set. */
  readonly updated?: boolean;
}

/** A capture with one datagram changed, and which. */
export interface Forged {
  readonly capture: Datagram[];
  readonly at: number;
}

/** Which of the datagrams that can be changed are. */
export type Which = 'first' | 'every';

/** The capture with datagrams as `change` gives them; those that it gives nothing for stay. */
export function replace(
  capture: readonly Datagram[],
  change: (datagram: Datagram) => Datagram | undefined,
  which: Which = 'first',
): Forged {
  const copy = [...capture];
  let first = -1;
  for (const [at, datagram] of capture.entries()) {
    const changed = change(datagram);
    if (changed === undefined) continue;
    copy[at] = changed;
    if (first < 0) first = at;
    if (which === 'first') break;
  }
  if (first < 0) throw new Error('no packet to change');
  return { capture: copy, at: first };
}

/** The same for sealed packets of a side: `change` sees them in plain, and they are sealed again. */
export function reseal(
  { capture, keyLog }: Open & { capture: readonly Datagram[] },
  from: Datagram['from'],
  change: (plain: Plain, datagram: Datagram) => Plain | undefined,
  which: Which = 'first',
): Forged {
  const again = (datagram: Datagram): Datagram | undefined => {
    if (datagram.from !== from || datagram.bytes[0] !== 0x81) return undefined;
    const { header: masked, payload } = decodePacket(datagram.bytes, Buffer.alloc(11));
    const traffic = keyLog.traffic.get(masked.pathId);
    if (traffic === undefined) return undefined;
    const algorithm = traffic.aead === 1 ? 'AES' : 'ChaCha';
    const keys = trafficKeys(traffic.secret);
    const mask = headerMask(algorithm, keys.header, payload);
    const { header } = decodePacket(datagram.bytes, mask);
    if ((header.flags & 0x10) !== 0) return undefined;
    const aad = applyMask(datagram.bytes.subarray(0, 22), mask);
    const number = BigInt(header.packetNumber);
    const plaintext = decrypt(algorithm, keys.key, packetNonce(keys.iv, number), aad, payload);
    const changed = change({ header, number, plaintext }, datagram);
    if (changed === undefined) return undefined;
    const next = trafficKeys(ratchet(traffic.secret));
    const { key, iv } = changed.updated === true ? next : keys;
    const payloadLength = changed.plaintext.length + 16;
    const plain = { ...changed.header, packetNumber: Number(changed.number), payloadLength };
    const bare = encodePacket(plain, Buffer.alloc(payloadLength), Buffer.alloc(11));
    const nonce = packetNonce(iv, changed.number);
    const sealed = encrypt(algorithm, key, nonce, bare.subarray(0, 22), changed.plaintext);
    const bytes = encodePacket(plain, sealed, headerMask(algorithm, keys.header, sealed));
    return { ...datagram, bytes };
  };
  return replace(capture, again, which);
}

/** Changes the first part of a BUNDLE that `change` gives something for; the packet keeps its length if it can. */
export function changePart(
  plain: Plain,
  change: (frame: Frame) => Frame | undefined,
): Plain | undefined {
  if (plain.header.type !== BUNDLE) return undefined;
  const parts = parseBundle(plain.header.flags, 0, plain.plaintext);
  for (const [at, { frame }] of parts.entries()) {
    const changed = change(frame);
    if (changed === undefined) continue;
    const frames = parts.map((part) => part.frame);
    frames[at] = changed;
    const length = plain.plaintext.length;
    const written = Buffer.concat(frames.map(writePart));
    const padding = Buffer.alloc(Math.max(0, length - written.length));
    return { ...plain, plaintext: Buffer.concat([written, padding]) };
  }
  return undefined;
}

/** Why the decoder refuses a capture. */
export function refusal(
  capture: readonly Datagram[],
  { secrets, keyLog }: Open,
  tickets: Tickets = new Map(),
): Deviation {
  try {
    decode(capture, { ...secrets, tickets }, keyLog);
  } catch (error) {
    if (error instanceof Deviation) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}
