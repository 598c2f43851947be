import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Failover } from '../../ts/carriers/failover.ts';

/** An engine whose moves do as the network of the test has it: they are proved at once, or never. */
function world(network: { udp: boolean; proof?: number }) {
  const moves: { at: number; to: 'udp' | 'websocket'; reason: string | undefined }[] = [];
  const opened: number[] = [];
  const engine = {
    seekPath: () => {},
    sessionStats: () => undefined,
    cancelMove: () => {},
    moveSession: (_: number, token: number, _local: unknown, address: unknown) => {
      const to = address === undefined ? 'websocket' : 'udp';
      if (to === 'udp' && !network.udp) {
        setTimeout(() => failover.onMove(token, false), 300);
        return;
      }
      setTimeout(() => {
        // In this order, as the core tells them.
        const reason = failover.onPathChange(to)?.reason;
        moves.push({ at: performance.now(), to, reason });
        failover.onMove(token, true);
      }, network.proof ?? 1);
    },
  };
  const failover = new Failover(
    {
      engine: engine as never,
      session: 1,
      udp: async () => ({ address: '192.0.2.1', port: 7788, family: 'IPv4' }),
      dial: async (signal) => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        signal.throwIfAborted();
        return opened.push(opened.length + 1);
      },
      discard: () => {},
      moving: () => false,
      starved: undefined,
      onVerdict: () => {},
    },
    'udp',
  );
  return { failover, moves, opened };
}

const seconds = (count: number) => vi.advanceTimersByTimeAsync(1_000 * count);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a session that goes back to UDP', () => {
  /** Milliseconds that the session was on its WebSocket, each time. */
  async function away(rounds: number, onUdp: number): Promise<number[]> {
    const { failover, moves } = world({ udp: true });
    const times: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await seconds(onUdp);
      const before = moves.length;
      failover.onSilence(true);
      for (let waited = 0; moves.length < before + 2 && waited < 600; waited += 1) await seconds(1);
      const [there, back] = moves.slice(before);
      expect([there?.to, back?.to]).toEqual(['websocket', 'udp']);
      times.push(Math.round(((back?.at ?? 0) - (there?.at ?? 0)) / 100) / 10);
    }
    failover.end();
    return times;
  }

  test('does so after five seconds each time, if UDP was good in between', async () => {
    expect(await away(5, 60)).toEqual([5, 5, 5, 5, 5]);
  });

  test('waits for twice as long each time, if UDP was not', async () => {
    expect(await away(4, 10)).toEqual([5, 10, 20, 40]);
  });

  test('trusts UDP that was silent for a moment and did not make it move', async () => {
    const { failover, moves } = world({ udp: true });
    await seconds(60);
    failover.onSilence(true);
    await seconds(6);
    expect(moves.map(({ to }) => to)).toEqual(['websocket', 'udp']);
    for (let blip = 0; blip < 4; blip += 1) {
      failover.onSilence(true);
      failover.onSilence(false);
      await seconds(10);
    }
    failover.onSilence(true);
    await seconds(6);
    expect(moves.map(({ to }) => to)).toEqual(['websocket', 'udp', 'websocket', 'udp']);
    failover.end();
  });

  test('tries more and more rarely while UDP does not answer, and is back to five seconds after', async () => {
    const network = { udp: true };
    const { failover, moves } = world(network);
    await seconds(60);
    network.udp = false;
    failover.onSilence(true);
    await seconds(300);
    expect(moves.map(({ to }) => to)).toEqual(['websocket']);
    network.udp = true;
    await seconds(61);
    expect(moves.map(({ to }) => to)).toEqual(['websocket', 'udp']);
    await seconds(60);
    failover.onSilence(true);
    await seconds(6);
    expect(moves.map(({ to }) => to)).toEqual(['websocket', 'udp', 'websocket', 'udp']);
    failover.end();
  });

  test('says why of a move that was made before it could be given up', async () => {
    const { failover, moves } = world({ udp: true, proof: 40 });
    await seconds(60);
    failover.onSilence(true);
    // The dial takes 50 ms. Then the move is under way, and UDP is heard again before the core tells of it.
    await seconds(0.07);
    failover.onSilence(false);
    await seconds(1);
    expect(moves).toMatchObject([{ to: 'websocket', reason: 'silent' }]);
    // Another has nothing to do with it.
    expect(failover.onPathChange('udp')).toBeUndefined();
    failover.end();
  });

  test('has lost the trial of a path that the peer does not take', async () => {
    const { failover, moves } = world({ udp: true });
    failover.onStrain({ sending: true, packets: 100, lost: 60, bytesPerSecond: 30_000 });
    await seconds(1);
    expect(moves).toMatchObject([{ to: 'websocket', reason: 'starved' }]);
    expect(failover.onPathChange('udp')).toMatchObject({
      reason: 'trial-lost',
      measured: { direction: 'sending', udpRate: 30_000 },
    });
    // No other is made before the pause is over, as after each that was lost.
    failover.onStrain({ sending: true, packets: 100, lost: 60, bytesPerSecond: 30_000 });
    await seconds(20);
    expect(moves).toHaveLength(1);
    failover.end();
  });

  test('opens no WebSocket any more once UDP has taken the place of one that broke', async () => {
    const { failover, moves, opened } = world({ udp: true });
    failover.onSilence(true);
    await seconds(1);
    failover.onLost();
    await seconds(1);
    expect(moves.map(({ to }) => to)).toEqual(['websocket', 'udp']);
    expect(opened).toHaveLength(1);
    failover.end();
  });
});
