import type { PeerCertificate } from 'node:tls';
import { checkServerIdentity } from 'node:tls';
import type { Lookup } from '../../address.ts';
import type { ConnectOptions, SttEndpoint, SttError, SttSession } from '../../index.ts';
import { isSttError } from '../../index.ts';
import type { CheckResult } from './report.ts';

/** What a carrier brought. */
export interface Tried {
  readonly transport: 'udp' | 'websocket';
  readonly ms: number;
  /** Where the peer let this node in. */
  readonly session?: SttSession;
  readonly error?: SttError;
  /** Whether the peer answered: what failed then is the handshake, and not the way there. */
  readonly reached: boolean;
}

/** A WebSocket, and the TLS below it. */
export interface TriedWebSocket extends Tried {
  /** Undefined: TLS was no part of it. */
  readonly tls: CheckResult | undefined;
}

/** Codes that say something of the way to the peer, and nothing of the peer as a node. */
const OF_THE_WAY: ReadonlySet<string> = new Set([
  'CONNECTION_TIMEOUT',
  'CONNECTION_REFUSED',
  'NETWORK_UNREACHABLE',
  'UDP_SEND_FAILED',
  'WEBSOCKET_CLOSED',
  'WEBSOCKET_HANDSHAKE_FAILED',
  'TLS_ERROR',
  'RESOURCE_EXHAUSTED',
]);

/** Where a connect goes, and how long it may take. */
export interface Target {
  readonly endpoint: SttEndpoint;
  readonly address: string;
  /** Who has to answer: `any` takes whoever does, and who that is, is another question. */
  readonly peerNodeId: string;
  /** In place of the system's resolver. */
  readonly lookup?: Lookup;
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/** Tries a whole handshake by UDP. */
export function tryUdp(target: Target): Promise<Tried> {
  return attempt(target, 'udp', {});
}

/** The same by a WebSocket at `url`, or at the peer's own address. */
export async function tryWebSocket(
  target: Target,
  url: string | undefined,
): Promise<TriedWebSocket> {
  const started = performance.now();
  let certificate: PeerCertificate | undefined;
  let secured = 0;
  const secure = url?.startsWith('wss:') ?? false;
  const tried = await attempt(target, 'websocket', {
    ...(url === undefined ? {} : { websocket: { url } }),
    ...(secure
      ? {
          tls: {
            // Called once the chain holds; what it returns is the verdict on the name.
            checkServerIdentity: (host: string, shown: PeerCertificate) => {
              certificate = shown;
              secured = performance.now() - started;
              return checkServerIdentity(host, shown);
            },
          },
        }
      : {}),
  });
  return { ...tried, tls: secure ? tlsOf(tried, certificate, secured) : undefined };
}

async function attempt(
  { endpoint, address, peerNodeId, timeout, signal }: Target,
  transport: 'udp' | 'websocket',
  more: Partial<ConnectOptions>,
): Promise<Tried> {
  const started = performance.now();
  try {
    const session = await endpoint.connect(address, {
      peerNodeId,
      timeout,
      signal,
      transport,
      ...more,
    });
    return { transport, session, ms: performance.now() - started, reached: true };
  } catch (error) {
    // A signal, or an option that cannot be, is no finding.
    if (!isSttError(error)) throw error;
    const ms = performance.now() - started;
    return { transport, error, ms, reached: !OF_THE_WAY.has(error.codeName) };
  }
}

function tlsOf(tried: Tried, certificate: PeerCertificate | undefined, ms: number): CheckResult {
  const { error } = tried;
  if (error?.codeName === 'TLS_ERROR') return { status: 'failed', ms: tried.ms, error };
  if (certificate === undefined) {
    return { status: 'skipped', reason: 'no connection came about that could have it' };
  }
  const { subject, subjectaltname, valid_to: validTo } = certificate;
  const names = subjectaltname ?? String(subject.CN ?? '');
  const days = Math.floor((Date.parse(validTo) - Date.now()) / 86_400_000);
  return {
    status: 'passed',
    ms,
    detail: `certificate of ${names}, valid until ${validTo}${days < SOON_DAYS ? `: ${days} days, renew it` : ''}`,
    facts: { names, validTo, daysLeft: days },
  };
}

/** A certificate that is over before so many days is told of: renewal by ACME comes 30 days before. */
const SOON_DAYS = 14;
