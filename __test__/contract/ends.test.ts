import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import type { HandshakeErrorEvent } from '@seigr/stt';
import { generateSeed, SttError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, next, pair, silentSocket, streamPair } from './pair.ts';

const any = { peerNodeId: 'any' } as const;

async function failure(promise: Promise<unknown>): Promise<SttError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SttError)) throw new Error(`no SttError: ${inspect(error)}`);
  return error;
}

describe('whose doing it was', () => {
  test('is in the error, its JSON, what a console shows, and in settled', async () => {
    const { session, accepted } = await pair();
    session.destroy('enough of this');
    const [ours, theirs] = [await failure(session.closed), await failure(accepted.closed)];
    expect(ours).toMatchObject({ code: 0x0201, origin: 'local' });
    expect(theirs).toMatchObject({ code: 0x0201, origin: 'peer' });
    expect(theirs.toJSON()).toMatchObject({ origin: 'peer' });
    expect(inspect(theirs)).toContain("origin: 'peer'");
    expect(theirs.message).toContain('It says: "enough of this". Look there for why, then connect');
    expect(await accepted.settled).toMatchObject({ origin: 'peer', message: 'enough of this' });
    expect(await session.settled).toMatchObject({ origin: 'local', initiator: 'local' });
  });

  test("a session that the peer shed for its own full backlog says so, in the peer's words", async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const client = await endpoint({ sharedSeed });
    server.listen({ backlog: 1 });
    await client.connect(server.address, any);
    const shed = await client.connect(server.address, any);
    const error = await failure(shed.closed);
    expect(error).toMatchObject({ code: 0x0602, origin: 'peer' });
    expect(error.message).toContain('a bounded queue of its own is full');
    expect(error.message).toContain('too many sessions wait to be served');
    expect(error.message).not.toContain('Read faster');
  });

  test('of a connect: nobody listens, nobody answers, the peer says no', async () => {
    const sharedSeed = generateSeed();
    const client = await endpoint({ sharedSeed });
    const refused = await failure(client.connect(`127.0.0.1:${await closedPort()}`, any));
    expect(refused).toMatchObject({ code: 0x0102, origin: 'path' });
    expect(refused.message).toMatch(/nothing is on that UDP port, or a firewall rejects it/);
    const silent = await silentSocket();
    onTestFinished(silent.close);
    const unanswered = client.connect(`127.0.0.1:${silent.port}`, { ...any, timeout: 300 });
    expect(await failure(unanswered)).toMatchObject({ code: 0x0101, origin: 'idle' });
    const server = await endpoint({ sharedSeed });
    const turned = await failure(client.connect(server.address, any));
    expect(turned).toMatchObject({ code: 0x0102, origin: 'peer' });
    expect(turned.message).toMatch(/it holds our seed, but takes no sessions now\. Have it listen/);
  });
});

