// Noise_{XXpsk2,NNpsk0}_25519_{AESGCM,ChaChaPoly}_SHA256, after revision 34 of the Noise specification.

import { type Algorithm, decrypt, encrypt, hmac, sha256, x25519, x25519Public } from './keys.ts';

const TAG_LENGTH = 16;
const KEY_LENGTH = 32;
const EMPTY = Buffer.alloc(0);

/** The messages of each pattern in their order: the initiator writes the first. */
const PATTERNS: Record<Pattern, readonly (readonly Token[])[]> = {
  XXpsk2: [['e'], ['e', 'ee', 's', 'es', 'psk'], ['s', 'se']],
  NNpsk0: [
    ['psk', 'e'],
    ['e', 'ee'],
  ],
};

type Pattern = 'XXpsk2' | 'NNpsk0';

type Token = 'e' | 's' | 'ee' | 'es' | 'se' | 'psk';

/** Section 4.3: `count` keys of 32 bytes. */
function hkdf(chainingKey: Buffer, material: Buffer, count: number): Buffer[] {
  const secret = hmac(chainingKey, material);
  const out: Buffer[] = [];
  for (let i = 1; i <= count; i++) out.push(hmac(secret, out.at(-1) ?? EMPTY, Buffer.of(i)));
  return out;
}

/** Sections 5.1 and 5.2: the transcript's hash, the chaining key and the current cipher. */
class SymmetricState {
  readonly #algorithm: Algorithm;
  #chainingKey: Buffer;
  #hash: Buffer;
  #key: Buffer | null = null;
  #counter = 0n;

  constructor(algorithm: Algorithm, name: string) {
    this.#algorithm = algorithm;
    const bytes = Buffer.from(name);
    this.#hash =
      bytes.length <= 32 ? Buffer.concat([bytes, Buffer.alloc(32 - bytes.length)]) : sha256(bytes);
    this.#chainingKey = this.#hash;
  }

  get hash(): Buffer {
    return this.#hash;
  }

  mixHash(data: Buffer): void {
    this.#hash = sha256(this.#hash, data);
  }

