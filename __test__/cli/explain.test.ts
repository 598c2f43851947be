import { ERROR_TABLE } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import { ERROR_PAGES, REASON_PAGES, SUBCODE_PAGES } from '../../ts/errors/reference.generated.ts';
import { stt } from './stt.ts';

async function explained(query: string, input?: string): Promise<Record<string, unknown>[]> {
  const { code, records } = await stt(
    ['explain', query, '--json'],
    input === undefined ? {} : { input },
  );
  expect(code).toBe(0);
  return [...records];
}

describe('stt explain', () => {
  test('says of a code what it means, what causes it and what to do', async () => {
    const { code, stdout, stderr } = await stt(['explain', '0x0101']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^0x0101 CONNECTION_TIMEOUT \(ConnectionTimeoutError, connection\)$/m);
    expect(stdout).toMatch(/^Causes:$/m);
    expect(stdout).toMatch(/^ {2}1\. \(by itself\) Try again, with pauses/m);
    expect(stdout).toMatch(/^recoverable: yes; recovery: retry$/m);
  });

  test.each([
    ['0x0103', { codeName: 'AUTHENTICATION_FAILED', recoverable: false, recovery: 'fix-config' }],
    ['0103', { codeName: 'AUTHENTICATION_FAILED' }],
    ['connection_refused', { code: '0x0102' }],
    ['TlsError', { code: '0x0504' }],
    ['0x0405_01', { subcodeName: 'NONCE_REUSE', recovery: 'none' }],
    ['0x0405.3', { subcodeName: 'CHALLENGE_DECRYPT_FAILED', recovery: 'fix-config' }],
    ['TIMESTAMP_EXPIRED', { code: '0x0405_02', recovery: 'retry' }],
    ['reason:timeout', { code: '0x0201', reason: 'timeout', recovery: 'reconnect' }],
    ['0x0201.graceful', { reason: 'graceful', recovery: 'none' }],
    ['timeout', { code: '0x0601' }],
  ])('%s', async (query, expected) => {
    expect(await explained(query)).toMatchObject([
      { schema: 1, event: 'explanation', ...expected },
    ]);
  });

  test('finds the errors in a log, each once', async () => {
    const log = [
      '{"level":50,"code":"0x0405","codeName":"HANDSHAKE_FAILURE","subcode":2}',
      'stt: 0x0102 CONNECTION_REFUSED: 127.0.0.1:9 refused',
      '{"code":"0x0201","codeName":"SESSION_CLOSED","reason":"auth_failure"}',
      'nothing of interest, 0xdeadbeef, ENOENT',
    ].join('\n');
    expect(await explained('-', log)).toMatchObject([
      { subcodeName: 'TIMESTAMP_EXPIRED' },
      { code: '0x0102' },
      { reason: 'auth_failure', recovery: 'fix-config' },
    ]);
  });

  test('what is no error is a usage error', async () => {
    for (const query of ['0x0999', '0x0405_09', '0x0101_01', 'NONSENSE', 'reason:bored']) {
      const { code, stderr } = await stt(['explain', query]);
      expect([query, code]).toEqual([query, 2]);
      expect(stderr).toMatch(/is no error of STT\.\nTry: /);
    }
    expect((await stt(['explain', '-'], { input: 'all is well\n' })).code).toBe(2);
  });

  test('there is a page for every row, sub-code and reason', () => {
    expect(ERROR_PAGES.map(({ code }) => code)).toEqual(ERROR_TABLE.map(({ code }) => code));
    expect(SUBCODE_PAGES.map(({ subcode }) => subcode)).toEqual([1, 2, 3, 4]);
    expect(REASON_PAGES.map(({ reason }) => reason)).toEqual([
      'graceful',
      'timeout',
      'error',
      'auth_failure',
    ]);
  });
});
