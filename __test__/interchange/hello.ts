// The full handshake: HELLO, CHALLENGE, AUTH_PROOF (PROTOCOL.md sections 1.7, 2.1 to 2.4).

import { hex, u16, unhex } from '../../ts/testing/wire/bytes.ts';
import { derive, mac, x25519Public } from '../../ts/testing/wire/keys.ts';
import { Party } from '../../ts/testing/wire/noise.ts';
import { type Agreement, type ClearPacket, settle } from './agreement.ts';
import { demand } from './deviation.ts';
import {
  checkClock,
  HELLO_FIELDS,
  type Params,
  readHelloFields,
  readParams,
  u64,
  writeHelloFields,
  writeParams,
} from './params.ts';
import { resetToken, type Secrets } from './seeds.ts';

const CIPHERS = { 1: 'AESGCM', 2: 'ChaChaPoly' } as const;

interface Challenge {
  readonly payload: Buffer;
  readonly aead: 1 | 2;
  readonly pathId: string;
  readonly params: Params;
  readonly hash: Buffer;
}

/** One HELLO, its copies, and what answers them. */
export class HelloAttempt {
  /** The initiator's, under which the answers come. */
  readonly pathId: string;
  readonly ephemeral: Buffer;
  /** What a copy may carry as its cookie: nothing, or what a RETRY gave. */
  readonly cookies = new Set([hex(Buffer.alloc(16))]);
  readonly #secrets: Secrets;
  readonly #psk: Buffer;
  readonly #payload: Buffer;
  readonly #party: Party;
  #challenge: Challenge | undefined;
  #proof: Buffer | undefined;

  constructor(secrets: Secrets, { head, payload }: ClearPacket) {
    this.#secrets = secrets;
    this.#psk = derive(secrets.sharedSeed, 'psk');
    this.#payload = payload;
    const fields = readHelloFields(payload);
    this.pathId = fields.pathId;
    const noise = payload.subarray(HELLO_FIELDS, 68);
    const expected = mac(derive(this.#psk, 'mac1'), head, payload.subarray(0, 68));
    demand(expected.equals(payload.subarray(68, 84)), '2.2', 'mac1 of HELLO');
    const cookie = payload.subarray(84, 100);
    const again = [writeHelloFields(fields), noise, expected, cookie, Buffer.alloc(1072)];
    demand(Buffer.concat(again).equals(payload), '1.7', 'HELLO is padded with zeros');
    this.ephemeral = noise.subarray(0, 32);
    const ephemeral = secrets.ephemerals.get(hex(this.ephemeral));
    if (ephemeral === undefined) throw new Error('the key log lacks the ephemeral key of HELLO');
    const prologue = Buffer.concat([Buffer.from('STT/1'), payload.subarray(0, HELLO_FIELDS)]);
    this.#party = new Party('initiator', CIPHERS[fields.suite], prologue, {
      staticPrivate: derive(secrets.nodeSeeds.initiator, 'static'),
      ephemeralPrivate: ephemeral,
      psk: this.#psk,
    });
    const message = this.#party.write(Buffer.alloc(0));
    demand(message.equals(noise), '2.1', 'message 1 is of this key, and has no payload');
  }

  /** The path id that the responder has chosen. */
  get responderId(): string | undefined {
    return this.#challenge?.pathId;
  }

  /** The same HELLO again. */
  repeat({ payload }: ClearPacket): void {
    const withoutCookie = (hello: Buffer): string =>
      hex(Buffer.concat([hello.subarray(0, 84), hello.subarray(100)]));
    const same = withoutCookie(payload) === withoutCookie(this.#payload);
    demand(same, '2.3', 'HELLO is repeated with the same bytes');
    const known = this.cookies.has(hex(payload.subarray(84, 100)));
    demand(known, '2.3', 'a cookie that no RETRY gave');
  }

  readChallenge({ payload }: ClearPacket): void {
    demand(payload.length === 162, '1.7', 'CHALLENGE has 162 bytes');
    if (this.#challenge !== undefined) {
      demand(payload.equals(this.#challenge.payload), '2.4', 'CHALLENGE is repeated byte for byte');
      return;
    }
    const party = this.#party;
    const inner = party.read(payload);
    demand(inner.length === 66, '1.7', 'the payload of CHALLENGE has 66 bytes');
    const theirs = x25519Public(derive(this.#secrets.nodeSeeds.responder, 'static'));
    demand(party.remoteStatic?.equals(theirs) === true, '0.2', 'the static key of the responder');
    const aead = inner.readUInt16LE(8);
    demand(aead === 1 || aead === 2, '4.2', 'one AEAD of those offered');
    const clock = inner.readBigUInt64LE(10);
    checkClock(clock);
    const pathId = hex(inner.subarray(0, 8));
    const params = readParams(inner.subarray(18));
    const again = Buffer.concat([unhex(pathId), u16(aead), u64(clock), writeParams(params)]);
    demand(again.equals(inner), '1.7', 'the payload of CHALLENGE');
    this.#challenge = { payload, aead, pathId, params, hash: party.hash };
  }

  /** What the handshake has come to; nothing new where AUTH_PROOF is a copy. */
  readProof({ head, pathId, payload }: ClearPacket): Agreement | undefined {
    const challenge = this.#challenge;
    demand(challenge !== undefined, '2.3', 'AUTH_PROOF answers a CHALLENGE');
    demand(pathId === challenge.pathId, '2.3', 'AUTH_PROOF names the path id of CHALLENGE');
    demand(payload.length === 160, '1.7', 'AUTH_PROOF has 160 bytes');
    if (this.#proof !== undefined) {
      demand(payload.equals(this.#proof), '2.3', 'AUTH_PROOF is repeated byte for byte');
      return undefined;
    }
    this.#proof = payload;
    const noise = payload.subarray(0, 144);
    const expected = mac(derive(this.#psk, 'mac2'), challenge.hash, head, noise);
    demand(expected.equals(payload.subarray(144)), '2.2', 'mac2 of AUTH_PROOF');
    const party = this.#party;
    const inner = party.overhear(noise);
    demand(inner.length === 80, '1.7', 'the payload of AUTH_PROOF has 80 bytes');
    const params = readParams(inner.subarray(16, 64));
    const token = resetToken(this.#secrets, 'initiator', this.pathId);
    demand(inner.subarray(64).equals(token), '0.2', 'the reset token of the initiator');
    const ids = [unhex(this.pathId), unhex(challenge.pathId)];
    const again = Buffer.concat([...ids, writeParams(params), token]);
    demand(again.equals(inner), '1.7', 'the path ids of HELLO and CHALLENGE');
    return settle(party, {
      resumed: false,
      aead: challenge.aead,
      pathIds: { initiator: this.pathId, responder: challenge.pathId },
      params: { initiator: params, responder: challenge.params },
    });
  }
}
