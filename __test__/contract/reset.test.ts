import { randomBytes } from 'node:crypto';
import { generateSeed, type SttSession } from '@seigr/stt';
import { type Passing, TestNetwork } from '@seigr/stt/testing';
import { expect, onTestFinished, test } from 'vitest';
import { resetPacket } from '../../ts/testing/peer.ts';
import { isPending } from './pair.ts';

const TOKEN_LENGTH = 16;
/** Of the token in the packet: behind the header, kind, code and sub-code. */
const TOKEN_AT = 24 + 4;

const isReset = ({ bytes }: Passing): boolean => bytes[1] === 0xff && bytes[24] === 2;
const pathId = (bytes: Buffer): string => bytes.subarray(4, 12).toString('hex');

async function echoes(session: SttSession): Promise<void> {
  const stream = await session.createBidirectionalStream();
  await stream.write('still there?');
  await stream.end();
  expect(await stream.text()).toBe('still there?');
}

test('a session reset is believed with the right token alone, and then at once', async () => {
  const network = new TestNetwork();
  onTestFinished(() => network[Symbol.asyncDispose]());
  const nodeSeed = generateSeed();
  const timings = { keepAliveTimeout: 60_000 };
  const server = await network.endpoint({ ...timings, nodeSeed });
  server.serve(async (session) => {
    for await (const stream of session.incomingBidirectionalStreams) {
      await stream.write(await stream.bytes());
      await stream.end();
    }
  });
  const client = await network.endpoint(timings);
  const faults = await network.link(server);
  const session = await client.connect(faults.address, { peerNodeId: server.nodeId });

  // To both sides, for the path ids that they send to, from where they expect their peer, with any token.
  const used = { target: '', client: '' };
  let forged = 0;
  faults.intercept((passing) => {
    const { bytes, towards, forward } = passing;
    const sealed = ((bytes[0] ?? 0) & 0x80) !== 0;
    if (sealed) used[towards] = pathId(bytes);
    const senders = used[towards === 'client' ? 'target' : 'client'];
    if (senders !== '') {
      forged += 1;
      forward(
        resetPacket(senders, forged % 2 === 0 ? randomBytes(TOKEN_LENGTH) : Buffer.alloc(16)),
      );
    }
    forward();
  });
  for (let count = 0; count < 10 || forged <= 20; count += 1) await echoes(session);
  expect(forged).toBeGreaterThan(20);
  expect(await isPending(session.settled)).toBe(true);
  expect(server.sessions).toHaveLength(1);

  // A peer that was started anew knows the right token. With a single bit of it turned over it is none.
  await faults.restart(() => network.endpoint({ ...timings, nodeSeed }));
  let resolve: () => void = () => undefined;
  const seen = new Promise<void>((settle) => {
    resolve = settle;
  });
  faults.intercept((passing) => {
    if (!isReset(passing)) {
      passing.forward();
      return;
    }
    const { bytes } = passing;
    for (let bit = 0; bit < 8 * TOKEN_LENGTH; bit += 1) {
      const token = Buffer.from(bytes.subarray(TOKEN_AT, TOKEN_AT + TOKEN_LENGTH));
      token[bit >> 3] = (token[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      passing.forward(resetPacket(pathId(bytes), token));
    }
    resolve();
  });
  const ping = session.ping().catch((error: unknown) => error);
  await seen;
  expect(await isPending(session.settled)).toBe(true);
  faults.intercept(undefined);
  expect(await session.settled).toMatchObject({ reason: 'error', error: { code: 0x0204 } });
  expect(await ping).toMatchObject({ code: 0x0201 });
});
