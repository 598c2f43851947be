import { beforeAll, describe, expect, test } from 'vitest';
import { u16, unhex } from '../../ts/testing/wire/bytes.ts';
import { derive, mac } from '../../ts/testing/wire/keys.ts';
import { Party } from '../../ts/testing/wire/noise.ts';
import { decodePacket, encodePacket } from '../../ts/testing/wire/packet.ts';
import type { Datagram } from './capture.ts';
import { decode } from './decoder.ts';
import { type Forged, refusal, replace, reseal } from './forge.ts';
import type { Tickets } from './seeds.ts';
import { type Resumed, recordResumption } from './session.ts';

const NO_MASK = Buffer.alloc(11);
const RESUME = 0x06;
const RESUME_REPLY = 0x07;
const ERROR = 0xff;

let recorded: Resumed;
beforeAll(async () => {
  recorded = await recordResumption();
});

function read(capture: readonly Datagram[], tickets: Tickets) {
  return decode(capture, { ...recorded.secrets, tickets }, recorded.keyLog);
}

/** The ticket of the first session, which has not served. */
function fresh(): Tickets {
  const tickets: Tickets = new Map();
  read(recorded.first, tickets);
  return tickets;
}

describe('a session that a ticket brought about', () => {
  test('is read with no more than what opened the one before', () => {
    const tickets = fresh();
    expect(tickets.size).toBe(1);
    const { resumed, early, streams, sessionIds } = recorded;
    const decoded = read(resumed, tickets);
    expect(decoded.resumed).toBe(true);
    expect(decoded.sessionId).toBe(sessionIds[1]);
    // The first RESUME was lost.
    expect(decoded.handshake.RESUME).toBeGreaterThanOrEqual(2);
    expect(decoded.handshake).toMatchObject({ HELLO: 0, CHALLENGE: 0, AUTH_PROOF: 0, ERROR: 0 });
    expect(decoded.early?.accepted).toBe(true);
    expect(decoded.early?.bytes.equals(early)).toBe(true);
    for (const [name, bytes] of streams) {
      expect(decoded.streams.get(name)?.bytes.equals(bytes), name).toBe(true);
    }
    // It gave out a ticket of its own.
    expect([...tickets.values()].map(({ served }) => served)).toEqual([true, false]);
  });

  test('a ticket that comes again is refused, and a HELLO follows', () => {
    const tickets = fresh();
    read(recorded.resumed, tickets);
    const decoded = read(recorded.refused, tickets);
    expect(decoded.resumed).toBe(false);
    expect(decoded.sessionId).toBe(recorded.sessionIds[2]);
    expect(decoded.handshake).toMatchObject({ RESUME_REPLY: 0, ERROR: 1 });
    expect(decoded.early?.accepted).toBe(false);
    expect(decoded.early?.bytes.equals(recorded.early)).toBe(true);
  });

  test('is counted where its ticket came from', () => {
    expect(recorded.counted).toMatchObject({ sessionsResumed: 1, ticketsRefused: 1 });
  });
});

/** The fields of a RESUME's payload. */
interface Resume {
  readonly fields: Buffer;
  readonly ticket: Buffer;
  readonly noise: Buffer;
}

