// What stands on the way of a WebSocket's TCP: one that stops passing anything on without a word, as a host that vanishes
// or a firewall that forgets a flow, and one that holds back what it passes on.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { SettledInfo, SttEndpoint, SttSession } from '@seigr/stt';
import { generateSeed } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { endpoint } from '../contract/pair.ts';
import { echo, listening } from './support.ts';

/** How bytes that came from one end get to the other. */
type Passing = (from: Socket, to: Socket) => void;

/** A TCP proxy to `port` on this machine. */
async function proxy(port: number, pass: Passing): Promise<{ port: number; ends: Socket[] }> {
  const ends: Socket[] = [];
  const server = createTcpServer((socket) => {
    const upstream = connectTcp(port, '127.0.0.1');
    for (const end of [socket, upstream]) {
      ends.push(end);
      end.setNoDelay(true);
      end.on('error', () => end.destroy());
      onTestFinished(() => void end.destroy());
    }
    pass(socket, upstream);
    pass(upstream, socket);
  });
  return { port: await listening(server), ends };
}

interface Both {
  readonly client: SttEndpoint;
  readonly session: SttSession;
  readonly accepted: SttSession;
  readonly ends: Socket[];
}

/** A session by a WebSocket alone, through such a proxy. */
async function through(pass: Passing, timings: object = {}): Promise<Both> {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed, ...timings });
  const client = await endpoint({ sharedSeed, ...timings });
  const listener = server.listen({ websocket: { port: 0 } });
  await listener.ready;
  const between = await proxy(listener.websocketAddress?.port ?? 0, pass);
  const sessions = listener[Symbol.asyncIterator]();
  const [session, { value: accepted }] = await Promise.all([
    client.connect(`127.0.0.1:${between.port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
    }),
    sessions.next(),
  ]);
  return { client, session, accepted: accepted as SttSession, ends: between.ends };
}

describe('a connection that is half open', () => {
  const TIMINGS = { keepAliveInterval: 300, keepAliveTimeout: 4_000 };
  /** Beyond its time: for a packet that was under way when the silence began, and for a busy machine. */
  const GRACE = 1_500;

  /** Passes bytes on until it is told to stop, and from then on takes none either: no FIN, no RST, full buffers. */
  function stoppable(): { pass: Passing; stop: () => void } {
    const pausing: (() => void)[] = [];
    return {
      pass: (from, to) => {
        const forward = (chunk: Buffer): void => void to.write(chunk);
        from.on('data', forward);
        pausing.push(() => {
          from.removeListener('data', forward);
          from.pause();
        });
      },
      stop: () => {
        for (const pause of pausing) pause();
      },
    };
  }

  /** Stops it, and says whether both sides ended when they had to, as far as a clock can tell. */
  async function endsInTime({ session, accepted }: Both, stop: () => void): Promise<boolean> {
    const started = performance.now();
    const ended = async (side: SttSession): Promise<[SettledInfo, number]> => {
      const info = await side.settled;
      return [info, performance.now() - started];
    };
    const both = [ended(session), ended(accepted)];
    stop();
    let inTime = true;
    for (const [{ reason, origin, error }, ms] of await Promise.all(both)) {
      expect({ reason, origin, code: error?.code }).toEqual({
        reason: 'timeout',
        origin: 'idle',
        code: 0x0202,
      });
      // What came last was less than an interval before.
      inTime &&= ms > TIMINGS.keepAliveTimeout - TIMINGS.keepAliveInterval - 100;
      inTime &&= ms < TIMINGS.keepAliveTimeout + GRACE;
    }
    return inTime;
  }

  /** Others may have the processor meanwhile: the best of several counts. */
  async function bestOf(act: () => Promise<boolean>): Promise<void> {
    let inTime = false;
    for (let round = 0; round < 10 && !inTime; round += 1) inTime = await act();
    expect(inTime).toBe(true);
  }

  test('an idle session notices within keepAliveTimeout, at both sides, and hangs up', () =>
    bestOf(async () => {
      const { pass, stop } = stoppable();
      const both = await through(pass, TIMINGS);
      await echoed(both, 1_000);
      const hungUp = both.ends.map((end) => once(end, 'close'));
      const inTime = await endsInTime(both, stop);
      // Its own end of the TCP connection is given up as well, whatever waits there.
      for (const end of both.ends) end.resume();
      await Promise.all(hungUp);
      return inTime;
    }));

  test('so does one in the middle of a transfer, and holds no more than its buffers till then', () =>
    bestOf(async () => {
      const { pass, stop } = stoppable();
      const both = await through(pass, TIMINGS);
      const stream = await both.session.createUnidirectionalStream();
      const sending = (async () => {
        const block = Buffer.alloc(65_536);
        while (true) await stream.write(block);
      })();
      const { value: incoming } =
        await both.accepted.incomingUnidirectionalStreams[Symbol.asyncIterator]().next();
      let bytes = 0;
      const reading = (async () => {
        for await (const chunk of incoming ?? []) bytes += chunk.length;
      })();
      await expect.poll(() => bytes, { interval: 5 }).toBeGreaterThan(4 << 20);
      let most = 0;
      const watch = setInterval(() => {
        most = Math.max(most, both.client.stats()?.memoryUsed ?? 0);
      }, 20);
      onTestFinished(() => clearInterval(watch));
      const timeout = { reason: 'timeout', origin: 'idle' };
      const [inTime] = await Promise.all([
        endsInTime(both, stop),
        expect(sending).rejects.toMatchObject(timeout),
        expect(reading).rejects.toMatchObject(timeout),
      ]);
      // sendBufferSize, and what the WebSocket was given of it.
      expect(stream.bytesWritten - stream.bytesAcknowledged).toBeLessThanOrEqual(2 << 20);
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThan(6 << 20);
      return inTime;
    }));
});

describe('a proxy that holds back', () => {
  /** Passes on what has come once there are so many bytes, or so many milliseconds after the first of them. */
  function holding(most: number, ms: number): { pass: Passing; passed: () => number } {
    let passed = 0;
    return {
      passed: () => passed,
      pass: (from, to) => {
        let held: Buffer[] = [];
        let bytes = 0;
        let timer: NodeJS.Timeout | undefined;
        const flush = (): void => {
          clearTimeout(timer);
          timer = undefined;
          const all = Buffer.concat(held);
          held = [];
          bytes = 0;
          passed += 1;
          if (!to.write(all)) {
            from.pause();
            to.once('drain', () => from.resume());
          }
        };
        from.on('data', (chunk: Buffer) => {
          held.push(chunk);
          bytes += chunk.length;
          if (bytes >= most) flush();
          else timer ??= setTimeout(flush, ms);
        });
        from.on('close', () => clearTimeout(timer));
      },
    };
  }

  test.each([
    { what: '16 KiB or 20 ms', most: 16_384, ms: 20 },
    { what: '256 KiB or 100 ms', most: 262_144, ms: 100 },
    { what: '3 bytes more than a message, or 40 ms', most: 65_536 + 3, ms: 40 },
  ])('delays a session, and changes nothing else: $what', async ({ most, ms }) => {
    const { pass, passed } = holding(most, ms);
    const both = await through(pass, { keepAliveInterval: 500, keepAliveTimeout: 60_000 });
    const { id } = both.session;
    for (const size of [1, 1_000, 100_000, 3_000_000]) await echoed(both, size);
    // Both ways at once, each in the other's way.
    await Promise.all([echoed(both, 1_000_000), echoed(both, 1_000_000)]);
    expect([both.session.id, both.accepted.id]).toEqual([id, id]);
    expect(both.session.stats()?.packetsLost).toBe(0);
    expect(passed()).toBeGreaterThan(10);
    await Promise.all([both.session.close(), both.accepted.settled]);
    await expect(both.session.settled).resolves.toMatchObject({ reason: 'graceful' });
  });
});

/** What one side sends comes back from the other. */
async function echoed({ session, accepted }: Both, size: number): Promise<void> {
  const answering = (async () => {
    const { value: stream } =
      await accepted.incomingBidirectionalStreams[Symbol.asyncIterator]().next();
    if (stream === undefined) throw new Error('the session was over');
    await stream.write(await stream.bytes());
    await stream.end();
  })();
  await Promise.all([echo(session, size), answering]);
}
