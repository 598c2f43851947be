import { ERROR_TABLE } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import { explain } from '../../ts/cli/commands/explain.ts';
import { exitCodeOf } from '../../ts/cli/exit-codes.ts';
import { pageOf } from '../../ts/cli/explain/page.ts';
import type { Question } from '../../ts/cli/explain/question.ts';
import { parseQuestion } from '../../ts/cli/explain/question.ts';
import { describeFailure } from '../../ts/cli/failure.ts';
import { Output } from '../../ts/cli/output.ts';
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
    expect(stdout).toMatch(/^Causes, the most common first:\n {2}- The peer is off/m);
    expect(stdout).toMatch(/^ {2}\$ stt doctor PEER\n {6}Where on the way it ends/m);
    expect(stdout).toMatch(/^ {2}1\. \(by itself\) Try again, with pauses/m);
    expect(stdout).toMatch(/^recoverable: yes; recovery: retry$/m);
  });

  test.each([
    ['0x0103', { codeName: 'AUTHENTICATION_FAILED', recoverable: false, recovery: 'fix-config' }],
    ['0103', { codeName: 'AUTHENTICATION_FAILED' }],
    ['connection_refused', { code: '0x0102' }],
    ['TlsError', { code: '0x0504' }],
    ['0x0405_01', { subcodeName: 'NONCE_REUSE', recovery: 'none' }],
    ['0x0103_03', { codeName: 'AUTHENTICATION_FAILED', subcodeName: 'CHALLENGE_DECRYPT_FAILED' }],
    ['CHALLENGE_DECRYPT_FAILED', { code: '0x0405_03' }],
    ['connection timeout', { code: '0x0101' }],
    ['0x0405.3', { subcodeName: 'CHALLENGE_DECRYPT_FAILED', recovery: 'fix-config' }],
    ['TIMESTAMP_EXPIRED', { code: '0x0405_02', recovery: 'retry' }],
    ['reason:timeout', { code: '0x0201', reason: 'timeout', recovery: 'reconnect' }],
    ['0x0201.graceful', { reason: 'graceful', recovery: 'none' }],
    ['timeout', { code: '0x0601' }],
  ])('%s', async (query, expected) => {
    const question = parseQuestion(query);
    expect(question).toBeDefined();
    expect(pageOf({ question: question as Question, count: 1 }, false)).toMatchObject(expected);
  });

  test('finds the errors in a log, each once with its count; in order', async () => {
    const log = [
      '{"level":50,"code":"0x0405","codeName":"HANDSHAKE_FAILURE","subcode":2}',
      'stt: 0x0102 CONNECTION_REFUSED: 127.0.0.1:9 refused',
      'Try: start "stt recv" there first. Details: stt explain 0x0102',
      '{"code":"0x0201","codeName":"SESSION_CLOSED","reason":"auth_failure"}',
      'nothing of interest, 0xdeadbeef, ENOENT, SOME_OTHER_NAME',
      'ConnectionRefusedError: again',
    ].join('\n');
    const found = await explained('-', log);
    expect(found).toMatchObject([
      { subcodeName: 'TIMESTAMP_EXPIRED', count: 1 },
      { code: '0x0102', count: 2 },
      { reason: 'auth_failure', recovery: 'fix-config', count: 1 },
    ]);
    const { stdout } = await stt(['explain', '-'], { input: log });
    expect(stdout).toMatch(/^0x0102 CONNECTION_REFUSED \(.+\), 2 times$/m);
    expect(stdout).toMatch(/^0x0201 SESSION_CLOSED auth_failure \(.+\), once$/m);
  });

  test.each([
    ['CONECTION_TIMEOUT', /did you mean 0x0101 CONNECTION_TIMEOUT\?/],
    ['challenge-decrypt-faild', /did you mean 0x0405_03 CHALLENGE_DECRYPT_FAILED\?/],
    ['TlsErorr', /did you mean 0x0504 TLS_ERROR\?/],
    ['0x0405_09', /did you mean 0x0405_01 NONCE_REUSE, or 0x0405_02 .*, or /],
    ['0x0106', /did you mean 0x0101 CONNECTION_TIMEOUT, or 0x0102 /],
    ['0x0101_01', /did you mean 0x0101 CONNECTION_TIMEOUT\?/],
    ['reason:bored', /^write a code as 0x0101 /],
    ['NONSENSE', /^write a code as 0x0101 /],
    ['x'.repeat(100_000), /^write a code as 0x0101 /],
  ])(
    'what is no error is a usage error with what may have been meant: %.20s',
    async (query, hint) => {
      const output = new Output({ json: false, quiet: false, verbose: false, color: false });
      const failure = await explain(query, output).catch((error: unknown) => error);
      const report = describeFailure(failure);
      expect([exitCodeOf(failure), report]).toEqual([
        2,
        {
          code: 'CLI',
          headline: expect.stringMatching(/^".{1,41}" is no error of STT\.$/),
          hint: expect.stringMatching(hint),
        },
      ]);
    },
  );

  test('a log without any is a usage error, too', async () => {
    const { code, stderr } = await stt(['explain', '-'], { input: 'all is well\n' });
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/^no error of STT in stdin\.\nTry: /),
    ]);
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
