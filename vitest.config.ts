import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Seven projects: what `npm test` runs (`main`, and the same contract over a WebSocket), the type tests, those that need
// network namespaces (`npm run test:kernel`) or nginx, HAProxy and Redis (`npm run test:edge`), the proof of the fault matrix (`npm run errors`), and the packaging tests,
// which need a registry or a warm npm cache. `.ci/run` runs all of them.
export default defineConfig({
  test: {
    // A native addon that crashes must take one test file with it, not the run.
    pool: 'forks',
    // Most of a test is waiting for another process: one worker less, as Vitest would have it, is half of two cores.
    maxWorkers: availableParallelism(),
    teardownTimeout: 10_000,
    // They end what hangs, and judge no speed: machines are shared, and a thread of one may stand still for seconds.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000, interval: 20 } },
    reporters: ['default', './scripts/lib/vitest-counts.mjs'],
    projects: [
      {
        extends: true,
        test: {
          name: 'main',
          include: ['__test__/**/*.test.ts'],
          exclude: [
            '__test__/package/**',
            '__test__/kernel/**',
            '__test__/edge/**',
            '__test__/errors/no-inject.test.ts',
          ],
        },
      },
      {
        // What holds for sessions, streams, messages and servers over UDP holds over a WebSocket.
        extends: true,
        test: {
          name: 'websocket',
          env: { STT_TEST_TRANSPORT: 'websocket' },
          include: [
            '__test__/contract/{datagrams,deadline,frames,session,stream,unidirectional}.test.ts',
            '__test__/resilience/server.test.ts',
          ],
        },
      },
      {
        extends: true,
        test: {
          name: 'types',
          include: [],
          typecheck: {
            enabled: true,
            only: true,
            include: ['__test__/**/*.test-d.ts'],
            tsconfig: './tsconfig.json',
          },
        },
      },
      {
        extends: true,
        test: {
          name: 'kernel',
          include: ['__test__/kernel/**/*.test.ts'],
          // They share the machine's time, and some of them measure it.
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'edge',
          include: ['__test__/edge/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'errors',
          include: ['__test__/errors/no-inject.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'package',
          include: ['__test__/package/**/*.test.ts'],
          // They share the checkout's set-up lock, dist/ and npm's cache.
          fileParallelism: false,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
