import { expect, test } from 'vitest';
import { Slab } from '../../ts/native/slab.ts';

test('a large chunk is a view whose part of the slab is never written again', () => {
  const slab = new Slab();
  const { bytes } = slab;
  const chunk = slab.chunk(0, 100_000);
  // Compared outside `expect`, which would print a quarter of a megabyte.
  expect(chunk.buffer === bytes.buffer).toBe(true);
  slab.settle();
  expect(slab.bytes === bytes).toBe(true);
  expect(slab.offset).toBe(100_000);
});

test('a small chunk is a copy, and its room is used again', () => {
  const slab = new Slab();
  slab.bytes.fill(1, 0, 100);
  const chunk = slab.chunk(0, 100);
  slab.settle();
  expect(slab.offset).toBe(0);
  slab.bytes.fill(2);
  expect(chunk).toEqual(new Uint8Array(100).fill(1));
  expect(chunk.buffer.byteLength).toBe(100);
});

test('a slab that is nearly used up is given away', () => {
  const slab = new Slab();
  const { bytes } = slab;
  slab.chunk(0, bytes.length - 100);
  slab.settle();
  expect(slab.bytes === bytes).toBe(false);
  expect(slab.offset).toBe(0);
});

test('chunks are plain Uint8Arrays', () => {
  const slab = new Slab();
  for (const length of [10, 100_000]) {
    expect(Object.getPrototypeOf(slab.chunk(0, length))).toBe(Uint8Array.prototype);
  }
});

test('a slab of which all was lent is used again once all is back, and not before', () => {
  const slab = new Slab();
  const first = slab.bytes;
  const [chunk, giveBack] = slab.lend(0, 100_000);
  expect(chunk.buffer === first.buffer).toBe(true);
  const use = (): void => {
    slab.lend(0, 100_000);
    slab.renew();
  };
  slab.renew();
  use();
  expect(slab.bytes === first).toBe(false);
  giveBack();
  use();
  expect(slab.bytes === first).toBe(true);
  giveBack();
  use();
  use();
  expect(slab.bytes === first, 'given back twice is given back once').toBe(false);
});

test('a slab of which a reader keeps a view is never used again', () => {
  const slab = new Slab();
  const first = slab.bytes;
  const [, giveBack] = slab.lend(0, 100_000);
  slab.chunk(100_000, 100_000);
  giveBack();
  for (let renewal = 0; renewal < 8; renewal += 1) {
    slab.renew();
    expect(slab.bytes === first).toBe(false);
  }
});

test('few slabs wait for their next use', () => {
  const slab = new Slab();
  const back = Array.from({ length: 32 }, () => {
    const [, giveBack] = slab.lend(0, 100_000);
    slab.renew();
    return giveBack;
  });
  for (const giveBack of back) giveBack();
  const seen = new Set<Uint8Array>();
  for (let renewal = 0; renewal < 64; renewal += 1) {
    slab.lend(0, 100_000);
    slab.renew();
    seen.add(slab.bytes);
  }
  expect(seen.size).toBe(64);
});

test('what is leased and kept is never written again, and what is given back is', () => {
  const slab = new Slab();
  const first = slab.bytes;
  const [chunk, lease] = slab.lease(0, 100_000);
  expect(chunk.buffer === first.buffer).toBe(true);
  slab.settle();
  slab.rewind();
  expect(slab.offset, 'still read').toBe(100_000);
  lease?.giveBack();
  slab.rewind();
  expect(slab.offset, 'nobody reads it').toBe(0);
  const [, kept] = slab.lease(0, 100_000);
  kept?.keep();
  slab.settle();
  slab.rewind();
  expect(slab.offset, 'somebody has it for good').toBe(100_000);
  for (let renewal = 0; renewal < 8; renewal += 1) {
    slab.renew();
    expect(slab.bytes === first).toBe(false);
  }
});

test('a small chunk has no lease: it is a copy', () => {
  const slab = new Slab();
  const [chunk, lease] = slab.lease(0, 100);
  expect(lease).toBeUndefined();
  expect(chunk.buffer.byteLength).toBe(100);
});
