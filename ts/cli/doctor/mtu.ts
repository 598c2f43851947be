import { setTimeout as sleep } from 'node:timers/promises';
import type { SttSession } from '../../index.ts';
import type { CheckResult } from './report.ts';

/** No datagram is larger (RFC 768 over IPv4, RFC 791). */
const LARGEST = 65_507;
/** What Ethernet of 1500 bytes carries, by IPv4 and by IPv6. */
const USUAL = { IPv4: 1_472, IPv6: 1_452 } as const;
/** How often is looked. */
const LOOK_MS = 20;
/** The search is over when the size has stood for so long: a size that fails takes three probes, and their timeouts. */
const STANDS_MS = 400;
/** The same in round trips, where those are long. */
const STANDS_RTTS = 16;
/** The same in looks, each of which is answered by the peer: a machine that has no time for us stands still as well. */
const STANDS_LOOKS = STANDS_MS / LOOK_MS;
/** Longest that the search is watched. */
const MOST_MS = 5_000;

/** Watches the session's own search (RFC 8899) for the largest datagram that the path carries. */
export async function checkMtu(session: SttSession, signal: AbortSignal): Promise<CheckResult> {
  const started = performance.now();
  // Who asks how long datagrams may be makes a session search that has nothing to send.
  void session.datagrams.maxSize;
  let mtu = session.stats()?.mtu ?? 0;
  let since = started;
  for (let looks = 1; ; looks += 1) {
    const now = performance.now();
    const { mtu: found = mtu, smoothedRtt = 0 } = session.stats() ?? {};
    if (found !== mtu) [since, looks] = [now, 1];
    mtu = found;
    const stands =
      looks > STANDS_LOOKS && now - since > Math.max(STANDS_MS, STANDS_RTTS * smoothedRtt);
    if (mtu >= LARGEST || stands || now - started > MOST_MS) break;
    await Promise.all([
      sleep(LOOK_MS, undefined, { signal }),
      session.ping({ timeout: MOST_MS, signal }).catch(() => signal.throwIfAborted()),
    ]);
  }
  const { address } = session.remoteAddress;
  const usual = USUAL[address.includes(':') && !address.startsWith('::ffff:') ? 'IPv6' : 'IPv4'];
  const small =
    mtu < usual ? `; most networks carry ${usual}, so a tunnel or VPN may be on the way` : '';
  return {
    status: 'passed',
    ms: performance.now() - started,
    detail: `datagrams of ${mtu} bytes${small}`,
    facts: { mtu },
  };
}
