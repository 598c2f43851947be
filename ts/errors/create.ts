import type { AnySttError } from './classes.ts';
import * as classes from './classes.ts';
import type { SttErrorDetails } from './error.ts';
import { SttError } from './error.ts';
import type { CloseReason } from './table.ts';

type ErrorClass = (new (
  message: string,
  details: SttErrorDetails & { reason: CloseReason },
) => AnySttError) & { readonly code: number };

const BY_CODE: ReadonlyMap<number, ErrorClass> = new Map(
  Object.values(classes as unknown as Record<string, ErrorClass>).map((Class) => [
    Class.code,
    Class,
  ]),
);

/**
 * The error for a number: an instance of its class, or of {@link SttError} itself for a number that
 * this version does not know.
 */
export function createError(
  code: number,
  message: string,
  details: SttErrorDetails = {},
): SttError {
  const Class = BY_CODE.get(code);
  if (Class === undefined) return new SttError(code, message, details);
  // Only the end of a session always has a reason.
  const reason = details.reason ?? (code === classes.SessionClosedError.code ? 'error' : undefined);
  return new Class(message, { ...details, reason: reason as CloseReason });
}
