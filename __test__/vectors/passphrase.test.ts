import { expect, test } from 'vitest';
import { hex, unhex } from '../../ts/testing/wire/bytes.ts';
import vector from '../../vectors/crypto-passphrase.json' with { type: 'json' };
import { argon2id } from './argon2.ts';

// Four seconds of one processor, which a busy machine may not have at once.
test('a passphrase gives a shared seed', () => {
  const passphrase = Buffer.from(vector.passphrase);
  const seed = argon2id(passphrase, unhex(vector.salt), { blocks: 65_536, passes: 3 });
  expect(hex(seed)).toBe(vector.shared_seed);
});
