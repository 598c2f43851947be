import { EventEmitter, once } from 'node:events';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { SttSession } from '@seigr/stt';
import { SttEndpoint } from '@seigr/stt';
import decodeQR from 'qr/decode.js';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  makeSecret,
  parseInvitation,
  seedOf,
  ticketOf,
  wordsOf,
} from '../../ts/cli/pairing/secret.ts';
import { Invitations, isClockFault } from '../../ts/cli/pairing/show.ts';
import type { Introduction } from '../../ts/cli/pairing/talk.ts';
import { TAKEN, Talk } from '../../ts/cli/pairing/talk.ts';
import { addPeer, parsePeerName, peerNameFrom, readPeers } from '../../ts/cli/peers/book.ts';
import { resolvePeer } from '../../ts/cli/peers/resolve.ts';
import { AuthenticationError, HandshakeError } from '../../ts/errors/classes.ts';
import { closedPort } from '../contract/pair.ts';
import { Stt, seedFile, stt, temporaryFolder } from './stt.ts';
import { Terminal } from './terminal.ts';

/** Twelve words that are good, and of no pairing here. */
const OTHER_WORDS = 'legal winner thank year wave sausage worth useful legal winner thank yellow';

/** A machine: its own home, and nothing else of its own. */
class Machine {
  readonly env: NodeJS.ProcessEnv;
  readonly config: string;

  private constructor(home: string) {
    this.config = join(home, 'config', 'stt');
    this.env = {
      HOME: home,
      XDG_CONFIG_HOME: join(home, 'config'),
      XDG_STATE_HOME: join(home, 'state'),
      STT_SEED_FILE: undefined,
      STT_NODE_SEED_FILE: undefined,
    };
  }

  static async make(): Promise<Machine> {
    return new Machine(await temporaryFolder());
  }

  run(...args: string[]): ReturnType<typeof stt> {
    return stt(args, { env: this.env });
  }

  /** Types what the other machine shows. */
  join(input: string, ...args: string[]): ReturnType<typeof stt> {
    return stt(['pair', ...args, '--json'], { env: this.env, input: `${input}\n` });
  }

  get seed(): Promise<string> {
    return readFile(join(this.config, 'seed'), 'utf8').then((text) => text.trim());
  }

  get peers(): ReturnType<typeof readPeers> {
    return readPeers(join(this.config, 'peers.json'));
  }
}

/** The side that shows, listening; what a person would read there. */
async function showing(
  machine: Machine,
  ...more: string[]
): Promise<{ stt: Stt; at: string; words: string; ticket: string }> {
  const args = ['pair', '--print', '--listen', '127.0.0.1:0', ...more];
  const shown = new Stt(args, { env: machine.env });
  const [, first = '', second = ''] = await shown.said(/words:\n\n {2}(.*)\n {2}(.*)\n/);
  const [, ticket = ''] = await shown.said(/(stt-pair:\S+)\n/);
  const [, at = ''] = await shown.said(/stt pair (127\.0\.0\.1:\d+)\n/);
  return { stt: shown, at, words: `${first} ${second}`, ticket };
}

/** One who knows the words, without the command. */
async function raw(words: string, at: string): Promise<{ session: SttSession; talk: Talk }> {
  const sharedSeed = seedOf(parseInvitation(words).secret);
  const endpoint = await SttEndpoint.create({ sharedSeed });
  onTestFinished(() => endpoint.destroy());
  const session = await endpoint.connect(at, { peerNodeId: 'any', transport: 'udp' });
  return { session, talk: await Talk.open(asTalked(session), AbortSignal.timeout(60_000)) };
}

/** The class of the package is the one of the source, built. */
function asTalked(session: SttSession): Parameters<typeof Talk.accept>[0] {
  return session as unknown as Parameters<typeof Talk.accept>[0];
}

function introduction(digit: string): Introduction {
  return { name: `m${digit}`, nodeId: digit.repeat(64), port: 7788, hosts: [] };
}

