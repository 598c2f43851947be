// The clear packets of a handshake, read with the seeds of both sides and the initiator's ephemeral key
// (PROTOCOL.md sections 0.2, 1.7, 1.8, 2).

import { hex } from '../vectors/bytes.ts';
import { derive, hmac, mac, sha256, trafficSecret, x25519Public } from '../vectors/keys.ts';
import { Party } from '../vectors/noise.ts';
import type { Role } from './capture.ts';
import { demand } from './deviation.ts';

const HELLO = 0x01;
const CHALLENGE = 0x02;
const AUTH_PROOF = 0x03;
const RETRY = 0x05;

/** Milliseconds by which clocks may be apart in these tests: both sides are one machine. */
const CLOCK_TOLERANCE = 60_000;

/** What the reader is given: everything secret. */
export interface Secrets {
  readonly sharedSeed: Uint8Array;
  readonly nodeSeeds: Readonly<Record<Role, Uint8Array>>;
  /** The initiator's private ephemeral keys, by the public ones in hex. */
  readonly ephemerals: ReadonlyMap<string, Buffer>;
}

/** Transport parameters (section 1.8). */
export interface Params {
  readonly maxIdleMs: number;
  readonly sessionWindow: bigint;
  readonly streamWindow: bigint;
  readonly maxBidiStreams: number;
  readonly maxUniStreams: number;
  readonly maxAckDelayUs: number;
  readonly maxUdpPayload: number;
}

/** What a handshake settles. */
export interface Agreement {
  readonly aead: 1 | 2;
  /** The path id that each side receives under. */
  readonly pathIds: Readonly<Record<Role, string>>;
  readonly params: Readonly<Record<Role, Params>>;
  /** secret_0 of what each side sends. */
  readonly trafficSecrets: Readonly<Record<Role, Buffer>>;
  readonly sessionId: string;
}

export interface ClearPacket {
  readonly from: Role;
  readonly type: number;
  readonly pathId: string;
  /** Header bytes 0..22. */
  readonly head: Buffer;
  readonly payload: Buffer;
}

interface Challenge {
  readonly payload: Buffer;
  readonly aead: 1 | 2;
  readonly pathId: string;
  readonly params: Params;
  readonly hash: Buffer;
}

/** Follows one handshake from its first HELLO. */
export class HandshakeReader {
  agreement: Agreement | undefined;
  readonly counts = { HELLO: 0, CHALLENGE: 0, AUTH_PROOF: 0, RETRY: 0 };

