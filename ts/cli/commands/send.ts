import { mkdir, stat, unlink } from 'node:fs/promises';
import { isSttError, SttEndpoint } from '../../index.ts';
import { ExitCode, exitCodeOf } from '../exit-codes.ts';
import { CliError, ResumableError } from '../failure.ts';
import { LAST_WORDS_MS } from '../listening.ts';
import type { NodeSecret } from '../node-seed.ts';
import { loadNodeSecret } from '../node-seed.ts';
import type { Output } from '../output.ts';
import type { ResolvedPeer } from '../peers/resolve.ts';
import { lookupFor, resolvePeer } from '../peers/resolve.ts';
import { loadSeed } from '../seed-file.ts';
import type { Signals } from '../signals.ts';
import type { Cargo, Stand } from '../transfer/cargo.ts';
import { FileCargo, TreeCargo } from '../transfer/cargo.ts';
import { ClaimBusyError, claim, forget, sweepClaims } from '../transfer/claim.ts';
import { openSource } from '../transfer/source.ts';
import { scan } from '../transfer/tree/scan.ts';
import { formatDuration, formatSize } from '../units.ts';

/** Options of `stt send`, parsed. */
export interface SendOptions {
  /** Files and folders, or `-`. */
  readonly paths: readonly string[];
  /** `HOST`, `HOST:PORT` or `[IPV6]:PORT`. */
  readonly peer: string;
  /** 64 hex digits, `any`, or undefined for the pin of a peer that has a name, else `any`. */
  readonly peerId: string | undefined;
  readonly name: string | undefined;
  /** Milliseconds for the whole command, or undefined for no limit. */
  readonly deadline: number | undefined;
  readonly resume: boolean;
  /** Milliseconds that a transfer may stand still after a break. */
  readonly resumeTimeout: number;
  /** Milliseconds that SIGTERM leaves. */
  readonly drain: number;
  readonly connectTimeout: number;
  readonly transport: 'udp' | 'websocket' | 'auto';
  readonly seedFile: string | undefined;
  readonly nodeSeedFile: string | undefined;
  readonly signals: Signals;
}

/** Sends files and folders, or all of stdin, to the `stt recv` at `peer`. */
export async function send(options: SendOptions, output: Output): Promise<void> {
  const cargo = await load(options, output);
  try {
    const sharedSeed = await loadSeed(options.seedFile);
    const secret = await loadNodeSecret(options.nodeSeedFile, output);
    options.signals.drainFor(options.drain);
    const to = await resolvePeer(options.peer, options.peerId);
    output.calls(to);
    const role = cargo.role && ['send', ...cargo.role, to.address];
    const release = await takeTurn(secret, role);
    try {
      const endpoint = await SttEndpoint.create({
        sharedSeed,
        ...lookupFor(to),
        ...(role === undefined ? {} : { nodeSeed: secret.seedFor(...role) }),
      });
      await sendFrom(endpoint, cargo, secret, { ...options, to }, output);
    } finally {
      await release();
    }
  } finally {
    await cargo.close();
  }
}

/** Looks at what is to be sent, before anybody is called. */
async function load(options: SendOptions, output: Output): Promise<Cargo> {
  const { paths, name } = options;
  const [first] = paths;
  if (paths.length > 1 && (name !== undefined || paths.includes('-'))) {
    throw new CliError(
      ExitCode.Usage,
      name === undefined ? 'stdin cannot be sent beside files.' : 'one --name for several paths.',
      'send one path, or leave that out.',
    );
  }
  const folder = first !== '-' && (await stat(first as string)).isDirectory();
  if (paths.length > 1 || folder) return new TreeCargo(await scan(paths, name, output));
  return new FileCargo(await openSource(first as string, name));
}

