import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as paths from '../../scripts/lib/paths.mjs';

const execute = promisify(execFile);

/** What a child process left behind. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The folder of npm/ for this host, for example `linux-x64-gnu`. */
export const hostFolder: string = paths.hostSuffix();

/** The name of this host's platform package. */
export const hostPackage = `@seigr/stt-${hostFolder}`;

/** A path in the checkout. */
export const inRoot = (...parts: string[]): string => paths.inRoot(...parts);

/** Runs a program to its end; a failure is an outcome, not an exception. A hang is ended after a minute. */
export async function runIn(
  cwd: string,
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const options = { cwd, timeout: 180_000, env: { ...cleanEnvironment(), ...env } };
  try {
    return { code: 0, ...(await execute(command, args, options)) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    return { code: typeof code === 'number' ? code : -1, stdout, stderr: stderr || String(error) };
  }
}

/** Runs Node on a script or with `-e`. */
export const node = (
  cwd: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<Outcome> => runIn(cwd, process.execPath, args, env);

/** Runs npm and throws with its output if it fails. */
export async function npm(cwd: string, args: readonly string[]): Promise<string> {
  const cli = paths.npmCli();
  const common = ['--no-audit', '--no-fund', '--loglevel=error'];
  const outcome =
    cli === undefined
      ? await runIn(cwd, 'npm', [...args, ...common])
      : await node(cwd, [cli, ...args, ...common]);
  if (outcome.code !== 0) {
    throw new Error(`npm ${args.join(' ')} failed:\n${outcome.stdout}\n${outcome.stderr}`);
  }
  return outcome.stdout;
}

// npm hands the settings of the project it runs in to its scripts; a user's folder has none of them.
function cleanEnvironment(): NodeJS.ProcessEnv {
  const drop = /^(npm_(config_local_prefix|package|lifecycle)|NODE_OPTIONS|VITEST|STT_)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !drop.test(name)));
}

/** The two tarballs that a release publishes for this host. */
export interface Tarballs {
  readonly root: string;
  readonly platform: string;
}

/** Packs the root package and this host's platform package into `folder`. */
export async function packBoth(folder: string): Promise<Tarballs> {
  // The platform package is packed from a copy: a binary never lies in npm/ of the checkout.
  const staged = join(folder, hostFolder);
  await cp(inRoot('npm', hostFolder), staged, { recursive: true });
  await cp(paths.addonInTs(), join(staged, paths.addonName()));
  return {
    root: await pack(inRoot(), folder),
    platform: await pack(staged, folder),
  };
}

async function pack(from: string, to: string): Promise<string> {
  const before = new Set(await readdir(to));
  await npm(from, ['pack', '--ignore-scripts', '--pack-destination', to]);
  const made = (await readdir(to)).filter((name) => name.endsWith('.tgz') && !before.has(name));
  if (made.length !== 1) throw new Error(`npm pack made ${made.join(', ') || 'nothing'} in ${to}`);
  return join(to, made[0] as string);
}

/** A new folder with an empty package in it, and the way to remove it. */
export async function emptyProject(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'stt-package-'));
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'package.json'), '{ "name": "somebody", "private": true }\n');
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Installs tarballs as a user would, without a script of any package. */
export async function installInto(project: string, tarballs: readonly string[]): Promise<void> {
  await npm(project, ['install', '--ignore-scripts', '--prefer-offline', ...tarballs]);
}

/** The first fenced JavaScript or TypeScript block of README.md. */
export async function readmeExample(): Promise<string> {
  const text = await readFile(inRoot('README.md'), 'utf8');
  const block = /^```(?:js|javascript|mjs|ts|typescript)[^\n]*\n(.*?)^```/ms.exec(text);
  if (block?.[1] === undefined) throw new Error('README.md has no fenced js or ts block');
  return block[1];
}

/** Whether the checkout has been built; the tests say so instead of failing in npm. */
export const isBuilt = (): boolean =>
  existsSync(paths.addonInTs()) && existsSync(inRoot('dist/index.js'));
