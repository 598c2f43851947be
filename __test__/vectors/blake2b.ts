// BLAKE2b with 32 bytes of output (RFC 7693). OpenSSL 3.0 computes it with 64 only, and the length goes
// into the hash, so it cannot be cut from that.

const MASK = (1n << 64n) - 1n;
const BLOCK = 128;
const OUTPUT = 32;

/** Section 2.6: the fractional bits of the square roots of the first eight primes. */
const IV = [2n, 3n, 5n, 7n, 11n, 13n, 17n, 19n].map((prime) => squareRoot(prime << 128n) & MASK);

/** Section 2.7: the order in which a round takes the words of the message. */
const SIGMA = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/** Columns, then diagonals of the state of four by four words. */
const QUARTETS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

/** The whole part of the square root, by Newton's method from above. */
function squareRoot(square: bigint): bigint {
  let root = square;
  for (;;) {
    const next = (root + square / root) / 2n;
    if (next >= root) return root;
    root = next;
  }
}

function rotate(word: bigint, by: bigint): bigint {
  return ((word >> by) | (word << (64n - by))) & MASK;
}

function compress(h: bigint[], block: Buffer, count: number, last: boolean): void {
  const m = SIGMA[0]!.map((i) => block.readBigUInt64LE(8 * i));
  const v = [...h, ...IV];
  v[12]! ^= BigInt(count);
  if (last) v[14]! ^= MASK;
  for (let round = 0; round < 12; round++) {
    const order = SIGMA[round % 10]!;
    for (const [i, [a, b, c, d]] of QUARTETS.entries()) {
      v[a] = (v[a]! + v[b]! + m[order[2 * i]!]!) & MASK;
      v[d] = rotate(v[d]! ^ v[a]!, 32n);
      v[c] = (v[c]! + v[d]!) & MASK;
      v[b] = rotate(v[b]! ^ v[c]!, 24n);
      v[a] = (v[a]! + v[b]! + m[order[2 * i + 1]!]!) & MASK;
      v[d] = rotate(v[d]! ^ v[a]!, 16n);
      v[c] = (v[c]! + v[d]!) & MASK;
      v[b] = rotate(v[b]! ^ v[c]!, 63n);
    }
  }
  for (let i = 0; i < 8; i++) h[i]! ^= v[i]! ^ v[i + 8]!;
}

/** BLAKE2b-256 without a key. */
export function blake2b256(message: Buffer): Buffer {
  const h = [...IV];
  h[0]! ^= 0x0101_0000n ^ BigInt(OUTPUT);
  let at = 0;
  for (; message.length - at > BLOCK; at += BLOCK) {
    compress(h, message.subarray(at, at + BLOCK), at + BLOCK, false);
  }
  const block = Buffer.alloc(BLOCK);
  message.copy(block, 0, at);
  compress(h, block, message.length, true);
  const out = Buffer.alloc(64);
  for (const [i, word] of h.entries()) out.writeBigUInt64LE(word, 8 * i);
  return out.subarray(0, OUTPUT);
}
