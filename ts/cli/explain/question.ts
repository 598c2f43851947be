import type { CloseReason } from '../../errors/table.ts';
import {
  CLOSE_REASONS,
  ERROR_TABLE,
  errorInfo,
  formatCode,
  HANDSHAKE_SUBCODES,
} from '../../errors/table.ts';

/** What is to be explained: a code, and what refines it. */
export interface Question {
  readonly code: number;
  readonly subcode?: number;
  readonly reason?: CloseReason;
}

export const CODE_SESSION_CLOSED = 0x0201;
export const CODE_HANDSHAKE = 0x0405;
export const CODE_AUTHENTICATION = 0x0103;

/** Sub-codes of the handshake that come with AUTHENTICATION_FAILED: what did not fit. */
const OF_AUTHENTICATION = [2, 3];

/** The question that a code or a name puts; undefined for anything else. */
export function parseQuestion(query: string): Question | undefined {
  const text = query.trim();
  const numeric = /^(?:0x)?([0-9a-f]{4})(?:[_.:](\w+))?$/i.exec(text);
  if (numeric !== null) return refine(Number.parseInt(numeric[1] ?? '', 16), numeric[2]);
  const reason = /^reason[:.=](\w+)$/i.exec(text);
  if (reason !== null) return refine(CODE_SESSION_CLOSED, reason[1]);
  const name = text.toUpperCase().replace(/[\s-]+/g, '_');
  const row = ERROR_TABLE.find(
    (info) => info.codeName === name || info.className.toUpperCase() === name,
  );
  if (row !== undefined) return { code: row.code };
  const subcode = subcodeNamed(name);
  return subcode === undefined ? undefined : { code: CODE_HANDSHAKE, subcode };
}

/** The same code with a sub-code, as `03` or a name, or a reason; undefined where it has none such. */
export function refine(code: number, part: string | undefined): Question | undefined {
  if (errorInfo(code) === undefined) return undefined;
  if (part === undefined) return { code };
  if (code === CODE_SESSION_CLOSED) {
    const reason = CLOSE_REASONS.find((known) => known === part.toLowerCase());
    return reason === undefined ? undefined : { code, reason };
  }
  const subcode = subcodeNamed(part.toUpperCase()) ?? Number(part);
  const known =
    code === CODE_HANDSHAKE
      ? subcode in HANDSHAKE_SUBCODES
      : code === CODE_AUTHENTICATION && OF_AUTHENTICATION.includes(subcode);
  return known ? { code, subcode } : undefined;
}

/** A sub-code by its name. */
function subcodeNamed(name: string): number | undefined {
  const found = Object.entries(HANDSHAKE_SUBCODES).find(([, known]) => known === name);
  return found === undefined ? undefined : Number(found[0]);
}

/** Everything that can be asked for, with what of it may have been meant. */
const TARGETS: readonly { readonly text: string; readonly shown: string }[] = [
  ...ERROR_TABLE.flatMap(({ code, codeName, className }) => {
    const shown = `${formatCode(code)} ${codeName}`;
    return [formatCode(code), codeName, className].map((text) => ({ text, shown }));
  }),
  ...Object.entries(HANDSHAKE_SUBCODES).flatMap(([subcode, name]) => {
    const code = `${formatCode(CODE_HANDSHAKE)}_0${subcode}`;
    return [code, name].map((text) => ({ text, shown: `${code} ${name}` }));
  }),
  ...CLOSE_REASONS.map((reason) => ({ text: `reason:${reason}`, shown: `reason:${reason}` })),
];

/** Most names that are offered in place of one that is none. */
const MAX_NEAREST = 3;

/** Nothing that is longer is a slip in a name. */
const MAX_QUERY = 48;

/** What may have been meant by something that is no error, the nearest first. */
export function nearest(query: string): string[] {
  if (query.length > MAX_QUERY) return [];
  const text = query
    .trim()
    .toLowerCase()
    .replace(/[\s-]+/g, '_');
  // A part that a code has not: the code itself.
  const code = /^(?:0x)?([0-9a-f]{4})[_.:]/.exec(text)?.[1];
  const known = code === undefined ? undefined : errorInfo(Number.parseInt(code, 16));
  if (known !== undefined && known.code !== CODE_HANDSHAKE) {
    return [`${formatCode(known.code)} ${known.codeName}`];
  }
  // One slip in four letters.
  const most = Math.max(1, Math.floor(text.length / 4));
  const found = TARGETS.map(({ text: target, shown }) => ({
    shown,
    distance: distance(text, target.toLowerCase()),
  })).filter((one) => one.distance <= most);
  found.sort((a, b) => a.distance - b.distance);
  return [...new Set(found.map(({ shown }) => shown))].slice(0, MAX_NEAREST);
}

/** Letters to change, add, leave out, or swap with the next, from one text to another (optimal string alignment). */
function distance(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= from.length; row += 1) {
    const [current, above, before] = [[row], rows[row - 1] ?? [], rows[row - 2] ?? []];
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      const swapped =
        row > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        (above[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (above[column - 1] ?? 0) + (same ? 0 : 1),
        swapped ? (before[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    rows.push(current);
  }
  return rows[from.length]?.[to.length] ?? 0;
}
