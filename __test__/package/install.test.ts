import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import {
  emptyProject,
  hostFolder,
  hostPackage,
  installInto,
  isBuilt,
  node,
  npm,
  packBoth,
  readmeExample,
  runIn,
  type Tarballs,
} from './workspace.ts';

const OPEN_AND_CLOSE = `
  const endpoint = await stt.SttEndpoint.create({ sharedSeed: stt.generateSeed() });
  await endpoint.close();
  console.log('opened and closed');
`;

let store: Awaited<ReturnType<typeof emptyProject>>;
let tarballs: Tarballs;

beforeAll(async () => {
  expect(isBuilt(), 'run `npm run setup` first: nothing is built').toBe(true);
  store = await emptyProject();
  tarballs = await packBoth(store.path);
});

afterAll(() => store?.remove());

describe('the packed files', () => {
  const list = async (tarball: string): Promise<string[]> => {
    const { stdout } = await runIn(store.path, 'tar', ['-tzf', tarball]);
    return stdout.trim().split('\n').sort();
  };

  test('the root package has dist, the loader and the papers, and no binary', async () => {
    const files = await list(tarballs.root);
    expect(files).toEqual(
      expect.arrayContaining(
        [
          'package.json',
          'README.md',
          'CHANGELOG.md',
          'SECURITY.md',
          'LICENSE-MIT',
          'LICENSE-APACHE',
          'dist/index.js',
          'dist/index.d.ts',
          'dist/cli/main.js',
          'dist/native/binding.cjs',
          'dist/native/binding.d.cts',
        ].map((file) => `package/${file}`),
      ),
    );
    expect(files.filter((file) => file.endsWith('.node'))).toEqual([]);
    const stray = files.filter((file) =>
      /(^package\/(ts|crates|scripts|__test__)\/|\.tsbuildinfo$)/.test(file),
    );
    expect(stray).toEqual([]);
  });

  test('the platform package has its addon and nothing else', async () => {
    expect(await list(tarballs.platform)).toEqual([
      'package/README.md',
      'package/package.json',
      `package/stt.${hostFolder}.node`,
    ]);
  });
});

describe('installed into an empty folder without scripts', () => {
  let project: Awaited<ReturnType<typeof emptyProject>>;

  beforeAll(async () => {
    project = await emptyProject();
    await installInto(project.path, [tarballs.root, tarballs.platform]);
  });

  afterAll(() => project?.remove());

  test('import works', async () => {
    const script = `import * as stt from '@seigr/stt';${OPEN_AND_CLOSE}`;
    const outcome = await node(project.path, ['--input-type=module', '-e', script]);
    expect(outcome).toEqual({ code: 0, stdout: 'opened and closed\n', stderr: '' });
  });

  test('require works, without a warning', async () => {
    const script = `const stt = require('@seigr/stt'); (async () => {${OPEN_AND_CLOSE}})();`;
    const outcome = await node(project.path, ['--input-type=commonjs', '-e', script]);
    expect(outcome).toEqual({ code: 0, stdout: 'opened and closed\n', stderr: '' });
  });

  test('import and require give one and the same module', async () => {
    const script = `
      import { createRequire } from 'node:module';
      import * as imported from '@seigr/stt';
      const required = createRequire(process.cwd() + '/x.js')('@seigr/stt');
      console.log(imported.SttEndpoint === required.SttEndpoint);`;
    const { stdout } = await node(project.path, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('true\n');
  });

  test('nothing but the documented doors is open', async () => {
    const script = `await import('@seigr/stt/dist/index.js')`;
    const { code, stderr } = await node(project.path, ['--input-type=module', '-e', script]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  test('`stt --version` says the version of the package', async () => {
    const stt = join(
      project.path,
      'node_modules',
      '.bin',
      process.platform === 'win32' ? 'stt.cmd' : 'stt',
    );
    const outcome =
      process.platform === 'win32'
        ? await runIn(project.path, 'cmd.exe', ['/d', '/c', stt, '--version'])
        : await runIn(project.path, stt, ['--version']);
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(outcome.stdout.trim()).toContain(manifest.version);
  });

  test('the first example of README.md runs as it stands', async () => {
    const file = join(project.path, 'example.mjs');
    await writeFile(file, await readmeExample());
    const outcome = await node(project.path, [file]);
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
  });

  test('npm agrees that the tree is whole', async () => {
    await npm(project.path, ['ls', '--all']);
  });
});

describe('an addon that cannot be loaded', () => {
  let project: Awaited<ReturnType<typeof emptyProject>>;
  const addon = () => join(project.path, 'node_modules', hostPackage, `stt.${hostFolder}.node`);
  const tryImport = () =>
    node(project.path, [
      '--input-type=module',
      '-e',
      // The addon is loaded at its first use.
      `const { SttEndpoint, generateSeed } = await import('@seigr/stt');
       await SttEndpoint.create({ sharedSeed: generateSeed() });`,
    ]);

  beforeAll(async () => {
    project = await emptyProject();
    await installInto(project.path, [tarballs.root, tarballs.platform]);
  });

  afterAll(() => project?.remove());

  test('that is damaged: the message names the file, the error, the platform and what to do', async () => {
    await writeFile(addon(), 'this is not a shared library');
    const { code, stderr } = await tryImport();
    expect(code).not.toBe(0);
    expect(stderr).toContain(`stt.${hostFolder}.node`);
    expect(stderr).toMatch(
      /invalid ELF header|file too short|not a mach-o file|not a valid Win32 application/i,
    );
    expectHonest(stderr);
  });

  test('that is missing: the message names the package, the platform and what to do', async () => {
    await rm(join(project.path, 'node_modules', hostPackage), { recursive: true });
    const { code, stderr } = await tryImport();
    expect(code).not.toBe(0);
    expect(stderr).toContain(hostPackage);
    expectHonest(stderr);
  });

  function expectHonest(stderr: string): void {
    expect(stderr).toContain(process.platform);
    expect(stderr).toContain(process.arch);
    expect(stderr).toMatch(/npm (install|i|ci)\b|reinstall/i);
    expect(stderr).not.toContain('Cannot find native binding. npm has a bug');
  }
});
