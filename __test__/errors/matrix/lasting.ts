// Sessions that are replaced when they are lost: what "connect again" means where a program does it by itself.

import type { ConnectOptions, SttEndpoint, SttSession } from '@seigr/stt';
import { ReconnectingSession } from '@seigr/stt';
import { type Context, describe, exchange, inTime } from './context.ts';
import type { Seen } from './row.ts';

/** A session that is replaced, and what becomes of it. */
export interface Lasting {
  readonly kept: ReconnectingSession;
  /** What the session before was lost by; rejects where it is not lost. */
  lost(): Promise<Pick<Seen, 'code' | 'message'>>;
  /** The session in its place, which works. */
  back(): Promise<SttSession>;
}

/** Connects so; ends with the row. */
export async function lasting(
  context: Context,
  endpoint: SttEndpoint,
  address: string,
  options: ConnectOptions,
  /** What shows that a session works: a peer that does not echo still answers pings. */
  proof: 'exchange' | 'ping' = 'exchange',
): Promise<Lasting> {
  const kept = await ReconnectingSession.connect(endpoint, address, {
    ...options,
    reconnect: { base: 50, maxDelay: 200 },
  });
  context.defer(() => kept.destroy());
  kept.closed.catch(() => undefined);
  const losses = new Promise<Error>((resolve) => {
    kept.once('reconnecting', ({ error }) => resolve(error));
  });
  const returns = new Promise<SttSession>((resolve) => {
    kept.once('reconnected', ({ session }) => resolve(session));
  });
  return {
    kept,
    lost: async () => describe(await inTime(losses, 'the loss of the session', 60_000)),
    async back() {
      const session = await inTime(returns, 'a session in its place', 60_000);
      if (proof === 'exchange') await exchange(session);
      else await session.ping();
      return session;
    },
  };
}
