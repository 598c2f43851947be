// The clear packets of one connect: each belongs to a HELLO or a RESUME by the initiator's path id
// (PROTOCOL.md section 2).

import { hex } from '../../ts/testing/wire/bytes.ts';
import { derive, mac } from '../../ts/testing/wire/keys.ts';
import type { Agreement, ClearPacket } from './agreement.ts';
import type { Role } from './capture.ts';
import { demand } from './deviation.ts';
import { HelloAttempt } from './hello.ts';
import { checkClock } from './params.ts';
import { ResumeAttempt } from './resume.ts';
import type { Secrets } from './seeds.ts';

const ZERO_ID = '0'.repeat(16);
const SESSION_NOT_FOUND = 0x0204;
const NO_COOKIE = Buffer.alloc(16);

const TYPES: Readonly<Record<number, { name: ClearType; from: Role }>> = {
  1: { name: 'HELLO', from: 'initiator' },
  2: { name: 'CHALLENGE', from: 'responder' },
  3: { name: 'AUTH_PROOF', from: 'initiator' },
  5: { name: 'RETRY', from: 'responder' },
  6: { name: 'RESUME', from: 'initiator' },
  7: { name: 'RESUME_REPLY', from: 'responder' },
  255: { name: 'ERROR', from: 'responder' },
};

export type ClearType =
  | 'HELLO'
  | 'CHALLENGE'
  | 'AUTH_PROOF'
  | 'RETRY'
  | 'RESUME'
  | 'RESUME_REPLY'
  | 'ERROR';

/** What became of bytes that travelled in a RESUME. */
export interface Early {
  readonly bytes: Buffer;
  readonly accepted: boolean;
}

/** Follows one connect from its first packet. */
export class HandshakeReader {
  agreement: Agreement | undefined;
  early: Early | undefined;
  readonly counts: Record<ClearType, number> = {
    HELLO: 0,
    CHALLENGE: 0,
    AUTH_PROOF: 0,
    RETRY: 0,
    RESUME: 0,
    RESUME_REPLY: 0,
    ERROR: 0,
  };

