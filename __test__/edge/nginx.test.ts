import { expect, test } from 'vitest';
import { closedPort } from '../contract/pair.ts';
import { connector, transfer } from './backends.ts';
import { documented } from './programs.ts';
import type { Wiring } from './proxied.ts';
import { behind } from './proxied.ts';

/** What of nginx is a matter of the machine: no privileges, no folders outside, and cuts of what a reload leaves. */
const MACHINE = `
worker_processes 1;
worker_shutdown_timeout 1s;
daemon off;
error_log stderr error;
pid nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
`;

function server({ plain, tls, a, b }: Wiring): string {
  return documented('nginx', [
    ['listen 80', `listen 127.0.0.1:${plain}`],
    ['listen 443', `listen 127.0.0.1:${tls}`],
    ['/etc/ssl/edge.example.pem', 'edge.pem'],
    ['/etc/ssl/edge.example.key', 'edge.key'],
    ['127.0.0.1:7788', `127.0.0.1:${a}`],
    ['127.0.0.1:7789', `127.0.0.1:${b}`],
  ]);
}

/** A port whose proxy is 30 times as impatient. */
let impatient = 0;

behind(
  {
    name: 'nginx',
    async configure(program, wiring) {
      impatient = await closedPort();
      program.write('edge.pem', wiring.certificates.good.cert);
      program.write('edge.key', wiring.certificates.good.key);
      const patient = server(wiring);
      const hasty = patient
        .slice(patient.indexOf('\nserver {'))
        .replace(`listen 127.0.0.1:${wiring.tls} ssl;`, '')
        .replace(String(wiring.plain), String(impatient))
        .replaceAll('90s', '3s');
      const text = `${MACHINE}${patient}${hasty}}`;
      return ['-p', program.folder, '-c', program.write('nginx.conf', text), '-e', 'stderr'];
    },
  },
  (stage) => {
    test('a reload in the middle of a transfer loses nothing', async () => {
      const { program, wiring, a } = stage();
      const client = await connector();
      const session = await client.connect('127.0.0.1:9', {
        peerNodeId: a.endpoint.nodeId,
        transport: 'websocket',
        websocket: { url: `ws://127.0.0.1:${wiring.plain}/stt/a` },
      });
      const cut = new Promise<void>((resolve) => session.once('pathChange', () => resolve()));
      await transfer(session, 1 << 20, async () => {
        program.signal('SIGHUP');
        await cut;
      });
      expect(session.transport).toBe('websocket');
      await session.close();
    });

    test('keep-alives are sooner than what a proxy takes for silence', async () => {
      const { a } = stage();
      const client = await connector({ keepAliveInterval: 200 });
      const session = await client.connect('127.0.0.1:9', {
        peerNodeId: a.endpoint.nodeId,
        transport: 'websocket',
        websocket: { url: `ws://127.0.0.1:${impatient}/stt/a` },
      });
      let moved = 0;
      session.on('pathChange', () => {
        moved += 1;
      });
      await new Promise((resolve) => setTimeout(resolve, 7_000));
      await transfer(session, 1_000);
      expect(moved).toBe(0);
      await session.close();
    });
  },
);
