// Real servers and real clients through a tunnel: each knows nothing of it.

import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { createClient } from 'redis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { within } from '../cli/stt.ts';
import { Tunnel } from '../cli/tunnels.ts';
import { closedPort, relay } from '../contract/pair.ts';
import { missing, Program } from './programs.ts';

const MIB = 1 << 20;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A tunnel to that port by a relay for UDP, which can give it another port: as a NAT does. */
async function tunnelTo(port: number): Promise<{ local: number; move: () => Promise<unknown> }> {
  const tunnel = await Tunnel.make();
  await tunnel.serve('--allow', `localhost:${port}`);
  const nat = await relay(tunnel.port);
  await tunnel.forwardBy(nat.port, `localhost:${port}`, '--transport', 'udp');
  return {
    local: tunnel.local,
    move: async () => {
      await nat.link.rebind();
      // Whatever the far side hears next comes from elsewhere.
      return tunnel.far.record(({ event }) => event === 'moved');
    },
  };
}

/** A page, by its hash, and the local port of the connection that it came by. */
function fetched(agent: Agent, port: number, path: string): Promise<{ hash: string; by: number }> {
  return new Promise((resolve, reject) => {
    const request = get({ agent, port, host: '127.0.0.1', path }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      const hash = createHash('sha256');
      const by = response.socket.localPort ?? 0;
      response.on('data', (chunk: Buffer) => hash.update(chunk));
      response.once('end', () => resolve({ hash: hash.digest('hex'), by })).once('error', reject);
    });
    request.once('error', reject);
  });
}

describe.skipIf(missing('nginx') !== undefined)('nginx through a tunnel', () => {
  test('50 requests at a time on connections that are kept, a file of 64 MiB, and a move in the middle', async () => {
    const nginx = new Program();
    onTestFinished(() => nginx.stop());
    const port = await closedPort();
    const [large, small] = [randomBytes(64 * MIB), randomBytes(200_001)];
    writeFileSync(join(nginx.folder, 'large'), large);
    writeFileSync(join(nginx.folder, 'small'), small);
    const configuration = nginx.write(
      'nginx.conf',
      // Whose folder this is nobody else may read, so the worker keeps its user.
      `${process.getuid?.() === 0 ? 'user root;' : ''} worker_processes 1; daemon off; error_log stderr error; pid nginx.pid;
      events { worker_connections 256; }
      http {
        access_log off; sendfile on; keepalive_timeout 60s;
        client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
        uwsgi_temp_path uwsgi; scgi_temp_path scgi;
        server { listen 127.0.0.1:${port}; root ${nginx.folder}; }
      }`,
    );
    await nginx.start('nginx', ['-p', nginx.folder, '-c', configuration, '-e', 'stderr'], [port]);
    const { local, move } = await tunnelTo(port);
    const agent = new Agent({ keepAlive: true, maxSockets: 50 });
    onTestFinished(() => agent.destroy());
    const pages = (count: number) =>
      Promise.all(Array.from({ length: count }, () => fetched(agent, local, '/small')));
    const first = await within(pages(50), '50 pages');
    const whole = within(fetched(agent, local, '/large'), 'the large file');
    const moved = within(move(), 'the move');
    const second = await within(pages(49), '49 pages beside it');
    expect((await whole).hash).toBe(sha256(large));
    await moved;
    const expected = sha256(small);
    expect([...first, ...second].map(({ hash }) => hash)).toEqual(Array(99).fill(expected));
    const connections = new Set(first.map(({ by }) => by));
    expect(connections.size).toBe(50);
    expect(second.every(({ by }) => connections.has(by))).toBe(true);
  });
});

describe.skipIf(missing('redis-server') !== undefined)('Redis through a tunnel', () => {
  test('10 000 commands in one pipeline, messages to a subscriber, and a move in the middle', async () => {
    const redis = new Program();
    onTestFinished(() => redis.stop());
    const port = await closedPort();
    const options = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    await redis.start('redis-server', ['--port', String(port), ...options], [port]);
    const { local, move } = await tunnelTo(port);
    const connect = async () => {
      const client = createClient({
        socket: { host: '127.0.0.1', port: local, reconnectStrategy: false },
      });
      client.on('error', () => undefined);
      onTestFinished(() => client.destroy());
      return client.connect();
    };
    const [client, subscriber] = [await connect(), await connect()];
    const heard: string[] = [];
    let all!: () => void;
    const hearing = new Promise<void>((resolve) => (all = resolve));
    await subscriber.subscribe('news', (message) => {
      if (heard.push(message) === 200) all();
    });
    const moved = within(move(), 'the move');
    // One tick is one pipeline: the client writes what was asked for in it at once.
    const answers = Array.from({ length: 10_000 }, () => client.incr('count'));
    const news = Array.from({ length: 200 }, (_, index) =>
      client.publish('news', `message ${index}`),
    );
    expect(await within(Promise.all(answers), 'the answers')).toEqual(
      Array.from({ length: 10_000 }, (_, index) => index + 1),
    );
    expect(await within(Promise.all(news), 'the publications')).toEqual(Array(200).fill(1));
    await within(hearing, 'the messages');
    expect(heard).toEqual(Array.from({ length: 200 }, (_, index) => `message ${index}`));
    await moved;
    const value = randomBytes(3 * MIB).toString('hex');
    await client.set('large', value);
    expect(await client.get('large')).toBe(value);
    expect(await client.get('count')).toBe('10000');
  });
});
