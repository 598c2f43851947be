import { describe, expect, onTestFinished, test } from 'vitest';
import type { JsonRecord } from '../cli/stt.ts';
import { Stt, seedFile, temporaryFolder } from '../cli/stt.ts';
import { ADDRESS, Network, obstacle } from './network.ts';

const missing = obstacle();
const title = missing === undefined ? '"stt bench"' : `"stt bench" (skipped: ${missing})`;

/** Bits a second of the router's link to `b`. */
const LINK = 20e6;

describe.skipIf(missing !== undefined || process.env['CI_LONG'] !== '1')(
  title,
  { timeout: 60_000 },
  () => {
    test('finds the rate of the link, its queue and its losses, and the other direction free of them', async () => {
      const net = new Network(onTestFinished);
      net.limit('b', '20mbit');
      net.forward('meta l4proto udp numgen inc mod 500 == 499 drop');
      const seed = await seedFile(await temporaryFolder());
      const listen = ['--listen', `${ADDRESS.b}:7788`, '--seed-file', seed, '--json'];
      const listener = new Stt(['bench', ...listen], { wrapper: net.within('b') });
      await listener.record(({ event }) => event === 'listening');
      const to = [ADDRESS.b, '--seed-file', seed, '--seconds', '2', '--json'];
      const measured = new Stt(['bench', ...to], { wrapper: net.within('a') });
      const { code, records } = await measured.end();
      expect(code).toBe(0);
      const [, idle, up, down] = records as [JsonRecord, JsonRecord, JsonRecord, JsonRecord];
      const rates = (record: JsonRecord) =>
        record['bytesPerSecond'] as Record<'up' | 'down', number>;
      const p50 = (record: JsonRecord): number => (record['rttMs'] as { p50: number }).p50;
      // The payload is less than what the link carries, and never more.
      expect(rates(up).up * 8).toBeGreaterThan(LINK * 0.7);
      expect(rates(up).up * 8).toBeLessThan(LINK * 1.01);
      expect(rates(down).down).toBeGreaterThan(rates(up).up);
      // What waits in the router's queue, of 100 ms at most.
      expect(p50(up)).toBeGreaterThan(p50(idle) + 5);
      expect(up['packetsLost']).toBeGreaterThan(0);
    });
  },
);
