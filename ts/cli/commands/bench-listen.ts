import type { SttSession } from '../../index.ts';
import type { Benched } from '../bench/serve.ts';
import { BenchServer } from '../bench/serve.ts';
import { describeFailure } from '../failure.ts';
import type { Place, WebSocketPlace } from '../listening.ts';
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
import { formatSize } from '../units.ts';

/** Options of `stt bench --listen`, parsed. */
export interface BenchListenOptions extends Place {
  readonly websocket: WebSocketPlace;
  /** Milliseconds that one run may count at most. */
  readonly maxMs: number;
  readonly seedFile: string | undefined;
  readonly nodeSeedFile: string | undefined;
  readonly signals: Signals;
}

/** Is there for benches of other machines, until a signal. */
export async function benchListen(options: BenchListenOptions, output: Output): Promise<void> {
  const { signals } = options;
  const sharedSeed = await loadSeed(options.seedFile);
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  const endpoint = await endpointAt(options, secret, { sharedSeed });
  const { ending } = signals;
  const server = new BenchServer({ maxMs: options.maxMs }, ending, {
    onBench: (session, benched) => report(session, benched, output),
    onFailure: (error) => {
      if (!ending.aborted)
        output.note(`a bench was broken off: ${describeFailure(error).headline}`);
    },
  });
  try {
    const listener = endpoint.serve(
      (session) => server.serve(session),
      webSocketOf(options.websocket, endpoint),
    );
    await listenerReady(listener, options.websocket);
    const { facts, words } = listeningAt(endpoint, listener);
    output.result('listening', facts, `${words}\nnode id ${facts.nodeId}`);
    await new Promise((_resolve, reject) => {
      const end = (): void => reject(ending.reason);
      if (ending.aborted) end();
      ending.addEventListener('abort', end, { once: true });
      endpoint.closed.catch(reject);
    });
  } finally {
    await endpoint.close({ timeout: LAST_WORDS_MS });
  }
}

function report(session: SttSession, benched: Benched, output: Output): void {
  const { runs, bytesReceived, seconds } = benched;
  const { peerNodeId, transport } = session;
  output.result(
    'benched',
    { peerNodeId, transport, runs, bytesReceived, seconds },
    `measured with node ${peerNodeId}: ${runs} runs in ${seconds.toFixed(1)} s, ${formatSize(bytesReceived)} came`,
  );
}
