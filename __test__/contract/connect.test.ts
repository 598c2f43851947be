import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { HandshakeErrorEvent } from '@seigr/stt';
import { generateSeed, HandshakeError, SttEndpoint } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, next, pair, silentSocket } from './pair.ts';

const seed = generateSeed();
const any = { peerNodeId: 'any' };

describe('connect', () => {
  test('gives the same session to both sides, with ids and addresses', async () => {
    const { server, client, session, accepted } = await pair();
    expect(session.id).toMatch(/^[0-9a-f]{16}$/);
    expect(accepted.id).toBe(session.id);
    expect(session.peerNodeId).toBe(server.nodeId);
    expect(accepted.peerNodeId).toBe(client.nodeId);
    expect(session.remoteAddress).toEqual(server.address);
    expect(accepted.remoteAddress.port).toBe(client.address.port);
    expect([session.isInitiator, accepted.isInitiator]).toEqual([true, false]);
    expect(session.transport).toBe('udp');
  });

  test('takes every form of address', async () => {
    const server = await endpoint({ sharedSeed: seed });
    server.serve(() => {});
    const client = await endpoint({ sharedSeed: seed });
    const { port } = server.address;
    for (const address of [`127.0.0.1:${port}`, `stt://127.0.0.1:${port}`, server.address]) {
      const session = await client.connect(address, { peerNodeId: server.nodeId });
      await session.close();
    }
  });

  test('reaches IPv6 and IPv4 from an endpoint without a host', async () => {
    const server = await endpoint({ sharedSeed: seed, host: '::1' });
    const server4 = await endpoint({ sharedSeed: seed });
    server.serve(() => {});
    server4.serve(() => {});
    const client = await SttEndpoint.create({ sharedSeed: seed });
    onTestFinished(() => client.destroy());
    const session = await client.connect(`[::1]:${server.address.port}`, any);
    const session4 = await client.connect(`127.0.0.1:${server4.address.port}`, any);
    expect(session.remoteAddress.family).toBe('IPv6');
    expect(session4.remoteAddress).toMatchObject({ address: '127.0.0.1', family: 'IPv4' });
  });

  test('the same node seed gives the same node id', async () => {
    const nodeSeed = generateSeed();
    const first = await endpoint({ nodeSeed });
    const second = await endpoint({ nodeSeed });
    expect(first.nodeId).toMatch(/^[0-9a-f]{64}$/);
    expect(second.nodeId).toBe(first.nodeId);
  });

  test('an array of seeds rotates: old peers are still admitted', async () => {
    const fresh = generateSeed();
    const server = await endpoint({ sharedSeed: [fresh, seed] });
    server.serve(() => {});
    for (const sharedSeed of [seed, fresh]) {
      const client = await endpoint({ sharedSeed });
      await client.connect(server.address, any);
    }
  });

  test('two simultaneous connects are two sessions', async () => {
    const one = await endpoint({ sharedSeed: seed });
    const two = await endpoint({ sharedSeed: seed });
    const [atOne, atTwo] = [one.listen(), two.listen()];
    const [first, second] = await Promise.all([
      one.connect(two.address, { peerNodeId: two.nodeId }),
      two.connect(one.address, { peerNodeId: one.nodeId }),
    ]);
    expect(first.id).not.toBe(second.id);
    expect((await next(atTwo)).id).toBe(first.id);
    expect((await next(atOne)).id).toBe(second.id);
  });
});

