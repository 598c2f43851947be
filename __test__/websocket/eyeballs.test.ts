import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import type { EndpointOptions, SttSession } from '@seigr/stt';
import { generateSeed, SttEndpoint, SttError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { resolveHosts } from '../../ts/address.ts';
import { closedPort } from '../contract/pair.ts';
import { makeCertificates } from './certificates.ts';
import { silentTcp } from './silent.ts';
import { echo, failure } from './support.ts';

/** A resolver that has these addresses for every name, and remembers what it was asked. */
function names(...addresses: readonly string[]): { lookup: LookupFunction; asked: string[] } {
  const asked: string[] = [];
  const lookup: LookupFunction = (host, options, answer) => {
    asked.push(host);
    const all = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    const usable = all.filter(({ family }) => !options.family || options.family === family);
    setImmediate(() => answer(null, usable));
  };
  return { lookup, asked };
}

async function side(options: Partial<EndpointOptions>): Promise<SttEndpoint> {
  const endpoint = await SttEndpoint.create({ sharedSeed: generateSeed(), ...options });
  onTestFinished(() => endpoint.destroy());
  return endpoint;
}

interface Stage {
  readonly server: SttEndpoint;
  readonly client: SttEndpoint;
  readonly accepted: SttSession[];
  /** Of UDP and TCP alike. */
  readonly port: number;
  readonly sharedSeed: Uint8Array;
}

/** A server on one address, and a client that finds the addresses for every name. */
async function stage(
  host: string,
  addresses: readonly string[],
  listen: { tls?: { cert: string; key: string } } = {},
): Promise<Stage> {
  const sharedSeed = generateSeed();
  // One that is free by UDP and TCP, here and at the other addresses.
  const port = await closedPort();
  const server = await side({ sharedSeed, host, port });
  const accepted: SttSession[] = [];
  const listener = server.serve(
    async (session) => {
      accepted.push(session);
      for await (const stream of session.incomingBidirectionalStreams) {
        await stream.write(await stream.bytes());
        await stream.end();
      }
    },
    { websocket: { port, host, ...listen }, onError: () => {} },
  );
  await listener.ready;
  const client = await side({ sharedSeed, lookup: names(...addresses).lookup });
  return { server, client, accepted, port, sharedSeed };
}

/** Another node, which listens at the same port of another address, by UDP and a WebSocket. */
async function another(
  sharedSeed: Uint8Array,
  host: string,
  port: number,
  authorize?: () => boolean,
): Promise<SttEndpoint> {
  const endpoint = await side({ sharedSeed, host, port });
  const listener = endpoint.serve(() => {}, {
    websocket: { port, host },
    onError: () => {},
    ...(authorize === undefined ? {} : { authorize }),
  });
  await listener.ready;
  return endpoint;
}

/** A UDP socket that takes datagrams and answers none. */
async function silentUdp(address: string, port: number): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind({ address, port });
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
}

/** A server that takes every WebSocket and never says a word; with how many it has taken. */
async function silentWebSocket(host: string, port: number): Promise<() => number> {
  const server = new WebSocketServer({ host, port, handleProtocols: () => 'stt.1' });
  await once(server, 'listening');
  let taken = 0;
  server.on('connection', () => {
    taken += 1;
  });
  onTestFinished(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  return () => taken;
}

describe('addresses of a name', () => {
  const find = async (family: 0 | 4 | 6, ...addresses: string[]): Promise<string[]> => {
    const { lookup } = names(...addresses);
    const found = await resolveHosts({ host: 'peer.example', port: 1 }, family, {}, lookup);
    return found.map(({ address }) => address);
  };

  test('families take turns, the first one’s first, each address once', async () => {
    const six = ['2001:db8::1', '2001:db8::2', '2001:db8::3'];
    const four = ['192.0.2.1', '192.0.2.1', '192.0.2.2'];
    expect(await find(0, ...six, ...four)).toEqual([
      ...['2001:db8::1', '192.0.2.1', '2001:db8::2', '192.0.2.2', '2001:db8::3'],
    ]);
    expect(await find(0, ...four, ...six.slice(0, 1))).toEqual([
      ...['192.0.2.1', '2001:db8::1', '192.0.2.2'],
    ]);
    expect(await find(4, ...six, ...four)).toEqual(['192.0.2.1', '192.0.2.2']);
  });

  test('no more than eight are tried, and none is 0x0104', async () => {
    const many = Array.from({ length: 20 }, (_, index) => `192.0.2.${index}`);
    expect(await find(0, ...many)).toHaveLength(8);
    expect(await failure(find(6, ...many))).toMatchObject({ code: 0x0104 });
    const failing: LookupFunction = (_host, _options, answer) =>
      answer(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), []);
    const error = await failure(resolveHosts({ host: 'x', port: 1 }, 0, {}, failing));
    expect(error).toMatchObject({ code: 0x0104 });
  });

  test('an address is never looked up, and one answer of an older resolver will do', async () => {
    const { lookup, asked } = names('192.0.2.1');
    const direct = await resolveHosts({ host: '::1', port: 1 }, 0, {}, lookup);
    expect([direct, asked]).toEqual([[{ address: '::1', port: 1, family: 'IPv6' }], []]);
    const older: LookupFunction = (_host, _options, answer) => answer(null, '192.0.2.7', 4);
    const [one] = await resolveHosts({ host: 'x', port: 1 }, 0, {}, older);
    expect(one.address).toBe('192.0.2.7');
  });

  test('a lookup that is no function is refused', async () => {
    const options = { sharedSeed: generateSeed(), lookup: 7 as unknown as LookupFunction };
    await expect(SttEndpoint.create(options)).rejects.toMatchObject({ option: 'lookup' });
  });
});

