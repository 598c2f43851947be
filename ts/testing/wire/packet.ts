// The outer layer of a packet: header, mask and checksums (PROTOCOL.md section 1).

import { crc32 } from 'node:zlib';
import { hex, u16, u32, unhex } from './bytes.ts';

const HEADER_LENGTH = 24;
const CRC16_AT = 22;
const CRC32_LENGTH = 4;
const TAG_LENGTH = 16;
const VERSION = 1;
const SEALED_BIT = 0x80;

/** The fields of a header in plain, named as in the vectors. */
export interface Header {
  version: number;
  sealed: boolean;
  type: number;
  flags: number;
  pathId: string;
  streamId: number;
  packetNumber: number;
  payloadLength: number;
}

/** A packet that is refused before any key is used; the message is the error's name. */
export class RefusedPacket extends Error {}

/** CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xffff, neither reflected nor inverted. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) {
      crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
    }
  }
  return crc;
}

/** The 22 bytes that the AEAD authenticates: a header without its CRC-16. */
export function encodeHeader(header: Header): Buffer {
  return Buffer.concat([
    Buffer.of(header.version | (header.sealed ? SEALED_BIT : 0), header.type),
    u16(header.flags),
    unhex(header.pathId),
    u32(header.streamId),
    u32(header.packetNumber),
    u16(header.payloadLength),
  ]);
}

/** Masks a header, or unmasks a masked one. */
export function applyMask(header: Buffer, mask: Buffer): Buffer {
  const out = Buffer.from(header);
  for (const [i, byte] of mask.entries()) out[i < 3 ? 1 + i : 12 + i - 3]! ^= byte;
  return out;
}

/** The packet as it is sent. */
export function encodePacket(header: Header, payload: Buffer, mask: Buffer): Buffer {
  const head = applyMask(encodeHeader(header), mask);
  const body = Buffer.concat([head, u16(crc16(head)), payload]);
  return Buffer.concat([body, u32(crc32(body))]);
}

/**
 * The first packet of a datagram, unmasked. The mask is a parameter, where a receiver derives it from
 * the payload.
 */
export function decodePacket(datagram: Buffer, mask: Buffer): { header: Header; payload: Buffer } {
  if (datagram.length < HEADER_LENGTH) throw new RefusedPacket('INVALID_FRAME');
  const head = datagram.subarray(0, CRC16_AT);
  if (crc16(head) !== datagram.readUInt16LE(CRC16_AT)) throw new RefusedPacket('CHECKSUM_MISMATCH');
  const sealed = (head[0]! & SEALED_BIT) !== 0;
  const version = head[0]! & ~SEALED_BIT;
  // Another version shares no more than the header and its CRC-16, so nothing else may be judged first.
  if (version !== VERSION) throw new RefusedPacket('PROTOCOL_VERSION_MISMATCH');
  const payloadLength = head.readUInt16LE(20);
  const end = HEADER_LENGTH + payloadLength;
  if (end + CRC32_LENGTH > datagram.length || (sealed && payloadLength < TAG_LENGTH)) {
    throw new RefusedPacket('INVALID_FRAME');
  }
  if (crc32(datagram.subarray(0, end)) !== datagram.readUInt32LE(end)) {
    throw new RefusedPacket('CHECKSUM_MISMATCH');
  }
  const plain = applyMask(head, mask);
  const header = {
    version,
    sealed,
    type: plain.readUInt8(1),
    flags: plain.readUInt16LE(2),
    pathId: hex(plain.subarray(4, 12)),
    streamId: plain.readUInt32LE(12),
    packetNumber: plain.readUInt32LE(16),
    payloadLength,
  };
  return { header, payload: datagram.subarray(HEADER_LENGTH, end) };
}

/**
 * The packet number whose low 32 bits are `truncated` and which lies nearest to the one that is expected
 * next (RFC 9000 A.3). Of two equally near ones the larger.
 */
export function decodePacketNumber(largest: bigint | null, truncated: number): bigint {
  const expected = largest === null ? 0n : largest + 1n;
  const window = expected >> 32n;
  const distance = (number: bigint) => (number < expected ? expected - number : number - expected);
  return [window + 1n, window, window - 1n]
    .map((high) => (high << 32n) | BigInt(truncated))
    .filter((number) => number >= 0n && number < 1n << 62n)
    .reduce((best, number) => (distance(number) < distance(best) ? number : best));
}
