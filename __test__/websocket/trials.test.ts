import { describe, expect, test } from 'vitest';
import type { Wish } from '../../ts/carriers/trials.ts';
import { Trials } from '../../ts/carriers/trials.ts';
import { random as seeded } from '../../ts/testing/random.ts';

/** What the network does to a carrier at some time. */
interface Weather {
  /** Bytes a second. */
  readonly rate: number;
  /** Share of UDP's packets that are lost. */
  readonly loss?: number;
  /** It answers, or opens, at all. */
  readonly works?: boolean;
}

interface World {
  readonly udp: (second: number) => Weather;
  readonly websocket: (second: number) => Weather;
  /** Whether there is something to carry. */
  readonly demand?: (second: number) => boolean;
  readonly sending?: boolean;
  readonly rtt?: number;
  readonly starts?: 'udp' | 'websocket';
}

interface Move {
  readonly at: number;
  readonly to: string;
  readonly reason: Wish['reason'];
  readonly measured: Wish['measured'];
}

/** Milliseconds of a step of virtual time. */
const STEP = 100;
/** Milliseconds that a move takes, or that one takes to fail. */
const MOVE = 100;

/** Lets a session live in such a world for so many seconds: where it went, and what it carried. */
function live(seconds: number, world: World): { moves: Move[]; carried: number; on: string } {
  const { sending = true, rtt = 40, demand = () => true, starts = 'udp' } = world;
  const trials = new Trials(0, starts);
  let on: 'udp' | 'websocket' = starts;
  let [bytes, carried, strainAt, pending] = [0, 0, 2_000, 0];
  let wished: Wish | undefined;
  const moves: Move[] = [];
  for (let now = 0; now < 1_000 * seconds; now += STEP) {
    const second = now / 1_000;
    const { rate, loss = 0 } = world[on](second);
    const busy = demand(second);
    if (busy) bytes += (rate * STEP) / 1_000;
    if (busy) carried += (rate * STEP) / 1_000;
    // As the core tells it: after two bad seconds, and then each second.
    const bad = on === 'udp' && busy && (loss >= 0.15 || (loss >= 0.02 && rate < 131_072));
    if (!bad) strainAt = now + 2_000;
    else if (now >= strainAt) {
      strainAt = now + 1_000;
      const lost = Math.round(loss * 100);
      trials.strained(now, { sending, packets: 100, lost, bytesPerSecond: rate });
    }
    if (now >= (trials.dueAt(now) ?? Number.POSITIVE_INFINITY)) {
      const inFlight = busy && sending ? 20_000 : 0;
      trials.sample(now, {
        acked: sending ? bytes : 0,
        received: sending ? 0 : bytes,
        inFlight,
        rtt,
      });
    }
    const wish = trials.wish(now);
    if (wish?.to !== wished?.to) {
      wished = wish;
      pending = now + MOVE;
    }
    if (wish !== undefined && now >= pending) {
      if (world[wish.to](second).works === false) trials.failed(now);
      else {
        on = wish.to;
        bytes = 0;
        strainAt = now + 2_000;
        moves.push({ at: now, to: wish.to, reason: wish.reason, measured: wish.measured });
        trials.taken(now, wish.to);
      }
      wished = undefined;
      pending = now + MOVE;
    }
  }
  return { moves, carried, on };
}

const KB = 1_000;
const MB = 1_000_000;
const told = (moves: readonly Move[]): string[] => moves.map(({ to, reason }) => `${to} ${reason}`);
const throttled: Weather = { rate: 32 * KB, loss: 0.6 };
const good: Weather = { rate: 10 * MB };

