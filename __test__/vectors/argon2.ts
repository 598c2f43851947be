// Argon2id with one lane (RFC 9106), which node:crypto has only from Node 24 on. Words of 64 bits are
// pairs of 32-bit ones, low half first: BigInt would take minutes for the memory that STT asks for.

import { createHash } from 'node:crypto';
import { u32 } from '../../ts/testing/wire/bytes.ts';
import { blake2b256 } from './blake2b.ts';

const VERSION = 0x13;
const ARGON2ID = 2;
/** 32-bit words of a block of 1024 bytes. */
const WORDS = 256;
const SLICES = 4;
/** Pairs of references that one block of addresses holds. */
const ADDRESSES = 128;
const TWO_32 = 2 ** 32;

function blake2b512(...parts: Uint8Array[]): Buffer {
  return createHash('blake2b512').update(Buffer.concat(parts)).digest();
}

/** H' of section 3.3 for 1024 bytes: halves of a chain of hashes, the last one whole. */
function firstBlock(...parts: Uint8Array[]): Buffer {
  let link = blake2b512(u32(1024), ...parts);
  const out: Buffer[] = [];
  for (let i = 0; i < 30; i++) {
    out.push(link.subarray(0, 32));
    link = blake2b512(link);
  }
  return Buffer.concat([...out, link]);
}

/** a + b + 2 * low(a) * low(b), the one change from BLAKE2b's round. */
function addMultiplied(v: Uint32Array, a: number, b: number): void {
  const [al, bl] = [v[a]!, v[b]!];
  const low = Math.imul(al, bl) >>> 0;
  // The product is rounded to 53 bits, but without its low half it is off by far less than half a unit.
  const high = Math.round((al * bl - low) / TWO_32);
  const sum = al + bl + 2 * low;
  v[a] = sum;
  v[a + 1] = v[a + 1]! + v[b + 1]! + 2 * high + Math.floor(sum / TWO_32);
}

/** v[a] = (v[a] xor v[b]), rotated right. */
function xorRotate(v: Uint32Array, a: number, b: number, by: number): void {
  const low = v[a]! ^ v[b]!;
  const high = v[a + 1]! ^ v[b + 1]!;
  if (by === 32) {
    v[a] = high;
    v[a + 1] = low;
  } else if (by < 32) {
    v[a] = (low >>> by) | (high << (32 - by));
    v[a + 1] = (high >>> by) | (low << (32 - by));
  } else {
    v[a] = (high >>> (by - 32)) | (low << (64 - by));
    v[a + 1] = (low >>> (by - 32)) | (high << (64 - by));
  }
}

function mix(v: Uint32Array, a: number, b: number, c: number, d: number): void {
  addMultiplied(v, a, b);
  xorRotate(v, d, a, 32);
  addMultiplied(v, c, d);
  xorRotate(v, b, c, 24);
  addMultiplied(v, a, b);
  xorRotate(v, d, a, 16);
  addMultiplied(v, c, d);
  xorRotate(v, b, c, 63);
}

/** P of section 3.6, over eight pairs of 64-bit words that stand `step` apart. */
function permute(v: Uint32Array, start: number, step: number): void {
  const at = (word: number) => start + (word >> 1) * step + (word & 1) * 2;
  for (let i = 0; i < 4; i++) mix(v, at(i), at(4 + i), at(8 + i), at(12 + i));
  for (let i = 0; i < 4; i++) {
    mix(v, at(i), at(4 + ((i + 1) & 3)), at(8 + ((i + 2) & 3)), at(12 + ((i + 3) & 3)));
  }
}

const mixed = new Uint32Array(WORDS);

/** G of section 3.5. From the second pass on, `out` is changed by the new block, not replaced. */
function compress(x: Uint32Array, y: Uint32Array, out: Uint32Array, replace: boolean): void {
  for (let i = 0; i < WORDS; i++) mixed[i] = x[i]! ^ y[i]!;
  if (replace) out.set(mixed);
  else for (let i = 0; i < WORDS; i++) out[i]! ^= mixed[i]!;
  for (let row = 0; row < 8; row++) permute(mixed, row * 32, 4);
  for (let column = 0; column < 8; column++) permute(mixed, column * 4, 32);
  for (let i = 0; i < WORDS; i++) out[i]! ^= mixed[i]!;
}

/** The references of the slices that must not depend on the passphrase (section 3.4.1.2). */
function* independent(slice: number, blocks: number, passes: number): Generator<number, never> {
  const zero = new Uint32Array(WORDS);
  const input = new Uint32Array(WORDS);
  const addresses = new Uint32Array(WORDS);
  for (const [i, value] of [0, 0, slice, blocks, passes, ARGON2ID].entries()) input[2 * i] = value;
  for (;;) {
    input[12]! += 1;
    compress(zero, input, addresses, true);
    compress(zero, addresses.slice(), addresses, true);
    for (let i = 0; i < ADDRESSES; i++) yield addresses[2 * i]!;
  }
}

/** 32 bytes from a passphrase, with `blocks` KiB (a multiple of 4), `passes` passes and one lane. */
export function argon2id(
  passphrase: Buffer,
  salt: Buffer,
  { blocks, passes }: { blocks: number; passes: number },
): Buffer {
  const settings = [1, 32, blocks, passes, VERSION, ARGON2ID].map(u32);
  const inputs = [passphrase, salt, Buffer.alloc(0), Buffer.alloc(0)];
  const start = blake2b512(...settings, ...inputs.flatMap((x) => [u32(x.length), x]));
  const memory = new Uint32Array(blocks * WORDS);
  const views = Array.from({ length: blocks }, (_, i) =>
    memory.subarray(i * WORDS, (i + 1) * WORDS),
  );
  for (const i of [0, 1]) {
    const block = firstBlock(start, u32(i), u32(0));
    for (let word = 0; word < WORDS; word++) views[i]![word] = block.readUInt32LE(4 * word);
  }
  const segment = blocks / SLICES;
  for (let pass = 0; pass < passes; pass++) {
    for (let slice = 0; slice < SLICES; slice++) {
      const addresses = pass === 0 && slice < 2 ? independent(slice, blocks, passes) : null;
      for (let i = 0; i < segment; i++) {
        const address = addresses?.next().value;
        const at = slice * segment + i;
        if (pass === 0 && at < 2) continue;
        const previous = views[(at + blocks - 1) % blocks]!;
        const random = address ?? previous[0]!;
        // Section 3.4.2: a block of the last segments, the newer the likelier, but not the previous one.
        const area = (pass === 0 ? slice : SLICES - 1) * segment + i - 1;
        const x = Number((BigInt(random) * BigInt(random)) >> 32n);
        const back = Math.floor((area * x) / TWO_32);
        const oldest = pass === 0 ? 0 : (slice + 1) * segment;
        const reference = views[(oldest + area - 1 - back) % blocks]!;
        compress(previous, reference, views[at]!, pass === 0);
      }
    }
  }
  const last = Buffer.alloc(1024);
  for (const [word, value] of views[blocks - 1]!.entries()) last.writeUInt32LE(value, 4 * word);
  return blake2b256(Buffer.concat([u32(32), last]));
}
