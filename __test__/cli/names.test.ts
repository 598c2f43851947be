import { basename, isAbsolute, join, relative } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { withDefaultPort } from '../../ts/cli/peers/resolve.ts';
import {
  checkName,
  checkRootName,
  NameError,
  numberedName,
  quote,
} from '../../ts/cli/transfer/names.ts';
import {
  formatClock,
  formatDuration,
  formatRate,
  formatSize,
  parseDuration,
  parseSize,
} from '../../ts/cli/units.ts';

describe('names from the network', () => {
  test.each([
    'report.pdf',
    'a',
    '.bashrc',
    'Ünïcödé – ok.txt',
    '日本語.bin',
    'console.log',
    'with space.txt',
    'a(1).b',
    '..a',
  ])('%j is taken', (name) => {
    expect(checkName(name)).toBe(name.normalize('NFC'));
  });

  test.each([
    '',
    '.',
    '..',
    '../a',
    '/a',
    'a/',
    'a\\b',
    'C:a',
    'a:b',
    'nul',
    'NUL.txt',
    'com1',
    'LPT9.log',
    'a\n',
    '\u001b[31m',
    'a.',
    'a ',
    ' a',
    'a\u200bb',
    'a\u202eb',
    'a\u2066b',
    'a\u2028b',
    'a\u2215b',
    '\uff0e\uff0e',
    'a|b',
    'a?',
    '"a"',
    'x'.repeat(256),
    'é'.repeat(200),
    '\ud800',
    'a\u{e0041}',
  ])('%j is refused', (name) => {
    expect(() => checkName(name)).toThrow(NameError);
  });

  test('whatever is taken stays in the folder', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
        let checked: string;
        try {
          checked = checkName(name);
        } catch (error) {
          expect(error).toBeInstanceOf(NameError);
          return;
        }
        const path = join('/inbox', checked);
        expect(basename(path)).toBe(checked);
        expect(
          isAbsolute(relative('/inbox', path)) || relative('/inbox', path).startsWith('../'),
        ).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  test('beside what was received, none of the names that unfinished files have', () => {
    const key = '0'.repeat(32);
    for (const name of ['.stt-x.part', `.stt-${key}.part`, `.STT-${key}.done`, '.stt-'])
      expect(() => checkRootName(name)).toThrow(/kept for unfinished files/);
    for (const name of ['stt-x.part', '.sttrc', 'a.stt-b']) expect(checkRootName(name)).toBe(name);
    expect(() => checkRootName('a/b')).toThrow(NameError);
  });

  test('a quoted name cannot steer a terminal', () => {
    expect(quote('\u001b]0;x\u0007\u202e')).toMatch(/^"[\x20-\x7e]*"$/);
  });

  test('numbered names keep their extension and the length limit', () => {
    expect(numberedName('a.tar', 2)).toBe('a (2).tar');
    expect(numberedName('.rc', 1)).toBe('.rc (1)');
    expect(Buffer.byteLength(numberedName('ü'.repeat(127), 10))).toBeLessThanOrEqual(255);
  });
});

describe('numbers that people write', () => {
  test('sizes', () => {
    expect(parseSize('64M', '--x')).toBe(64 * 2 ** 20);
    expect(parseSize('1.5 GiB', '--x')).toBe(1.5 * 2 ** 30);
    expect(parseSize('0', '--x')).toBe(0);
    for (const text of ['', 'M', '-1', '1X', '1e400', '99999999T'])
      expect(() => parseSize(text, '--x')).toThrow(/--x/);
  });

  test('durations', () => {
    expect([
      parseDuration('1h', '--x'),
      parseDuration('250ms', '--x'),
      parseDuration('2', '--x'),
    ]).toEqual([3_600_000, 250, 2_000]);
    for (const text of ['', '0s', 'soon', '-1s'])
      expect(() => parseDuration(text, '--x')).toThrow(/--x/);
    // What a timer of Node can wait for.
    expect(parseDuration('24d', '--x')).toBeLessThan(2 ** 31);
    for (const text of ['25d', '577h', '2147484', '1e9'])
      expect(() => parseDuration(text, '--x')).toThrow(/--x/);
  });

  test('what is shown', () => {
    expect([
      formatSize(0),
      formatSize(1536),
      formatRate(2_500_000),
      formatClock(61),
      formatClock(3_725),
      formatClock(Number.POSITIVE_INFINITY),
    ]).toEqual(['0 B', '1.50 KiB', '2.5 MB/s', '1:01', '1:02:05', '--:--']);
    expect(
      [200, 30_000, 90_000, 600_000, 7_200_000, 86_400_000, 172_800_000].map(formatDuration),
    ).toEqual(['200 ms', '30 s', '90 s', '10 min', '2 h', '1 day', '2 days']);
  });

  test('the default port', () => {
    expect(['a', 'a:1', '[::1]', '[::1]:5', '::1', 'stt://x:9'].map(withDefaultPort)).toEqual([
      'a:7788',
      'a:1',
      '[::1]:7788',
      '[::1]:5',
      '[::1]:7788',
      'stt://x:9',
    ]);
  });
});
