import type { Target } from './target.ts';
import { hostOf, portOf, show } from './target.ts';

/** One thing that may be reached: a host, and a range of its ports. */
export interface AllowRule {
  readonly host: string;
  readonly low: number;
  readonly high: number;
}

const ANY_PORT = { low: 1, high: 65_535 };

/** `HOST:PORT`, `HOST:LOW-HIGH` or `HOST:*`; undefined for what is none. A host is one host: there is no way to allow all. */
export function parseAllow(text: string): AllowRule | undefined {
  const match = /^(\[[^\]]+\]|[^:[\]]+):(?:(\*)|(\d{1,5})(?:-(\d{1,5}))?)$/.exec(text);
  const host = hostOf(match?.[1] ?? '');
  if (match === null || host === undefined) return undefined;
  const [, , any, from = '', to = from] = match;
  if (any !== undefined) return { host, ...ANY_PORT };
  const [low, high] = [portOf(from), portOf(to)];
  return low === undefined || high === undefined || high < low ? undefined : { host, low, high };
}

/** As it was written, near enough. */
export function showRule({ host, low, high }: AllowRule): string {
  if (low === high) return show({ host, port: low });
  const ports = low === ANY_PORT.low && high === ANY_PORT.high ? '*' : `${low}-${high}`;
  return `${host.includes(':') ? `[${host}]` : host}:${ports}`;
}

/**
 * Whether a target is allowed, by the host as the other side has written it: `localhost` does not allow `127.0.0.1`. What
 * a name stands for is asked afterwards, once, and is connected to whatever it is: whoever allows a name trusts whom its
 * resolver trusts, and whoever does not allows addresses (docs/cli.md).
 */
export function isAllowed(rules: readonly AllowRule[], { host, port }: Target): boolean {
  return rules.some((rule) => rule.host === host && rule.low <= port && port <= rule.high);
}
