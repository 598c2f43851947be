import { describe, expect, test } from 'vitest';
import { seedFile, startRecv, temporaryFolder } from './stt.ts';
import { Terminal } from './terminal.ts';

describe('what a person sees in a terminal', () => {
  test('of ping: the way, each answer, the sum of it; Ctrl-C ends with the sum and 130', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { port, nodeId } = await startRecv(folder, seed);
    const to = [`127.0.0.1:${port}`, '--seed-file', seed, '-i', '20ms'];
    const twice = new Terminal(['ping', ...to, '-c', '2']);
    expect(await twice.end()).toBe(0);
    const lines = twice.screen.split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^connected to 127\.0\.0\.1:\d+ in [\d.]+ ms by UDP$/),
      `node id ${nodeId}`,
      expect.stringMatching(/^seq=1 time=[\d.]+ ms UDP$/),
      expect.stringMatching(/^seq=2 time=[\d.]+ ms UDP$/),
      expect.stringMatching(/^2 sent, 2 answered, 0 % lost, by UDP, datagrams of \d+ bytes$/),
      expect.stringMatching(/^rtt min\/p50\/p90\/p99\/max [\d.]+(\/[\d.]+){4} ms$/),
    ]);
    const endless = new Terminal(['ping', ...to, '-c', '0']);
    await endless.shows(/^seq=3 /m);
    endless.type('\x03');
    expect(await endless.end()).toBe(130);
    // The terminal itself echoes the key.
    expect(endless.screen).toMatch(/^\^C\d+ sent, \d+ answered, /m);
  });

  test('of explain: title, causes and numbered steps; what is unknown gets two lines and 2', async () => {
    const known = new Terminal(['explain', '0x0405_03']);
    expect(await known.end()).toBe(0);
    expect(known.screen).toMatch(/^0x0405_03 HANDSHAKE_FAILURE CHALLENGE_DECRYPT_FAILED \(/);
    expect(known.screen).toMatch(/^What to do:\n {2}1\. \S/m);
    const unknown = new Terminal(['explain', 'NONSENSE']);
    expect(await unknown.end()).toBe(2);
    const lines = unknown.screen.split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain('"NONSENSE" is no error of STT.');
    expect(lines[1]).toMatch(/^Try: write a code/);
  });

  test('of explain -, what is typed is read until Ctrl-D', async () => {
    const typed = new Terminal(['explain', '-']);
    typed.type('it said CONNECTION_TIMEOUT\r\x04');
    await typed.shows(/^0x0101 CONNECTION_TIMEOUT \(/m);
    expect(await typed.end()).toBe(0);
  });
});
