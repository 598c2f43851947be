import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { ListenOptions } from '@seigr/stt';
import { SttEndpoint } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { DoctorOptions } from '../../ts/cli/commands/doctor.ts';
import { doctor } from '../../ts/cli/commands/doctor.ts';
import { exitCodeOf } from '../../ts/cli/exit-codes.ts';
import { Output } from '../../ts/cli/output.ts';
import { addPeer } from '../../ts/cli/peers/book.ts';
import { Signals } from '../../ts/cli/signals.ts';
import { helloPathId, versionsPacket } from '../../ts/testing/peer.ts';
import { closedPort } from '../contract/pair.ts';
import { buildClock } from '../errors/matrix/clock.ts';
import { program } from '../errors/matrix/needs.ts';
import { makeCertificates } from '../websocket/certificates.ts';
import { problemsOf } from './schema.ts';
import type { JsonRecord } from './stt.ts';
import { Stt, seedFile, startRecv, stt, temporaryFolder } from './stt.ts';
import { Terminal } from './terminal.ts';

/** What doctor says to a program, by the schema, and how it ends. */
interface Diagnosis {
  readonly code: number;
  readonly checks: Record<string, JsonRecord>;
  readonly last: JsonRecord | undefined;
}

class Heard extends Output {
  readonly records: JsonRecord[] = [];

  constructor() {
    super({ json: true, quiet: false, verbose: false, color: false });
  }

  override result(event: string, fields: Record<string, unknown>): void {
    const record = { schema: 1, event, ...fields };
    expect(problemsOf(record)).toEqual([]);
    this.records.push(record);
  }
}

/** Runs it in this process: what it talks to is real all the same. */
async function examine(
  peer: string,
  seed: string,
  more: Partial<DoctorOptions> = {},
): Promise<Diagnosis> {
  const heard = new Heard();
  const code = await doctor(
    {
      peer,
      peerId: undefined,
      websocket: undefined,
      transport: 'auto',
      timeout: 30_000,
      seedFile: seed,
      signals: new Signals(),
      ...more,
    },
    heard,
  ).then(
    () => 0,
    (error: unknown) => exitCodeOf(error),
  );
  return diagnosis(code, heard.records);
}

function diagnosis(code: number | null, records: readonly JsonRecord[]): Diagnosis {
  const checks = records.filter(({ event }) => event === 'check');
  expect(checks.map(({ check }) => check)).toEqual([
    ...['name', 'route', 'udp', 'tls', 'websocket', 'version', 'seed', 'clock', 'peer', 'mtu'],
  ]);
  const byName = Object.fromEntries(checks.map((check) => [String(check['check']), check]));
  return { code: code ?? -1, checks: byName, last: records.at(-1) };
}

const statuses = ({ checks }: Diagnosis): Record<string, unknown> =>
  Object.fromEntries(Object.entries(checks).map(([name, { status }]) => [name, status]));

/** A program that uses the library and listens. */
async function listener(
  seed: string,
  options: ListenOptions = {},
): Promise<{ port: number; nodeId: string; webSocketPort: number }> {
  const endpoint = await SttEndpoint.create({
    sharedSeed: (await readFile(seed, 'utf8')).trim(),
    host: '127.0.0.1',
  });
  onTestFinished(() => endpoint.close());
  const listening = endpoint.serve(() => undefined, options);
  await listening.ready;
  const { port } = endpoint.address;
  const { nodeId } = endpoint;
  return { port, nodeId, webSocketPort: listening.websocketAddress?.port ?? 0 };
}

/** A UDP port where nothing is, or a socket that does what it is told. */
async function socket(onHello?: (hello: Buffer) => Buffer): Promise<number> {
  const bound = createSocket('udp4').bind(0, '127.0.0.1');
  await once(bound, 'listening');
  onTestFinished(() => void bound.close());
  bound.on('message', (hello, { port, address }) => {
    if (onHello !== undefined) bound.send(onHello(hello), port, address);
  });
  return (bound.address() as AddressInfo).port;
}

