import { ERROR_PAGES, REASON_PAGES, SUBCODE_PAGES } from '../../errors/reference.generated.ts';
import type { RecoveryStep } from '../../errors/reference.ts';
import type { CloseReason } from '../../errors/table.ts';
import {
  CLOSE_REASONS,
  ERROR_TABLE,
  errorInfo,
  formatCode,
  HANDSHAKE_SUBCODES,
  recoveryOf,
} from '../../errors/table.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';

/** Longest input that `-` reads: some lines of a log. */
const MAX_INPUT = 1 << 20;

/** What is to be explained: a code, and what refines it. */
interface Question {
  readonly code: number;
  readonly subcode?: number;
  readonly reason?: CloseReason;
}

/** `stt explain`: what an error means, what causes it, what to do. `-` finds the errors in stdin. */
export async function explain(query: string, output: Output): Promise<void> {
  const questions = query === '-' ? questionsIn(await readStdin()) : [parse(query)].filter(isKnown);
  if (questions.length === 0) {
    throw new CliError(
      ExitCode.Usage,
      query === '-' ? 'no error code or name in stdin.' : `"${query}" is no error of STT.`,
      'write a code as 0x0101 or 0x0405_03, a name as CONNECTION_TIMEOUT, or reason:timeout; docs/ERRORS.md has all.',
    );
  }
  for (const question of questions) {
    const page = pageOf(question);
    output.result('explanation', { ...page }, render(page));
  }
}

/** The question that a code or a name puts; undefined for anything else. */
function parse(query: string): Question | undefined {
  const text = query.trim();
  const numeric = /^(?:0x)?([0-9a-f]{4})(?:[_.](\w+))?$/i.exec(text);
  if (numeric !== null) return refine(Number.parseInt(numeric[1] ?? '', 16), numeric[2]);
  const reason = /^reason[:.](\w+)$/i.exec(text);
  if (reason !== null) return refine(0x0201, reason[1]);
  const name = text.toUpperCase();
  const row = ERROR_TABLE.find(
    (info) => info.codeName === name || info.className.toUpperCase() === name,
  );
  if (row !== undefined) return { code: row.code };
  const subcode = Object.entries(HANDSHAKE_SUBCODES).find(([, known]) => known === name);
  return subcode === undefined ? undefined : { code: 0x0405, subcode: Number(subcode[0]) };
}

function refine(code: number, part: string | undefined): Question | undefined {
  if (errorInfo(code) === undefined) return undefined;
  if (part === undefined) return { code };
  const reason = CLOSE_REASONS.find((known) => known === part.toLowerCase());
  if (code === 0x0201) return reason === undefined ? undefined : { code, reason };
  const subcode = Number(part);
  return code === 0x0405 && subcode in HANDSHAKE_SUBCODES ? { code, subcode } : undefined;
}

/** Errors in the text of a log: objects as `toJSON()` makes them, else codes and names anywhere. */
function questionsIn(text: string): Question[] {
  const found = new Map<string, Question>();
  const add = (question: Question | undefined): void => {
    if (question !== undefined) found.set(JSON.stringify(question), question);
  };
  for (const line of text.split('\n')) {
    const fromJson = parseJson(line);
    if (fromJson !== undefined) {
      add(fromJson);
      continue;
    }
    for (const word of line.match(/\b0x[0-9a-f]{4}(?:[_.]\w+)?\b|\b[A-Z]+(?:_[A-Z]+)+\b/gi) ?? []) {
      add(parse(word));
    }
  }
  return [...found.values()];
}

function parseJson(line: string): Question | undefined {
  if (!line.trimStart().startsWith('{')) return undefined;
  try {
    const record = JSON.parse(line) as Record<string, unknown>;
    const named = typeof record['codeName'] === 'string' ? parse(record['codeName']) : undefined;
    const code = named ?? (typeof record['code'] === 'string' ? parse(record['code']) : undefined);
    if (code === undefined) return undefined;
    const part = record['subcode'] ?? record['reason'];
    return (part === undefined ? undefined : refine(code.code, String(part))) ?? code;
  } catch {
    return undefined;
  }
}

function isKnown(question: Question | undefined): question is Question {
  return question !== undefined;
}

interface Explanation {
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
  readonly steps: readonly RecoveryStep[];
}

function pageOf({ code, subcode, reason }: Question): Explanation {
  // A question is made of known codes only.
  const row = ERROR_TABLE.find((info) => info.code === code)!;
  const page = ERROR_PAGES.find((info) => info.code === code)!;
  const part =
    SUBCODE_PAGES.find((info) => info.subcode === subcode) ??
    REASON_PAGES.find((info) => info.reason === reason);
  return {
    code: subcode === undefined ? formatCode(code) : `${formatCode(code)}_0${subcode}`,
    codeName: row.codeName,
    className: row.className,
    category: row.category,
    recoverable: row.recoverable,
    recovery: recoveryOf(code, subcode, reason),
    ...(part !== undefined && 'name' in part ? { subcodeName: part.name } : {}),
    ...(reason === undefined ? {} : { reason }),
    meaning: part?.meaning ?? page.meaning,
    causes: part === undefined ? page.causes : [],
    steps: part?.steps ?? page.steps,
  };
}

function render(page: Explanation): string {
  const title = [page.code, page.codeName, page.subcodeName ?? page.reason].filter(Boolean);
  const lines = [`${title.join(' ')} (${page.className}, ${page.category})`, page.meaning];
  if (page.causes.length > 0)
    lines.push('', 'Causes:', ...page.causes.map((cause) => `  - ${cause}`));
  lines.push('', 'What to do:');
  lines.push(
    ...page.steps.map(
      ({ by, text }, index) => `  ${index + 1}. ${by === 'program' ? '(by itself) ' : ''}${text}`,
    ),
  );
  lines.push('', `recoverable: ${page.recoverable ? 'yes' : 'no'}; recovery: ${page.recovery}`);
  return `${lines.join('\n')}\n`;
}

async function readStdin(): Promise<string> {
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin) {
    text += chunk;
    if (text.length >= MAX_INPUT) return text.slice(0, MAX_INPUT);
  }
  return text;
}
