import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { EndpointFrameErrorEvent, FrameErrorEvent, PathWarningEvent } from '@seigr/stt';
import { ChecksumMismatchError, generateSeed } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { endpoint, next } from './pair.ts';

const any = { peerNodeId: 'any' };

/** A way to `port` that flips a bit anywhere in every `oneIn`th packet, as `seed` would have it. */
async function flipping(port: number, seed: number) {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const way = { port: (socket.address() as AddressInfo).port, oneIn: 0, flipped: 0 };
  let client = 0;
  socket.on('message', (bytes, { port: from }) => {
    if (from !== port) client = from;
    if (way.oneIn > 0 && random(way.oneIn) === 0) {
      const bit = random(bytes.length * 8);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      way.flipped += 1;
    }
    socket.send(bytes, from === port ? client : port, '127.0.0.1');
  });
  return way;
}

describe('bits that flip on the way', () => {
  test('during a handshake: frameError of the endpoint, and the connect succeeds', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const told: EndpointFrameErrorEvent[] = [];
    server.on('frameError', (event) => told.push(event));
    server.serve(() => {});
    const way = await flipping(server.address.port, 7);
    way.oneIn = 1;
    const client = await endpoint({ sharedSeed });
    const connect = client.connect(`127.0.0.1:${way.port}`, { ...any, timeout: 120_000 });
    await expect.poll(() => told.length).toBeGreaterThan(0);
    way.oneIn = 0;
    await connect;
    expect(told[0]).toMatchObject({ session: undefined, code: 0x0403, count: expect.any(Number) });
    expect(told[0]?.error).toBeInstanceOf(ChecksumMismatchError);
    expect(server.stats()?.checksumErrors).toBeGreaterThan(0);
    expect(server.stats()?.errors.CHECKSUM_MISMATCH).toBeGreaterThan(0);
  });

  test('in a session: nothing is lost, the warning passes by itself and comes again', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const client = await endpoint({ sharedSeed });
    const sessions = server.listen();
    const seed = Date.now() % 100_000;
    console.info(`seed of the flips: ${seed}`);
    const way = await flipping(server.address.port, seed);
    const session = await client.connect(`127.0.0.1:${way.port}`, any);
    const accepted = await next(sessions);
    const warnings: PathWarningEvent[] = [];
    const frames: FrameErrorEvent[] = [];
    const ofEndpoint: EndpointFrameErrorEvent[] = [];
    accepted.on('pathWarning', (event) => warnings.push(event));
    accepted.on('frameError', (event) => frames.push(event));
    server.on('frameError', (event) => ofEndpoint.push(event));
    const stream = await session.createBidirectionalStream();
    const incoming = await next(accepted.incomingBidirectionalStreams);
    let read = 0;
    const reading = (async () => {
      for await (const chunk of incoming) read += chunk.length;
    })();
    let written = 0;
    const piece = Buffer.alloc(64 * 1024, 3);
    const writeUntil = async (done: () => boolean): Promise<void> => {
      const end = performance.now() + 60_000;
      while (!done()) {
        if (performance.now() > end) throw new Error(`not within 60 s: ${written} bytes`);
        await stream.write(piece);
        written += piece.length;
      }
    };
    // A long good time, which a share since the beginning would count on.
    await writeUntil(() => (accepted.stats()?.packetsReceived ?? 0) > 2_000);
    expect(warnings).toEqual([]);
    way.oneIn = 5;
    await writeUntil(() => warnings.length >= 1);
    const before = warnings.length;
    way.oneIn = 0;
    const whole = accepted.stats()?.packetsReceived ?? 0;
    await writeUntil(() => (accepted.stats()?.packetsReceived ?? 0) > whole + 1_500);
    way.oneIn = 5;
    await writeUntil(() => warnings.length > before);
    way.oneIn = 0;
    await stream.end();
    await reading;
    expect(read).toBe(written);
    const [warning] = warnings;
    expect(warning?.corruption).toBeGreaterThan(0.05);
    expect(warning?.packets).toBeLessThanOrEqual(512);
    expect(warning?.message).toContain('network hardware');
    expect(frames[0]?.error).toBeInstanceOf(ChecksumMismatchError);
    expect(frames[0]?.error.context).toMatchObject({
      sessionId: accepted.id,
      peer: expect.any(String),
    });
    expect(ofEndpoint.some((event) => event.session === accepted)).toBe(true);
    // Once a second, however many there are.
    expect(frames.length).toBeLessThan(way.flipped);
  });
});
