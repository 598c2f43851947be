import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout's root folder. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** A path inside the checkout. */
export const inRoot = (...parts) => join(root, ...parts);

/** Where stamps, the lock and half-made outputs live: `cargo clean` and `git clean` both forget them. */
export const stateDir = inRoot('target', 'setup');

/**
 * The suffix that `napi build --platform` gives the addon on this host, for example `linux-x64-gnu`.
 * It must agree with the detection in the generated loader.
 */
export function hostSuffix() {
  const { platform, arch } = process;
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`;
  if (platform === 'win32') return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}

function isMusl() {
  // The report lists every network interface unless told not to, which takes longer than all the rest.
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime === undefined;
}

/** The addon's file name on this host. */
export const addonName = () => `stt.${hostSuffix()}.node`;

/** The addon in the source tree, where `napi build` is made to leave it. */
export const addonInTs = () => inRoot('ts', 'native', addonName());

/** The copy beside the compiled loader. */
export const addonInDist = () => inRoot('dist', 'native', addonName());

/**
 * The script to run npm with. Under `npm run` npm itself says where it is; otherwise it is looked for where
 * Node's installers put it, so that Windows needs no shell around `npm.cmd`.
 */
export function npmCli() {
  const told = process.env.npm_execpath;
  if (told !== undefined && /npm-cli\.c?js$/.test(told)) return told;
  const bin = dirname(process.execPath);
  return [
    join(bin, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(bin, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    '/usr/share/nodejs/npm/bin/npm-cli.js',
  ].find((path) => existsSync(path));
}
