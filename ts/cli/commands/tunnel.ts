import type { Server } from 'node:net';
import { createServer } from 'node:net';
import { SttEndpoint } from '../../index.ts';
import type { Place, WebSocketPlace } from '../listening.ts';
import {
  endpointAt,
  LAST_WORDS_MS,
  listenerReady,
  listeningAt,
  tcpReady,
  webSocketOf,
} from '../listening.ts';
import { loadNodeSecret } from '../node-seed.ts';
import type { Output } from '../output.ts';
import { lookupFor, resolvePeer } from '../peers/resolve.ts';
import { loadSeed } from '../seed-file.ts';
import type { Signals } from '../signals.ts';
import type { AllowRule } from '../tunnel/allow-list.ts';
import { showRule } from '../tunnel/allow-list.ts';
import { Far } from '../tunnel/far.ts';
import { Link } from '../tunnel/link.ts';
import { Near } from '../tunnel/near.ts';
import type { Forward } from '../tunnel/target.ts';
import { show } from '../tunnel/target.ts';

/** What both sides of a tunnel have, parsed. */
export interface TunnelOptions {
  readonly maxConnections: number;
  /** Milliseconds that the other side may be silent before the session, and its connections, are given up. */
  readonly outage: number;
  /** Milliseconds that SIGTERM leaves to connections. */
  readonly drain: number;
  /** Milliseconds: the near side's for a session, the far side's for a target. */
  readonly connectTimeout: number;
  readonly seedFile: string | undefined;
  readonly nodeSeedFile: string | undefined;
  readonly signals: Signals;
}

/** Options of the near side. */
export interface ForwardOptions extends TunnelOptions, Forward {
  readonly peerId: string | undefined;
  readonly transport: 'udp' | 'websocket' | 'auto';
}

/** Options of the far side. */
export interface ServeTunnelOptions extends TunnelOptions, Place {
  readonly websocket: WebSocketPlace;
  readonly allow: readonly AllowRule[];
}

/** Streams beyond the connections: that of the credit, and those too many, which are refused with a reason. */
const STREAMS_BESIDE = 32;

/** Carries the TCP connections that come to a port of this machine to where the far side makes them. */
export async function forward(options: ForwardOptions, output: Output): Promise<void> {
  const { local, target, maxConnections, connectTimeout, signals } = options;
  const sharedSeed = await loadSeed(options.seedFile);
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  const to = await resolvePeer(options.peer, options.peerId);
  output.calls(to);
  signals.drainFor(options.drain);
  const server = createServer({ allowHalfOpen: true });
  // First, since one process has the port, and so the node seed.
  await listen(server, local);
  try {
    const endpoint = await SttEndpoint.create({
      sharedSeed,
      ...lookupFor(to),
      ...tuning(options),
      ...(local.port === 0
        ? {}
        : { nodeSeed: secret.seedFor('tunnel', local.host, String(local.port)) }),
    });
    try {
      const { transport } = options;
      const link = await Link.open(endpoint, {
        to,
        connectTimeout,
        transport,
        signal: signals.ending,
        output,
      });
      const near = new Near(server, {
        link,
        target,
        maxConnections,
        patience: connectTimeout,
        output,
      });
      const { address = '', port = 0 } = server.address() as { address?: string; port?: number };
      const at = show({ host: address, port });
      output.result(
        'forwarding',
        {
          address,
          port,
          target: show(target),
          peer: to.address,
          peerNodeId: link.session.peerNodeId,
        },
        `forwarding ${at} to ${show(target)} by ${to.address}\nnode id ${link.session.peerNodeId}`,
      );
      const failed = link.failed.catch((error: Error) => {
        near.end(error);
        throw error;
      });
      await untilEnd(
        signals,
        async () => {
          server.close();
          await near.idle();
        },
        (reason) => near.end(reason),
        failed,
      ).finally(() => link.close());
    } finally {
      await endpoint.close({ timeout: LAST_WORDS_MS });
    }
  } finally {
    server.close();
  }
}

/** Makes the connections that near sides ask for. */
export async function serveTunnel(options: ServeTunnelOptions, output: Output): Promise<void> {
  const { maxConnections, allow, connectTimeout, signals } = options;
  const sharedSeed = await loadSeed(options.seedFile);
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  signals.drainFor(options.drain);
  const endpoint = await endpointAt(options, secret, { sharedSeed, ...tuning(options) });
  try {
    const listener = endpoint.listen(webSocketOf(options.websocket, endpoint));
    const far = new Far({ allow, maxConnections, connectTimeout, output });
    const serving = far.serve(listener);
    serving.catch(() => undefined);
    await listenerReady(listener, options.websocket);
    const rules = allow.map(showRule);
    const { facts, words } = listeningAt(endpoint, listener);
    output.result(
      'serving',
      { ...facts, allow: rules },
      `${words}, allowing ${rules.length === 0 ? 'nothing' : rules.join(', ')}\nnode id ${facts.nodeId}`,
    );
    if (rules.length === 0) output.note('every connection will be refused: give --allow HOST:PORT');
    await untilEnd(
      signals,
      () => far.drain(),
      (reason) => far.end(reason),
      serving.then(() => new Promise<never>(() => undefined)),
    );
  } finally {
    await endpoint.close({ timeout: LAST_WORDS_MS });
  }
}

/** Both sides pass everything on at once: what is kept is bounded for each connection (credit.ts). */
function tuning({ outage, maxConnections }: TunnelOptions): {
  readonly preset: 'highThroughput';
  readonly keepAliveTimeout: number;
  readonly maxConcurrentStreams: number;
} {
  return {
    preset: 'highThroughput',
    keepAliveTimeout: outage,
    maxConcurrentStreams: maxConnections + STREAMS_BESIDE,
  };
}

/**
 * Waits until the command is to end, and rejects with why: what is open may end by itself once it is to drain, and
 * is cut when it is to end.
 */
async function untilEnd(
  { draining, ending }: Signals,
  drain: () => Promise<void>,
  cut: (reason: Error) => void,
  failed: Promise<never>,
): Promise<never> {
  const drained = aborted(draining).then(async () => {
    await Promise.race([drain(), aborted(ending)]);
  });
  await Promise.race([drained, failed]);
  if (ending.aborted) cut(ending.reason);
  throw draining.reason;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function listen(server: Server, { host, port }: Forward['local']): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  await tcpReady(host, listening);
  // Out of descriptors, for one: the others go on.
  server.on('error', () => undefined);
}