  readonly #secrets: Secrets;
  readonly #psk: Buffer;
  #hello: Buffer | undefined;
  #party: Party | undefined;
  #challenge: Challenge | undefined;
  #proof: Buffer | undefined;

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
    this.#psk = derive(secrets.sharedSeed, 'psk');
  }

  read(packet: ClearPacket): void {
    const { from, type } = packet;
    if (type === HELLO && from === 'initiator') this.#readHello(packet);
    else if (type === CHALLENGE && from === 'responder') this.#readChallenge(packet);
    else if (type === AUTH_PROOF && from === 'initiator') this.#readProof(packet);
    else if (type === RETRY && from === 'responder') this.#readRetry(packet);
    else demand(false, '1.5', `a clear packet of type ${type} from the ${from}`);
  }

  #readHello({ head, pathId, payload }: ClearPacket): void {
    this.counts.HELLO += 1;
    demand(pathId === '0'.repeat(16), '1.1', 'HELLO names no path id');
    demand(payload.length === 1172, '1.7', 'HELLO has 1172 bytes');
    const suite = payload.readUInt16LE(0);
    demand(suite === 1 || suite === 2, '1.7', 'the suite is 1 or 2');
    const bitmap = payload.readUInt16LE(2);
    demand(bitmap === 3, '4.2', 'every node has both AEADs');
    checkClock(payload.readBigUInt64LE(4));
    demand(payload.readBigUInt64LE(12) !== 0n, '6.4', 'a path id is not zero');
    const expected = mac(derive(this.#psk, 'mac1'), head, payload.subarray(0, 68));
    demand(expected.equals(payload.subarray(68, 84)), '2.2', 'mac1 of HELLO');
    demand(
      payload.subarray(100).every((byte) => byte === 0),
      '1.7',
      'HELLO is padded with zeros',
    );
    if (this.#hello !== undefined) {
      const withoutCookie = (hello: Buffer): string =>
        hex(Buffer.concat([hello.subarray(0, 84), hello.subarray(100)]));
      const same = withoutCookie(payload) === withoutCookie(this.#hello);
      demand(same, '2.3', 'HELLO is repeated with the same bytes');
      return;
    }
    this.#hello = payload;
    const e = payload.subarray(20, 52);
    const ephemeral = this.#secrets.ephemerals.get(hex(e));
    if (ephemeral === undefined) throw new Error('the key log lacks the ephemeral key of HELLO');
    const prologue = Buffer.concat([Buffer.from('STT/1'), payload.subarray(0, 20)]);
    this.#party = new Party('initiator', suite === 1 ? 'AESGCM' : 'ChaChaPoly', prologue, {
      staticPrivate: derive(this.#secrets.nodeSeeds.initiator, 'static'),
      ephemeralPrivate: ephemeral,
      psk: this.#psk,
    });
    const empty = this.#party.overhear(payload.subarray(20, 68));
    demand(empty.length === 0, '1.7', 'message 1 has no payload');
  }

  #readRetry({ pathId, payload }: ClearPacket): void {
    this.counts.RETRY += 1;
    demand(payload.length === 32, '1.7', 'RETRY has 32 bytes');
    demand(pathId === this.#initiatorId(), '2.3', 'RETRY names the path id of HELLO');
    const e = this.#sentHello().subarray(20, 52);
    const expected = mac(derive(this.#psk, 'err'), e, Buffer.of(RETRY), payload.subarray(0, 16));
    demand(expected.equals(payload.subarray(16)), '2.2', 'the MAC of RETRY');
  }

  #readChallenge({ pathId, payload }: ClearPacket): void {
    this.counts.CHALLENGE += 1;
    demand(payload.length === 162, '1.7', 'CHALLENGE has 162 bytes');
    demand(pathId === this.#initiatorId(), '2.4', 'CHALLENGE names the path id of HELLO');
    if (this.#challenge !== undefined) {
      demand(payload.equals(this.#challenge.payload), '2.4', 'CHALLENGE is repeated byte for byte');
      return;
    }
    const party = this.#party as Party;
    const inner = party.read(payload);
    demand(inner.length === 66, '1.7', 'the payload of CHALLENGE has 66 bytes');
    const theirs = x25519Public(derive(this.#secrets.nodeSeeds.responder, 'static'));
    demand(party.remoteStatic?.equals(theirs) === true, '0.2', 'the static key of the responder');
    const aead = inner.readUInt16LE(8);
    demand(aead === 1 || aead === 2, '4.2', 'one AEAD of those offered');
    checkClock(inner.readBigUInt64LE(10));
    this.#challenge = {
      payload,
      aead,
      pathId: hex(inner.subarray(0, 8)),
      params: readParams(inner.subarray(18)),
      hash: party.hash,
    };
  }

  #readProof({ head, pathId, payload }: ClearPacket): void {
    this.counts.AUTH_PROOF += 1;
    const challenge = this.#challenge;
    demand(challenge !== undefined, '2.3', 'AUTH_PROOF answers a CHALLENGE');
    demand(pathId === challenge.pathId, '2.3', 'AUTH_PROOF names the path id of CHALLENGE');
    demand(payload.length === 160, '1.7', 'AUTH_PROOF has 160 bytes');
    if (this.#proof !== undefined) {
      demand(payload.equals(this.#proof), '2.3', 'AUTH_PROOF is repeated byte for byte');
      return;
    }
    this.#proof = payload;
    const noise = payload.subarray(0, 144);
    const expected = mac(derive(this.#psk, 'mac2'), challenge.hash, head, noise);
    demand(expected.equals(payload.subarray(144)), '2.2', 'mac2 of AUTH_PROOF');
    const party = this.#party as Party;
    const inner = party.overhear(noise);
    demand(inner.length === 80, '1.7', 'the payload of AUTH_PROOF has 80 bytes');
    const initiatorId = this.#initiatorId();
    demand(hex(inner.subarray(0, 8)) === initiatorId, '1.7', 'the path id of HELLO');
    demand(hex(inner.subarray(8, 16)) === challenge.pathId, '1.7', 'the path id of CHALLENGE');
    const token = this.resetToken('initiator', initiatorId);
    demand(inner.subarray(64).equals(token), '0.2', 'the reset token of the initiator');
    const [forth, back] = party.split();
    this.agreement = {
      aead: challenge.aead,
      pathIds: { initiator: initiatorId, responder: challenge.pathId },
      params: { initiator: readParams(inner.subarray(16, 64)), responder: challenge.params },
      trafficSecrets: {
        initiator: trafficSecret(party.hash, forth),
        responder: trafficSecret(party.hash, back),
      },
      sessionId: hex(party.hash.subarray(0, 8)),
    };
  }

  /** The token of a path id that a side issued (section 0.2). */
  resetToken(owner: Role, pathId: string): Buffer {
    const key = derive(this.#secrets.nodeSeeds[owner], 'reset');
    return hmac(key, Buffer.from(pathId, 'hex')).subarray(0, 16);
  }

  #sentHello(): Buffer {
    demand(this.#hello !== undefined, '2', 'an answer follows a HELLO');
    return this.#hello;
  }

  #initiatorId(): string {
    return hex(this.#sentHello().subarray(12, 20));
  }
}

function checkClock(ms: bigint): void {
  const off = Math.abs(Number(ms) - Date.now());
  demand(off < CLOCK_TOLERANCE, '1.7', 'clocks are milliseconds since 1970');
}

function readParams(bytes: Buffer): Params {
  demand(
    bytes.subarray(36).every((byte) => byte === 0),
    '1.8',
    'reserved bytes are zero',
  );
  return {
    maxIdleMs: bytes.readUInt32LE(0),
    sessionWindow: bytes.readBigUInt64LE(4),
    streamWindow: bytes.readBigUInt64LE(12),
    maxBidiStreams: bytes.readUInt32LE(20),
    maxUniStreams: bytes.readUInt32LE(24),
    maxAckDelayUs: Math.min(bytes.readUInt32LE(28), 1_000_000),
    maxUdpPayload: Math.max(bytes.readUInt16LE(32), 1200),
  };
}

/** SHA-256 of a static public key. */
export function nodeId(nodeSeed: Uint8Array): string {
  return hex(sha256(x25519Public(derive(nodeSeed, 'static'))));
}