describe('a mistake of configuration is told on the first try', () => {
  const sharedSeed = generateSeed();

  test('wrong seed, wrong peer id, not authorized, revoked: four messages', async () => {
    const server = await endpoint({ sharedSeed });
    server.serve(() => {}, { authorize: ({ nodeId }) => nodeId !== stranger.nodeId });
    const stranger = await endpoint({ sharedSeed });
    const client = await endpoint({ sharedSeed });
    const revoked = await endpoint({ sharedSeed });
    server.revoke(revoked.nodeId);

    const seed = await failure((await endpoint()).connect(server.address, any));
    const pinned = await failure(client.connect(server.address, { peerNodeId: client.nodeId }));
    const unauthorized = await failure(
      stranger.connect(server.address, { peerNodeId: server.nodeId }),
    );
    const shutOut = await failure(revoked.connect(server.address, any));
    const errors = [seed, pinned, unauthorized, shutOut];
    for (const error of errors) expect(error).toMatchObject({ code: 0x0103 });
    expect(new Set(errors.map(({ message }) => message.replaceAll(/\d+ ms/g, ''))).size).toBe(4);

    expect(seed).toMatchObject({ subcode: 3, origin: 'peer' });
    expect(pinned).toMatchObject({
      origin: 'local',
      context: { nodeId: client.nodeId, answeredBy: server.nodeId },
    });
    expect(pinned.message).toContain(server.nodeId);
    expect(pinned.message).toContain('peerNodeId');
    expect(unauthorized).toMatchObject({ origin: 'peer', context: { nodeId: server.nodeId } });
    expect(unauthorized.context.answeredBy).toBeUndefined();
    expect(unauthorized.message).toContain('authorize()');
    expect(shutOut).toMatchObject({ origin: 'peer' });
    expect(shutOut.message).toContain('revoked');
  });

  test('none of several seeds is told with their number', async () => {
    const server = await endpoint({ sharedSeed });
    server.serve(() => {});
    const client = await endpoint({ sharedSeed: [generateSeed(), generateSeed()] });
    const error = await failure(client.connect(server.address, any));
    expect(error).toMatchObject({ code: 0x0103, subcode: 3 });
    expect(error.message).toContain('none of the 2 in sharedSeed');
  });

  test('a greeting that was held up is not told as a clock that is wrong', async () => {
    const server = await endpoint({ sharedSeed, timestampWindow: 50 });
    server.serve(() => {});
    const told = new Promise<HandshakeErrorEvent>((resolve) => {
      server.once('handshakeError', resolve);
    });
    const client = await endpoint({ sharedSeed });
    // A HELLO that was held up for so long looks like one of a clock that is behind.
    const slow = await relay(server.address.port, { holdToServer: 300 });
    const error = await failure(client.connect(`127.0.0.1:${slow.port}`, any));
    expect(error).toMatchObject({ code: 0x0405, subcode: 2, origin: 'peer' });
    expect(error.message).toMatch(/differ by -?\d+ ms only: it was on its way for longer/);
    const { error: seen } = await told;
    expect(seen).toMatchObject({ code: 0x0405, subcode: 2 });
    expect(seen.message).toMatch(/is \d+ ms behind this machine's/);
  });
});

test('a HELLO that comes again from another port is told as NONCE_REUSE', async () => {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const client = await endpoint({ sharedSeed });
  const sessions = server.listen();
  const way = await relay(server.address.port);
  const session = await client.connect(`127.0.0.1:${way.port}`, any);
  await next(sessions);
  const told = new Promise<HandshakeErrorEvent>((resolve) => {
    server.once('handshakeError', resolve);
  });
  const [hello] = way.fromClient;
  const other = createSocket('udp4');
  onTestFinished(() => void other.close());
  other.send(hello ?? '', server.address.port, '127.0.0.1');
  const { port, error } = await told;
  expect(port).toBe(other.address().port);
  expect(error).toMatchObject({ code: 0x0405, subcode: 1, subcodeName: 'NONCE_REUSE' });
  // It did no harm to the session, and a fresh connect works.
  expect(await session.ping()).toBeGreaterThan(0);
  await client.connect(`127.0.0.1:${way.port}`, any);
});

describe('a stream id that both sides take at once', () => {
  test('is 0x0303 on both, on all that waits', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const client = await endpoint({ sharedSeed });
    const sessions = server.listen();
    const way = await relay(server.address.port);
    const session = await client.connect(`127.0.0.1:${way.port}`, any);
    const accepted = await next(sessions);
    await session.ping();
    // Neither side hears of the other's open before its own is out.
    way.hold();
    const streams = [
      await session.createBidirectionalStream({ id: 7 }),
      await accepted.createBidirectionalStream({ id: 7 }),
    ];
    const waits = streams.flatMap((stream) => [stream.closed, stream.text(), stream.end()]);
    const outcomes = Promise.allSettled(waits);
    way.release();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: {
          code: 0x0303,
          name: 'StreamIdConflictError',
          message: expect.stringContaining('The id 7 that was chosen'),
        },
      });
      const { reason } = outcome as PromiseRejectedResult;
      expect((reason as SttError).applicationCode).toBeUndefined();
    }
    // The sessions go on.
    const stream = await session.createBidirectionalStream({ id: 8 });
    expect((await next(accepted.incomingBidirectionalStreams)).name).toBe(8);
    stream.reset();
  });

  test("is not what an application's own reset with that number looks like", async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const read = failure(incoming.text());
    await opened.write('x');
    opened.reset(0x0303);
    expect(await read).toMatchObject({ code: 0x0301, applicationCode: 0x0303 });
  });
});

describe('bytesAcknowledged', () => {
  test('grows to what was written, and stays', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    expect([opened.bytesWritten, opened.bytesAcknowledged]).toEqual([0, 0]);
    const read = incoming.bytes();
    await opened.write(Buffer.alloc(300_000));
    expect(opened.bytesWritten).toBe(300_000);
    await opened.end();
    expect(opened.bytesAcknowledged).toBe(300_000);
    expect((await read).length).toBe(300_000);
    // The other half ends, so that the core forgets the stream; then the session ends, too.
    await incoming.end();
    await opened.bytes();
    await both.session.close();
    expect([opened.bytesWritten, opened.bytesAcknowledged]).toEqual([300_000, 300_000]);
    expect(incoming.bytesAcknowledged).toBe(0);
  });

  test.each(['destroy', 'peer'] as const)('is a prefix, and final behind %s', async (by) => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    void opened.write(Buffer.alloc(16 * 1024 * 1024));
    let read = 0;
    for await (const chunk of incoming) {
      read += chunk.length;
      if (read > 1_000_000) break;
    }
    if (by === 'destroy') both.session.destroy();
    else both.accepted.destroy();
    const { undelivered } = await both.session.settled;
    const acknowledged = opened.bytesAcknowledged;
    expect(acknowledged).toBeGreaterThan(0);
    expect(acknowledged).toBeLessThanOrEqual(opened.bytesWritten);
    if (by === 'destroy') {
      expect(undelivered).toBe(16 * 1024 * 1024 - acknowledged);
    }
    await both.client.close();
    expect(opened.bytesAcknowledged).toBe(acknowledged);
  });
});

/** A way to `target` that notes what the client sends, and can hold or slow packets. */
async function relay(
  target: number,
  { holdToServer = 0 } = {},
): Promise<{ port: number; fromClient: Buffer[]; hold: () => void; release: () => void }> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  let open = true;
  onTestFinished(() => {
    open = false;
    socket.close();
  });
  let client = 0;
  let held: (() => void)[] | undefined;
  const fromClient: Buffer[] = [];
  socket.on('message', (bytes, { port: from }) => {
    if (from !== target) {
      client = from;
      fromClient.push(bytes);
    }
    const to = from === target ? client : target;
    const send = (): void => {
      if (open) socket.send(bytes, to, '127.0.0.1');
    };
    if (held !== undefined) held.push(send);
    else if (holdToServer > 0 && to === target) setTimeout(send, holdToServer);
    else send();
  });
  const hold = (): void => {
    held = [];
  };
  const release = (): void => {
    const waiting = held ?? [];
    held = undefined;
    for (const send of waiting) send();
  };
  return { port: (socket.address() as AddressInfo).port, fromClient, hold, release };
}
