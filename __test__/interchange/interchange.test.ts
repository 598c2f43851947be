import { beforeAll, describe, expect, test } from 'vitest';
import { encodeVarint } from '../../ts/testing/wire/bytes.ts';
import type { Datagram } from './capture.ts';
import { decode } from './decoder.ts';
import { changePart, type Forged, type Plain, refusal, reseal } from './forge.ts';
import { recordStreams, type Streamed } from './session.ts';

let recorded: Streamed;
beforeAll(async () => {
  recorded = await recordStreams(600_000);
});

describe('the document describes the wire', () => {
  test('a decoder written from it reads a whole session, and finds the bytes that were sent', () => {
    const { capture, secrets, keyLog, sessionId, streams } = recorded;
    const decoded = decode(capture, { ...secrets, tickets: new Map() }, keyLog);
    expect(decoded.sessionId).toBe(sessionId);
    expect([...decoded.streams.keys()].sort()).toEqual([...streams.keys()].sort());
    for (const [name, bytes] of streams) {
      expect(decoded.streams.get(name)?.bytes.equals(bytes), name).toBe(true);
    }
    expect(capture.filter(({ delivered }) => !delivered).length).toBeGreaterThan(5);
    expect(decoded.packets.initiator).toBeGreaterThan(800);
    // One more may come with the last packets, after it was counted.
    expect(recorded.keyUpdates).toBeGreaterThanOrEqual(1);
    expect(decoded.keyUpdates.initiator).toBeGreaterThanOrEqual(recorded.keyUpdates);
    expect(decoded.keyUpdates.initiator).toBeLessThanOrEqual(recorded.keyUpdates + 1);
    expect(decoded.largestDatagram.initiator).toBe(1_452);
    const { initiator, responder } = decoded.frames;
    expect(responder.FINAL).toBeGreaterThanOrEqual(1);
    for (const type of ['STREAM_OPEN', 'DATA', 'ACK', 'KEEP_ALIVE', 'DRAIN', 'SESSION_CLOSE']) {
      expect(initiator[type], type).toBeGreaterThanOrEqual(1);
    }
    for (const type of ['DATA', 'ACK', 'WINDOW', 'KEEP_ALIVE_ACK', 'SESSION_CLOSE']) {
      expect(responder[type], type).toBeGreaterThanOrEqual(1);
    }
  });
});

describe('the decoder refuses', () => {
  const forge = (from: Datagram['from'], change: (plain: Plain) => Plain | undefined): Forged =>
    reseal(recorded, from, change);

  test('nothing, where a packet is sealed again as it was', () => {
    const { capture, at } = forge('initiator', (plain) => plain);
    expect(capture[at]?.bytes.equals(recorded.capture[at]?.bytes as Buffer)).toBe(true);
  });

  test('an ACK whose first range counts its packets instead of one less', () => {
    const { capture, at } = forge('responder', (plain) =>
      changePart(plain, (frame) => {
        const { type, fields } = frame;
        if (type !== 'ACK' || fields === null) return undefined;
        const [newest, ...older] = fields.ranges as [string, string][];
        if (newest === undefined || older.length === 0) return undefined;
        const [first, last] = newest;
        // One packet more than arrived: the one that is missing below.
        const ranges = [[(BigInt(first) - 1n).toString(), last]];
        return { ...frame, fields: { ...fields, ranges } };
      }),
    );
    expect(refusal(capture, recorded)).toMatchObject({ section: '5.1', datagram: at });
  });

  test('a flag that must be sent as zero', () => {
    const { capture, at } = forge('initiator', ({ header, ...plain }) => ({
      ...plain,
      header: { ...header, flags: header.flags | 0x20 },
    }));
    expect(refusal(capture, recorded)).toMatchObject({ section: '1.1', datagram: at });
  });

  test('a packet number that was used before', () => {
    let seen = 0;
    const { capture, at } = forge('initiator', (plain) => {
      seen += 1;
      return seen < 20 ? undefined : { ...plain, number: plain.number - 1n };
    });
    expect(refusal(capture, recorded)).toMatchObject({ section: '4.3', datagram: at });
  });

  test('a stream byte that is sent again as another', () => {
    let offset = -1n;
    const { capture, at } = forge('initiator', (plain) => {
      if (plain.header.type !== 0x10) return undefined;
      const start = plain.plaintext;
      const length = 1 << ((start[0] as number) >> 6);
      if (offset < 0n) {
        offset = 0n;
        return undefined;
      }
      return { ...plain, plaintext: Buffer.concat([encodeVarint(0n), start.subarray(length)]) };
    });
    expect(refusal(capture, recorded)).toMatchObject({ section: '5.2', datagram: at });
  });

  test('a datagram that was damaged on the way', () => {
    const capture = [...recorded.capture];
    const { bytes } = capture[10] as Datagram;
    const damaged = Buffer.from(bytes);
    damaged[30]! ^= 1;
    capture[10] = { ...(capture[10] as Datagram), bytes: damaged };
    expect(refusal(capture, recorded)).toMatchObject({ section: '1.3', datagram: 10 });
  });

  test('a key update before a packet under the key was acknowledged', () => {
    const { capture, at } = forge('initiator', ({ header, ...plain }) => ({
      ...plain,
      header: { ...header, flags: header.flags | 0x10 },
      updated: true,
    }));
    expect(refusal(capture, recorded)).toMatchObject({ section: '4.4', datagram: at });
  });

  test('a key update without another key', () => {
    let seen = 0;
    const { capture, at } = forge('initiator', ({ header, ...plain }) => {
      seen += 1;
      // Late enough for an update to be allowed.
      if (seen < 100) return undefined;
      return { ...plain, header: { ...header, flags: header.flags | 0x10 } };
    });
    expect(refusal(capture, recorded)).toMatchObject({ section: '4.2', datagram: at });
  });
});
