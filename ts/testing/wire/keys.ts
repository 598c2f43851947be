// From seeds to keys, and what the keys do (PROTOCOL.md sections 1, 2 and 4), with OpenSSL's primitives.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
} from 'node:crypto';

const TAG_LENGTH = 16;
const MAC_LENGTH = 16;
const MASK_LENGTH = 11;
const SAMPLE_LENGTH = 16;

/** What stands before the 32 raw bytes in the DER of an X25519 key (RFC 8410). */
const PRIVATE_KEY_DER = Buffer.from('302e020100300506032b656e04220420', 'hex');
const PUBLIC_KEY_DER = Buffer.from('302a300506032b656e032100', 'hex');

const CIPHERS = { AES: 'aes-256-gcm', ChaCha: 'chacha20-poly1305' } as const;

/** One of the two algorithms: as AEAD of the handshake, as AEAD of the traffic, as mask cipher. */
export type Algorithm = keyof typeof CIPHERS;

export function sha256(...parts: Uint8Array[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}

export function hmac(key: Uint8Array, ...parts: Uint8Array[]): Buffer {
  return createHmac('sha256', key).update(Buffer.concat(parts)).digest();
}

/** The macs of the handshake: HMAC-SHA256, cut. */
export function mac(key: Uint8Array, ...parts: Uint8Array[]): Buffer {
  return hmac(key, ...parts).subarray(0, MAC_LENGTH);
}

/** A key for the purpose that the label names. */
export function derive(secret: Uint8Array, label: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'STT/1', label, 32));
}

/** HKDF-Expand (RFC 5869 section 2.3) to at most one hash. */
function expand(secret: Uint8Array, label: string, length: number): Buffer {
  return hmac(secret, Buffer.from(label), Buffer.of(1)).subarray(0, length);
}

/** The first traffic secret of a direction. */
export function trafficSecret(handshakeHash: Uint8Array, splitKey: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', splitKey, handshakeHash, 'traffic', 32));
}

/** The traffic secret of the phase after. */
export function ratchet(secret: Uint8Array): Buffer {
  return expand(secret, 'next', 32);
}

/** What a traffic secret gives; of the header keys only the first phase's is ever used. */
export function trafficKeys(secret: Uint8Array): { key: Buffer; iv: Buffer; header: Buffer } {
  return {
    key: expand(secret, 'key', 32),
    iv: expand(secret, 'iv', 12),
    header: expand(secret, 'header', 32),
  };
}

function privateKey(raw: Uint8Array) {
  const key = Buffer.concat([PRIVATE_KEY_DER, raw]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

export function x25519Public(raw: Uint8Array): Buffer {
  const der = createPublicKey(privateKey(raw)).export({ format: 'der', type: 'spki' });
  return der.subarray(PUBLIC_KEY_DER.length);
}

export function x25519(ownPrivate: Uint8Array, theirPublic: Uint8Array): Buffer {
  const key = Buffer.concat([PUBLIC_KEY_DER, theirPublic]);
  const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
  return diffieHellman({ privateKey: privateKey(ownPrivate), publicKey });
}

/** Ciphertext, then tag. */
export function encrypt(
  algorithm: Algorithm,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Buffer {
  // One call each, because the types of node:crypto overload on the name of the cipher.
  const options = { authTagLength: TAG_LENGTH };
  const cipher =
    algorithm === 'AES'
      ? createCipheriv(CIPHERS.AES, key, nonce, options)
      : createCipheriv(CIPHERS.ChaCha, key, nonce, options);
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** The plaintext; throws where the tag does not hold. */
export function decrypt(
  algorithm: Algorithm,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Buffer {
  const end = sealed.length - TAG_LENGTH;
  const options = { authTagLength: TAG_LENGTH };
  const cipher =
    algorithm === 'AES'
      ? createDecipheriv(CIPHERS.AES, key, nonce, options)
      : createDecipheriv(CIPHERS.ChaCha, key, nonce, options);
  cipher.setAAD(aad, { plaintextLength: end });
  cipher.setAuthTag(sealed.subarray(end));
  return Buffer.concat([cipher.update(sealed.subarray(0, end)), cipher.final()]);
}

/** The nonce of a packet: its number, big-endian, over the end of the IV. */
export function packetNonce(iv: Uint8Array, packetNumber: bigint): Buffer {
  const nonce = Buffer.from(iv);
  nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ packetNumber, 4);
  return nonce;
}

/** The header mask of a packet with this sealed payload (RFC 9001 section 5.4). */
export function headerMask(algorithm: Algorithm, headerKey: Uint8Array, sealed: Buffer): Buffer {
  const sample = sealed.subarray(0, SAMPLE_LENGTH);
  if (algorithm === 'AES') {
    const cipher = createCipheriv('aes-256-ecb', headerKey, null).setAutoPadding(false);
    return cipher.update(sample).subarray(0, MASK_LENGTH);
  }
  // OpenSSL's IV for ChaCha20 is the little-endian counter, then the nonce: the sample as it is.
  return createCipheriv('chacha20', headerKey, sample).update(Buffer.alloc(MASK_LENGTH));
}
