/**
 * The matcher for Vitest: `import '@seigr/stt/testing/vitest'` in a test or a set-up file.
 *
 * @packageDocumentation
 */
import { expect } from 'vitest';
import type { SttErrorCodeName } from '../errors/table.ts';
import type { SttErrorFacts } from './matchers.ts';
import { judge } from './matchers.ts';

declare module 'vitest' {
  interface Matchers<T> {
    /**
     * That it is the transport's error of this name.
     *
     * @example
     * await expect(session.closed).rejects.toBeSttError('SESSION_TIMEOUT');
     */
    toBeSttError(codeName: SttErrorCodeName, facts?: SttErrorFacts): T;
  }
}

expect.extend({
  toBeSttError(error: unknown, codeName: SttErrorCodeName, facts?: SttErrorFacts) {
    const { pass, received, expected } = judge(error, codeName, facts);
    return {
      pass,
      message: () => `expected ${received}\n${pass ? 'not ' : ''}to be ${expected}`,
    };
  },
});
