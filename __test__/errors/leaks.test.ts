// That the matrix finds what no error may tell: otherwise its rows would pass with it.

import { generateSeed, SttError } from '@seigr/stt';
import { expect, onTestFinished, test } from 'vitest';
import { Context } from './matrix/context.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

async function leaksOf(make: (context: Context) => Error | Promise<Error>): Promise<string[]> {
  const context = new Context();
  onTestFinished(() => context.dispose());
  await context.watch('client', 'write', Promise.reject(await make(context)));
  expect(context.seen).toHaveLength(1);
  return context.leaks;
}

test.each<[string, (context: Context) => Error | Promise<Error>]>([
  ["the network's seed", ({ network }) => new SttError(0x0301, `no: ${hex(network.sharedSeed)}`)],
  [
    'a seed that only one endpoint has, in a cause',
    async ({ network }) => {
      const [old, nodeSeed] = [generateSeed(), generateSeed()];
      await network.endpoint({ sharedSeed: [generateSeed(), old], nodeSeed });
      return new SttError(0x0301, 'no', {
        cause: new Error(Buffer.from(old).toString('base64url')),
      });
    },
  ],
  [
    'the seed of a node, as an object that a console shows',
    async ({ network }) => {
      const nodeSeed = generateSeed();
      await network.endpoint({ nodeSeed });
      return new SttError(0x0301, 'no', { context: { nodeSeed } as object });
    },
  ],
  ['payload', () => new SttError(0x0301, `not sent: ${'payload-of-the-matrix.'.repeat(2)}`)],
])('%s in an error is found', async (_, make) => {
  expect(await leaksOf(make)).toEqual(expect.arrayContaining(['client write']));
});

test('an error that tells nothing passes', async () => {
  expect(await leaksOf(() => new SttError(0x0301, 'The stream has ended.'))).toEqual([]);
});
