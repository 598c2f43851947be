import type { SttSession } from '../index.ts';
import { SttEndpoint } from '../index.ts';
import { LAST_WORDS_MS } from './listening.ts';
import type { Output } from './output.ts';
import { lookupFor, resolvePeer } from './peers/resolve.ts';
import { round } from './percentiles.ts';
import { loadSeed } from './seed-file.ts';
import type { Signals } from './signals.ts';

/** Whom to call, and how, parsed. */
export interface CallOptions {
  readonly peer: string;
  readonly peerId: string | undefined;
  readonly connectTimeout: number;
  readonly transport: 'udp' | 'websocket' | 'auto';
  readonly seedFile: string | undefined;
  readonly signals: Signals;
}

/** What people call a carrier. */
export function nameOf(transport: SttSession['transport']): string {
  return transport === 'udp' ? 'UDP' : 'WebSocket';
}

/** Connects to a peer, says so, and closes the session when `act` is done. */
export async function call(
  options: CallOptions,
  output: Output,
  act: (session: SttSession) => Promise<void>,
): Promise<void> {
  const sharedSeed = await loadSeed(options.seedFile);
  const to = await resolvePeer(options.peer, options.peerId);
  output.calls(to);
  // Its own node seed, from chance: several may run, and nobody has to know this node again.
  const endpoint = await SttEndpoint.create({ sharedSeed, ...lookupFor(to) });
  try {
    const started = performance.now();
    const session = await endpoint.connect(to.address, {
      peerNodeId: to.peerNodeId,
      timeout: options.connectTimeout,
      transport: options.transport,
      signal: options.signals.ending,
    });
    const connectMs = round(performance.now() - started);
    const { peerNodeId, transport } = session;
    output.result(
      'connected',
      { address: to.address, peerNodeId, transport, connectMs },
      `connected to ${to.address} in ${connectMs} ms by ${nameOf(transport)}\nnode id ${peerNodeId}`,
    );
    await act(session);
    await session.close({ timeout: LAST_WORDS_MS }).catch(() => undefined);
  } finally {
    await endpoint.close({ timeout: LAST_WORDS_MS });
  }
}
