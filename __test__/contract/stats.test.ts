import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { EndpointStats, SessionStats } from '@seigr/stt';
import { generateSeed } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, next, pair, streamPair } from './pair.ts';

/** Every counter of a session; one that is missing here, or too much, does not compile. */
const SESSION: Record<keyof SessionStats, true> = {
  packetsSent: true,
  packetsReceived: true,
  packetsLost: true,
  packetsDuplicate: true,
  bytesSent: true,
  bytesReceived: true,
  smoothedRtt: true,
  rttVariation: true,
  minRtt: true,
  congestionWindow: true,
  bytesInFlight: true,
  pathBytesAcked: true,
  pathBytesReceived: true,
  congestionEvents: true,
  probeTimeouts: true,
  keyUpdates: true,
  mtu: true,
  sendErrors: true,
  invalidFrames: true,
  encryptionErrors: true,
  checksumErrors: true,
  unknownFrames: true,
  messagesSent: true,
  messagesLost: true,
  messagesReceived: true,
  messagesDroppedSending: true,
  messagesDroppedReceiving: true,
  bytesGivenUp: true,
  bytesSkipped: true,
  pendingBytes: true,
  unacceptedStreams: true,
  unreadDatagrams: true,
};

/** The same of an endpoint. */
const ENDPOINT: Record<keyof EndpointStats, true> = {
  datagramsReceived: true,
  datagramsSent: true,
  bytesReceived: true,
  bytesSent: true,
  sessions: true,
  halfOpen: true,
  memoryUsed: true,
  memoryLimit: true,
  memoryRefused: true,
  helloUnknownSeed: true,
  helloExpired: true,
  helloReplayed: true,
  helloShed: true,
  proofFailed: true,
  sessionsResumed: true,
  ticketsRefused: true,
  retriesSent: true,
  decoysSent: true,
  resetsSent: true,
  unknownPath: true,
  rttSamples: true,
  rttP50: true,
  rttP99: true,
  unacceptedSessions: true,
  pendingAuthorizations: true,
  invalidFrames: true,
  encryptionErrors: true,
  checksumErrors: true,
  unknownFrames: true,
  engineTurns: true,
  shortTurns: true,
  loopTurns: true,
  connectionTurns: true,
  loopAlone: true,
  loopRelieved: true,
  engineSleeps: true,
  receiveCalls: true,
  sendCalls: true,
  sendErrors: true,
  sendBlocked: true,
  rebinds: true,
  pathErrors: true,
  ringFull: true,
  doorbells: true,
  polls: true,
  segments: true,
  errors: true,
};

describe('stats()', () => {
  test('shows what its types say, no less and no more', async () => {
    const { session, server } = await pair();
    expect(Object.keys(session.stats() ?? {}).sort()).toEqual(Object.keys(SESSION).sort());
    expect(Object.keys(server.stats() ?? {}).sort()).toEqual(Object.keys(ENDPOINT).sort());
  });

  test('counts sessions that tickets brought about, and tickets that came in vain', async () => {
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const client = await endpoint({ sharedSeed });
    const sessions = server.listen();
    const meet = async (resume?: Uint8Array): Promise<Uint8Array> => {
      const peer = { peerNodeId: server.nodeId };
      const options = resume === undefined ? peer : { ...peer, resume };
      const session = await client.connect(server.address, options);
      await next(sessions);
      const ticket = session.resumptionTicket as Uint8Array;
      await session.close();
      return ticket;
    };
    const first = await meet();
    expect(server.stats()).toMatchObject({ sessionsResumed: 0, ticketsRefused: 0 });
    const second = await meet(first);
    await meet(second);
    expect(server.stats()).toMatchObject({ sessionsResumed: 2, ticketsRefused: 0 });
    await meet(first);
    expect(server.stats()).toMatchObject({ sessionsResumed: 2, ticketsRefused: 1 });
    // They are counted where the ticket came from.
    expect(client.stats()).toMatchObject({ sessionsResumed: 0, ticketsRefused: 0 });
  });

  test('counts what the engine does: turns, short ones, sleeps', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const read = incoming.bytes();
    for (let turn = 0; turn < 20; turn++) {
      await opened.write(Buffer.from('a little'));
      await both.session.ping();
    }
    await opened.end();
    await read;
    const stats = both.client.stats();
    for (const name of ['engineTurns', 'shortTurns', 'engineSleeps', 'polls'] as const) {
      expect(stats?.[name], name).toBeGreaterThan(0);
    }
    expect(stats).toMatchObject({ rebinds: 0, sendErrors: 0 });
  });

  test('counts the refusals that the system reports', async () => {
    const client = await endpoint();
    const port = await closedPort();
    const connect = client.connect(`127.0.0.1:${port}`, { peerNodeId: 'any' });
    await expect(connect).rejects.toMatchObject({ code: 0x0102 });
    expect(client.stats()?.pathErrors).toBeGreaterThan(0);
    expect(client.stats()?.errors.CONNECTION_REFUSED).toBe(1);
  });

  test('counts the end of a session once for who ends it, and once more for all who wait', async () => {
    const { session, client } = await pair();
    session.destroy();
    expect(client.stats()?.errors.SESSION_CLOSED).toBe(1);
    const streams = session.incomingBidirectionalStreams[Symbol.asyncIterator]();
    const datagrams = session.datagrams[Symbol.asyncIterator]();
    const ends = await Promise.allSettled([streams.next(), datagrams.next(), streams.next()]);
    expect(new Set(ends.map((end) => end.status === 'rejected' && end.reason)).size).toBe(1);
    expect(client.stats()?.errors.SESSION_CLOSED).toBe(2);
  });

  test('counts strangers, and the decoys that answer them', async () => {
    const server = await endpoint();
    server.listen();
    const stranger = await endpoint();
    const connect = stranger.connect(server.address, { peerNodeId: 'any', timeout: 60_000 });
    await expect(connect).rejects.toMatchObject({ code: 0x0103 });
    const { helloUnknownSeed = 0, decoysSent } = server.stats() ?? {};
    expect(helloUnknownSeed).toBeGreaterThan(0);
    expect(decoysSent).toBe(helloUnknownSeed);
  });

  test('counts, outside any session, what is no packet of ours', async () => {
    const server = await endpoint();
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    onTestFinished(() => void socket.close());
    // Too short for a header; and one that looks damaged, which is nobody's loss from an address without a session.
    for (const bytes of [Buffer.alloc(10), Buffer.alloc(60, 1)]) {
      socket.send(bytes, server.address.port, '127.0.0.1');
    }
    await expect
      .poll(() => server.stats())
      .toMatchObject({ datagramsReceived: 2, invalidFrames: 1, checksumErrors: 0 });
  });

  test('counts when JavaScript is behind', async () => {
    const { session, server } = await pair({ client: { datagramSendBuffer: 1_048_576 } });
    expect(server.stats()?.ringFull).toBe(0);
    // More than the engine keeps for it, each an event, and then a thread that does not look.
    for (let sent = 0; sent < 5_000; sent++) session.datagrams.send(Buffer.of(1));
    const sleeping = new Int32Array(new SharedArrayBuffer(4));
    const deadline = Date.now() + 60_000;
    while (server.stats()?.ringFull === 0 && Date.now() < deadline) Atomics.wait(sleeping, 0, 0, 5);
    expect(server.stats()?.ringFull).toBeGreaterThan(0);
    await session.close();
  });
});
