import { totalmem } from 'node:os';
import type { Lookup } from './address.ts';
import { SttOptionError } from './errors/local.ts';
import type { BreakerOptions } from './resilience/breaker.ts';
import type { SeedInput } from './seeds.ts';

/** A set of defaults for one kind of use; single options still win over it. */
export type SttPreset = 'lowLatency' | 'balanced' | 'highThroughput';

/** Which datagrams a full queue drops. */
export type DatagramDrop = 'newest' | 'oldest';

/** The settings that tune an endpoint. Durations in milliseconds, sizes in bytes. */
export interface TuningOptions {
  /**
   * Silence after which the peer is asked for a sign of life. Environment: `STT_KEEP_ALIVE_INTERVAL`.
   * @default 10_000, or a third of a shorter keepAliveTimeout
   */
  readonly keepAliveInterval?: number;
  /**
   * Silence after which a session ends with 0x0202. Environment: `STT_KEEP_ALIVE_TIMEOUT`.
   * @default 30_000
   */
  readonly keepAliveTimeout?: number;
  /**
   * Time that a handshake may take. Environment: `STT_HANDSHAKE_TIMEOUT`.
   * @default 10_000
   */
  readonly handshakeTimeout?: number;
  /**
   * Streams that the peer may have open at a time, for each kind. Environment: `STT_MAX_CONCURRENT_STREAMS`.
   * @default 256
   */
  readonly maxConcurrentStreams?: number;
  /**
   * Sessions of this endpoint at a time. Environment: `STT_MAX_CONCURRENT_SESSIONS`.
   * @default 1024
   */
  readonly maxConcurrentSessions?: number;
  /**
   * Bytes that this endpoint may hold for all its sessions: what was written and not acknowledged, what
   * came and was not read, what peers may still send, sessions, streams and datagrams. When it is used up,
   * a new session, a new stream, or a write to a stream of which nothing is under way meet 0x0603, here or at the
   * peer whose it is; peers are allowed to send less long before; what is under way goes on, slower. From 1 MiB.
   * Environment: `STT_MAX_MEMORY`.
   * @default half of the memory that this process may use
   */
  readonly maxMemory?: number;
  /**
   * Bytes that a session may have received and not read. Environment: `STT_RECV_BUFFER_SIZE`.
   * @default 2 MiB
   */
  readonly recvBufferSize?: number;
  /**
   * Bytes that a session may have written and not had acknowledged. Environment: `STT_SEND_BUFFER_SIZE`.
   * @default 2 MiB
   */
  readonly sendBufferSize?: number;
  /**
   * Bytes that one stream may have received and not read. Environment: `STT_STREAM_RECV_BUFFER`.
   * @default 1 MiB
   */
  readonly streamRecvBuffer?: number;
  /**
   * Bytes of writes that nobody awaited, per stream; more is 0x0602.
   * @default 64 MiB
   */
  readonly maxPendingBytes?: number;
  /**
   * Ends a stream on which nothing moved for so long with 0x0301; 0 never does.
   * @default 0
   */
  readonly streamIdleTimeout?: number;
  /**
   * Bytes of the longest datagram or frame that this side takes; 0 takes none.
   * @default 65_463: what the path carries decides
   */
  readonly maxDatagramSize?: number;
  /**
   * Bytes of datagrams and frames that may wait to be sent, per session; each counts 64 more.
   * @default 256 KiB
   */
  readonly datagramSendBuffer?: number;
  /**
   * Bytes of datagrams and frames that came and were not taken, per session; each counts 64 more.
   * @default 256 KiB
   */
  readonly datagramRecvBuffer?: number;
  /**
   * What goes when datagrams to be sent have no room: the newest (`trySend` says false, `send` waits), or the oldest.
   * @default 'newest'
   */
  readonly datagramSendDrop?: DatagramDrop;
  /**
   * What goes when datagrams that came have no room.
   * @default 'oldest'
   */
  readonly datagramRecvDrop?: DatagramDrop;
  /**
   * How far the clocks of two peers may differ; 0 accepts any difference.
   * @default 120_000
   */
  readonly timestampWindow?: number;
  /**
   * Largest UDP payload, from 1200 to 65507. Datagrams begin at 1200 bytes and grow to what the
   * path is found to carry, once there is more to send than fits one: 1472 on most networks, more on loopback
   * and where jumbo frames pass.
   * @default 65507
   */
  readonly mtu?: number;
  /**
   * Congestion control: `cubic` (RFC 9438), `bbr` for paths that lose packets at random, such as
   * weak radio links, or `newreno` (RFC 9002).
   * @default 'cubic'
   */
  readonly congestion?: 'cubic' | 'bbr' | 'newreno';
  /**
   * What the system is asked for as the socket's send buffer.
   * @default 2 MiB
   */
  readonly socketSendBuffer?: number;
  /**
   * What the system is asked for as the socket's receive buffer.
   * @default 2 MiB
   */
  readonly socketRecvBuffer?: number;
  /**
   * Linux only: for how many microseconds the system may ask the network card for packets instead of waiting for
   * its interrupt (`SO_BUSY_POLL`, socket(7)), up to 1 000 000. It saves microseconds of a round trip and costs processor
   * time. The card's driver has to support it, and the engine's waits poll as long as the sysctl
   * `net.core.busy_poll` says, which is 0 unless somebody set it. Old kernels grant more than `net.core.busy_read` to
   * CAP_NET_ADMIN alone: what is not granted is told by `resourceWarning`. 0 leaves what the system has.
   * @default 0
   */
  readonly socketBusyPoll?: number;
  /**
   * Sends small writes at once instead of waiting for more to join them. Only `true` for now.
   * @default true
   */
  readonly noDelay?: boolean;
  /**
   * Answers nothing to whoever does not prove the shared seed, not even that the seed differs.
   * @default false
   */
  readonly stealth?: boolean;
  /**
   * Packets of a session that may fail to authenticate until it ends with 0x0402 (RFC 9001, section 6.6),
   * from 2^20 to 2^36. Anybody who sees its packets can forge some that fail, so the least is no small number.
   * @default 2^36
   */
  readonly integrityLimit?: number;
}