async function sendFrom(
  endpoint: SttEndpoint,
  cargo: Cargo,
  secret: NodeSecret,
  options: SendOptions & { readonly to: ResolvedPeer },
  output: Output,
): Promise<void> {
  const deadline = new Deadline(options.deadline, options.signals.ending);
  const { signal } = deadline;
  const abort = (): void => {
    endpoint.close({ timeout: LAST_WORDS_MS }).catch(() => endpoint.destroy());
    // A pipe or a terminal may have nothing to read for ever.
    void cargo.close();
  };
  signal.addEventListener('abort', abort, { once: true });
  const transfer = cargo.role === undefined ? null : secret.name('transfer', ...cargo.role);
  try {
    await cargo.deliver(endpoint, transfer, options, signal, output);
  } catch (error) {
    // A teardown by signal or deadline breaks whatever was under way; the cause is the news.
    throw withResumption(signal.aborted ? signal.reason : error, cargo.stand, options.resume);
  } finally {
    deadline.clear();
    signal.removeEventListener('abort', abort);
    await endpoint.close();
  }
}

/**
 * Makes sure that one process alone sends this file to this peer: they would have one node id, and take the
 * transfer from each other.
 */
async function takeTurn(
  secret: NodeSecret,
  role: readonly string[] | undefined,
): Promise<() => Promise<void>> {
  const folder = secret.sending;
  if (folder === undefined || role === undefined) return async () => undefined;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await sweepClaims(folder);
  try {
    const { path } = await claim(folder, secret.name(...role));
    return async () => {
      await unlink(path).catch(() => undefined);
      forget(path);
    };
  } catch (error) {
    if (!(error instanceof ClaimBusyError)) throw error;
    throw new CliError(
      ExitCode.LocalResource,
      `this file is on its way there already: process ${error.owner.pid} sends it.`,
      'wait for that one, or end it first.',
      { cause: error },
    );
  }
}

/** Says how to go on, where that is possible. */
function withResumption(error: unknown, stand: Stand, resume: boolean): unknown {
  if (!stand.met) return error;
  const exitCode = exitCodeOf(error);
  const lost =
    exitCode === ExitCode.Unreachable ||
    (exitCode === ExitCode.Interrupted && !(error instanceof CliError));
  const ended = exitCode === ExitCode.Interrupt || exitCode === ExitCode.Terminate;
  const late = error instanceof DeadlineError;
  if (!lost && !ended && !late) return error;
  // What a living peer does to the stream of an offer is its answer, and says by itself what to do.
  if (!stand.begun && isSttError(error) && error.category === 'stream') return error;
  const code = lost ? ExitCode.Interrupted : exitCode;
  if (!stand.readable) {
    const hint = 'a pipe cannot be read twice: run all of it again, or send a file, which resumes.';
    return new ResumableError(code, error, hint);
  }
  if (!stand.begun) {
    const hint = `the receiver had not answered yet; to go on: ${commandLine()}`;
    return new ResumableError(code, error, hint);
  }
  const done = stand.size === null ? '' : ` of ${formatSize(stand.size)}`;
  const sent = `${formatSize(stand.position)}${done} were sent`;
  const hint = resume ? 'to go on from there:' : 'to begin again:';
  return new ResumableError(code, error, `${sent}; ${hint} ${commandLine()}`);
}

/** The command as it was typed, near enough to be typed again. */
function commandLine(): string {
  const word = (text: string): string =>
    /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
  return ['stt', ...process.argv.slice(2).map(word)].join(' ');
}

/** `--deadline` passed. */
class DeadlineError extends CliError {
  constructor(duration: number) {
    super(
      ExitCode.Interrupted,
      `the deadline of ${formatDuration(duration)} passed before the file was there.`,
      'allow more time with --deadline.',
    );
  }
}

/** One signal for `--deadline` and for Ctrl-C; it keeps no process alive. */
class Deadline {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #outer: AbortSignal;
  readonly #forward = (): void => this.#controller.abort(this.#outer.reason);

  constructor(duration: number | undefined, outer: AbortSignal) {
    this.#outer = outer;
    outer.addEventListener('abort', this.#forward, { once: true });
    if (outer.aborted) this.#forward();
    if (duration === undefined) return;
    this.#timer = setTimeout(() => this.#controller.abort(new DeadlineError(duration)), duration);
    this.#timer.unref();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#forward);
  }
}
