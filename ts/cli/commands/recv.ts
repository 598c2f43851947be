import { access, constants, mkdir, stat } from 'node:fs/promises';
import { formatAddress } from '../../address.ts';
import type { ListenOptions, SttListener } from '../../index.ts';
import { SttEndpoint } from '../../index.ts';
import { ExitCode, systemCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import { loadNodeSecret } from '../node-seed.ts';
import type { Output } from '../output.ts';
import { loadSeed } from '../seed-file.ts';
import type { Signals } from '../signals.ts';
import { sweepClaims } from '../transfer/claim.ts';
import type { Collision } from '../transfer/files.ts';
import { Inbox } from '../transfer/inbox.ts';
import { StdoutPart } from '../transfer/stdout-part.ts';

/** Options of `stt recv`, parsed. */
export interface RecvOptions {
  /** Or `-` for stdout. */
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  /** Where to take WebSockets as well: a host and a port, or, for `true`, those of UDP. */
  readonly websocket: { readonly host: string; readonly port: number } | boolean;
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

/** How long a receipt may take to leave when the command is cut short. */
const LAST_WORDS_MS = 500;

/** Waits for one file or tree, or with `--forever` for any number. */
export async function recv(options: RecvOptions, output: Output): Promise<void> {
  const { folder, host, port, signals } = options;
  const sink = folder === '-' ? new StdoutPart(process.stdout) : undefined;
  const sharedSeed = await loadSeed(options.seedFile);
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  if (sink === undefined) await openFolder(folder);
  // What senders that were killed have left: nobody else looks while none is started.
  if (secret.sending !== undefined) await sweepClaims(secret.sending);
  signals.drainFor(options.drain);
  // One port, one node: two processes cannot have the same. A port that nobody chose is not come back to.
  const nodeSeed = port === 0 ? undefined : secret.listenerSeed(host, port);
  const endpoint = await SttEndpoint.create({
    sharedSeed,
    host,
    port,
    ...(nodeSeed === undefined ? {} : { nodeSeed }),
  });
  const { ending, draining } = signals;
  const inbox = new Inbox({ ...options, output, sink });
  try {
    // Listening first: whoever reads the line below may call at once.
    const sessions = endpoint.listen(webSocketOf(options, endpoint));
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
      await sessions.ready;
      announce(endpoint, sessions, folder, output);
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

/** The TCP port is that of UDP unless another is said: one number to tell others. */
function webSocketOf({ websocket }: RecvOptions, endpoint: SttEndpoint): ListenOptions {
  if (websocket === false) return {};
  return { websocket: websocket === true ? { port: endpoint.address.port } : { ...websocket } };
}

function announce(
  endpoint: SttEndpoint,
  { websocketAddress }: SttListener,
  folder: string,
  output: Output,
): void {
  const { nodeId } = endpoint;
  const { address, port } = endpoint.address;
  const tcp =
    websocketAddress === undefined ? '' : `, for WebSockets on ${formatAddress(websocketAddress)}`;
  output.result(
    'listening',
    { address, port, websocketPort: websocketAddress?.port ?? null, nodeId, folder },
    `listening on ${formatAddress({ address, port })}${tcp}\nnode id ${nodeId}`,
  );
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
