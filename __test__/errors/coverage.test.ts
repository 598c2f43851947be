// Whether the rows of the matrix cover the table of errors and every line of recovery in its reference.

import { ERROR_TABLE } from '@seigr/stt';
import { expect, test } from 'vitest';
import { ERROR_PAGES, REASON_PAGES, SUBCODE_PAGES } from '../../ts/errors/reference.generated.ts';
import { nameOf } from './matrix/row.ts';
import { OPEN_LINES, ROWS } from './matrix/rows/index.ts';
import { hexCode } from './matrix/summary.ts';

const expected = ROWS.flatMap((row) => row.expect);
const shown = new Set(ROWS.flatMap((row) => Object.keys(row.recovery)));
const lines = [
  ...ERROR_PAGES.flatMap(({ code, steps }) => numbered(hexCode(code), steps)),
  ...SUBCODE_PAGES.flatMap(({ subcode, steps }) => numbered(`0x0405.${subcode}`, steps)),
  ...REASON_PAGES.flatMap(({ reason, steps }) => numbered(`reason.${reason}`, steps)),
];

function numbered(id: string, steps: readonly unknown[]): string[] {
  return steps.map((_, index) => `${id}/${index + 1}`);
}

test('every code has a row that expects it', () => {
  const provoked = new Set<number>(expected.map(({ code }) => code));
  const missing = ERROR_TABLE.filter(({ code }) => !provoked.has(code)).map(({ code }) => code);
  expect(missing).toEqual([]);
});

test('every sub-code and every reason has a row that expects it', () => {
  const subcodes = expected.flatMap(({ code, subcode }) =>
    code === 0x0405 && subcode !== undefined ? [subcode] : [],
  );
  expect(new Set(subcodes)).toEqual(new Set(SUBCODE_PAGES.map(({ subcode }) => subcode)));
  const reasons = new Set(expected.flatMap(({ reason }) => (reason === undefined ? [] : [reason])));
  expect(reasons).toEqual(new Set(REASON_PAGES.map(({ reason }) => reason)));
});

test('every line of recovery is shown by a row', () => {
  const missing = lines.filter((line) => !shown.has(line));
  expect(missing.sort()).toEqual([...OPEN_LINES].sort());
});

test('no row claims a line that the reference does not have', () => {
  expect([...shown].filter((line) => !lines.includes(line))).toEqual([]);
});

test('rows have names of their own', () => {
  expect(new Set(ROWS.map(nameOf)).size).toBe(ROWS.length);
});
