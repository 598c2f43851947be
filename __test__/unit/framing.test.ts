import { describe, expect, test } from 'vitest';
import { decodeLength, encodeLength, MessageSplitter } from '../../ts/stream/framing.ts';
import { counting } from './scripted-engine.ts';

const splitter = (maxSize = 1 << 20): MessageSplitter => new MessageSplitter(maxSize, () => ({}));

describe('message framing', () => {
  test('lengths are the varints of RFC 9000, with its own examples', () => {
    expect([...encodeLength(37)]).toEqual([0x25]);
    expect([...encodeLength(15_293)]).toEqual([0x7b, 0xbd]);
    expect([...encodeLength(494_878_333)]).toEqual([0x9d, 0x7f, 0x3e, 0x7d]);
    expect(decodeLength(Uint8Array.of(0x40, 0x25))).toEqual({ length: 37, size: 2 });
    const large = Uint8Array.of(0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c);
    expect(decodeLength(large)?.size).toBe(8);
  });

  test('every boundary survives the round trip', () => {
    for (const length of [0, 63, 64, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, 2 ** 40]) {
      const bytes = encodeLength(length);
      expect(decodeLength(bytes)).toEqual({ length, size: bytes.length });
      expect(decodeLength(bytes.subarray(0, bytes.length - 1))).toBeUndefined();
    }
  });

  test('messages come out whole however the stream is cut', () => {
    const messages = [0, 1, 63, 64, 20_000].map((size) => counting(size));
    const stream = Buffer.concat(messages.flatMap((m) => [encodeLength(m.length), m]));
    for (const step of [1, 2, 3, 7, 64, 1_000, stream.length]) {
      const cut = splitter();
      const out: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += step) {
        out.push(...cut.push([stream.subarray(at, at + step)]));
      }
      cut.end();
      expect(out.map((message) => [...message])).toEqual(messages.map((message) => [...message]));
    }
  });

  test('a message over maxSize is refused by its length alone', () => {
    expect(() => splitter(10).push([encodeLength(11)])).toThrowError(/11 bytes.*maxSize is 10/);
  });

  test('an end within a message is an error', () => {
    const cut = splitter();
    cut.push([Uint8Array.of(5, 1, 2)]);
    expect(() => cut.end()).toThrowError(/3 of 5 bytes short/);
  });
});
