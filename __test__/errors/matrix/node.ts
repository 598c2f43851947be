// The matrix's end of a node in a process of its own, which can be stopped, killed, or put elsewhere.

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ConnectOptions, EndpointOptions, ListenOptions, LogRecord } from '@seigr/stt';
import type { Context, Report } from './context.ts';

const PROGRAM = fileURLToPath(new URL('./processes/node.mjs', import.meta.url));
const ANSWER_LIMIT = 90_000;

/** A failure that the node's API gave, as it reported it. */
export class NodeError extends Error {
  readonly report: Report;
  constructor(report: Report) {
    super(`${report.codeName}: ${report.message}`);
    this.report = report;
  }
}

/** An endpoint within a node. */
export interface NodeEndpoint {
  readonly endpoint: string;
  readonly port: number;
  readonly nodeId: string;
}

export interface NodeOptions {
  /** What stands before the command, as `ip netns exec NAME`. */
  readonly within?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** Options that a message can carry. */
type Plain<Options> = { [Name in keyof Options]: Options[Name] };

/** What a node tells unasked. */
type Told =
  | { readonly event: 'error'; readonly how: string; readonly report: Report }
  | { readonly event: 'log'; readonly record: LogRecord }
  | { readonly event?: undefined };

export class NodeProcess {
  readonly side: string;
  /** What its logger has written, once it was told to log. */
  readonly logged: LogRecord[] = [];
  readonly #child: ChildProcess;
  readonly #context: Context;
  #calls = 0;

  /** Starts one; it is killed with the row, stopped or not. */
  constructor(context: Context, side: string, { within = [], environment = {} }: NodeOptions = {}) {
    const [command, ...argv] = [...within, process.execPath, PROGRAM];
    this.side = side;
    this.#context = context;
    this.#child = spawn(command as string, argv, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
      env: { ...process.env, ...environment },
    });
    this.#child.on('message', (sent: Told) => {
      if (sent.event === 'error') context.note(side, sent.how, sent.report);
      else if (sent.event === 'log') this.logged.push(sent.record);
    });
    context.defer(() => this.kill());
    processes.add(this.#child);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** `kill -9`, and its end. */
  async kill(): Promise<void> {
    processes.delete(this.#child);
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    // A stopped process ends by this signal as any other does.
    this.#child.kill('SIGKILL');
    await ended;
  }

  create(options: Plain<EndpointOptions>): Promise<NodeEndpoint> {
    this.#context.keepSecret(options as Partial<EndpointOptions>);
    return this.call('create', options);
  }

  /** Echoes; resolves with the TCP port for WebSockets, where it takes them. */
  serve(
    endpoint: NodeEndpoint,
    options: Pick<ListenOptions, 'maxSessions' | 'websocket'> = {},
  ): Promise<{ readonly port?: number }> {
    return this.call('serve', { ...endpoint, options });
  }

  /** Connects, and resolves with the session's key. */
  async connect(
    { endpoint }: NodeEndpoint,
    address: string,
    options: Plain<ConnectOptions>,
  ): Promise<string> {
    const { session } = await this.call<{ session: string }>('connect', {
      endpoint,
      address,
      options,
    });
    return session;
  }

  /** As {@link connect}, where it is to fail: notes the error of this side. */
  async tryConnect(
    from: NodeEndpoint,
    address: string,
    options: ConnectOptions,
    how = 'connect',
  ): Promise<void> {
    try {
      await this.connect(from, address, options);
    } catch (error) {
      if (!(error instanceof NodeError)) throw error;
      this.#context.note(this.side, how, error.report);
    }
  }

  /** Sends bytes there and back through a session. */
  exchange(session: string, bytes?: number): Promise<{ bytes: number }> {
    return this.call('exchange', { session, bytes });
  }

  async call<T>(operation: string, argument: unknown): Promise<T> {
    this.#calls += 1;
    const id = this.#calls;
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => settle(() => reject(new Error(`${operation}: ${why}`)));
      const timer = setTimeout(() => fail(`no answer in ${ANSWER_LIMIT} ms`), ANSWER_LIMIT);
      const onExit = (): void => fail('the node ended');
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        this.#child.off('message', onMessage);
        this.#child.off('exit', onExit);
        act();
      };
      const onMessage = (sent: { id?: number; value: T; error?: Report }): void => {
        const { error, value } = sent;
        if (sent.id !== id) return;
        settle(() => (error === undefined ? resolve(value) : reject(new NodeError(error))));
      };
      this.#child.on('message', onMessage);
      this.#child.once('exit', onExit);
      this.#child.send({ id, operation, argument });
    });
  }
}

/** Those that live: whatever ends the run must not leave a stopped one behind. */
const processes = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of processes) child.kill('SIGKILL');
});
