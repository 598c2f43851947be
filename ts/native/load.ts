import { createRequire } from 'node:module';
import type * as Binding from './binding.cjs';

/** The generated binding of the addon. */
export type NativeBinding = typeof Binding;

/** The addon could not be loaded. */
export class NativeLoadError extends Error {
  override readonly name = 'NativeLoadError';
  /** Always this, for programs. */
  readonly code = 'ERR_STT_NATIVE';
  /** The file that this platform needs. */
  readonly file: string;
  /** The platform, as npm names it. */
  readonly platform: string;

  constructor(file: string, platform: string, cause: unknown) {
    super(
      `The native part of @seigr/stt could not be loaded on ${platform}.\n` +
        `Looked for: ${file}\n` +
        `Error: ${reasons(cause)}\n` +
        `Try: "npm install" again without --omit=optional, so that it fetches @seigr/stt-${platform}; ` +
        'in a checkout run "npm run build:native" (needs Rust). ' +
        'If this platform has no prebuilt package, build it from source.',
      { cause: attempts(cause)[0] ?? cause },
    );
    this.file = file;
    this.platform = platform;
  }
}

let loaded: NativeBinding | undefined;

/**
 * The addon, loaded at the first call.
 * @throws {NativeLoadError} naming the file, the error, the platform, and what to do
 */
export function loadBinding(): NativeBinding {
  if (loaded !== undefined) return loaded;
  try {
    const require = createRequire(import.meta.url);
    loaded = require('./binding.cjs') as NativeBinding;
    return loaded;
  } catch (error) {
    const platform = platformName();
    const file =
      process.env.NAPI_RS_NATIVE_LIBRARY_PATH ??
      `stt.${platform}.node beside ${new URL('./binding.cjs', import.meta.url).pathname}, or in the package @seigr/stt-${platform}`;
    throw new NativeLoadError(file, platform, error);
  }
}

/** The platform's name in the names of packages and files. */
function platformName(): string {
  const { platform, arch } = process;
  if (platform === 'win32') return `win32-${arch}-msvc`;
  if (platform !== 'linux') return `${platform}-${arch}`;
  return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`;
}

function isMusl(): boolean {
  const report = process.report?.getReport() as
    | { header?: { glibcVersionRuntime?: string } }
    | undefined;
  return report?.header?.glibcVersionRuntime === undefined;
}

/** What was tried and failed, the last try first. */
function attempts(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let at = error; at instanceof Error && chain.length < 16; at = at.cause) chain.push(at);
  // The generated loader wraps them in a guess at npm, and tries a WebAssembly build that there is not.
  const [wrapper, ...tried] = chain;
  const own = tried.filter(({ message }) => !/wasi|wasm/.test(message.split('\n', 1)[0] ?? ''));
  return own.length > 0 || wrapper === undefined ? own : [wrapper];
}

/** What each of them said. */
function reasons(error: unknown): string {
  const messages = attempts(error).map(({ message }) => message.split('\n', 1)[0]);
  return messages.length > 0 ? [...new Set(messages)].join(' <- ') : String(error);
}
