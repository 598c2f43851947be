import { describe, expect, onTestFinished, test } from 'vitest';
import { ADDRESS, Network, OUTSIDE, obstacle } from './network.ts';
import { arrives, carriedBy, LIMIT, MIB, migrate, received, start } from './transfer.ts';

const LONG = process.env['CI_LONG'] === '1';
const SEED = Number(process.env['STT_TEST_SEED'] ?? 20_261_127);
const missing = obstacle();
const title =
  missing === undefined ? 'UDP and WebSocket' : `UDP and WebSocket (skipped: ${missing})`;

/** What a firewall does that lets no UDP pass. */
const NO_UDP = 'meta l4proto udp counter drop';

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// kernel.test.ts fails where namespaces are required and cannot be had.
describe.skipIf(missing !== undefined)(title, { timeout: 2 * LIMIT }, () => {
  test('a session behind a NAT goes from UDP to a WebSocket and back in the middle', async () => {
    const net = new Network(onTestFinished);
    net.limit('b', '40mbit');
    net.masquerade('20000-20999');
    net.masqueradeTcp();
    const running = await start(net, 6 * MIB, {}, {}, true);
    await received(running, MIB);
    net.forward(NO_UDP);
    await carriedBy(running, 'websocket');
    await received(running, 2 * MIB);
    net.forward();
    // By itself it would wait for five seconds.
    const remoteAddress = { address: ADDRESS.b, port: running.port };
    expect(await migrate(running, { remoteAddress })).toBeNull();
    expect(running.carriers).toEqual(['websocket', 'udp']);
    await arrives(running);
    // The server has seen nothing but the router.
    expect(new Set(running.seen.map(({ address }) => address))).toEqual(new Set([OUTSIDE]));
  });

  // By itself a session that was let down goes back to UDP later and later; asked to, it is let down ten times.
  test.runIf(LONG).each(['by itself', 'when it is asked to'])(
    '1 GiB arrives while UDP is dropped and allowed again ten times, and it goes back %s',
    { timeout: 3_600_000 },
    async (goesBack) => {
      const next = random(SEED);
      const between = (least: number, most: number) => least + Math.trunc(next() * (most - least));
      const net = new Network(onTestFinished);
      net.limit('b', '100mbit');
      const began = performance.now();
      const running = await start(net, 1024 * MIB, {}, {}, true);
      let over = false;
      const arrived = arrives(running, 3_600_000).finally(() => {
        over = true;
      });
      const dropped: number[] = [];
      for (let round = 0; round < 10 && !over; round += 1) {
        await pause(between(3_000, 9_000));
        net.forward(NO_UDP);
        await pause(between(1_000, 5_000));
        dropped.push(net.counted()[0] ?? 0);
        net.forward();
        if (goesBack === 'by itself' || running.carriers.at(-1) !== 'websocket') continue;
        await pause(between(0, 1_000));
        const remoteAddress = { address: ADDRESS.b, port: running.port };
        expect(await migrate(running, { remoteAddress })).toBeNull();
      }
      const { packetsLost } = await arrived;
      const seconds = Math.trunc((performance.now() - began) / 1_000);
      const { carriers } = running;
      console.log(
        JSON.stringify({ goesBack, seed: SEED, seconds, packetsLost, dropped, carriers }),
      );
      expect(dropped).toHaveLength(10);
      expect(carriers).toContain('websocket');
      expect(carriers).toContain('udp');
    },
  );
});
