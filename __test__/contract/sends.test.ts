import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { networkInterfaces } from 'node:os';
import type { EndpointSendErrorEvent } from '@seigr/stt';
import { ConnectionTimeoutError, generateSeed, UdpSendError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint } from './pair.ts';

const any = { peerNodeId: 'any' };

/** An address of this machine that is not loopback's. */
function outside(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find((address) => address.family === 'IPv4' && !address.internal)?.address;
}

// A broadcast address is refused by the system itself: EACCES, without a rule and without root.
describe.skipIf(process.platform === 'win32')('a system that refuses to send', () => {
  /** What a connect is told of sends that are refused: at the time, how often, and at its end. */
  async function refusedFor(timeout: number) {
    const client = await endpoint({ host: '0.0.0.0' });
    const told: (EndpointSendErrorEvent & { at: number })[] = [];
    const started = performance.now();
    client.on('sendError', (event) => told.push({ ...event, at: performance.now() - started }));
    const published: unknown[] = [];
    const note = (message: unknown): void => {
      if ((message as { endpoint: unknown }).endpoint === client) published.push(message);
    };
    subscribe('stt.endpoint.sendError', note);
    onTestFinished(() => void unsubscribe('stt.endpoint.sendError', note));
    const connect = client.connect('255.255.255.255:7788', { ...any, timeout });
    const error = await connect.catch((reason: unknown) => reason);
    const seconds = (performance.now() - started) / 1_000;
    return { error, told, published, seconds, tries: client.stats()?.sendErrors ?? 0 };
  }

  test('is tried until the timeout, told at once, and named: 0x0501 with EACCES', async () => {
    let undisturbed = false;
    // Others may have the processor meanwhile: how soon it is told is looked at where they had not.
    for (let round = 0; round < 20 && !undisturbed; round += 1) {
      const { error, told, published, seconds, tries } = await refusedFor(1_500);
      expect(error).toBeInstanceOf(UdpSendError);
      expect(error).not.toBeInstanceOf(ConnectionTimeoutError);
      expect(error).toMatchObject({
        code: 0x0501,
        systemCode: 'EACCES',
        errno: expect.any(Number),
        recoverable: true,
        context: { peer: '255.255.255.255:7788' },
        message: expect.stringMatching(/for \d+ ms \(EACCES, system error \d+\)/),
      });
      const [, tried] = /for (\d+) ms/.exec(String(error)) ?? [];
      expect(Number(tried)).toBeGreaterThanOrEqual(1_400);
      expect(told[0]).toMatchObject({
        session: undefined,
        count: 1,
        error: { code: 0x0501, systemCode: 'EACCES', context: { peer: '255.255.255.255:7788' } },
      });
      // Once in a second, and not once for each try.
      expect(told.length).toBeLessThanOrEqual(2 + seconds);
      expect(published).toHaveLength(told.length);
      expect(published[0]).toMatchObject({ error: { code: 0x0501 }, count: 1 });
      expect(JSON.parse(JSON.stringify(error))).toMatchObject({ systemCode: 'EACCES' });
      // Well before the end.
      undisturbed = (told[0]?.at ?? 1_500) < 1_000 && tries >= 3 && told.length < tries;
    }
    expect(undisturbed).toBe(true);
  });

  test('bound to loopback with a peer elsewhere: says so', async () => {
    const address = outside();
    if (process.platform !== 'linux' || address === undefined) return;
    const client = await endpoint({ host: '127.0.0.1' });
    const error = await client
      .connect('192.0.2.1:7788', { ...any, timeout: 5_000 })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 0x0501,
      systemCode: 'EINVAL',
      message: expect.stringContaining('bound to loopback (127.0.0.1)'),
    });
  });
});

describe('errors', () => {
  test('are counted by code where they are raised', async () => {
    const client = await endpoint({ host: '0.0.0.0' });
    const port = await closedPort();
    const before = client.stats()?.errors;
    expect(Object.keys(before ?? {})).toHaveLength(25);
    expect(Object.values(before ?? {}).every((count) => count === 0)).toBe(true);
    const connect = () => client.connect(`127.0.0.1:${port}`, { ...any, timeout: 400 });
    for (let times = 0; times < 3; times++) {
      await expect(connect()).rejects.toHaveProperty('codeName');
    }
    const errors = client.stats()?.errors;
    expect((errors?.CONNECTION_REFUSED ?? 0) + (errors?.CONNECTION_TIMEOUT ?? 0)).toBe(3);
    const stopped = AbortSignal.abort(new Error('no error of ours'));
    await expect(
      client.connect(`127.0.0.1:${port}`, { ...any, signal: stopped }),
    ).rejects.toThrow();
    expect(client.stats()?.errors).toEqual(errors);
  });
});

describe.runIf(process.platform === 'linux')('a port that nobody has', () => {
  test('is told within 100 ms on loopback', async () => {
    const client = await endpoint({ sharedSeed: generateSeed() });
    let took = Number.POSITIVE_INFINITY;
    // Others may have the processor: the best of many counts.
    for (let attempt = 0; attempt < 500 && took >= 100; attempt++) {
      const port = await closedPort();
      const started = performance.now();
      const connect = client.connect({ address: '127.0.0.1', port }, any);
      await expect(connect).rejects.toMatchObject({ code: 0x0102 });
      took = Math.min(took, performance.now() - started);
    }
    expect(took).toBeLessThan(100);
  });
});
