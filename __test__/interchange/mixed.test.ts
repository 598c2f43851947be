import { beforeAll, describe, expect, test } from 'vitest';
import type { Frame } from '../../ts/testing/wire/frames.ts';
import type { Path } from './capture.ts';
import { type Decoded, decode } from './decoder.ts';
import { changePart, type Forged, refusal, replace, reseal, type Which } from './forge.ts';
import { type Mixed, recordMixed } from './session.ts';

let recorded: Mixed;
let decoded: Decoded;
beforeAll(async () => {
  recorded = await recordMixed();
  const { capture, secrets, keyLog } = recorded;
  decoded = decode(capture, { ...secrets, tickets: new Map() }, keyLog);
});

/** Finds frames of this type that the initiator sent, and changes them. */
function changed(type: string, change: (frame: Frame) => Frame, which: Which = 'first'): Forged {
  const part = (frame: Frame) => (frame.type === type ? change(frame) : undefined);
  return reseal(recorded, 'initiator', (plain) => changePart(plain, part), which);
}

describe('a session with messages, skips and moves', () => {
  test('is read to its end', () => {
    expect(decoded.sessionId).toBe(recorded.sessionId);
    for (const [name, bytes] of recorded.streams) {
      expect(decoded.streams.get(name)?.bytes.equals(bytes), name).toBe(true);
    }
  });

  test('every message is found once, as it was sent', () => {
    expect(decoded.messages).toEqual(recorded.messages);
    expect(decoded.frames.initiator).toMatchObject({ DATAGRAM: 2, CUSTOM: 2 });
    expect(decoded.frames.responder).toMatchObject({ DATAGRAM: 2, CUSTOM: 2 });
    const sizes = (from: string): number[] =>
      decoded.messages.filter((one) => one.from === from).map(({ data }) => data.length / 2);
    // As long as the other side takes.
    expect(sizes('initiator')).toEqual([600, 0, 600, 5]);
    expect(sizes('responder')).toEqual([700, 0, 700, 5]);
  });

  test('what a reader never got was given up before, and the rest is what was sent', () => {
    const { id, sent, read } = recorded.deadline;
    const half = decoded.streams.get(`${id} initiator`);
    if (half === undefined) throw new Error(`stream ${id} did not end`);
    expect(decoded.frames.initiator.STREAM_SKIP).toBeGreaterThanOrEqual(1);
    expect(half.bytes.length).toBe(sent.length);
    expect(half.skipped).toBeGreaterThan(0);
    expect(half.bytes.subarray(half.skipped).equals(sent.subarray(half.skipped))).toBe(true);
    expect(read.gaps.length).toBeGreaterThan(0);
    for (const { offset, length } of read.gaps) {
      expect(offset + length).toBeLessThanOrEqual(half.skipped);
    }
    for (const { offset, bytes } of read.chunks) {
      const there = half.bytes.subarray(offset, offset + bytes.length);
      expect(there.equals(bytes), `from ${offset}`).toBe(true);
    }
  });

  test('every address that it was moved to was proven before it was used', () => {
    expect(recorded.moves.map(({ host }) => host)).toEqual(['127.0.0.1', '127.0.0.2']);
    expect(decoded.paths).toEqual({ seen: 3, proven: 3 });
    expect(decoded.frames.initiator.KEEP_ALIVE_ACK).toBeGreaterThanOrEqual(2);
  });
});

describe('the decoder refuses', () => {
  test('a DATAGRAM longer than its receiver takes', () => {
    const { capture, at } = changed('DATAGRAM', (frame) => {
      const data = `${frame.fields?.data}00`;
      return { ...frame, fields: { data } };
    });
    expect(refusal(capture, recorded)).toMatchObject({ section: '1.10', datagram: at });
  });

  test('a custom frame on a stream', () => {
    const { capture, at } = changed('CUSTOM', (frame) => ({ ...frame, streamId: 4 }));
    expect(refusal(capture, recorded)).toMatchObject({ section: '1.6', datagram: at });
  });

  test('a custom frame longer than its receiver takes', () => {
    const { capture, at } = changed('CUSTOM', (frame) => ({
      ...frame,
      fields: { data: '00'.repeat(601) },
    }));
    expect(refusal(capture, recorded)).toMatchObject({ section: '1.10', datagram: at });
  });

  test('a STREAM_SKIP on a stream with reliability 0', () => {
    const { capture, at } = changed('STREAM_SKIP', (frame) => ({ ...frame, streamId: 4 }));
    expect(refusal(capture, recorded)).toMatchObject({ section: '1.9', datagram: at });
  });

  test('a STREAM_SKIP beyond the credit', () => {
    const { capture, at } = changed('STREAM_SKIP', (frame) => ({
      ...frame,
      fields: { offset: '1073741823' },
    }));
    expect(refusal(capture, recorded)).toMatchObject({ section: '1.9', datagram: at });
  });

  test('DATA behind bytes given up, where the STREAM_SKIP never came', () => {
    const { id } = recorded.deadline;
    const nothing = (frame: Frame): Frame => ({ ...frame, fields: { offset: '0' } });
    const { capture } = changed('STREAM_SKIP', nothing, 'every');
    const { section, message } = refusal(capture, recorded);
    expect(section).toBe('1.9');
    expect(message, `stream ${id}`).toContain('before the STREAM_SKIP');
  });

  /** The capture with one of the responder's large datagrams on its way to another address. */
  function diverted(count: number, path: Path): Forged {
    let large = 0;
    return replace(recorded.capture, (datagram) => {
      if (datagram.from !== 'responder' || datagram.bytes.length <= 1_200) return undefined;
      large += 1;
      return large === count ? { ...datagram, path } : undefined;
    });
  }

  test('more bytes to an address than came from it before it is proven', () => {
    // The first is a probe of the size, which may be that large.
    const { capture, at } = diverted(1, recorded.moves[0] as Path);
    const { section, datagram, message } = refusal(capture, recorded);
    expect([section, datagram]).toEqual(['6.3', at]);
    expect(message).toContain('to a path from which 0 came');
  });

  test('more than 1200 bytes on the way to a fresh address', () => {
    const { capture, at } = diverted(20, recorded.moves[1] as Path);
    expect(refusal(capture, recorded)).toMatchObject({ section: '5.3', datagram: at });
  });

  test('a responder that moves where its peer has not', () => {
    const [path] = recorded.moves as [Path, Path];
    const { capture, at } = replace(recorded.capture, (datagram) => {
      const sealed = datagram.from === 'responder' && datagram.bytes[0] === 0x81;
      return sealed ? { ...datagram, path } : undefined;
    });
    expect(refusal(capture, recorded)).toMatchObject({ section: '6.3', datagram: at });
  });

  test('a path id that nobody gave out', () => {
    const { capture, at } = reseal(recorded, 'initiator', ({ header, ...plain }) => ({
      ...plain,
      header: { ...header, pathId: '0102030405060708' },
    }));
    expect(refusal(capture, recorded)).toMatchObject({ section: '1.1', datagram: at });
  });

  test('NEW_ID with the token of another path id', () => {
    const { capture, at } = changed('NEW_ID', (frame) => ({
      ...frame,
      fields: { ...frame.fields, pathId: '0102030405060708' },
    }));
    expect(refusal(capture, recorded)).toMatchObject({ section: '0.2', datagram: at });
  });
});
