import type { SttEndpoint, SttError, SttSession } from '@seigr/stt';
import type { LinkTarget, ProvokableCodeName, TestPair } from '@seigr/stt/testing';
import { assertSttError, provoke, TestLink, TestNetwork } from '@seigr/stt/testing';
import '@seigr/stt/testing/vitest';
import { expect, expectTypeOf, test } from 'vitest';

test('a network gives endpoints, links and sessions', () => {
  expectTypeOf(TestNetwork.prototype.endpoint).returns.resolves.toEqualTypeOf<SttEndpoint>();
  expectTypeOf(TestNetwork.prototype.connect).returns.resolves.toEqualTypeOf<TestPair>();
  expectTypeOf<TestPair['session']>().toEqualTypeOf<SttSession>();
  expectTypeOf<SttEndpoint>().toExtend<LinkTarget>();
});

test('a link refuses what is no fault of it', () => {
  expectTypeOf(TestLink.prototype.loss).toBeCallableWith(0.1, 7);
  expectTypeOf(TestLink.prototype.loss).returns.resolves.toBeVoid();
  // @ts-expect-error a delay is in milliseconds
  void TestLink.prototype.delay('100');
});

test('provoke() knows which errors it can bring about', () => {
  expectTypeOf(provoke).returns.resolves.toEqualTypeOf<SttError>();
  expectTypeOf<'SESSION_TIMEOUT'>().toExtend<ProvokableCodeName>();
  expectTypeOf<'TLS_ERROR'>().toExtend<ProvokableCodeName>();
  expectTypeOf<'NONE'>().not.toExtend<ProvokableCodeName>();
});

test('assertSttError narrows', () => {
  const error: unknown = undefined;
  if (assertSttError(error, 'SESSION_TIMEOUT')) {
    expectTypeOf(error.codeName).toEqualTypeOf<'SESSION_TIMEOUT'>();
  }
});

test('the matcher is there, and takes names of the table only', () => {
  const matchers = expect(undefined);
  expectTypeOf(matchers.toBeSttError).toBeFunction();
  // @ts-expect-error no such error
  matchers.toBeSttError('NO_SUCH_ERROR');
});
