import type { Readable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { ERROR_TABLE, formatCode } from '../../errors/table.ts';
import type { Question } from './question.ts';
import {
  CODE_AUTHENTICATION,
  CODE_HANDSHAKE,
  CODE_SESSION_CLOSED,
  parseQuestion,
  refine,
} from './question.ts';

/** An error that was found, and how often. */
export interface Found {
  readonly question: Question;
  readonly count: number;
}

/** Longest line that is looked at as a whole, in characters; what is longer is cut. */
const MAX_LINE = 256 * 1024;
/** Most lines of one record. */
const MAX_RECORD = 200;
/** Deepest cause within a cause. */
const MAX_DEPTH = 8;

/** The errors in a log of any length, in the order in which they first come. A record, or an error within one, counts once. */
export async function findErrors(input: Readable): Promise<Found[]> {
  const log = new Log();
  let rest = '';
  input.setEncoding('utf8');
  for await (const chunk of input) {
    const lines = (rest + String(chunk)).split(/\r?\n/);
    rest = lines.pop() ?? '';
    for (const line of lines) log.line(line);
    if (rest.length > MAX_LINE) {
      log.line(rest);
      rest = '';
    }
  }
  log.line(rest);
  return log.end();
}

/** Finds errors line by line, in memory that does not grow with the log. */
class Log {
  readonly #found = new Map<string, { question: Question; count: number }>();
  /** The lines of the record that has begun: a line, and those below it that are indented more, as stacks and objects are. */
  #record: string[] = [];
  #indent = 0;

  line(text: string): void {
    const line = stripVTControlCharacters(text.slice(0, MAX_LINE));
    // The second of the two lines in which `stt` tells a failure repeats the code of the first.
    if (/^\s*Try: /.test(line)) return;
    const indent = line.search(/\S/);
    if (indent === -1) return;
    const closes = /^\s*[}\]]/.test(line);
    const goesOn = indent > this.#indent || (closes && indent === this.#indent);
    if (this.#record.length === 0 || !goesOn || this.#record.length >= MAX_RECORD) {
      this.#endRecord();
      this.#indent = indent;
      if (this.#json(line)) return;
    }
    this.#record.push(line);
  }

  end(): Found[] {
    this.#endRecord();
    return [...this.#found.values()];
  }

  #endRecord(): void {
    for (const question of errorsInText(this.#record)) this.#count(question);
    this.#record = [];
  }

  /** A line that is JSON, or ends with it, as winston's simple format does. */
  #json(line: string): boolean {
    const start = line.indexOf('{');
    if (start === -1 || !line.trimEnd().endsWith('}')) return false;
    const object = parseObject(line.slice(start));
    if (object === undefined) return false;
    const inside = errorsInObject(object, 0);
    const known = new Set(inside.map(({ code }) => code));
    const before = errorsInText([line.slice(0, start)]).filter(({ code }) => !known.has(code));
    // A record with no code of its own may still name one in its message.
    const { message, msg } = object;
    const words = inside.length > 0 ? [] : errorsInText([String(message ?? ''), String(msg ?? '')]);
    for (const question of [...before, ...inside, ...words]) this.#count(question);
    return true;
  }

  #count(question: Question): void {
    const { code, subcode, reason } = question;
    const key = `${code} ${subcode ?? ''} ${reason ?? ''}`;
    const found = this.#found.get(key) ?? { question, count: 0 };
    found.count += 1;
    this.#found.set(key, found);
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The error that an object is, as `toJSON()`, `logTo()` and pino's serializer make them, and those below it. */
function errorsInObject(object: Record<string, unknown>, depth: number): Question[] {
  const own = errorOf(object);
  const below =
    depth >= MAX_DEPTH
      ? []
      : Object.values(object)
          .filter(
            (value): value is Record<string, unknown> =>
              typeof value === 'object' && value !== null,
          )
          .flatMap((value) => errorsInObject(value, depth + 1));
  return own === undefined ? below : withoutSteps([own, ...below]);
}

function errorOf(object: Record<string, unknown>): Question | undefined {
  const { code, codeName, subcode, subcodeName, reason } = object;
  const spoken = typeof codeName === 'string' ? parseQuestion(codeName) : undefined;
  const written = typeof code === 'string' && /^0x/i.test(code) ? parseQuestion(code) : undefined;
  // Pino's serializer keeps the number; a number without a name may be anybody's.
  const question = written ?? spoken;
  if (question === undefined) return undefined;
  const parts = [subcodeName, subcode, reason].filter((part) => part !== undefined);
  return (
    parts.map((part) => refine(question.code, String(part))).find((one) => one !== undefined) ??
    question
  );
}

const CLASSES = ERROR_TABLE.map(({ className }) => className).join('|');
const MENTION = new RegExp(
  `\\b0x[0-9a-f]{4}(?:_\\w+)?\\b|\\b(?:${CLASSES})\\b|\\b[A-Z]+(?:_[A-Z]+)+\\b`,
  'g',
);
/** `codeName: 'TIMEOUT'`: the one name of a single word, which by itself may mean anything. */
const TIMEOUT_NAME = /codeName['"]?[:=]\s*['"]?TIMEOUT\b/;
const SUBCODE = /subcode['"]?[:=]\s*(\d)\b/;
const REASON = /(?:reason['"]?[:=]\s*['"]?|has ended \()(graceful|timeout|error|auth_failure)\b/;

/** The errors that a record of plain text mentions, each once, however often and by whatever names. */
function errorsInText(lines: readonly string[]): Question[] {
  const byCode = new Map<number, Question>();
  const text = lines.join('\n');
  for (const [word] of text.matchAll(MENTION)) {
    const question = parseQuestion(word.replace(/^0X/, '0x'));
    if (question === undefined) continue;
    const known = byCode.get(question.code);
    // What says more goes before what says less.
    if (known === undefined || isPlain(known)) byCode.set(question.code, question);
  }
  if (TIMEOUT_NAME.test(text)) byCode.set(0x0601, { code: 0x0601 });
  return withoutSteps([...byCode.values()].map((question) => completed(question, text, byCode)));
}

/** AUTHENTICATION_FAILED has the failed step of the handshake as its cause, which is no other trouble. */
function withoutSteps(found: readonly Question[]): Question[] {
  const outer = found.find(
    ({ code, subcode }) => code === CODE_AUTHENTICATION && subcode !== undefined,
  );
  return found.filter(
    ({ code, subcode }) =>
      outer === undefined || code !== CODE_HANDSHAKE || subcode !== outer.subcode,
  );
}

function completed(question: Question, text: string, all: ReadonlyMap<number, Question>): Question {
  if (!isPlain(question)) return question;
  const part = question.code === CODE_SESSION_CLOSED ? REASON.exec(text) : SUBCODE.exec(text);
  const refined = part === null ? undefined : refine(question.code, part[1]);
  // A sub-code's name alone stands for the handshake, unless another code in the record takes it.
  const named = all.get(CODE_HANDSHAKE)?.subcode;
  return (
    refined ?? (named === undefined ? undefined : refine(question.code, String(named))) ?? question
  );
}

function isPlain({ subcode, reason }: Question): boolean {
  return subcode === undefined && reason === undefined;
}

/** What a question is called: `0x0405_02`. */
export function codeOf({ code, subcode }: Question): string {
  return subcode === undefined ? formatCode(code) : `${formatCode(code)}_0${subcode}`;
}
