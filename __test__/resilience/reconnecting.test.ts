import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type {
  EndpointOptions,
  ReconnectedEvent,
  ReconnectingEvent,
  RunContext,
  SttEndpoint,
  SttSession,
  SttStream,
} from '@seigr/stt';
import { generateSeed, ReconnectingSession } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, isPending, next, relay } from '../contract/pair.ts';
import { message } from '../network/children.ts';

const any = { peerNodeId: 'any' };
const quick = { base: 20, maxDelay: 50, minDelay: 10 };
/** A session that is silent for so long has ended. */
const short = { keepAliveTimeout: 4_000 };

interface Kept {
  readonly client: SttEndpoint;
  readonly server: SttEndpoint;
  readonly kept: ReconnectingSession;
  readonly accepted: SttSession[];
  readonly restart: (options?: Partial<EndpointOptions>) => Promise<SttEndpoint>;
}

/** A session that is kept up with a server that can be started again, as the same node or another. */
async function keep(
  reconnect: Parameters<typeof ReconnectingSession.connect>[2]['reconnect'] = quick,
  options: Partial<Parameters<typeof ReconnectingSession.connect>[2]> = {},
): Promise<Kept> {
  const sharedSeed = generateSeed();
  const nodeSeed = generateSeed();
  const accepted: SttSession[] = [];
  const start = async (more: Partial<EndpointOptions>): Promise<SttEndpoint> => {
    const server = await endpoint({ sharedSeed, nodeSeed, ...more });
    server.serve((session) => void accepted.push(session));
    return server;
  };
  const server = await start({ port: await closedPort() });
  const client = await endpoint({ sharedSeed });
  const kept = await ReconnectingSession.connect(client, server.address, {
    ...any,
    reconnect,
    ...options,
  });
  onTestFinished(() => kept.destroy());
  await expect.poll(() => accepted.length).toBe(1);
  const restart = (more: Partial<EndpointOptions> = {}) =>
    start({ port: server.address.port, ...more });
  return { client, server, kept, accepted, restart };
}

/** Ends a server as a failure, so that its peers come back. */
function crash(server: SttEndpoint): Promise<void> {
  for (const session of server.sessions) session.destroy('crashed');
  return server.close({ drain: 0 });
}

/** Ends the `count`th session that the server accepted. */
async function lose(accepted: readonly SttSession[], count: number): Promise<void> {
  await expect.poll(() => accepted.length).toBe(count);
  accepted[count - 1]?.destroy('lost');
}

/** The next event of that name. */
function told<Name extends 'reconnected' | 'reconnecting' | 'closed'>(
  kept: ReconnectingSession,
  name: Name,
): Promise<unknown> {
  return new Promise((resolve) => kept.once(name, resolve as never));
}

