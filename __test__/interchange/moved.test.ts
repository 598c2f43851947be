import { beforeAll, describe, expect, test } from 'vitest';
import { decodePacket, encodePacket } from '../../ts/testing/wire/packet.ts';
import type { Datagram } from './capture.ts';
import { type Decoded, decode } from './decoder.ts';
import { refusal, replace } from './forge.ts';
import { type Moved, recordMoved } from './session.ts';

const NO_MASK = Buffer.alloc(11);

const isRetry = ({ bytes }: Datagram): boolean => bytes[0] === 0x01 && bytes[1] === 0x05;

let recorded: Moved;
let decoded: Decoded;

/** 127.0.0.0/8 is this machine's own on Linux only. */
describe.skipIf(process.platform !== 'linux')('a session that moves by itself', () => {
  beforeAll(async () => {
    recorded = await recordMoved();
    const { capture, secrets, keyLog } = recorded;
    decoded = decode(capture, { ...secrets, tickets: new Map() }, keyLog);
  });

  test('is read to its end, and written again byte for byte', () => {
    expect(decoded.sessionId).toBe(recorded.sessionId);
    for (const [name, bytes] of recorded.streams) {
      expect(decoded.streams.get(name)?.bytes.equals(bytes), name).toBe(true);
    }
  });

  test('connects by a RETRY and the cookie in it', () => {
    expect(decoded.handshake.RETRY).toBeGreaterThanOrEqual(1);
    expect(decoded.handshake.HELLO).toBeGreaterThanOrEqual(2);
  });

  test('uses other path ids on the other path, both ways', () => {
    const { initiator, responder } = decoded.frames;
    expect(decoded.paths).toEqual({ seen: 2, proven: 2 });
    expect(decoded.pathIds.initiator).toBeGreaterThanOrEqual(3);
    expect(decoded.pathIds.responder).toBeGreaterThanOrEqual(3);
    expect(initiator.RETIRE_ID).toBeGreaterThanOrEqual(2);
    expect(responder.NEW_ID).toBeGreaterThanOrEqual(2);
  });

  test('a RETRY whose MAC is of another cookie is refused', () => {
    const { capture, at } = replace(recorded.capture, (datagram) => {
      if (!isRetry(datagram)) return undefined;
      const { header, payload } = decodePacket(datagram.bytes, NO_MASK);
      const other = Buffer.from(payload);
      other[0]! ^= 1;
      return { ...datagram, bytes: encodePacket(header, other, NO_MASK) };
    });
    expect(refusal(capture, recorded)).toMatchObject({ section: '2.2', datagram: at });
  });

  test('a HELLO with a cookie that no RETRY gave is refused', () => {
    const capture = recorded.capture.filter((datagram) => !isRetry(datagram));
    expect(refusal(capture, recorded)).toMatchObject({ section: '2.3' });
  });

  test('a path id that is used on two paths is refused', () => {
    let sealed = 0;
    const { capture, at } = replace(recorded.capture, (datagram) => {
      if (datagram.from !== 'initiator' || datagram.bytes[0] !== 0x81) return undefined;
      sealed += 1;
      return sealed === 20 ? { ...datagram, local: '127.0.0.2' } : undefined;
    });
    expect(refusal(capture, recorded)).toMatchObject({ section: '6.3', datagram: at });
  });
});
