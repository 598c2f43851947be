import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  encodeVarint,
  FieldReader,
  hex,
  InvalidFrame,
  unhex,
} from '../../ts/testing/wire/bytes.ts';
import {
  crc16,
  decodePacket,
  decodePacketNumber,
  encodePacket,
  RefusedPacket,
} from '../../ts/testing/wire/packet.ts';
import crcs from '../../vectors/wire-crc.json' with { type: 'json' };
import packets from '../../vectors/wire-packet.json' with { type: 'json' };
import numbers from '../../vectors/wire-packet-number.json' with { type: 'json' };
import varints from '../../vectors/wire-varint.json' with { type: 'json' };

const NO_MASK = Buffer.alloc(11);

describe('varints', () => {
  test.each(varints.cases)('$bytes is $value', ({ value, bytes, shortest }) => {
    const input = new FieldReader(unhex(bytes));
    expect(input.varint()).toBe(BigInt(value));
    expect(input.atEnd).toBe(true);
    expect(hex(encodeVarint(BigInt(value))) === bytes).toBe(shortest);
    const length = (bytes.length / 2) as 1 | 2 | 4 | 8;
    expect(hex(encodeVarint(BigInt(value), length))).toBe(bytes);
  });

  test.each(varints.truncated)('"%s" is cut short', (bytes) => {
    expect(() => new FieldReader(unhex(bytes)).varint()).toThrow(InvalidFrame);
  });
});

test.each(crcs.cases)('checksums of "$bytes"', (c) => {
  const bytes = unhex(c.bytes);
  expect(crc16(bytes).toString(16).padStart(4, '0')).toBe(c.crc16);
  expect(crc32(bytes).toString(16).padStart(8, '0')).toBe(c.crc32);
});

test.each(numbers.cases)('after $largest, $truncated is packet $packetNumber', (c) => {
  const largest = c.largest === null ? null : BigInt(c.largest);
  expect(decodePacketNumber(largest, c.truncated)).toBe(BigInt(c.packetNumber));
  expect(Number(BigInt.asUintN(32, BigInt(c.packetNumber)))).toBe(c.truncated);
});

describe('packets', () => {
  test.each(packets.cases)('$name', ({ header, payload, mask, packet }) => {
    expect(hex(encodePacket(header, unhex(payload), unhex(mask)))).toBe(packet);
    const decoded = decodePacket(unhex(packet), unhex(mask));
    expect(decoded.header).toEqual(header);
    expect(hex(decoded.payload)).toBe(payload);
    // The rest of the datagram is none of this packet's business.
    const followed = Buffer.concat([unhex(packet), unhex('00ff')]);
    expect(decodePacket(followed, unhex(mask))).toEqual(decoded);
  });

  test.each(packets.invalid)('$name: $error', ({ packet, error }) => {
    expect(() => decodePacket(unhex(packet), NO_MASK)).toThrow(new RefusedPacket(error));
  });
});
