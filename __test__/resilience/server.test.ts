import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { PeerAddress, SttSession } from '@seigr/stt';
import { generateSeed, isSttError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  CARRIED,
  endpoint,
  isPending,
  next,
  pair,
  placeOf,
  streamPair,
  TRANSPORT,
} from '../contract/pair.ts';
import { message } from '../network/children.ts';

const any = { peerNodeId: 'any', transport: TRANSPORT } as const;

describe('the accept backlog', () => {
  test('full: the session past it ends with 0x0602 as the cause, those in it stay', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const listener = server.listen({ ...CARRIED, backlog: 2 });
    const place = await placeOf(server, listener);
    const client = await endpoint({ sharedSeed });
    const ended: unknown[] = [];
    server.on('sessionClosed', (event) => ended.push(event));
    const kept = [await client.connect(place, any), await client.connect(place, any)];
    await expect.poll(() => server.stats()?.unacceptedSessions).toBe(2);
    const third = await client.connect(place, any);
    const error = await third.closed.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 0x0602, codeName: 'BUFFER_OVERFLOW' });
    await expect(third.createBidirectionalStream()).rejects.toMatchObject({
      code: 0x0201,
      reason: 'error',
      cause: { code: 0x0602 },
    });
    await expect.poll(() => ended.length).toBe(1);
    expect(ended[0]).toMatchObject({ reason: 'error', initiator: 'local' });
    // Those that wait are whole, and taking them makes room.
    for (const session of kept) expect(await session.ping()).toBeGreaterThan(0);
    const taken = [await next(listener), await next(listener)];
    expect(taken.map(({ id }) => id).sort()).toEqual(kept.map(({ id }) => id).sort());
    const fourth = await client.connect(place, any);
    expect((await next(listener)).id).toBe(fourth.id);
  });

  test('that is never taken is told when accepting stops', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const listener = server.listen(CARRIED);
    const place = await placeOf(server, listener);
    const client = await endpoint({ sharedSeed });
    const session = await client.connect(place, any);
    await expect.poll(() => server.stats()?.unacceptedSessions).toBe(1);
    listener.close();
    await expect(session.closed).rejects.toMatchObject({ code: 0x0203 });
  });
});

describe('authorize', () => {
  test('decides on so many at a time: the next is told 0x0203, and comes in once there is room', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const decide: ((admitted: boolean) => void)[] = [];
    const authorize = () => new Promise<boolean>((resolve) => void decide.push(resolve));
    const listener = server.serve(() => {}, {
      ...CARRIED,
      authorize,
      maxPendingAuthorizations: 1,
    });
    const place = await placeOf(server, listener);
    const client = await endpoint({ sharedSeed });
    const first = client.connect(place, any);
    await expect.poll(() => decide.length).toBe(1);
    await expect(client.connect(place, any)).rejects.toMatchObject({ code: 0x0203 });
    const retried = client.connect(place, {
      ...any,
      retry: { attempts: 5_000, base: 20, factor: 1, jitter: 'none' },
    });
    decide[0]?.(true);
    expect(await (await first).ping()).toBeGreaterThan(0);
    await expect.poll(() => decide.length).toBe(2);
    decide[1]?.(true);
    expect(await (await retried).ping()).toBeGreaterThan(0);
  });

  test('that takes too long has its signal aborted, and so has one that is no longer needed', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const signals: AbortSignal[] = [];
    const authorize = (_: unknown, { signal }: { signal: AbortSignal }) => {
      signals.push(signal);
      return new Promise<boolean>(() => {});
    };
    const listener = server.serve(() => {}, { ...CARRIED, authorize, authorizeTimeout: 100 });
    const place = await placeOf(server, listener);
    const client = await endpoint({ sharedSeed });
    await expect(client.connect(place, any)).rejects.toMatchObject({ code: 0x0103 });
    expect(signals[0]?.aborted).toBe(true);
    const second = client.connect(place, any);
    await expect.poll(() => signals.length).toBe(2);
    listener.close();
    expect(signals[1]?.aborted).toBe(true);
    await expect(second).rejects.toSatisfy(isSttError);
  });
});

