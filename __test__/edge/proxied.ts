import type { Server } from 'node:http';
import { generateSeed } from '@seigr/stt';
import { TestNetwork } from '@seigr/stt/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { closedPort } from '../contract/pair.ts';
import type { Certificates } from '../websocket/certificates.ts';
import { makeCertificates } from '../websocket/certificates.ts';
import type { Backend } from './backends.ts';
import { backend, becomes, connector, cutter, stranger, transfer, webServer } from './backends.ts';
import { missing, Program } from './programs.ts';

/** Where the proxy is to listen, and where its backends are. */
export interface Wiring {
  readonly plain: number;
  readonly tls: number;
  readonly certificates: Certificates;
  readonly a: number;
  readonly b: number;
}

/** A proxy that is put before endpoints. */
export interface Proxy {
  readonly name: string;
  /** Writes its configuration, and gives its arguments. */
  configure(program: Program, wiring: Wiring): Promise<readonly string[]>;
}

/** What each proxy is given to a test of its own. */
export interface Stage {
  readonly program: Program;
  readonly wiring: Wiring;
  readonly a: Backend;
}

const MB = 1 << 20;

/** The promises that hold behind whatever proxy, by the configuration in docs/deployment.md. */
export function behind(proxy: Proxy, more: (stage: () => Stage) => void): void {
  describe.skipIf(missing(proxy.name) !== undefined)(`behind ${proxy.name}`, () => {
    const program = new Program();
    const nodeSeed = generateSeed();
    let wiring: Wiring;
    let a: Backend;
    let b: Backend;
    let shared: readonly Backend[];
    let servers: readonly Server[];

    beforeAll(async () => {
      const one = await webServer();
      const two = await webServer();
      servers = [one.server, two.server];
      a = await backend({ server: one.server, path: '/stt/a', maxUnauthenticatedPerSource: 4 });
      b = await backend({ server: two.server, path: '/stt/b' });
      // Those that share a path share a node id.
      shared = await Promise.all(
        servers.map((server) => backend({ server, path: '/stt' }, { nodeSeed })),
      );
      const certificates = makeCertificates();
      for (let attempt = 1; ; attempt += 1) {
        const [plain, tls] = [await closedPort(), await closedPort()];
        wiring = { plain, tls, certificates, a: one.port, b: two.port };
        const args = await proxy.configure(program, wiring);
        try {
          await program.start(proxy.name, args, [plain, tls]);
          return;
        } catch (error) {
          // Another process may have taken a port since it was seen to be free.
          if (attempt === 5 || !/Address already in use/.test(String(error))) throw error;
        }
      }
    });
    afterAll(async () => {
      await program.stop();
      for (const { endpoint } of [a, b, ...shared]) endpoint.destroy();
      for (const server of servers) server.close();
    });

    test('a session by TLS, and one without', async () => {
      const client = await connector();
      const { ca } = wiring.certificates;
      for (const url of [
        `wss://localhost:${wiring.tls}/stt/a`,
        `ws://localhost:${wiring.plain}/stt/a`,
      ]) {
        const session = await client.connect('127.0.0.1:9', {
          peerNodeId: a.endpoint.nodeId,
          transport: 'websocket',
          websocket: { url },
          ...(url.startsWith('wss') ? { tls: { ca } } : {}),
        });
        await transfer(session, 4 * MB);
        await session.close();
        await expect(a.accepted.at(-1)?.settled).resolves.toMatchObject({ reason: 'graceful' });
      }
    });

    test('a session moves from UDP to the proxy, with nothing lost', async () => {
      const client = await connector();
      const network = new TestNetwork();
      onTestFinished(() => network[Symbol.asyncDispose]());
      const udp = await network.link({ address: { port: a.endpoint.address.port } });
      const session = await client.connect(`127.0.0.1:${udp.port}`, {
        peerNodeId: a.endpoint.nodeId,
        transport: 'auto',
        tls: { ca: wiring.certificates.ca },
        websocket: { url: `wss://localhost:${wiring.tls}/stt/a` },
      });
      expect(session.transport).toBe('udp');
      const { id } = session;
      const accepted = a.accepted.at(-1);
      await transfer(session, 8 * MB, async () => {
        udp.partition();
        await becomes(session, 'websocket');
      });
      expect([session.transport, accepted?.transport]).toEqual(['websocket', 'websocket']);
      expect([session.id, accepted?.id]).toEqual([id, id]);
      await session.close();
    });

    test('each backend has a path, and a session that is cut comes back to its own', async () => {
      const client = await connector();
      const way = await cutter(wiring.plain);
      const sessions = await Promise.all(
        [a, b].map((one, index) =>
          client.connect('127.0.0.1:9', {
            peerNodeId: one.endpoint.nodeId,
            transport: 'websocket',
            websocket: { url: `ws://127.0.0.1:${way.port}/stt/${index === 0 ? 'a' : 'b'}` },
          }),
        ),
      );
      await Promise.all(sessions.map((session) => transfer(session, 2 * MB, () => way.cut())));
      expect(sessions.map(({ transport }) => transport)).toEqual(['websocket', 'websocket']);
      await Promise.all(sessions.map((session) => session.close()));
    });

    test('one path for both backends: a client comes back to the one that it had', async () => {
      const client = await connector();
      const way = await cutter(wiring.plain);
      const session = await client.connect('127.0.0.1:9', {
        peerNodeId: shared[0]?.endpoint.nodeId ?? '',
        transport: 'websocket',
        websocket: { url: `ws://127.0.0.1:${way.port}/stt` },
      });
      for (let round = 0; round < 3; round += 1) {
        await transfer(session, MB / 2, () => way.cut());
      }
      expect(shared.map(({ accepted }) => accepted.length).sort()).toEqual([0, 1]);
      await session.close();
    });

    test('limits by source count where peers are, not the proxy', async () => {
      const url = `ws://127.0.0.1:${wiring.plain}/stt/a`;
      const four = await Promise.all([1, 2, 3, 4].map(() => stranger(url, '127.0.0.9')));
      expect(four).toEqual([101, 101, 101, 101]);
      expect(await stranger(url, '127.0.0.9')).toBe(503);
      expect(await stranger(url, '127.0.0.8')).toBe(101);
      const client = await connector();
      const session = await client.connect('127.0.0.1:9', {
        peerNodeId: a.endpoint.nodeId,
        transport: 'websocket',
        websocket: { url },
      });
      await session.close();
    });

    test('a path that it does not have is 0x0503 with its status', async () => {
      const client = await connector();
      const connecting = client.connect('127.0.0.1:9', {
        peerNodeId: 'any',
        transport: 'websocket',
        websocket: { url: `ws://127.0.0.1:${wiring.plain}/elsewhere` },
      });
      await expect(connecting).rejects.toMatchObject({ code: 0x0503 });
    });

    more(() => ({ program, wiring, a }));
  });
}
