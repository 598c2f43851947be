// The short handshake: RESUME, RESUME_REPLY (PROTOCOL.md sections 1.7 and 2.7).

import { hex, u16, unhex } from '../../ts/testing/wire/bytes.ts';
import { derive, mac } from '../../ts/testing/wire/keys.ts';
import { Party } from '../../ts/testing/wire/noise.ts';
import { type Agreement, type ClearPacket, settle } from './agreement.ts';
import { demand } from './deviation.ts';
import {
  HELLO_FIELDS,
  type Params,
  readHelloFields,
  readParams,
  writeHelloFields,
  writeParams,
} from './params.ts';
import { resetToken, type Secrets } from './seeds.ts';

const CIPHERS = { 1: 'AESGCM', 2: 'ChaChaPoly' } as const;
const RESUME_LENGTH = 1172;
const MAX_TICKET = 512;
/** An ephemeral key, parameters, a reset token and a tag. */
const MIN_NOISE = 32 + 48 + 16 + 16;

/** One RESUME, its copies, and what answers them. */
export class ResumeAttempt {
  /** The initiator's, under which the answers come. */
  readonly pathId: string;
  readonly ephemeral: Buffer;
  /** What a copy may carry as its cookie: nothing, or what a RETRY gave. */
  readonly cookies = new Set([hex(Buffer.alloc(16))]);
  readonly early: Buffer;
  readonly ticket: string;
  readonly #payload: Buffer;
  readonly #cookieAt: number;
  readonly #params: Params;
  /** Nothing where no key log has the ephemeral key, as the ticket was refused. */
  readonly #party: Party | undefined;
  #reply: Buffer | undefined;

  constructor(secrets: Secrets, { head, payload }: ClearPacket) {
    this.#payload = payload;
    const fields = readHelloFields(payload);
    this.pathId = fields.pathId;
    const piece = (at: number): Buffer => {
      demand(at + 2 <= RESUME_LENGTH, '1.7', 'a length that does not fit');
      const end = at + 2 + payload.readUInt16LE(at);
      demand(end <= RESUME_LENGTH, '1.7', 'a length that does not fit');
      return payload.subarray(at + 2, end);
    };
    const ticket = piece(HELLO_FIELDS);
    demand(ticket.length <= MAX_TICKET, '1.7', 'a ticket has 512 bytes at most');
    const noise = piece(HELLO_FIELDS + 2 + ticket.length);
    demand(noise.length >= MIN_NOISE, '1.7', 'the Noise message has 112 bytes at least');
    const mac1At = HELLO_FIELDS + 2 + ticket.length + 2 + noise.length;
    this.#cookieAt = mac1At + 16;
    demand(this.#cookieAt + 16 <= RESUME_LENGTH, '1.7', 'mac1 and cookie fit');
    const psk = derive(secrets.sharedSeed, 'psk');
    const expected = mac(derive(psk, 'mac1'), head, payload.subarray(0, mac1At));
    demand(expected.equals(payload.subarray(mac1At, this.#cookieAt)), '2.2', 'mac1 of RESUME');
    const again = [
      writeHelloFields(fields),
      ...[u16(ticket.length), ticket, u16(noise.length), noise],
      ...[expected, payload.subarray(this.#cookieAt, this.#cookieAt + 16)],
    ];
    const bare = Buffer.concat(again);
    const padded = Buffer.concat([bare, Buffer.alloc(RESUME_LENGTH - bare.length)]);
    demand(padded.equals(payload), '1.7', 'RESUME is padded with zeros');

    this.ticket = hex(ticket);
    const secret = secrets.tickets.get(this.ticket)?.secret;
    demand(secret !== undefined, '2.7', 'a ticket that FINAL has brought');
    this.ephemeral = noise.subarray(0, 32);
    const begin = Buffer.concat([Buffer.from('STT/1'), payload.subarray(0, HELLO_FIELDS), ticket]);
    const cipher = CIPHERS[fields.suite];
    // The responder's key is needed for message 2 only.
    const keys = { psk: secret, ephemeralPrivate: Buffer.alloc(32, 1) };
    let inner: Buffer;
    try {
      inner = new Party('responder', cipher, begin, keys, 'NNpsk0').read(noise);
    } catch {
      demand(false, '2.7', 'message 1 does not open under the ticket’s secret');
    }
    const params = inner.subarray(0, 48);
    this.#params = readParams(params);
    const token = resetToken(secrets, 'initiator', this.pathId);
    demand(inner.subarray(48, 64).equals(token), '0.2', 'the reset token of the initiator');
    this.early = inner.subarray(64);
    const sealed = Buffer.concat([writeParams(this.#params), token, this.early]);
    const ephemeralPrivate = secrets.ephemerals.get(hex(this.ephemeral));
    if (ephemeralPrivate === undefined) return;
    const own = { psk: secret, ephemeralPrivate };
    this.#party = new Party('initiator', cipher, begin, own, 'NNpsk0');
    demand(this.#party.write(sealed).equals(noise), '2.7', 'message 1, written again');
  }

  /** The same RESUME again. */
  repeat({ payload }: ClearPacket): void {
    const at = this.#cookieAt;
    const withoutCookie = (resume: Buffer): string =>
      hex(Buffer.concat([resume.subarray(0, at), resume.subarray(at + 16)]));
    const same = withoutCookie(payload) === withoutCookie(this.#payload);
    demand(same, '2.7', 'RESUME is repeated with the same bytes');
    const known = this.cookies.has(hex(payload.subarray(at, at + 16)));
    demand(known, '2.3', 'a cookie that no RETRY gave');
  }

  /** What the handshake has come to; nothing new where RESUME_REPLY is a copy. */
  readReply({ payload }: ClearPacket): { agreement: Agreement; accepted: boolean } | undefined {
    demand(payload.length === 107, '1.7', 'RESUME_REPLY has 107 bytes');
    if (this.#reply !== undefined) {
      demand(payload.equals(this.#reply), '2.7', 'RESUME_REPLY is repeated byte for byte');
      return undefined;
    }
    this.#reply = payload;
    const party = this.#party;
    if (party === undefined) throw new Error('the key log lacks the ephemeral key of RESUME');
    const inner = party.read(payload);
    demand(inner.length === 59, '1.7', 'the payload of RESUME_REPLY has 59 bytes');
    const responder = hex(inner.subarray(0, 8));
    demand(BigInt(`0x${responder}`) !== 0n, '6.4', 'a path id is not zero');
    const aead = inner.readUInt16LE(8);
    demand(aead === 1 || aead === 2, '4.2', 'one AEAD of those offered');
    const flags = inner.readUInt8(10);
    demand(flags <= 1, '1.7', 'the other flags of RESUME_REPLY are sent as zero');
    const params = readParams(inner.subarray(11));
    const fields = [unhex(responder), u16(aead), Buffer.of(flags), writeParams(params)];
    demand(Buffer.concat(fields).equals(inner), '1.7', 'the payload of RESUME_REPLY');
    const agreement = settle(party, {
      resumed: true,
      aead,
      pathIds: { initiator: this.pathId, responder },
      params: { initiator: this.#params, responder: params },
    });
    return { agreement, accepted: flags === 1 };
  }
}
