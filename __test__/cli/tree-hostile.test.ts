// A sender of folders that says what a test has it say: nothing of it may come out of the inbox, or stay there.

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ByteReader } from '../../ts/cli/transfer/byte-reader.ts';
import { encodeMessage, writeMessage } from '../../ts/cli/transfer/messages.ts';
import { Digests } from '../../ts/cli/transfer/tree/digests.ts';
import { Folder, FolderCache } from '../../ts/cli/transfer/tree/folders.ts';
import type { Entry } from '../../ts/cli/transfer/tree/manifest.ts';
import {
  encodeEntry,
  linkProblem,
  Manifest,
  ManifestError,
} from '../../ts/cli/transfer/tree/manifest.ts';
import {
  LANE_PURPOSE,
  readHave,
  readTreeAnswer,
  readTreeReceipt,
  TREE_PURPOSE,
  type TreeAnswer,
} from '../../ts/cli/transfer/tree/messages.ts';
import { SttEndpoint } from '../../ts/index.ts';
import { between, Stage, until } from './stage.ts';
import { temporaryFolder } from './stt.ts';

const NODE_SEED = createHash('sha256').update('a node of this test').digest();
const BASE = {
  kind: 'folder',
  parent: -1,
  size: 0,
  modified: 1_000,
  mode: 0o755,
  target: '',
} as const;
const folder = (name: string, parent = -1): Entry => ({ ...BASE, name, parent });
const file = (name: string, parent: number, size: number): Entry => ({
  ...BASE,
  kind: 'file',
  name,
  parent,
  size,
});
const link = (name: string, parent: number, target: string): Entry => ({
  ...BASE,
  kind: 'link',
  name,
  parent,
  target,
});
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** One file on a lane, whatever it says of itself. */
function onLane(index: number, bytes: Buffer, sha256 = hashOf(bytes)): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  const body = bytes.length === 0 ? [] : [length, bytes];
  return Buffer.concat([
    encodeMessage({ file: index }),
    ...body,
    Buffer.alloc(4),
    encodeMessage({ sha256 }),
  ]);
}

class Puppet {
  readonly #stage: Stage;
  readonly #endpoint: SttEndpoint;

  private constructor(stage: Stage, endpoint: SttEndpoint) {
    this.#stage = stage;
    this.#endpoint = endpoint;
  }

  static async make(stage: Stage): Promise<Puppet> {
    const sharedSeed = (await readFile(stage.seed, 'utf8')).trim();
    const endpoint = await SttEndpoint.create({ sharedSeed, nodeSeed: NODE_SEED });
    onTestFinished(() => endpoint.destroy());
    return new Puppet(stage, endpoint);
  }

  /** Offers entries as they are given, and returns the answer with what goes on from it. */
  async offers(entries: readonly unknown[], port: number = this.#stage.port) {
    const address = { address: '127.0.0.1', port };
    const session = await this.#endpoint.connect(address, { peerNodeId: 'any' });
    const stream = await session.createBidirectionalStream({ purpose: TREE_PURPOSE });
    const reader = new ByteReader(stream.batches());
    await writeMessage(stream, { transfer: '5a'.repeat(16), resume: true });
    // A receiver that has had enough stops it.
    const writing = (async () => {
      for (const entry of entries) await writeMessage(stream, { batch: [entry] });
      await writeMessage(stream, { batch: [] });
    })().catch(() => undefined);
    const answer = await readTreeAnswer(reader);
    await writing;
    const whole = answer.accept && answer.complete === null;
    const have = whole ? await readHave(reader, entries.length) : new Map<number, string>();
    if (answer.accept) await writeMessage(stream, { files: 0, bytes: 0 });
    const lane = async (...pieces: Buffer[]): Promise<void> => {
      const opened = await session.createBidirectionalStream({ purpose: LANE_PURPOSE });
      for (const piece of pieces) await opened.write(piece);
      await opened.end();
    };
    const finish = async () => {
      await writeMessage(stream, { failed: 0 }).catch(() => undefined);
      return readTreeReceipt(reader);
    };
    return { session, reader, stream, answer, have, lane, finish };
  }
}

async function stageWith(...flags: string[]) {
  const stage = await Stage.make(Buffer.alloc(0));
  stage.env = { XDG_STATE_HOME: join(stage.folder, 'state') };
  const recv = await stage.recv(...flags);
  return { stage, recv, puppet: await Puppet.make(stage) };
}

const why = (answer: TreeAnswer): string => (answer.accept ? 'accepted' : answer.why);

