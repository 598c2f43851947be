// A process that has no descriptor left, for a moment: this one.

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';

/** Descriptors that are kept for starting the program that gives the limit back. */
const SPARE = 16;
/** Room above what is open now; it is filled up at once. */
const MARGIN = 8;

/**
 * Runs `act` while this process can open nothing: its soft limit of descriptors is lowered to what is
 * open, which any process may do, and given back afterwards. Whatever else the process does meanwhile
 * fails as well, with EMFILE.
 *
 * @throws {Error} where there is no Linux with `prlimit` (util-linux).
 */
export async function withoutDescriptors<T>(act: () => Promise<T>): Promise<T> {
  const before = softLimit();
  const spare = Array.from({ length: SPARE }, open);
  const fillers: number[] = [];
  try {
    limit(readdirSync('/proc/self/fd').length + MARGIN);
    fill(fillers);
    return await act();
  } finally {
    for (const descriptor of [...spare, ...fillers]) closeSync(descriptor);
    limit(before);
  }
}

function open(): number {
  return openSync('/dev/null', 'r');
}

function fill(descriptors: number[]): void {
  for (;;) {
    try {
      descriptors.push(open());
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EMFILE') return;
      throw error;
    }
  }
}

function softLimit(): string {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const match = /^Max open files\s+(\d+|unlimited)/m.exec(limits);
    if (match?.[1] !== undefined) return match[1];
  } catch (cause) {
    throw new Error('RESOURCE_EXHAUSTED can be provoked on Linux only', { cause });
  }
  throw new Error('/proc/self/limits does not tell the limit of descriptors');
}

function limit(descriptors: number | string): void {
  execFileSync('prlimit', [`--pid=${process.pid}`, `--nofile=${descriptors}:`]);
}
