import { access, constants, stat } from 'node:fs/promises';
import type { SttSession } from '../../index.ts';
import { SttEndpoint } from '../../index.ts';
import { ExitCode, exitCodeOf } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { loadSeed } from '../seed-file.ts';
import type { Received } from '../transfer/receive.ts';
import { receiveFile } from '../transfer/receive.ts';
import type { Collision } from '../transfer/target.ts';
import { formatRate, formatSize } from '../units.ts';

/** Options of `stt recv`, parsed. */
export interface RecvOptions {
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  readonly forever: boolean;
  readonly maxSize: number;
  readonly collision: Collision;
  readonly seedFile: string | undefined;
  readonly signal: AbortSignal;
}

/** How long a session may take to say goodbye once its file is there. */
const CLOSE_TIMEOUT_MS = 5_000;

/** Waits for one file, or with `--forever` for any number, each in a session of its own. */
export async function recv(options: RecvOptions, output: Output): Promise<void> {
  await checkFolder(options.folder);
  const sharedSeed = await loadSeed(options.seedFile);
  const endpoint = await SttEndpoint.create({ sharedSeed, host: options.host, port: options.port });
  const abort = (): void => endpoint.destroy();
  options.signal.addEventListener('abort', abort, { once: true });
  try {
    // Before it is announced: whoever reads the announcement may connect at once.
    const listener = endpoint.listen();
    const { address, port } = endpoint.address;
    const where = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    output.result(
      'listening',
      { address, port, nodeId: endpoint.nodeId, folder: options.folder },
      `listening on ${where}\nnode id ${endpoint.nodeId}`,
    );
    await (options.forever
      ? acceptForever(listener, options, output)
      : acceptOne(listener, options, output));
    options.signal.throwIfAborted();
  } catch (error) {
    // The endpoint was torn down by the signal; what that broke is not news.
    options.signal.throwIfAborted();
    throw error;
  } finally {
    options.signal.removeEventListener('abort', abort);
    await endpoint.close();
  }
}

async function checkFolder(folder: string): Promise<void> {
  const stats = await stat(folder);
  if (!stats.isDirectory())
    throw new CliError(
      ExitCode.LocalFile,
      `${folder} is not a folder.`,
      'name the folder that files shall go to.',
    );
  await access(folder, constants.W_OK);
}

async function acceptOne(
  sessions: AsyncIterable<SttSession>,
  options: RecvOptions,
  output: Output,
): Promise<void> {
  for await (const session of sessions) {
    await receiveOne(session, options, output);
    return;
  }
}

async function acceptForever(
  sessions: AsyncIterable<SttSession>,
  options: RecvOptions,
  output: Output,
): Promise<void> {
  const running = new Set<Promise<void>>();
  for await (const session of sessions) {
    const task = receiveOne(session, options, output)
      .catch((error: unknown) => {
        if (!options.signal.aborted) output.failure(error, exitCodeOf(error));
      })
      .finally(() => running.delete(task));
    running.add(task);
  }
  await Promise.all(running);
}

async function receiveOne(
  session: SttSession,
  options: RecvOptions,
  output: Output,
): Promise<void> {
  output.detail(`session ${session.id} with node ${session.peerNodeId}`);
  try {
    const received = await receiveFile(session, { ...options, output });
    report(received, session, output);
    await session.settled;
  } catch (error) {
    // A refusal is told on the stream; it must arrive before the session ends.
    await session.close({ timeout: CLOSE_TIMEOUT_MS }).catch(() => undefined);
    throw error;
  }
}

function report(received: Received, session: SttSession, output: Output): void {
  const { name, bytes, sha256, seconds } = received;
  const rate = seconds > 0 ? bytes / seconds : 0;
  output.result(
    'received',
    {
      name,
      bytes,
      sha256,
      verified: true,
      seconds,
      peerNodeId: session.peerNodeId,
      transport: session.transport,
    },
    `received ${name}: ${formatSize(bytes)} in ${seconds.toFixed(2)} s (${formatRate(rate)})\nsha256 ${sha256}`,
  );
}