/** What {@link SttEndpoint.create} takes. */
export interface EndpointOptions extends TuningOptions {
  /** The secret that all nodes of one network hold. In an array the first is used to connect, every one admits. */
  readonly sharedSeed: SeedInput | readonly SeedInput[];
  /**
   * The secret that makes this node's id last. One live endpoint per node seed.
   * @default random: the id lasts as long as the endpoint
   */
  readonly nodeSeed?: SeedInput;
  /**
   * Address or name to bind to.
   * @default '::' for both IP versions, '0.0.0.0' where the system has no IPv6
   */
  readonly host?: string;
  /**
   * UDP port; 0 lets the system choose.
   * @default 0
   */
  readonly port?: number;
  /**
   * Looks up the names of peers in place of the system's resolver, as `lookup` of node:net does; with `all: true`, so that
   * every address of both IP versions can be tried.
   * @default the system's resolver
   */
  readonly lookup?: Lookup;
  /**
   * Where the defaults come from. Environment: `STT_PRESET`.
   * @default 'balanced'
   */
  readonly preset?: SttPreset;
  /**
   * Writes a qlog file of every session into this folder, for tools that draw what happened; see
   * `docs/qlog.md`. Environment: `STT_QLOG_DIR`.
   * @default undefined: nothing is logged, which costs nothing
   */
  readonly qlog?: { readonly dir: string };
  /**
   * Appends every session's secrets to this file. **Whoever has the file and the datagrams reads
   * everything.** For taking a protocol apart with test data, never for anything else; there is no
   * environment variable for it, on purpose.
   * @default undefined: secrets leave the process nowhere
   */
  readonly keyLog?: string;
  /**
   * Stops trying a peer for a while once more than half of the connects to it failed: a connect then
   * rejects at once with `CircuitOpenError`. One circuit for each address and node id; see
   * `endpoint.breakers` and the event `circuitChange`.
   * @default false
   */
  readonly breaker?: boolean | BreakerOptions;
}

/** Every tuning option with its value. */
export type ResolvedTuning = Required<TuningOptions>;

const KIB = 1024;
const MIB = 1024 * KIB;

/** Half of what this process may use: the machine's memory, or what a container leaves of it. */
function halfOfMemory(): number {
  const allowed = process.constrainedMemory?.() ?? 0;
  const most = allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
  return Math.max(LEAST_MEMORY, Math.floor(most / 2));
}