describe('a name of which one address is dead', () => {
  // Both families, whichever comes first, and two of one family.
  const cases = [
    ['::1', '127.0.0.1'],
    ['127.0.0.1', '::1'],
    ['127.0.0.2', '127.0.0.1'],
  ] as const;

  test.each(cases)('UDP: %s is silent, %s answers', async (dead, alive) => {
    const { server, client, accepted, port } = await stage(alive, [dead, alive]);
    await silentUdp(dead, port);
    const session = await client.connect(`peer.example:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'udp',
    });
    expect(session.remoteAddress.address.replace('::ffff:', '')).toBe(alive);
    await echo(session, 10_000);
    expect(accepted).toHaveLength(1);
    await session.close();
  });

  test.each(cases)('WebSocket: %s is silent, %s answers', async (dead, alive) => {
    const { server, client, port } = await stage(alive, [dead, alive]);
    await silentTcp(dead, port);
    const session = await client.connect(`peer.example:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
    });
    expect(session.remoteAddress.address).toBe(alive);
    await echo(session, 10_000);
    await session.close();
  });

  test('one that refuses gives way at once, with TLS by name too', async () => {
    const { ca, good } = makeCertificates();
    const { server, client, port } = await stage('127.0.0.1', ['127.0.0.2', '127.0.0.1'], {
      tls: good,
    });
    const session = await client.connect(`localhost:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
      tls: { ca },
    });
    await echo(session, 10_000);
    const wrong = client.connect(`peer.example:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
      tls: { ca },
    });
    await expect(wrong).rejects.toMatchObject({
      code: 0x0504,
      context: { tlsReason: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    });
  });

  test('one further away than the head start is not given up: the first to answer wins', async () => {
    // The first address takes its time, 400 ms a way; the second never answers.
    const { server, client, port } = await stage('127.0.0.1', ['127.0.0.3', '127.0.0.2']);
    const far = createSocket('udp4');
    far.bind({ address: '127.0.0.3', port });
    await once(far, 'listening');
    await silentUdp('127.0.0.2', port);
    const near = createSocket('udp4');
    near.bind({ address: '127.0.0.1', port: 0 });
    await once(near, 'listening');
    onTestFinished(() => {
      far.close();
      near.close();
    });
    let peer: { address: string; port: number } | undefined;
    const timers = new Set<NodeJS.Timeout>();
    const later = (act: () => void): void => {
      const timer = setTimeout(act, 200);
      timers.add(timer);
    };
    onTestFinished(() => timers.forEach(clearTimeout));
    far.on('message', (bytes, from) => {
      peer = from;
      later(() => near.send(bytes, port, '127.0.0.1'));
    });
    near.on('message', (bytes) => {
      const to = peer;
      if (to !== undefined) later(() => far.send(bytes, to.port, to.address));
    });
    const session = await client.connect(`peer.example:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'udp',
      timeout: 60_000,
    });
    expect(session.remoteAddress.address.replace('::ffff:', '')).toBe('127.0.0.3');
    session.destroy();
  });

  test('all of them: one error, with what each said', async () => {
    const { client, port, server } = await stage('127.0.0.1', ['127.0.0.2', '127.0.0.3']);
    await silentUdp('127.0.0.2', port);
    await silentUdp('127.0.0.3', port);
    const options = { peerNodeId: server.nodeId, timeout: 3_000 };
    const udp = await failure(
      client.connect(`peer.example:${port}`, { ...options, transport: 'udp' }),
    );
    const attempts = (error: SttError) =>
      (error.attempts ?? []).map(({ transport, error: one }) => [
        transport,
        one instanceof SttError && one.code,
      ]);
    expect(udp.code).toBe(0x0101);
    expect(attempts(udp)).toEqual([
      ['udp', 0x0101],
      ['udp', 0x0101],
    ]);
    const websocket = await failure(
      client.connect(`peer.example:${port}`, { ...options, transport: 'websocket' }),
    );
    expect(websocket).toMatchObject({ code: 0x0102, context: { transport: 'websocket' } });
    const auto = await failure(client.connect(`peer.example:${port}`, options));
    expect(attempts(auto)).toEqual([
      ['udp', 0x0101],
      ['websocket', 0x0102],
    ]);
    expect(client.stats()?.errors).toMatchObject({
      CONNECTION_TIMEOUT: 2,
      CONNECTION_REFUSED: 1,
    });
  });
});

describe('a name of which one address is another node’s', () => {
  const right = '127.0.0.1';
  const wrong = '127.0.0.2';
  const transports = ['udp', 'websocket', 'auto'] as const;

  test.each(transports)('%s: the right one answers, at whichever place', async (transport) => {
    for (const addresses of [
      [wrong, right],
      [right, wrong],
      [wrong, '127.0.0.3', right],
    ]) {
      const { server, client, accepted, port, sharedSeed } = await stage(right, addresses);
      await another(sharedSeed, wrong, port);
      const session = await client.connect(`peer.example:${port}`, {
        peerNodeId: server.nodeId,
        transport,
      });
      expect(session.peerNodeId).toBe(server.nodeId);
      await echo(session, 10_000);
      expect(accepted).toHaveLength(1);
      await session.close();
      expect(client.stats()?.errors.AUTHENTICATION_FAILED).toBe(0);
    }
  });

  test.each(transports)('%s: one with another seed is passed by, too', async (transport) => {
    const { server, client, port } = await stage(right, [wrong, right]);
    await another(generateSeed(), wrong, port);
    const session = await client.connect(`peer.example:${port}`, {
      peerNodeId: server.nodeId,
      transport,
    });
    expect(session.peerNodeId).toBe(server.nodeId);
    await session.close();
  });

  test('UDP: the right one has time although the other has answered', async () => {
    // Nobody is at the first address before the other has answered at the second.
    const { client, port, sharedSeed, server } = await stage('127.0.0.4', [right, wrong]);
    const other = await another(sharedSeed, wrong, port);
    await silentUdp(right, port);
    const error = await failure(
      client.connect(`peer.example:${port}`, {
        peerNodeId: server.nodeId,
        transport: 'udp',
        timeout: 4_000,
      }),
    );
    expect(error).toMatchObject({
      code: 0x0103,
      context: { answeredBy: other.nodeId, nodeId: server.nodeId },
    });
    const said = (error.attempts ?? []).map(
      ({ error: one }) => one instanceof SttError && one.code,
    );
    // It was waited for to the end.
    expect(said).toEqual([0x0101, 0x0103]);
    expect(client.stats()?.errors).toMatchObject({
      AUTHENTICATION_FAILED: 1,
      CONNECTION_TIMEOUT: 0,
    });
  });

  test.each(transports)('%s: other nodes everywhere, one error with all', async (transport) => {
    const { client, port, sharedSeed, server } = await stage('127.0.0.4', [right, wrong]);
    const nodes = [await another(sharedSeed, right, port), await another(sharedSeed, wrong, port)];
    const error = await failure(
      client.connect(`peer.example:${port}`, { peerNodeId: server.nodeId, transport }),
    );
    const by = (one: unknown): unknown => one instanceof SttError && one.context.answeredBy;
    expect(nodes.map(({ nodeId }) => nodeId)).toContain(by(error));
    expect(client.stats()?.errors.AUTHENTICATION_FAILED).toBe(1);
    if (transport === 'auto') return;
    expect((error.attempts ?? []).map((one) => [one.transport, by(one.error)])).toEqual(
      nodes.map(({ nodeId }) => [transport, nodeId]),
    );
  });

  test.each(transports)('%s: a peer that does not admit this node ends it', async (transport) => {
    const sharedSeed = generateSeed();
    const port = await closedPort();
    const server = await side({ sharedSeed, host: wrong, port });
    const listener = server.serve(() => {}, {
      authorize: () => false,
      websocket: { port, host: wrong },
      onError: () => {},
    });
    await listener.ready;
    const client = await side({ sharedSeed, lookup: names(wrong, right).lookup });
    await silentUdp(right, port);
    const error = await failure(
      client.connect(`peer.example:${port}`, {
        peerNodeId: server.nodeId,
        transport,
        timeout: 120_000,
      }),
    );
    expect([error.code, error.context.answeredBy]).toEqual([0x0103, undefined]);
  });

  test.each(transports)(
    '%s: where any node will do, one that refuses is passed by',
    async (transport) => {
      for (const addresses of [
        [wrong, right],
        [right, wrong],
      ]) {
        const { server, client, port, sharedSeed } = await stage(right, addresses);
        const other = await another(sharedSeed, wrong, port, () => false);
        const options = { peerNodeId: 'any', transport } as const;
        const session = await client.connect(`peer.example:${port}`, options);
        expect(session.peerNodeId).toBe(server.nodeId);
        await echo(session, 10_000);
        await session.close();
        expect(client.stats()?.errors.AUTHENTICATION_FAILED).toBe(0);
        // With nobody else it is what is told, whatever the other address says.
        await server.close();
        const error = await failure(
          client.connect(`peer.example:${port}`, { ...options, timeout: 5_000 }),
        );
        expect([error.code, error.origin]).toEqual([0x0103, 'peer']);
        expect(client.stats()?.errors.AUTHENTICATION_FAILED).toBe(1);
        await other.close();
      }
    },
  );

  test.each(['websocket', 'auto'] as const)(
    '%s: one that takes the upgrade and says nothing does not use up the time',
    async (transport) => {
      const { server, client, accepted, port } = await stage(right, [wrong, right]);
      await silentUdp(wrong, port);
      const upgrades = await silentWebSocket(wrong, port);
      const session = await client.connect(`peer.example:${port}`, {
        peerNodeId: server.nodeId,
        transport,
        timeout: 15_000,
      });
      expect(session.remoteAddress.address.replace('::ffff:', '')).toBe(right);
      await echo(session, 10_000);
      expect(accepted).toHaveLength(1);
      if (transport === 'websocket') expect(upgrades()).toBe(1);
      await session.close();
    },
  );

  test('WebSocket: several that say nothing are tried beside each other, and each told of', async () => {
    const silent = ['127.0.0.2', '127.0.0.3', '127.0.0.4'];
    const { server, client, port } = await stage(right, silent);
    const upgrades: (() => number)[] = [];
    for (const host of silent) upgrades.push(await silentWebSocket(host, port));
    const error = await failure(
      client.connect(`peer.example:${port}`, {
        peerNodeId: server.nodeId,
        transport: 'websocket',
        timeout: 3_000,
      }),
    );
    expect(upgrades.map((count) => count())).toEqual([1, 1, 1]);
    expect(error.attempts?.map(({ transport, error: one }) => [transport, one])).toEqual(
      silent.map(() => ['websocket', expect.objectContaining({ code: 0x0101 })]),
    );
    expect(client.stats()?.errors.CONNECTION_TIMEOUT).toBe(1);
  });

  test('a retry comes while an address may still get the right one', async () => {
    const { client, port, sharedSeed, server } = await stage('127.0.0.4', [right, wrong]);
    await another(sharedSeed, wrong, port);
    let retries = 0;
    const onRetry = (): void => {
      retries += 1;
    };
    const options = {
      transport: 'udp',
      timeout: 30_000,
      retry: { attempts: 2, base: 1, onRetry },
    } as const;
    const away = await failure(
      client.connect(`peer.example:${port}`, { peerNodeId: server.nodeId, ...options }),
    );
    expect([away.code, retries]).toEqual([0x0103, 1]);
    await another(sharedSeed, right, port);
    const everywhere = await failure(
      client.connect(`peer.example:${port}`, { peerNodeId: server.nodeId, ...options }),
    );
    expect([everywhere.code, retries]).toEqual([0x0103, 1]);
  });
});
