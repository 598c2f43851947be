import { expect, onTestFinished, test, vi } from 'vitest';
import type { EngineHandlers } from '../../ts/native/engine.ts';
import { Engine } from '../../ts/native/engine.ts';
import { KINDS, STRIDE } from '../../ts/native/records.ts';
import { engineOptions } from './peer.ts';

/** An engine's other half that says what it is given to say: one row for each ping, `pong` with its token. */
class Scripted {
  readonly address = { address: '127.0.0.1', port: 1, family: 4 };
  readonly nodeId = new Uint8Array(32);
  readonly #tokens: number[] = [];
  polls = 0;

  poll(_slab: Uint8Array, _offset: number, rows: Float64Array): number {
    this.polls += 1;
    // As the addon does: what is there now is all that there is.
    const tokens = this.#tokens.splice(0);
    rows[1] = 0;
    for (const [row, token] of tokens.entries())
      rows.set([KINDS.indexOf('pong'), 1, token, 5], (row + 1) * STRIDE);
    return tokens.length;
  }

  /** Events that no doorbell tells of. */
  receive(_connection: number, messages: Uint8Array[]): number {
    for (const [token = 0] of messages) this.#tokens.push(token);
    return 3;
  }
}

const scripted = vi.hoisted(() => ({ native: undefined as unknown }));

vi.mock('../../ts/native/load.ts', () => ({
  loadBinding: () => ({ startEndpoint: () => scripted.native }),
}));

test.each([
  ['before the handling ends', 0, [1, 2, 3, 4]],
  ['in the next turn where this one is over', 60_000, [1]],
])('what comes while events are handled is handled %s, and once', async (_when, each, at) => {
  // A clock that moves by so many milliseconds at each look.
  let now = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
    now += each;
    return now;
  });
  onTestFinished(() => clock.mockRestore());
  const native = new Scripted();
  scripted.native = native;
  const heard: number[] = [];
  const handlers = new Proxy({} as EngineHandlers, {
    get: () => (_session: number, token: number) => {
      heard.push(token);
      // Two that come within, the second of which brings another in its turn.
      if (token === 1) {
        engine.receive(7, [Uint8Array.of(2)]);
        engine.receive(7, [Uint8Array.of(3)]);
      }
      if (token === 3) engine.receive(7, [Uint8Array.of(4)]);
    },
  });
  const engine = Engine.start(engineOptions(), handlers);
  onTestFinished(() => engine.unref());
  // Whatever rang before it stood.
  await new Promise((resolve) => setImmediate(resolve));
  native.polls = 0;
  expect(engine.receive(7, [Uint8Array.of(1)])).toBe(true);
  expect(heard).toEqual(at);
  for (let turn = 0; turn < 8; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(heard).toEqual([1, 2, 3, 4]);
  // It asks no more often than it has to.
  expect(native.polls).toBe(3);
});
