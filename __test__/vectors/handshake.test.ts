import { describe, expect, test } from 'vitest';
import { hex, u16, unhex } from '../../ts/testing/wire/bytes.ts';
import {
  derive,
  mac,
  ratchet,
  sha256,
  trafficKeys,
  trafficSecret,
  x25519Public,
} from '../../ts/testing/wire/keys.ts';
import { Party } from '../../ts/testing/wire/noise.ts';
import vectors from '../../vectors/crypto-handshake.json' with { type: 'json' };
import seeds from '../../vectors/crypto-seeds.json' with { type: 'json' };

const SUITES = { 1: 'AESGCM', 2: 'ChaChaPoly' } as const;
const psk = unhex(vectors.psk);
const [initiatorStatic, responderStatic] = [
  unhex(vectors.initiator_static_private),
  unhex(vectors.responder_static_private),
];

type Handshake = (typeof vectors.handshakes)[number];

function parties(vector: Handshake, prologue = vector.prologue): [Party, Party] {
  const cipher = SUITES[vector.suite as keyof typeof SUITES];
  return [
    new Party('initiator', cipher, unhex(prologue), {
      psk,
      staticPrivate: initiatorStatic,
      ephemeralPrivate: unhex(vector.initiator_ephemeral_private),
    }),
    new Party('responder', cipher, unhex(prologue), {
      psk,
      staticPrivate: responderStatic,
      ephemeralPrivate: unhex(vector.responder_ephemeral_private),
    }),
  ];
}

describe.each(vectors.handshakes)('$name', (vector) => {
  test('is the suite that the prologue names', () => {
    const suite = SUITES[vector.suite as keyof typeof SUITES];
    expect(vector.name).toBe(`Noise_XXpsk2_25519_${suite}_SHA256`);
    const start = Buffer.concat([Buffer.from('STT/1'), u16(vector.suite)]);
    expect(vector.prologue.startsWith(hex(start))).toBe(true);
  });

  test('mac1 of the HELLO', () => {
    const fields = unhex(vector.prologue).subarray('STT/1'.length);
    // The header of a HELLO is the same for every suite.
    const parts = [unhex(seeds.hello_mac1.header), fields, unhex(vector.message1)];
    expect(hex(mac(derive(psk, 'mac1'), ...parts))).toBe(vector.hello_mac1);
  });

  test('the transcript', () => {
    const [initiator, responder] = parties(vector);
    expect(hex(initiator.write(Buffer.alloc(0)))).toBe(vector.message1);
    expect(hex(responder.read(unhex(vector.message1)))).toBe('');
    expect(hex(responder.write(unhex(vector.payload2)))).toBe(vector.message2);
    expect(hex(initiator.read(unhex(vector.message2)))).toBe(vector.payload2);
    for (const party of [initiator, responder]) {
      expect(hex(party.hash)).toBe(vector.handshake_hash_after_message2);
    }
    expect(hex(initiator.write(unhex(vector.payload3)))).toBe(vector.message3);
    expect(hex(responder.read(unhex(vector.message3)))).toBe(vector.payload3);
    for (const party of [initiator, responder]) {
      expect(hex(party.hash)).toBe(vector.handshake_hash);
      expect(party.split().map(hex)).toEqual([
        vector.split_initiator_to_responder,
        vector.split_responder_to_initiator,
      ]);
    }
    expect(initiator.remoteStatic).toEqual(x25519Public(responderStatic));
    expect(responder.remoteStatic).toEqual(x25519Public(initiatorStatic));
    const ids = [initiatorStatic, responderStatic].map((key) => hex(sha256(x25519Public(key))));
    expect(ids).toEqual(seeds.nodes.map((node) => node.node_id));
  });

  test('another prologue does not verify', () => {
    const [initiator] = parties(vector);
    const [, responder] = parties(vector, `${vector.prologue}00`);
    const message1 = initiator.write(Buffer.alloc(0));
    expect(() => responder.read(message1)).toThrow();
  });

  test.each([
    ['initiator to responder', vector.split_initiator_to_responder, vector.initiator_to_responder],
    ['responder to initiator', vector.split_responder_to_initiator, vector.responder_to_initiator],
  ] as const)('keys from %s', (_, splitKey, expected) => {
    const secret = trafficSecret(unhex(vector.handshake_hash), unhex(splitKey));
    const first = trafficKeys(secret);
    const next = trafficKeys(ratchet(secret));
    expect({
      aead_key: hex(first.key),
      iv: hex(first.iv),
      header_key: hex(first.header),
      next_aead_key: hex(next.key),
      next_iv: hex(next.iv),
    }).toEqual(expected);
  });
});
