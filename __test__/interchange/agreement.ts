// What a handshake settles, whichever way it went (PROTOCOL.md sections 2.7 and 4.1).

import { hex } from '../../ts/testing/wire/bytes.ts';
import { hmac, trafficSecret } from '../../ts/testing/wire/keys.ts';
import type { Party } from '../../ts/testing/wire/noise.ts';
import type { Role } from './capture.ts';
import type { Params } from './params.ts';

export interface Agreement {
  readonly resumed: boolean;
  readonly aead: 1 | 2;
  /** The path id that each side receives under at first. */
  readonly pathIds: Readonly<Record<Role, string>>;
  readonly params: Readonly<Record<Role, Params>>;
  /** secret_0 of what each side sends. */
  readonly trafficSecrets: Readonly<Record<Role, Buffer>>;
  /** What a ticket of this session stands for. */
  readonly ticketSecret: Buffer;
  readonly sessionId: string;
}

/** The keys of a handshake that has ended. */
export function settle(
  party: Party,
  rest: Pick<Agreement, 'resumed' | 'aead' | 'pathIds' | 'params'>,
): Agreement {
  const [forth, back] = party.split();
  const extracted = hmac(party.hash, forth, back);
  return {
    ...rest,
    trafficSecrets: {
      initiator: trafficSecret(party.hash, forth),
      responder: trafficSecret(party.hash, back),
    },
    ticketSecret: hmac(extracted, Buffer.from('resume'), Buffer.of(1)),
    sessionId: hex(party.hash.subarray(0, 8)),
  };
}

/** A clear packet, its header read. */
export interface ClearPacket {
  readonly from: Role;
  readonly type: number;
  readonly pathId: string;
  /** Header bytes 0..22. */
  readonly head: Buffer;
  readonly payload: Buffer;
}
