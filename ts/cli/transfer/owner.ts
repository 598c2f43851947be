import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** A process that works on a file, as it stands in the file's name. */
export interface Owner {
  /** 8 hex digits for the machine, its boot and, in a container, its space of process numbers. */
  readonly host: string;
  readonly pid: number;
  /** When it was started, in the system's own count: a number that comes again is another process. */
  readonly start: string;
}

/** How long a file of another machine may go untouched before its process counts as gone. */
export const FOREIGN_SILENCE_MS = 120_000;

/** The same for a process here whose start the system does not tell, so that its number may be another's. */
const LOCAL_SILENCE_MS = 600_000;

/** How often a holder touches its file; some touches may be late. */
export const TOUCH_INTERVAL_MS = 10_000;

let own: Owner | undefined;

/** This process. */
export function thisProcess(): Owner {
  own ??= {
    host: hostToken(),
    pid: process.pid,
    start: startOf(process.pid)?.start ?? String(Math.trunc(performance.timeOrigin)),
  };
  return own;
}

/** `1a2b3c4d-4711-81234`. */
export function ownerText({ host, pid, start }: Owner): string {
  return `${host}-${pid}-${start}`;
}

/** The same, read; undefined for anything else. */
export function parseOwner(text: string): Owner | undefined {
  const match = /^([0-9a-f]{8})-(\d{1,10})-(\d{1,20})$/.exec(text);
  if (match === null) return undefined;
  const [, host = '', pid = '', start = ''] = match;
  return { host, pid: Number(pid), start };
}

/** Whether the owner is this very process. */
export function isThisProcess(owner: Owner): boolean {
  return ownerText(owner) === ownerText(thisProcess());
}

/** Whether a process other than this one still lives, its file touched at `touched` (ms since 1970). */
export function lives(owner: Owner, touched: number): boolean {
  const silence = Date.now() - touched;
  if (owner.host !== thisProcess().host) return silence < FOREIGN_SILENCE_MS;
  if (!isRunning(owner.pid)) return false;
  const seen = startOf(owner.pid);
  if (seen === undefined) return silence < LOCAL_SILENCE_MS;
  return seen.start === owner.start && !seen.ended;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process is one all the same.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** When a process was started, and whether it waits only for its parent; Linux alone tells. */
function startOf(pid: number): { start: string; ended: boolean } | undefined {
  const stat = textOf(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the program's name, which may hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, start] = [fields[0], fields[19]];
  return start === undefined ? undefined : { start, ended: state === 'Z' || state === 'X' };
}

function hostToken(): string {
  const parts = [
    hostname(),
    textOf('/proc/sys/kernel/random/boot_id') ?? '',
    linkOf('/proc/self/ns/pid') ?? '',
  ];
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 8);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
