import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { closedPort } from '@seigr/stt/testing';
import { afterAll, onTestFinished } from 'vitest';
import { problemsOf } from './schema.ts';

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Where all of them keep what lasts, so that no test touches the user's. */
export const STATE = mkdtempSync(join(tmpdir(), 'stt-cli-state-'));
// Not as the process exits: workers are killed.
afterAll(() => rmSync(STATE, { recursive: true, force: true }));

/** Longest that any single step of a test waits; generous, because the machines are shared, and less than a test has. */
export const STEP_MS = 60_000;

export type JsonRecord = Record<string, unknown> & { event: string };

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly records: readonly JsonRecord[];
}

/** A running `stt`, killed when the test ends. */
export class Stt {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  readonly #records: JsonRecord[] = [];
  readonly #watchers = new Set<() => void>();
  #stderr = '';
  /** What the schema has against lines of `--json`. */
  readonly #problems: string[] = [];

  constructor(
    args: readonly string[],
    options: {
      env?: NodeJS.ProcessEnv;
      input?: string;
      cwd?: string;
      wrapper?: readonly string[];
    } = {},
  ) {
    const env = { ...process.env, XDG_STATE_HOME: STATE, ...options.env };
    const [command = process.execPath, ...rest] = [
      ...(options.wrapper ?? []),
      process.execPath,
      MAIN,
      ...args,
    ];
    this.child = spawn(command, rest, { env, cwd: options.cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    // A command that fails early does not read its input; that is its business.
    this.child.stdin?.on('error', () => undefined).end(options.input ?? '');
    let stdout = '';
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      for (const watcher of this.#watchers) watcher();
    });
    const lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream });
    lines.on('line', (line) => {
      stdout += `${line}\n`;
      if (line.startsWith('{')) this.#take(JSON.parse(line) as JsonRecord);
      for (const watcher of this.#watchers) watcher();
    });
    this.finished = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (status, signal) => {
        if (this.#problems.length > 0) reject(new Error(this.#problems.join('\n')));
        // As a shell counts: what a signal ends has 128 and its number.
        const code = signal === null ? status : 128 + constants.signals[signal];
        resolve({ code, stdout, stderr: this.#stderr, records: this.#records });
        for (const watcher of this.#watchers) watcher();
      });
    });
    onTestFinished(() => void this.child.kill('SIGKILL'));
  }

  #take(record: JsonRecord): void {
    this.#records.push(record);
    this.#problems.push(...problemsOf(record));
  }

  /** The first record that satisfies `wanted`. */
  record(wanted: (record: JsonRecord) => boolean): Promise<JsonRecord> {
    return this.#until(() => this.#records.find(wanted), 'a record of stt');
  }

  /** What it says to a person, once it has said so. */
  async said(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#until(
      () => pattern.exec(this.#stderr) ?? undefined,
      `stt to say ${pattern}`,
    ).catch((error: unknown) => {
      throw new Error(`what stt said: ${this.#stderr}`, { cause: error });
    });
  }

  async #until<T>(look: () => T | undefined, what: string): Promise<T> {
    return within(
      new Promise<T>((resolve, reject) => {
        const watch = (): void => {
          const found = look();
          if (found !== undefined) resolve(found);
          else if (this.child.exitCode !== null)
            void this.finished.then(({ stderr }) => reject(new Error(`ended before: ${stderr}`)));
          else return;
          this.#watchers.delete(watch);
        };
        this.#watchers.add(watch);
        watch();
      }),
      what,
    );
  }

  async end(): Promise<Finished> {
    return within(this.finished, 'stt to end');
  }
}

/** Runs `stt` to its end. */
export function stt(
  args: readonly string[],
  options: ConstructorParameters<typeof Stt>[1] = {},
): Promise<Finished> {
  return new Stt(args, options).end();
}

/** A folder that goes with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'stt-cli-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A seed file as `stt keygen` writes it. */
export async function seedFile(folder: string, name = 'seed'): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  return path;
}

/** A receiver that listens; its port and node id. */
export async function startRecv(
  folder: string,
  seed: string,
  ...more: string[]
): Promise<{ recv: Stt; port: number; nodeId: string }> {
  // One that is also wanted by TCP must be free there.
  const wanted = more.includes('--websocket') ? await closedPort() : 0;
  const recv = new Stt([
    'recv',
    folder,
    '--listen',
    `127.0.0.1:${wanted}`,
    '--seed-file',
    seed,
    '--json',
    ...more,
  ]);
  const { port, nodeId } = await recv.record(({ event }) => event === 'listening');
  return { recv, port: port as number, nodeId: nodeId as string };
}

export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${STEP_MS} ms for ${what}`)), STEP_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
