import type { SttError } from '../index.ts';
import { isSttError, SttOptionError } from '../index.ts';
import { CliError } from './failure.ts';

/** What the process ends with; the list is part of the command line's contract. */
export const ExitCode = {
  /** All that was asked for is done. */
  Done: 0,
  /** A mistake of ours: please report it. */
  Bug: 1,
  /** The command line itself was wrong. */
  Usage: 2,
  /** The peer could not be reached; trying again may help. */
  Unreachable: 3,
  /** Seed, peer id, version or clock differ; trying again does not help. */
  Configuration: 4,
  /** The connection or the far side failed on the way. */
  Interrupted: 5,
  /** A local file, folder or disk refused. */
  LocalFile: 6,
  /** What arrived is not what was sent. */
  HashMismatch: 7,
  /** The local port or a local resource is not to be had. */
  LocalResource: 8,
  /** SIGINT. */
  Interrupt: 130,
  /** SIGTERM. */
  Terminate: 143,
} as const;

/** One of the values of {@link ExitCode}. */
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

const PORT_ERRORS = new Set([
  'EADDRINUSE',
  'EADDRNOTAVAIL',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOBUFS',
]);

/** The exit code that a failure ends the process with. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (isSttError(error)) return exitCodeOfSttError(error);
  if (isOptionError(error)) return isSeedError(error) ? ExitCode.Configuration : ExitCode.Usage;
  const code = systemCode(error);
  if (code === undefined) return ExitCode.Bug;
  if (PORT_ERRORS.has(code) || syscallOf(error) === 'bind') return ExitCode.LocalResource;
  return ExitCode.LocalFile;
}

/** The system error code (`ENOENT`, `EADDRINUSE`) of an error that has one. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

function syscallOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error)) return undefined;
  return typeof error.syscall === 'string' ? error.syscall : undefined;
}

function isOptionError(error: unknown): error is SttOptionError {
  return error instanceof SttOptionError;
}

/** Whether a seed was refused: too short, a placeholder, or nothing that can be read as one. */
export function isSeedError(error: unknown): boolean {
  return isOptionError(error) && error.option === 'sharedSeed';
}

function exitCodeOfSttError(error: SttError): ExitCode {
  switch (error.codeName) {
    case 'AUTHENTICATION_FAILED':
    case 'PROTOCOL_VERSION_MISMATCH':
    case 'HANDSHAKE_FAILURE':
      return ExitCode.Configuration;
    case 'RESOURCE_EXHAUSTED':
    case 'BUFFER_OVERFLOW':
    case 'TOO_MANY_SESSIONS':
      // The peer's limit passes, as its not being there may.
      return error.origin === 'peer' ? ExitCode.Unreachable : ExitCode.LocalResource;
    default:
      break;
  }
  const category = error.code >> 8;
  return category === 0x01 || category === 0x05 ? ExitCode.Unreachable : ExitCode.Interrupted;
}
