import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Starter } from './children.ts';
import { message, startProcess } from './children.ts';

interface Polling {
  readonly refused: readonly unknown[];
}

const LIMIT_MS = 15_000;
const CAP_NET_ADMIN = 1n << 12n;

/** Arguments of setpriv(1) that leave the right out. */
const WITHOUT = ['--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];

describe.runIf(process.platform === 'linux')('socketBusyPoll', () => {
  test.skipIf(mayRaise() && !canDrop())('without the right it is told, and all works', async () => {
    const by = mayRaise()
      ? { execPath: 'setpriv', execArgv: [...WITHOUT, process.execPath] }
      : undefined;
    const granted = Number(readFileSync('/proc/sys/net/core/busy_read', 'utf8'));
    const warning = { resource: 'socketBusyPoll', wanted: 50, granted };
    expect(await refused(by)).toEqual(granted < 50 ? [warning] : []);
  });

  test.runIf(mayRaise())('with the right it is granted', async () => {
    expect(await refused()).toEqual([]);
  });
});

async function refused(by?: Starter): Promise<readonly unknown[]> {
  const child = startProcess('poller', onTestFinished, by);
  return (await message<Polling>(child, 'refused', LIMIT_MS)).refused;
}

/** CAP_NET_ADMIN, as the system's first users have it. */
function mayRaise(): boolean {
  if (process.platform !== 'linux') return false;
  const effective = /^CapEff:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const users = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
  const outermost = users.join(' ') === '0 0 4294967295';
  return outermost && (BigInt(`0x${effective ?? '0'}`) & CAP_NET_ADMIN) !== 0n;
}

function canDrop(): boolean {
  try {
    execFileSync('setpriv', [...WITHOUT, 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
