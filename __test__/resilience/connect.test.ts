import { execFile } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { CircuitChangeEvent, RetryEvent } from '@seigr/stt';
import { CircuitOpenError, generateSeed, isSttError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, isPending, next, silentSocket } from '../contract/pair.ts';

const sharedSeed = generateSeed();
const any = { peerNodeId: 'any' };
const quick = { base: 20, jitter: 'none' } as const;
const root = fileURLToPath(new URL('../../', import.meta.url));

/** What a channel publishes while the test runs. */
function listen(name: string): unknown[] {
  const seen: unknown[] = [];
  const note = (message: unknown): void => void seen.push(message);
  subscribe(name, note);
  onTestFinished(() => void unsubscribe(name, note));
  return seen;
}

describe('connect with retry', () => {
  test('reaches a peer that starts between the tries', async () => {
    const client = await endpoint({ sharedSeed });
    const port = await closedPort();
    const told: RetryEvent[] = [];
    const published = listen('stt.connect.retry');
    const onRetry = (event: RetryEvent): void => {
      told.push(event);
      if (event.attempt !== 2) return;
      void endpoint({ sharedSeed, port }).then((server) => server.serve(() => {}));
    };
    const retry = { attempts: 2_000, base: 30, factor: 1, jitter: 'none', onRetry } as const;
    const session = await client.connect(`127.0.0.1:${port}`, { ...any, retry });
    expect(await session.ping()).toBeGreaterThan(0);
    expect(told.length).toBeGreaterThanOrEqual(2);
    expect(told[1]).toMatchObject({
      attempt: 2,
      delay: 30,
      error: { code: 0x0102, context: { attempt: 2, peer: `127.0.0.1:${port}` } },
    });
    expect(published).toHaveLength(told.length);
    expect(published[0]).toMatchObject({
      endpoint: client,
      peer: `127.0.0.1:${port}`,
      attempt: 1,
      error: { code: 0x0102 },
    });
  });

  test('ends with the error of the last try, and tells it once', async () => {
    const client = await endpoint({ sharedSeed });
    const failed = listen('stt.connect.failed');
    const connect = client.connect(`127.0.0.1:${await closedPort()}`, {
      ...any,
      retry: { ...quick, attempts: 3 },
    });
    const error = await connect.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 0x0102, context: { attempt: 3 } });
    expect(failed).toMatchObject([{ endpoint: client, error }]);
    expect(JSON.stringify(error)).toContain('"attempt":3');
  });

  test('counts the tries of a name without an address, too', async () => {
    const client = await endpoint({ sharedSeed });
    await expect(
      client.connect('no-such-host.invalid:7788', { ...any, retry: { ...quick, attempts: 2 } }),
    ).rejects.toMatchObject({ code: 0x0104, context: { attempt: 2 } });
  });

  test('has its timeout for every try, and the deadline for all', async () => {
    const silent = await silentSocket();
    onTestFinished(silent.close);
    const client = await endpoint({ sharedSeed });
    const address = `127.0.0.1:${silent.port}`;
    const limits: number[] = [];
    const started = performance.now();
    // Tries without end: that it ends at all is the deadline's doing.
    const error = await client
      .connect(address, {
        ...any,
        timeout: 200,
        retry: {
          ...quick,
          attempts: Number.POSITIVE_INFINITY,
          factor: 1,
          deadline: 4_000,
          onRetry: () => limits.push(performance.now() - started),
        },
      })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 0x0101 });
    expect(isSttError(error) && error.context.attempt).toBeGreaterThan(1);
    expect(limits[0]).toBeGreaterThan(180);
  });

  test('ends at once with what no further try changes', async () => {
    const server = await endpoint({ sharedSeed });
    server.serve(() => {});
    const stranger = await endpoint();
    const friend = await endpoint({ sharedSeed });
    const never = (): never => {
      throw new Error('there was another try');
    };
    for (const [client, peerNodeId] of [
      [stranger, 'any'],
      [friend, friend.nodeId],
    ] as const) {
      await expect(
        client.connect(server.address, { peerNodeId, retry: { onRetry: never } }),
      ).rejects.toMatchObject({ code: 0x0103, context: { attempt: 1 } });
    }
  });

  test('returns when the peer that was full has room', async () => {
    const server = await endpoint({ sharedSeed });
    server.serve(() => {}, { maxSessions: 1 });
    const client = await endpoint({ sharedSeed });
    const first = await client.connect(server.address, any);
    const session = await client.connect(server.address, {
      ...any,
      retry: { ...quick, attempts: 5_000, factor: 1, onRetry: () => void first.close() },
    });
    expect(await session.ping()).toBeGreaterThan(0);
  });

  test('an aborted signal ends a pause and a try at once, with its own reason', async () => {
    const silent = await silentSocket();
    onTestFinished(silent.close);
    const client = await endpoint({ sharedSeed });
    for (const port of [await closedPort(), silent.port]) {
      const controller = new AbortController();
      const retry = { base: 3_600_000, maxDelay: 3_600_000, jitter: 'none' } as const;
      // But for the signal, both would last for longer than this test may.
      const connect = client.connect(`127.0.0.1:${port}`, {
        ...any,
        timeout: 3_600_000,
        signal: controller.signal,
        retry,
      });
      expect(await isPending(connect, 100)).toBe(true);
      const reason = new Error('changed my mind');
      controller.abort(reason);
      await expect(connect).rejects.toBe(reason);
      expect(client.hasRef()).toBe(false);
    }
  });

  test('close and destroy end a pause at once; until then it holds the process', async () => {
    const address = `127.0.0.1:${await closedPort()}`;
    for (const end of ['close', 'destroy'] as const) {
      const client = await endpoint({ sharedSeed });
      let onRetry!: () => void;
      const pause = new Promise<void>((resolve) => {
        onRetry = resolve;
      });
      const retry = { base: 3_600_000, maxDelay: 3_600_000, jitter: 'none', onRetry } as const;
      const connect = client.connect(address, { ...any, retry });
      await pause;
      expect(await isPending(connect)).toBe(true);
      expect(client.hasRef()).toBe(true);
      expect(client.unref().hasRef()).toBe(false);
      client.ref();
      await client[end]();
      await expect(connect).rejects.toMatchObject({ code: 0x0201, reason: 'graceful' });
      expect(client.hasRef()).toBe(false);
    }
  });

  test('a process lives through a pause, and ends after it', async () => {
    const body = `import { SttEndpoint, generateSeed } from '@seigr/stt';
      const client = await SttEndpoint.create({ sharedSeed: generateSeed(), host: '127.0.0.1' });
      const retry = { attempts: 3, base: 100, factor: 1, jitter: 'none' };
      client.connect('127.0.0.1:${await closedPort()}', { peerNodeId: 'any', retry })
        .catch((error) => console.log(error.codeName, error.context.attempt));`;
    const args = ['--input-type=module', '--eval', body];
    const options = { cwd: root, timeout: 60_000 };
    const { stdout } = await promisify(execFile)(process.execPath, args, options);
    expect(stdout).toBe('CONNECTION_REFUSED 3\n');
  });

  test('sends early data with one try only', async () => {
    const server = await endpoint({ sharedSeed, nodeSeed: generateSeed() });
    const sessions = server.listen({ acceptEarlyData: true });
    const client = await endpoint({ sharedSeed });
    const [first] = await Promise.all([client.connect(server.address, any), next(sessions)]);
    await expect.poll(() => first.resumptionTicket).toBeDefined();
    const resume = first.resumptionTicket;
    if (resume === undefined) throw new Error('no ticket');
    await first.close();
    const silent = await silentSocket(await closedPort());
    const address = `127.0.0.1:${silent.port}`;
    const session = client.connect(address, {
      ...any,
      resume,
      earlyData: Buffer.from('once'),
      timeout: 1_000,
      retry: {
        ...quick,
        attempts: 1_000,
        onRetry: ({ attempt }) => {
          // The peer comes to the port that was deaf to the first try.
          if (attempt === 1) void silent.close().then(() => server.rebind({ port: silent.port }));
        },
      },
    });
    const accepted = await next(sessions);
    expect(accepted.earlyData).toBeUndefined();
    expect(accepted.resumed).toBe(false);
    expect(await session).toMatchObject({ resumed: false, earlyDataStatus: 'unknown' });
  });

  test('bad options are refused by name', async () => {
    const client = await endpoint({ sharedSeed });
    const connect = client.connect('127.0.0.1:1', { ...any, retry: { attempts: 0 } });
    await expect(connect).rejects.toMatchObject({
      name: 'SttOptionError',
      option: 'retry.attempts',
    });
  });
});

