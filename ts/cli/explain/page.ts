import { ERROR_PAGES, REASON_PAGES, SUBCODE_PAGES } from '../../errors/reference.generated.ts';
import type { Check, RecoveryStep } from '../../errors/reference.ts';
import { ERROR_TABLE, recoveryOf } from '../../errors/table.ts';
import type { Found } from './find.ts';
import { codeOf } from './find.ts';

/** All that there is to say of an error. */
export interface Explanation {
  readonly code: string;
  readonly codeName: string;
  readonly className: string;
  readonly category: string;
  readonly recoverable: boolean;
  readonly recovery: string;
  readonly subcodeName?: string;
  readonly reason?: string;
  readonly meaning: string;
  readonly causes: readonly string[];
  readonly checks: readonly Check[];
  readonly steps: readonly RecoveryStep[];
  /** How often it was found, in a log. */
  readonly count?: number;
}

/** The page of a question; a sub-code or a reason has its own, which says more. */
export function pageOf({ question, count }: Found, counted: boolean): Explanation {
  const { code, subcode, reason } = question;
  // A question is made of known codes only.
  const row = ERROR_TABLE.find((info) => info.code === code)!;
  const page = ERROR_PAGES.find((info) => info.code === code)!;
  const part =
    SUBCODE_PAGES.find((info) => info.subcode === subcode) ??
    REASON_PAGES.find((info) => info.reason === reason);
  const { meaning, causes, checks, steps } = part ?? page;
  return {
    code: codeOf(question),
    codeName: row.codeName,
    className: row.className,
    category: row.category,
    recoverable: row.recoverable,
    recovery: recoveryOf(code, subcode, reason),
    ...(part !== undefined && 'name' in part ? { subcodeName: part.name } : {}),
    ...(reason === undefined ? {} : { reason }),
    meaning,
    causes,
    checks,
    steps,
    ...(counted ? { count } : {}),
  };
}

/** The same for a person. */
export function render(page: Explanation): string {
  const title = [page.code, page.codeName, page.subcodeName ?? page.reason].filter(Boolean);
  const { count } = page;
  const times = count === undefined ? '' : `, ${count === 1 ? 'once' : `${count} times`}`;
  const lines = [`${title.join(' ')} (${page.className}, ${page.category})${times}`, page.meaning];
  if (page.causes.length > 0)
    lines.push('', 'Causes, the most common first:', ...page.causes.map((cause) => `  - ${cause}`));
  if (page.checks.length > 0) {
    lines.push('', 'What to look at (words in capitals stand for your own):');
    for (const { command, shows } of page.checks) lines.push(`  $ ${command}`, `      ${shows}`);
  }
  lines.push('', 'What to do:');
  lines.push(
    ...page.steps.map(
      ({ by, text }, index) => `  ${index + 1}. ${by === 'program' ? '(by itself) ' : ''}${text}`,
    ),
  );
  lines.push('', `recoverable: ${page.recoverable ? 'yes' : 'no'}; recovery: ${page.recovery}`);
  return `${lines.join('\n')}\n`;
}
