import { isSttError } from '../../index.ts';
import type { FailureReport } from '../failure.ts';
import type { Output } from '../output.ts';

/** What is looked at, in this order: what one finds out, a later one may need. */
export const CHECKS = [
  'name',
  'route',
  'udp',
  'tls',
  'websocket',
  'version',
  'seed',
  'clock',
  'peer',
  'mtu',
] as const;

export type CheckName = (typeof CHECKS)[number];

/** What became of a check. A `warning` is a failure that is in nobody's way. */
export type CheckResult =
  | {
      readonly status: 'passed';
      readonly ms: number;
      /** For a person, behind the tick. */
      readonly detail: string;
      readonly facts?: Record<string, unknown>;
    }
  | {
      readonly status: 'failed' | 'warning';
      readonly ms: number;
      readonly error: unknown;
      /** What it means that the error does not say. */
      readonly detail?: string;
    }
  | { readonly status: 'skipped'; readonly reason: string };

/** A check that failed. */
export interface Failed {
  readonly check: CheckName;
  readonly error: unknown;
}

const MARKS = { passed: '✓', failed: '✗', warning: '!', skipped: '–' } as const;
const COLOURS = { passed: 32, failed: 31, warning: 33, skipped: 2 } as const;

/** Widest name of a check. */
const NAME_WIDTH = Math.max(...CHECKS.map((name) => name.length));

/** Says each result as it comes, and keeps what the end needs. */
export class Report {
  readonly #output: Output;
  readonly #results = new Map<CheckName, CheckResult>();

  constructor(output: Output) {
    this.#output = output;
  }

  add(check: CheckName, result: CheckResult): void {
    this.#results.set(check, result);
    const describe = (error: unknown): FailureReport => this.#output.describe(error);
    const colours = this.#output.options.color && process.stdout.isTTY;
    const mark = MARKS[result.status];
    const shown = colours ? `\u001b[${COLOURS[result.status]}m${mark}\u001b[0m` : mark;
    const time = 'ms' in result ? ` (${inMs(result.ms)} ms)` : '';
    this.#output.result(
      'check',
      { check, ...fieldsOf(result, describe) },
      `${shown} ${check.padEnd(NAME_WIDTH)}  ${wordsOf(result, describe)}${time}`,
    );
  }

  skip(check: CheckName, reason: string): void {
    this.add(check, { status: 'skipped', reason });
  }

  passed(check: CheckName): boolean {
    return this.#results.get(check)?.status === 'passed';
  }

  /** The checks with that status, in their order. */
  those(status: CheckResult['status']): CheckName[] {
    return CHECKS.filter((check) => this.#results.get(check)?.status === status);
  }

  /** The first that failed. */
  firstFailed(): Failed | undefined {
    const [check] = this.those('failed');
    const result = check === undefined ? undefined : this.#results.get(check);
    return check === undefined || result?.status !== 'failed'
      ? undefined
      : { check, error: result.error };
  }
}

type Describe = (error: unknown) => FailureReport;

function wordsOf(result: CheckResult, describe: Describe): string {
  if (result.status === 'skipped') return `skipped: ${result.reason}`;
  if (result.status === 'passed') return result.detail;
  const { headline } = describe(result.error);
  const said = withSubcode(headline, result.error);
  return result.detail === undefined ? said : `${said} ${result.detail}`;
}

function fieldsOf(result: CheckResult, describe: Describe): Record<string, unknown> {
  const { status } = result;
  if (status === 'skipped') return { status, reason: result.reason };
  const ms = inMs(result.ms);
  if (status === 'passed') return { status, ms, detail: result.detail, ...result.facts };
  const { headline, code, codeName, subcode } = describe(result.error);
  return {
    status,
    ms,
    code,
    ...(codeName === undefined ? {} : { codeName }),
    ...(subcode === undefined ? {} : { subcode }),
    message: headline,
    ...skewOf(result.error),
    ...(result.detail === undefined ? {} : { detail: result.detail }),
  };
}

function skewOf(error: unknown): { readonly clockSkewMs?: number } {
  const skew = isSttError(error) ? error.context.clockSkew : undefined;
  return skew === undefined ? {} : { clockSkewMs: skew };
}

/** `0x0405_02` in place of `0x0405`, as `stt explain` takes it. */
function withSubcode(headline: string, error: unknown): string {
  if (!isSttError(error) || error.subcode === undefined) return headline;
  return headline.replace(/^0x[0-9a-f]{4}/, `$&_${String(error.subcode).padStart(2, '0')}`);
}

function inMs(value: number): number {
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
}
