import { describe, expect, test } from 'vitest';
import { hex, u16, unhex } from '../../ts/testing/wire/bytes.ts';
import {
  derive,
  hmac,
  mac,
  ratchet,
  trafficKeys,
  trafficSecret,
} from '../../ts/testing/wire/keys.ts';
import { Party } from '../../ts/testing/wire/noise.ts';
import vectors from '../../vectors/crypto-resumption.json' with { type: 'json' };

const CIPHERS = { 1: 'AESGCM', 2: 'ChaChaPoly' } as const;

type Resumption = (typeof vectors.resumptions)[number];

/** HKDF-Expand(HKDF-Extract(handshake hash, both split keys), "resume", 32). */
function ticketSecret(handshakeHash: string, first: string, second: string): Buffer {
  const secret = hmac(unhex(handshakeHash), unhex(first), unhex(second));
  return hmac(secret, Buffer.from('resume'), Buffer.of(1));
}

function parties(vector: Resumption, prologue: Buffer, secret: Buffer): [Party, Party] {
  const cipher = CIPHERS[vector.suite as keyof typeof CIPHERS];
  const party = (role: 'initiator' | 'responder', ephemeral: string): Party =>
    new Party(
      role,
      cipher,
      prologue,
      { psk: secret, ephemeralPrivate: unhex(ephemeral) },
      'NNpsk0',
    );
  return [
    party('initiator', vector.initiator_ephemeral_private),
    party('responder', vector.responder_ephemeral_private),
  ];
}

/** HELLO's fields: what the prologue has between the label and the ticket. */
function fields(vector: Resumption): Buffer {
  return unhex(vector.prologue).subarray('STT/1'.length, 'STT/1'.length + 20);
}

describe.each(vectors.resumptions)('$name', (vector) => {
  const secret = ticketSecret(
    vector.earlier_handshake_hash,
    vector.earlier_split_initiator_to_responder,
    vector.earlier_split_responder_to_initiator,
  );
  const ticket = unhex(vector.ticket);

  test('the secret of the ticket', () => {
    expect(hex(secret)).toBe(vector.ticket_secret);
  });

  test('the prologue is the label, the fields of HELLO and the ticket', () => {
    const prologue = Buffer.concat([Buffer.from('STT/1'), fields(vector), ticket]);
    expect(hex(prologue)).toBe(vector.prologue);
    expect(fields(vector).readUInt16LE(0)).toBe(vector.suite);
  });

  test('the transcript, and the keys that follow', () => {
    const [initiator, responder] = parties(vector, unhex(vector.prologue), secret);
    expect(hex(initiator.write(unhex(vector.payload1)))).toBe(vector.message1);
    expect(hex(responder.read(unhex(vector.message1)))).toBe(vector.payload1);
    expect(hex(responder.write(unhex(vector.payload2)))).toBe(vector.message2);
    expect(hex(initiator.read(unhex(vector.message2)))).toBe(vector.payload2);
    for (const party of [initiator, responder]) {
      expect(hex(party.hash)).toBe(vector.handshake_hash);
      expect(party.split().map(hex)).toEqual([
        vector.split_initiator_to_responder,
        vector.split_responder_to_initiator,
      ]);
    }
    const [first, second] = initiator.split().map(hex) as [string, string];
    expect(hex(ticketSecret(vector.handshake_hash, first, second))).toBe(vector.next_ticket_secret);
    for (const [key, expected] of [
      [first, vector.initiator_to_responder],
      [second, vector.responder_to_initiator],
    ] as const) {
      const traffic = trafficSecret(unhex(vector.handshake_hash), unhex(key));
      const [now, next] = [trafficKeys(traffic), trafficKeys(ratchet(traffic))];
      expect({
        aead_key: hex(now.key),
        iv: hex(now.iv),
        header_key: hex(now.header),
        next_aead_key: hex(next.key),
        next_iv: hex(next.iv),
      }).toEqual(expected);
    }
  });

  test('RESUME up to mac1, and mac1', () => {
    const message1 = unhex(vector.message1);
    const payload = Buffer.concat([
      fields(vector),
      u16(ticket.length),
      ticket,
      u16(message1.length),
      message1,
    ]);
    expect(hex(payload)).toBe(vector.resume_payload_before_mac1);
    const key = derive(unhex(vectors.psk), 'mac1');
    expect(hex(mac(key, unhex(vectors.resume_header), payload))).toBe(vector.resume_mac1);
  });

  test('another ticket, or another secret, does not verify', () => {
    const other = Buffer.from(ticket);
    other[0]! ^= 1;
    const prologue = Buffer.concat([Buffer.from('STT/1'), fields(vector), other]);
    const [, strange] = parties(vector, prologue, secret);
    expect(() => strange.read(unhex(vector.message1))).toThrow();
    const [, ignorant] = parties(vector, unhex(vector.prologue), Buffer.alloc(32, 7));
    expect(() => ignorant.read(unhex(vector.message1))).toThrow();
  });
});
