// `npm run errors`: runs the rows and says what was seen, a line each, and the sums at last.

import { parseArgs } from 'node:util';
import { obstacles } from './needs.ts';
import { nameOf } from './row.ts';
import { ROWS } from './rows/index.ts';
import { type Result, runRows } from './runner.ts';
import { hexCode, summarise } from './summary.ts';

const HELP = `npm run errors -- [OPTIONS]
  --json         one JSON object a line, for each row and for the sums
  --only TEXT    rows whose name holds TEXT; may be given more than once
  --no-inject    leaves the faults out: then every row has to fail, with why "not-observed"
  --list         names the rows and ends`;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    'no-inject': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(HELP);
} else {
  const { only, json } = values;
  const rows = ROWS.filter(
    (row) => only.length === 0 || only.some((text) => nameOf(row).includes(text)),
  );
  if (values.list) for (const row of rows) console.log(nameOf(row));
  else await run(rows, json);
}

async function run(rows: typeof ROWS, json: boolean): Promise<void> {
  const inject = !values['no-inject'];
  const missing = obstacles(rows);
  const print = (result: Result): void => console.log(json ? asJson(result) : asText(result));
  const results = await runRows(rows, { inject, obstacles: missing, onResult: print });
  const { skipped, ...sums } = summarise(results);
  console.log(JSON.stringify({ ...sums, ...(skipped > 0 ? { skipped } : {}) }));
  const mustHaveAll = process.env.CI === 'true' || process.env.STT_REQUIRE_KERNEL === '1';
  process.exitCode = sums.failed > 0 || (mustHaveAll && skipped > 0) ? 1 : 0;
}

function asJson({ row, ok, why, detail, baseline, seen, recovered, ms }: Result): string {
  return JSON.stringify({
    row: row.id,
    title: row.title,
    fault: row.fault,
    ok,
    ...(why === undefined ? {} : { why, detail }),
    baseline,
    ms,
    errors: seen.map(({ code, ...rest }) => ({ code: hexCode(code), ...rest })),
    recovered,
  });
}

/** Errors of a side that are alike are one line. */
function different(seen: Result['seen']): string[] {
  const lines = new Map<string, { first: number; count: number }>();
  for (const { side, how, code, codeName, message, ms } of seen) {
    const line = `${side}, ${how}: ${hexCode(code)} ${codeName}: ${message}`;
    const known = lines.get(line);
    if (known === undefined) lines.set(line, { first: ms, count: 1 });
    else known.count += 1;
  }
  return [...lines].map(
    ([line, { first, count }]) =>
      `          ${first} ms, ${line}${count > 1 ? ` (${count} times)` : ''}`,
  );
}

function asText({ row, ok, why, detail, seen, recovered, ms }: Result): string {
  const lines = [
    `${ok ? 'ok     ' : why === 'skipped' ? 'skipped' : 'FAILED '} ${nameOf(row)} (${ms} ms)`,
    `          fault: ${row.fault}`,
    ...different(seen),
    ...(recovered.length > 0 ? [`          recovered: ${recovered.join(', ')}`] : []),
    ...(ok ? [] : [`          ${why}: ${detail}`]),
  ];
  return lines.join('\n');
}
