import { SttEndpoint } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { loadSeed } from '../seed-file.ts';
import type { Sent } from '../transfer/send.ts';
import { openSource, sendFile } from '../transfer/send.ts';
import { formatRate, formatSize } from '../units.ts';

/** Options of `stt send`, parsed. */
export interface SendOptions {
  readonly file: string;
  /** `HOST`, `HOST:PORT` or `[IPV6]:PORT`. */
  readonly peer: string;
  /** 64 hex digits, or `any`. */
  readonly peerId: string;
  readonly name: string | undefined;
  /** Milliseconds for the whole command, or undefined for no limit. */
  readonly deadline: number | undefined;
  readonly connectTimeout: number;
  readonly transport: 'udp' | 'websocket' | 'auto';
  readonly seedFile: string | undefined;
  readonly signal: AbortSignal;
}

/** The port of `stt recv` unless another is said. */
export const DEFAULT_PORT = 7788;

/** Sends one file or all of stdin to the `stt recv` at `peer`. */
export async function send(options: SendOptions, output: Output): Promise<void> {
  const source = await openSource(options.file, options.name);
  try {
    const sharedSeed = await loadSeed(options.seedFile);
    const endpoint = await SttEndpoint.create({ sharedSeed });
    const deadline = new Deadline(options.deadline, options.signal);
    const abort = (): void => endpoint.destroy();
    deadline.signal.addEventListener('abort', abort, { once: true });
    try {
      const session = await endpoint.connect(withDefaultPort(options.peer), {
        peerNodeId: options.peerId,
        timeout: options.connectTimeout,
        transport: options.transport,
        signal: deadline.signal,
      });
      output.detail(
        `session ${session.id} with node ${session.peerNodeId} over ${session.transport}`,
      );
      const sent = await sendFile(session, source, output);
      await session.close();
      report(sent, session.peerNodeId, session.transport, output);
    } catch (error) {
      // A teardown by signal or deadline breaks whatever was under way; the cause is the news.
      deadline.signal.throwIfAborted();
      throw error;
    } finally {
      deadline.clear();
      deadline.signal.removeEventListener('abort', abort);
      await endpoint.close();
    }
  } finally {
    await source.close();
  }
}

/** Adds port 7788 to an address that names none. */
export function withDefaultPort(peer: string): string {
  if (peer.startsWith('stt://') || /^\[[^\]]+\]:\d+$/.test(peer) || /^[^:]+:\d+$/.test(peer))
    return peer;
  if (/^\[[^\]]+\]$/.test(peer) || !peer.includes(':')) return `${peer}:${DEFAULT_PORT}`;
  return `[${peer}]:${DEFAULT_PORT}`;
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
    this.#timer = setTimeout(() => {
      this.#controller.abort(
        new CliError(
          ExitCode.Interrupted,
          `the deadline of ${duration / 1_000} s passed before the file was there.`,
          'allow more time with --deadline.',
        ),
      );
    }, duration);
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

function report(sent: Sent, peerNodeId: string, transport: string, output: Output): void {
  const { name, bytes, sha256, seconds } = sent;
  const rate = seconds > 0 ? bytes / seconds : 0;
  output.result(
    'sent',
    { name, bytes, sha256, verified: true, seconds, peerNodeId, transport },
    `sent ${name}: ${formatSize(bytes)} in ${seconds.toFixed(2)} s (${formatRate(rate)})\nsha256 ${sha256}`,
  );
}
