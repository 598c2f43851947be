import type { SttError } from '../errors/error.ts';
import { hasBrand } from '../errors/error.ts';
import { SttOptionError } from '../errors/local.ts';
import type { HandshakeSubcodeName, SttErrorCodeName } from '../errors/table.ts';
import { ERROR_TABLE, errorInfo, HANDSHAKE_SUBCODES } from '../errors/table.ts';

/**
 * The name of an error to try again after: a code's, or one step of a handshake, such as
 * `HANDSHAKE_FAILURE.TIMESTAMP_EXPIRED`. `HANDSHAKE_FAILURE` alone means every step.
 */
export type RetryCode = SttErrorCodeName | `HANDSHAKE_FAILURE.${HandshakeSubcodeName}`;

/** Whether to try again after an error. */
export type RetryPredicate = (error: SttError) => boolean;

/** What is tried again where nothing else is said: errors that pass by themselves. */
export const RETRYABLE: readonly RetryCode[] = [
  'CONNECTION_TIMEOUT',
  'CONNECTION_REFUSED',
  'NETWORK_UNREACHABLE',
  'TOO_MANY_SESSIONS',
  'HANDSHAKE_FAILURE.TIMESTAMP_EXPIRED',
  'HANDSHAKE_FAILURE.PROOF_VERIFICATION_FAILED',
  'UDP_SEND_FAILED',
  'WEBSOCKET_CLOSED',
  'RESOURCE_EXHAUSTED',
];

/** The names of all codes and of all steps of a handshake. */
const KNOWN: ReadonlySet<string> = new Set([
  ...ERROR_TABLE.map(({ codeName }) => codeName),
  ...Object.values(HANDSHAKE_SUBCODES).map((name) => `HANDSHAKE_FAILURE.${name}`),
]);

/**
 * Whether the peer, or a check before it, has given a verdict that no further try changes: a wrong
 * seed, a node that is not admitted or not the one that was named, another version of the protocol.
 * Somebody else at one of a name's addresses is none while another address may still have the right one.
 */
export function isFinal(error: unknown): boolean {
  if (!hasBrand(error) || errorInfo(error.code)?.recoverable !== false) return false;
  return passing(error).length === 0;
}

/** By an error of one address, those of the name's other addresses. */
const ELSEWHERE = new WeakMap<SttError, readonly SttError[]>();

/**
 * Notes what a name's other addresses said where `error`, which speaks for all of them, says that somebody else
 * answered: another node, or one of another network or version.
 */
export function noteElsewhere(error: SttError, others: readonly SttError[]): void {
  ELSEWHERE.set(error, others);
}

/** What was met elsewhere that passes by itself. */
function passing(error: SttError): readonly SttError[] {
  const others = ELSEWHERE.get(error) ?? [];
  return others.filter((other) => other !== error && !isFinal(other));
}

/**
 * Reads the option `codes`: names, or a function. Whatever it says, what is final stays final.
 *
 * @throws {SttOptionError} for a name that does not exist, or that nothing but a person can help.
 */
export function retryPredicate(
  codes: readonly RetryCode[] | RetryPredicate = RETRYABLE,
  option = 'retry.codes',
): RetryPredicate {
  if (typeof codes === 'function') return (error) => !isFinal(error) && codes(error);
  if (!Array.isArray(codes)) {
    throw new SttOptionError(option, 'must be an array of names of errors, or a function');
  }
  for (const name of codes) {
    if (!KNOWN.has(name)) {
      throw new SttOptionError(option, `has no such error in it: ${String(name)}`);
    }
    const info = ERROR_TABLE.find(({ codeName }) => codeName === name);
    if (info?.recoverable === false) {
      throw new SttOptionError(option, `has ${name}, after which no further try helps`);
    }
  }
  const names: ReadonlySet<string> = new Set(codes);
  const named = (error: SttError): boolean =>
    names.has(error.codeName) || names.has(`${error.codeName}.${error.subcodeName}`);
  return (error) => !isFinal(error) && (named(error) || passing(error).some(named));
}
