import { describe, expect, onTestFinished, test } from 'vitest';
import { message } from '../network/children.ts';
import { Network, obstacle } from './network.ts';
import { arrives, type Ended, LIMIT, MIB, received, start } from './transfer.ts';

const missing = obstacle();
if (missing !== undefined && process.env.STT_REQUIRE_KERNEL === '1') {
  test('the kernel gives network namespaces', () => expect(missing).toBeUndefined());
}

const title =
  missing === undefined ? 'over the real kernel' : `over the real kernel (skipped: ${missing})`;

describe.skipIf(missing !== undefined)(title, { timeout: 4 * LIMIT }, () => {
  test('a transfer crosses a router', async () => {
    const net = new Network(onTestFinished);
    await arrives(await start(net, 8 * MIB));
  });

  test.each([
    { percent: 2, size: 8 },
    { percent: 10, size: 2 },
  ])('$percent % of all datagrams are lost, and $size MiB arrive', async ({ percent, size }) => {
    const net = new Network(onTestFinished);
    net.forward(`meta l4proto udp numgen random mod 100 < ${percent} counter drop`);
    const { packetsLost } = await arrives(await start(net, size * MIB));
    expect(packetsLost).toBeGreaterThan(0);
    expect(net.counted()[0]).toBeGreaterThan(10);
  });

  test('a link of 20 Mbit/s is used and not flooded', async () => {
    const net = new Network(onTestFinished);
    net.limit('b', '20mbit');
    const before = net.sentTo('b');
    const began = performance.now();
    await arrives(await start(net, 4 * MIB));
    const seconds = (performance.now() - began) / 1000;
    const sent = net.sentTo('b') - before;
    expect((sent * 8) / seconds).toBeLessThan(21e6);
    // What was sent twice is the queue's overflow, not a habit.
    expect(sent).toBeLessThan(1.2 * 4 * MIB);
  });

  test('the MTU falls from 1500 to 1280 in the middle', async () => {
    const net = new Network(onTestFinished);
    net.limit('b', '20mbit');
    const running = await start(net, 6 * MIB);
    await received(running, MIB);
    net.mtu('b', 1280);
    const { mtu } = await arrives(running);
    expect(mtu).toBeLessThanOrEqual(1280 - 28);
  });

  test('the link is down for five seconds and comes back', async () => {
    const net = new Network(onTestFinished);
    net.limit('b', '20mbit');
    const running = await start(net, 6 * MIB);
    await received(running, MIB);
    net.link('b', 'down');
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    net.link('b', 'up');
    await arrives(running);
  });

  test('behind a masquerading router', async () => {
    const net = new Network(onTestFinished);
    net.masquerade();
    await arrives(await start(net, 4 * MIB));
  });

  test('one direction dies: the deaf side ends in its time, and the other hears of it', async () => {
    let inTime = false;
    // Others may have the processor meanwhile: the best of several counts.
    for (let round = 0; round < 5 && !inTime; round += 1) inTime = await deafens();
    expect(inTime).toBe(true);
  });
});

/** One direction dies. Says whether both sides ended when they had to, as far as a clock can tell. */
async function deafens(): Promise<boolean> {
  const net = new Network(onTestFinished);
  net.limit('b', '20mbit');
  const options = { keepAliveInterval: 1_000, keepAliveTimeout: 4_000 };
  const running = await start(net, 64 * MIB, options);
  await received(running, MIB);
  const [deaf, hearing] = [running.sender, running.receiver].map((child) =>
    message<Ended>(child, 'ended', LIMIT),
  ) as [Promise<Ended>, Promise<Ended>];
  net.forward('iifname "to-b" meta l4proto udp drop');
  const died = Date.now();
  const { ended } = await deaf;
  expect(ended).toMatchObject({ reason: 'timeout', code: 0x0202 });
  const other = await hearing;
  expect(other.ended.reason).toBe('timeout');
  const [ms, otherMs] = [ended.at - died, other.ended.at - died];
  return ms > 3_000 && ms < 7_000 && otherMs < 8_000;
}
