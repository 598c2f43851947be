import { describe, expect, test } from 'vitest';
import { hex, InvalidFrame, unhex } from '../../ts/testing/wire/bytes.ts';
import { parseBundle, parseFrame, writeBody, writePart } from '../../ts/testing/wire/frames.ts';
import vectors from '../../vectors/wire-frames.json' with { type: 'json' };

const SEALED = 0x02;
const FIN = 0x04;
const BUNDLE = 0x1f;

/** Why each body is refused: one that is refused for another reason tests something else than it says. */
const REASONS: Readonly<Record<string, string>> = {
  'DATA without a stream': 'not a frame of stream 0',
  'DATA past the largest offset': 'past the largest offset',
  'FIN on a WINDOW': 'a FIN without DATA',
  'an unknown flag': 'an unknown flag',
  'a DRAIN on a stream': 'not a frame of stream 4',
  'ACK below zero': 'a range below packet 0',
  'ACK range below zero': 'a range below packet 0',
  'ACK with half a range': 'ends inside a field',
  'trailing byte': 'bytes after the last field',
  'KEEP_ALIVE of kind 2': '2 is more than 1',
  'MAX_STREAMS of kind 2': '2 is more than 1',
  'priority 8': '8 is more than 7',
  'purpose that is not UTF-8': 'not UTF-8',
  'close reason 4': '4 is more than 3',
  'a BUNDLE in a BUNDLE': 'a type that must not stand here',
  'a HELLO in a BUNDLE': 'a type that must not stand here',
  'a part longer than the BUNDLE': 'ends inside a field',
  'a BUNDLE on a stream': 'not a frame of stream 4',
};

describe('frames', () => {
  test.each(vectors.frames)('$type $body', ({ body, ...expected }) => {
    const flags = expected.fin ? SEALED | FIN : SEALED;
    const frame = parseFrame(expected.typeCode, flags, expected.streamId, unhex(body));
    expect(frame).toEqual(expected);
    expect(hex(writeBody(expected))).toBe(body);
  });

  test('every frame that travels sealed has a vector', () => {
    const types = new Set(vectors.frames.map(({ type }) => type));
    expect(types.size).toBe(16);
  });

  test.each(vectors.invalid)('$name is refused', ({ name, typeCode, flags, streamId, body }) => {
    const parse = () =>
      typeCode === BUNDLE
        ? parseBundle(flags, streamId, unhex(body))
        : parseFrame(typeCode, flags, streamId, unhex(body));
    expect(parse).toThrow(InvalidFrame);
    expect(parse).toThrow(REASONS[name]!);
    expect(REASONS).toHaveProperty([name]);
  });
});

describe('a BUNDLE', () => {
  const body = unhex(vectors.bundle.body);

  test('is its parts', () => {
    const parts = parseBundle(SEALED, 0, body);
    expect(parts.map(({ frame }) => frame)).toMatchObject(vectors.bundle.parts);
    let end = 0;
    for (const part of parts) {
      // Between the parts there is padding only.
      expect(hex(body.subarray(end, part.start))).toMatch(/^(00)*$/);
      end = part.end;
      if (part.frame.type === null) continue;
      expect(hex(writePart(part.frame))).toBe(hex(body.subarray(part.start, part.end)));
    }
    expect(end).toBe(body.length);
  });

  test('cut short is refused, or ends after a part', () => {
    const ends = parseBundle(SEALED, 0, body).map((part) => part.end);
    for (let length = 1; length < body.length; length++) {
      const cut = body.subarray(0, length);
      const last = ends.findLast((end) => end <= length) ?? 0;
      const whole = cut.subarray(last).every((byte) => byte === 0);
      if (whole) expect(parseBundle(SEALED, 0, cut).at(-1)?.end ?? 0).toBe(last);
      else expect(() => parseBundle(SEALED, 0, cut)).toThrow(InvalidFrame);
    }
  });
});
