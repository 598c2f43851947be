import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { withLock } from '../../scripts/lib/lock.mjs';
import { digest } from '../../scripts/lib/stamp.mjs';
import { inRoot, node } from './workspace.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stt-setup-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('set-up', () => {
  test('does nothing, silently and in less than a second, when nothing has changed', async () => {
    await node(inRoot(), ['scripts/setup.mjs']);
    let took = Number.POSITIVE_INFINITY;
    // Others may have the processor meanwhile: the best of several counts.
    for (let round = 0; round < 20 && took >= 1_000; round += 1) {
      const start = performance.now();
      const outcome = await node(inRoot(), ['scripts/setup.mjs']);
      expect(outcome).toEqual({ code: 0, stdout: '', stderr: '' });
      took = Math.min(took, performance.now() - start);
    }
    expect(took).toBeLessThan(1_000);
  });

  test('says in words that Node is too old', async () => {
    const script = `
      Object.defineProperty(process.versions, 'node', { value: '18.20.0' });
      const { checkNode } = await import('${new URL('../../scripts/lib/steps.mjs', import.meta.url)}');
      const { main } = await import('${new URL('../../scripts/lib/process.mjs', import.meta.url)}');
      await main(checkNode);`;
    const { code, stderr } = await node(inRoot(), ['--input-type=module', '-e', script]);
    expect(code).toBe(1);
    expect(stderr).toContain('Node 20.19.0 or newer is needed');
    expect(stderr).not.toContain('    at ');
  });

  test('says that cargo is missing, before it installs anything', async () => {
    const script = `
      process.env.PATH = ${JSON.stringify(folder)};
      process.env.RUSTFLAGS = '--cfg=another_build';
      const { checkCargo } = await import('${new URL('../../scripts/lib/steps.mjs', import.meta.url)}');
      const { main } = await import('${new URL('../../scripts/lib/process.mjs', import.meta.url)}');
      await main(checkCargo);`;
    const { code, stderr } = await node(inRoot(), ['--input-type=module', '-e', script]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/cargo was not found.* Rust 1\.91 or newer/s);
    expect(stderr).toContain('https://rustup.rs');
    expect(stderr).not.toContain('    at ');
  });

  test('runs its script with the arguments as they came and with its exit code', async () => {
    const script = join(folder, 'args.mjs');
    writeFileSync(script, 'console.log(JSON.stringify(process.argv.slice(2))); process.exit(7);');
    const outcome = await node(inRoot(), ['scripts/run.mjs', script, '--size', '64M', '--json']);
    expect(outcome).toMatchObject({ code: 7, stdout: '["--size","64M","--json"]\n' });
  });
});

describe('the lock', () => {
  test('lets one in at a time', async () => {
    let inside = 0;
    let most = 0;
    const enter = () =>
      withLock(join(folder, 'lock'), async () => {
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setTimeout(resolve, 10));
        inside -= 1;
      });
    await Promise.all([enter(), enter(), enter()]);
    expect(most).toBe(1);
  });

  test('is taken over from a process that is gone', async () => {
    const path = join(folder, 'lock');
    const { stdout } = await node(folder, ['-p', 'process.pid']);
    mkdirSync(path);
    writeFileSync(
      join(path, 'owner.json'),
      JSON.stringify({ pid: Number(stdout), host: hostname() }),
    );
    const owner = await withLock(path, async () => readFileSync(join(path, 'owner.json'), 'utf8'));
    expect(JSON.parse(owner)).toEqual({ pid: process.pid, host: hostname() });
  });
});

describe('the digest', () => {
  test('changes with content, names and extras, not with times', () => {
    const file = join(folder, 'a');
    writeFileSync(file, 'one');
    const first = digest([folder]);
    writeFileSync(file, 'one');
    expect(digest([folder])).toBe(first);
    expect(digest([folder], { extra: ['x'] })).not.toBe(first);
    writeFileSync(file, 'two');
    expect(digest([folder])).not.toBe(first);
  });
});