  readonly #secrets: Secrets;
  readonly #attempts = new Map<string, HelloAttempt | ResumeAttempt>();
  /** Path ids whose ticket was refused. */
  readonly #refused = new Set<string>();

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
  }

  /** Reads one, and says what it is. */
  read(packet: ClearPacket): ClearType {
    const type = TYPES[packet.type];
    const known = type !== undefined && type.from === packet.from;
    demand(known, '1.5', `a clear packet of type ${packet.type} from the ${packet.from}`);
    this.counts[type.name] += 1;
    switch (type.name) {
      case 'HELLO':
        this.#begin(packet, HelloAttempt);
        break;
      case 'RESUME':
        this.#begin(packet, ResumeAttempt);
        break;
      case 'CHALLENGE':
        this.#answered(packet, HelloAttempt).readChallenge(packet);
        break;
      case 'RESUME_REPLY': {
        const attempt = this.#answered(packet, ResumeAttempt);
        const read = attempt.readReply(packet);
        if (read === undefined) break;
        const ticket = this.#secrets.tickets.get(attempt.ticket);
        demand(ticket?.served === false, '2.7', 'each ticket serves once');
        ticket.served = true;
        demand(this.agreement === undefined, '2.7', 'one of two answers');
        this.agreement = read.agreement;
        const { early } = attempt;
        demand(early.length > 0 || !read.accepted, '2.7', 'early data that was never sent');
        if (early.length > 0) this.early = { bytes: early, accepted: read.accepted };
        break;
      }
      case 'AUTH_PROOF': {
        const hellos = [...this.#attempts.values()].filter((one) => one instanceof HelloAttempt);
        const attempt = hellos.find((one) => one.responderId === packet.pathId);
        demand(attempt !== undefined, '2.3', 'AUTH_PROOF names the path id of CHALLENGE');
        this.agreement = attempt.readProof(packet) ?? this.agreement;
        break;
      }
      case 'RETRY':
        this.#retry(packet);
        break;
      case 'ERROR':
        this.#error(packet);
        break;
    }
    return type.name;
  }

  /** HELLO or RESUME: a new attempt, or a copy of one. */
  #begin<Attempt extends HelloAttempt | ResumeAttempt>(
    packet: ClearPacket,
    Kind: new (secrets: Secrets, packet: ClearPacket) => Attempt,
  ): void {
    demand(packet.pathId === ZERO_ID, '1.1', 'HELLO and RESUME name no path id');
    demand(packet.payload.length === 1172, '1.7', 'HELLO and RESUME have 1172 bytes');
    const id = hex(packet.payload.subarray(12, 20));
    const known = this.#attempts.get(id);
    if (known !== undefined) {
      demand(known instanceof Kind, '2.7', 'a path id of its own for HELLO and RESUME');
      demand(!this.#refused.has(id), '2.7', 'no RESUME after its ticket was refused');
      known.repeat(packet);
      return;
    }
    const attempt = new Kind(this.#secrets, packet);
    const others = [...this.#attempts.values()];
    const fresh = others.every((other) => !other.ephemeral.equals(attempt.ephemeral));
    demand(fresh, '2.1', 'an ephemeral key of its own for each handshake');
    // Here there is one shared seed: what begins again is a RESUME that got no answer, or a refusal.
    demand(others.length === 0 || attempt instanceof HelloAttempt, '2.7', 'RESUME comes first');
    this.#attempts.set(id, attempt);
  }

  /** The attempt that an answer is for. */
  #answered<Attempt extends HelloAttempt | ResumeAttempt>(
    { pathId }: ClearPacket,
    // biome-ignore lint/suspicious/noExplicitAny: only `instanceof` looks at it
    Kind: new (...args: any[]) => Attempt,
  ): Attempt {
    const attempt = this.#attempts.get(pathId);
    const answers = attempt instanceof Kind;
    demand(answers, '2.3', 'an answer names the path id of the HELLO or RESUME it is for');
    return attempt;
  }

  #retry(packet: ClearPacket): void {
    const { payload } = packet;
    demand(payload.length === 32, '1.7', 'RETRY has 32 bytes');
    const attempt = this.#attempts.get(packet.pathId);
    demand(attempt !== undefined, '2.3', 'RETRY names the path id of HELLO or RESUME');
    const cookie = payload.subarray(0, 16);
    demand(!cookie.equals(NO_COOKIE), '3.1', 'a cookie is never all zeros');
    attempt.cookies.add(hex(cookie));
    demand(
      this.#errMac(attempt.ephemeral, 0x05, cookie).equals(payload.subarray(16)),
      '2.2',
      'MAC',
    );
  }

  /** Here only the refusal of a ticket: whatever else it may say ends the connect. */
  #error(packet: ClearPacket): void {
    const { payload } = packet;
    demand(payload.length === 28 && payload[0] === 0, '1.7', 'ERROR of kind 0 has 28 bytes');
    const attempt = this.#answered(packet, ResumeAttempt);
    const expected = this.#errMac(attempt.ephemeral, 0xff, payload.subarray(0, 12));
    demand(expected.equals(payload.subarray(12)), '2.2', 'the MAC of ERROR');
    checkClock(payload.readBigUInt64LE(4));
    const words = `${payload.readUInt16LE(1)} ${payload[3]}`;
    demand(words === `${SESSION_NOT_FOUND} 0`, '2.7', 'a ticket is refused with 0x0204');
    this.#refused.add(packet.pathId);
    if (attempt.early.length > 0) this.early = { bytes: attempt.early, accepted: false };
  }

  #errMac(e: Buffer, type: number, bytes: Buffer): Buffer {
    const key = derive(derive(this.#secrets.sharedSeed, 'psk'), 'err');
    return mac(key, e, Buffer.of(type), bytes);
  }
}
