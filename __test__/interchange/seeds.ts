// What follows from seeds (PROTOCOL.md section 0.2), and what a reader is given.

import { hex } from '../../ts/testing/wire/bytes.ts';
import { derive, hmac, sha256, x25519Public } from '../../ts/testing/wire/keys.ts';
import type { Role } from './capture.ts';

/** What the reader is given: everything secret. */
export interface Secrets {
  readonly sharedSeed: Uint8Array;
  readonly nodeSeeds: Readonly<Record<Role, Uint8Array>>;
  /** The initiator's private ephemeral keys, by the public ones in hex. */
  readonly ephemerals: ReadonlyMap<string, Buffer>;
  readonly tickets: Tickets;
}

/** The tickets that sessions read so far have given out, by their bytes in hex. */
export type Tickets = Map<string, { readonly secret: Buffer; served: boolean }>;

/** The token of a path id that a side issued. */
export function resetToken(secrets: Secrets, owner: Role, pathId: string): Buffer {
  const key = derive(secrets.nodeSeeds[owner], 'reset');
  return hmac(key, Buffer.from(pathId, 'hex')).subarray(0, 16);
}

/** SHA-256 of a static public key. */
export function nodeId(nodeSeed: Uint8Array): string {
  return hex(sha256(x25519Public(derive(nodeSeed, 'static'))));
}
