import { access, constants, mkdir, stat } from 'node:fs/promises';
import { ExitCode, systemCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { WebSocketPlace } from '../listening.ts';
import {
  endpointAt,
  LAST_WORDS_MS,
  listenerReady,
  listeningAt,
  webSocketOf,
} from '../listening.ts';
import { loadNodeSecret } from '../node-seed.ts';
import type { Output } from '../output.ts';
import { loadSeed } from '../seed-file.ts';
import type { Signals } from '../signals.ts';
import { sweepClaims } from '../transfer/claim.ts';
import type { Collision } from '../transfer/files.ts';
import { Inbox } from '../transfer/inbox.ts';
import { refuseLostStdout, StdoutPart } from '../transfer/stdout-part.ts';

/** Options of `stt recv`, parsed. */
export interface RecvOptions {
  /** Or `-` for stdout. */
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  readonly websocket: WebSocketPlace;
  readonly forever: boolean;
  readonly maxSize: number;
  readonly collision: Collision;
  /** Milliseconds that an unfinished transfer is waited for. */
  readonly resumeTimeout: number;
  /** Milliseconds that SIGTERM leaves to what is under way. */
  readonly drain: number;
  readonly seedFile: string | undefined;
  readonly nodeSeedFile: string | undefined;
  readonly signals: Signals;
}

/** Waits for one file or tree, or with `--forever` for any number. */
export async function recv(options: RecvOptions, output: Output): Promise<void> {
  const { folder, host, port, signals } = options;
  if (folder === '-') refuseLostStdout();
  const sink = folder === '-' ? new StdoutPart(process.stdout) : undefined;
  const sharedSeed = await loadSeed(options.seedFile);
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  if (sink === undefined) await openFolder(folder);
  // What senders that were killed have left: nobody else looks while none is started.
  if (secret.sending !== undefined) await sweepClaims(secret.sending);
  signals.drainFor(options.drain);
  const endpoint = await endpointAt({ host, port }, secret, { sharedSeed });
  const { ending, draining } = signals;
  const inbox = new Inbox({ ...options, output, sink });
  try {
    // Listening first: whoever reads the line below may call at once.
    const sessions = endpoint.listen(webSocketOf(options.websocket, endpoint));
    const stop = (): void => {
      sessions.close();
      inbox.drain(draining.reason);
    };
    const abort = (): void => {
      inbox.end(ending.reason);
      endpoint.close({ timeout: LAST_WORDS_MS }).catch(() => endpoint.destroy());
    };
    draining.addEventListener('abort', stop, { once: true });
    ending.addEventListener('abort', abort, { once: true });
    try {
      await listenerReady(sessions, options.websocket);
      const { facts, words } = listeningAt(endpoint, sessions);
      output.result('listening', { ...facts, folder }, `${words}\nnode id ${facts.nodeId}`);
      if (draining.aborted) stop();
      await inbox.serve(sessions);
    } finally {
      draining.removeEventListener('abort', stop);
      ending.removeEventListener('abort', abort);
    }
  } finally {
    await endpoint.close();
    await inbox.idle();
  }
}

/** A folder that is not there is made, if the one above it is: a typing error makes no chain of them. */
async function openFolder(folder: string): Promise<void> {
  const stats = await stat(folder).catch(async (error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    await mkdir(folder);
    return stat(folder);
  });
  if (!stats.isDirectory())
    throw new CliError(
      ExitCode.LocalFile,
      `${folder} is not a folder.`,
      'name the folder that files shall go to.',
    );
  await access(folder, constants.W_OK);
}
