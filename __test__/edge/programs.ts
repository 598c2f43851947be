import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where Debian has them, which is not in everybody's PATH. */
const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;

/**
 * Why a program's tests cannot run here; undefined if they can.
 *
 * @throws when they have to: with STT_REQUIRE_EDGE=1.
 */
export function missing(program: string): string | undefined {
  const { error } = spawnSync(program, ['-v'], { env: { ...process.env, PATH } });
  if (error === undefined) return undefined;
  const reason = `${program} is not installed here (apt-get install ${program})`;
  if (process.env.STT_REQUIRE_EDGE === '1') throw new Error(reason);
  console.warn(`skipped: ${reason}`);
  return reason;
}

/** The block of that language in docs/deployment.md, with what is of this machine put in; each has to be there. */
export function documented(language: string, changes: readonly (readonly [string, string])[]) {
  const page = readFileSync(new URL('../../docs/deployment.md', import.meta.url), 'utf8');
  let text = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(page)?.[1] ?? '';
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`docs/deployment.md does not have: ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** A program that runs in a folder of its own. */
export class Program {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'stt-edge-'));
  #child: ChildProcess | undefined;
  #said = '';

  /** Writes a file, and gives its path. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** Starts it in the foreground, and waits until it takes connections there. */
  async start(program: string, args: readonly string[], ports: readonly number[]): Promise<void> {
    const child = spawn(program, args, {
      cwd: this.folder,
      env: { ...process.env, PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#said += text;
      });
    }
    const gone = once(child, 'exit').then(() => {
      throw new Error(`${program} has ended: ${this.#said}`);
    });
    await Promise.race([gone, Promise.all(ports.map((port) => takes(port)))]);
    gone.catch(() => {});
  }

  /** Sends it a signal, such as SIGHUP to read its configuration again. */
  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Tries to connect until it works: 60 s at most. */
async function takes(port: number): Promise<void> {
  const until = performance.now() + 60_000;
  for (;;) {
    const socket = connectTcp(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    } finally {
      socket.destroy();
    }
  }
}
