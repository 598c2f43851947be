import { execFileSync } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { Context } from '../errors/matrix/context.ts';
import { begin, lan, PORT } from '../errors/matrix/lan.ts';
import { Icmp } from './icmp.ts';
import { ADDRESS, obstacle } from './network.ts';

const missing = obstacle() ?? compiler();
/** Reports of each of the seven kinds, of each forger. */
const REPORTS = 60;
const ROUTER = '10.77.1.254';

function compiler(): string | undefined {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'needs the program cc';
  }
}

const title = missing === undefined ? 'forged ICMP ends no session' : `(skipped: ${missing})`;

test.skipIf(missing !== undefined)(title, async () => {
  const context = new Context();
  onTestFinished(() => context.dispose());
  // Idle for far longer than the forgeries go on: but for them, nothing is asked and nothing is heard.
  const idle = { keepAliveInterval: 20_000, keepAliveTimeout: 60_000 };
  const state = await lan(context, idle);
  const icmp = await Icmp.build(state.net, context.defer);
  await begin(state);
  const here = { address: ADDRESS.a, port: state.from.port };
  const there = { address: ADDRESS.b, port: PORT };
  // In the name of the peer, and in that of a router on the way.
  await Promise.all([ADDRESS.b, ROUTER].map((name) => icmp.forge('r', name, here, there, REPORTS)));
  const stats = await state.client.call<{ pathErrors: number }>('stats', {
    endpoint: state.from.endpoint,
  });
  // They came as far as the endpoint, and it did not believe them: neither the end, nor the least MTU.
  expect(stats.pathErrors).toBeGreaterThan(2 * REPORTS);
  await state.client.exchange(state.session, 1_000_000);
  expect(context.seen).toEqual([]);
});
