import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { checkSeed, deriveSeed, errorTable } from '../../ts/native/engine.ts';
import { loadBinding, NativeLoadError } from '../../ts/native/load.ts';
import { KINDS, STRIDE } from '../../ts/native/records.ts';

test('the records of both sides have one layout', () => {
  expect(loadBinding().recordLayout()).toEqual({ kinds: [...KINDS], stride: STRIDE });
});

test('the addon exports exactly what the generated types say', () => {
  const types = readFileSync(new URL('../../ts/native/binding.d.cts', import.meta.url), 'utf8');
  const declared = [...types.matchAll(/^export declare (?:const|function|class) (\w+)/gm)].map(
    ([, name]) => name,
  );
  expect(declared.length).toBeGreaterThan(0);
  // The loader adds marks of its own, which are no part of the addon.
  const exported = Object.keys(loadBinding()).filter((name) => !name.startsWith('__napi'));
  expect(exported.sort()).toEqual(declared.filter((name) => !name?.startsWith('__napi')).sort());
});

test('the table of errors is closed and ascending', () => {
  const table = errorTable();
  expect(table).toHaveLength(25);
  const codes = table.map((row) => row.code);
  expect(codes).toEqual([...new Set(codes)].sort((a, b) => a - b));
  expect(table.find((row) => row.code === 0x0102)).toEqual({
    code: 0x0102,
    name: 'CONNECTION_REFUSED',
    className: 'ConnectionRefusedError',
    category: 'connection',
    recoverable: true,
    seedPhrase: 'Yes (fix config)',
    recovery: 'retry',
  });
});

test('the four close reasons are named as the error reference names them', () => {
  expect(loadBinding().closeReasons()).toEqual(['graceful', 'timeout', 'error', 'auth_failure']);
});

test('a seed is judged in words', () => {
  expect(checkSeed(new Uint8Array(31))).toMatch(/at least 32 bytes/);
  expect(checkSeed(new Uint8Array(32))).toMatch(/placeholder|regular/);
  expect(checkSeed(crypto.getRandomValues(new Uint8Array(32)))).toBeNull();
});

test('a passphrase becomes a seed off this thread, the same each time', async () => {
  const salt = new Uint8Array(16).fill(9);
  let turns = 0;
  const ticking = setInterval(() => turns++, 1);
  const phrase = 'seven wooden lanterns drift past midnight';
  const [first, second] = await Promise.all([deriveSeed(phrase, salt), deriveSeed(phrase, salt)]);
  clearInterval(ticking);
  expect(first).toHaveLength(32);
  expect(first).toEqual(second);
  expect(checkSeed(first)).toBeNull();
  expect(turns).toBeGreaterThan(0);
  await expect(deriveSeed('password', salt)).rejects.toThrow(/easy to guess/);
  await expect(deriveSeed(phrase, new Uint8Array(3))).rejects.toThrow(/salt/);
});

test('a load failure names the file, the error, the platform and what to do', () => {
  const cause = new Error('outer', { cause: new Error('dlopen: no such file') });
  const error = new NativeLoadError('stt.linux-x64-gnu.node', 'linux-x64-gnu', cause);
  expect(error.code).toBe('ERR_STT_NATIVE');
  for (const part of ['stt.linux-x64-gnu.node', 'dlopen: no such file', 'linux-x64-gnu', 'Try:']) {
    expect(error.message).toContain(part);
  }
});

test('methods refuse a receiver that is not theirs', () => {
  const { NativeEndpoint } = loadBinding();
  const stranger = Object.create(NativeEndpoint.prototype);
  expect(() => stranger.destroy()).toThrow();
});
