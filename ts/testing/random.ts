/** A generator of numbers from 0 up to, not including, 1: the same seed gives the same numbers. */
export type Random = () => number;

/** SplitMix32: small and seeded; what faults draw from, so that a run can be repeated. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
