import type { SttEndpoint } from '../endpoint.ts';
import { SttOptionError } from '../errors/local.ts';
import { ERROR_TABLE, formatCode } from '../errors/table.ts';
import type { EndpointStats, SessionStats } from '../stats.ts';

/** How {@link openMetrics} tells endpoints apart. */
export interface OpenMetricsOptions {
  /**
   * Labels of an endpoint's samples, such as `{ service: 'mail' }`.
   * @default none for one endpoint; `endpoint`, its place in the list, for several
   */
  readonly labels?: (endpoint: SttEndpoint, index: number) => Readonly<Record<string, string>>;
}

/** The content type of what {@link openMetrics} gives. */
export const OPEN_METRICS_CONTENT_TYPE =
  'application/openmetrics-text; version=1.0.0; charset=utf-8';

type CountOf = {
  [Name in keyof EndpointStats]: EndpointStats[Name] extends number ? Name : never;
}[keyof EndpointStats];

/** A family of samples: its name, what it says, and the number that it shows. */
type Family = readonly [name: string, help: string, of: CountOf];

const COUNTERS: readonly Family[] = [
  ['stt_datagrams_received', 'UDP datagrams that came.', 'datagramsReceived'],
  ['stt_datagrams_sent', 'UDP datagrams that went.', 'datagramsSent'],
  ['stt_received_bytes', 'Bytes of UDP payload that came.', 'bytesReceived'],
  ['stt_sent_bytes', 'Bytes of UDP payload that went.', 'bytesSent'],
  ['stt_hello_unknown_seed', 'HELLOs from peers without the shared seed.', 'helloUnknownSeed'],
  ['stt_hello_expired', 'HELLOs from peers whose clock differs too much.', 'helloExpired'],
  ['stt_hello_replayed', 'HELLOs that were replays.', 'helloReplayed'],
  ['stt_hello_shed', 'HELLOs dropped under load.', 'helloShed'],
  ['stt_proof_failed', 'Handshakes whose proof did not hold.', 'proofFailed'],
  ['stt_sessions_resumed', 'Sessions that tickets brought about.', 'sessionsResumed'],
  ['stt_tickets_refused', 'Tickets that peers came with in vain.', 'ticketsRefused'],
  ['stt_retries_sent', 'Handshakes answered with a cookie, under load.', 'retriesSent'],
  ['stt_resets_sent', 'Peers told that their session is not known here.', 'resetsSent'],
  ['stt_unknown_path', 'Packets for no session of this endpoint.', 'unknownPath'],
  ['stt_engine_turns', "Turns of the engine's loop.", 'engineTurns'],
  ['stt_engine_sleeps', 'Times that the engine went to sleep.', 'engineSleeps'],
  ['stt_receive_calls', 'System calls that brought datagrams.', 'receiveCalls'],
  ['stt_send_calls', 'System calls that sent datagrams.', 'sendCalls'],
  ['stt_send_errors', 'Sends that the system refused.', 'sendErrors'],
  ['stt_send_blocked', "Sends that found the socket's buffer full.", 'sendBlocked'],
  ['stt_rebinds', "Times that the socket's address went away.", 'rebinds'],
  ['stt_path_errors', 'ICMP reports read.', 'pathErrors'],
  ['stt_event_ring_full', 'Times that events had to wait for JavaScript.', 'ringFull'],
  ['stt_doorbells', 'Times that JavaScript was woken.', 'doorbells'],
  ['stt_memory_refused', 'Sessions, streams and writes refused at maxMemory.', 'memoryRefused'],
];

const GAUGES: readonly Family[] = [
  ['stt_sessions', 'Sessions alive.', 'sessions'],
  ['stt_half_open_handshakes', 'Handshakes that peers began and have not ended.', 'halfOpen'],
  ['stt_unaccepted_sessions', 'Accepted sessions that nobody has taken.', 'unacceptedSessions'],
  ['stt_pending_authorizations', 'Peers that are being decided on.', 'pendingAuthorizations'],
  ['stt_memory_used_bytes', 'Bytes held for sessions, or promised to peers.', 'memoryUsed'],
  ['stt_memory_limit_bytes', 'What may be held, maxMemory.', 'memoryLimit'],
];

/** What waits in the sessions of an endpoint, all of them together: their own labels would have no bound. */
const QUEUES = [
  ['stt_pending_bytes', 'Bytes of writes that wait for room to be sent.', 'pendingBytes'],
  ['stt_unaccepted_streams', 'Streams of peers that nobody has taken.', 'unacceptedStreams'],
  ['stt_unread_datagrams', 'Datagrams that came and that nobody has taken.', 'unreadDatagrams'],
] as const satisfies readonly (readonly [string, string, keyof SessionStats])[];

type Queue = (typeof QUEUES)[number][2];

