import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { systemCode } from '../exit-codes.ts';
import type { Target } from './target.ts';

/** A target that could not be connected to. */
export class DialError extends Error {
  override readonly name = 'DialError';
  /** The system's, where it has one. */
  readonly code: string | undefined;

  constructor(code: string | undefined, cause: unknown) {
    super(`cannot connect: ${code ?? String(cause)}`, { cause });
    this.code = code;
  }
}

/**
 * Connects to a target. Its name is looked up once, and all its addresses are tried as in RFC 8305.
 *
 * @param timeout milliseconds for all of it.
 * @param signal ends it.
 * @throws {DialError} or the signal's reason.
 */
export async function dial(
  { host, port }: Target,
  timeout: number,
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const socket = connect({ host, port, allowHalfOpen: true, autoSelectFamily: true });
  // What fails later is told by its end.
  socket.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      over();
      socket.destroy();
      reject(error);
    };
    const onError = (error: Error): void => fail(new DialError(codeOf(error), error));
    const onAbort = (): void => fail(signal.reason);
    const late = setTimeout(() => fail(new DialError('ETIMEDOUT', undefined)), timeout);
    const over = (): void => {
      clearTimeout(late);
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError).once('connect', () => {
      over();
      resolve(socket);
    });
  });
}

/** Of several addresses, what the first said. */
function codeOf(error: Error): string | undefined {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return systemCode(first);
}
