import { describe, expect, onTestFinished, test } from 'vitest';
import { message } from '../network/children.ts';
import { Network, obstacle } from './network.ts';
import { arrives, type Ended, LIMIT, MIB, type Running, received, start } from './transfer.ts';

const missing = obstacle();
const title = missing === undefined ? 'a host that cannot send' : `(skipped: ${missing})`;

interface Refused {
  sendError: { systemCode: string; errno: number; count: number };
}

const refused = async ({ sender }: Running): Promise<Refused['sendError']> =>
  (await message<Refused>(sender, 'sendError', LIMIT)).sendError;

describe.skipIf(missing !== undefined)(title, { timeout: 4 * LIMIT }, () => {
  test('a firewall forbids it in the middle of bulk data, and later does not', async () => {
    let took = Number.POSITIVE_INFINITY;
    // Others may have the processor meanwhile: the best of several counts.
    for (let round = 0; round < 5 && took >= 2_000; round += 1) {
      const net = new Network(onTestFinished);
      net.limit('b', '20mbit');
      const running = await start(net, 6 * MIB);
      await received(running, MIB);
      const told = refused(running);
      const began = performance.now();
      net.refuseAt('a', 'meta l4proto udp drop');
      expect(await told).toMatchObject({ systemCode: 'EPERM', errno: -1 });
      took = performance.now() - began;
      await new Promise((resolve) => setTimeout(resolve, 5_000));
      net.permitAt('a');
      await arrives(running);
    }
    expect(took).toBeLessThan(2_000);
  });

  test.each([['a firewall', (net: Network) => net.refuseAt('a', 'meta l4proto udp drop')]])(
    '%s stays in the way: 0x0501 within keepAliveTimeout',
    async (_, block) => {
      let took = Number.POSITIVE_INFINITY;
      for (let round = 0; round < 5 && took >= 6_000; round += 1) {
        const net = new Network(onTestFinished);
        net.limit('b', '20mbit');
        const options = { keepAliveInterval: 1_000, keepAliveTimeout: 4_000 };
        const running = await start(net, 64 * MIB, options);
        await received(running, MIB);
        const ended = message<Ended>(running.sender, 'ended', LIMIT);
        const told = refused(running);
        const at = Date.now();
        block(net);
        expect((await told).systemCode).toMatch(/^(EPERM|ENETUNREACH|ENETDOWN)$/);
        const { ended: end } = await ended;
        expect(end).toMatchObject({ reason: 'timeout', code: 0x0501 });
        took = end.at - at;
      }
      expect(took).toBeLessThan(6_000);
    },
  );

  test('its own link is down for five seconds and comes back', async () => {
    const net = new Network(onTestFinished);
    net.limit('b', '20mbit');
    const running = await start(net, 6 * MIB);
    await received(running, MIB);
    net.ownLink('a', 'down');
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    net.ownLink('a', 'up');
    await arrives(running);
  });
});
