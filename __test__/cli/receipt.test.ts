import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ByteReader } from '../../ts/cli/transfer/byte-reader.ts';
import {
  type Answer,
  type Offer,
  readAnswer,
  readOffer,
  readReceipt,
  readStart,
  TRANSFER_PURPOSE,
  writeMessage,
} from '../../ts/cli/transfer/messages.ts';
import { SttEndpoint, type SttSession, type SttStream } from '../../ts/index.ts';
import { between, content, Stage, until } from './stage.ts';
import type { Stt } from './stt.ts';

const NODE_SEED = createHash('sha256').update('a node of this test').digest();
const SIZE = 300_000;

/** A sender that says what a test has it say, always the same node. */
class Puppet {
  readonly stage: Stage;
  offer: Omit<Offer, 'mode'>;
  readonly #endpoint: SttEndpoint;

  private constructor(stage: Stage, endpoint: SttEndpoint) {
    this.stage = stage;
    this.#endpoint = endpoint;
    this.offer = {
      name: 'data.bin',
      size: stage.bytes.length,
      modified: 1_700_000_000_000,
      transfer: '5a'.repeat(16),
      resume: true,
    };
  }

  static async make(stage: Stage, nodeSeed: Uint8Array = NODE_SEED): Promise<Puppet> {
    const sharedSeed = (await readFile(stage.seed, 'utf8')).trim();
    const endpoint = await SttEndpoint.create({ sharedSeed, nodeSeed });
    onTestFinished(() => endpoint.destroy());
    return new Puppet(stage, endpoint);
  }

  /** Offers, and returns the answer with what goes on from it. */
  async offers({ port = this.stage.port } = {}) {
    const address = { address: '127.0.0.1', port };
    const session = await this.#endpoint.connect(address, { peerNodeId: 'any' });
    const stream = await session.createBidirectionalStream({ purpose: TRANSFER_PURPOSE });
    const reader = new ByteReader(stream.batches());
    await writeMessage(stream, this.offer);
    const answer = await readAnswer(reader);
    const { bytes } = this.stage;
    /** Starts there and sends the rest, with its hash. */
    const sends = async (offset: number, digest = sha256Of(bytes)): Promise<void> => {
      await writeMessage(stream, { offset });
      await stream.write(bytes.subarray(offset));
      await stream.write(digest);
      await stream.end();
    };
    return { session, stream, reader, answer, sends };
  }
}