describe('a manifest', () => {
  const made = (...entries: Entry[]): Manifest => {
    const manifest = new Manifest({ maxBytes: 1_000, maxEntries: 10 });
    for (const entry of entries) manifest.add(entry);
    return manifest;
  };

  test.each<[string, RegExp, Entry[]]>([
    [
      'a file through a link',
      /in something that is no folder/,
      [folder('r'), link('l', 0, 'x'), file('f', 1, 1)],
    ],
    [
      'a file in a file',
      /in something that is no folder/,
      [folder('r'), file('x', 0, 1), file('f', 1, 1)],
    ],
    ['a file in what comes later', /in something that is no folder/, [file('f', 5, 1)]],
    ['a name that leads up', /names a folder/, [folder('r'), file('..', 0, 1)]],
    ['a name with a slash', /separator/, [folder('r'), file('a/b', 0, 1)]],
    ['an absolute name', /separator/, [file('/etc/passwd', -1, 1)]],
    ['a name of ours', /kept for unfinished/, [folder('.stt-x')]],
    ['the same name', /there twice/, [folder('r'), file('a', 0, 1), file('a', 0, 1)]],
    ['a name in other case', /there twice/, [folder('r'), file('Ä', 0, 1), folder('ä', 0)]],
    [
      'a name in another form',
      /there twice/,
      [folder('r'), file('\u00e9', 0, 1), file('e\u0301', 0, 1)],
    ],
    [
      'a name that folds',
      /there twice/,
      [folder('r'), file('straße', 0, 1), file('STRASSE', 0, 1)],
    ],
    ['a ligature', /there twice/, [folder('r'), file('\ufb01x', 0, 1), file('fix', 0, 1)]],
    ['a root in other case', /there twice/, [folder('r'), folder('R')]],
    ['too many bytes', /more than 1000 B in all/, [file('a', -1, 600), file('b', -1, 600)]],
    [
      'too many entries',
      /more than 10 files/,
      Array.from({ length: 11 }, (_, n) => folder(`${n}`)),
    ],
    ['a link beside its root', /out of the tree/, [link('l', -1, 'x')]],
    ['a link that leads out', /out of the tree/, [folder('r'), link('l', 0, '../x')]],
    ['an absolute link', /absolute/, [folder('r'), link('l', 0, '/etc')]],
    [
      'a link that turns round',
      /after a name/,
      [folder('r'), folder('a', 0), link('l', 1, 'b/../../..')],
    ],
  ])('with %s is refused', (_name, message, entries) => {
    expect(() => made(...entries)).toThrow(message);
  });

  test('deeper, or longer in all, than is bearable is refused', () => {
    const deep = new Manifest({ maxBytes: 1 });
    expect(() => {
      for (let at = -1; ; ) at = deep.add(folder('d', at));
    }).toThrow(/path .* too long/);
    const long = new Manifest({ maxBytes: 1 });
    const root = long.add(folder('r'));
    expect(() => {
      for (let n = 0; ; n += 1)
        long.add(link(`${n}`, root, 'x'.repeat(255).concat('/y'.repeat(1_300))));
    }).toThrow(ManifestError);
    expect(long.entries.length).toBeLessThan(30_000);
  });

  test('takes permissions, and no more of a mode', () => {
    const manifest = made({ ...file('f', -1, 0), mode: 0o7755 });
    expect(manifest.entries[0]?.mode).toBe(0o755);
  });

  test('has no links that together lead out, whatever they are', () => {
    const part = fc.constantFrom('..', '..', 'a', 'b', 'c', '.');
    const target = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
    const spot = fc.constantFrom('r', 'r/a', 'r/a/b', 'r/a/b/c');
    const name = fc.constantFrom('x', 'y', 'z');
    const some = fc.array(fc.record({ spot, name, target }), { maxLength: 6 });
    fc.assert(
      fc.property(some, (all) => {
        const links = new Map<string, string>();
        for (const { spot: at, name: own, target: to } of all) {
          const through = to.replace(/[abc]/g, (letter) => 'xyz'['abc'.indexOf(letter)] as string);
          for (const candidate of [to, through])
            if (linkProblem(at.split('/').length, candidate) === undefined)
              links.set(`${at}/${own}`, candidate);
        }
        for (const path of links.keys()) {
          // As the system goes: step by step, dots after links are followed.
          let here = '';
          const steps = path.split('/');
          for (let n = 0; steps.length > 0 && n < 40; n += 1) {
            const step = steps.shift() as string;
            if (step === '.') continue;
            if (step === '..') {
              expect(here).not.toBe('r');
              here = posix.dirname(here);
              continue;
            }
            here = here === '' ? step : `${here}/${step}`;
            const to = links.get(here);
            if (to === undefined) continue;
            here = posix.dirname(here);
            steps.unshift(...to.split('/'));
          }
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

test('a folder of the tree is not opened through a link, whenever it was put there', async () => {
  const top = await temporaryFolder();
  await mkdir(join(top, 'tree/a/b'), { recursive: true });
  await mkdir(join(top, 'outside/b'), { recursive: true });
  const root = await Folder.open(join(top, 'tree'));
  const steps = [
    { parent: -1, name: 'a' },
    { parent: 0, name: 'b' },
    { parent: -1, name: 'link' },
    { parent: 2, name: 'b' },
  ];
  const folders = new FolderCache(root, (index) => steps[index] as (typeof steps)[number]);
  await symlink(join(top, 'outside'), join(top, 'tree/link'));
  await expect(folders.with(3, async () => undefined)).rejects.toThrow(/link in the place/);
  await folders.with(1, (inner) => writeFile(inner.at('x'), 'x'));
  expect(await readdir(join(top, 'tree/a/b'))).toEqual(['x']);
  expect(await readdir(join(top, 'outside/b'))).toEqual([]);
  await folders.close();
  await root.close();
});

describe('a hostile sender', () => {
  test.each<[string, RegExp, () => unknown[]]>([
    [
      'a file through a link',
      /no folder/,
      () => [folder('r'), link('l', 0, 'x'), file('f', 1, 1)].map(encodeEntry),
    ],
    ['a name that leads out', /file name/, () => [encodeEntry(folder('..'))]],
    ['nonsense', /malformed manifest/, () => [[9, {}, null]]],
    ['a negative size', /malformed manifest/, () => [encodeEntry(file('f', -1, -1))]],
    [
      'a time beyond all times',
      /malformed manifest/,
      () => [encodeEntry({ ...folder('f'), modified: 2 ** 53 - 1 })],
    ],
    ['nothing', /nothing in it/, () => []],
    ['more than fits anywhere', /the disk has/, () => [encodeEntry(file('f', -1, 2 ** 52))]],
  ])('that offers %s is told so, and nothing is made', async (_name, message, entries) => {
    const { stage, recv, puppet } = await stageWith();
    const { answer } = await puppet.offers(entries());
    expect(why(answer)).toMatch(message);
    expect((await recv.end()).code).toBeGreaterThan(0);
    expect((await readdir(stage.inbox)).filter((name) => !name.startsWith('.stt-'))).toEqual([]);
  });

  const OFFER = [folder('r'), file('f', 0, 5), file('g', 0, 5)].map(encodeEntry);
  const five = Buffer.from('12345');

  test.each<[string, Buffer[]]>([
    ['a folder as a file', [onLane(0, five)]],
    ['what was not offered', [onLane(7, five)]],
    ['one file twice', [onLane(1, five), onLane(1, five)]],
    ['more than it announced', [onLane(1, Buffer.from('123456'))]],
    ['less than it announced', [onLane(1, Buffer.from('1234'))]],
    ['another hash', [onLane(1, five, 'ab'.repeat(32))]],
    ['a chunk without end', [encodeMessage({ file: 1 }), Buffer.from('ffffffff', 'hex')]],
    ['not all of it', [onLane(1, five)]],
  ])('that sends %s has nothing placed', async (_name, pieces) => {
    const { stage, recv, puppet } = await stageWith();
    const { lane, finish, answer, session } = await puppet.offers(OFFER);
    expect(answer.accept).toBe(true);
    await lane(...pieces).catch(() => undefined);
    const receipt = await finish().catch(() => undefined);
    if (receipt !== undefined) expect(receipt.ok).toBe(false);
    session.destroy();
    recv.child.kill('SIGTERM');
    expect((await recv.end()).code).toBeGreaterThan(0);
    expect((await readdir(stage.inbox)).filter((name) => !name.startsWith('.stt-'))).toEqual([]);
  });

  test('that sends one wrong hash has the rest of the tree kept', async () => {
    const { recv, puppet } = await stageWith('--forever');
    const first = await puppet.offers(OFFER);
    // On one lane, so that the first is whole before the second is wrong.
    const pieces = [onLane(1, five), onLane(2, five, 'ab'.repeat(32))];
    await first.lane(...pieces).catch(() => undefined);
    expect(await first.finish().catch(() => ({ ok: false }))).toMatchObject({ ok: false });
    first.session.destroy();
    await recv.record(({ event }) => event === 'error');
    const again = await puppet.offers(OFFER);
    expect([...again.have.keys()]).toEqual([1]);
    again.session.destroy();
    recv.child.kill('SIGTERM');
    await recv.end();
  });

  test('has no use of a link that stands where its unfinished folder would', async () => {
    const { stage, recv, puppet } = await stageWith('--forever');
    const first = await puppet.offers(OFFER);
    first.session.destroy();
    await recv.record(({ event }) => event === 'suspended');
    const name = (await readdir(stage.inbox)).find((found) => found.endsWith('.tree')) as string;
    const outside = join(stage.folder, 'outside');
    await mkdir(outside);
    // Somebody here lays a link inside; the next session makes a folder of it again.
    const inner = join(stage.inbox, name, 'tree', 'r');
    await import('node:fs/promises').then(({ rm }) => rm(inner, { recursive: true }));
    await symlink(outside, inner);
    const { lane, finish } = await puppet.offers(OFFER);
    await lane(onLane(1, five), onLane(2, five));
    expect(await finish()).toMatchObject({ ok: true, names: ['r'] });
    expect(await readdir(outside)).toEqual([]);
    expect((await readdir(join(stage.inbox, 'r'))).sort()).toEqual(['f', 'g']);
    recv.child.kill('SIGTERM');
    await recv.end();
  });
});

describe('a sender of a folder', () => {
  const bytes = Buffer.from('12345');
  const entries = [folder('r'), file('f', 0, 5), link('l', 0, 'f')];

  test('that lost its receipt gets it again, and the tree is not sent again', async () => {
    const { stage, recv, puppet } = await stageWith();
    const relay = await between(stage.port);
    const first = await puppet.offers(entries.map(encodeEntry), relay.port);
    await first.lane(onLane(1, bytes));
    relay.deafen();
    void first.finish().catch(() => undefined);
    const done = async () =>
      (await readdir(stage.inbox)).some((name) => name.endsWith('.done')) || undefined;
    await until(done, 'all of it to stand there');
    first.session.destroy();
    const second = await puppet.offers(entries.map(encodeEntry));
    const manifest = new Manifest({ maxBytes: 5 });
    for (const entry of entries) manifest.add(entry);
    const digests = new Digests(3);
    digests.set(1, hashOf(bytes));
    const sha256 = digests.total(manifest.digest());
    expect(second.answer).toEqual({ accept: true, complete: sha256 });
    expect(await second.finish()).toEqual({ ok: true, names: ['r'], sha256 });
    await second.session.close();
    const { code, records } = await recv.end();
    expect(code).toBe(0);
    expect(records.filter(({ event }) => event === 'received')).toHaveLength(1);
    expect(await readdir(stage.inbox)).toEqual(['r']);
    expect(await readlink(join(stage.inbox, 'r/l'))).toBe('f');
  });

  test('is told the hashes of what stands here, and what was damaged meanwhile comes again', async () => {
    const { stage, recv, puppet } = await stageWith('--forever');
    const first = await puppet.offers(entries.map(encodeEntry));
    await first.lane(onLane(1, bytes));
    // That it has arrived is not yet that somebody has read it.
    const stands = async () => {
      const tree = (await readdir(stage.inbox)).find((found) => found.endsWith('.tree')) ?? '';
      const text = await readFile(join(stage.inbox, tree, 'tree/r/f'), 'utf8').catch(() => '');
      return text === '12345' || undefined;
    };
    await until(stands, 'the file to stand there');
    first.session.destroy();
    await recv.record(({ event }) => event === 'suspended');
    const again = await puppet.offers(entries.map(encodeEntry));
    expect([...again.have]).toEqual([[1, hashOf(bytes)]]);
    again.session.destroy();
    const name = (await readdir(stage.inbox)).find((found) => found.endsWith('.tree')) as string;
    await writeFile(join(stage.inbox, name, 'tree/r/f'), '1x345');
    const third = await puppet.offers(entries.map(encodeEntry));
    expect([...third.have]).toEqual([[1, hashOf(Buffer.from('1x345'))]]);
    await third.lane(onLane(1, bytes));
    expect(await third.finish()).toMatchObject({ ok: true });
    expect(await readFile(join(stage.inbox, 'r/f'), 'utf8')).toBe('12345');
    recv.child.kill('SIGTERM');
    await recv.end();
  });
});
