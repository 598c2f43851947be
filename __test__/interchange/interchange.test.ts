import { beforeAll, describe, expect, test } from 'vitest';
import { encodeVarint } from '../vectors/bytes.ts';
import { type Frame, parseBundle, writePart } from '../vectors/frames.ts';
import { decrypt, encrypt, headerMask, packetNonce, trafficKeys } from '../vectors/keys.ts';
import { applyMask, decodePacket, encodePacket, type Header } from '../vectors/packet.ts';
import type { Datagram } from './capture.ts';
import { decode } from './decoder.ts';
import { Deviation } from './deviation.ts';
import { type Recorded, record } from './session.ts';

let recorded: Recorded;
beforeAll(async () => {
  recorded = await record(600_000);
});

describe('the document describes the wire', () => {
  test('a decoder written from it reads a whole session, and finds the bytes that were sent', () => {
    const { capture, secrets, keyLog, sessionId, streams } = recorded;
    const decoded = decode(capture, secrets, keyLog);
    expect(decoded.sessionId).toBe(sessionId);
    expect([...decoded.streams.keys()].sort()).toEqual([...streams.keys()].sort());
    for (const [name, bytes] of streams) {
      expect(decoded.streams.get(name)?.equals(bytes), name).toBe(true);
    }
    expect(capture.filter(({ delivered }) => !delivered).length).toBeGreaterThan(5);
    expect(decoded.packets.initiator).toBeGreaterThan(800);
    expect(decoded.keyUpdates.initiator).toBeGreaterThanOrEqual(1);
    expect(decoded.largestDatagram.initiator).toBe(1_452);
    const { initiator, responder } = decoded.frames;
    expect(responder.FINAL).toBeGreaterThanOrEqual(1);
    for (const type of ['STREAM_OPEN', 'DATA', 'ACK', 'KEEP_ALIVE', 'SESSION_CLOSE']) {
      expect(initiator[type], type).toBeGreaterThanOrEqual(1);
    }
    for (const type of ['DATA', 'ACK', 'WINDOW', 'KEEP_ALIVE_ACK', 'SESSION_CLOSE']) {
      expect(responder[type], type).toBeGreaterThanOrEqual(1);
    }
  });
});

/** A sealed packet of the first key phase in plain, and the way to seal it again. */
interface Plain {
  header: Header;
  number: bigint;
  plaintext: Buffer;
}

describe('the decoder refuses', () => {
  /** The first datagram of a side that `change` changes, sealed again under the same keys. */
  function forge(
    from: Datagram['from'],
    change: (plain: Plain) => Plain | undefined,
  ): { capture: Datagram[]; at: number } {
    const { capture, keyLog } = recorded;
    for (const [at, datagram] of capture.entries()) {
      if (datagram.from !== from || datagram.bytes[0] !== 0x81) continue;
      const { header: masked, payload } = decodePacket(datagram.bytes, Buffer.alloc(11));
      const { aead, secret } = keyLog.traffic.get(masked.pathId)!;
      const algorithm = aead === 1 ? 'AES' : 'ChaCha';
      const keys = trafficKeys(secret);
      const mask = headerMask(algorithm, keys.header, payload);
      const { header } = decodePacket(datagram.bytes, mask);
      const aad = applyMask(datagram.bytes.subarray(0, 22), mask);
      const nonce = packetNonce(keys.iv, BigInt(header.packetNumber));
      const plaintext = decrypt(algorithm, keys.key, nonce, aad, payload);
      const changed = change({ header, number: BigInt(header.packetNumber), plaintext });
      if (changed === undefined) continue;
      const bytes = seal(changed, algorithm, keys);
      const copy = [...capture];
      copy[at] = { ...datagram, bytes };
      return { capture: copy, at };
    }
    throw new Error('no packet to change');
  }

  function seal(
    { header, number, plaintext }: Plain,
    algorithm: 'AES' | 'ChaCha',
    keys: ReturnType<typeof trafficKeys>,
  ): Buffer {
    const payloadLength = plaintext.length + 16;
    const plain = { ...header, packetNumber: Number(number), payloadLength };
    const bare = encodePacket(plain, Buffer.alloc(payloadLength), Buffer.alloc(11));
    const nonce = packetNonce(keys.iv, number);
    const sealed = encrypt(algorithm, keys.key, nonce, bare.subarray(0, 22), plaintext);
    return encodePacket(plain, sealed, headerMask(algorithm, keys.header, sealed));
  }

  function refusal(capture: readonly Datagram[]): Deviation {
    try {
      decode(capture, recorded.secrets, recorded.keyLog);
    } catch (error) {
      if (error instanceof Deviation) return error;
      throw error;
    }
    throw new Error('nothing was refused');
  }

  test('nothing, where a packet is sealed again as it was', () => {
    const { capture, at } = forge('initiator', (plain) => plain);
    expect(capture[at]?.bytes.equals(recorded.capture[at]?.bytes as Buffer)).toBe(true);
  });

  test('an ACK whose first range counts its packets instead of one less', () => {
    const { capture, at } = forge('responder', (plain) => {
      if (plain.header.type !== 0x1f) return undefined;
      const parts = parseBundle(plain.header.flags, 0, plain.plaintext);
      const ack = parts[0]?.frame;
      const ranges = ack?.type === 'ACK' ? (ack.fields?.ranges as [string, string][]) : [];
      const [newest, ...older] = ranges;
      if (ack === undefined || newest === undefined || older.length === 0) return undefined;
      const [first, last] = newest;
      // One packet more than arrived: the one that is missing below.
      const wrong = [[(BigInt(first) - 1n).toString(), last]];
      const frame: Frame = { ...ack, fields: { ...ack.fields, ranges: wrong } };
      const rest = parts.slice(1).map((part) => writePart(part.frame));
      return { ...plain, plaintext: Buffer.concat([writePart(frame), ...rest]) };
    });
    expect(refusal(capture)).toMatchObject({ section: '5.1', datagram: at });
  });

  test('a flag that must be sent as zero', () => {
    const { capture, at } = forge('initiator', ({ header, ...plain }) => ({
      ...plain,
      header: { ...header, flags: header.flags | 0x20 },
    }));
    expect(refusal(capture)).toMatchObject({ section: '1.1', datagram: at });
  });

  test('a packet number that was used before', () => {
    let seen = 0;
    const { capture, at } = forge('initiator', (plain) => {
      seen += 1;
      return seen < 20 ? undefined : { ...plain, number: plain.number - 1n };
    });
    expect(refusal(capture)).toMatchObject({ section: '4.3', datagram: at });
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
      const zero = encodeVarint(0n, length as 1 | 2 | 4 | 8);
      return { ...plain, plaintext: Buffer.concat([zero, start.subarray(length)]) };
    });
    expect(refusal(capture)).toMatchObject({ section: '5.2', datagram: at });
  });

  test('a datagram that was damaged on the way', () => {
    const capture = [...recorded.capture];
    const { bytes } = capture[10] as Datagram;
    const damaged = Buffer.from(bytes);
    damaged[30]! ^= 1;
    capture[10] = { ...(capture[10] as Datagram), bytes: damaged };
    expect(refusal(capture)).toMatchObject({ section: '1.3', datagram: 10 });
  });
});
