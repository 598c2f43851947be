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
  test('is tried until the timeout, told at once, and named: 0x0501 with EACCES', async () => {
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
    const connect = client.connect('255.255.255.255:7788', { ...any, timeout: 1_500 });
    const error = await connect.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UdpSendError);
    expect(error).not.toBeInstanceOf(ConnectionTimeoutError);
    expect(error).toMatchObject({
      code: 0x0501,
      systemCode: 'EACCES',
      errno: expect.any(Number),
      recoverable: true,
      context: { peer: '255.255.255.255:7788' },
      message: expect.stringMatching(/for 1[45]\d\d ms \(EACCES, system error \d+\)/),
    });
    expect(performance.now() - started).toBeGreaterThan(1_400);
    expect(told[0]).toMatchObject({
      session: undefined,
      count: 1,
      error: { code: 0x0501, systemCode: 'EACCES', context: { peer: '255.255.255.255:7788' } },
    });
    // Well before the end, and not once for each try.
    expect(told[0]?.at).toBeLessThan(1_000);
    expect(told.length).toBeLessThanOrEqual(3);
    expect(published).toHaveLength(told.length);
    expect(published[0]).toMatchObject({ error: { code: 0x0501 }, count: 1 });
    expect(client.stats()?.sendErrors).toBeGreaterThanOrEqual(3);
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ systemCode: 'EACCES' });
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
    const took: number[] = [];
    // Others may have the processor: the best of several counts.
    for (let attempt = 0; attempt < 10; attempt++) {
      const port = await closedPort();
      const started = performance.now();
      const connect = client.connect({ address: '127.0.0.1', port }, any);
      await expect(connect).rejects.toMatchObject({ code: 0x0102 });
      took.push(performance.now() - started);
    }
    expect(Math.min(...took)).toBeLessThan(100);
  });
});
