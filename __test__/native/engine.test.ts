import { createHash, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { Engine } from '../../ts/native/engine.ts';
import { connectedPair, engineOptions, Peer, plainStream } from './peer.ts';

test('bytes go there and back over one stream', async () => {
  const { client, server, session } = await connectedPair();
  const stream = client.engine.openStream(session, plainStream);
  const hello = new TextEncoder().encode('hello');
  expect(client.engine.write(stream, hello, 0, 5)).toBe(5);
  client.engine.finish(stream);
  const [, theirs, info] = await server.take('streamOpened');
  expect(info).toMatchObject({ unidirectional: false, purpose: 'test', priority: 3 });
  expect(await server.takeAll(theirs)).toEqual(hello);
  server.engine.consumed(theirs, 5);
  expect(server.engine.writev(theirs, [hello.subarray(0, 2), hello.subarray(2)])).toBe(5);
  server.engine.finish(theirs);
  expect(await client.takeAll(stream)).toEqual(hello);
  client.engine.consumed(stream, 5);
  await client.take('finished');
  expect(client.engine.write(stream, hello, 0, 5)).toBe(-1);
  const stats = client.engine.sessionStats(session);
  expect(stats?.packetsSent).toBeGreaterThan(0);
  client.engine.closeSession(session, { reason: 0, code: 0, message: 'done', drainMs: 1_000 });
  const [, ended] = await server.take('sessionClosed');
  expect(ended).toMatchObject({ reason: 0, remote: true, undelivered: 0 });
  await client.take('sessionClosed');
  expect(client.engine.sessionStats(session)).toBeUndefined();
  await Promise.all([client.close(), server.close()]);
});

test('busy polling that the system does not grant is told', async () => {
  // More than the system's number holds: no option of the public API is so large.
  const wanted = 2 ** 32 - 1;
  const peer = new Peer({ socketBusyPoll: wanted });
  const warning = await peer.until('a warning of busy polling', () =>
    peer.heard
      .flatMap((heard) => (heard.name === 'resourceWarning' ? heard.args : []))
      .find(({ resource }) => resource === 'socketBusyPoll'),
  );
  expect(warning.limit).toBe(wanted);
  expect(warning.value).toBeLessThan(wanted);
  await peer.close();
});

/** Moves 64 MiB, and says how many datagrams came for each call across the boundary. */
async function datagramsForEachCall(): Promise<number> {
  // The bound is for datagrams of an Ethernet's size; loopback would carry 45 times as much in each.
  const { client, server, session } = await connectedPair({ mtu: 1_452 });
  const total = 64 << 20;
  const chunk = randomBytes(1 << 16);
  const sent = createHash('sha256');
  const received = createHash('sha256');
  let bytes = 0;
  let finished = false;
  server.onData = (stream, data, fin) => {
    received.update(data);
    bytes += data.length;
    server.engine.consumed(stream, data.length);
    finished ||= fin;
  };
  const before = server.engine.endpointStats();
  const stream = client.engine.openStream(session, plainStream);
  for (let written = 0; written < total; ) {
    let start = 0;
    while (start < chunk.length) {
      const taken = client.engine.write(stream, chunk, start, chunk.length);
      expect(taken).toBeGreaterThanOrEqual(0);
      start += taken;
      if (start < chunk.length) await client.take('writable');
    }
    sent.update(chunk);
    written += chunk.length;
  }
  client.engine.finish(stream);
  await server.until('end of the stream', () => finished || undefined);
  expect(bytes).toBe(total);
  expect(received.digest('hex')).toBe(sent.digest('hex'));
  const after = server.engine.endpointStats();
  const count = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);
  const datagrams = count('datagramsReceived');
  expect(datagrams).toBeGreaterThan(total / 1500);
  await Promise.all([client.close(), server.close()]);
  return datagrams / count('polls');
}

test('bulk arrives whole, with at most one call across the boundary per 32 datagrams', async () => {
  let most = 0;
  // An engine that has to wait for the processor brings little each time: the best of several counts.
  for (let round = 0; round < 10 && most < 32; round += 1) {
    most = Math.max(most, await datagramsForEachCall());
  }
  expect(most).toBeGreaterThanOrEqual(32);
});

test('a write past the send buffer is cut short and announced once there is room', async () => {
  const { client, server, session } = await connectedPair({ sendBufferSize: 100_000 });
  const stream = client.engine.openStream(session, plainStream);
  const chunk = new Uint8Array(150_000).fill(7);
  const taken = client.engine.write(stream, chunk, 0, chunk.length);
  expect(taken).toBeLessThan(chunk.length);
  expect(taken).toBeGreaterThan(0);
  const [writable] = await client.take('writable');
  expect(writable).toBe(stream);
  expect(client.engine.write(stream, chunk, taken, chunk.length)).toBeGreaterThan(0);
  await Promise.all([client.close(), server.close()]);
});