describe('close({ drain })', () => {
  test('takes nobody new, lets what was written arrive, and ends gracefully for the peers', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const draining = drainingOf(both.accepted);
    void incoming.write(Buffer.alloc(3_000_000));
    void incoming.end();
    const read = opened.bytes();
    const told = new Promise((resolve) => both.session.once('draining', resolve));
    const closing = both.server.close({ drain: 10_000 });
    await draining;
    expect(await told).toEqual({ initiator: 'remote', within: 10_000 });
    await expect(both.client.connect(both.place, any)).rejects.toMatchObject({
      code: 0x0102,
    });
    expect((await read).length).toBe(3_000_000);
    // The peer's half is still open, and it may use it; the session ends with it.
    await opened.write('the last');
    await opened.end();
    expect(await incoming.text()).toBe('the last');
    await closing;
    expect(await both.session.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
  });

  test('lets a peer finish what it sends, and what it begins meanwhile', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const told = new Promise((resolve) => both.session.once('draining', resolve));
    const closing = both.server.close({ drain: 10_000 });
    await told;
    const late = await both.session.createUnidirectionalStream();
    const { value } =
      await both.accepted.incomingUnidirectionalStreams[Symbol.asyncIterator]().next();
    const read = Promise.all([incoming.bytes(), value?.text()]);
    void opened.write(Buffer.alloc(2_000_000));
    void opened.end();
    void late.write('begun late');
    void late.end();
    const [bytes, text] = await read;
    expect([bytes.length, text]).toEqual([2_000_000, 'begun late']);
    await incoming.end();
    await closing;
    expect(await both.session.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
  });

  test('waits for nothing where no stream is open', async () => {
    const both = await pair();
    const told = new Promise((resolve) => both.session.once('draining', resolve));
    const started = performance.now();
    await both.server.close({ drain: 60_000 });
    expect(performance.now() - started).toBeLessThan(30_000);
    expect(await told).toEqual({ initiator: 'remote', within: 60_000 });
    expect(await both.session.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
  });

  test('waits no longer than it was told for a peer that does not read', async () => {
    const both = await pair();
    const { incoming } = await streamPair(both);
    void incoming.write(Buffer.alloc(30_000_000));
    const started = performance.now();
    await both.server.close({ drain: 300 });
    expect(performance.now() - started).toBeLessThan(60_000);
    await expect(incoming.closed).rejects.toBeDefined();
  });

  test('on SIGTERM: a server that drains loses nothing, and its process ends by itself', async () => {
    const path = fileURLToPath(new URL('./processes/drained.mjs', import.meta.url));
    const child = fork(path, { serialization: 'advanced' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const sharedSeed = generateSeed();
    child.send({ sharedSeed, listen: CARRIED });
    const { place } = await message<{ place: PeerAddress }>(child, 'place', 60_000);
    const client = await endpoint({ sharedSeed });
    const session = await client.connect(place, any);
    const stream = await session.createBidirectionalStream();
    const answer = stream.bytes();
    await stream.end();
    await message(child, 'written', 60_000);
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    expect((await answer).length).toBe(5_000_000);
    expect(await session.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
    expect(await ended).toEqual([0, null]);
  });
});

describe('a seed that is rotated by sharedSeed: [new, old]', () => {
  test('loses nobody: old and new peers meet at every step', async () => {
    const [old, fresh] = [generateSeed(), generateSeed()];
    const steps = [
      [old, old],
      // The servers first: they admit both, and the peers are moved one by one.
      [[fresh, old], old],
      [
        [fresh, old],
        [fresh, old],
      ],
      // A peer that connects with the new one first finds a server that has the old one only.
      [old, [fresh, old]],
      [fresh, [fresh, old]],
      [fresh, fresh],
    ] as const;
    for (const [server, client] of steps) {
      const serving = await endpoint({ sharedSeed: server as never });
      const place = await placeOf(
        serving,
        serving.serve(() => {}, CARRIED),
      );
      const connecting = await endpoint({ sharedSeed: client as never });
      const session = await connecting.connect(place, any);
      expect(await session.ping()).toBeGreaterThan(0);
    }
    const retired = await endpoint({ sharedSeed: fresh });
    const place = await placeOf(
      retired,
      retired.serve(() => {}, CARRIED),
    );
    const left = await endpoint({ sharedSeed: old });
    await expect(left.connect(place, any)).rejects.toMatchObject({
      code: 0x0103,
      subcode: 3,
    });
  });
});

describe('caps', () => {
  test('hold for each peer apart: one that has all of its own does not shut out another', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const listener = server.serve(() => {}, { ...CARRIED, maxSessionsPerPeer: 2 });
    const place = await placeOf(server, listener);
    const [greedy, modest] = [await endpoint({ sharedSeed }), await endpoint({ sharedSeed })];
    const sessions: SttSession[] = [];
    for (let n = 0; n < 2; n += 1) sessions.push(await greedy.connect(place, any));
    await expect(greedy.connect(place, any)).rejects.toMatchObject({ code: 0x0203 });
    expect(await (await modest.connect(place, any)).ping()).toBeGreaterThan(0);
    // What ends makes room, and the retry finds it by itself.
    const retried = greedy.connect(place, {
      ...any,
      retry: { attempts: 5_000, base: 20, factor: 1, jitter: 'none' },
    });
    expect(await isPending(retried, 100)).toBe(true);
    await sessions[0]?.close();
    expect(await (await retried).ping()).toBeGreaterThan(0);
  });
});

/** Resolves at the session's `draining`. */
function drainingOf(session: SttSession): Promise<void> {
  return new Promise((resolve) => session.once('draining', () => resolve()));
}