describe('a pairing', () => {
  test('gives the seed to who types the words, and each the other’s node id', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    const shown = await showing(desk, '--as', 'Laptop', '--json');
    const joined = await laptop.join(shown.words.toUpperCase(), shown.at, '--as', 'desk');
    expect(joined).toMatchObject({ code: 0 });
    const { code, stdout, stderr } = await shown.stt.end();
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(await laptop.seed).toBe(await desk.seed);
    const ids = await Promise.all(
      [desk, laptop].map(async (machine) => (await machine.run('id', '--json')).records[0]),
    );
    const [theirs] = await laptop.peers;
    const [ours] = await desk.peers;
    expect(theirs).toMatchObject({ name: 'desk', nodeId: ids[0]?.nodeId, port: 7788 });
    expect(ours).toMatchObject({ name: 'laptop', nodeId: ids[1]?.nodeId, port: 7788 });
    expect(theirs?.hosts[0]).toBe('127.0.0.1');
    // The same words on both sides tell that it is the same seed, and not which.
    expect(ids[0]?.seedFingerprint).toBe(ids[1]?.seedFingerprint);
    expect(String(ids[0]?.seedFingerprint).split(' ')).toHaveLength(5);
    for (const path of ['seed', 'peers.json']) {
      const { mode } = await stat(join(laptop.config, path));
      expect([path, mode & 0o777]).toEqual([path, 0o600]);
    }
    // What programs and logs get holds no secret, and neither does what one side says in the end.
    const seed = await desk.seed;
    const secrets = [seed, Buffer.from(seed, 'hex').toString('base64url'), shown.words];
    for (const text of [stdout, joined.stdout, joined.stderr])
      for (const secret of secrets) expect(text.includes(secret)).toBe(false);
    expect(stderr.includes(seed)).toBe(false);
  });

  test('is not ended by wrong words, and takes a ticket', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    const shown = await showing(desk);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const { code, stderr } = await laptop.join(OTHER_WORDS, shown.at);
      expect([code, stderr]).toEqual([4, expect.stringContaining('those of another pairing')]);
    }
    await shown.stt.said(/wrong words, once so far, the last from 127\.0\.0\.1/);
    // Those after it are told as well, in one remark.
    await shown.stt.said(/wrong words, 3 times so far, the last from 127\.0\.0\.1/);
    const garbled = shown.words.split(' ').toReversed().join(' ');
    for (const [typed, why] of [
      ['one two', /2 words; there are 12/],
      [shown.words.replace(/^\S+/, 'xylograph'), /word 1 is not one of the list/],
      [garbled, /belong together|another pairing/],
      [shown.ticket.slice(0, -40), /not whole|where the other machine is/],
    ] as const) {
      const { code, stderr } = await laptop.join(typed, '--join', '--timeout', '2s');
      expect([typed, code === 2 || code === 4, stderr]).toEqual([
        typed,
        true,
        expect.stringMatching(why),
      ]);
    }
    const joined = await laptop.join(shown.ticket, '--join');
    expect(joined).toMatchObject({ code: 0 });
    expect(await shown.stt.end()).toMatchObject({ code: 0 });
    expect(await laptop.seed).toBe(await desk.seed);
  });

  test('is over after one success: the next who knows the words finds nobody', async () => {
    const [desk, laptop, thief] = [
      await Machine.make(),
      await Machine.make(),
      await Machine.make(),
    ];
    const shown = await showing(desk);
    const both = await Promise.all([
      laptop.join(shown.words, shown.at, '--timeout', '20s'),
      thief.join(shown.words, shown.at, '--timeout', '20s'),
    ]);
    expect(both.filter(({ code }) => code === 0)).toHaveLength(1);
    expect(await shown.stt.end()).toMatchObject({ code: 0 });
    expect(await desk.peers).toHaveLength(1);
    const late = await thief.join(shown.words, shown.at, '--timeout', '1s');
    expect(late).toMatchObject({ code: 3 });
  });

  test('keeps the seed that is there in another form', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    await desk.run('keygen');
    await laptop.run('keygen');
    const other = Buffer.from(await desk.seed, 'hex').toString('base64url');
    await writeFile(join(laptop.config, 'seed'), `${other}\n`);
    const shown = await showing(desk);
    expect(await laptop.join(shown.words, shown.at)).toMatchObject({
      code: 0,
      stderr: expect.any(String),
    });
    expect(await shown.stt.end()).toMatchObject({ code: 0 });
    expect(await laptop.seed).toBe(other);
  });

  test('who comes second is told that another one was quicker', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    const shown = await showing(desk);
    const [first, second] = [await raw(shown.words, shown.at), await raw(shown.words, shown.at)];
    await first.talk.say(introduction('1'));
    const gift = await first.talk.hearGift();
    expect(gift.seed).toBe(await desk.seed);
    // Its turn has not come.
    await second.talk.say(introduction('2'));
    await first.talk.say({ ok: true, why: '' });
    expect(await second.session.settled).toMatchObject({ initiator: 'remote', message: TAKEN });
    expect(await shown.stt.end()).toMatchObject({ code: 0 });

    const listening = await SttEndpoint.create({
      sharedSeed: seedOf(parseInvitation(OTHER_WORDS).secret),
      host: '127.0.0.1',
    });
    onTestFinished(() => listening.destroy());
    listening.serve(
      async (session) => {
        await (await Talk.accept(asTalked(session)))?.hearIntroduction();
        session.destroy(TAKEN);
      },
      { onError: () => {} },
    );
    const late = await laptop.join(OTHER_WORDS, `127.0.0.1:${listening.address.port}`);
    expect([late.code, late.stderr]).toEqual([
      5,
      expect.stringMatching(/another machine was quicker.*\nTry: .*stt pair/s),
    ]);
  });

  test('a clock that is off is not told as wrong words', async () => {
    const said: string[] = [];
    const told = new EventEmitter();
    const endpoint = new EventEmitter();
    const output = {
      note: (line: string) => {
        said.push(line);
        told.emit('note');
      },
    };
    new Invitations(
      endpoint as unknown as ConstructorParameters<typeof Invitations>[0],
      makeSecret(),
      { qr: false, expires: 1_000 },
      output as unknown as ConstructorParameters<typeof Invitations>[3],
    );
    const noted = once(told, 'note');
    const error = new HandshakeError('x', { subcode: 2 });
    endpoint.emit('handshakeError', { address: '192.0.2.1', port: 5, error });
    // The remark's timer holds nothing alive; that of the wait does.
    await Promise.race([noted, setTimeout(60_000)]);
    expect(said).toEqual([expect.stringMatching(/^the clocks .* 192\.0\.2\.1 differ too much/)]);
    expect(isClockFault(new AuthenticationError('x', { subcode: 2 }))).toBe(true);
    expect(isClockFault(new AuthenticationError('x', { subcode: 3 }))).toBe(false);
  });

  test('does not replace another seed unless told, and then keeps it', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    await laptop.run('keygen');
    const before = await laptop.seed;
    const shown = await showing(desk);
    const refused = await laptop.join(shown.words, shown.at);
    expect(refused).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/another seed already.*\nTry: .*--replace/s),
    });
    expect(await laptop.seed).toBe(before);
    await shown.stt.said(/did not take the seed/);
    const taken = await laptop.join(shown.words, shown.at, '--replace');
    expect(taken).toMatchObject({ code: 0 });
    expect(await shown.stt.end()).toMatchObject({ code: 0 });
    expect(await laptop.seed).toBe(await desk.seed);
    const aside = (await readdir(laptop.config)).filter((name) => name.startsWith('seed.'));
    expect(aside).toHaveLength(1);
    const kept = await readFile(join(laptop.config, aside[0] ?? ''), 'utf8');
    expect(kept.trim()).toBe(before);
  });

  test('ends when its time is up: 3; by SIGINT: 130; without the other side: 3', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    const expired = await desk.run(
      'pair',
      '--print',
      '--listen',
      '127.0.0.1:0',
      '--expires',
      '200ms',
    );
    expect(expired).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/nobody brought the words within 200 ms\.\nTry: /),
    });
    const shown = await showing(desk);
    shown.stt.child.kill('SIGINT');
    expect(await shown.stt.end()).toMatchObject({ code: 130 });
    expect(await laptop.join(shown.words, shown.at, '--timeout', '1s')).toMatchObject({ code: 3 });
    expect(await laptop.peers).toEqual([]);
  });

  test('shows no secret where no terminal is, unless it is told to: 2', async () => {
    const desk = await Machine.make();
    const { code, stdout, stderr } = await desk.run('pair', '--listen', '127.0.0.1:0', '--json');
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/^the words .* terminal.*\nTry: .*--print/),
    ]);
    expect(`${stdout}${stderr}`).not.toContain('stt-pair:');
    await expect(readdir(desk.config)).rejects.toThrow('ENOENT');
  });

  test('takes no words and no ticket from the command line, and does not repeat them: 2', async () => {
    const laptop = await Machine.make();
    const secret = makeSecret();
    const words = wordsOf(secret);
    const ticket = ticketOf({ secret, nodeId: 'a'.repeat(64), addresses: ['127.0.0.1:9'] });
    for (const args of [
      ['pair', ticket],
      ['pair', '--join', ticket],
      ['pair', `--join=${ticket}`],
      ['pair', words],
      ['pair', words.replaceAll(' ', '-')],
      ['pair', '127.0.0.1', ...words.split(' ')],
      ['ping', ticket],
    ]) {
      const { code, stdout, stderr } = await laptop.run(...args, '--json');
      expect([args, code, stderr]).toEqual([
        args,
        2,
        expect.stringMatching(/^the words or the ticket .* command line.*\nTry: ./),
      ]);
      for (const part of [ticket.slice(9, 25), words.split(' ').slice(0, 3).join(' ')])
        expect(`${stdout}${stderr}`).not.toContain(part);
    }
  });

  test('a stranger who knows the words and says nothing, or nonsense, keeps nobody away', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    const shown = await showing(desk);
    const sharedSeed = seedOf(parseInvitation(shown.words).secret);
    const stranger = await SttEndpoint.create({ sharedSeed });
    onTestFinished(() => stranger.destroy());
    const silent = await stranger.connect(shown.at, { peerNodeId: 'any', transport: 'udp' });
    const loud = await stranger.connect(shown.at, { peerNodeId: 'any', transport: 'udp' });
    const stream = await loud.createBidirectionalStream({ purpose: 'stt.pair.1' });
    const name = `\u001b[2J${'x'.repeat(900)}`;
    await stream.writeMessage(Buffer.from(JSON.stringify({ name, nodeId: 'no', hosts: ['::'] })));
    await shown.stt.said(/came to nothing/);
    expect(silent.transport).toBe('udp');
    expect(await laptop.join(shown.words, shown.at)).toMatchObject({ code: 0 });
    expect(await shown.stt.end()).toMatchObject({ code: 0 });
  });
});

