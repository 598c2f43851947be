import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('../examples/', import.meta.url));

/** Runs one example in a process of its own, which must end by itself. */
async function example(name: string, ...args: string[]): Promise<string> {
  const options = { cwd: folder, timeout: 60_000 };
  const { stdout, stderr } = await run(process.execPath, [join(folder, name), ...args], options);
  expect(stderr).toBe('');
  return stdout;
}

test('quickstart.mjs', async () => {
  expect(await example('quickstart.mjs')).toBe('You said: hello\n');
});

test('echo.mjs', async () => {
  expect(await example('echo.mjs')).toMatch(/^100 round trips, median \d+ us\n$/);
});

test('file-transfer.mjs', async () => {
  const place = await mkdtemp(join(tmpdir(), 'stt-example-'));
  onTestFinished(() => rm(place, { recursive: true }));
  const bytes = randomBytes(3_000_000);
  await writeFile(join(place, 'file'), bytes);
  const output = await example('file-transfer.mjs', join(place, 'file'), join(place, 'copy'));
  expect(output).toBe('the copy is the same\n');
  expect((await readFile(join(place, 'copy'))).equals(bytes)).toBe(true);
});

test('workers.mjs', async () => {
  const output = await example('workers.mjs', '3');
  const lines = output.trimEnd().split('\n').sort();
  expect(lines).toEqual([1, 2, 3].map((worker) => `worker ${worker}: 8 sessions`));
});

test('reconnect.mjs', async () => {
  const output = await example('reconnect.mjs');
  expect(output).toBe('connected again\nwhat was stored is not sent again\n');
});
