import { formatAddress, parseAddress } from '../../address.ts';
import { SttEndpoint } from '../../index.ts';
import type { Target, Tried } from '../doctor/carrier.ts';
import { tryUdp, tryWebSocket } from '../doctor/carrier.ts';
import { reportHandshake } from '../doctor/handshake.ts';
import { checkMtu } from '../doctor/mtu.ts';
import { Report } from '../doctor/report.ts';
import { adviceOf } from '../doctor/verdict.ts';
import { checkName, checkRoute } from '../doctor/way.ts';
import { ExitCode, exitCodeOf } from '../exit-codes.ts';
import { CliError, ShownError } from '../failure.ts';
import { LAST_WORDS_MS } from '../listening.ts';
import type { Output } from '../output.ts';
import type { ResolvedPeer } from '../peers/resolve.ts';
import { lookupFor, resolvePeer } from '../peers/resolve.ts';
import { webSocketAt } from '../peers/words.ts';
import { loadSeed } from '../seed-file.ts';
import type { Signals } from '../signals.ts';

/** Options of `stt doctor`, parsed. */
export interface DoctorOptions {
  readonly peer: string;
  readonly peerId: string | undefined;
  /** Where the peer's WebSocket is, if not at its own address. */
  readonly websocket: string | undefined;
  readonly transport: 'udp' | 'websocket' | 'auto';
  /** Milliseconds of each handshake. */
  readonly timeout: number;
  readonly seedFile: string | undefined;
  readonly signals: Signals;
}

/**
 * Looks at everything that stands between this machine and a session with a peer, and says what to fix. It offers nothing and
 * takes nothing, so a listener goes on as before.
 */
export async function doctor(options: DoctorOptions, output: Output): Promise<void> {
  checkUrl(options.websocket, options.transport);
  const sharedSeed = await loadSeed(options.seedFile);
  const to = await resolvePeer(options.peer, options.peerId);
  output.calls(to);
  // Its own node seed, from chance: it is nobody that has to be known again.
  const endpoint = await SttEndpoint.create({ sharedSeed, ...lookupFor(to) });
  const report = new Report(output);
  try {
    const place = {
      endpoint,
      address: to.address,
      ...lookupFor(to),
      timeout: options.timeout,
      signal: options.signals.ending,
    };
    await look(place, to, options, report);
  } finally {
    await endpoint.close({ timeout: LAST_WORDS_MS });
  }
  const failed = report.firstFailed();
  const exitCode = failed === undefined ? ExitCode.Done : exitCodeOf(failed.error);
  const advice = adviceOf(report, failed, to);
  output.result(
    'doctor',
    {
      address: to.address,
      failed: report.those('failed'),
      warnings: report.those('warning'),
      skipped: report.those('skipped'),
      advice,
      exitCode,
    },
    advice,
  );
  if (exitCode !== ExitCode.Done) throw new ShownError(exitCode, advice, advice);
}

async function look(
  place: Omit<Target, 'peerNodeId'>,
  to: ResolvedPeer,
  { websocket, transport }: DoctorOptions,
  report: Report,
): Promise<void> {
  const there = parseAddress(place.address);
  const { addresses, result } = await checkName(there, place.lookup);
  // Of several addresses another node may have one by now. At a single one it is worth knowing all that there is to say of
  // whoever answers.
  const target = { ...place, peerNodeId: addresses.length > 1 ? to.peerNodeId : 'any' };
  report.add('name', result);
  if (addresses.length === 0) report.skip('route', 'the name has no address');
  else report.add('route', await checkRoute(addresses, there));
  const way = report.passed('route') ? undefined : 'there is no way to the peer';

  const udp = await lookByUdp(target, to, transport, way, report);
  try {
    const other = await lookByWebSocket(target, to, websocket, transport, way, report);
    try {
      const tried = [udp, other].find((one) => one?.reached);
      if (tried === undefined) {
        const reason = 'nothing reached the peer';
        for (const check of ['version', 'seed', 'clock', 'peer'] as const)
          report.skip(check, reason);
      } else {
        reportHandshake(report, tried, to);
      }
    } finally {
      await other?.session?.close({ timeout: LAST_WORDS_MS }).catch(() => undefined);
    }
    if (udp?.session !== undefined) report.add('mtu', await checkMtu(udp.session, target.signal));
    else report.skip('mtu', 'there is no session by UDP');
  } finally {
    await udp?.session?.close({ timeout: LAST_WORDS_MS }).catch(() => undefined);
  }
}

async function lookByUdp(
  target: Target,
  to: ResolvedPeer,
  transport: DoctorOptions['transport'],
  way: string | undefined,
  report: Report,
): Promise<Tried | undefined> {
  if (transport === 'websocket' || way !== undefined) {
    report.skip('udp', way ?? 'it was not asked for (--transport)');
    return undefined;
  }
  const tried = await tryUdp(target);
  const { ms, error, reached } = tried;
  report.add(
    'udp',
    reached
      ? { status: 'passed', ms, detail: `${placeOf(tried, to)} answers` }
      : { status: 'failed', ms, error },
  );
  return tried;
}

async function lookByWebSocket(
  target: Target,
  to: ResolvedPeer,
  url: string | undefined,
  transport: DoctorOptions['transport'],
  way: string | undefined,
  report: Report,
): Promise<Tried | undefined> {
  // A URL of its own may lead elsewhere, and through a proxy that looks names up itself.
  const obstacle =
    transport === 'udp'
      ? 'it was not asked for (--transport)'
      : url === undefined
        ? way
        : undefined;
  if (obstacle !== undefined) {
    report.skip('tls', obstacle);
    report.skip('websocket', obstacle);
    return undefined;
  }
  const tried = await tryWebSocket(target, url);
  const { ms, error, reached, tls } = tried;
  if (tls === undefined)
    report.skip('tls', 'the WebSocket is a ws:// one; say --websocket wss://HOST/stt');
  else report.add('tls', tls);
  if (tls?.status === 'failed') {
    report.skip('websocket', 'TLS failed');
  } else if (reached) {
    const detail = `${url ?? placeOf(tried, to, webSocketAt)} answers`;
    report.add('websocket', { status: 'passed', ms, detail });
  } else if (url === undefined && report.passed('udp')) {
    // Nobody said that there is one, and nobody needs it.
    report.add('websocket', { status: 'warning', ms, error });
  } else {
    report.add('websocket', { status: 'failed', ms, error });
  }
  return tried;
}

/** Where somebody answered, by `show`: of several hosts the one that let this node in, or those that were tried. */
function placeOf(
  { session }: Tried,
  { address, places }: ResolvedPeer,
  show = (place: string): string => place,
): string {
  if (places === undefined) return show(address);
  if (session !== undefined) return show(formatAddress(session.remoteAddress));
  return `one of ${places.map(show).join(', ')}`;
}

function checkUrl(url: string | undefined, transport: DoctorOptions['transport']): void {
  if (url === undefined) return;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !['ws:', 'wss:'].includes(parsed.protocol)) {
    throw new CliError(
      ExitCode.Usage,
      `--websocket: "${url}" is no URL of a WebSocket.`,
      'write ws://HOST:PORT/stt or wss://HOST/stt.',
    );
  }
  if (transport === 'udp') {
    throw new CliError(
      ExitCode.Usage,
      '--websocket does not go with --transport udp.',
      'leave one of the two out.',
    );
  }
}
