// Transport parameters, and the fields that HELLO and RESUME begin with (PROTOCOL.md sections 1.7, 1.8).

import { hex, u16, u32, unhex } from '../../ts/testing/wire/bytes.ts';
import { demand } from './deviation.ts';

const PARAMS_LENGTH = 48;

/** Milliseconds by which clocks may be apart in these tests: both sides are one machine. */
const CLOCK_TOLERANCE = 600_000;

/** Transport parameters, as they are sent. */
export interface Params {
  readonly maxIdleMs: number;
  readonly sessionWindow: bigint;
  readonly streamWindow: bigint;
  readonly maxBidiStreams: number;
  readonly maxUniStreams: number;
  readonly maxAckDelayUs: number;
  readonly maxUdpPayload: number;
  readonly maxMessage: number;
}

export function readParams(bytes: Buffer): Params {
  demand(bytes.length === PARAMS_LENGTH, '1.8', 'transport parameters have 48 bytes');
  const params = {
    maxIdleMs: bytes.readUInt32LE(0),
    sessionWindow: bytes.readBigUInt64LE(4),
    streamWindow: bytes.readBigUInt64LE(12),
    maxBidiStreams: bytes.readUInt32LE(20),
    maxUniStreams: bytes.readUInt32LE(24),
    maxAckDelayUs: bytes.readUInt32LE(28),
    maxUdpPayload: bytes.readUInt16LE(32),
    maxMessage: bytes.readUInt16LE(34),
  };
  demand(writeParams(params).equals(bytes), '1.8', 'reserved bytes are zero');
  return params;
}

export function writeParams(params: Params): Buffer {
  return Buffer.concat([
    u32(params.maxIdleMs),
    u64(params.sessionWindow),
    u64(params.streamWindow),
    u32(params.maxBidiStreams),
    u32(params.maxUniStreams),
    u32(params.maxAckDelayUs),
    u16(params.maxUdpPayload),
    u16(params.maxMessage),
    Buffer.alloc(12),
  ]);
}

/** The largest datagram that a side takes, as others have to read its parameters. */
export function largestDatagram(params: Params): number {
  return Math.max(params.maxUdpPayload, 1200);
}

/** Bytes 0 to 20 of HELLO and RESUME. */
export interface HelloFields {
  readonly suite: 1 | 2;
  readonly aeads: number;
  readonly clock: bigint;
  readonly pathId: string;
}

/** Bytes that {@link readHelloFields} reads. */
export const HELLO_FIELDS = 20;

export function readHelloFields(payload: Buffer): HelloFields {
  const suite = payload.readUInt16LE(0);
  demand(suite === 1 || suite === 2, '1.7', 'the suite is 1 or 2');
  const aeads = payload.readUInt16LE(2);
  demand(aeads === 3, '4.2', 'every node has both AEADs');
  const clock = payload.readBigUInt64LE(4);
  checkClock(clock);
  const pathId = hex(payload.subarray(12, HELLO_FIELDS));
  demand(BigInt(`0x${pathId}`) !== 0n, '6.4', 'a path id is not zero');
  return { suite, aeads, clock, pathId };
}

export function writeHelloFields({ suite, aeads, clock, pathId }: HelloFields): Buffer {
  return Buffer.concat([u16(suite), u16(aeads), u64(clock), unhex(pathId)]);
}

export function checkClock(ms: bigint): void {
  const off = Math.abs(Number(ms) - Date.now());
  demand(off < CLOCK_TOLERANCE, '1.7', 'clocks are milliseconds since 1970');
}

export function u64(value: bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(value);
  return out;
}
