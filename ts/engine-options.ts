import { resolve } from 'node:path';
import { SttOptionError } from './errors/local.ts';
import type { EngineOptions } from './native/engine.ts';
import type { EndpointOptions, ResolvedTuning } from './options.ts';
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
  readonly qlogDir?: string;
  readonly keyLog?: string;
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
    maxMemory: tuning.maxMemory,
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
    socketBusyPoll: tuning.socketBusyPoll,
    noDelay: tuning.noDelay,
    stealth: tuning.stealth,
    integrityLimit: tuning.integrityLimit,
  };
}

/**
 * Where logs go.
 *
 * @throws {SttOptionError} naming the option that is no path.
 */
export function resolveLogs(
  { qlog, keyLog }: Pick<EndpointOptions, 'qlog' | 'keyLog'>,
  environment: Readonly<Record<string, string | undefined>>,
): Pick<EngineSettings, 'qlogDir' | 'keyLog'> {
  if (qlog !== undefined && (typeof qlog !== 'object' || qlog === null)) {
    throw new SttOptionError('qlog', 'must be an object with a dir');
  }
  if (qlog !== undefined) checkPath('qlog.dir', qlog.dir);
  if (keyLog !== undefined) checkPath('keyLog', keyLog);
  const fromEnvironment = environment.STT_QLOG_DIR;
  const dir = qlog?.dir ?? (fromEnvironment === '' ? undefined : fromEnvironment);
  return {
    ...(dir === undefined ? {} : { qlogDir: resolve(dir) }),
    ...(keyLog === undefined ? {} : { keyLog: resolve(keyLog) }),
  };
}

function checkPath(option: string, value: unknown): void {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    throw new SttOptionError(option, 'must be a path');
  }
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