describe('the decoder refuses', () => {
  /** Changes every clear packet of a type, so that copies stay copies. */
  function changed(
    capture: readonly Datagram[],
    type: number,
    change: (payload: Buffer, head: Buffer) => Buffer,
  ): Forged {
    const is = ({ bytes }: Datagram): boolean => bytes[0] === 0x01 && bytes[1] === type;
    const at = capture.findIndex(is);
    const copy = capture.map((datagram) => {
      if (!is(datagram)) return datagram;
      const { header, payload } = decodePacket(datagram.bytes, NO_MASK);
      const again = change(Buffer.from(payload), datagram.bytes.subarray(0, 22));
      const sized = { ...header, payloadLength: again.length };
      return { ...datagram, bytes: encodePacket(sized, again, NO_MASK) };
    });
    return { capture: copy, at };
  }

  function split(payload: Buffer): Resume {
    const ticketLength = payload.readUInt16LE(20);
    const noiseAt = 22 + ticketLength + 2;
    const noiseLength = payload.readUInt16LE(noiseAt - 2);
    return {
      fields: payload.subarray(0, 20),
      ticket: payload.subarray(22, 22 + ticketLength),
      noise: payload.subarray(noiseAt, noiseAt + noiseLength),
    };
  }

  /** A RESUME of these, with a mac1 that holds. */
  function join({ fields, ticket, noise }: Resume, head: Buffer): Buffer {
    const covered = [fields, u16(ticket.length), ticket, u16(noise.length), noise];
    const key = derive(derive(recorded.secrets.sharedSeed, 'psk'), 'mac1');
    const start = Buffer.concat([...covered, mac(key, head, ...covered)]);
    return Buffer.concat([start, Buffer.alloc(1172 - start.length)]);
  }

  /** The initiator's side of the resumption, as its key log allows to play it. */
  function party(
    role: 'initiator' | 'responder',
    { fields, ticket, noise }: Resume,
    prologue = Buffer.concat([Buffer.from('STT/1'), fields, ticket]),
  ): Party {
    const psk = fresh().get(ticket.toString('hex'))?.secret as Buffer;
    const public_ = noise.toString('hex', 0, 32);
    const own = recorded.keyLog.ephemerals.get(public_) as Buffer;
    const ephemeralPrivate = role === 'initiator' ? own : Buffer.alloc(32, 9);
    const cipher = fields.readUInt16LE(0) === 1 ? 'AESGCM' : 'ChaChaPoly';
    return new Party(role, cipher, prologue, { psk, ephemeralPrivate }, 'NNpsk0');
  }

  test('nothing, where a RESUME is put together again as it was', () => {
    const { capture, at } = changed(recorded.resumed, RESUME, (payload, head) => {
      const resume = split(payload);
      const inner = party('responder', resume).read(resume.noise);
      return join({ ...resume, noise: party('initiator', resume).write(inner) }, head);
    });
    expect(capture[at]?.bytes.equals(recorded.resumed[at]?.bytes as Buffer)).toBe(true);
    expect(read(capture, fresh()).resumed).toBe(true);
  });

  test('a RESUME whose prologue lacks the ticket', () => {
    const { capture, at } = changed(recorded.resumed, RESUME, (payload, head) => {
      const resume = split(payload);
      const inner = party('responder', resume).read(resume.noise);
      const prologue = Buffer.concat([Buffer.from('STT/1'), resume.fields]);
      return join({ ...resume, noise: party('initiator', resume, prologue).write(inner) }, head);
    });
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '2.7', datagram: at });
  });

  test('a RESUME whose mac1 covers no more than that of HELLO', () => {
    const { capture, at } = changed(recorded.resumed, RESUME, (payload, head) => {
      const { ticket, noise } = split(payload);
      const key = derive(derive(recorded.secrets.sharedSeed, 'psk'), 'mac1');
      mac(key, head, payload.subarray(0, 68)).copy(payload, 24 + ticket.length + noise.length);
      return payload;
    });
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '2.2', datagram: at });
  });

  test('a RESUME that is padded with something else', () => {
    const { capture, at } = changed(recorded.resumed, RESUME, (payload) => {
      payload[1171] = 1;
      return payload;
    });
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '1.7', datagram: at });
  });

  test('a RESUME of which a copy differs', () => {
    const resumes = recorded.resumed.filter(({ bytes }) => bytes[1] === RESUME && bytes[0] === 1);
    const at = recorded.resumed.indexOf(resumes[1] as Datagram);
    const capture = recorded.resumed.map((datagram, index) => {
      if (index !== at) return datagram;
      const { header, payload } = decodePacket(datagram.bytes, NO_MASK);
      const again = Buffer.from(payload);
      // The clock, as if each copy were made anew.
      again.writeBigUInt64LE(again.readBigUInt64LE(4) + 1n, 4);
      return { ...datagram, bytes: encodePacket(header, again, NO_MASK) };
    });
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '2.7', datagram: at });
  });

  test('RESUME_REPLY with a flag that must be sent as zero', () => {
    const { bytes } = recorded.resumed[0] as Datagram;
    const resume = split(decodePacket(bytes, NO_MASK).payload);
    const { capture, at } = changed(recorded.resumed, RESUME_REPLY, (payload) => {
      const initiator = party('initiator', resume);
      const responder = party('responder', resume);
      initiator.write(responder.read(resume.noise));
      const inner = initiator.read(payload);
      inner[10]! |= 2;
      return responder.write(inner);
    });
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '1.7', datagram: at });
  });

  test('a ticket that serves twice', () => {
    const tickets = fresh();
    read(recorded.resumed, tickets);
    const { section, message } = refusal(recorded.resumed, recorded, tickets);
    expect([section, message]).toEqual(['2.7', 'section 2.7: each ticket serves once']);
  });

  test('a ticket that FINAL never brought', () => {
    const at = 0;
    expect(refusal(recorded.resumed, recorded)).toMatchObject({ section: '2.7', datagram: at });
  });

  test('an initiator that is not heard at once', () => {
    const { keyLog, secrets, resumed } = recorded;
    const { capture, at } = reseal({ capture: resumed, keyLog, secrets }, 'initiator', (plain) => ({
      ...plain,
      // An ACK of packet 0 alone, which elicits nothing.
      header: { ...plain.header, type: 0x11 },
      plaintext: unhex('000040000000'),
    }));
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '2.7', datagram: at });
  });

  test('more bytes to where a RESUME came from than came from there', () => {
    const at = recorded.resumed.findIndex(({ from }) => from === 'responder');
    const reply = recorded.resumed[at] as Datagram;
    // Copies are allowed, but not so many: a RESUME of 1200 bytes got here, and each has 135.
    const capture = [...recorded.resumed];
    capture.splice(at, 0, ...new Array<Datagram>(8).fill(reply));
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '6.3', datagram: at + 8 });
  });

  test('a refusal whose MAC is that of another RESUME', () => {
    const { capture, at } = changed(recorded.refused, ERROR, (payload) => {
      payload[27]! ^= 1;
      return payload;
    });
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '2.2', datagram: at });
  });

  test('a RESUME again after its refusal', () => {
    const { capture, at } = replace(recorded.refused, (datagram) =>
      datagram.bytes[0] === 1 && datagram.bytes[1] === 1
        ? { ...datagram, bytes: (recorded.refused[0] as Datagram).bytes }
        : undefined,
    );
    expect(refusal(capture, recorded, fresh())).toMatchObject({ section: '2.7', datagram: at });
  });
});
