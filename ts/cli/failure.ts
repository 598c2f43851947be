import { ERROR_PAGES } from '../errors/reference.generated.ts';
import type { SttError } from '../index.ts';
import { isSttError, SttOptionError } from '../index.ts';
import { inCommandWords } from './command-words.ts';
import type { ExitCode } from './exit-codes.ts';
import { systemCode } from './exit-codes.ts';
import type { ResolvedPeer } from './peers/resolve.ts';
import { hintOfPin, inPeerWords } from './peers/words.ts';

/** A failure that the command line itself finds, with its exit code and what to try. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;
  /** One sentence on what to do about it. */
  readonly hint: string;

  constructor(exitCode: ExitCode, message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** A failure that is on the screen already: it has an exit code, and nothing more to say. */
export class ShownError extends CliError {}

/** A transfer that was cut off, and what goes on with it: the cause's headline with a hint of its own. */
export class ResumableError extends CliError {
  constructor(exitCode: ExitCode, cause: unknown, hint: string) {
    super(exitCode, cause instanceof Error ? cause.message : String(cause), hint, { cause });
  }
}

/** The two lines that a person sees, and the same facts for a program. */
export interface FailureReport {
  readonly headline: string;
  readonly hint: string;
  /** `0x0103`, `ENOENT`, or `CLI` for what has no code of its own. */
  readonly code: string;
  readonly codeName?: string;
  readonly subcode?: number;
}

const SYSTEM_HINTS: Record<string, string> = {
  EADDRINUSE: 'choose another port, or end the program that holds this one.',
  EADDRNOTAVAIL: 'this machine has no such address; name one of its own, or leave the host out.',
  EACCES: 'check who may read or write it (ls -l), or choose another place.',
  EPERM: 'check who may read or write it (ls -l), or choose another place.',
  ENOENT: 'check the path; nothing of that name is there.',
  EISDIR: 'name a file, not a folder.',
  ENOTDIR: 'name a folder, not a file.',
  ENOSPC: 'free some space on that disk, or choose another folder.',
  EDQUOT: 'free some space within your quota, or choose another folder.',
  EROFS: 'that file system is read-only; choose another folder.',
  EMFILE: 'raise the limit of open files (ulimit -n).',
};

/** What to show for any failure, without a stack trace for a user's mistake; `to` is whom the command calls. */
export function describeFailure(error: unknown, to?: ResolvedPeer): FailureReport {
  if (error instanceof ResumableError) {
    return { ...describeFailure(error.cause, to), hint: error.hint };
  }
  if (error instanceof CliError) {
    return { headline: error.message, hint: error.hint, code: 'CLI' };
  }
  if (isSttError(error)) {
    const code = `0x${error.code.toString(16).padStart(4, '0')}`;
    const message = firstSentences(error.message, code, error.codeName);
    const words = inCommandWords(to === undefined ? message : inPeerWords(message, to));
    return {
      headline: `${code} ${error.codeName}: ${words}`,
      hint: `${hintOf(error, to)} Details: stt explain ${code}`,
      code,
      codeName: error.codeName,
      ...(error.subcode === undefined ? {} : { subcode: error.subcode }),
    };
  }
  const system = systemCode(error);
  if (system !== undefined && error instanceof Error) {
    const port = system === 'EACCES' && /\b(bind|listen)\b|\bport\b/.test(error.message);
    return {
      headline: systemHeadline(system, error),
      hint: port
        ? 'choose a port of 1024 or more, or run it with the right to take lower ones.'
        : (SYSTEM_HINTS[system] ?? 'see the system error above.'),
      code: system,
    };
  }
  if (error instanceof SttOptionError) {
    const { headline, hint } = describeOption(error);
    return { headline, hint, code: 'CLI' };
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    headline: `unexpected failure: ${detail}`,
    hint: 'this is a bug in stt; please report the lines above.',
    code: 'BUG',
  };
}

/** The API speaks of its options; a person gave a file, a flag or a variable. */
function describeOption({ option, message }: SttOptionError): { headline: string; hint: string } {
  if (option === 'sharedSeed') {
    return {
      headline: message.replace(/^sharedSeed/, 'the seed').replace(/ Make one with .*$/, ''),
      hint: 'make one with "stt keygen" and copy it to the other machine, or name another with --seed-file.',
    };
  }
  if (option.startsWith('STT_')) return { headline: message, hint: `correct or unset ${option}.` };
  if (option === 'address') {
    return {
      headline: `the peer ${message.replace(/^address /, '')}`,
      hint: 'write HOST, HOST:PORT or [IPV6]:PORT.',
    };
  }
  if (option === 'peerNodeId') {
    return {
      headline: message.replace(/^peerNodeId/, '--peer-id'),
      hint: 'copy the node id that "stt recv" prints on the other machine.',
    };
  }
  return { headline: message, hint: 'see "stt --help".' };
}

/** `ENOENT: no such file or directory: /path`, without what the system was called for. */
function systemHeadline(code: string, error: Error): string {
  const message = inCommandWords(error.message);
  const text = message.startsWith(code) ? message : `${code}: ${message}`;
  const path = 'path' in error && typeof error.path === 'string' ? error.path : undefined;
  const cut = text.indexOf(', ');
  return path === undefined || cut === -1 ? text : `${text.slice(0, cut)}: ${path}`;
}

/** Some messages already begin with their code; the headline names it once. */
function firstSentences(message: string, code: string, codeName: string): string {
  const prefix = new RegExp(`^(${code}\\s*)?(${codeName}\\s*)?:?\\s*`);
  return message.replace(prefix, '');
}

/** Sub-codes of a handshake that failed: the clocks differ, and the seeds do. */
const CLOCK = 2;
const SEED = 3;

function hintOf(
  { codeName, code, subcode, origin, context }: SttError,
  to: ResolvedPeer | undefined,
): string {
  if (context.proxy !== undefined) return proxyHint(context.httpStatus);
  switch (codeName) {
    case 'CONNECTION_TIMEOUT':
      if (context.transport === 'websocket')
        return 'check that it takes WebSockets ("stt recv --websocket"), and that TCP passes the firewalls in between.';
      return 'check that "stt recv" runs there, and that UDP passes the firewalls in between.';
    case 'CONNECTION_REFUSED':
      return 'start what listens there first, such as "stt recv", or correct the port.';
    case 'SESSION_CLOSED':
      return 'see what the other side says, then run this again.';
    case 'AUTHENTICATION_FAILED':
    case 'HANDSHAKE_FAILURE':
      if (subcode === CLOCK)
        return 'set the clocks of both machines by NTP (timedatectl), then try again.';
      if (subcode === SEED)
        return 'use the same seed on both machines: "stt id" compares, "stt pair" gives it to the other.';
      if (context.answeredBy !== undefined && to?.pinnedBy !== undefined)
        return hintOfPin(to.pinnedBy);
      if (context.answeredBy !== undefined)
        return 'correct the address, or --peer-id: "stt id" there prints it.';
      return 'use the same seed file on both machines, and the peer id that "stt recv" prints.';
    case 'NETWORK_UNREACHABLE':
      return "check the name or address and this machine's network.";
    case 'PROTOCOL_VERSION_MISMATCH':
      return 'install the same version of @seigr/stt on both machines.';
    case 'UDP_SEND_FAILED':
      return 'check the network interface and the local firewall, then try again.';
    case 'TOO_MANY_SESSIONS':
    case 'RESOURCE_EXHAUSTED':
      if (origin === 'peer')
        return 'try again later, or raise the limits of the peer: it has as much as it takes.';
      return 'raise the limit of open files (ulimit -n) or free memory, then try again.';
    default:
      return firstStep(code);
  }
}

/** What helps where a proxy makes no tunnel. */
export function proxyHint(status: number | undefined): string {
  if (status === 407)
    return "put user and password into the proxy's URL (HTTP_PROXY, for wss:// HTTPS_PROXY): http://USER:PASSWORD@HOST:PORT.";
  const past = 'or go past it with NO_PROXY.';
  if (status === 403)
    return `add the peer's host and port to the proxy's allow-list for CONNECT, ${past}`;
  if (status === undefined)
    return `see that the proxy runs and its URL is right (HTTP_PROXY, for wss:// HTTPS_PROXY), ${past}`;
  return `see the proxy's log for why it makes no tunnel to the peer, ${past}`;
}

/** What the reference says to try first, as the end of a sentence that has begun. */
function firstStep(code: number): string {
  const text = ERROR_PAGES.find((page) => page.code === code)?.steps[0]?.text ?? 'Run it again.';
  return inCommandWords(text.charAt(0).toLowerCase() + text.slice(1));
}