interface Sampled {
  readonly stats: EndpointStats;
  readonly waiting: Readonly<Record<Queue, number>>;
  readonly labels: readonly string[];
}

/**
 * The counters of endpoints as OpenMetrics text, for a scraper such as Prometheus: totals, no labels of
 * peers or sessions, whose number has no bound. Endpoints that have ended have no samples.
 */
export function openMetrics(
  endpoints: SttEndpoint | readonly SttEndpoint[],
  options: OpenMetricsOptions = {},
): string {
  const list = Array.isArray(endpoints) ? endpoints : [endpoints as SttEndpoint];
  const labelsOf =
    options.labels ??
    ((_, index): Record<string, string> => (list.length > 1 ? { endpoint: String(index) } : {}));
  const sampled: Sampled[] = [];
  for (const [index, endpoint] of list.entries()) {
    const stats = endpoint.stats();
    if (stats === undefined) continue;
    const labels = labelText(labelsOf(endpoint, index));
    sampled.push({ stats, waiting: waiting(endpoint), labels });
  }
  const lines: string[] = [];
  for (const [name, help, of] of COUNTERS) {
    family(lines, name, 'counter', help);
    for (const { stats, labels } of sampled) sample(lines, `${name}_total`, labels, stats[of]);
  }
  for (const [name, help, of] of GAUGES) {
    family(lines, name, 'gauge', help);
    for (const { stats, labels } of sampled) sample(lines, name, labels, stats[of]);
  }
  for (const [name, help, of] of QUEUES) {
    family(lines, name, 'gauge', help);
    for (const { waiting, labels } of sampled) sample(lines, name, labels, waiting[of]);
  }
  errors(lines, sampled);
  drops(lines, sampled);
  roundTrips(lines, sampled);
  lines.push('# EOF', '');
  return lines.join('\n');
}

function waiting({ sessions }: SttEndpoint): Record<Queue, number> {
  const sum = { pendingBytes: 0, unacceptedStreams: 0, unreadDatagrams: 0 };
  for (const session of sessions) {
    const stats = session.stats();
    for (const [, , of] of QUEUES) sum[of] += stats?.[of] ?? 0;
  }
  return sum;
}

function errors(lines: string[], sampled: readonly Sampled[]): void {
  family(lines, 'stt_errors', 'counter', 'Errors raised on this side, by code.');
  for (const { stats, labels } of sampled) {
    for (const { code, codeName } of ERROR_TABLE) {
      const which = [`code="${formatCode(code)}"`, `name="${codeName}"`];
      sample(lines, 'stt_errors_total', [...labels, ...which], stats.errors[codeName]);
    }
  }
}

function drops(lines: string[], sampled: readonly Sampled[]): void {
  family(lines, 'stt_frames_dropped', 'counter', 'Frames dropped outside any session, by error.');
  for (const { stats, labels } of sampled) {
    for (const [code, count] of [
      ['0x0401', stats.invalidFrames],
      ['0x0402', stats.encryptionErrors],
      ['0x0403', stats.checksumErrors],
      ['0x0404', stats.unknownFrames],
    ] as const) {
      sample(lines, 'stt_frames_dropped_total', [...labels, `code="${code}"`], count);
    }
  }
}

function roundTrips(lines: string[], sampled: readonly Sampled[]): void {
  const name = 'stt_rtt_seconds';
  family(lines, name, 'summary', 'Round-trip times of all sessions, the last some thousand.');
  for (const { stats, labels } of sampled) {
    for (const [quantile, ms] of [
      ['0.5', stats.rttP50],
      ['0.99', stats.rttP99],
    ] as const) {
      // Before the first sample a quantile is no number.
      const value = stats.rttSamples === 0 ? Number.NaN : ms / 1_000;
      sample(lines, name, [...labels, `quantile="${quantile}"`], value);
    }
    sample(lines, `${name}_count`, labels, stats.rttSamples);
  }
}

function family(lines: string[], name: string, type: string, help: string): void {
  lines.push(`# TYPE ${name} ${type}`);
  const unit = /_(bytes|seconds)$/.exec(name)?.[1];
  if (unit !== undefined) lines.push(`# UNIT ${name} ${unit}`);
  lines.push(`# HELP ${name} ${escapeText(help)}`);
}

function sample(lines: string[], name: string, labels: readonly string[], value: number): void {
  const set = labels.length === 0 ? '' : `{${labels.join(',')}}`;
  lines.push(`${name}${set} ${value}`);
}

function labelText(labels: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(labels).map(([name, value]) => {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) || RESERVED.has(name)) {
      throw new SttOptionError('labels', `has a name in it that no label can have: ${name}`);
    }
    return `${name}="${escapeText(String(value))}"`;
  });
}

/** Labels that samples have already. */
const RESERVED = new Set(['code', 'name', 'quantile']);

/** Escapes what ends a line or a quotation (OpenMetrics 1.0, section 4.1). */
function escapeText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
