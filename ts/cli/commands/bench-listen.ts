import { formatAddress } from '../../address.ts';
import type { SttSession } from '../../index.ts';
import { SttEndpoint } from '../../index.ts';
import type { Benched } from '../bench/serve.ts';
import { BenchServer } from '../bench/serve.ts';
import { describeFailure } from '../failure.ts';
import { loadNodeSecret } from '../node-seed.ts';
import type { Output } from '../output.ts';
import { loadSeed } from '../seed-file.ts';
import type { Signals } from '../signals.ts';
import { formatSize } from '../units.ts';

/** Options of `stt bench --listen`, parsed. */
export interface BenchListenOptions {
  readonly host: string;
  readonly port: number;
  /** Where to take WebSockets as well: a host and a port, or, for `true`, those of UDP. */
  readonly websocket: { readonly host: string; readonly port: number } | boolean;
  /** Milliseconds that one run may count at most. */
  readonly maxMs: number;
  readonly seedFile: string | undefined;
  readonly nodeSeedFile: string | undefined;
  readonly signals: Signals;
}

/** How long the end of sessions may take to reach their peers. */
const LAST_WORDS_MS = 500;

/** Is there for benches of other machines, until a signal. */
export async function benchListen(options: BenchListenOptions, output: Output): Promise<void> {
  const { host, port, websocket, signals } = options;
  const sharedSeed = await loadSeed(options.seedFile);
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  const nodeSeed = port === 0 ? undefined : secret.listenerSeed(host, port);
  const endpoint = await SttEndpoint.create({
    sharedSeed,
    host,
    port,
    ...(nodeSeed === undefined ? {} : { nodeSeed }),
  });
  const { ending } = signals;
  const server = new BenchServer({ maxMs: options.maxMs }, ending, {
    onBench: (session, benched) => report(session, benched, output),
    onFailure: (error) => {
      if (!ending.aborted)
        output.note(`a bench was broken off: ${describeFailure(error).headline}`);
    },
  });
  try {
    const taken = websocket === true ? { port: endpoint.address.port } : websocket;
    const listener = endpoint.serve(
      (session) => server.serve(session),
      taken === false ? {} : { websocket: { ...taken } },
    );
    await listener.ready;
    const { address, port: bound } = endpoint.address;
    const { nodeId } = endpoint;
    const tcp = listener.websocketAddress;
    output.result(
      'listening',
      { address, port: bound, websocketPort: tcp?.port ?? null, nodeId },
      `listening on ${formatAddress({ address, port: bound })}${tcp === undefined ? '' : `, for WebSockets on ${formatAddress(tcp)}`}\nnode id ${nodeId}`,
    );
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
