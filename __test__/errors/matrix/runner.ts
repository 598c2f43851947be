// Runs rows. A row passes when every error that it expects has come, and every recovery that it claims works:
// with and without injection by the same code, but that `inject` returns without acting.

import { Context } from './context.ts';
import type { AnyRow, Expected, Facts, Need, Seen } from './row.ts';
import { nameOf } from './row.ts';

/** Why a row failed. */
export type Why = 'not-observed' | 'setup' | 'wrong-error' | 'recovery' | 'skipped' | 'harness';

export interface Result {
  readonly row: AnyRow;
  readonly ok: boolean;
  readonly why?: Why;
  /** What went wrong, in words. */
  readonly detail?: string;
  /** Whether the healthy state was shown before the fault. */
  readonly baseline: boolean;
  readonly seen: readonly Seen[];
  /** The errors that were expected and came. */
  readonly observed: readonly Expected[];
  /** Lines of the reference that were shown at work. */
  readonly recovered: readonly string[];
  readonly ms: number;
}

export interface RunOptions {
  readonly inject: boolean;
  /** Why a need cannot be met here, by need. */
  readonly obstacles: ReadonlyMap<Need, string>;
  readonly onResult?: (result: Result) => void;
}

const PATIENCE = 30_000;
/** Without injection nothing is to come: this long is long enough to see that. */
const PATIENCE_WITHOUT = 2_500;
/** No row takes longer, whatever happens. */
const ROW_LIMIT = 180_000;

export async function runRows(rows: readonly AnyRow[], options: RunOptions): Promise<Result[]> {
  const results: Result[] = [];
  // Commands that build networks hold this process up, so what is measured comes before them.
  for (const group of Object.values(GROUPS)) {
    const queue = rows.filter((row) => groupOf(row) === group);
    const worker = async (): Promise<void> => {
      for (let row = queue.shift(); row !== undefined; row = queue.shift()) {
        results.push(await report(row, options));
      }
    };
    await Promise.all(Array.from({ length: group.parallel }, worker));
  }
  return results;
}

/** What may run beside one another, and how many at a time. */
const GROUPS = {
  process: { parallel: 6 },
  network: { parallel: 4 },
  alone: { parallel: 1 },
} as const;

function groupOf({ alone, needs }: AnyRow): (typeof GROUPS)[keyof typeof GROUPS] {
  if (alone === true) return GROUPS.alone;
  return needs?.includes('netns') === true ? GROUPS.network : GROUPS.process;
}

/** How often a row is run whose errors came too late: others may have the processor, and the best of several counts. */
const ROUNDS = 10;

/** Whether an error that ended a connect or a session leaves open why: "why did it close?" */
function lacksOrigin({ side, how, code, origin }: Seen): boolean {
  return (
    side !== HOSTILE_SIDE && code !== 0 && /^(connect|closed)/.test(how) && origin === undefined
  );
}

/** What the hostile program tells is not from the public API. */
const HOSTILE_SIDE = 'hostile';

/** Whether all that was expected has come, and only not as soon as it should. */
function isOnlyLate({ row, why, seen }: Result): boolean {
  const { expect } = row;
  return (
    why === 'wrong-error' &&
    expect.some(({ within }) => within !== undefined) &&
    expect.every((each) => find(seen, { ...each, within: Number.POSITIVE_INFINITY }))
  );
}

async function report(row: AnyRow, options: RunOptions): Promise<Result> {
  let result = await runRow(row, options);
  for (let round = 1; round < ROUNDS && isOnlyLate(result); round += 1) {
    result = await runRow(row, options);
  }
  options.onResult?.(result);
  return result;
}

class Failed extends Error {
  readonly why: Why;
  constructor(why: Why, error: unknown) {
    super(error instanceof Error ? (error.stack ?? error.message) : String(error));
    this.why = why;
  }
}

