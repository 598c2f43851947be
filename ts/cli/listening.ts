import { formatAddress } from '../address.ts';
import type { EndpointOptions, ListenOptions, SttListener } from '../index.ts';
import { isSttError, SttEndpoint } from '../index.ts';
import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';
import type { NodeSecret } from './node-seed.ts';

/** How long the end of a session may take to reach the peer when a command is over, or is cut short: milliseconds. */
export const LAST_WORDS_MS = 500;

/** Where a command listens, parsed. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Where to take WebSockets as well: a host and a port, or, for `true`, those of UDP. */
export type WebSocketPlace = Place | boolean;

/**
 * An endpoint at a place. One port, one node: two processes cannot have the same. A port that nobody chose is not come back to.
 *
 * @throws a {@link CliError} for a host of this machine's own that has no address, which no later try would mend.
 */
export async function endpointAt(
  { host, port }: Place,
  secret: NodeSecret,
  options: EndpointOptions,
): Promise<SttEndpoint> {
  const nodeSeed = port === 0 ? undefined : secret.listenerSeed(host, port);
  const created = SttEndpoint.create({
    ...options,
    host,
    port,
    ...(nodeSeed === undefined ? {} : { nodeSeed }),
  });
  return created.catch((error: unknown) => {
    throw isSttError(error, 'NETWORK_UNREACHABLE') ? noAddress(host, error) : error;
  });
}

/** Waits until TCP listens at a place, for WebSockets or for what a tunnel carries; what the system says of a host without an address is told. */
export async function tcpReady(host: string | undefined, ready: Promise<unknown>): Promise<void> {
  try {
    await ready;
  } catch (error) {
    throw host !== undefined && isOfResolver(error) ? noAddress(host, error) : error;
  }
}

/** The resolver's codes (`ENOTFOUND`, `EAI_AGAIN`) say nothing of whose name it is; that it was asked does. */
function isOfResolver(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'getaddrinfo';
}

function noAddress(host: string, cause: unknown): CliError {
  return new CliError(
    ExitCode.LocalResource,
    `there is no address to listen on by the name ${JSON.stringify(host)}.`,
    'name an address of this machine, or leave the host out.',
    { cause },
  );
}

/**
 * The TCP port is that of UDP unless another is said: one number to tell others. All peers behind a proxy count as one, and
 * no command has an option that could change it.
 */
export function webSocketOf(place: WebSocketPlace, endpoint: SttEndpoint): ListenOptions {
  if (place === false) return {};
  const at = place === true ? { port: endpoint.address.port } : place;
  return { websocket: { ...at, trustProxy: false } };
}

/** Waits until a listener takes sessions, by WebSockets as well where it was asked to. */
export async function listenerReady(listener: SttListener, place: WebSocketPlace): Promise<void> {
  await tcpReady(typeof place === 'boolean' ? undefined : place.host, listener.ready);
}

/** Where it listens, for a program, and in words. */
export function listeningAt(
  endpoint: SttEndpoint,
  { websocketAddress }: SttListener,
): {
  readonly facts: {
    readonly address: string;
    readonly port: number;
    readonly websocketPort: number | null;
    readonly nodeId: string;
  };
  readonly words: string;
} {
  const { address, port } = endpoint.address;
  const tcp =
    websocketAddress === undefined ? '' : `, for WebSockets on ${formatAddress(websocketAddress)}`;
  return {
    facts: {
      address,
      port,
      websocketPort: websocketAddress?.port ?? null,
      nodeId: endpoint.nodeId,
    },
    words: `listening on ${formatAddress({ address, port })}${tcp}`,
  };
}
