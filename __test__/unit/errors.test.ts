import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import * as classes from '../../ts/errors/classes.ts';
import { createError } from '../../ts/errors/create.ts';
import { SttError } from '../../ts/errors/error.ts';
import {
  asEnd,
  faultToError,
  frameErrorEvent,
  reasonToError,
  sessionClosedError,
} from '../../ts/errors/fault.ts';
import { isSttError } from '../../ts/errors/guard.ts';
import { ERROR_TABLE, HANDSHAKE_SUBCODES } from '../../ts/errors/table.ts';
import type { Fault, FaultDetail } from '../../ts/native/engine.ts';

const place = { peer: '192.0.2.1:7788', context: { peer: '192.0.2.1:7788' }, elapsed: 12 };

function fault(code: number, subcode = 0, detail: FaultDetail = { kind: 'none' }): Fault {
  return { code, subcode, causeCode: 0, causeSubcode: 0, detail };
}

describe('the table', () => {
  test('has 25 errors, each with a class of its own', () => {
    expect(ERROR_TABLE).toHaveLength(25);
    expect(new Set(ERROR_TABLE.map(({ className }) => className)).size).toBe(25);
    for (const info of ERROR_TABLE) {
      const error = createError(info.code, 'words');
      const Class = classes[info.className];
      expect(error).toBeInstanceOf(Class);
      expect(error).toBeInstanceOf(SttError);
      expect(error).toBeInstanceOf(Error);
      expect(error.constructor).toBe(Class);
      expect(error).toMatchObject({
        name: info.className,
        code: info.code,
        codeName: info.codeName,
        category: info.category,
        recoverable: info.recoverable,
        recovery: info.recovery,
      });
    }
  });

  test('only four errors are beyond recovery', () => {
    const hopeless = ERROR_TABLE.filter(({ recoverable }) => !recoverable);
    expect(hopeless.map(({ code }) => code)).toEqual([0x0103, 0x0105, 0x0304, 0x0402]);
  });

  test('a sub-code and a reason say more about what can be done than their code', () => {
    const handshake = (subcode: number) => createError(0x0405, 'words', { subcode }).recovery;
    expect([1, 2, 3, 4].map(handshake)).toEqual(['none', 'retry', 'fix-config', 'retry']);
    expect(handshake(0)).toBe('retry');
    expect(handshake(99)).toBe('retry');
    const ended = (['graceful', 'timeout', 'error', 'auth_failure'] as const).map(
      (reason) => createError(0x0201, 'words', { reason }).recovery,
    );
    expect(ended).toEqual(['none', 'reconnect', 'reconnect', 'fix-config']);
    // A reason belongs to the end of a session, a sub-code to a handshake.
    expect(createError(0x0101, 'words', { subcode: 1, reason: 'graceful' }).recovery).toBe('retry');
  });

  test('frames that repair themselves are automatic, those that ended their session are not', () => {
    for (const code of [0x0401, 0x0403, 0x0404]) {
      expect(frameErrorEvent(code, 1, place).error.recovery).toBe('automatic');
      const ended = faultToError({ ...fault(code), origin: 'transport' }, place);
      expect(ended.recovery).toBe('reconnect');
    }
  });

  test('an unknown number is an SttError itself', () => {
    const error = createError(0x0777, 'words');
    expect(error.constructor).toBe(SttError);
    expect(error).toMatchObject({ codeName: 'UNKNOWN', code: 0x0777, recoverable: false });
    expect(faultToError(fault(0x0777), place).message).toContain('0x0777');
  });
});

describe('what the peer had a part in', () => {
  test('a limit that the peer does not name is not named', () => {
    const detail = { kind: 'limit', limit: 0, local: false } as const;
    const { message } = faultToError(fault(0x0203, 0, detail), place);
    expect(message).toMatch(/^192\.0\.2\.1:7788 has as many sessions as it takes\. /);
  });

  test('its words cannot steer a terminal', () => {
    const { message } = reasonToError('error', '\u001b[2Jgone\n\u202eno', place);
    expect(message).toContain('It says: "?[2Jgone??no".');
    expect(reasonToError('error', 'x'.repeat(10_000), place).message.length).toBeLessThan(700);
  });
});

describe('an error', () => {
  test('is told apart by class and by guard', () => {
    const error: unknown = new classes.ConnectionTimeoutError('late');
    expect(error).not.toBeInstanceOf(classes.ConnectionRefusedError);
    expect(isSttError(error)).toBe(true);
    expect(isSttError(error, 'CONNECTION_TIMEOUT')).toBe(true);
    expect(isSttError(error, 'TIMEOUT')).toBe(false);
    for (const other of [undefined, null, 'x', new Error('x'), {}]) {
      expect(isSttError(other)).toBe(false);
      expect(other instanceof SttError).toBe(false);
    }
  });

  test('is recognised across two copies of the package', async () => {
    vi.resetModules();
    const copy = await import('../../ts/errors/classes.ts');
    expect(copy.TlsError).not.toBe(classes.TlsError);
    const error = new copy.TlsError('words');
    expect(error).toBeInstanceOf(classes.TlsError);
    expect(error).toBeInstanceOf(SttError);
    expect(error).not.toBeInstanceOf(classes.SttTimeoutError);
    expect(isSttError(error, 'TLS_ERROR')).toBe(true);
  });

  test('of a subclass that an application made is told apart by prototype', () => {
    class Mine extends classes.TlsError {}
    expect(new classes.TlsError('x')).not.toBeInstanceOf(Mine);
    expect(new Mine('x')).toBeInstanceOf(Mine);
    expect(new Mine('x')).toBeInstanceOf(classes.TlsError);
  });

  test('is ready for a log, its chain of causes included', () => {
    const cause = createError(0x0405, 'inner', { subcode: 3 });
    const error = createError(0x0103, 'outer', { subcode: 3, cause, context: { peer: 'a:1' } });
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({
      name: 'AuthenticationError',
      code: '0x0103',
      codeName: 'AUTHENTICATION_FAILED',
      subcode: 3,
      subcodeName: 'CHALLENGE_DECRYPT_FAILED',
      recoverable: false,
      context: { peer: 'a:1', timestamp: expect.any(Number) },
      cause: { name: 'HandshakeError', code: '0x0405', subcode: 3 },
    });
    const system = Object.assign(new Error('no'), { code: 'ENOTFOUND' });
    expect(createError(0x0104, 'x', { cause: system }).toJSON()).toMatchObject({
      cause: { code: 'ENOTFOUND' },
    });
  });

  test('reads well in a console', () => {
    const text = inspect(createError(0x0102, 'nobody there', { context: { peer: 'a:1' } }));
    expect(text).toContain('ConnectionRefusedError: nobody there');
    expect(text).toContain("code: '0x0102'");
    expect(text).toContain("peer: 'a:1'");
  });

  test('has a context that nobody can change', () => {
    expect(Object.isFrozen(createError(0x0102, 'x').context)).toBe(true);
  });
});