const LEAST_MEMORY = MIB;

const BALANCED: ResolvedTuning = {
  keepAliveInterval: 10_000,
  keepAliveTimeout: 30_000,
  handshakeTimeout: 10_000,
  maxConcurrentStreams: 256,
  maxConcurrentSessions: 1_024,
  maxMemory: halfOfMemory(),
  recvBufferSize: 2 * MIB,
  sendBufferSize: 2 * MIB,
  streamRecvBuffer: MIB,
  maxPendingBytes: 64 * MIB,
  streamIdleTimeout: 0,
  maxDatagramSize: 65_463,
  datagramSendBuffer: 256 * KIB,
  datagramRecvBuffer: 256 * KIB,
  datagramSendDrop: 'newest',
  datagramRecvDrop: 'oldest',
  timestampWindow: 120_000,
  mtu: 65_507,
  congestion: 'cubic',
  socketSendBuffer: 2 * MIB,
  socketRecvBuffer: 2 * MIB,
  socketBusyPoll: 0,
  noDelay: true,
  stealth: false,
  integrityLimit: 2 ** 36,
};

/** The presets, as what they change. */
const PRESETS: Readonly<Record<SttPreset, Partial<TuningOptions>>> = {
  lowLatency: {
    keepAliveInterval: 5_000,
    keepAliveTimeout: 15_000,
    sendBufferSize: 512 * KIB,
  },
  balanced: {},
  highThroughput: {
    recvBufferSize: 16 * MIB,
    sendBufferSize: 16 * MIB,
    streamRecvBuffer: 8 * MIB,
    socketSendBuffer: 8 * MIB,
    socketRecvBuffer: 8 * MIB,
  },
};

/** Longest duration: what a 32-bit timer holds. */
const MAX_MS = 2 ** 31 - 1;
const MAX_BUFFER = 1024 * MIB;

type NumericOption = {
  [Name in keyof ResolvedTuning]: ResolvedTuning[Name] extends number ? Name : never;
}[keyof ResolvedTuning];

/** Least and most of every number. */
const RANGES: Readonly<Record<NumericOption, readonly [least: number, most: number]>> = {
  keepAliveInterval: [100, MAX_MS],
  keepAliveTimeout: [200, MAX_MS],
  handshakeTimeout: [1, MAX_MS],
  maxConcurrentStreams: [0, 65_535],
  maxConcurrentSessions: [1, 1_000_000],
  maxMemory: [LEAST_MEMORY, Number.MAX_SAFE_INTEGER],
  recvBufferSize: [16 * KIB, MAX_BUFFER],
  sendBufferSize: [16 * KIB, MAX_BUFFER],
  streamRecvBuffer: [16 * KIB, MAX_BUFFER],
  maxPendingBytes: [0, Number.MAX_SAFE_INTEGER],
  streamIdleTimeout: [0, MAX_MS],
  maxDatagramSize: [0, 65_463],
  datagramSendBuffer: [128, MAX_BUFFER],
  datagramRecvBuffer: [128, MAX_BUFFER],
  timestampWindow: [0, MAX_MS],
  mtu: [1_200, 65_507],
  socketSendBuffer: [4 * KIB, MAX_BUFFER],
  socketRecvBuffer: [4 * KIB, MAX_BUFFER],
  socketBusyPoll: [0, 1_000_000],
  integrityLimit: [2 ** 20, 2 ** 36],
};

/** The environment variables that are read, and the option that each stands for. */
export const ENVIRONMENT: Readonly<Record<string, NumericOption>> = {
  STT_KEEP_ALIVE_INTERVAL: 'keepAliveInterval',
  STT_KEEP_ALIVE_TIMEOUT: 'keepAliveTimeout',
  STT_HANDSHAKE_TIMEOUT: 'handshakeTimeout',
  STT_MAX_CONCURRENT_STREAMS: 'maxConcurrentStreams',
  STT_MAX_CONCURRENT_SESSIONS: 'maxConcurrentSessions',
  STT_MAX_MEMORY: 'maxMemory',
  STT_RECV_BUFFER_SIZE: 'recvBufferSize',
  STT_SEND_BUFFER_SIZE: 'sendBufferSize',
  STT_STREAM_RECV_BUFFER: 'streamRecvBuffer',
};

