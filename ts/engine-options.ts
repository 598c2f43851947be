import { SttOptionError } from './errors/local.ts';
import type { EngineOptions } from './native/engine.ts';
import type { ResolvedTuning } from './options.ts';
import type { SeedInput } from './seeds.ts';
import { resolveSeed } from './seeds.ts';

/** Most shared seeds of one endpoint: each costs every handshake a MAC. */
const MAX_SEEDS = 8;

/** What an endpoint adds to its tuning. */
export interface EngineSettings {
  readonly sharedSeeds: Uint8Array[];
  readonly nodeSeed?: Uint8Array;
  readonly host: string;
  readonly port: number;
}

/** The options as the core takes them: complete, in milliseconds and bytes. */
export function engineOptions(tuning: ResolvedTuning, settings: EngineSettings): EngineOptions {
  return {
    ...settings,
    keepAliveIntervalMs: tuning.keepAliveInterval,
    keepAliveTimeoutMs: tuning.keepAliveTimeout,
    handshakeTimeoutMs: tuning.handshakeTimeout,
    maxConcurrentStreams: tuning.maxConcurrentStreams,
    maxConcurrentSessions: tuning.maxConcurrentSessions,
    recvBufferSize: tuning.recvBufferSize,
    sendBufferSize: tuning.sendBufferSize,
    streamRecvBuffer: tuning.streamRecvBuffer,
    maxDatagramSize: tuning.maxDatagramSize,
    datagramSendBuffer: tuning.datagramSendBuffer,
    datagramRecvBuffer: tuning.datagramRecvBuffer,
    datagramSendDrop: tuning.datagramSendDrop,
    datagramRecvDrop: tuning.datagramRecvDrop,
    timestampWindowMs: tuning.timestampWindow,
    mtu: tuning.mtu,
    congestion: tuning.congestion,
    socketSendBuffer: tuning.socketSendBuffer,
    socketRecvBuffer: tuning.socketRecvBuffer,
    noDelay: tuning.noDelay,
    stealth: tuning.stealth,
  };
}

/** The bytes of every shared seed, the one for new connects first. */
export async function resolveSharedSeeds(
  input: SeedInput | readonly SeedInput[] | undefined,
): Promise<Uint8Array[]> {
  if (input === undefined) {
    throw new SttOptionError('sharedSeed', 'is required; make one with generateSeed()');
  }
  const inputs: readonly SeedInput[] = Array.isArray(input) ? input : [input as SeedInput];
  if (inputs.length === 0 || inputs.length > MAX_SEEDS) {
    throw new SttOptionError('sharedSeed', `must be one seed, or an array of 1 to ${MAX_SEEDS}`);
  }
  return Promise.all(inputs.map((seed) => resolveSeed('sharedSeed', seed)));
}
