import { AssertionError } from 'node:assert';
import type { AnySttError } from '../errors/classes.ts';
import type { SttError } from '../errors/error.ts';
import { hasBrand } from '../errors/error.ts';
import { isSttError } from '../errors/guard.ts';
import type { CloseReason, HandshakeSubcodeName, SttErrorCodeName } from '../errors/table.ts';
import { ERROR_TABLE } from '../errors/table.ts';

/** What an error must have beside its name; what is left out may be anything. */
export interface SttErrorFacts {
  readonly subcodeName?: HandshakeSubcodeName;
  readonly reason?: CloseReason;
}

/** What was found, in words, and whether it is what was asked for. */
export interface Judgement {
  readonly pass: boolean;
  /** What was received, for people. */
  readonly received: string;
  readonly expected: string;
}

/** Whether `error` comes from the transport and is the error of that name. */
export function judge(
  error: unknown,
  codeName: SttErrorCodeName,
  facts: SttErrorFacts = {},
): Judgement {
  if (!ERROR_TABLE.some((info) => info.codeName === codeName)) {
    throw new TypeError(`there is no error named ${codeName}`);
  }
  const { subcodeName, reason } = facts;
  const pass =
    isSttError(error, codeName) &&
    (subcodeName === undefined || error.subcodeName === subcodeName) &&
    (reason === undefined || error.reason === reason);
  return { pass, received: words(error), expected: named(codeName, subcodeName, reason) };
}

/**
 * Fails unless `error` is the error of that name; for `node:test` and any other runner.
 *
 * @example
 * await assert.rejects(session.closed, (error) => assertSttError(error, 'SESSION_TIMEOUT'));
 * @returns true, as `assert.rejects` asks of what it calls.
 */
export function assertSttError<Name extends SttErrorCodeName>(
  error: unknown,
  codeName: Name,
  facts: SttErrorFacts = {},
): error is Extract<AnySttError, { codeName: Name }> {
  const { pass, received, expected } = judge(error, codeName, facts);
  if (pass) return true;
  throw new AssertionError({
    message: `expected ${expected}, got ${received}`,
    actual: error,
    expected,
    operator: 'assertSttError',
    stackStartFn: assertSttError,
  });
}

function words(error: unknown): string {
  if (!hasBrand(error)) return error instanceof Error ? String(error) : typeof error;
  const { codeName, subcodeName, reason, message } = error as SttError;
  return `${named(codeName, subcodeName, reason)}: ${message}`;
}

function named(codeName: string, subcodeName?: string, reason?: string): string {
  const facts = [subcodeName, reason].filter((fact) => fact !== undefined);
  return facts.length === 0 ? codeName : `${codeName} (${facts.join(', ')})`;
}
