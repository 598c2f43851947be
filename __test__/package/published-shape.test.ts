import { readFileSync } from 'node:fs';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { emptyProject, inRoot, node, packBoth, type Tarballs } from './workspace.ts';

let store: Awaited<ReturnType<typeof emptyProject>>;
let tarballs: Tarballs;

beforeAll(async () => {
  store = await emptyProject();
  tarballs = await packBoth(store.path);
});

afterAll(() => store?.remove());

test('publint finds nothing', async () => {
  const tarball = readFileSync(tarballs.root);
  const buffer = tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.byteLength);
  const { messages, pkg } = await publint({
    pack: { tarball: buffer as ArrayBuffer },
    strict: true,
  });
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
});

test('the types resolve for ESM users under every module resolution', async () => {
  const cli = inRoot('node_modules/@arethetypeswrong/cli/dist/index.js');
  const args = [
    cli,
    tarballs.root,
    '--profile',
    'esm-only',
    '--format',
    'ascii',
    '--no-emoji',
    '--no-color',
  ];
  const { code, stdout, stderr } = await node(store.path, args);
  expect({ code, output: `${stdout}${stderr}` }).toMatchObject({ code: 0 });
});

test('every version in package.json is exact', () => {
  const { dependencies, devDependencies, overrides } = manifest;
  const all = Object.entries({ ...dependencies, ...devDependencies, ...overrides });
  expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});

test('the crates and the package have one version', () => {
  const cargo = readFileSync(inRoot('Cargo.toml'), 'utf8');
  expect(/^version = "(.+)"$/m.exec(cargo)?.[1]).toBe(manifest.version);
});

test('CHANGELOG.md speaks of this version', () => {
  expect(readFileSync(inRoot('CHANGELOG.md'), 'utf8')).toContain(`## [${manifest.version}]`);
});