describe('messages', () => {
  test('of every code name the peer or the limit, and end with what to try', () => {
    for (const { code } of ERROR_TABLE) {
      const { message } = faultToError(fault(code), place);
      expect(message).toMatch(/^[A-Z0-9].*\.$/);
      expect(message.split('. ').length, message).toBeGreaterThan(1);
      expect(message).not.toMatch(/undefined|NaN|\[object/);
      // What this machine is short of is nobody else's.
      if (code !== 0x0603) expect(message).toContain(place.peer);
    }
  });

  test('of every subcode differ', () => {
    const messages = Object.keys(HANDSHAKE_SUBCODES).map(
      (subcode) => faultToError(fault(0x0405, Number(subcode)), place).message,
    );
    expect(new Set(messages).size).toBe(4);
  });

  test('hold the numbers that matter', () => {
    const message = (code: number, detail: FaultDetail): string =>
      faultToError(fault(code, 0, detail), place).message;
    expect(message(0x0101, { kind: 'waited', ms: 2_500 })).toContain('2500 ms');
    expect(message(0x0203, { kind: 'limit', limit: 9, local: true })).toContain('9 sessions');
    const streams = (limit: number) => message(0x0302, { kind: 'limit', limit, local: false });
    expect([streams(4), streams(1)]).toEqual([
      expect.stringContaining('admits 4 streams of'),
      expect.stringContaining('admits 1 stream of'),
    ]);
    expect(message(0x0105, { kind: 'versions', versions: [2, 3] })).toContain('version 2, 3');
    expect(message(0x0304, { kind: 'limit', limit: 65_536, local: true })).toContain('byte 65536');
    const breach = asEnd(fault(0x0302, 0, { kind: 'limit', limit: 4, local: true }), place.peer);
    expect(faultToError(breach, place).message).toMatch(
      /^192\.0\.2\.1:7788 opened more streams .*: 4\).* bug in the peer/,
    );
    const named = faultToError(fault(0x0303), { ...place, name: 7 });
    expect(named.message).toContain('The id 7 that was chosen for a stream with 192.0.2.1:7788');
    expect(message(0x0501, { kind: 'os', errno: 1, ms: 0 })).toContain('system error 1');
    const skew = fault(0x0405, 2, { kind: 'clockSkew', ms: -3_600_000 });
    expect(faultToError(skew, place).message).toContain("is 3600000 ms behind this machine's");
    const ahead = fault(0x0405, 2, { kind: 'clockSkew', ms: 7_200_000 });
    expect(faultToError({ ...ahead, origin: 'peer' }, place).message).toContain(
      '7200000 ms ahead of',
    );
  });

  test('of frames that nobody handles say their type, and what to do for it', () => {
    const words = (count: number, frameType?: number): string =>
      frameErrorEvent(0x0404, count, place, frameType).error.message;
    expect(words(1, 0x8a)).toMatch(/sent a frame of type 0x8a that no handler .* onFrame\(0x8a, /);
    expect(words(3, 0xfe)).toMatch(/sent 3 frames, the last of type 0xfe, that no handler/);
    expect(words(2, 0x5c)).toMatch(/the last of type 0x5c, that this version does not know\./);
    expect(words(1)).toMatch(/sent a frame of a type that nobody here handles \(once\)\./);
    expect(frameErrorEvent(0x0404, 3, place, 0xfe)).toMatchObject({ count: 3, frameType: 0xfe });
    expect(frameErrorEvent(0x0401, 3, place)).not.toHaveProperty('frameType');
  });

  test('of a wrong seed say so, with the handshake error as cause', () => {
    const error = faultToError({ ...fault(0x0103, 3), causeCode: 0x0405, causeSubcode: 3 }, place);
    expect(error.message).toContain('its shared seed is not ours');
    expect(error.cause).toBeInstanceOf(classes.HandshakeError);
    expect(error.cause).toMatchObject({ subcodeName: 'CHALLENGE_DECRYPT_FAILED' });
  });

  test('of a closed session carry its reason and cause', () => {
    const cause = faultToError(fault(0x0202, 0, { kind: 'waited', ms: 30_000 }), place);
    const error = sessionClosedError('timeout', cause, place);
    expect(error).toMatchObject({ code: 0x0201, reason: 'timeout', cause });
    expect(error.message).toContain('30000 ms');
  });
});
