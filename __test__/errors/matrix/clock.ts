// The wall clock of another process, moved.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Context } from './context.ts';

/** The library that moves a process's wall clock. */
export async function buildClock(context: Pick<Context, 'defer'>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'stt-clock-'));
  context.defer(() => rmSync(folder, { recursive: true }));
  const library = join(folder, 'clock.so');
  const source = fileURLToPath(new URL('./clock.c', import.meta.url));
  await promisify(execFile)('cc', ['-shared', '-fPIC', '-O1', '-o', library, source]);
  return library;
}