describe('a session that is lost', () => {
  test('is replaced by one with the same node, and both are told', async () => {
    const { kept, accepted } = await keep();
    const tries: ReconnectingEvent[] = [];
    kept.on('reconnecting', (event) => tries.push(event));
    const first = kept.session;
    const reconnected = told(kept, 'reconnected');
    accepted[0]?.destroy('lost');
    const event = (await reconnected) as ReconnectedEvent;
    expect(event).toMatchObject({ session: kept.session, attempts: 1, lost: [] });
    expect(event.session).not.toBe(first);
    expect(event.session.peerNodeId).toBe(first.peerNodeId);
    expect(tries).toMatchObject([{ attempt: 1, delay: 0, error: { code: 0x0201 } }]);
    expect(kept.state).toBe('connected');
    expect(await kept.session.ping()).toBeGreaterThan(0);
    expect(await isPending(kept.closed)).toBe(true);
  });

  test('is tried for until the peer is back', async () => {
    const { kept, server, restart } = await keep();
    const tries: ReconnectingEvent[] = [];
    const enough = new Promise<void>((resolve) => {
      kept.on('reconnecting', (event) => {
        tries.push(event);
        if (event.attempt === 4) resolve();
      });
    });
    const reconnected = told(kept, 'reconnected');
    await crash(server);
    await enough;
    expect(kept.state).toBe('reconnecting');
    await restart();
    const event = (await reconnected) as ReconnectedEvent;
    expect(event.attempts).toBeGreaterThanOrEqual(4);
    expect(event.downtime).toBeGreaterThan(0);
    expect(tries.map(({ attempt }) => attempt)).toEqual(tries.map((_, index) => index + 1));
    expect(tries[1]).toMatchObject({ error: { code: 0x0102, context: { attempt: 1 } } });
    expect(tries.slice(1).every(({ delay }) => delay >= 10)).toBe(true);
  });

  test('stays with the first node, also where any would do', async () => {
    const { kept, server, restart } = await keep();
    await crash(server);
    await restart({ nodeSeed: generateSeed() });
    await expect(kept.closed).rejects.toMatchObject({ code: 0x0103 });
    expect(kept.state).toBe('closed');
  });

  test('tells what of its streams had arrived', async () => {
    const { kept, accepted } = await keep();
    const stream = await kept.session.createBidirectionalStream({ purpose: 'upload' });
    await stream.write(Buffer.alloc(5_000));
    const incoming = await next((accepted[0] as SttSession).incomingBidirectionalStreams);
    await incoming[Symbol.asyncIterator]().next();
    await expect.poll(() => stream.bytesAcknowledged).toBe(5_000);
    const over = await kept.session.createUnidirectionalStream({ purpose: 'done' });
    await over.end();
    const reconnected = told(kept, 'reconnected');
    accepted[0]?.destroy();
    expect(await reconnected).toMatchObject({
      lost: [{ purpose: 'upload', bytesWritten: 5_000, bytesAcknowledged: 5_000 }],
    });
  });

  test('that lived shortly continues the outage: tries count on, pauses grow', async () => {
    const { kept, accepted } = await keep({
      base: 40,
      maxDelay: 160,
      minDelay: 40,
      jitter: 'none',
    });
    const delays: number[] = [];
    kept.on('reconnecting', ({ attempt, delay }) => delays.push(attempt, delay));
    for (let n = 1; n <= 4; n += 1) {
      const reconnected = told(kept, 'reconnected');
      await lose(accepted, n);
      await reconnected;
    }
    expect(delays).toEqual([1, 0, 2, 40, 3, 80, 4, 160]);
  });

  test('that lived for a while does not', async () => {
    const { kept, accepted } = await keep({ ...quick, stableAfter: 0 });
    const tries: number[] = [];
    kept.on('reconnecting', ({ attempt }) => tries.push(attempt));
    for (let n = 1; n <= 3; n += 1) {
      const reconnected = told(kept, 'reconnected');
      await lose(accepted, n);
      await reconnected;
    }
    expect(tries).toEqual([1, 1, 1]);
  });

  test('is published to diagnostics channels', async () => {
    const { kept, accepted, server } = await keep();
    const seen: unknown[] = [];
    const note = (event: unknown): void => void seen.push(event);
    for (const name of ['stt.session.reconnecting', 'stt.session.reconnected']) {
      subscribe(name, note);
      onTestFinished(() => void unsubscribe(name, note));
    }
    const reconnected = told(kept, 'reconnected');
    accepted[0]?.destroy();
    await reconnected;
    const peer = `127.0.0.1:${server.address.port}`;
    expect(seen).toMatchObject([{ peer, attempt: 1 }, { session: kept.session }]);
  });
});

