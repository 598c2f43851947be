import type { Fault } from '../native/engine.ts';
import { ResourceExhaustedError } from './classes.ts';
import { createError } from './create.ts';
import type { SttError } from './error.ts';
import type { SttSystemErrorDetails } from './local.ts';
import { SttOptionError, SttSystemError } from './local.ts';

/** What the system says when it has no more of something. */
const EXHAUSTED = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS']);

/** What the system says when it has no IPv6. */
const WITHOUT_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EPROTONOSUPPORT']);

/** The documented error for an engine that could not be started. */
export function startError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (!('syscall' in error)) {
    return error instanceof TypeError
      ? new SttOptionError('sharedSeed', `is refused: ${error.message}`)
      : error;
  }
  const {
    code = '',
    errno,
    syscall,
    address,
    port,
  } = error as Error & Partial<SttSystemErrorDetails>;
  if (syscall === 'log') {
    return new SttSystemError(
      `${error.message}. Choose a place for qlog.dir and keyLog that this process may write to.`,
      { code, errno, syscall, address, port, cause: error },
    );
  }
  if (EXHAUSTED.has(code) || syscall === 'thread') {
    return new ResourceExhaustedError(
      `The system has no more descriptors, memory or threads for an endpoint (${code || error.message}). Close some, or raise its limits (ulimit -n).`,
      { cause: error },
    );
  }
  return new SttSystemError(systemMessage(code, error.message, address, port), {
    code,
    errno,
    syscall,
    address,
    port,
    cause: error,
  });
}

/** Whether binding failed only because this machine has no IPv6. */
export function isWithoutIpv6(error: unknown): boolean {
  return error instanceof SttSystemError && WITHOUT_IPV6.has(error.code);
}

/** The error for an engine that ended by itself. */
export function engineFailure(fault: Fault): SttError {
  const words = fault.message ?? 'no reason is known';
  return createError(
    fault.code,
    `The engine of this endpoint failed and the endpoint has ended: ${words}. Please report it; create another endpoint to go on.`,
    { subcode: fault.subcode },
  );
}

function systemMessage(
  code: string,
  message: string,
  address: string | undefined,
  port: number | undefined,
): string {
  const where =
    address === undefined ? '' : ` ${address.includes(':') ? `[${address}]` : address}:${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return `${code}: UDP port${where} is in use. End the program that holds it, or choose another port.`;
    case 'EADDRNOTAVAIL':
      return `${code}: this machine has no address${where}. Bind to one of its own, or leave host out.`;
    case 'EACCES':
      return `${code}: this process may not bind to${where}. Choose a port from 1024 on.`;
    default:
      return message;
  }
}
