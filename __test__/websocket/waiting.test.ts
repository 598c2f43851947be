import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { checkTrustProxy, Sources, sourceOf, type TrustProxy } from '../../ts/carriers/source.ts';
import { Waiting } from '../../ts/carriers/waiting.ts';

describe('places of those who wait', () => {
  const make = (most: number, mostOfSource: number) => {
    const clock = { now: 0 };
    const waiting = new Waiting(most, mostOfSource, () => clock.now);
    const evicted: string[] = [];
    const enter = (source: string, name = source) =>
      waiting.enter(source, () => evicted.push(name));
    return { waiting, clock, evicted, enter };
  };

  test('a source has its own bound, and its oldest gives way after two seconds', () => {
    const { waiting, clock, evicted, enter } = make(10, 2);
    enter('a', 'first');
    clock.now = 100;
    enter('a', 'second');
    expect(enter('a', 'third')).toBeUndefined();
    clock.now = 1_999;
    expect(enter('a', 'third')).toBeUndefined();
    expect(enter('b')).toBeDefined();
    clock.now = 2_000;
    expect(enter('a', 'third')).toBeDefined();
    expect(evicted).toEqual(['first']);
    expect(enter('a', 'fourth')).toBeUndefined();
    expect(waiting.size).toBe(3);
  });

  test('the source with most places gives one to a newcomer at once', () => {
    const { waiting, evicted, enter } = make(4, 3);
    for (const name of ['first', 'second', 'third']) enter('many', name);
    enter('few');
    expect(enter('new')).toBeDefined();
    expect(evicted).toEqual(['first']);
    // Now nobody has so many more that it would be just.
    expect(enter('few', 'more')).toBeUndefined();
    expect(enter('other')).toBeDefined();
    expect(evicted).toEqual(['first', 'second']);
    expect(enter('yet another')).toBeUndefined();
    expect(waiting.size).toBe(4);
  });

  test('a place that was taken away may be left again', () => {
    const { waiting, clock, enter } = make(1, 1);
    const lost = enter('a');
    clock.now = 5_000;
    const kept = enter('b');
    if (lost !== undefined) waiting.leave(lost);
    expect(waiting.size).toBe(1);
    if (kept !== undefined) waiting.leave(kept);
    expect(waiting.size).toBe(0);
    expect(enter('c')).toBeDefined();
  });
});

describe('where a peer is', () => {
  const remote = (trust: TrustProxy | undefined, connected: string | undefined, header?: string) =>
    new Sources(trust).remoteOf({
      socket: { remoteAddress: connected, remotePort: 5 },
      headers: header === undefined ? {} : { 'x-forwarded-for': header },
    } as unknown as IncomingMessage).address;

  test('the header is nothing unless somebody is trusted', () => {
    expect(remote(false, '192.0.2.1', '198.51.100.7')).toBe('192.0.2.1');
    expect(remote(undefined, '192.0.2.1', '198.51.100.7')).toBe('192.0.2.1');
    expect(remote(['10.0.0.0/8'], '192.0.2.1', '198.51.100.7')).toBe('192.0.2.1');
  });

  test('true believes whoever connects, on one step', () => {
    expect(remote(true, '127.0.0.1', '203.0.113.9, 198.51.100.7')).toBe('198.51.100.7');
    expect(remote(true, undefined, '198.51.100.7')).toBe('198.51.100.7');
    expect(remote(true, '127.0.0.1')).toBe('127.0.0.1');
    expect(remote(true, '127.0.0.1', 'unknown')).toBe('127.0.0.1');
  });

  test('a list is followed from proxy to proxy, and no further than it reaches', () => {
    const trust = ['10.0.0.0/8', '2001:db8::/32', '192.0.2.4'];
    expect(remote(trust, '10.1.1.1', 'forged, 198.51.100.7, 192.0.2.4')).toBe('198.51.100.7');
    expect(remote(trust, '::ffff:10.1.1.1', '198.51.100.7')).toBe('198.51.100.7');
    expect(remote(trust, '2001:db8::5', '2001:db9::1')).toBe('2001:db9::1');
    expect(remote(trust, '10.1.1.1', '10.2.2.2, 10.3.3.3')).toBe('10.2.2.2');
    expect(remote(trust, '10.1.1.1', '198.51.100.7, rubbish, 10.3.3.3')).toBe('10.3.3.3');
  });

  test('addresses as proxies write them', () => {
    const forms = ['198.51.100.7:4711', '[2001:db8::7]:4711', '[2001:db8::7]', 'fe80::1%eth0'];
    expect(forms.map((form) => remote(true, '127.0.0.1', form))).toEqual([
      ...['198.51.100.7', '2001:db8::7', '2001:db8::7', 'fe80::1'],
    ]);
  });

  test('lists that cannot be are refused', () => {
    const wrong = [1, 'loopback', ['localhost'], ['10.0.0.0/33'], ['::/129'], ['1.2.3.4/x'], [7]];
    for (const trust of wrong) expect(() => checkTrustProxy(trust)).toThrowError(/trustProxy/);
    expect(checkTrustProxy(['::1', '10.0.0.0/8'])).toEqual(['::1', '10.0.0.0/8']);
  });

  test('sources are IPv4 addresses and /64s', () => {
    expect(sourceOf('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(sourceOf('2001:db8:1:2:3:4:5:6')).toBe(sourceOf('2001:db8:1:2::9'));
    expect(sourceOf('2001:db8:1:3::9')).not.toBe(sourceOf('2001:db8:1:2::9'));
  });

  test('an operator who has not decided is told once, by proxies nearby alone', () => {
    const told: string[] = [];
    const emit = process.emitWarning;
    process.emitWarning = ((text: string) => told.push(text)) as typeof process.emitWarning;
    try {
      const ask = (sources: Sources, from: string) =>
        sources.remoteOf({
          socket: { remoteAddress: from },
          headers: { 'x-forwarded-for': '198.51.100.7' },
        } as unknown as IncomingMessage);
      const undecided = new Sources(undefined);
      ask(undecided, '203.0.113.1');
      expect(told).toEqual([]);
      ask(undecided, '::ffff:10.0.0.1');
      ask(undecided, '127.0.0.1');
      ask(new Sources(false), '127.0.0.1');
      expect(told).toEqual([expect.stringContaining('trustProxy')]);
    } finally {
      process.emitWarning = emit;
    }
  });
});
