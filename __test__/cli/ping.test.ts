import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Stt, seedFile, startRecv, stt, temporaryFolder } from './stt.ts';

describe('stt ping', () => {
  test('measures, tells a program and a person, and leaves a receiver waiting', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { recv, port, nodeId } = await startRecv(folder, seed);
    const to = [`127.0.0.1:${port}`, '--seed-file', seed, '-c', '3', '-i', '20ms', '-W', '60s'];
    const { code, records } = await stt(['ping', ...to, '--json']);
    expect(code).toBe(0);
    expect(records.map(({ event }) => event)).toEqual([
      'connected',
      'pong',
      'pong',
      'pong',
      'ping',
    ]);
    expect(records[0]).toMatchObject({ peerNodeId: nodeId, transport: 'udp' });
    expect(records[4]).toMatchObject({ sent: 3, answered: 3, lossPercent: 0, transport: 'udp' });
    const { min, p50, p99, max } = (records[4]?.rttMs ?? {}) as Record<string, number>;
    expect([min, p50, p99, max].every((value) => Number(value) > 0)).toBe(true);
    expect(Number(min) <= Number(p50) && Number(p50) <= Number(max)).toBe(true);
    const shown = await stt(['ping', ...to]);
    expect(shown.stdout).toMatch(
      /^connected to 127\.0\.0\.1:\d+ in [\d.]+ ms by UDP\nnode id [0-9a-f]{64}\nseq=1 time=[\d.]+ ms UDP\n/,
    );
    expect(shown.stdout).toMatch(
      /\n3 sent, 3 answered, 0 % lost, by UDP, datagrams of \d+ bytes\n/,
    );
    expect(shown.stdout).toMatch(/\nrtt min\/p50\/p90\/p99\/max [\d.]+(\/[\d.]+){4} ms\n$/);
    const dense = [...to.slice(0, 3), '-c', '200', '-i', '1ms', '-W', '60s', '--json'];
    const many = await stt(['ping', ...dense]);
    expect(many.records.at(-1)).toMatchObject({ sent: 200, answered: 200, lossPercent: 0 });
    expect(recv.child.exitCode).toBe(null);
  });

  test('a peer that stops answering is told, and the rest still counts', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { recv, port } = await startRecv(folder, seed);
    const to = [`127.0.0.1:${port}`, '--seed-file', seed, '--transport', 'udp'];
    const pinging = new Stt(['ping', ...to, '-c', '2', '-i', '4s', '-W', '3s', '--json']);
    await pinging.record(({ event }) => event === 'pong');
    recv.child.kill('SIGSTOP');
    const { code, records } = await pinging.end();
    recv.child.kill('SIGCONT');
    expect(records.at(-2)).toMatchObject({ event: 'unanswered', sequence: 2, waitMs: 3_000 });
    expect(records.at(-1)).toMatchObject({ event: 'ping', sent: 2, answered: 1, lossPercent: 50 });
    expect(code).toBe(0);
  });

  test('what fails gets two lines and its code: nobody 3, another seed 4, another node 4, SIGINT 130', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const other = await seedFile(folder, 'other');
    const { port } = await startRecv(folder, seed);
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    onTestFinished(() => void socket.close());
    const silent = (socket.address() as AddressInfo).port;
    for (const [to, more, code, words] of [
      [silent, ['--seed-file', seed, '--timeout', '300ms', '--transport', 'udp'], 3, /^0x0101/m],
      [port, ['--seed-file', other, '--transport', 'udp'], 4, /^0x0103/m],
      [
        port,
        ['--seed-file', seed, '--peer-id', 'ab'.repeat(32), '--transport', 'udp'],
        4,
        /^0x0103/m,
      ],
      [port, ['--seed-file', seed, '-c', 'many'], 2, /whole number/],
    ] as const) {
      const ended = await stt(['ping', `127.0.0.1:${to}`, ...more]);
      expect([more, ended.code, ended.stderr]).toEqual([more, code, expect.stringMatching(words)]);
      expect(ended.stderr).toMatch(/\nTry: /);
    }
    const args = ['ping', `127.0.0.1:${port}`, '--seed-file', seed, '-c', '0', '-i', '50ms'];
    const pinging = new Stt([...args, '--json']);
    await pinging.record(({ event }) => event === 'pong');
    pinging.child.kill('SIGINT');
    const { code, records } = await pinging.end();
    expect(code).toBe(130);
    expect(records.some(({ event, answered }) => event === 'ping' && Number(answered) > 0)).toBe(
      true,
    );
  });
});