describe('stt doctor', () => {
  test('all is well: ticks, a node id, 0; the receiver goes on', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { recv, port, nodeId } = await startRecv(folder, seed, '--websocket', '127.0.0.1:0');
    const { websocketPort } = await recv.record(({ event }) => event === 'listening');
    const url = `ws://127.0.0.1:${websocketPort}/stt`;
    const args = [`127.0.0.1:${port}`, '--seed-file', seed, '--websocket', url];
    const told = stt(['doctor', ...args, '--peer-id', nodeId, '--json']);
    const shown = new Terminal(['doctor', ...args]);
    const { code, records, stderr } = await told;
    expect([code, stderr]).toEqual([0, '']);
    const found = diagnosis(code, records);
    const { tls, ...rest } = statuses(found);
    expect([tls, [...new Set(Object.values(rest))]]).toEqual(['skipped', ['passed']]);
    expect(found.checks['route']).toMatchObject({
      routes: [{ to: '127.0.0.1', from: '127.0.0.1', interface: 'lo' }],
    });
    expect(found.checks['peer']).toMatchObject({ nodeId });
    expect(Number(found.checks['mtu']?.['mtu'])).toBeGreaterThan(1_472);
    expect(found.last).toMatchObject({ failed: [], advice: 'All is well.', exitCode: 0 });

    expect(await shown.end()).toBe(0);
    const lines = shown.screen.split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^✓ name {7}127\.0\.0\.1 is an address \([\d.]+ ms\)$/),
      expect.stringMatching(/^✓ route {6}from 127\.0\.0\.1 by lo \([\d.]+ ms\)$/),
      expect.stringMatching(/^✓ udp {8}127\.0\.0\.1:\d+ answers \([\d.]+ ms\)$/),
      expect.stringMatching(/^– tls {8}skipped: the WebSocket is a ws:\/\/ one/),
      expect.stringMatching(/^✓ websocket {2}ws:\/\/127\.0\.0\.1:\d+\/stt answers \([\d.]+ ms\)$/),
      expect.stringMatching(/^✓ version {4}both sides speak version 1 /),
      expect.stringMatching(/^✓ seed {7}the peer has the same seed/),
      expect.stringMatching(/^✓ clock {6}the clocks differ by less than /),
      expect.stringMatching(/^✓ peer {7}it is node [0-9a-f]{64}; which it should be, nobody said/),
      expect.stringMatching(/^✓ mtu {8}datagrams of \d+ bytes/),
      'All is well.',
    ]);
    expect(recv.child.exitCode).toBe(null);
  });

  test('what fails ends with the code of the first: in a terminal, too', async () => {
    const folder = await temporaryFolder();
    const shown = new Terminal([
      ...['doctor', 'nowhere.invalid', '--seed-file', await seedFile(folder)],
    ]);
    expect(await shown.end()).toBe(3);
    const lines = shown.screen.split('\n');
    expect(lines[0]).toMatch(/^✗ name {7}0x0104 NETWORK_UNREACHABLE: .* \([\d.]+ ms\)$/);
    expect(lines[1]).toBe('– route      skipped: the name has no address');
    expect(lines.at(-1)).toBe('Correct the name, or the name servers of this machine.');
    expect(lines).toHaveLength(11);
  });

  test('a peer without WebSockets is well; one that --websocket names has to be there', async () => {
    const seed = await seedFile(await temporaryFolder());
    const { port } = await listener(seed);
    const peer = `127.0.0.1:${port}`;
    const fine = await examine(peer, seed);
    expect(fine).toMatchObject({ code: 0, last: { failed: [], warnings: ['websocket'] } });
    expect(fine.checks['websocket']).toMatchObject({ status: 'warning', code: '0x0102' });
    const asked = await examine(peer, seed, { websocket: `ws://127.0.0.1:${port}/stt` });
    expect(asked).toMatchObject({ code: 3, last: { failed: ['websocket'], exitCode: 3 } });
    expect(asked.checks['mtu']).toMatchObject({ status: 'passed' });
    expect(await examine(peer, seed, { transport: 'udp' })).toMatchObject({
      code: 0,
      checks: { websocket: { status: 'skipped', reason: expect.stringMatching(/--transport/) } },
    });
  });

  test('by WebSocket alone: UDP is not asked for, and the handshake is judged all the same', async () => {
    const seed = await seedFile(await temporaryFolder());
    const { webSocketPort, nodeId } = await listener(seed, {
      websocket: { port: 0, host: '127.0.0.1' },
    });
    const found = await examine(`127.0.0.1:${webSocketPort}`, seed, {
      transport: 'websocket',
      peerId: nodeId,
    });
    expect(found).toMatchObject({ code: 0, last: { failed: [] } });
    expect(statuses(found)).toMatchObject({
      ...{ udp: 'skipped', websocket: 'passed', version: 'passed', seed: 'passed' },
      ...{ clock: 'passed', peer: 'passed', mtu: 'skipped' },
    });
  });

  test('nothing at the port: refused, 3; what cannot be known is skipped with the reason', async () => {
    const seed = await seedFile(await temporaryFolder());
    const port = await closedPort();
    const found = await examine(`127.0.0.1:${port}`, seed);
    expect(found).toMatchObject({
      code: 3,
      checks: {
        udp: { status: 'failed', code: '0x0102', codeName: 'CONNECTION_REFUSED' },
        websocket: { status: 'failed', code: '0x0102' },
        seed: { status: 'skipped', reason: 'nothing reached the peer' },
        mtu: { status: 'skipped', reason: 'there is no session by UDP' },
      },
      last: { advice: expect.stringMatching(/^Start the listener there, or correct the port/) },
    });
  });

  test('a port that takes all and says nothing: 0x0101, 3', async () => {
    const seed = await seedFile(await temporaryFolder());
    const port = await socket();
    const found = await examine(`127.0.0.1:${port}`, seed, { timeout: 300, transport: 'udp' });
    expect(found).toMatchObject({
      code: 3,
      checks: { udp: { status: 'failed', code: '0x0101', codeName: 'CONNECTION_TIMEOUT' } },
      last: { advice: expect.stringMatching(/^Let UDP pass to that port/) },
    });
  });

  test('another seed: the way is fine, 0x0103_03, 4', async () => {
    const folder = await temporaryFolder();
    const { port } = await listener(await seedFile(folder));
    const other = await seedFile(folder, 'other');
    const found = await examine(`127.0.0.1:${port}`, other, { transport: 'udp' });
    expect(found.code).toBe(4);
    expect(statuses(found)).toMatchObject({
      ...{ udp: 'passed', version: 'passed', seed: 'failed', clock: 'skipped', peer: 'skipped' },
    });
    expect(found.checks['seed']).toMatchObject({ code: '0x0103', subcode: 3 });
    expect(found.last).toMatchObject({ advice: expect.stringMatching(/^Use the same seed/) });
  });

  test('of a peer with several hosts it is the pinned node that is looked at, wherever it is', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const at = async (host: string, port: number) => {
      const endpoint = await SttEndpoint.create({
        sharedSeed: (await readFile(seed, 'utf8')).trim(),
        host,
        port,
      });
      onTestFinished(() => endpoint.close());
      await endpoint.serve(() => undefined, { websocket: { host, port: endpoint.address.port } })
        .ready;
      return endpoint;
    };
    const right = await at('127.0.0.1', 0);
    const { port } = right.address;
    const wrong = await at('127.0.0.2', port);
    const pinned = async (nodeId: string) => {
      const env = { XDG_CONFIG_HOME: join(folder, nodeId) };
      // The stale address comes first, and answers first.
      const peer = { name: 'den', nodeId, port, hosts: ['127.0.0.2', '127.0.0.1'], pairedAt: 0 };
      await addPeer(peer, join(env.XDG_CONFIG_HOME, 'stt', 'peers.json'));
      const { code, records } = await stt(['doctor', 'den', '--seed-file', seed, '--json'], {
        env,
      });
      return diagnosis(code, records);
    };
    const well = await pinned(right.nodeId);
    expect([well.code, well.checks['peer'], well.checks['mtu']]).toMatchObject([
      0,
      { status: 'passed', nodeId: right.nodeId },
      { status: 'passed' },
    ]);
    const gone = await pinned('ab'.repeat(32));
    expect([gone.code, gone.checks['peer'], gone.last]).toMatchObject([
      4,
      { status: 'failed', code: '0x0103' },
      { advice: expect.stringMatching(/^Another node .*"stt peers" where den should be/) },
    ]);
    // Nobody gave a flag, and the addresses are those of the hosts.
    expect(JSON.stringify([well, gone])).not.toMatch(/--peer-id|den:\d+ answers|ws:\/\/den/);
    expect(well.checks['websocket']).toMatchObject({
      detail: `ws://127.0.0.1:${port}/stt answers`,
    });
    expect(gone.checks['websocket']).toMatchObject({
      detail: `one of ws://127.0.0.2:${port}/stt, ws://127.0.0.1:${port}/stt answers`,
    });
    expect([right.nodeId, wrong.nodeId]).toContain(
      /the node ([0-9a-f]{64})/.exec(String(gone.checks['peer']?.['message']))?.[1],
    );
  });

  test('another node, and one that does not admit: 0x0103, 4', async () => {
    const seed = await seedFile(await temporaryFolder());
    const { port, nodeId } = await listener(seed);
    const found = await examine(`127.0.0.1:${port}`, seed, { peerId: 'ab'.repeat(32) });
    expect(found).toMatchObject({
      code: 4,
      checks: { peer: { status: 'failed', code: '0x0103' }, mtu: { status: 'passed' } },
      last: { advice: expect.stringMatching(/^Correct the peer id/) },
    });
    expect(found.checks['peer']?.['message']).toContain(nodeId);
    const strict = await listener(seed, { authorize: () => false });
    const refused = await examine(`127.0.0.1:${strict.port}`, seed, { transport: 'udp' });
    expect(refused).toMatchObject({
      code: 4,
      checks: { clock: { status: 'passed' }, peer: { status: 'failed', code: '0x0103' } },
      last: { advice: expect.stringMatching(/^Have the peer admit this node/) },
    });
  });

  test('another version: 0x0105, 4', async () => {
    const seed = await seedFile(await temporaryFolder());
    const port = await socket((hello) => versionsPacket(2, helloPathId(hello)));
    const found = await examine(`127.0.0.1:${port}`, seed, { transport: 'udp' });
    expect(found).toMatchObject({
      code: 4,
      checks: {
        udp: { status: 'passed' },
        version: { status: 'failed', code: '0x0105' },
        seed: { status: 'skipped', reason: expect.stringMatching(/version$/) },
      },
      last: { advice: 'Install the same version of @seigr/stt on both machines.' },
    });
  });

  test.skipIf(program('cc', '--version') !== undefined)(
    'a clock that is an hour ahead: 0x0405_02 with how much, 4',
    async () => {
      const folder = await temporaryFolder();
      const seed = await seedFile(folder);
      const library = await buildClock({
        defer: (dispose) => onTestFinished(() => void dispose()),
      });
      const env = { LD_PRELOAD: library, STT_CLOCK_OFFSET: '3600' };
      const listen = ['--listen', '127.0.0.1:0', '--seed-file', seed, '--json'];
      const recv = new Stt(['recv', folder, ...listen], { env });
      const { port } = await recv.record(({ event }) => event === 'listening');
      const found = await examine(`127.0.0.1:${port}`, seed, { transport: 'udp' });
      expect(found.code).toBe(4);
      expect(found.checks['seed']).toMatchObject({ status: 'passed' });
      expect(found.checks['clock']).toMatchObject({ status: 'failed', subcode: 2 });
      expect(Number(found.checks['clock']?.['clockSkewMs']) / 1_000).toBeCloseTo(3_600, -2);
      expect(found.last?.['advice']).toMatch(/^Set the clock of .* \d+ s ahead\) by NTP/);
    },
  );

  test.skipIf(program('openssl', 'version') !== undefined)(
    'TLS: good, expired, for another host, of an authority that nobody knows: 0x0504, 3',
    async () => {
      const folder = await temporaryFolder();
      const seed = await seedFile(folder);
      const { ca, good, expired, wrongHost } = makeCertificates();
      await writeFile(join(folder, 'ca.pem'), ca);
      const env = { NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') };
      const at = async (tls: { cert: string; key: string }): Promise<[string, string]> => {
        const websocket = { port: 0, host: '127.0.0.1', tls };
        const { port, webSocketPort } = await listener(seed, { websocket });
        return [`127.0.0.1:${port}`, `wss://localhost:${webSocketPort}/stt`];
      };
      const asked = [good, expired, wrongHost].map(async (tls) => {
        const [peer, url] = await at(tls);
        const args = ['--seed-file', seed, '--websocket', url, '--json'];
        const { code, records } = await stt(['doctor', peer, ...args], { env });
        return diagnosis(code, records);
      });
      const [peer, url] = await at(good);
      const [fine, late, elsewhere] = await Promise.all(asked);
      expect(fine).toMatchObject({
        code: 0,
        checks: { tls: { status: 'passed', daysLeft: 29 }, websocket: { status: 'passed' } },
      });
      const strange = await examine(peer, seed, { websocket: url });
      for (const [found, words, advice] of [
        [late, /CERT_HAS_EXPIRED/, /^Renew the certificate on the server; .* clock/],
        [elsewhere, /ERR_TLS_CERT_ALTNAME_INVALID.*elsewhere\.example/, /^Name a host in the URL/],
        [strange, /UNABLE_TO_VERIFY_LEAF_SIGNATURE/, /^Name a file .* NODE_EXTRA_CA_CERTS/],
      ] as const) {
        expect(found?.last?.['advice']).toMatch(advice);
        expect(found).toMatchObject({
          code: 3,
          checks: {
            tls: { status: 'failed', code: '0x0504', message: expect.stringMatching(words) },
            websocket: { status: 'skipped', reason: 'TLS failed' },
            peer: { status: 'passed' },
          },
        });
      }
    },
  );

  test('a URL that cannot be, or contradicts: 2', async () => {
    const seed = await seedFile(await temporaryFolder());
    for (const [websocket, transport] of [
      ['http://127.0.0.1/', 'auto'],
      ['nonsense', 'auto'],
      ['ws://127.0.0.1:1/stt', 'udp'],
    ] as const) {
      const signals = new Signals();
      const more = { peerId: undefined, timeout: 300, seedFile: seed, signals };
      const failure = await doctor(
        { peer: '127.0.0.1', websocket, transport, ...more },
        new Heard(),
      ).catch((error: unknown) => error);
      expect([websocket, exitCodeOf(failure)]).toEqual([websocket, 2]);
    }
  });
});
