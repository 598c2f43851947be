import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BenchServer } from '../../ts/cli/bench/serve.ts';
import { BENCH_PURPOSE, BYTES_PURPOSE, readAnswer, say } from '../../ts/cli/bench/talk.ts';
import { ByteReader } from '../../ts/cli/transfer/byte-reader.ts';
import { SttEndpoint, type SttSession, type SttStream } from '../../ts/index.ts';
import { Stt, seedFile, startRecv, stt, temporaryFolder } from './stt.ts';
import { Terminal } from './terminal.ts';

const SHORT = ['--seconds', '150ms', '--warm-up', '50ms'];

/** `stt bench --listen`, its port and node id. */
async function listen(
  seed: string,
  ...more: string[]
): Promise<{ listener: Stt; port: number; webSocketPort: number }> {
  const args = ['--listen', '127.0.0.1:0', '--seed-file', seed, '--json'];
  const listener = new Stt(['bench', ...args, ...more]);
  const { port, websocketPort } = await listener.record(({ event }) => event === 'listening');
  return { listener, port: port as number, webSocketPort: Number(websocketPort) };
}

describe('stt bench', () => {
  test('measures both directions, and both at once; other commands reach the listener meanwhile', async () => {
    const seed = await seedFile(await temporaryFolder());
    const { listener, port, webSocketPort } = await listen(seed, '--websocket', '127.0.0.1:0');
    const to = [`127.0.0.1:${port}`, '--seed-file', seed];
    const shown = new Terminal(['bench', ...to, ...SHORT]);
    expect(await shown.end()).toBe(0);
    const lines = shown.screen.split('\n');
    const rtt = 'rtt min/p50/p90/p99/max [\\d.]+(/[\\d.]+){4} ms';
    const cpu =
      /^ {11}CPU \d+ % of a core here, \d+ % there; \d+ of \d+ packets lost and sent again$/;
    const run = (label: RegExp) => [
      expect.stringMatching(label),
      expect.stringMatching(new RegExp(`^ {11}(${rtt}|no round trip came back)$`)),
      expect.stringMatching(cpu),
    ];
    expect(lines).toEqual([
      expect.stringMatching(/^connected to 127\.0\.0\.1:\d+ in [\d.]+ ms by UDP$/),
      expect.stringMatching(/^node id [0-9a-f]{64}$/),
      expect.stringMatching(new RegExp(`^idle {7}${rtt}$`)),
      ...run(/^to it {6}[\d.]+ [kMG]?B\/s \([\d.]+ [kMG]?bit\/s\)$/),
      ...run(/^from it {4}[\d.]+ [kMG]?B\/s \([\d.]+ [kMG]?bit\/s\)$/),
      ...run(/^both ways {2}to [\d.]+ [kMG]?B\/s \(.+\), from [\d.]+ [kMG]?B\/s \(.+\)$/),
      expect.stringMatching(/^by UDP, datagrams of \d+ bytes$/),
    ]);

    const byWebSocket = [`127.0.0.1:${webSocketPort}`, '--seed-file', seed];
    const carrier = ['--transport', 'websocket', '--json'];
    // A second, in which something gets through on a machine that others use as well.
    const long = ['--seconds', '1s', '--warm-up', '50ms'];
    const measuring = new Stt(['bench', ...byWebSocket, ...long, ...carrier]);
    await measuring.record(({ event }) => event === 'idle');
    expect((await stt(['ping', ...to, '-c', '1', '--json'])).code).toBe(0);
    const { code, records, stderr } = await measuring.end();
    expect([code, stderr]).toEqual([0, '']);
    expect(records.map(({ event }) => event)).toEqual([
      ...['connected', 'idle', 'run', 'run', 'run', 'bench'],
    ]);
    const positive = expect.toSatisfy((value: unknown) => Number(value) > 0);
    const rates = records.slice(2, 5).map(({ bytesPerSecond }) => bytesPerSecond);
    expect(rates).toEqual([
      { up: positive, down: null },
      { up: null, down: positive },
      { up: positive, down: positive },
    ]);
    expect(records.at(-1)).toMatchObject({ transport: 'websocket', moves: 0 });
    expect(await listener.record(({ event }) => event === 'benched')).toMatchObject({ runs: 3 });
    listener.child.kill('SIGINT');
    expect((await listener.end()).code).toBe(130);
  });

  test('what cannot be gets two lines and its code; a receiver declines and goes on', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { recv, port: other } = await startRecv(folder, seed);
    const { port } = await listen(seed, '--max-seconds', '1s');
    const of = (at: number) => ['bench', `127.0.0.1:${at}`, '--seed-file', seed];
    const cases = [
      [[...of(other), ...SHORT], 5, /^whatever listens there takes no part in benches\.$/m],
      [[...of(port), '--seconds', '2s'], 5, /^the peer declined: it measures for 1 s at most/m],
      [['bench'], 2, /^error: either a peer or --listen is needed/m],
    ] as const;
    await Promise.all(
      cases.map(async ([args, code, words]) => {
        const ended = await stt(args);
        expect([args, ended.code, ended.stderr]).toEqual([
          args,
          code,
          expect.stringMatching(words),
        ]);
        expect(ended.stderr).toMatch(/\nTry: .+\n$/);
      }),
    );
    expect(recv.child.exitCode).toBe(null);
    const long = new Stt([...of(port), '--seconds', '1s', '--json']);
    await long.record(({ event }) => event === 'idle');
    long.child.kill('SIGINT');
    expect((await long.end()).code).toBe(130);
  });
});

