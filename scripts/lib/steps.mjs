import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import {
  addonInDist,
  addonInTs,
  addonName,
  hostSuffix,
  inRoot,
  npmCli,
  stateDir,
} from './paths.mjs';
import { run, runNode, SetupError, say, since, versionOf } from './process.mjs';
import { digest, readStamp, writeFileAtomic, writeStamp } from './stamp.mjs';

const manifest = () => JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));

/** Refuses a Node older than `engines.node` before anything else can fail in a stranger way. */
export function checkNode() {
  const wanted = /(\d+)\.(\d+)\.(\d+)/.exec(manifest().engines.node).slice(1).map(Number);
  const found = process.versions.node.split('.').map(Number);
  const difference = wanted.map((part, i) => found[i] - part).find((d) => d !== 0) ?? 0;
  if (difference < 0) {
    throw new SetupError(
      `Node ${wanted.join('.')} or newer is needed, this is ${process.version} (${process.execPath}).\n` +
        'Install a current release from https://nodejs.org or with your version manager, then run this again.',
    );
  }
}

/** Installs exactly what package-lock.json says, if node_modules is missing or was made from another lock. */
export async function installDependencies() {
  const lock = digest([inRoot('package-lock.json'), inRoot('package.json')]);
  const marker = inRoot('node_modules', '.package-lock.json');
  if (existsSync(marker)) {
    const stamp = readStamp('dependencies');
    if (stamp === lock) return;
    // Somebody ran `npm ci` by hand: npm writes the marker after it has installed what the lock says.
    const fresh = statSync(marker).mtimeMs >= statSync(inRoot('package-lock.json')).mtimeMs;
    if (stamp === undefined && fresh) {
      writeStamp('dependencies', lock);
      return;
    }
  }
  const start = performance.now();
  say('setup: installing the npm packages from package-lock.json (npm ci)');
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const cli = npmCli();
  const code = cli === undefined ? await run('npm', args) : await runNode(cli, args);
  if (code !== 0) {
    throw new SetupError(
      `npm ci ended with exit code ${code}; its message is above. It needs the npm registry or a warm npm cache.`,
    );
  }
  writeStamp('dependencies', lock);
  say(`setup: npm packages ready (${since(start)})`);
}

/** Refuses a machine without cargo, unless nothing will have to be built: before minutes went into packages. */
export function checkCargo() {
  if (process.env.STT_PREBUILT === '1') return;
  if (readStamp('native') === nativeInputs() && existsSync(addonInTs())) return;
  if (versionOf('cargo') !== undefined) return;
  const minimum = /^rust-version = "(.+)"$/m.exec(readFileSync(inRoot('Cargo.toml'), 'utf8'))?.[1];
  throw new SetupError(
    `cargo was not found. A checkout builds its native part itself, with Rust ${minimum} or newer.\n` +
      'Install it from https://rustup.rs (no root needed), open a new shell, then run this again.',
  );
}

