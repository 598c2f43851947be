import { describe, expect, onTestFinished, test } from 'vitest';
import { content, Stage } from '../cli/stage.ts';
import { ADDRESS, Network, obstacle } from './network.ts';
import { LIMIT, MIB } from './transfer.ts';

const LONG = process.env['CI_LONG'] === '1';
const missing = obstacle();
const title =
  missing === undefined ? '"stt send" by itself' : `"stt send" by itself (skipped: ${missing})`;

/** A session that is given up soon. */
const IMPATIENT = { STT_KEEP_ALIVE_TIMEOUT: '1500' };

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A file on its way from `a` to `b` at 20 Mbit/s, a third of it there. */
async function underWay(net: Network, size: number, env: NodeJS.ProcessEnv = {}) {
  net.limit('b', '20mbit');
  const stage = await Stage.make(content(size, size));
  stage.host = ADDRESS.b;
  stage.wrappers = { recv: net.within('b'), send: net.within('a') };
  const { XDG_STATE_HOME } = stage.env;
  stage.env = { XDG_STATE_HOME, ...env };
  const recv = await stage.recv();
  const send = stage.send('--timeout', '2s');
  const reached = await stage.reaches(Math.trunc(size / 3));
  expect(reached).toBeLessThan(size);
  /** Both ends come to their good ends, and nobody has helped them. */
  const arrives = async () => {
    const [sent, received] = [await send.end(), await recv.end()];
    expect([sent.code, received.code, sent.stderr, received.stderr]).toEqual([0, 0, '', '']);
    expect(await stage.received()).toEqual(stage.expected());
    return sent.records.at(-1);
  };
  return { reached, arrives };
}

// kernel.test.ts fails where namespaces are required and cannot be had.
describe.skipIf(missing !== undefined)(title, { timeout: 3 * LIMIT }, () => {
  test.each(['a', 'b'] as const)(
    'survives that the interface of %s is down for longer than a session lives',
    async (end) => {
      const net = new Network(onTestFinished);
      const { reached, arrives } = await underWay(net, 12 * MIB, IMPATIENT);
      net.interface(end, 'down');
      await pause(5_000);
      net.interface(end, 'up');
      const sent = await arrives();
      expect(sent?.['reconnects']).toBeGreaterThanOrEqual(1);
      expect(sent?.['resumedFrom']).toBeGreaterThanOrEqual(reached);
    },
  );

  test.runIf(LONG).each(['a', 'b'] as const)(
    'survives that the interface of %s is down for 20 s, everything as it is by default',
    async (end) => {
      const net = new Network(onTestFinished);
      const { arrives } = await underWay(net, 12 * MIB);
      net.interface(end, 'down');
      await pause(20_000);
      net.interface(end, 'up');
      await arrives();
    },
  );

  test('survives a router that gives another port, on one session', async () => {
    const net = new Network(onTestFinished);
    net.masquerade('20000-20999');
    const { arrives } = await underWay(net, 12 * MIB);
    await net.newPorts('30000-30999');
    expect(await arrives()).toMatchObject({ reconnects: 0 });
  });

  test('survives a router that is gone for longer than a session lives, and back with other ports', async () => {
    const net = new Network(onTestFinished);
    net.masquerade('20000-20999');
    const { reached, arrives } = await underWay(net, 12 * MIB, IMPATIENT);
    net.link('b', 'down');
    await pause(5_000);
    await net.newPorts('30000-30999');
    const sent = await arrives();
    expect(sent?.['reconnects']).toBeGreaterThanOrEqual(1);
    expect(sent?.['resumedFrom']).toBeGreaterThanOrEqual(reached);
  });
});
