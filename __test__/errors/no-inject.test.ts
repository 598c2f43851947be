// The proof that the matrix observes something: with the faults left out, and nothing else changed, every row fails,
// and for the right reason.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../../scripts/errors.mjs', import.meta.url));
const LIMIT = 900_000;

interface Line {
  readonly row: string;
  readonly title: string;
  readonly ok: boolean;
  readonly why: string;
  readonly baseline: boolean;
}

test(
  'without faults every row fails because nothing was observed, from a healthy baseline',
  async () => {
    const output = await new Promise<string>((resolve) => {
      const argv = [PROGRAM, '--json', '--no-inject'];
      const options = { timeout: LIMIT, maxBuffer: 2 ** 26 };
      execFile(process.execPath, argv, options, (_, stdout) => resolve(stdout));
    });
    const lines = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const rows = lines.slice(0, -1) as Line[];
    const others = rows.filter(
      ({ why, baseline }) => why !== 'skipped' && !(why === 'not-observed' && baseline),
    );
    expect(others).toEqual([]);
    const judged = rows.filter(({ why }) => why !== 'skipped').length;
    expect(judged).toBeGreaterThan(30);
    expect(lines.at(-1)).toMatchObject({ codes: 25, provoked: 0, recovered: 0, failed: judged });
  },
  LIMIT,
);
