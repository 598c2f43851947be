import { describe, expect, test } from 'vitest';
import { hex, unhex } from '../../ts/testing/wire/bytes.ts';
import {
  type Algorithm,
  decrypt,
  derive,
  encrypt,
  headerMask,
  mac,
  packetNonce,
  sha256,
  x25519Public,
} from '../../ts/testing/wire/keys.ts';
import { encodeHeader } from '../../ts/testing/wire/packet.ts';
import packets from '../../vectors/crypto-packets.json' with { type: 'json' };
import seeds from '../../vectors/crypto-seeds.json' with { type: 'json' };

const psk = unhex(seeds.psk);

describe('seeds', () => {
  test('a shared seed gives the PSK, and the PSK the mac keys', () => {
    expect(hex(derive(unhex(seeds.shared_seed), 'psk'))).toBe(seeds.psk);
    expect(hex(derive(psk, 'mac1'))).toBe(seeds.mac1_key);
    expect(hex(derive(psk, 'mac2'))).toBe(seeds.mac2_key);
    expect(hex(derive(psk, 'err'))).toBe(seeds.err_key);
  });

  test.each(seeds.nodes)('a node seed gives node $node_id', (node) => {
    const seed = unhex(node.node_seed);
    const staticPrivate = derive(seed, 'static');
    const staticPublic = x25519Public(staticPrivate);
    expect(hex(staticPrivate)).toBe(node.static_private);
    expect(hex(staticPublic)).toBe(node.static_public);
    expect(hex(sha256(staticPublic))).toBe(node.node_id);
    expect(hex(mac(derive(seed, 'reset'), unhex(node.path_id)))).toBe(node.reset_token);
  });

  test('a pairing secret gives a shared seed', () => {
    const seed = derive(unhex(seeds.pairing.secret), 'pair');
    expect(hex(seed)).toBe(seeds.pairing.shared_seed);
    expect(hex(derive(seed, 'psk'))).toBe(seeds.pairing.psk);
  });
});

describe('macs', () => {
  test('mac1 covers the header of HELLO and what stands before it', () => {
    const { header, payload_before_mac1, mac1 } = seeds.hello_mac1;
    const key = derive(psk, 'mac1');
    expect(hex(mac(key, unhex(header), unhex(payload_before_mac1)))).toBe(mac1);
    const hello = encodeHeader({
      version: 1,
      sealed: false,
      type: 1,
      flags: 0,
      pathId: '0000000000000000',
      streamId: 0,
      packetNumber: 0,
      // A HELLO fills 1200 bytes, of which 24 are the header and 4 the CRC-32.
      payloadLength: 1172,
    });
    expect(hex(hello)).toBe(header);
  });

  test('mac2, the mac of errors and cookies', () => {
    const { mac2, err, cookie } = seeds;
    expect(hex(mac(derive(psk, 'mac2'), unhex(mac2.input)))).toBe(mac2.mac2);
    expect(hex(mac(derive(psk, 'err'), unhex(err.input)))).toBe(err.mac);
    expect(hex(mac(unhex(cookie.key), unhex(cookie.input)))).toBe(cookie.mac);
  });
});

describe.each(packets.aeads)('packets under $name', (aead) => {
  const algorithm: Algorithm = aead.aead === 1 ? 'AES' : 'ChaCha';

  test.each(aead.packets)('number $packet_number in phase $phase', (packet) => {
    const [key, iv] = (
      packet.phase === 0 ? [aead.aead_key, aead.iv] : [aead.next_aead_key, aead.next_iv]
    ).map(unhex) as [Buffer, Buffer];
    const nonce = packetNonce(iv, BigInt(packet.packet_number));
    const [aad, plaintext, sealed] = [packet.aad, packet.plaintext, packet.sealed].map(unhex) as [
      Buffer,
      Buffer,
      Buffer,
    ];
    expect(hex(encrypt(algorithm, key, nonce, aad, plaintext))).toBe(packet.sealed);
    expect(hex(decrypt(algorithm, key, nonce, aad, sealed))).toBe(packet.plaintext);
    expect(hex(headerMask(algorithm, unhex(aead.header_key), sealed))).toBe(packet.mask);

    const other = packetNonce(iv, BigInt(packet.packet_number) ^ 1n);
    expect(() => decrypt(algorithm, key, other, aad, sealed)).toThrow();
    const forged = Buffer.from(sealed);
    forged[forged.length - 1]! ^= 1;
    expect(() => decrypt(algorithm, key, nonce, aad, forged)).toThrow();
    const header = Buffer.from(aad);
    header[1]! ^= 1;
    expect(() => decrypt(algorithm, key, nonce, header, sealed)).toThrow();
  });
});
