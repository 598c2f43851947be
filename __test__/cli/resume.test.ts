import { readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chance, content, MIB, Stage } from './stage.ts';
import type { Stt } from './stt.ts';

/** What one break may cost: windows, and what the system and the two programs hold on its way to the disk. */
const LOST_AT_A_BREAK = 2 * MIB;

/** Kills a process, and resolves once it is gone. */
async function kill(process: Stt, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  process.child.kill(signal);
  await process.end();
}

/** A transfer of which so much has arrived when both sides are killed. */
async function abandoned(size: number, reached: number): Promise<Stage> {
  const stage = await Stage.make(content(reached, size));
  await stage.goFarAway();
  const [recv, send] = [await stage.recv(), stage.send()];
  await stage.reaches(reached);
  await Promise.all([kill(recv), kill(send)]);
  await stage.comeNear();
  return stage;
}

/** Both sides run again, to their good ends; what each says at its end. */
async function again(stage: Stage) {
  const recv = await stage.recv();
  const send = stage.send();
  const [sent, received] = [await send.end(), await recv.end()];
  expect([sent.code, received.code, sent.stderr, received.stderr]).toEqual([0, 0, '', '']);
  expect(await stage.received()).toEqual(stage.expected());
  return { sent: sent.records.at(-1), received: received.records.at(-1) };
}