async function runRow(row: AnyRow, { inject, obstacles }: RunOptions): Promise<Result> {
  const started = performance.now();
  const context = new Context();
  const facts = { baseline: false, observed: [] as readonly Expected[], recovered: [] as string[] };
  const result = (failed?: Failed): Result => ({
    row,
    ok: failed === undefined,
    ...(failed === undefined ? {} : { why: failed.why, detail: failed.message }),
    ...facts,
    seen: [...context.seen],
    ms: Math.round(performance.now() - started),
  });
  const missing = row.needs?.find((need) => obstacles.has(need));
  if (missing !== undefined) {
    return result(new Failed('skipped', `${missing}: ${obstacles.get(missing)}`));
  }
  try {
    const state = await as('setup', () => row.setup(context));
    await as('setup', () => row.baseline(state, context));
    facts.baseline = true;
    context.start();
    if (inject) await as('harness', () => row.inject(state, context));
    await as('harness', async () => row.act?.(state, context));
    const met = (): boolean => row.expect.every((expected) => find(context.seen, expected));
    const patience = row.patience ?? PATIENCE;
    await context.until(met, inject ? patience : patienceWithout(row));
    facts.observed = row.expect.filter((expected) => find(context.seen, expected));
    if (!met()) throw unmet(row.expect, context.seen);
    await as('recovery', async () => row.undo?.(state, context));
    for (const [line, show] of Object.entries(row.recovery)) {
      await as('recovery', async () => {
        try {
          await show(state, context);
        } catch (error) {
          throw new Error(`${line}: ${error instanceof Error ? error.stack : error}`);
        }
      });
      facts.recovered.push(line);
    }
    const unowned = context.seen.filter(lacksOrigin);
    if (unowned.length > 0) {
      const words = unowned.map(({ side, how, codeName }) => `${side} ${how} ${codeName}`);
      throw new Failed('wrong-error', `does not say whose doing it was: ${words.join(', ')}`);
    }
    if (context.leaks.length > 0) {
      throw new Failed('wrong-error', `tells a seed or payload: ${context.leaks.join(', ')}`);
    }
    return result();
  } catch (error) {
    return result(error instanceof Failed ? error : new Failed('harness', error));
  } finally {
    await context.dispose().catch((error: unknown) => {
      console.error(`${nameOf(row)}: could not be cleared away: ${error}`);
    });
  }
}

/** How long a row without its fault waits for errors that are not to come. */
function patienceWithout({ expect, patience = PATIENCE }: AnyRow): number {
  // What the row awaits itself has settled by now.
  if (expect.every(({ how }) => how.startsWith('connect'))) return 0;
  return Math.min(patience, PATIENCE_WITHOUT);
}

/** Does a part of a row within the limit, and says which part it was that failed. */
async function as<T>(why: Why, act: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${ROW_LIMIT} ms`)), ROW_LIMIT);
  });
  try {
    return await Promise.race([act(), late]);
  } catch (error) {
    throw new Failed(why, error);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether an expected error is among those that came. */
function find(seen: readonly Seen[], expected: Expected): boolean {
  return seen.some(
    (error) =>
      error.side === expected.side &&
      error.how === expected.how &&
      (error.code === expected.code || error.code === expected.or) &&
      (expected.subcode === undefined || error.subcode === expected.subcode) &&
      (expected.reason === undefined || error.reason === expected.reason) &&
      (expected.says === undefined || expected.says.test(error.message)) &&
      (expected.cause === undefined || error.cause === expected.cause) &&
      states(error.facts, expected.facts) &&
      (expected.within === undefined || error.ms <= expected.within),
  );
}

/** Whether an error says all that it is expected to say. */
function states(said: Facts = {}, expected: Facts = {}): boolean {
  return Object.entries(expected).every(([fact, value]) => said[fact as keyof Facts] === value);
}

function unmet(expected: readonly Expected[], seen: readonly Seen[]): Failed {
  const missing = expected.filter((each) => !find(seen, each));
  const words = missing.map(
    ({ side, how, code, ...rest }) => `${side} ${how} ${code.toString(16)} ${JSON.stringify(rest)}`,
  );
  // Something came where it was expected, but something else.
  const other = missing.some(({ side, how }) =>
    seen.some((error) => error.side === side && error.how === how),
  );
  return new Failed(other ? 'wrong-error' : 'not-observed', `missing: ${words.join('; ')}`);
}
