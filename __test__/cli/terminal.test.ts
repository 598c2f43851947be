import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fitted } from '../../ts/cli/bar-line.ts';
import { addPeer } from '../../ts/cli/peers/book.ts';
import { seedFile, startRecv, stt, temporaryFolder } from './stt.ts';
import { Terminal } from './terminal.ts';

describe('what a person sees in a terminal', () => {
  test('of ping: the way, each answer, the sum of it; Ctrl-C ends with the sum and 130', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const { port, nodeId } = await startRecv(folder, seed);
    const to = [`127.0.0.1:${port}`, '--seed-file', seed, '-i', '20ms', '-W', '60s'];
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

  test('of keygen: where the seed is and what to do with it; of a passphrase, nothing that was typed', async () => {
    const folder = await temporaryFolder();
    const made = new Terminal(['keygen', '--out', join(folder, 'made')]);
    expect(await made.end()).toBe(0);
    expect(made.screen.split('\n')).toEqual([
      join(folder, 'made'),
      expect.stringMatching(/^Copy this file to the other machine by a safe way/),
    ]);
    const seeds: string[] = [];
    for (const name of ['one', 'two']) {
      const asks = new Terminal(['keygen', '--from-passphrase', '--out', join(folder, name)]);
      await asks.shows(/^Name of the network .*:/m);
      asks.type('home network\r');
      await asks.shows(/^Passphrase:/m);
      asks.type('correct horse battery staple\r');
      await asks.shows(/^Once more:/m);
      asks.type('correct horse battery staple\r');
      expect(await asks.end()).toBe(0);
      expect(asks.screen).not.toContain('horse');
      const id = new Terminal(['id', '--seed-file', join(folder, name)]);
      expect(await id.end()).toBe(0);
      const [, words = ''] = /^seed: ([a-z]+(?: [a-z]+){4})$/m.exec(id.screen) ?? [];
      expect(id.screen).toMatch(/^node id of port 7788: [0-9a-f]{64}$/m);
      seeds.push(words);
    }
    // The same name and passphrase are the same seed, and its words say so.
    expect(seeds[0]).toMatch(/^\w+/);
    expect(seeds[1]).toBe(seeds[0]);
  });

  test('of peers: a line for each, in columns, and a word where there is none', async () => {
    const home = await temporaryFolder();
    const env = { XDG_CONFIG_HOME: home };
    const none = new Terminal(['peers'], { env });
    expect(await none.end()).toBe(0);
    expect(none.screen).toBe('no peers; "stt pair" makes one');
    const file = join(home, 'stt', 'peers.json');
    for (const [name, host, digit] of [
      ['desk', '192.168.1.7', 'a'],
      ['the-laptop', 'fd00::7', 'b'],
    ] as const)
      await addPeer(
        { name, nodeId: digit.repeat(64), hosts: [host], port: 7788, pairedAt: 0 },
        file,
      );
    const two = new Terminal(['peers'], { env });
    expect(await two.end()).toBe(0);
    expect(two.screen.split('\n')).toEqual([
      'desk        aaaaaaaaaaaaaaaa…  192.168.1.7:7788  paired 1970-01-01',
      'the-laptop  bbbbbbbbbbbbbbbb…  [fd00::7]:7788  paired 1970-01-01',
    ]);
    const gone = new Terminal(['peers', 'rm', 'desk'], { env });
    expect(await gone.end()).toBe(0);
    expect(gone.screen).toMatch(/^forgot desk\nIt still holds the seed/);
  });

  test('of recv and send: who waits where, a bar each, and the sum with its hash', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    await writeFile(join(folder, 'film.mkv'), Buffer.alloc(8 << 20, 7));
    const inbox = join(folder, 'inbox');
    const to = ['--seed-file', seed];
    const recv = new Terminal(['recv', inbox, '--listen', '127.0.0.1:0', ...to]);
    const [, port = ''] = await recv.shows(/^listening on 127\.0\.0\.1:(\d+)$/m);
    const send = new Terminal(['send', join(folder, 'film.mkv'), `127.0.0.1:${port}`, ...to]);
    expect([await send.end(), await recv.end()]).toEqual([0, 0]);
    for (const [terminal, did] of [
      [send, 'sent'],
      [recv, 'received'],
    ] as const) {
      expect(terminal.screen).toMatch(/^film\.mkv \[=+\] 100 % 8\.00 MiB [\d.]+ .?B\/s /m);
      expect(terminal.screen).toMatch(
        new RegExp(
          `^${did} film\\.mkv: 8\\.00 MiB in [\\d.]+ s \\(.*\\)\nsha256 [0-9a-f]{64}$`,
          'm',
        ),
      );
    }
  });

  test('at 20 columns: a name and the share of it, with no number cut off', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const names = ['a-film-with-a-long-name.mkv', 'b.mkv'];
    for (const name of names) await writeFile(join(folder, name), Buffer.alloc(4 << 20, 7));
    for (const [files, bar] of [
      [names.slice(0, 1), /^…long-name\.mkv 100 %$/m],
      [names, /^…nd 1 more 2\/2 100 %$/m],
    ] as const) {
      const inbox = join(folder, `inbox of ${files.length}`);
      const { port } = await startRecv(inbox, seed);
      const paths = files.map((name) => join(folder, name));
      const args = ['send', ...paths, `127.0.0.1:${port}`, '--seed-file', seed];
      const send = new Terminal(args, { columns: 20 });
      expect(await send.end()).toBe(0);
      expect(send.screen).toMatch(bar);
    }
  });

  test('a line of progress has its parts whole at any width, and the widest has them all', () => {
    const words = { label: 'film.mkv', size: '8.00 MiB', rate: '112.6 MB/s', left: '0:07' };
    for (let columns = 8; columns <= 120; columns += 1) {
      const line = fitted(words, 0.5, columns);
      expect(line.length).toBeLessThanOrEqual(columns);
      expect(line).toMatch(/^\S+( \[=+-+\])? 50 %( 8\.00 MiB)?( 112\.6 MB\/s)?( 0:07)?$/);
    }
    expect(fitted(words, 0.5, 120)).toMatch(/^film\.mkv \[={12}-{12}\] 50 % 8.00 MiB .* 0:07$/);
    expect(fitted(words, 0.5, 20)).toBe('film.mkv 50 %');
    expect(fitted(words, undefined, 20)).toBe('film.mkv 112.6 MB/s');
  });

  test.each(['dumb', ''])(
    'with TERM="%s": plain lines, and nothing that moves a cursor',
    async (TERM) => {
      const folder = await temporaryFolder();
      const seed = await seedFile(folder);
      await writeFile(join(folder, 'a'), Buffer.alloc(4 << 20, 7));
      await writeFile(join(folder, 'b'), Buffer.alloc(4 << 20, 7));
      const env = { TERM };
      for (const files of [['a'], ['a', 'b']]) {
        const inbox = join(folder, `inbox of ${files.length}`);
        const listen = ['--listen', '127.0.0.1:0', '--seed-file', seed];
        const recv = new Terminal(['recv', inbox, ...listen], { env });
        const [, port = ''] = await recv.shows(/^listening on 127\.0\.0\.1:(\d+)$/m);
        const paths = files.map((name) => join(folder, name));
        const to = [`127.0.0.1:${port}`, '--seed-file', seed];
        const send = new Terminal(['send', ...paths, ...to], { env });
        expect([await send.end(), await recv.end()]).toEqual([0, 0]);
        expect([send.raw, recv.raw].join('')).not.toContain('\x1b');
        expect(send.screen).toMatch(/^sent a/m);
      }
    },
  );

  test('a terminal that Ctrl-S has stopped holds neither a transfer nor the end by a signal', async () => {
    const folder = await temporaryFolder();
    const seed = await seedFile(folder);
    const file = join(folder, 'film.mkv');
    await writeFile(file, Buffer.alloc(8 << 20, 7));
    const stopped = async () => {
      const args = [join(folder, 'inbox'), '--listen', '127.0.0.1:0', '--seed-file', seed];
      const recv = new Terminal(['recv', ...args, '--forever', '--overwrite']);
      const [, port = ''] = await recv.shows(/^listening on 127\.0\.0\.1:(\d+)$/m);
      recv.type('\x13');
      const sent = await stt(['send', file, `127.0.0.1:${port}`, '--seed-file', seed, '--json']);
      expect([sent.code, sent.stderr]).toEqual([0, '']);
      return recv;
    };
    const goesOn = await stopped();
    goesOn.type('\x11');
    await goesOn.shows(/^received film\.mkv: /m);
    goesOn.type('\x03');
    expect(await goesOn.end()).toBe(130);
    const ends = await stopped();
    await ends.kill('SIGTERM');
    expect(await ends.end()).toBe(143);
  });
});