describe('a connect that cannot succeed', () => {
  test('wrong seed: 0x0103, subcode 3, with the handshake error as cause', async () => {
    const server = await endpoint();
    server.serve(() => {});
    const client = await endpoint();
    const error = await client.connect(server.address, any).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 0x0103,
      codeName: 'AUTHENTICATION_FAILED',
      subcode: 3,
      recoverable: false,
      message: expect.stringContaining('seed'),
      context: { peer: `127.0.0.1:${server.address.port}` },
    });
    expect((error as Error).cause).toBeInstanceOf(HandshakeError);
    expect((error as Error).cause).toMatchObject({ code: 0x0405, subcode: 3 });
  });

  test('another node than the pinned one: 0x0103 without subcode 3', async () => {
    const server = await endpoint({ sharedSeed: seed });
    server.serve(() => {});
    const client = await endpoint({ sharedSeed: seed });
    const connect = client.connect(server.address, { peerNodeId: client.nodeId });
    const error = await connect.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 0x0103 });
    expect(error).not.toMatchObject({ subcode: 3 });
  });

  test('a closed port: 0x0102 at once, not after the timeout', async () => {
    const client = await endpoint();
    // sends.test.ts says how soon.
    const connect = client.connect({ address: '127.0.0.1', port: await closedPort() }, any);
    await expect(connect).rejects.toMatchObject({ code: 0x0102, codeName: 'CONNECTION_REFUSED' });
  });

  test('a peer that never answers: 0x0101 after the timeout', async () => {
    const silent = await silentSocket();
    onTestFinished(silent.close);
    const client = await endpoint();
    const started = performance.now();
    const address = { address: '127.0.0.1', port: silent.port };
    await expect(client.connect(address, { ...any, timeout: 300 })).rejects.toMatchObject({
      code: 0x0101,
      message: expect.stringMatching(/did not answer within \d+ ms/),
    });
    expect(performance.now() - started).toBeGreaterThan(250);
  });

  test('an unresolvable name: 0x0104', async () => {
    const client = await endpoint();
    await expect(client.connect('no-such-host.invalid:7788', any)).rejects.toMatchObject({
      code: 0x0104,
    });
  });

  test('an aborted signal: its own reason, and the listener is gone', async () => {
    const silent = await silentSocket();
    onTestFinished(silent.close);
    const client = await endpoint();
    const address = { address: '127.0.0.1', port: silent.port };
    const controller = new AbortController();
    const connect = client.connect(address, { ...any, signal: controller.signal });
    const reason = new Error('changed my mind');
    setTimeout(() => controller.abort(reason), 50);
    await expect(connect).rejects.toBe(reason);
    await expect(
      client.connect(address, { ...any, signal: AbortSignal.abort('before') }),
    ).rejects.toBe('before');
    expect(client.hasRef()).toBe(false);
  });

  test('authorize that says no, throws or takes too long: 0x0103', async () => {
    const answers = [
      () => false,
      () => Promise.reject(new Error('no database')),
      () => new Promise<boolean>(() => {}),
    ];
    for (const authorize of answers) {
      const server = await endpoint({ sharedSeed: seed });
      server.serve(() => {}, { authorize, authorizeTimeout: 100 });
      const client = await endpoint({ sharedSeed: seed });
      await expect(client.connect(server.address, any)).rejects.toMatchObject({ code: 0x0103 });
    }
  });

  test('authorize sees who asks, and may say yes', async () => {
    const server = await endpoint({ sharedSeed: seed });
    const asked: string[] = [];
    server.serve(() => {}, {
      authorize: async (peer) => {
        asked.push(`${peer.nodeId} ${peer.address}`);
        return true;
      },
    });
    const client = await endpoint({ sharedSeed: seed });
    await client.connect(server.address, any);
    expect(asked).toEqual([`${client.nodeId} 127.0.0.1`]);
  });

  test('too many sessions: 0x0203, told by either side', async () => {
    const server = await endpoint({ sharedSeed: seed });
    server.serve(() => {}, { maxSessions: 1 });
    const client = await endpoint({ sharedSeed: seed });
    await client.connect(server.address, any);
    await expect(client.connect(server.address, any)).rejects.toMatchObject({ code: 0x0203 });
    const small = await endpoint({ sharedSeed: seed, maxConcurrentSessions: 1 });
    const second = await endpoint({ sharedSeed: seed });
    second.serve(() => {});
    await small.connect(second.address, any);
    await expect(small.connect(second.address, any)).rejects.toMatchObject({ code: 0x0203 });
  });

  test.each(['maxSessionsPerSource', 'maxSessionsPerPeer', 'maxRatePerSource', 'maxRatePerPeer'])(
    '%s: the one too many is told 0x0203, and another peer or the time makes room',
    async (cap) => {
      const sharedSeed = generateSeed();
      const server = await endpoint({ sharedSeed });
      const client = await endpoint({ sharedSeed });
      server.serve(() => {}, { [cap]: 1 });
      const connect = () => client.connect(server.address, { peerNodeId: 'any' });
      if (cap.startsWith('maxRate')) {
        // All at once, for a second that passes between two of them makes room.
        const all = await Promise.allSettled(Array.from({ length: 12 }, connect));
        const refused = all.filter((one) => one.status === 'rejected');
        expect(refused.length).toBeGreaterThan(0);
        for (const { reason } of refused) expect(reason).toMatchObject({ code: 0x0203 });
        await expect
          .poll(() =>
            connect().then(
              () => true,
              () => false,
            ),
          )
          .toBe(true);
      } else {
        const first = await connect();
        await expect(connect()).rejects.toMatchObject({ code: 0x0203 });
        await first.close();
        await expect(connect()).resolves.toBeDefined();
      }
    },
  );

  test('a wrong seed shows at the responder as nothing that ends it', async () => {
    const server = await endpoint({ sharedSeed: seed });
    server.serve(() => {});
    const told = new Promise<HandshakeErrorEvent>((resolve) => {
      server.once('handshakeError', resolve);
    });
    const stranger = await endpoint();
    await expect(stranger.connect(server.address, any)).rejects.toMatchObject({ code: 0x0103 });
    const { error } = await told;
    expect(error).toMatchObject({ code: 0x0103, subcode: 3, origin: 'transport' });
    expect(error.message).toMatch(
      /^127\.0\.0\.1:\d+ greeted this side under a shared seed that is not ours/,
    );
    const friend = await endpoint({ sharedSeed: seed });
    await friend.connect(server.address, any);
  });
});

describe('create', () => {
  test('a busy port keeps its system code', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    onTestFinished(() => void socket.close());
    const { port } = socket.address() as AddressInfo;
    await expect(endpoint({ port })).rejects.toMatchObject({
      name: 'SttSystemError',
      code: 'EADDRINUSE',
      syscall: 'bind',
      port,
    });
  });

  test('an address of another machine keeps its system code', async () => {
    await expect(endpoint({ host: '192.0.2.1' })).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  });

  test('a missing, short, placeholder or weak seed is refused by name', async () => {
    const bad = [
      undefined,
      'too short',
      new Uint8Array(31),
      new Uint8Array(32),
      { passphrase: 'password', salt: 'the network of the tests' },
    ];
    for (const sharedSeed of bad) {
      await expect(SttEndpoint.create({ sharedSeed } as never)).rejects.toBeInstanceOf(TypeError);
    }
    await expect(endpoint({ nodeSeed: 'short' })).rejects.toMatchObject({ option: 'nodeSeed' });
  });

  test('a good passphrase is the same seed on both sides', async () => {
    const sharedSeed = {
      passphrase: 'seven unlikely llamas juggle 41 teapots',
      salt: 'the network of the tests',
    };
    const server = await endpoint({ sharedSeed });
    server.serve(() => {});
    const client = await endpoint({ sharedSeed });
    await client.connect(server.address, any);
  });
});