function sha256Of(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function marksOf(answer: Answer): number[] {
  return answer.accept ? answer.marks.map(({ length }) => length) : [];
}

/** Resolves once something of that kind is in the inbox. */
async function there(stage: Stage, wanted: (name: string) => boolean): Promise<void> {
  const look = async () => (await readdir(stage.inbox)).some(wanted) || undefined;
  await until(look, 'a file in the inbox');
}

/** A transfer that ends whole at the receiver, and whose receipt its sender never sees. */
async function loses(puppet: Puppet): Promise<void> {
  const relay = await between(puppet.stage.port);
  const { session, sends } = await puppet.offers({ port: relay.port });
  relay.deafen();
  const sending = sends(0).catch(() => undefined);
  await there(puppet.stage, (name) => name === 'data.bin');
  session.destroy();
  await sending;
}

test('a name of unfinished files is refused, whoever offers it', async () => {
  const stage = await Stage.make(content(1, 1_000));
  const puppet = await Puppet.make(stage);
  const recv = await stage.recv('--forever');
  for (const name of ['.stt-notes.part', `.STT-${'0'.repeat(32)}.done`]) {
    puppet.offer = { ...puppet.offer, name };
    const { answer, session } = await puppet.offers();
    expect([name, answer]).toEqual([
      name,
      expect.objectContaining({
        accept: false,
        why: expect.stringContaining('kept for unfinished files'),
      }),
    ]);
    await session.close();
  }
  expect(await readdir(stage.inbox)).toEqual([]);
  recv.child.kill('SIGINT');
  expect((await recv.end()).code).toBe(130);
});

describe('a receipt that is lost', () => {
  test.each([false, true])(
    'is given again; the receiver was killed meanwhile: %s',
    async (killed) => {
      // So short that nothing has to be acknowledged on the way.
      const stage = await Stage.make(content(1, 1_000));
      const puppet = await Puppet.make(stage);
      let recv = await stage.recv();
      const relay = await between(stage.port);
      const first = await puppet.offers({ port: relay.port });
      expect(marksOf(first.answer)).toEqual([]);
      relay.deafen();
      const sending = first.sends(0).catch(() => undefined);
      await there(stage, (name) => name === 'data.bin');
      expect((await readdir(stage.inbox)).some((name) => name.endsWith('.done'))).toBe(true);
      if (killed) {
        recv.child.kill('SIGKILL');
        await recv.end();
        recv = await stage.recv();
      }
      first.session.destroy();
      await sending;
      const second = await puppet.offers();
      expect(marksOf(second.answer)).toEqual([1_000]);
      await second.sends(1_000);
      expect(await readReceipt(second.reader)).toMatchObject({ ok: true, name: 'data.bin' });
      await second.session.close();
      const { code, records } = await recv.end();
      expect(code).toBe(0);
      expect(records.filter(({ event }) => event === 'received')).toHaveLength(1);
      expect(await stage.received()).toEqual(stage.expected());
    },
  );

  test.each([[[]], [['--overwrite']]])(
    'is not taken for that of a file that has grown since, which takes its place: %j',
    async (flags) => {
      const stage = await Stage.make(content(1, 1_000));
      const puppet = await Puppet.make(stage);
      const recv = await stage.recv(...flags);
      await loses(puppet);
      stage.bytes = Buffer.concat([stage.bytes, content(6, 500)]);
      puppet.offer = { ...puppet.offer, size: stage.bytes.length };
      const second = await puppet.offers();
      expect(marksOf(second.answer)).toEqual([]);
      await second.sends(0);
      const hash = stage.expected().sha256;
      expect(await readReceipt(second.reader)).toMatchObject({ ok: true, sha256: hash });
      await second.session.close();
      const { code, records } = await recv.end();
      expect(code).toBe(0);
      const received = records.filter(({ event }) => event === 'received');
      expect(received.map(({ bytes }) => bytes)).toEqual([1_000, 1_500]);
      expect(await stage.received()).toEqual(stage.expected());
    },
  );

  test('leaves a file alone that somebody has changed here since', async () => {
    const stage = await Stage.make(content(1, 1_000));
    const puppet = await Puppet.make(stage);
    const recv = await stage.recv('--forever');
    await loses(puppet);
    await writeFile(join(stage.inbox, 'data.bin'), 'mine now');
    puppet.offer = { ...puppet.offer, size: 1_500 };
    const { answer } = await puppet.offers();
    expect(answer).toMatchObject({ accept: false, why: expect.stringContaining('exists already') });
    expect(await readFile(join(stage.inbox, 'data.bin'), 'utf8')).toBe('mine now');
    recv.child.kill('SIGTERM');
    await recv.end();
  });

  test.each(['another hash', 'more'])('is not given for %s', async (what) => {
    const stage = await Stage.make(content(1, 1_000));
    const puppet = await Puppet.make(stage);
    const recv = await stage.recv('--forever');
    await loses(puppet);
    const { reader, stream, answer, session, sends } = await puppet.offers();
    expect(marksOf(answer)).toEqual([1_000]);
    if (what === 'more') {
      await writeMessage(stream, { offset: 1_000 });
      await stream.write(Buffer.concat([sha256Of(stage.bytes), Buffer.alloc(500)]));
    } else {
      await sends(1_000, Buffer.alloc(32));
    }
    expect(await readReceipt(reader)).toMatchObject({ ok: false, fault: 'hash' });
    session.destroy();
    recv.child.kill('SIGTERM');
    await recv.end();
  });

  test('of an empty file is given again', async () => {
    const stage = await Stage.make(Buffer.alloc(0));
    const puppet = await Puppet.make(stage);
    const recv = await stage.recv();
    await loses(puppet);
    const second = await puppet.offers();
    expect(marksOf(second.answer)).toEqual([]);
    await second.sends(0);
    expect(await readReceipt(second.reader)).toMatchObject({ ok: true, name: 'data.bin' });
    await second.session.close();
    expect((await recv.end()).code).toBe(0);
    expect(await stage.received()).toEqual(stage.expected());
  });

  test('is not waited for longer than --resume-timeout: the file is there', async () => {
    const stage = await Stage.make(content(2, 1_000));
    const puppet = await Puppet.make(stage);
    const recv = await stage.recv('--resume-timeout', '500ms');
    const relay = await between(stage.port);
    const first = await puppet.offers({ port: relay.port });
    relay.deafen();
    const sending = first.sends(0).catch(() => undefined);
    await there(stage, (name) => name === 'data.bin');
    first.session.destroy();
    await sending;
    expect((await recv.end()).code).toBe(0);
  });
});

describe('what a sender may do', () => {
  test('the bad offer of another ends no receiver of one file', async () => {
    const stage = await Stage.make(content(7, SIZE));
    const puppet = await Puppet.make(stage);
    const recv = await stage.recv('--max-size', '1mb');
    const { reader, session, sends } = await puppet.offers();
    const other = await Puppet.make(stage, createHash('sha256').update('another').digest());
    for (const bad of [{ name: '../data.bin' }, { size: 2 ** 40 }]) {
      other.offer = { ...puppet.offer, ...bad };
      const refused = await other.offers();
      expect(refused.answer).toMatchObject({ accept: false, busy: true });
      await refused.session.close().catch(() => undefined);
    }
    await sends(0);
    expect(await readReceipt(reader)).toMatchObject({ ok: true });
    await session.close();
    expect((await recv.end()).code).toBe(0);
    expect(await stage.received()).toEqual(stage.expected());
  });

  /** A part of which some is there, left by its sender. */
  async function left(): Promise<{ stage: Stage; puppet: Puppet; recv: Stt }> {
    const stage = await Stage.make(content(3, SIZE));
    const puppet = await Puppet.make(stage);
    const recv = await stage.recv('--forever');
    const { session, stream } = await puppet.offers();
    await writeMessage(stream, { offset: 0 });
    await stream.write(stage.bytes.subarray(0, 200_000));
    await stage.reaches(199_968);
    session.destroy();
    await recv.record(({ event }) => event === 'suspended');
    return { stage, puppet, recv };
  }

  test('another node does not get at a part, even with its transfer id', async () => {
    const { stage, puppet } = await left();
    const other = await Puppet.make(stage, createHash('sha256').update('another').digest());
    expect(marksOf((await other.offers()).answer)).toEqual([]);
    // The owner's is still there.
    expect(marksOf((await puppet.offers()).answer)).toEqual([199_968]);
  });

  test('the same node may come back before its old session is known to be dead', async () => {
    const { stage, puppet } = await left();
    const old = await puppet.offers();
    expect(marksOf(old.answer)).toEqual([199_968]);
    const fresh = await puppet.offers();
    expect(marksOf(fresh.answer)).toEqual([199_968]);
    expect((await old.session.settled).reason).toBe('error');
    await fresh.sends(199_968);
    expect(await readReceipt(fresh.reader)).toMatchObject({ ok: true });
    expect((await stage.received()).sha256).toBe(stage.expected().sha256);
  });

  test('a start that was not told ends the session, and what stands there stays', async () => {
    const { puppet } = await left();
    const { session, sends } = await puppet.offers();
    await sends(100_000).catch(() => undefined);
    await session.settled;
    expect(marksOf((await puppet.offers()).answer)).toEqual([199_968]);
  });

  test('a wrong hash throws everything away, so that the next try can be a good one', async () => {
    const { stage, puppet } = await left();
    const { reader, sends } = await puppet.offers();
    await sends(199_968, Buffer.alloc(32)).catch(() => undefined);
    expect(await readReceipt(reader)).toMatchObject({ ok: false, fault: 'hash' });
    expect(await readdir(stage.inbox)).toEqual([]);
    expect(marksOf((await puppet.offers()).answer)).toEqual([]);
  });
});

interface Offered {
  readonly session: SttSession;
  readonly stream: SttStream;
  /** What the sender says after its offer. */
  readonly reader: ByteReader;
}

/** A receiver that answers each offer of a session in a way of its own. */
async function receives(stage: Stage, answer: (offered: Offered) => Promise<unknown>) {
  const sharedSeed = (await readFile(stage.seed, 'utf8')).trim();
  const { port } = stage;
  const endpoint = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1', port });
  onTestFinished(() => endpoint.destroy());
  endpoint.serve(async (session) => {
    for await (const stream of session.incomingBidirectionalStreams) {
      const reader = new ByteReader(stream.batches());
      await readOffer(reader);
      await answer({ session, stream, reader });
    }
  });
}

describe('what a receiver may do', () => {
  test('one that takes the offer and goes away, again and again, is given up in time', async () => {
    const stage = await Stage.make(content(4, 4_000_000));
    let sessions = 0;
    await receives(stage, async ({ stream, reader, session }) => {
      sessions += 1;
      await writeMessage(stream, { accept: true, marks: [] });
      await readStart(reader);
      session.destroy('gone again');
    });
    const { code, stderr } = await stage.send('--resume-timeout', '8s').end();
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(/^0x02.*\nTry: .*; to go on from there: stt send /m),
    ]);
    expect(sessions).toBeGreaterThan(2);
    // With pauses: not at full speed.
    expect(sessions).toBeLessThan(40);
  });

  test.each([
    ['and never answers is given up in time', '2s', 0],
    ['and then says no is believed', '20s', 3],
  ])('one that goes away before it has answered %s', async (_what, patience, answers) => {
    const stage = await Stage.make(content(6, 10_000));
    let sessions = 0;
    await receives(stage, async ({ stream, session }) => {
      sessions += 1;
      if (sessions !== answers) return session.destroy('gone');
      await writeMessage(stream, { accept: false, busy: false, why: 'not today' });
      await stream.end();
    });
    const { code, stderr } = await stage.send('--resume-timeout', patience).end();
    const how = /^0x02.*\nTry: the receiver had not answered yet; to go on: stt send /m;
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(answers === 0 ? how : /^the receiver declined: not today/m),
    ]);
    if (answers > 0) expect(sessions).toBe(answers);
    else expect(sessions).toBeGreaterThan(1);
  });

  test('one that makes up what stands there is not believed', async () => {
    const stage = await Stage.make(content(5, 100_000));
    const starts: Promise<number>[] = [];
    await receives(stage, async ({ stream, reader }) => {
      const marks = [1_000, 100_000, 2 ** 40].map((length) => ({
        length,
        sha256: 'ab'.repeat(32),
      }));
      await writeMessage(stream, { accept: true, marks });
      starts.push(readStart(reader).then(({ offset }) => offset));
    });
    const send = stage.send('--no-resume');
    await expect.poll(() => starts.length).toBeGreaterThan(0);
    expect(await starts[0]).toBe(0);
    send.child.kill('SIGKILL');
  });
});