test('an authorizing listener is asked, and its no is heard', async () => {
  const server = new Peer();
  const client = new Peer();
  server.engine.listen({ maxSessions: 16, authorize: true });
  const { address, port } = server.engine.address;
  client.engine.connect({ address, port, timeoutMs: 60_000 });
  const [asking, info] = await server.take('incoming');
  expect(info.peerNodeId).toEqual(client.engine.nodeId);
  server.engine.refuse(asking, 0x0103);
  const [, fault] = await client.take('connectFailed');
  expect(fault.code).toBe(0x0103);
  await Promise.all([client.close(), server.close()]);
});

test('another seed is told as such', async () => {
  const server = new Peer();
  const client = new Peer({ sharedSeeds: [new Uint8Array(randomBytes(32))] });
  server.engine.listen({ maxSessions: 16, authorize: false });
  const { address, port } = server.engine.address;
  client.engine.connect({ address, port, timeoutMs: 60_000 });
  const [, fault] = await client.take('connectFailed');
  expect(fault).toMatchObject({ code: 0x0103, subcode: 3, causeCode: 0x0405, causeSubcode: 3 });
  await Promise.all([client.close(), server.close()]);
});

test('a ping comes back with its token', async () => {
  const { client, server, session } = await connectedPair();
  client.engine.ping(session, 77);
  const [of, token, micros] = await client.take('pong');
  expect([of, token]).toEqual([session, 77]);
  expect(micros).toBeGreaterThan(0);
  await Promise.all([client.close(), server.close()]);
});

test('a reset and a stop carry their codes', async () => {
  const { client, server, session } = await connectedPair();
  const stream = client.engine.openStream(session, plainStream);
  client.engine.write(stream, new Uint8Array(10), 0, 10);
  const [, theirs] = await server.take('streamOpened');
  server.engine.stop(theirs, 4711);
  const [stopped, stopCode] = await client.take('stopped');
  expect([stopped, stopCode]).toEqual([stream, 4711]);
  server.engine.reset(theirs, 42);
  const [reset, resetCode] = await client.take('reset');
  expect([reset, resetCode]).toEqual([stream, 42]);
  await Promise.all([client.close(), server.close()]);
});

test('a connect that is given up ends with connectFailed', async () => {
  const silent = new Peer();
  const client = new Peer();
  const { address, port } = silent.engine.address;
  const session = client.engine.connect({ address, port, timeoutMs: 60_000 });
  client.engine.abortConnect(session);
  expect((await client.take('connectFailed'))[0]).toBe(session);
  await Promise.all([client.close(), silent.close()]);
});

test('a busy port is a Node system error', async () => {
  const first = new Peer();
  const { port } = first.engine.address;
  let error: unknown;
  try {
    new Peer({ port });
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({
    code: 'EADDRINUSE',
    syscall: 'bind',
    address: '127.0.0.1',
    port,
  });
  expect(() => new Peer({ host: '192.0.2.1' })).toThrow(
    expect.objectContaining({ code: 'EADDRNOTAVAIL' }),
  );
  await first.close();
});

test('a seed that is none and an address that is none are TypeErrors', () => {
  const handlers = {} as never;
  const zeros = [new Uint8Array(32)];
  expect(() => Engine.start(engineOptions({ sharedSeeds: zeros }), handlers)).toThrow(TypeError);
  expect(() => Engine.start(engineOptions({ sharedSeeds: [] }), handlers)).toThrow(TypeError);
  expect(() => Engine.start(engineOptions({ host: 'localhost' }), handlers)).toThrow(TypeError);
});

test('the end is told exactly once, whichever way it came', async () => {
  for (const end of ['close', 'destroy', 'both'] as const) {
    const peer = new Peer();
    if (end !== 'destroy') peer.engine.close(0);
    if (end !== 'close') peer.engine.destroy();
    await peer.take('endpointClosed');
    peer.engine.destroy();
    peer.engine.close(0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(peer.heard).toEqual([]);
    expect(peer.engine.endpointStats()).toEqual({});
    expect(peer.engine.hasRef()).toBe(false);
  }
});

test('destroying tells the peer', async () => {
  const { client, server } = await connectedPair();
  client.engine.destroy();
  const [, info] = await server.take('sessionClosed');
  expect(info.remote).toBe(true);
  await server.close();
});

test('a handler that throws loses no other event', async () => {
  const { client, server, session } = await connectedPair();
  const thrown = new Promise<unknown>((resolve) => {
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => {
      for (const listener of listeners) process.on('uncaughtException', listener);
      resolve(error);
    });
  });
  server.onData = () => {
    throw new Error('from a handler');
  };
  const stream = client.engine.openStream(session, plainStream);
  client.engine.write(stream, new Uint8Array(10), 0, 10);
  client.engine.closeSession(session, { reason: 0, code: 0, message: '', drainMs: 1_000 });
  await server.take('sessionClosed');
  expect(await thrown).toMatchObject({ message: 'from a handler' });
  await Promise.all([client.close(), server.close()]);
});