describe('trials of carriers', () => {
  test.each([true, false])(
    'UDP that starves is left for good while it does (sending: %s)',
    (sending) => {
      const { moves, on, carried } = live(7_200, {
        udp: () => throttled,
        websocket: () => good,
        sending,
      });
      expect(on).toBe('websocket');
      const [first, ...later] = moves;
      expect(first?.at).toBeLessThan(3_000);
      expect(first?.reason).toBe('starved');
      expect(first?.measured).toEqual({
        direction: sending ? 'sending' : 'receiving',
        udpRate: 32 * KB,
        lossRate: 0.6,
      });
      // Each time UDP is tried, it is left again, and each pause is twice as long up to ten minutes.
      expect(new Set(told(later))).toEqual(new Set(['udp recovered', 'websocket trial-lost']));
      const tries = later.filter(({ to }) => to === 'udp').map(({ at }) => at / 1_000);
      const pauses = tries.slice(1).map((at, index) => at - (tries[index] as number));
      expect(tries[0]).toBeGreaterThan(30);
      expect(tries[0]).toBeLessThan(40);
      pauses.reduce((before, pause) => {
        expect(pause).toBeGreaterThan(Math.min(1.8 * before, 599));
        return pause;
      }, 30);
      expect(tries.length).toBeLessThan(18);
      expect(carried).toBeGreaterThan(0.98 * 3_600 * good.rate);
    },
  );

  test('a link that is slow for both loses next to nothing by trials, and they get rare', () => {
    const slow = { rate: 32 * KB };
    const world: World = { udp: () => throttled, websocket: () => slow };
    const { moves, carried, on } = live(7_200, world);
    expect(on).toBe('udp');
    expect(new Set(told(moves))).toEqual(new Set(['websocket starved', 'udp trial-lost']));
    expect(moves.filter(({ to }) => to === 'websocket').length).toBeLessThan(18);
    expect(carried).toBeGreaterThan(0.99 * 7_200 * slow.rate);
    const { measured } = moves[1] as Move;
    expect(measured.websocketRate).toBeCloseTo(32 * KB, -3);
    expect(measured.udpRate).toBe(32 * KB);
  });

  test('a WebSocket that is worse is left at once', () => {
    const { moves, on } = live(60, {
      udp: () => ({ rate: MB, loss: 0.2 }),
      websocket: () => ({ rate: 100 * KB }),
    });
    expect(told(moves)).toEqual([
      'websocket starved',
      'udp trial-lost',
      'websocket starved',
      'udp trial-lost',
    ]);
    expect((moves[1]?.at ?? 0) - (moves[0]?.at ?? 0)).toBeLessThan(4_000);
    expect(on).toBe('udp');
  });

  test('a session returns when UDP has recovered, and stays', () => {
    const { moves, on } = live(3_600, {
      udp: (second) => (second < 100 ? throttled : good),
      websocket: () => good,
    });
    expect(on).toBe('udp');
    expect(told(moves)).toEqual([
      'websocket starved',
      'udp recovered',
      'websocket trial-lost',
      'udp recovered',
    ]);
    // At the second try: 30 s after the first move, and then 60 s after the lost one.
    expect(moves[3]?.at).toBeLessThan(140_000);
  });

  test('a WebSocket by which nothing comes at all is left', () => {
    const { moves } = live(20, {
      udp: () => throttled,
      websocket: () => ({ rate: 0 }),
      sending: false,
    });
    expect(told(moves)).toEqual(['websocket starved', 'udp trial-lost']);
  });

  test('UDP that is nearly as good is kept, and one that is half as good is not', () => {
    const recovering = (rate: number): World => ({
      udp: (second) => (second < 10 ? throttled : { rate }),
      websocket: () => ({ rate: MB }),
    });
    expect(live(60, recovering(0.8 * MB)).on).toBe('udp');
    expect(live(60, recovering(0.6 * MB)).on).toBe('websocket');
  });

  test('a burst that a policer lets through at first brings nobody back again and again', () => {
    // Each return finds a good UDP, which starves a few seconds later.
    let since = Number.NEGATIVE_INFINITY;
    let before = 0;
    const udp = (second: number): Weather => {
      if (second - before > 1) since = second;
      before = second;
      return second - since < 6 ? good : throttled;
    };
    const { moves } = live(3_600, { udp, websocket: () => ({ rate: 2 * MB }) });
    const returns = moves.filter(({ to }) => to === 'udp').map(({ at }) => at);
    expect(returns.length).toBeGreaterThan(2);
    expect(returns.length).toBeLessThan(11);
    expect(moves.length).toBeLessThan(2 * 11 + 1);
  });

  test('nothing is tried while nobody has anything to send, and the clock of a trial stands still', () => {
    const { moves, on } = live(500, {
      udp: () => throttled,
      websocket: () => good,
      // A session that has something to say for the first 2.5 seconds, and then in bursts.
      demand: (second) => second < 2.15 || (second > 300 && second % 20 < 5),
    });
    expect(on).toBe('websocket');
    expect(told(moves.filter(({ at }) => at < 300_000))).toEqual(['websocket starved']);
    const [, back, again] = moves;
    expect(back?.at).toBeGreaterThan(300_000);
    expect([back?.reason, again?.reason]).toEqual(['recovered', 'trial-lost']);
  });

  test('UDP that answers no more when it is tried makes the next try later', () => {
    const { moves, on } = live(3_600, {
      udp: (second) => (second < 10 ? throttled : { rate: 0, works: false }),
      websocket: () => good,
    });
    expect([told(moves), on]).toEqual([['websocket starved'], 'websocket']);
  });

  test('where no WebSocket opens, few are dialled', () => {
    let dials = 0;
    const websocket = (): Weather => {
      dials += 1;
      return { rate: 0, works: false };
    };
    const { moves, on } = live(7_200, { udp: () => throttled, websocket });
    expect([moves, on]).toEqual([[], 'udp']);
    expect(dials).toBeLessThan(18);
  });

  test('UDP that falls silent in the middle of its trial has lost it', () => {
    const trials = new Trials(0, 'udp');
    trials.strained(2_000, { sending: true, packets: 20, lost: 10, bytesPerSecond: 1_000 });
    trials.taken(2_100, 'websocket');
    const sample = (now: number, acked: number): void =>
      trials.sample(now, { acked, received: 0, inFlight: 9_000, rtt: 1 });
    for (let now = 2_100; now < 40_000; now += 200) sample(now, (now - 2_100) * 1_000);
    expect(trials.wish(40_000)?.to).toBe('udp');
    trials.taken(40_000, 'udp');
    expect(trials.wish(40_100)).toBeUndefined();
    trials.silent();
    expect(trials.wish(40_100)).toMatchObject({ to: 'websocket', reason: 'trial-lost' });
  });

  test('silence of a path that is bad but alive is borne for a while, where a WebSocket was no better', () => {
    const trials = new Trials(0, 'udp');
    expect(trials.bears(0, 0)).toBe(false);
    trials.strained(2_000, { sending: true, packets: 20, lost: 10, bytesPerSecond: 1_000 });
    expect(trials.bears(2_000, 2_000)).toBe(false);
    trials.failed(2_100);
    expect(trials.bears(3_000, 2_500)).toBe(true);
    expect(trials.bears(5_000, 2_500)).toBe(false);
    expect(trials.bears(40_000, 39_900)).toBe(false);
  });

  test('a session that begins on a WebSocket because UDP starved another measures before it returns', () => {
    const trials = new Trials(0, 'websocket', 'receiving');
    expect([trials.calm, trials.starved]).toEqual([false, 'receiving']);
    expect(new Trials(0, 'websocket').calm).toBe(true);
    expect(new Trials(0, 'udp', 'sending').calm).toBe(true);
  });

  // Whatever the network does: moves are as few as their pauses allow.
  test.each([11, 12, 13, 14])('no weather makes it flap (seed %i)', (seed) => {
    const random = seeded(seed);
    const below = (limit: number): number => Math.floor(limit * random());
    const weather = (kinds: readonly Weather[]): ((second: number) => Weather) => {
      let [until, now] = [0, kinds[0] as Weather];
      return (second) => {
        if (second >= until) {
          until = second + 1 + below(400);
          now = kinds[below(kinds.length)] as Weather;
        }
        return now;
      };
    };
    let busyUntil = 0;
    let busy = true;
    const hours = 3;
    const { moves } = live(hours * 3_600, {
      udp: weather([throttled, { rate: MB, loss: 0.4 }, good, { rate: 0, works: false }]),
      websocket: weather([good, { rate: 20 * KB }, { rate: MB }, { rate: 0, works: false }]),
      demand: (second) => {
        if (second >= busyUntil) {
          busyUntil = second + 1 + below(60);
          busy = !busy || below(3) > 0;
        }
        return busy;
      },
      sending: seed % 2 === 0,
      rtt: 1 + below(300),
    });
    // Pauses of 30, 60, 120, 240, 480 and then 600 s, of tries and of returns; two moves for each.
    const rounds = 2 * (5 + Math.ceil((hours * 3_600) / 600));
    expect(moves.length).toBeLessThan(2 * rounds);
    // Over any minute there are no more than there and back twice.
    for (const { at } of moves) {
      const near = moves.filter((move) => move.at >= at && move.at < at + 60_000);
      expect(near.length).toBeLessThanOrEqual(4);
    }
  });
});