/** What a camera sees of half blocks, light on dark: each module a square of some pixels. */
function pictureOf(rows: readonly string[]): { width: number; height: number; data: Uint8Array } {
  const scale = 6;
  const columns = Math.max(...rows.map((row) => row.length));
  const [width, height] = [columns * scale, rows.length * 2 * scale];
  const data = new Uint8Array(width * height * 4).fill(255);
  for (let y = 0; y < height; y += 1) {
    const line = Math.floor(y / scale);
    for (let x = 0; x < width; x += 1) {
      const block = rows[Math.floor(line / 2)]?.[Math.floor(x / scale)] ?? ' ';
      const light = block === '█' || block === (line % 2 === 0 ? '▀' : '▄');
      data.fill(light ? 255 : 0, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  return { width, height, data };
}

describe('a pairing in terminals', () => {
  test('shows the words, and does not show them where they are typed', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    const shown = new Terminal(['pair', '--listen', '127.0.0.1:0'], { env: desk.env });
    const [, first, second] = await shown.shows(/words:\n\n {2}(.*)\n {2}(.*)\n[\s\S]*stt-pair:/);
    const [, at = ''] = await shown.shows(/stt pair (127\.0\.0\.1:\d+)/);
    const typing = new Terminal(['pair', at, '--as', 'desk'], { env: laptop.env });
    await typing.shows(/The twelve words, or the ticket:/);
    typing.type(`${first} ${second}\r`);
    expect([await typing.end(), await shown.end()]).toEqual([0, 0]);
    expect(typing.screen).toContain('paired with desk');
    expect(typing.raw).not.toContain(first);
    expect(await laptop.seed).toBe(await desk.seed);
  });

  test('shows a QR code from which a camera reads the ticket', async () => {
    const desk = await Machine.make();
    const options = ['--listen', '127.0.0.1:0', '--qr'];
    const shown = new Terminal(['pair', ...options], { env: desk.env });
    const [, ticket] = await shown.shows(/(stt-pair:\S+)\n[\s\S]*\n▀{20,}/);
    const rows = shown.screen.split('\n').filter((line) => /^[█▀▄ ]{20,}$/.test(line));
    expect(decodeQR(pictureOf(rows))).toBe(ticket);
    shown.type('\u0003');
    expect(await shown.end()).toBe(130);
  });

  test.each([
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ])('%s at the prompt ends it in two lines: 130', async (_, key) => {
    const laptop = await Machine.make();
    const typing = new Terminal(['pair', '127.0.0.1:9'], { env: laptop.env });
    await typing.shows(/The twelve words, or the ticket:/);
    typing.type(key);
    expect(await typing.end()).toBe(130);
    expect(typing.screen).toMatch(/ended at the prompt; nothing was changed\.\nTry: .*$/);
    expect(await laptop.peers).toEqual([]);
  });

  test('what the other side says drives no terminal', async () => {
    const desk = await Machine.make();
    const shown = await showing(desk);
    const { PAIRING_PURPOSE } = await import('../../ts/cli/pairing/talk.ts');
    const stranger = await SttEndpoint.create({
      sharedSeed: seedOf(parseInvitation(shown.words).secret),
    });
    onTestFinished(() => stranger.destroy());
    const session = await stranger.connect(shown.at, { peerNodeId: 'any', transport: 'udp' });
    const stream = await session.createBidirectionalStream({ purpose: PAIRING_PURPOSE });
    const nodeId = 'a'.repeat(64);
    for (const message of [
      { name: 'x', nodeId, port: 7788, hosts: [] },
      { ok: false, why: '\u001b[2J\u009b2J\u202e' },
    ])
      await stream.writeMessage(Buffer.from(JSON.stringify(message)));
    const [line] = await shown.stt.said(/did not take the seed: .*\n/);
    // Nothing but what is seen, of any alphabet.
    expect(line.trimEnd()).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test('a list of peers that cannot be read is found before the seed crosses: 4', async () => {
    const [desk, laptop] = [await Machine.make(), await Machine.make()];
    await mkdir(laptop.config, { recursive: true });
    await writeFile(join(laptop.config, 'peers.json'), '{');
    const shown = await showing(desk);
    expect(await laptop.join(shown.words, shown.at)).toMatchObject({ code: 4 });
    expect(await readdir(laptop.config)).toEqual(['peers.json']);
  });
});

describe('stt peers, stt id', () => {
  test('loses none of many that are paired at once', async () => {
    const file = join(await temporaryFolder(), 'config', 'peers.json');
    const numbers = Array.from({ length: 12 }, (_, n) => n);
    await Promise.all(
      numbers.map((n) => {
        const nodeId = n.toString(16).padStart(64, '0');
        return addPeer({ name: `peer-${n}`, nodeId, hosts: [], port: 1, pairedAt: 0 }, file);
      }),
    );
    expect(await readPeers(file)).toHaveLength(12);
    expect(await readdir(join(file, '..'))).toEqual(['peers.json']);
  });

  test.skipIf(process.platform === 'win32')(
    'does not trust a list that others can write',
    async () => {
      const machine = await Machine.make();
      const file = join(machine.config, 'peers.json');
      const peer = { nodeId: 'ab'.repeat(32), hosts: ['10.0.0.1'], port: 7788, pairedAt: 0 };
      await addPeer({ name: 'desk', ...peer }, file);
      await chmod(file, 0o620);
      const { code, stderr } = await machine.run('peers');
      expect([code, stderr]).toEqual([
        4,
        expect.stringMatching(
          /^the list of peers .* can be written by others \(mode 620\)\.\nTry: chmod 600 /,
        ),
      ]);
    },
  );

  test('lists, forgets, and says so when there is none', async () => {
    const machine = await Machine.make();
    expect(await machine.run('peers')).toMatchObject({ code: 0, stdout: '' });
    const file = join(machine.config, 'peers.json');
    const peer = { nodeId: 'ab'.repeat(32), hosts: ['10.0.0.1'], port: 7788, pairedAt: 0 };
    expect(await addPeer({ name: 'desk', ...peer }, file)).toBe('desk');
    // Another machine does not get the name of the first; the same one, paired again, keeps one entry.
    expect(await addPeer({ name: 'desk', ...peer, nodeId: 'cd'.repeat(32) }, file)).toBe('desk-2');
    expect(await addPeer({ name: 'table', ...peer }, file)).toBe('table');
    const { stdout, records } = await machine.run('peers', '--json');
    expect(records.map(({ name }) => name)).toEqual(['desk-2', 'table']);
    expect(stdout).not.toContain('undefined');
    expect(await machine.run('peers', 'rm', 'TABLE')).toMatchObject({ code: 0 });
    expect(await machine.run('peers', 'rm', 'table')).toMatchObject({ code: 2 });
    expect((await machine.peers).map(({ name }) => name)).toEqual(['desk-2']);
    await writeFile(file, '{"schema":9}');
    expect(await machine.run('peers')).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/is not a file of peers.*\nTry: /s),
    });
  });

  test('the id is that of the listener on that port', async () => {
    const machine = await Machine.make();
    await machine.run('keygen');
    const folder = await temporaryFolder();
    const port = await closedPort();
    const recv = new Stt(['recv', folder, '--listen', `0.0.0.0:${port}`, '--json'], {
      env: machine.env,
    });
    await recv.record(({ event }) => event === 'listening');
    recv.child.kill('SIGINT');
    await recv.end();
    const again = new Stt(['recv', folder, '--listen', `0.0.0.0:${port}`, '--json'], {
      env: machine.env,
    });
    const { nodeId } = await again.record(({ event }) => event === 'listening');
    const { records } = await machine.run('id', '--port', String(port), '--json');
    expect(records[0]?.nodeId).toBe(nodeId);
  });

  test('a seed that others can read is refused: 4', async () => {
    const machine = await Machine.make();
    await mkdir(machine.config, { recursive: true });
    const path = await seedFile(machine.config);
    await chmod(path, 0o644);
    for (const args of [['id'], ['pair', '--print', '--listen', '127.0.0.1:0']]) {
      expect([args, await machine.run(...args)]).toEqual([
        args,
        expect.objectContaining({
          code: 4,
          stderr: expect.stringMatching(/can be read by others/),
        }),
      ]);
    }
  });
});

describe('names and invitations', () => {
  test('words and tickets give back what was put in', () => {
    const secret = Uint8Array.from({ length: 16 }, (_, index) => index * 17);
    expect(wordsOf(secret).split(' ')).toHaveLength(12);
    expect(Buffer.from(parseInvitation(`  ${wordsOf(secret)}\n`).secret)).toEqual(
      Buffer.from(secret),
    );
    const whole = {
      secret,
      nodeId: 'ab'.repeat(32),
      addresses: ['10.0.0.1:7788', '[fd00::1]:7788'],
    };
    const ticket = ticketOf(whole);
    expect(ticket).toMatch(/^stt-pair:[\w-]{22}@/);
    const { addresses, nodeId, secret: back } = parseInvitation(ticket);
    expect([addresses, nodeId, Buffer.from(back)]).toEqual([
      whole.addresses,
      whole.nodeId,
      Buffer.from(secret),
    ]);
    for (const bad of [
      'stt-pair:',
      `${ticket.slice(0, 20)}`,
      ticket.replace('ab', 'xx'),
      'stt-pair:AA@?%',
    ])
      expect(() => parseInvitation(bad)).toThrow(/not whole/);
  });

  test('a name from the network is one that no terminal and no shell reads', () => {
    const nodeId = '0123456789ab'.padEnd(64, 'f');
    for (const [from, name] of [
      ['Desk.example.org', 'desk'],
      ['\u001b[31mred', '31mred'],
      ['../../etc', 'peer-012345'],
      ['', 'peer-012345'],
      ['Büro PC', 'b-ro-pc'],
      ['x'.repeat(500), 'x'.repeat(40)],
    ] as const)
      expect([from, peerNameFrom(from, nodeId)]).toEqual([from, name]);
    for (const bad of ['', '-a', 'a b', 'a/b', 'ü', 'a'.repeat(64), '$HOME'])
      expect(parsePeerName(bad)).toBeUndefined();
    // Neither a person nor a peer gives a name that stands for another place.
    for (const address of ['localhost', 'a.localhost', '127.0.0.1', '10', '127.1', '0x7f.1'])
      expect([address, parsePeerName(address)]).toEqual([address, undefined]);
    expect(peerNameFrom('localhost', nodeId)).toBe('peer-012345');
    expect(peerNameFrom('127.0.0.1', nodeId)).toBe('peer-012345');
  });

  test('a second machine of the longest name leaves a list that can be read', async () => {
    const file = join(await temporaryFolder(), 'peers.json');
    const name = 'a'.repeat(63);
    const peer = { name, hosts: ['10.0.0.1'], port: 7788, pairedAt: 0 };
    expect(await addPeer({ ...peer, nodeId: 'ab'.repeat(32) }, file)).toBe(name);
    const second = await addPeer({ ...peer, nodeId: 'cd'.repeat(32) }, file);
    expect(second).toBe(`${'a'.repeat(61)}-2`);
    expect((await readPeers(file)).map((one) => one.name)).toEqual([second, name]);
  });

  test('what is no name is an address', async () => {
    expect(await resolvePeer('10.0.0.1')).toEqual({ address: '10.0.0.1:7788', peerNodeId: 'any' });
    expect(await resolvePeer('[::1]:5', 'any')).toMatchObject({ address: '[::1]:5' });
    await expect(resolvePeer('10.0.0.1', 'abc')).rejects.toThrow(/64 hex digits/);
  });
});
