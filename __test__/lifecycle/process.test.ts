import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** Runs a fixture to its end, which must come in time. */
async function run(
  name: string,
  options: { flags?: string[]; limitMs?: number; after?: [word: string, input: string] } = {},
): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
  const file = fileURLToPath(new URL(`./fixtures/${name}.mjs`, import.meta.url));
  const child = spawn(process.execPath, [...(options.flags ?? []), file], { stdio: 'pipe' });
  const timer = setTimeout(() => child.kill('SIGKILL'), options.limitMs ?? 60_000);
  let stdout = '';
  let stderr = '';
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  child.stdout.on('data', (data) => {
    stdout += data;
    const after = options.after;
    if (after !== undefined && stdout.includes(after[0])) child.stdin.write(after[1]);
  });
  return await new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

test('an open endpoint that is unref-ed lets the process end by itself', async () => {
  const result = await run('unref');
  expect(result).toEqual({ code: 0, signal: null, stdout: 'started\n', stderr: '' });
});

test('an open endpoint holds the process until it is closed', async () => {
  const result = await run('ref', { after: ['started', 'close\n'] });
  expect(result).toEqual({ code: 0, signal: null, stdout: 'started\nclosed\n', stderr: '' });
});

test('a process may exit in the middle of a transfer', async () => {
  const result = await run('exit', { limitMs: 120_000 });
  expect(result).toEqual({ code: 7, signal: null, stdout: 'flowing\n', stderr: '' });
});

test.runIf(process.platform === 'linux')(
  'forgotten endpoints are ended by the collector, their threads joined; one that listens lives',
  async () => {
    const result = await run('gc', { flags: ['--expose-gc'], limitMs: 120_000 });
    expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(JSON.parse(result.stdout)).toEqual({ before: 20, after: 1 });
  },
);

test('an endpoint that is closing, or takes another socket, is not collected before it has', async () => {
  const result = await run('gc-close', { flags: ['--expose-gc'], limitMs: 120_000 });
  expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
  expect(JSON.parse(result.stdout)).toEqual({ closes: 30, rebinds: 30 });
});

test.runIf(process.platform === 'linux')(
  'twenty workers load the addon, use it and are terminated under traffic',
  async () => {
    const result = await run('workers', { limitMs: 170_000 });
    expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
    const { before, after } = JSON.parse(result.stdout);
    expect(after).toBeLessThanOrEqual(before);
  },
);

test('a session that nobody uses holds no map, no set and no promise of its own', async () => {
  const flags = ['--disable-warning=ExperimentalWarning'];
  const { code, stdout, stderr } = await run('idle-sessions', { flags, limitMs: 120_000 });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [idle, used] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line.slice(line.indexOf('{'))));
  expect(idle).toEqual({ Map: 0, Set: 0, Promise: 0 });
  // Or the counting would not see them.
  for (const kind of ['Map', 'Set', 'Promise']) expect(used[kind]).toBeGreaterThanOrEqual(2);
});
