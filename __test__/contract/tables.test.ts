import { ERROR_TABLE } from '@seigr/stt';
import { expect, test } from 'vitest';
import { HANDSHAKE_SUBCODES } from '../../ts/errors/table.ts';
import { errorTable } from '../../ts/native/engine.ts';

test('the table of errors is the core’s, line by line', () => {
  const core = errorTable().map((row) => ({
    code: row.code,
    codeName: row.name,
    className: row.className,
    category: row.category,
    recoverable: row.recoverable,
    recovery: row.recovery,
    advice: row.seedPhrase,
  }));
  expect([...ERROR_TABLE]).toEqual(core);
});

test('the subcodes are the four of the handshake', () => {
  expect(Object.keys(HANDSHAKE_SUBCODES)).toEqual(['1', '2', '3', '4']);
});