  mixKey(material: Buffer): void {
    const [chainingKey, key] = hkdf(this.#chainingKey, material, 2);
    this.#chainingKey = chainingKey!;
    this.#useKey(key!);
  }

  mixKeyAndHash(material: Buffer): void {
    const [chainingKey, hash, key] = hkdf(this.#chainingKey, material, 3);
    this.#chainingKey = chainingKey!;
    this.mixHash(hash!);
    this.#useKey(key!);
  }

  /** What is sent for `plaintext`: itself as long as there is no key. */
  seal(plaintext: Buffer): Buffer {
    const sealed =
      this.#key === null
        ? plaintext
        : encrypt(this.#algorithm, this.#key, this.#nonce(), this.#hash, plaintext);
    this.mixHash(sealed);
    return sealed;
  }

  open(sealed: Buffer): Buffer {
    const plaintext =
      this.#key === null
        ? sealed
        : decrypt(this.#algorithm, this.#key, this.#nonce(), this.#hash, sealed);
    this.mixHash(sealed);
    return plaintext;
  }

  /** Bytes that sealing adds at present. */
  get overhead(): number {
    return this.#key === null ? 0 : TAG_LENGTH;
  }

  /** The keys from the initiator to the responder, and back. */
  split(): [Buffer, Buffer] {
    const [first, second] = hkdf(this.#chainingKey, EMPTY, 2);
    return [first!, second!];
  }

  #useKey(key: Buffer): void {
    this.#key = key;
    this.#counter = 0n;
  }

  /** Section 12: four zero bytes, then the counter, big-endian for AES and little-endian for ChaCha. */
  #nonce(): Buffer {
    const nonce = Buffer.alloc(12);
    if (this.#algorithm === 'AES') nonce.writeBigUInt64BE(this.#counter++, 4);
    else nonce.writeBigUInt64LE(this.#counter++, 4);
    return nonce;
  }
}

/** What one side brings to a handshake. */
export interface PartyKeys {
  /** Patterns without static keys need none. */
  staticPrivate?: Buffer;
  ephemeralPrivate: Buffer;
  psk: Buffer;
}

/** One side of a handshake (section 5.3, with the psk rules of section 9). */
export class Party {
  readonly #isInitiator: boolean;
  readonly #keys: PartyKeys;
  readonly #state: SymmetricState;
  readonly #remote: { e?: Buffer; s?: Buffer } = {};
  readonly #messages: readonly (readonly Token[])[];
  #next = 0;

  constructor(
    role: 'initiator' | 'responder',
    cipher: 'AESGCM' | 'ChaChaPoly',
    prologue: Buffer,
    keys: PartyKeys,
    pattern: Pattern = 'XXpsk2',
  ) {
    this.#messages = PATTERNS[pattern];
    this.#isInitiator = role === 'initiator';
    this.#keys = keys;
    const algorithm = cipher === 'AESGCM' ? 'AES' : 'ChaCha';
    this.#state = new SymmetricState(algorithm, `Noise_${pattern}_25519_${cipher}_SHA256`);
    this.#state.mixHash(prologue);
  }

  /** The hash of everything so far. */
  get hash(): Buffer {
    return this.#state.hash;
  }

  /** The other side's static key. */
  get remoteStatic(): Buffer | undefined {
    return this.#remote.s;
  }

  write(payload: Buffer): Buffer {
    const out: Buffer[] = [];
    for (const token of this.#takeMessage()) {
      if (token === 'e') {
        const key = x25519Public(this.#keys.ephemeralPrivate);
        out.push(key);
        this.#mixEphemeral(key);
      } else if (token === 's') {
        out.push(this.#state.seal(x25519Public(this.#keys.staticPrivate!)));
      } else {
        this.#mixSecret(token);
      }
    }
    out.push(this.#state.seal(payload));
    return Buffer.concat(out);
  }

  read(message: Buffer): Buffer {
    let at = 0;
    const take = (length: number) => {
      at += length;
      return message.subarray(at - length, at);
    };
    for (const token of this.#takeMessage()) {
      if (token === 'e') {
        this.#remote.e = take(KEY_LENGTH);
        this.#mixEphemeral(this.#remote.e);
      } else if (token === 's') {
        this.#remote.s = this.#state.open(take(KEY_LENGTH + this.#state.overhead));
      } else {
        this.#mixSecret(token);
      }
    }
    return this.#state.open(message.subarray(at));
  }

  /** This side's own message, as somebody with its keys reads it off the wire. */
  overhear(message: Buffer): Buffer {
    let at = 0;
    const take = (length: number) => {
      at += length;
      return message.subarray(at - length, at);
    };
    for (const token of this.#takeMessage()) {
      if (token === 'e') {
        const key = take(KEY_LENGTH);
        if (!key.equals(x25519Public(this.#keys.ephemeralPrivate))) throw new Error('another e');
        this.#mixEphemeral(key);
      } else if (token === 's') {
        const key = this.#state.open(take(KEY_LENGTH + this.#state.overhead));
        if (!key.equals(x25519Public(this.#keys.staticPrivate!))) throw new Error('another s');
      } else {
        this.#mixSecret(token);
      }
    }
    return this.#state.open(message.subarray(at));
  }

  split(): [Buffer, Buffer] {
    if (this.#next !== this.#messages.length) throw new Error('the handshake has not ended');
    return this.#state.split();
  }

  #takeMessage(): readonly Token[] {
    const message = this.#messages[this.#next++];
    if (message === undefined) throw new Error('the handshake has ended');
    return message;
  }

  /** With a psk, ephemeral keys count as key material too (section 9.2). */
  #mixEphemeral(key: Buffer): void {
    this.#state.mixHash(key);
    this.#state.mixKey(key);
  }

  #mixSecret(token: 'ee' | 'es' | 'se' | 'psk'): void {
    if (token === 'psk') {
      this.#state.mixKeyAndHash(this.#keys.psk);
      return;
    }
    // The first letter is the initiator's key, the second the responder's.
    const [initiators, responders] = token;
    const [own, theirs] = this.#isInitiator ? [initiators, responders] : [responders, initiators];
    const ownKey = own === 'e' ? this.#keys.ephemeralPrivate : this.#keys.staticPrivate;
    const theirKey = theirs === 'e' ? this.#remote.e : this.#remote.s;
    this.#state.mixKey(x25519(ownKey!, theirKey!));
  }
}
