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
