import { describe, expect, onTestFinished, test } from 'vitest';
import { message } from '../network/children.ts';
import { Network, obstacle } from './network.ts';

const missing = obstacle();
const title = missing === undefined ? 'caps per source' : `caps per source (skipped: ${missing})`;

interface Connect {
  readonly from: string;
  readonly to: string;
}

/** What becomes of connects from addresses of one machine to its others, one after the other. */
async function outcomes(listen: object, connects: readonly Connect[]): Promise<unknown[]> {
  const net = new Network(onTestFinished);
  for (const address of ['2001:db8:1::1', '2001:db8:1::2', '2001:db8:2::1']) {
    net.exec('a', 'ip', '-6', 'addr', 'add', `${address}/128`, 'dev', 'lo', 'nodad');
  }
  const child = net.start('a', 'sources');
  child.send({ listen, connects });
  const told = await message<{ outcomes: unknown[] }>(child, 'outcomes', 120_000);
  return told.outcomes;
}

describe.skipIf(missing !== undefined)(title, () => {
  test('an IPv6 /64 is one source, whatever address in it is used; another /64 is another', async () => {
    const to = '::1';
    const told = await outcomes({ maxSessionsPerSource: 1 }, [
      { from: '2001:db8:1::1', to },
      { from: '2001:db8:1::2', to },
      { from: '2001:db8:2::1', to },
    ]);
    expect(told).toEqual(['connected', 0x0203, 'connected']);
  });

  test('an IPv4 address is one source, also where it comes over a socket for both', async () => {
    const to = '127.0.0.1';
    const told = await outcomes({ maxSessionsPerSource: 1 }, [
      { from: '127.0.0.2', to },
      { from: '127.0.0.2', to },
      { from: '127.0.0.3', to },
    ]);
    expect(told).toEqual(['connected', 0x0203, 'connected']);
  });
});