/** A listener in this process, with short limits, and a session of somebody who may be hostile. */
async function hostile(
  patienceMs = 60_000,
  sharedSeed: Uint8Array = crypto.getRandomValues(new Uint8Array(32)),
): Promise<{
  server: { failures: unknown[]; port: number };
  session: SttSession;
  /** Another session, of somebody with good intentions. */
  again: () => Promise<SttSession>;
}> {
  const there = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1' });
  const here = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1' });
  onTestFinished(async () => {
    here.destroy();
    there.destroy();
  });
  const failures: unknown[] = [];
  const limits = { maxMs: 200, patienceMs, graceMs: 50 };
  const server = new BenchServer(limits, new AbortController().signal, {
    onBench: () => undefined,
    onFailure: (error) => failures.push(error),
  });
  there.serve((session) => server.serve(session));
  const again = (): Promise<SttSession> =>
    here.connect(there.address, { peerNodeId: there.nodeId, transport: 'udp' });
  return { server: { failures, port: there.address.port }, session: await again(), again };
}

const control = (session: SttSession): Promise<SttStream> =>
  session.createBidirectionalStream({ purpose: BENCH_PURPOSE });

/** What the listener answers to a run. */
async function asks(session: SttSession, ms: number): Promise<unknown> {
  const stream = await control(session);
  await say(stream, { direction: 'down', warmUpMs: 0, ms });
  return readAnswer(new ByteReader(stream.batches()));
}

/** Resolves once the other side of a session has ended its stream of that purpose. */
function closedThere(session: SttSession, purpose: string): Promise<void> {
  return new Promise((resolve) => {
    const note = (message: unknown): void => {
      const told = message as { session: SttSession; stream: SttStream };
      if (told.session === session || told.session.id !== session.id) return;
      if (told.stream.purpose !== purpose) return;
      unsubscribe('stt.stream.closed', note);
      resolve();
    };
    subscribe('stt.stream.closed', note);
    onTestFinished(() => void unsubscribe('stt.stream.closed', note));
  });
}

describe('a listener of benches among strange peers', () => {
  test('asked for ever, it declines', async () => {
    const { session } = await hostile();
    for (const ms of [201, 1e300]) {
      expect(await asks(session, ms)).toMatchObject({ accept: false, busy: false });
    }
  });

  test('not read, it stops by itself, with bounded bytes on the way', async () => {
    const { session } = await hostile();
    expect(await asks(session, 200)).toEqual({ accept: true });
    const over = closedThere(session, BYTES_PURPOSE);
    const bytes = await session.createBidirectionalStream({ purpose: BYTES_PURPOSE });
    // Nobody reads and nobody stops it: the stream is reset when its time is up.
    await bytes.end().catch(() => undefined);
    await over;
    let came = 0;
    const read = async (): Promise<void> => {
      for await (const chunk of bytes.values()) came += chunk.length;
    };
    await expect(read()).rejects.toMatchObject({ code: 0x0301 });
    expect(came).toBeLessThanOrEqual(2 * 1024 * 1024);
  });

  test('held and left standing, it has room for the next before long', async () => {
    const { server, session, again } = await hostile(1_000);
    const held = await control(session);
    // The first bytes of a message that never comes.
    await held.write(Uint8Array.of(9));
    const next = await again();
    const taken = (): Promise<unknown> => asks(next, 1).catch((error: unknown) => error);
    await expect.poll(taken).toEqual({ accept: true });
    expect(server.failures[0]).toMatchObject({ message: expect.stringMatching(/did not come/) });
  });

  test('held by one, it tells the others that it is busy: 5', async () => {
    const seed = await seedFile(await temporaryFolder());
    const bytes = Buffer.from((await readFile(seed, 'utf8')).trim(), 'hex');
    const { server, session } = await hostile(60_000, bytes);
    expect(await asks(session, 1)).toEqual({ accept: true });
    const { code, stderr } = await stt([
      ...['bench', `127.0.0.1:${server.port}`, '--seed-file', seed],
    ]);
    expect(code).toBe(5);
    expect(stderr).toMatch(
      /^the peer declined: it measures with another node now\.\nTry: try again in a minute\.\n$/,
    );
  });

  test('what is no message, and bytes that nobody asked for, are declined', async () => {
    const { session, again } = await hostile();
    const bytes = await session.createBidirectionalStream({ purpose: BYTES_PURPOSE });
    await expect(bytes.bytes()).rejects.toMatchObject({ code: 0x0301 });
    for (const message of [{ direction: 'sideways', warmUpMs: 0, ms: 1 }, { ms: null }, []]) {
      const stream = await control(session);
      await say(stream, message as never);
      await expect(stream.bytes()).rejects.toMatchObject({ code: 0x0301 });
    }
    expect(await asks(await again(), 1)).toEqual({ accept: true });
  });
});