describe('an endpoint with a breaker', () => {
  test('refuses a peer that failed too often, tells so, and finds it again', async () => {
    const client = await endpoint({ sharedSeed, breaker: { minimum: 2, halfOpenAfter: 4_000 } });
    const published = listen('stt.breaker.change');
    const changes: CircuitChangeEvent[] = [];
    client.on('circuitChange', (event) => changes.push(event));
    const port = await closedPort();
    const peer = `127.0.0.1:${port}`;
    for (let n = 0; n < 2; n += 1) {
      await expect(client.connect(peer, any)).rejects.toMatchObject({ code: 0x0102 });
    }
    const refused = await client.connect(`stt://${peer}`, any).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(CircuitOpenError);
    expect(refused).toMatchObject({ peer, cause: { code: 0x0102 } });
    expect(client.breakers).toMatchObject([{ peer, state: 'open', total: 2, failed: 2 }]);
    const server = await endpoint({ sharedSeed, port });
    server.serve(() => {});
    // The retry waits for the circuit instead of asking it over and over.
    const tries: RetryEvent[] = [];
    const session = await client.connect(peer, {
      ...any,
      retry: { base: 1, onRetry: (event) => tries.push(event) },
    });
    expect(await session.ping()).toBeGreaterThan(0);
    expect(tries.length).toBeLessThanOrEqual(2);
    expect(tries[0]?.error).toBeInstanceOf(CircuitOpenError);
    expect(changes.map(({ state }) => state)).toEqual(['open', 'half-open', 'closed']);
    expect(published).toMatchObject([
      { endpoint: client, peer, state: 'open', error: { code: 0x0102 } },
      { state: 'half-open' },
      { state: 'closed' },
    ]);
  });

  test('counts neither aborts nor wrong seeds against a peer', async () => {
    const server = await endpoint({ sharedSeed: generateSeed() });
    server.serve(() => {});
    const silent = await silentSocket();
    onTestFinished(silent.close);
    const client = await endpoint({ sharedSeed, breaker: { minimum: 1, threshold: 0.01 } });
    await expect(client.connect(server.address, any)).rejects.toMatchObject({ code: 0x0103 });
    const signal = AbortSignal.timeout(50);
    const connect = client.connect(`127.0.0.1:${silent.port}`, { ...any, signal });
    await once(signal, 'abort');
    await expect(connect).rejects.toBe(signal.reason);
    expect(client.breakers.map(({ state }) => state)).toEqual(['closed', 'closed']);
  });

  test('has none unless it is asked for, and refuses bad options', async () => {
    const plain = await endpoint({ sharedSeed });
    await expect(plain.connect(`127.0.0.1:${await closedPort()}`, any)).rejects.toThrow();
    expect(plain.breakers).toEqual([]);
    await expect(endpoint({ breaker: { threshold: 2 } })).rejects.toMatchObject({
      option: 'breaker.threshold',
    });
  });

  test('importing the package loads no dependency', async () => {
    const body = `import { createRequire } from 'node:module';
      await import('@seigr/stt');
      const loaded = Object.keys(createRequire(import.meta.url).cache ?? {});
      console.log(loaded.filter((path) => path.includes('node_modules')).length);`;
    const args = ['--input-type=module', '--eval', body];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
    expect(stdout).toBe('0\n');
  });
});
