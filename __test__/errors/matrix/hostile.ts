// The hostile peer: a Rust program that holds the seed and breaks the rules (crates/stt-hostile).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Context } from './context.ts';
import { HOSTILE } from './needs.ts';

export type HostileMode =
  | 'ignore-credit'
  | 'impossible-frame'
  | 'unknown-frame'
  | 'forge'
  | 'wrong-proof-path-id'
  | 'refuse-proof';

/** What it tells: a line of JSON each. */
export interface HostileEvent {
  readonly event: 'listening' | 'final' | 'attacked' | 'closed' | 'refused' | 'failed';
  readonly port?: number;
  readonly nodeId?: string;
  readonly status?: number;
  readonly subcode?: number;
  readonly code?: number;
  readonly message?: string;
}

/** A running attack. */
export interface Attack {
  /** Resolves with the first event of that kind; rejects when the program ends before. */
  event(kind: HostileEvent['event'], limitMs?: number): Promise<HostileEvent>;
  /** Resolves when the program has ended. */
  readonly ended: Promise<unknown>;
}

/** The command that the matrix shows. */
export function command(mode: HostileMode, count?: number): string {
  const counted = count === undefined ? '' : ` --count ${count}`;
  return `stt-hostile ${mode} --port PORT --seed SEED${counted}`;
}

/** Starts it; it ends with the row. */
export function attack(
  context: Context,
  mode: HostileMode,
  options: { readonly port?: number; readonly count?: number; readonly seconds?: number } = {},
): Attack {
  const { port = 0, count = 1, seconds = 90 } = options;
  const seed = Buffer.from(context.network.sharedSeed).toString('hex');
  const argv = [mode, '--port', port, '--seed', '-', '--count', count, '--seconds', seconds];
  const child = spawn(HOSTILE, argv.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  // Every user of the machine sees the command line.
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${seed}\n`);
  const events: HostileEvent[] = [];
  const watchers = new Set<() => void>();
  createInterface(child.stdout).on('line', (line) => {
    const event = JSON.parse(line) as HostileEvent;
    events.push(event);
    // What a side says on the wire that is no endpoint of this package.
    if (event.event === 'closed' || (event.event === 'final' && event.status !== 0)) {
      context.note('hostile', event.event, {
        code: event.code ?? event.status ?? 0,
        codeName: event.event === 'closed' ? 'SESSION_CLOSE' : 'FINAL',
        ...(event.subcode === undefined ? {} : { subcode: event.subcode }),
        message: event.message ?? '',
      });
    }
    for (const watcher of watchers) watcher();
  });
  const ended = once(child, 'exit');
  context.defer(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    ended,
    event: (kind, limitMs = 60_000) =>
      new Promise((resolve, reject) => {
        const settle = (act: () => void): void => {
          clearTimeout(timer);
          watchers.delete(look);
          act();
        };
        const look = (): void => {
          const found = events.find(({ event }) => event === kind);
          const failed = events.find(({ event }) => event === 'failed');
          if (found !== undefined) settle(() => resolve(found));
          else if (failed !== undefined) settle(() => reject(new Error(failed.message)));
        };
        const timer = setTimeout(
          () => settle(() => reject(new Error(`the hostile peer: no "${kind}"`))),
          limitMs,
        );
        watchers.add(look);
        look();
      }),
  };
}
