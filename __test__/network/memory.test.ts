import type { SttEndpoint, SttError, SttSession } from '@seigr/stt';
import { generateSeed, isSttError } from '@seigr/stt';
import { expect, test } from 'vitest';
import { endpoint, next } from '../contract/pair.ts';

const MIB = 2 ** 20;
const LIMIT = 4 * MIB;

/** Two endpoints, of which one may hold 4 MiB. */
async function couple(which: 'client' | 'server') {
  const sharedSeed = generateSeed();
  const small = { maxMemory: LIMIT };
  // Whatever holds a session back is the ceiling.
  const wide = { recvBufferSize: 64 * MIB, streamRecvBuffer: 64 * MIB, sendBufferSize: 64 * MIB };
  const server = await endpoint({ sharedSeed, ...wide, ...(which === 'server' ? small : {}) });
  const client = await endpoint({ sharedSeed, ...wide, ...(which === 'client' ? small : {}) });
  const incoming = server.listen()[Symbol.asyncIterator]();
  const connect = async () => {
    const to = { peerNodeId: server.nodeId };
    const [session, { value }] = await Promise.all([
      client.connect(server.address, to),
      incoming.next(),
    ]);
    return { session, accepted: value as SttSession };
  };
  return { server, client, connect };
}

function used(of: SttEndpoint): number {
  const { memoryUsed = Number.NaN } = of.stats() ?? {};
  return memoryUsed;
}

/**
 * How an operation is refused. What waits is told of 16 KiB and more, so that less than that may be left when all is
 * full: enough for a few small things, but not for many.
 */
async function refusal(operation: () => Promise<unknown>): Promise<unknown> {
  for (let n = 0; n < 64; n += 1) {
    try {
      await operation();
    } catch (error) {
      return error;
    }
  }
  throw new Error('nothing was refused');
}

test('a writer fills what it may hold: then sessions, streams and writes meet 0x0603, and none of them once it is read', async () => {
  const { server, client, connect } = await couple('client');
  const warned: unknown[] = [];
  client.on('resourceWarning', (event) => warned.push(event));
  const { session, accepted } = await connect();
  const idle = await session.createBidirectionalStream();
  const hog = await session.createBidirectionalStream({ purpose: 'hog' });
  // More than the peer lets it send while nobody reads there: the rest is held here.
  const total = 32 * MIB;
  const written = hog.write(Buffer.alloc(total, 7));
  await expect.poll(() => used(client)).toBeGreaterThanOrEqual(LIMIT);
  expect(used(client)).toBeLessThan(LIMIT + 64 * 1024);

  const spare: SttSession[] = [];
  const refused = [
    await refusal(async () => {
      spare.push(await client.connect(server.address, { peerNodeId: server.nodeId }));
    }),
    await refusal(() => session.createBidirectionalStream()),
    await refusal(() => idle.write(Buffer.alloc(1_024))),
  ] as (SttError & { bytesTaken?: number })[];
  for (const error of refused) {
    expect(isSttError(error, 'RESOURCE_EXHAUSTED')).toBe(true);
    expect(error).toMatchObject({ origin: 'local', recoverable: true, recovery: 'reduce-load' });
    expect(error.message).toMatch(
      /holds 4\.0 MiB of the 4\.0 MiB that it may \(maxMemory\); .* more/,
    );
  }
  expect(refused[2]?.bytesTaken).toBe(0);
  expect(client.stats()).toMatchObject({ memoryLimit: LIMIT, memoryRefused: 3 });
  expect(client.stats()?.errors.RESOURCE_EXHAUSTED).toBe(3);
  expect(warned).toMatchObject([{ resource: 'memory', granted: LIMIT }]);

  // Nothing that was under way has suffered, and the pressure ends by itself.
  const streams = accepted.incomingBidirectionalStreams[Symbol.asyncIterator]();
  const [first, second] = [(await streams.next()).value, (await streams.next()).value];
  const sink = first.purpose === 'hog' ? first : second;
  const reading = sink.bytes({ limit: total });
  await written;
  await hog.end();
  expect((await reading).length).toBe(total);
  await idle.drained();
  await idle.write('now');
  await session.createBidirectionalStream();
  const another = await connect();
  await Promise.all([...spare, session, another.session].map((each) => each.close()));
  // Memory that goes round is given back after a second or two without use.
  await expect.poll(() => used(client)).toBe(0);
});

test('a side that may hold little lets peers send little, refuses what is new with 0x0603, and keeps what it has', async () => {
  const { server, client, connect } = await couple('server');
  const { session, accepted } = await connect();
  const hog = await session.createUnidirectionalStream();
  const total = 32 * MIB;
  const written = hog.write(Buffer.alloc(total, 7));
  const incoming = await next(accepted.incomingUnidirectionalStreams);
  const reader = incoming[Symbol.asyncIterator]();
  let got = 0;
  let most = 0;
  while (got < total / 2) {
    got += (await reader.next()).value?.length ?? 0;
    most = Math.max(most, used(server));
  }
  // The reader keeps up, and could have 64 MiB; credit stops at three quarters.
  expect(most).toBeLessThanOrEqual(LIMIT * 0.75 + 128 * 1024);
  // What this side writes, and nobody reads, takes the rest.
  const back = await accepted.createUnidirectionalStream();
  const answer = back.write(Buffer.alloc(total, 8));
  await expect.poll(() => used(server)).toBeGreaterThanOrEqual(LIMIT);

  const spare: SttSession[] = [];
  const turnedAway = await refusal(async () => {
    spare.push(await client.connect(server.address, { peerNodeId: server.nodeId }));
  });
  expect(turnedAway).toMatchObject({
    codeName: 'RESOURCE_EXHAUSTED',
    origin: 'peer',
    message: expect.stringContaining('maxMemory there'),
  });
  // Nobody takes them there, so that each one that is let in stays.
  const stopped = await refusal(async () => (await session.createBidirectionalStream()).end());
  expect(stopped).toMatchObject({ codeName: 'RESOURCE_EXHAUSTED', origin: 'peer' });

  // The session that was there is not harmed: both ways arrive whole.
  const rest = (async () => {
    while (got < total) got += (await reader.next()).value?.length ?? 0;
  })();
  const received = (await next(session.incomingUnidirectionalStreams)).bytes({ limit: total });
  await Promise.all([written, answer, rest]);
  await Promise.all([hog.end(), back.end()]);
  expect([got, (await received).length]).toEqual([total, total]);
  const again = await connect();
  await Promise.all([...spare, session, again.session].map((each) => each.close()));
  await expect.poll(() => used(server)).toBe(0);
});
