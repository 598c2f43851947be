import { rejects } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { generateSeed } from '@seigr/stt';
import { assertSttError, closedPort, TestNetwork } from '@seigr/stt/testing';
import '@seigr/stt/testing/vitest';
import { expect, onTestFinished, test } from 'vitest';

const LAST = 99;

/** For what a pause of this thread is not to end. */
const LASTING = { keepAliveTimeout: 60_000 };

function network(): TestNetwork {
  const made = new TestNetwork();
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

test('the example: a partition ends a session within the patience of a test', async () => {
  const { session, faults } = await network().connect();
  await faults.partition();
  await expect(session.closed).rejects.toBeSttError('SESSION_TIMEOUT');
});

test('after heal() the same link carries another session', async () => {
  const { client, server, session, faults } = await network().connect();
  await faults.partition();
  await expect(session.closed).rejects.toBeSttError('SESSION_TIMEOUT');
  await faults.heal();
  const again = await client.connect(faults.address, { peerNodeId: server.nodeId });
  expect(await again.ping({ timeout: 60_000 })).toBeGreaterThan(0);
});

test('refuse() is the answer of a closed port, at once, and heal() takes it back', async () => {
  const { client, server, faults } = await network().connect();
  for (let round = 0; round < 3; round += 1) {
    await faults.refuse();
    // Its timeout is longer than a test may be.
    const connecting = client.connect(faults.address, { peerNodeId: 'any', timeout: 3_600_000 });
    await expect(connecting).rejects.toBeSttError('CONNECTION_REFUSED');
    await faults.heal();
    await client.connect(faults.address, { peerNodeId: server.nodeId });
  }
});

test('the port stays taken while it refuses', async () => {
  const { faults } = await network().connect();
  await faults.refuse();
  const other = createSocket('udp4');
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => other.once('error', resolve));
  other.bind(faults.port, '127.0.0.1');
  expect((await failed).code).toBe('EADDRINUSE');
});

test('loss by the same seed falls on the same datagrams', async () => {
  const runs: number[][] = [];
  for (let run = 0; run < 2; run += 1) {
    const heard: number[] = [];
    const target = createSocket('udp4');
    target.on('message', (bytes) => heard.push(bytes.readUInt32LE(0)));
    const port = await closedPort();
    target.bind(port, '127.0.0.1');
    const faults = await network().link({ address: { port } });
    const from = createSocket('udp4');
    const send = async (number: number): Promise<void> => {
      const bytes = Buffer.alloc(64);
      bytes.writeUInt32LE(number);
      await new Promise((resolve) => from.send(bytes, faults.port, '127.0.0.1', resolve));
    };
    await send(0);
    await expect.poll(() => heard.length).toBe(1);
    await faults.loss(0.5, 42);
    for (let number = 1; number <= 64; number += 1) await send(number);
    // The last of them is told by the first that arrives behind it.
    await expect.poll(() => send(LAST).then(() => heard.at(-1))).toBe(LAST);
    const arrived = heard.filter((number) => number !== LAST);
    expect(arrived.length).toBeGreaterThan(16);
    expect(arrived.length).toBeLessThan(50);
    runs.push(arrived);
    from.close();
    target.close();
  }
  expect(runs[0]).toEqual(runs[1]);
});

test('everything arrives intact through loss, delay and damage', async () => {
  const { session, accepted, faults } = await network().connect({
    server: LASTING,
    client: LASTING,
  });
  await faults.loss(0.05, 3);
  await faults.corrupt(0.05, 4);
  await faults.delay(5);
  const stream = await session.createBidirectionalStream();
  const { value: incoming } =
    await accepted.incomingBidirectionalStreams[Symbol.asyncIterator]().next();
  const sent = Buffer.alloc(500_000, 'intact');
  const [read] = await Promise.all([incoming?.bytes(), stream.write(sent), stream.end()]);
  expect(sent.equals(read ?? Buffer.alloc(0))).toBe(true);
  expect(accepted.stats()?.checksumErrors).toBeGreaterThan(0);
});

test('delay() adds its milliseconds to each way', async () => {
  const { session, faults } = await network().connect({ server: LASTING, client: LASTING });
  await session.ping();
  await faults.delay(100);
  // Timers are rounded to a millisecond.
  expect(await session.ping()).toBeGreaterThan(2 * 98);
});

test('restart() with the same node seed: the session is gone, and the next frame says so', async () => {
  const made = network();
  const nodeSeed = generateSeed();
  const { client, session, faults } = await made.connect({
    server: { ...LASTING, nodeSeed },
    client: LASTING,
  });
  const again = await faults.restart(() => made.endpoint({ nodeSeed }));
  again.listen();
  await expect(session.ping()).rejects.toBeSttError('SESSION_CLOSED', { reason: 'error' });
  await expect(session.closed).rejects.toBeSttError('SESSION_NOT_FOUND');
  await client.connect(faults.address, { peerNodeId: again.nodeId });
});

test('restart() whose factory fails cuts nothing: the next one takes the place', async () => {
  const made = network();
  const { client, faults } = await made.connect();
  // As it may be where descriptors run out, or a port is taken.
  const failing = faults.restart(() => Promise.reject(new Error('no such machine')));
  await expect(failing).rejects.toThrow('no such machine');
  const again = await faults.restart(() => made.endpoint());
  again.listen();
  await client.connect(faults.address, { peerNodeId: again.nodeId });
});

test.skipIf(process.platform === 'win32')(
  'a link without a descriptor for a new client goes on, and hears it once there is one',
  async () => {
    const program = fileURLToPath(new URL('./processes/starved.mjs', import.meta.url));
    const argv = ['-c', 'ulimit -n 128; exec "$0" "$1"', process.execPath, program];
    const { stdout } = await promisify(execFile)('sh', argv, { timeout: 60_000 });
    expect(stdout.trim()).toBe('connected');
  },
);

test('clockSkew() beyond the window is TIMESTAMP_EXPIRED, within it nothing', async () => {
  const made = network();
  const server = await made.endpoint({ timestampWindow: 2_000 });
  server.listen();
  const faults = await made.link(server);
  const client = await made.endpoint({ handshakeTimeout: 60_000 });
  await faults.clockSkew(5_000);
  await expect(client.connect(faults.address, { peerNodeId: 'any' })).rejects.toBeSttError(
    'HANDSHAKE_FAILURE',
    { subcodeName: 'TIMESTAMP_EXPIRED' },
  );
  await faults.clockSkew(0);
  await client.connect(faults.address, { peerNodeId: 'any' });
});

test('each client is a source of its own', async () => {
  const made = network();
  const { server, faults } = await made.connect();
  const ports = new Set<number>();
  for (let count = 0; count < 3; count += 1) {
    const client = await made.endpoint();
    await client.connect(faults.address, { peerNodeId: server.nodeId });
  }
  for (const { remoteAddress } of server.sessions) ports.add(remoteAddress.port);
  expect(ports.size).toBe(4);
});

test('assertSttError serves node:assert, and says what came instead', async () => {
  const { session, accepted } = await network().connect();
  accepted.destroy();
  await rejects(session.closed, (error) => assertSttError(error, 'SESSION_CLOSED'));
  const error = await session.closed.catch((reason: unknown) => reason);
  expect(() => assertSttError(error, 'SESSION_TIMEOUT')).toThrow(
    /expected SESSION_TIMEOUT, got SESSION_CLOSED/,
  );
  expect(() => expect(error).toBeSttError('STREAM_CLOSED')).toThrow(/to be STREAM_CLOSED/);
  expect(() => assertSttError(new Error('other'), 'TIMEOUT')).toThrow(/got Error: other/);
});