const nativeInputs = () => {
  const skip = (path) => basename(path) === 'target' || basename(path) === 'stt-sim';
  return digest(
    ['crates', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', '.cargo'].map((p) => inRoot(p)),
    { skip, extra: [hostSuffix(), process.env.RUSTFLAGS ?? ''] },
  );
};

/** The addon for this host, built when a Rust source differs from what the present one was built from. */
export async function ensureNative() {
  if (process.env.STT_PREBUILT === '1') {
    if (existsSync(addonInTs())) return;
    throw new SetupError(`STT_PREBUILT=1 promises an addon, but there is no ${addonInTs()}.`);
  }
  const inputs = nativeInputs();
  if (readStamp('native') === inputs && existsSync(addonInTs())) return;
  const start = performance.now();
  say(
    'setup: building the native addon in release mode (cargo; the first time takes some minutes)',
  );
  await buildNative([]);
  writeStamp('native', inputs);
  say(`setup: native addon ready (${since(start)})`);
}

/**
 * `napi build` into a folder of its own, then every output is put in place by a rename: the addon may be
 * mapped into a running process, which a write in place would crash.
 * @param {readonly string[]} flags more flags for `napi build`, such as `--target`
 */
export async function buildNative(flags) {
  const output = join(stateDir, 'native');
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const code = await runNode(inRoot('node_modules', '@napi-rs', 'cli', 'dist', 'cli.js'), [
    'build',
    '--platform',
    '--release',
    ...['--manifest-path', 'crates/stt-node/Cargo.toml', '--package', 'stt-node'],
    ...['--package-json-path', 'package.json', '--output-dir', output],
    ...['--js', 'binding.cjs', '--dts', 'binding.d.cts', '--no-const-enum'],
    ...flags,
    ...['--', '--locked'],
  ]);
  if (code !== 0) {
    throw new SetupError(
      `the native build ended with exit code ${code}; cargo's message is above.\n` +
        'If it names a missing compiler or linker: Debian and Ubuntu have it in "build-essential", Alpine in\n' +
        '"build-base", macOS in "xcode-select --install", Windows in the Visual Studio C++ build tools.',
    );
  }
  const made = readdirSync(output).filter((name) => /^(binding\.|stt\..*\.node$)/.test(name));
  if (!made.some((name) => name.endsWith('.node'))) {
    throw new SetupError(`napi build ended well but left no addon in ${output}.`);
  }
  mkdirSync(inRoot('ts', 'native'), { recursive: true });
  for (const name of made) install(join(output, name), inRoot('ts', 'native', name));
}

function install(from, to) {
  if (!to.endsWith('.node')) {
    const content = readFileSync(from);
    // The generated sources are tracked files: an unchanged one keeps its time.
    if (existsSync(to) && content.equals(readFileSync(to))) return;
    writeFileAtomic(to, content);
    return;
  }
  const temporary = `${to}.${process.pid}.tmp`;
  copyFileSync(from, temporary);
  renameSync(temporary, to);
}

const tsInputs = () =>
  digest(
    ['ts', 'tsconfig.json', 'tsconfig.build.json', 'package.json', 'package-lock.json'].map((p) =>
      inRoot(p),
    ),
    { skip: (path) => path.endsWith('.node') },
  );

/** `dist/`, compiled when a TypeScript source differs, with the host's addon beside the compiled loader. */
export async function ensureTs() {
  const inputs = tsInputs();
  const entry = inRoot('dist', 'index.js');
  if (readStamp('ts') !== inputs || !existsSync(entry)) {
    const start = performance.now();
    say('setup: compiling TypeScript into dist/');
    await buildTs();
    writeStamp('ts', inputs);
    say(`setup: dist/ ready (${since(start)})`);
  }
  refreshAddonInDist();
}

/** Compiles into a fresh folder and swaps it in, so that no file of a deleted source stays in the package. */
export async function buildTs() {
  const fresh = inRoot('dist.new');
  rmSync(fresh, { recursive: true, force: true });
  const tsc = inRoot('node_modules', 'typescript', 'bin', 'tsc');
  const code = await runNode(tsc, ['-p', 'tsconfig.build.json', '--outDir', fresh]);
  if (code !== 0) throw new SetupError(`tsc ended with exit code ${code}; its message is above.`);
  mkdirSync(join(fresh, 'native'), { recursive: true });
  for (const name of ['binding.cjs', 'binding.d.cts']) {
    copyFileSync(inRoot('ts', 'native', name), join(fresh, 'native', name));
  }
  const cli = join(fresh, 'cli', 'main.js');
  if (existsSync(cli)) chmodSync(cli, 0o755);
  const old = inRoot('dist.old');
  rmSync(old, { recursive: true, force: true });
  if (existsSync(inRoot('dist'))) renameSync(inRoot('dist'), old);
  renameSync(fresh, inRoot('dist'));
  rmSync(old, { recursive: true, force: true });
  refreshAddonInDist();
}

function refreshAddonInDist() {
  const [from, to] = [addonInTs(), addonInDist()];
  if (!existsSync(from)) return;
  const [source, copy] = [statSync(from), statSync(to, { throwIfNoEntry: false })];
  if (copy !== undefined && copy.size === source.size && copy.mtimeMs >= source.mtimeMs) return;
  install(from, to);
  say(`setup: ${addonName()} copied into dist/native/`);
}
