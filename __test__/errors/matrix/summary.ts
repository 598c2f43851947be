// What a run has shown, in numbers: only what was really observed counts.

import { ERROR_TABLE } from '@seigr/stt';
import type { Expected } from './row.ts';
import type { Result } from './runner.ts';

export interface Summary {
  /** In the table. */
  readonly codes: number;
  /** Of those, provoked: seen by every side that must see them, in all of their rows that ran. */
  readonly provoked: number;
  /** Lines of recovery of the reference that were shown at work. */
  readonly recovered: number;
  readonly subcodes: number;
  readonly reasons: number;
  readonly failed: number;
  readonly skipped: number;
}

export function summarise(results: readonly Result[]): Summary {
  const passed = results.filter(({ ok }) => ok);
  const failed = results.filter(({ ok, why }) => !ok && why !== 'skipped');
  const observed = passed.flatMap((result) => result.observed);
  const spoilt = new Set(failed.flatMap(({ row }) => row.expect.map(({ code }) => code)));
  const codes = new Set(observed.map(({ code }) => code).filter((code) => !spoilt.has(code)));
  const lines = new Set(passed.flatMap(({ recovered }) => recovered));
  return {
    codes: ERROR_TABLE.length,
    provoked: codes.size,
    recovered: [...lines].filter((line) => /^0x\d{4}\/\d$/.test(line)).length,
    subcodes: different(
      observed.filter(({ code }) => code === 0x0405),
      'subcode',
    ),
    reasons: different(observed, 'reason'),
    failed: failed.length,
    skipped: results.filter(({ why }) => why === 'skipped').length,
  };
}

/** How many values of a fact were observed. */
function different(observed: readonly Expected[], fact: 'subcode' | 'reason'): number {
  const values = observed.map((expected) => expected[fact]);
  return new Set(values.filter((value) => value !== undefined)).size;
}

/** `0x0101`. */
export function hexCode(code: number): string {
  return `0x${code.toString(16).padStart(4, '0')}`;
}