describe('it ends', () => {
  test('with a graceful close by this side', async () => {
    const { kept, accepted } = await keep();
    const closed = told(kept, 'closed');
    expect(await kept.close()).toMatchObject({ reason: 'graceful', initiator: 'local' });
    expect(await closed).toEqual({ reason: 'graceful' });
    expect(await kept.closed).toMatchObject({ reason: 'graceful', initiator: 'local' });
    expect((await accepted[0]?.settled)?.reason).toBe('graceful');
    expect(await kept.close()).toMatchObject({ reason: 'graceful' });
  });

  test('with a graceful close by the peer', async () => {
    const { kept, accepted } = await keep();
    await accepted[0]?.close();
    expect(await kept.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
    await expect(kept.run('late', () => {})).rejects.toMatchObject({
      code: 0x0201,
      reason: 'graceful',
    });
  });

  test('not with that where it was asked to go on, and then still by itself', async () => {
    const { kept, server, accepted, restart } = await keep({ ...quick, afterClose: true });
    const tries: ReconnectingEvent[] = [];
    kept.on('reconnecting', (event) => tries.push(event));
    const again = told(kept, 'reconnected');
    await server.close();
    await restart();
    expect(await again).toMatchObject({ session: kept.session });
    expect(tries[0]).toMatchObject({ attempt: 1, error: { code: 0x0201 } });
    expect(tries[0]?.error.message).toMatch(/was ended by the peer\./);
    await expect.poll(() => accepted.length).toBe(2);
    expect(await kept.session.ping()).toBeGreaterThan(0);
    expect(await kept.close()).toMatchObject({ reason: 'graceful', initiator: 'local' });
  });

  test('when the peer no longer admits this node', async () => {
    const { kept, server, client } = await keep();
    const run = kept.run('work', (stream) => stream.text());
    server.revoke(client.nodeId);
    await expect(kept.closed).rejects.toMatchObject({ code: 0x0103 });
    await expect(run).rejects.toMatchObject({ code: 0x0103 });
  });

  test('at the deadline of an outage, with the error of the last try', async () => {
    const { kept, server } = await keep({ ...quick, deadline: 4_000 });
    const closed = told(kept, 'closed');
    const run = kept.run('work', (stream) => stream.text());
    void crash(server);
    await expect(kept.closed).rejects.toMatchObject({ code: 0x0102 });
    await expect(run).rejects.toMatchObject({ code: 0x0102 });
    expect(await closed).toMatchObject({ reason: 'error', error: { code: 0x0102 } });
  });

  test('at once by close, destroy and the signal while it reconnects', async () => {
    const reason = new Error('changed my mind');
    for (const how of ['close', 'destroy', 'abort'] as const) {
      const controller = new AbortController();
      const hour = {
        base: 3_600_000,
        maxDelay: 3_600_000,
        minDelay: 3_600_000,
        deadline: 36_000_000,
      };
      const { kept, server, client } = await keep(hour, { signal: controller.signal });
      const run = kept.run('work', (stream) => stream.text());
      void crash(server);
      // The first try fails at once; the next would come in an hour.
      await expect
        .poll(() => client.hasRef() && kept.state === 'reconnecting' && client.sessions.length)
        .toBe(0);
      await isPending(kept.closed, 200);
      if (how === 'abort') controller.abort(reason);
      else void kept[how]();
      if (how === 'close') {
        expect(await kept.closed).toMatchObject({ reason: 'graceful' });
        await expect(run).rejects.toMatchObject({ code: 0x0201, reason: 'graceful' });
      } else if (how === 'destroy') {
        await expect(kept.closed).rejects.toMatchObject({ code: 0x0201, reason: 'error' });
        await expect(run).rejects.toMatchObject({ code: 0x0201, reason: 'error' });
      } else {
        await expect(kept.closed).rejects.toBe(reason);
        await expect(run).rejects.toBe(reason);
      }
      expect(client.hasRef()).toBe(false);
    }
  });

  test('with its endpoint', async () => {
    const { kept, client } = await keep();
    const run = kept.run('work', (stream) => stream.text());
    client.destroy();
    await expect(kept.closed).rejects.toBeDefined();
    await expect(run).rejects.toBeDefined();
  });

  test('without a rejection that nobody handles', async () => {
    const seen: unknown[] = [];
    const note = (reason: unknown): void => void seen.push(reason);
    process.on('unhandledRejection', note);
    onTestFinished(() => void process.off('unhandledRejection', note));
    const { kept, server } = await keep({ ...quick, deadline: 200 });
    void kept.run('floating', (stream) => stream.text());
    void kept.run('throwing', async (stream) => {
      await stream.write('x');
      throw new Error('mine');
    });
    void crash(server);
    await kept.closed.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(seen).toEqual([]);
  });

  test('a first connect that fails, or options that cannot be, reject connect', async () => {
    const client = await endpoint();
    const address = `127.0.0.1:${await closedPort()}`;
    await expect(ReconnectingSession.connect(client, address, any)).rejects.toMatchObject({
      code: 0x0102,
    });
    for (const [option, reconnect] of [
      ['reconnect.attempts', { attempts: 0 }],
      ['reconnect.stableAfter', { stableAfter: -1 }],
      ['reconnect.afterClose', { afterClose: 1 }],
      ['reconnect.tries', { tries: 1 }],
      ['reconnect', 5],
    ] as const) {
      const options = { ...any, reconnect: reconnect as never };
      await expect(ReconnectingSession.connect(client, address, options)).rejects.toMatchObject({
        name: 'SttOptionError',
        option,
      });
    }
  });
});

describe('a peer that drains', () => {
  /** Everything of the next stream is answered, once `when` has come. */
  async function answer(session: SttSession, when: Promise<unknown>): Promise<string> {
    const stream = await next(session.incomingBidirectionalStreams);
    await when;
    const heard = await stream.text();
    await stream.write(`${heard}!`);
    await stream.end();
    return heard;
  }

  /** A stream that asks in two parts, the second when `when` has come. */
  function ask(kept: ReconnectingSession, purpose: string, when: Promise<unknown>) {
    const attempts: number[] = [];
    const result = kept.run(purpose, async (stream, { attempt }) => {
      attempts.push(attempt);
      await stream.write(purpose);
      await when;
      await stream.write('?');
      await stream.end();
      return stream.text();
    });
    return { attempts, result };
  }

  function drained(session: SttSession): Promise<unknown> {
    return new Promise((resolve) => session.once('draining', resolve));
  }

  test('cuts nothing off, takes what begins meanwhile, and is found again once it is back', async () => {
    const { kept, server, accepted, restart } = await keep({ ...quick, afterClose: true });
    const [first, serving] = [kept.session, accepted[0] as SttSession];
    const told: string[] = [];
    kept.on('reconnecting', () => told.push('reconnecting'));
    const reconnected = new Promise<ReconnectedEvent>((resolve) =>
      kept.once('reconnected', resolve),
    );
    const draining = drained(first);
    const work = ask(kept, 'work', draining);
    const heard = answer(serving, draining);
    await expect.poll(() => work.attempts).toEqual([1]);
    const closing = server.close({ drain: 10_000 });
    expect(await draining).toEqual({ initiator: 'remote', within: 10_000 });
    expect([kept.state, kept.session, told]).toEqual(['connected', first, []]);
    const late = ask(kept, 'late', Promise.resolve());
    expect(await heard).toBe('work?');
    expect(await answer(serving, Promise.resolve())).toBe('late?');
    expect(await Promise.all([work.result, late.result])).toEqual(['work?!', 'late?!']);
    expect(await first.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
    await closing;
    await restart();
    const event = await reconnected;
    expect(event).toMatchObject({ session: kept.session, lost: [] });
    expect(event.session).not.toBe(first);
    // Each was run once: nothing of it went to the next session.
    expect([work.attempts, late.attempts]).toEqual([[1], [1]]);
    await expect.poll(() => accepted.length).toBe(2);
    const again = ask(kept, 'work', Promise.resolve());
    expect(await answer(accepted[1] as SttSession, Promise.resolve())).toBe('work?');
    expect(await again.result).toBe('work?!');
  });

  test('is the end where a graceful close is the end, after what goes on', async () => {
    const { kept, server, accepted } = await keep();
    const draining = drained(kept.session);
    const work = ask(kept, 'work', draining);
    const heard = answer(accepted[0] as SttSession, draining);
    await expect.poll(() => work.attempts).toEqual([1]);
    const closed = told(kept, 'closed');
    const closing = server.close({ drain: 10_000 });
    expect(await heard).toBe('work?');
    expect(await work.result).toBe('work?!');
    await closing;
    expect(await kept.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
    expect(await closed).toEqual({ reason: 'graceful' });
    await expect(kept.run('more', () => {})).rejects.toMatchObject({
      code: 0x0201,
      reason: 'graceful',
    });
  });

  test('for less than a stream takes: it is run once more in the next session', async () => {
    const { kept, server, accepted, restart } = await keep({ ...quick, afterClose: true });
    const reconnected = new Promise<ReconnectedEvent>((resolve) =>
      kept.once('reconnected', resolve),
    );
    const attempts: number[] = [];
    const result = kept.run('long', async (stream, { attempt }) => {
      attempts.push(attempt);
      await stream.write('begun');
      return stream.text();
    });
    const stream = await next((accepted[0] as SttSession).incomingBidirectionalStreams);
    await stream[Symbol.asyncIterator]().next();
    await server.close({ drain: 200 });
    await restart();
    const { lost } = await reconnected;
    expect(lost).toMatchObject([{ purpose: 'long', bytesWritten: 5 }]);
    await expect.poll(() => accepted.length).toBe(2);
    const second = await next((accepted[1] as SttSession).incomingBidirectionalStreams);
    await second.write('done');
    await second.end();
    expect(await result).toBe('done');
    expect(attempts).toEqual([1, 2]);
  });
});

describe('a stream that is run by its purpose', () => {
  test('is opened again in the next session, and its handler called again', async () => {
    const { kept, accepted } = await keep();
    const calls: RunContext[] = [];
    const result = kept.run('work', async (stream, context) => {
      calls.push(context);
      await stream.write('ask');
      await stream.end();
      return stream.text();
    });
    const served = async (session: SttSession): Promise<SttStream> =>
      next(session.incomingBidirectionalStreams);
    expect(await (await served(accepted[0] as SttSession)).text()).toBe('ask');
    accepted[0]?.destroy();
    await expect.poll(() => accepted.length).toBe(2);
    const stream = await served(accepted[1] as SttSession);
    expect(stream.purpose).toBe('work');
    await stream.write('answer');
    await stream.end();
    expect(await result).toBe('answer');
    expect(calls).toMatchObject([{ attempt: 1, previous: undefined }, { attempt: 2 }]);
    expect(calls[0]?.signal.aborted).toBe(true);
    expect(calls[1]?.signal.aborted).toBe(false);
  });

  test('never has two calls at once: the next waits until the last has settled', async () => {
    const { kept, accepted } = await keep();
    let running = 0;
    let most = 0;
    let release!: () => void;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const result = kept.run('work', async (stream, { attempt }) => {
      running += 1;
      most = Math.max(most, running);
      try {
        if (attempt > 1) return 'done';
        await stream.text().catch(() => {});
        await held;
        throw new Error('the first call is over');
      } finally {
        running -= 1;
      }
    });
    const reconnected = told(kept, 'reconnected');
    await next((accepted[0] as SttSession).incomingBidirectionalStreams);
    accepted[0]?.destroy();
    await reconnected;
    expect(await isPending(result)).toBe(true);
    release();
    expect(await result).toBe('done');
    expect(most).toBe(1);
  });

  test('ends with what its handler throws while the session lives, and is reset', async () => {
    const { kept, accepted } = await keep();
    const mine = new Error('mine');
    const run = kept.run('work', () => Promise.reject(mine));
    const incoming = await next((accepted[0] as SttSession).incomingBidirectionalStreams);
    await expect(run).rejects.toBe(mine);
    await expect(incoming.text()).rejects.toMatchObject({ code: 0x0301 });
    expect(kept.state).toBe('connected');
    // Its purpose is free again.
    expect(await kept.run('work', () => 5)).toBe(5);
  });

  test('is one at a time for each purpose, and ends by its signal', async () => {
    const { kept } = await keep();
    const controller = new AbortController();
    let heard: unknown;
    let begin!: () => void;
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const run = kept.run({ purpose: 'work', signal: controller.signal }, (stream, { signal }) => {
      signal.addEventListener('abort', () => {
        heard = signal.reason;
      });
      begin();
      return stream.text();
    });
    await expect(kept.run('work', () => {})).rejects.toMatchObject({ code: 'ERR_STT_STATE' });
    const reason = new Error('enough');
    await begun;
    expect(await isPending(run)).toBe(true);
    controller.abort(reason);
    await expect(run).rejects.toBe(reason);
    expect(heard).toBe(reason);
    await expect.poll(() => kept.run('work', () => 'free')).toBe('free');
  });

  test('refuses options that cannot be, by name', async () => {
    const { kept } = await keep();
    for (const [option, purpose, handler] of [
      ['purpose', '', () => {}],
      ['purpose', { purpose: 5 }, () => {}],
      ['priority', { purpose: 'x', priority: 9 }, () => {}],
      ['handler', 'x', undefined],
    ] as const) {
      await expect(kept.run(purpose as never, handler as never)).rejects.toMatchObject({
        name: 'SttOptionError',
        option,
      });
    }
  });
});

describe('over a real fault', () => {
  test('a way that goes dark: the session times out, and goes on when the way is back', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed, ...short });
    const accepted: SttSession[] = [];
    server.serve((session) => void accepted.push(session));
    const way = await relay(server.address.port);
    const client = await endpoint({ sharedSeed, ...short });
    const kept = await ReconnectingSession.connect(client, `127.0.0.1:${way.port}`, {
      ...any,
      timeout: 300,
      reconnect: quick,
    });
    onTestFinished(() => kept.destroy());
    const tries: ReconnectingEvent[] = [];
    kept.on('reconnecting', (event) => {
      tries.push(event);
      if (event.attempt === 3) way.heal();
    });
    const reconnected = told(kept, 'reconnected');
    way.cut();
    await reconnected;
    expect(tries[0]).toMatchObject({ attempt: 1, error: { code: 0x0202 } });
    expect(tries[2]).toMatchObject({ attempt: 3, error: { code: 0x0101 } });
    expect(await kept.session.ping()).toBeGreaterThan(0);
  });

  test('a server killed in the middle and started again: all bytes are stored once', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stt-reconnect-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const seeds = { sharedSeed: generateSeed(), nodeSeed: generateSeed() };
    const file = join(folder, 'stored');
    const bytes = randomBytes(3_000_000);
    const child = await startCounter({ ...seeds, file, port: await closedPort() });
    const client = await endpoint({ sharedSeed: seeds.sharedSeed });
    const kept = await ReconnectingSession.connect(client, `127.0.0.1:${child.port}`, {
      peerNodeId: child.nodeId,
      timeout: 5_000,
      reconnect: quick,
    });
    onTestFinished(() => kept.destroy());
    const begins: number[] = [];
    const upload = kept.run('upload', async (stream, { attempt, signal }) => {
      const answers = stream.messages();
      const told = async (): Promise<number> => {
        const { value } = await answers.next();
        return JSON.parse(Buffer.from(value as Uint8Array).toString()).stored;
      };
      const begin = await told();
      begins.push(begin);
      for (let at = begin; at < bytes.length; at += 50_000) {
        await stream.write(bytes.subarray(at, at + 50_000));
        // The rest is for the next, so that there is a middle to be killed in.
        if (attempt === 1 && at > bytes.length / 2 && !signal.aborted) await once(signal, 'abort');
      }
      await stream.end();
      return told();
    });
    for (;;) {
      const { stored } = await message<{ stored: number }>(child.process, 'stored', 60_000);
      if (stored > 500_000) break;
    }
    const ended = once(child.process, 'exit');
    child.process.kill('SIGKILL');
    await ended;
    await startCounter({ ...seeds, file, port: child.port });
    expect(await upload).toBe(bytes.length);
    expect(begins).toHaveLength(2);
    expect(begins[1]).toBeGreaterThan(500_000);
    expect((await readFile(file)).equals(bytes)).toBe(true);
  });
});

async function startCounter(options: {
  sharedSeed: Uint8Array;
  nodeSeed: Uint8Array;
  file: string;
  port: number;
}): Promise<{ process: ChildProcess; port: number; nodeId: string }> {
  const path = fileURLToPath(new URL('./processes/counter.mjs', import.meta.url));
  const child = fork(path, { serialization: 'advanced' });
  onTestFinished(() => void child.kill('SIGKILL'));
  child.send(options);
  const { ready } = await message<{ ready: { port: number; nodeId: string } }>(
    child,
    'ready',
    60_000,
  );
  return { process: child, ...ready };
}
