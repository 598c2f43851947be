import type { LookupFunction } from 'node:net';
import { describe, expect, test } from 'vitest';
import { resolveHosts } from '../../ts/address.ts';
import { AttemptFacts, dialError } from '../../ts/carriers/errors.ts';
import { describeFailure } from '../../ts/cli/failure.ts';
import type { FaultPlace } from '../../ts/errors/fault.ts';
import {
  asEnd,
  closeReason,
  faultToError,
  peerFaultToError,
  reasonToError,
  sessionClosedError,
} from '../../ts/errors/fault.ts';
import { startError } from '../../ts/errors/system.ts';
import { ERROR_TABLE } from '../../ts/errors/table.ts';
import type { Fault, FaultDetail } from '../../ts/native/engine.ts';

/** What only somebody has who writes a program: names in camel case, calls, options of options. */
const API_WORDS = /\b[a-z]+[A-Z]\w*|\w\(|\b(tls|websocket)\.\w|\bqlog\.|leave host out|\bhost '/;

const context = { peer: '192.0.2.1:7788' };
const places: readonly FaultPlace[] = [
  { peer: context.peer, context },
  { peer: context.peer, context: { ...context, nodeId: 'ab'.repeat(32) }, elapsed: 12 },
];

const limit = (local: boolean) => ({ kind: 'limit', limit: 100, local }) as const;
const details: readonly FaultDetail[] = [
  { kind: 'none' },
  limit(true),
  limit(false),
  { kind: 'waited', ms: 30_000 },
  { kind: 'versions', versions: [2] },
  { kind: 'clockSkew', ms: 10 },
  { kind: 'clockSkew', ms: 600_000 },
  { kind: 'os', errno: 113, ms: 20 },
  { kind: 'refused', count: 3, ms: 1_500 },
  { kind: 'count', count: 1 },
  { kind: 'count', count: 2, frameType: 0x80 },
  { kind: 'count', count: 1, frameType: 0x70 },
  { kind: 'answered', nodeId: 'cd'.repeat(32) },
  { kind: 'revoked' },
  { kind: 'seeds', count: 2 },
  { kind: 'memory', limit: 1e6, used: 9e5, asked: 2e5 },
];

function faults(): Fault[] {
  const all: Fault[] = [];
  for (const { code } of ERROR_TABLE)
    for (const subcode of code === 0x0103 || code === 0x0405 ? [0, 1, 2, 3, 4] : [0])
      for (const detail of details)
        for (const origin of ['local', 'peer', 'path', 'transport'] as const)
          all.push({ code, subcode, causeCode: 0, causeSubcode: 0, detail, origin });
  return all;
}

function expectCommandWords(error: unknown): void {
  const { headline, hint } = describeFailure(error);
  // The code's name is what "stt explain" takes.
  const words = headline.replace(/^0x\w+ [A-Z_]+: /, '');
  expect(`${words}\n${hint}`).not.toMatch(API_WORDS);
}

describe('what the API says is said in the words of a command', () => {
  test('of all faults, by whoever they are', () => {
    for (const place of places)
      for (const fault of faults()) {
        const { code, origin } = fault;
        expectCommandWords(faultToError(asEnd(fault, place.peer), place));
        for (const reason of ['graceful', 'timeout', 'error', 'auth_failure'] as const) {
          const cause = peerFaultToError(fault, reason, 'its words', place);
          if (code === 0x0201)
            expectCommandWords(sessionClosedError(reason, undefined, place, origin));
          expectCommandWords(cause);
          expectCommandWords(sessionClosedError(reason, cause, place));
        }
      }
    for (const reason of [0, 1, 2, 3, 4])
      for (const place of places)
        expectCommandWords(reasonToError(closeReason(reason), 'its words', place));
  });

  test('of WebSockets that do not open', () => {
    const codes = [
      ...['ENOTFOUND', 'ENETUNREACH', 'EMFILE', 'ECONNREFUSED', 'ETIMEDOUT', 'ECONNRESET'],
      ...['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'ERR_TLS_CERT_ALTNAME_INVALID'],
      ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'CERT_SIGNATURE_FAILURE'],
      ...['CERT_REVOKED', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      ...['ERR_OSSL_X', 'EPROTO', ''],
    ];
    for (const url of ['ws://192.0.2.1:7788/stt', 'wss://192.0.2.1/stt']) {
      const facts = () => new AttemptFacts(new URL(url), context, 10_000);
      expectCommandWords(dialError(facts(), undefined));
      for (const code of codes)
        expectCommandWords(dialError(facts(), Object.assign(new Error('no'), { code })));
      for (const status of [200, 302, 400, 401, 403, 404, 407, 426, 500, 502, 503]) {
        const answered = facts();
        answered.status = status;
        expectCommandWords(dialError(answered, undefined));
      }
    }
  });

  test('of addresses, near and far', async () => {
    const none: LookupFunction = (_host, _options, answer) => answer(null, []);
    for (const target of ['::1', '127.0.0.1', 'nowhere.example'])
      for (const family of [4, 6] as const) {
        const error = await resolveHosts({ host: target, port: 1 }, family, context, none).catch(
          (reason: unknown) => reason,
        );
        if (error instanceof Error) expectCommandWords(error);
      }
    const log = Object.assign(new Error('EACCES: no'), { code: 'EACCES', syscall: 'log' });
    expectCommandWords(startError(log));
    for (const code of ['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES', 'EMFILE']) {
      const cause = Object.assign(new Error(`${code}: no`), {
        code,
        syscall: 'bind',
        address: '192.0.2.1',
        port: 1,
      });
      expectCommandWords(startError(cause));
    }
  });

  test('and variables stand where a command has them for an option', () => {
    const [place] = places as readonly [FaultPlace];
    const said = (code: number, detail: FaultDetail): string =>
      describeFailure(
        faultToError({ code, subcode: 0, causeCode: 0, causeSubcode: 0, detail }, place),
      ).headline;
    expect(said(0x0202, { kind: 'waited', ms: 30_000 })).toContain('STT_KEEP_ALIVE_TIMEOUT');
    expect(said(0x0603, { kind: 'memory', limit: 9, used: 8, asked: 7 })).toMatch(
      /or raise STT_MAX_MEMORY\.$/,
    );
    expect(said(0x0203, limit(false))).toContain('STT_MAX_CONCURRENT_SESSIONS');
  });
});
