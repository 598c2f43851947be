import type { AnySttError } from './classes.ts';
import { hasBrand } from './error.ts';
import type { SttErrorCodeName } from './table.ts';

/**
 * Whether `error` comes from the transport and, given a name, whether it is that error. Works across
 * copies of this package.
 *
 * @example
 * if (isSttError(error, 'CONNECTION_TIMEOUT')) await tryAnotherPeer();
 */
export function isSttError(error: unknown): error is AnySttError;
export function isSttError<Name extends SttErrorCodeName>(
  error: unknown,
  codeName: Name,
): error is Extract<AnySttError, { codeName: Name }>;
export function isSttError(error: unknown, codeName?: SttErrorCodeName): boolean {
  return hasBrand(error) && (codeName === undefined || error.codeName === codeName);
}