const OTHER_NAMES = [
  'sharedSeed',
  'nodeSeed',
  'host',
  'port',
  'preset',
  'qlog',
  'keyLog',
  'breaker',
  'lookup',
];

/**
 * Every tuning option with its value: the option itself, else the environment, else the preset.
 *
 * @throws {SttOptionError} naming the option, or the variable, that cannot be.
 */
export function resolveTuning(
  options: TuningOptions & { readonly preset?: SttPreset },
  environment: Readonly<Record<string, string | undefined>>,
): ResolvedTuning {
  checkNames(options);
  const variables = fromEnvironment(environment);
  const tuning: Record<string, unknown> = {
    ...BALANCED,
    ...presetOf(options.preset, environment),
    ...variables,
  };
  for (const name of Object.keys(BALANCED)) {
    const value = options[name as keyof TuningOptions];
    if (value !== undefined) tuning[name] = value;
  }
  for (const [name, range] of Object.entries(RANGES)) checkNumber(name, tuning[name], range);
  checkOneOf('congestion', tuning.congestion, ['cubic', 'bbr', 'newreno']);
  checkOneOf('datagramSendDrop', tuning.datagramSendDrop, ['newest', 'oldest']);
  checkOneOf('datagramRecvDrop', tuning.datagramRecvDrop, ['newest', 'oldest']);
  if (tuning.noDelay !== true)
    throw new SttOptionError('noDelay', 'must be true: nothing is delayed in this version');
  if (tuning.socketBusyPoll !== 0 && process.platform !== 'linux') {
    throw new SttOptionError('socketBusyPoll', `exists on Linux only, not on ${process.platform}`);
  }
  if (typeof tuning.stealth !== 'boolean') throw new SttOptionError('stealth', 'must be a boolean');
  const resolved = tuning as unknown as ResolvedTuning;
  const { keepAliveInterval, keepAliveTimeout } = resolved;
  if (keepAliveTimeout > keepAliveInterval) return resolved;
  if (options.keepAliveInterval !== undefined || 'keepAliveInterval' in variables) {
    throw new SttOptionError(
      'keepAliveTimeout',
      `must be longer than keepAliveInterval (${keepAliveInterval} ms)`,
    );
  }
  return { ...resolved, keepAliveInterval: Math.floor(keepAliveTimeout / 3) };
}

/** Checks that `value` is an integer within a range. */
export function checkNumber(
  option: string,
  value: unknown,
  [least, most]: readonly [number, number],
): asserts value is number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    const got = typeof value === 'number' ? `, not ${value}` : '';
    throw new SttOptionError(option, `must be an integer from ${least} to ${most}${got}`);
  }
}

/** Checks that `value` is one of a few words. */
export function checkOneOf<Word extends string>(
  option: string,
  value: unknown,
  words: readonly Word[],
): asserts value is Word {
  if (!words.includes(value as Word)) {
    throw new SttOptionError(
      option,
      `must be one of ${words.map((word) => `'${word}'`).join(', ')}`,
    );
  }
}

/** A misspelt option would otherwise be a default in silence. */
function checkNames(options: object): void {
  if (typeof options !== 'object' || options === null) {
    throw new SttOptionError('options', 'must be an object');
  }
  for (const name of Object.keys(options)) {
    if (!(name in BALANCED) && !OTHER_NAMES.includes(name)) {
      throw new SttOptionError(name, 'is no option of an endpoint');
    }
  }
}

function presetOf(
  option: SttPreset | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): Partial<TuningOptions> {
  const variable = environment.STT_PRESET;
  const preset = option ?? variable ?? 'balanced';
  const source = option === undefined && variable !== undefined ? 'STT_PRESET' : 'preset';
  checkOneOf(source, preset, ['lowLatency', 'balanced', 'highThroughput']);
  return PRESETS[preset];
}

function fromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Partial<Record<NumericOption, number>> {
  const found: Partial<Record<NumericOption, number>> = {};
  for (const [variable, option] of Object.entries(ENVIRONMENT)) {
    const text = environment[variable];
    if (text === undefined || text === '') continue;
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    checkNumber(variable, value, RANGES[option]);
    found[option] = value;
  }
  return found;
}
