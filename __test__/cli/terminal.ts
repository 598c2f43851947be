import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import headless from '@xterm/headless';
import { onTestFinished } from 'vitest';
import { MAIN, STATE, within } from './stt.ts';

const COLUMNS = 100;
const ROWS = 40;

/**
 * `stt` in a pseudo-terminal of its own, made by util-linux's `script`; what it writes goes through the
 * emulator of xterm.js, so a test sees what a person would: after colours, bars drawn anew and lines wiped.
 */
export class Terminal {
  readonly child: ChildProcess;
  readonly #emulator = new headless.Terminal({
    cols: COLUMNS,
    rows: ROWS,
    scrollback: 10_000,
    allowProposedApi: true,
  });
  readonly #watchers = new Set<() => void>();
  readonly #ended: Promise<number | null>;
  #over = false;
  #raw = '';

  /** `wrapper`: a command that runs the terminal, in a network namespace for one. */
  constructor(
    args: readonly string[],
    options: {
      env?: NodeJS.ProcessEnv;
      cwd?: string;
      wrapper?: readonly string[];
      columns?: number;
    } = {},
  ) {
    const command = [process.execPath, MAIN, ...args].map(quoted).join(' ');
    // A terminal that nobody looks at has no size. `exec`, so that keys that stand for signals reach stt alone.
    const { columns = COLUMNS } = options;
    this.#emulator.resize(columns, ROWS);
    const line = `stty cols ${columns} rows ${ROWS}; exec ${command}`;
    const [program = 'script', ...rest] = [
      ...(options.wrapper ?? []),
      ...['script', '-qfec', line, '/dev/null'],
    ];
    this.child = spawn(program, rest, {
      // `script` runs the line by $SHELL.
      env: {
        ...process.env,
        XDG_STATE_HOME: STATE,
        TERM: 'xterm-256color',
        SHELL: '/bin/sh',
        ...options.env,
      },
      cwd: options.cwd,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.child.stdin?.on('error', () => undefined);
    this.child.stdout?.on('data', (bytes: Buffer) => {
      this.#raw += bytes.toString('latin1');
      // The emulator says when the screen shows it.
      this.#emulator.write(bytes, () => this.#look());
    });
    this.#ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code) =>
        this.#emulator.write('', () => {
          this.#over = true;
          resolve(code);
          this.#look();
        }),
      );
    });
    onTestFinished(() => {
      this.child.kill('SIGKILL');
      this.#emulator.dispose();
    });
  }

  /** Every line that stands there, those above the screen too, without the empty ones at the end. */
  get screen(): string {
    const { active } = this.#emulator.buffer;
    const lines: string[] = [];
    for (let row = 0; row < active.length; row += 1) {
      const line = active.getLine(row);
      const text = line?.translateToString(true) ?? '';
      // A long line that went on in the next row is still one line.
      if (line?.isWrapped) lines[lines.length - 1] += text;
      else lines.push(text);
    }
    return lines.join('\n').trimEnd();
  }

  /** The bytes as they came, one character each: for what the emulator has swallowed, as colours. */
  get raw(): string {
    return this.#raw;
  }

  /** Sends a signal to the command, which runs in a child of the terminal's. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const args = ['-o', 'pid=', '--ppid', String(this.child.pid)];
    const { stdout } = await promisify(execFile)('ps', args);
    process.kill(Number(stdout), signal);
  }

  /** Types keys: `\r` is Enter, `\x03` Ctrl-C. */
  type(keys: string): void {
    this.child.stdin?.write(keys);
  }

  /** Once the screen shows it. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    const seen = new Promise<RegExpExecArray>((resolve, reject) => {
      const watch = (): void => {
        const found = pattern.exec(this.screen);
        if (found !== null) resolve(found);
        else if (this.#over) reject(new Error('it ended before'));
        else return;
        this.#watchers.delete(watch);
      };
      this.#watchers.add(watch);
      watch();
    });
    return within(seen, `the terminal to show ${pattern}`).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}; it shows:\n${this.screen}`, { cause: error });
    });
  }

  /** Its exit code, once it has ended; one that a signal ended has 128 and the number of it. */
  end(): Promise<number | null> {
    return within(this.#ended, 'the command in the terminal to end');
  }

  #look(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