describe('a transfer that is cut off', () => {
  test('goes on whenever the receiver is killed and started again', async () => {
    const draw = chance(0x51);
    const stage = await Stage.make(content(1, 24 * MIB));
    await stage.goFarAway();
    let recv = await stage.recv();
    const { nodeId } = await recv.record(({ event }) => event === 'listening');
    const send = stage.send('--peer-id', String(nodeId));
    for (const nth of [1, 2, 3]) {
      await stage.reaches(Math.trunc((nth + draw()) * 4 * MIB));
      await kill(recv);
      recv = await stage.recv();
      // The one that was pinned has come back.
      const again = await recv.record(({ event }) => event === 'listening');
      expect(again['nodeId']).toBe(nodeId);
    }
    const [sent, received] = [await send.end(), await recv.end()];
    expect([sent.code, received.code, received.stderr]).toEqual([0, 0, '']);
    expect(await stage.received()).toEqual(stage.expected());
    const last = sent.records.at(-1);
    expect(last).toMatchObject({ event: 'sent', verified: true, reconnects: 3 });
    expect(last?.['resumedFrom']).toBeGreaterThan(12 * MIB);
    expect(last?.['resumedFrom']).toBe(received.records.at(-1)?.['resumedFrom']);
    const twice = (last?.['bytesSent'] as number) - stage.bytes.length;
    expect(twice).toBeLessThan(3 * LOST_AT_A_BREAK);
    const offsets = sent.records.filter(({ event }) => event === 'resumed');
    expect(offsets).toHaveLength(3);
  });

  test('goes on when the sender is killed and run again', async () => {
    const stage = await Stage.make(content(2, 12 * MIB));
    await stage.goFarAway();
    const recv = await stage.recv();
    const first = stage.send();
    const reached = await stage.reaches(5 * MIB);
    await kill(first);
    await stage.comeNear();
    const sent = await stage.send().end();
    const received = await recv.end();
    expect([sent.code, received.code]).toEqual([0, 0]);
    expect(await stage.received()).toEqual(stage.expected());
    expect(sent.records.at(-1)?.['resumedFrom']).toBeGreaterThanOrEqual(reached);
    expect(received.records.at(-1)).toMatchObject({ event: 'received', reconnects: 1 });
  });

  test('goes on after SIGINT at the sender, which says how', async () => {
    const stage = await Stage.make(content(3, 12 * MIB));
    await stage.goFarAway();
    const recv = await stage.recv();
    const first = stage.send();
    await stage.reaches(4 * MIB);
    first.child.kill('SIGINT');
    const { code, stderr } = await first.end();
    expect(code).toBe(130);
    expect(stderr).toMatch(
      /^ended by SIGINT\.\nTry: [\d.]+ MiB of 12\.00 MiB were sent; to go on from there: stt send \S+data\.bin 127/m,
    );
    await recv.record(({ event }) => event === 'suspended');
    await stage.comeNear();
    const sent = await stage.send().end();
    expect([sent.code, (await recv.end()).code]).toEqual([0, 0]);
    expect(sent.records.at(-1)?.['resumedFrom']).toBeGreaterThan(4 * MIB);
    expect(await stage.received()).toEqual(stage.expected());
  });

  test('goes on where both sides were killed', async () => {
    const stage = await abandoned(12 * MIB, 5 * MIB);
    const { sent, received } = await again(stage);
    expect(sent?.['resumedFrom']).toBeGreaterThanOrEqual(5 * MIB);
    expect(received?.['resumedFrom']).toBe(sent?.['resumedFrom']);
    expect((sent?.['bytesSent'] as number) + (sent?.['resumedFrom'] as number)).toBe(12 * MIB);
  });

  test('begins again where the file has changed, or what stood there', async () => {
    for (const change of ['file', 'part'] as const) {
      const stage = await abandoned(8 * MIB, 3 * MIB);
      const part = stage.part();
      if (change === 'part') {
        await stage.damage(part?.name ?? '', 0);
      } else {
        stage.bytes = content(77, 8 * MIB);
        await writeFile(stage.file, stage.bytes);
      }
      expect((await again(stage)).sent).toMatchObject({ resumedFrom: 0, bytesSent: 8 * MIB });
    }
  });

  test('begins again where the disk did not keep what came before, and both sides hear why', async () => {
    const stage = await abandoned(8 * MIB, 3 * MIB);
    const { env } = stage;
    // As a system does: it tells once, and says that all is well from then on.
    const fault = `
      import { open } from 'node:fs/promises';
      const probe = await open('/dev/null');
      const file = Object.getPrototypeOf(probe);
      await probe.close();
      const { sync } = file;
      file.sync = async () => {
        file.sync = sync;
        throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO', syscall: 'fsync' });
      };`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(fault)}`;
    stage.env = { ...env, NODE_OPTIONS };
    const recv = await stage.recv();
    stage.env = env;
    const [sent, received] = [await stage.send().end(), await recv.end()];
    expect([sent.code, sent.stderr]).toEqual([
      5,
      expect.stringMatching(/EIO: data\.bin cannot be stored: .*\nTry: /),
    ]);
    expect([received.code, received.stderr]).toEqual([
      6,
      expect.stringMatching(
        /^EIO: data\.bin cannot be stored: .*\nTry: check the folder and its disk\.\n$/,
      ),
    ]);
    expect(await readdir(stage.inbox)).toEqual([]);
    expect((await again(stage)).sent).toMatchObject({ resumedFrom: 0, bytesSent: 8 * MIB });
  });

  test('goes on before the first byte that differs', async () => {
    const stage = await abandoned(12 * MIB, 7 * MIB);
    const part = stage.part();
    await stage.damage(part?.name ?? '', 4 * MIB + 5);
    expect((await again(stage)).sent).toMatchObject({ resumedFrom: 4 * MIB });
  });

  test('goes on behind the end of a file that has grown', async () => {
    const stage = await abandoned(8 * MIB, 3 * MIB);
    stage.bytes = Buffer.concat([stage.bytes, content(9, MIB)]);
    await writeFile(stage.file, stage.bytes);
    expect((await again(stage)).sent?.['resumedFrom']).toBeGreaterThanOrEqual(3 * MIB);
  });

  test('begins again with a file that is shorter than what stood there', async () => {
    const stage = await abandoned(8 * MIB, 5 * MIB);
    stage.bytes = stage.bytes.subarray(0, 2 * MIB + 7);
    await writeFile(stage.file, stage.bytes);
    const { sent } = await again(stage);
    expect(sent?.['resumedFrom']).toBeLessThanOrEqual(2 * MIB + 7);
  });

  test('is thrown away by --no-resume, there and for later', async () => {
    const stage = await abandoned(8 * MIB, 3 * MIB);
    const recv = await stage.recv();
    const sent = await stage.send('--no-resume').end();
    expect([sent.code, (await recv.end()).code]).toEqual([0, 0]);
    expect(sent.records.at(-1)).toMatchObject({ resumedFrom: 0, bytesSent: 8 * MIB });
    expect(await stage.received()).toEqual(stage.expected());
  });

  test('is waited for by its receiver, for its time and for its sender alone', async () => {
    const stage = await Stage.make(content(4, 12 * MIB));
    await stage.goFarAway();
    const recv = await stage.recv('--resume-timeout', '10s');
    const first = stage.send();
    await stage.reaches(2 * MIB);
    first.child.kill('SIGINT');
    await recv.record(({ event }) => event === 'suspended');
    const other = await stage.send('--name', 'other.bin').end();
    expect([other.code, other.stderr]).toEqual([
      5,
      expect.stringMatching(/^the receiver is busy: this receiver takes one file/m),
    ]);
    const { code, stderr } = await recv.end();
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(/^data\.bin was cut off .* did not return within 10 s\.\nTry: /m),
    ]);
    // What came is kept.
    expect(stage.part()?.length).toBeGreaterThanOrEqual(2 * MIB);
    await stage.comeNear();
    await again(stage);
  });

  test('is swept a week after its last byte', async () => {
    const stage = await Stage.make(content(5, 1_000));
    const old = new Date(Date.now() - 8 * 24 * 3_600_000);
    const [gone, kept] = ['0', '1'].map((digit) => `.stt-${digit.repeat(32)}.part`) as [
      string,
      string,
    ];
    const done = `.stt-${'2'.repeat(32)}.done`;
    // Of the same kind of name, and nobody's leavings.
    const others = ['.stt-notes.done', '.stt-x.part', `.stt-${'3'.repeat(31)}.part`];
    for (const name of [gone, kept, done, 'mine.part', ...others]) {
      await writeFile(join(stage.inbox, name), 'x');
      if (name !== kept) await utimes(join(stage.inbox, name), old, old);
    }
    const recv = await stage.recv();
    expect((await stage.send().end()).code).toBe(0);
    expect((await recv.end()).code).toBe(0);
    expect((await readdir(stage.inbox)).sort()).toEqual(
      [kept, ...others, 'data.bin', 'mine.part'].sort(),
    );
  });
});

describe('two at once', () => {
  test('a file that is on its way there is not sent there a second time', async () => {
    const stage = await Stage.make(content(6, 12 * MIB));
    await stage.goFarAway();
    const recv = await stage.recv();
    const first = stage.send();
    await stage.reaches(MIB);
    first.child.kill('SIGSTOP');
    await stage.comeNear();
    const second = await stage.send().end();
    first.child.kill('SIGCONT');
    expect([second.code, second.stderr]).toEqual([
      8,
      expect.stringContaining(`on its way there already: process ${first.child.pid} sends it`),
    ]);
    expect([(await first.end()).code, (await recv.end()).code]).toEqual([0, 0]);
    expect(await stage.received()).toEqual(stage.expected());
  });
});
