import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { content, MIB, Stage } from './stage.ts';
import { STEP_MS, type Stt, stt } from './stt.ts';

const LONG = process.env['CI_LONG'] === '1';

/** Stops a process for a time; whatever happens to the test, it is killed at its end. */
async function freeze(process: Stt, milliseconds: number): Promise<void> {
  process.child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  process.child.kill('SIGCONT');
}

/** Both have ended well, and what was sent is there. */
async function arrives(stage: Stage, send: Stt, recv: Stt) {
  const [sent, received] = [await send.end(), await recv.end()];
  expect([sent.code, received.code, sent.stderr, received.stderr]).toEqual([0, 0, '', '']);
  expect(await stage.received()).toEqual(stage.expected());
  return { sent: sent.records.at(-1), received: received.records.at(-1) };
}

describe('a side that does not answer', () => {
  test.each(['receiver', 'sender'] as const)(
    'a %s that is stopped for longer than a session lives is found again',
    async (who) => {
      const stage = await Stage.make(content(1, 12 * MIB));
      await stage.goFarAway();
      stage.env = { ...stage.env, STT_KEEP_ALIVE_TIMEOUT: '1000' };
      const recv = await stage.recv();
      const send = stage.send('--timeout', '5s');
      await stage.reaches(4 * MIB);
      await freeze(who === 'receiver' ? recv : send, 4_000);
      const { sent, received } = await arrives(stage, send, recv);
      expect(sent?.['reconnects']).toBeGreaterThanOrEqual(1);
      expect(sent?.['resumedFrom']).toBeGreaterThanOrEqual(4 * MIB);
      expect(received?.['reconnects']).toBeGreaterThanOrEqual(1);
    },
  );

  test.runIf(LONG)(
    'a receiver that is stopped for 60 s, everything as it is by default',
    { timeout: 60_000 + 3 * STEP_MS },
    async () => {
      const stage = await Stage.make(content(2, 24 * MIB));
      await stage.goFarAway();
      const recv = await stage.recv();
      const send = stage.send();
      await stage.reaches(4 * MIB);
      await freeze(recv, 60_000);
      const { sent } = await arrives(stage, send, recv);
      expect(sent?.['reconnects']).toBeGreaterThanOrEqual(1);
      expect(sent?.['resumedFrom']).toBeGreaterThanOrEqual(4 * MIB);
    },
  );

  test('a receiver that does not come back is given up in time, resumably', async () => {
    const stage = await Stage.make(content(3, 12 * MIB));
    const link = await stage.goFarAway();
    const recv = await stage.recv();
    // The session itself takes 2.5 s of it to know that nobody is there.
    const send = stage.send('--resume-timeout', '10s');
    await stage.reaches(2 * MIB);
    recv.child.kill('SIGKILL');
    await link.refuse();
    const { code, stderr, records } = await send.end();
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(
        /^0x0102 CONNECTION_REFUSED: .*\nTry: .* of 12\.00 MiB were sent; to go on from there: stt send /m,
      ),
    ]);
    expect(records.at(-1)).toMatchObject({ event: 'error', codeName: 'CONNECTION_REFUSED' });
    expect(records.filter(({ event }) => event === 'reconnecting').length).toBeGreaterThan(2);
  });

  test('the deadline ends a transfer that goes on, resumably', async () => {
    const stage = await Stage.make(content(4, 64 * MIB));
    const recv = await stage.recv();
    await stage.goFarAway();
    const { code, stderr } = await stage.send('--deadline', '5s').end();
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(/^the deadline of 5 s passed .*\nTry: .* to go on from there: /m),
    ]);
    recv.child.kill('SIGTERM');
    expect((await recv.end()).code).toBe(143);
  });

  test('a pipe that is cut off says that it cannot be sent twice', async () => {
    const stage = await Stage.make(Buffer.alloc(0));
    await stage.goFarAway();
    const recv = await stage.recv();
    const { XDG_STATE_HOME } = stage.env;
    const yes = `head -c 64M /dev/zero | "$@"`;
    const { Stt: Process } = await import('./stt.ts');
    const send = new Process(
      ['send', '-', `127.0.0.1:${stage.via}`, '--seed-file', stage.seed, '--json'],
      { env: { ...stage.env, XDG_STATE_HOME }, wrapper: ['sh', '-c', yes, 'sh'] },
    );
    await stage.reaches(2 * MIB);
    recv.child.kill('SIGINT');
    expect((await recv.end()).code).toBe(130);
    const { code, stderr } = await send.end();
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(/^0x02.*\nTry: a pipe cannot be read twice/m),
    ]);
    // Nobody can come back for it.
    expect(await readdir(stage.inbox)).toEqual([]);
  });
});

describe('SIGTERM', () => {
  test('lets a transfer come to its end, at either side', async () => {
    for (const who of ['receiver', 'sender'] as const) {
      const stage = await Stage.make(content(5, 8 * MIB));
      const recv = await stage.recv('--drain', '25s');
      const send = stage.send('--drain', '25s');
      await stage.reaches(2 * MIB);
      (who === 'receiver' ? recv : send).child.kill('SIGTERM');
      const { sent } = await arrives(stage, send, recv);
      expect(sent).toMatchObject({ reconnects: 0, resumedFrom: 0 });
    }
  });

  test('ends a receiver at once that has nothing under way', async () => {
    const stage = await Stage.make(Buffer.alloc(0));
    const recv = await stage.recv('--drain', '1h', '--forever');
    recv.child.kill('SIGTERM');
    const { code, stderr } = await recv.end();
    expect([code, stderr]).toEqual([143, expect.stringMatching(/^ended by SIGTERM\.\nTry: /)]);
  });

  test('ends a transfer that takes longer, keeps what came, and its sender goes on', async () => {
    const stage = await Stage.make(content(6, 16 * MIB));
    await stage.goFarAway();
    const first = await stage.recv('--drain', '100ms');
    const send = stage.send();
    await stage.reaches(3 * MIB);
    first.child.kill('SIGTERM');
    const { code } = await first.end();
    expect(code).toBe(143);
    const kept = stage.part();
    // Nobody's any more: its name has no owner in it.
    expect(kept?.name).toMatch(/^\.stt-[0-9a-f]{32}\.part$/);
    const { sent } = await arrives(stage, send, await stage.recv());
    expect(sent).toMatchObject({ reconnects: 1, resumedFrom: kept?.length });
  });

  test('a second signal does not wait', async () => {
    const stage = await Stage.make(content(7, 64 * MIB));
    await stage.goFarAway();
    const recv = await stage.recv('--drain', '1h');
    const send = stage.send();
    await stage.reaches(MIB);
    recv.child.kill('SIGTERM');
    // It takes nobody else from then on, which shows that the first has come.
    const other = await stage.send('--name', 'other').end();
    expect(other.code).not.toBe(0);
    recv.child.kill('SIGTERM');
    expect((await recv.end()).code).toBe(143);
    send.child.kill('SIGKILL');
  });
});

describe('the node seed', () => {
  const listen = (stage: Stage, ...more: string[]): Promise<Stt> => stage.recv(...more);
  const nodeOf = async (recv: Stt): Promise<string> => {
    const { nodeId } = await recv.record(({ event }) => event === 'listening');
    recv.child.kill('SIGKILL');
    await recv.end();
    return String(nodeId);
  };

  test('is made once, for its owner alone, and makes ids that last', async () => {
    const stage = await Stage.make(Buffer.alloc(0));
    const path = join(stage.folder, 'state', 'stt', 'node-seed');
    const first = await nodeOf(await listen(stage));
    const { mode } = await stat(path);
    expect(mode & 0o777).toBe(0o600);
    const text = await readFile(path, 'utf8');
    expect(text).toMatch(/^[0-9a-f]{64}\n$/);
    expect(await nodeOf(await listen(stage))).toBe(first);
    expect(await readFile(path, 'utf8')).toBe(text);
    expect(await readdir(join(stage.folder, 'state', 'stt'))).toEqual(['node-seed']);
    // Another secret, named in either way, is another node.
    const other = join(stage.folder, 'other');
    const second = await nodeOf(await listen(stage, '--node-seed-file', other));
    expect(second).not.toBe(first);
    stage.env = { ...stage.env, STT_NODE_SEED_FILE: other };
    expect(await nodeOf(await listen(stage))).toBe(second);
  });

  test('is refused when others can read it, and when it is none: 4', async () => {
    const stage = await Stage.make(Buffer.alloc(0));
    const path = join(stage.folder, 'mine');
    const attempt = () =>
      stt(['recv', stage.inbox, '--seed-file', stage.seed, '--node-seed-file', path]);
    await writeFile(path, `${'ab'.repeat(32)}\n`, { mode: 0o600 });
    await chmod(path, 0o640);
    const open = await attempt();
    expect([open.code, open.stderr]).toEqual([
      4,
      expect.stringMatching(/^the node seed file \S+ can be read by others \(mode 640\)\.\nTry: /),
    ]);
    await chmod(path, 0o600);
    for (const [text, why] of [
      ['abcdef', /has 3 bytes; 32 or more are needed/],
      ['not a seed', /does not hold a seed/],
      ['00'.repeat(32), /^the node seed in \S+ is refused: .*placeholder/],
    ] as const) {
      await writeFile(path, text);
      const { code, stderr } = await attempt();
      expect([code, stderr]).toEqual([4, expect.stringMatching(why)]);
    }
  });

  test('that cannot be kept is said, and one that was named has to be', async () => {
    const stage = await Stage.make(Buffer.from('x'));
    // A file where a folder should be.
    stage.env = { ...stage.env, XDG_STATE_HOME: stage.seed };
    const recv = await stage.recv();
    const args = ['send', stage.file, `127.0.0.1:${stage.port}`, '--seed-file', stage.seed];
    const sent = await stt(args, { env: stage.env });
    expect([sent.code, sent.stderr]).toEqual([
      0,
      expect.stringMatching(/^no lasting node id, so nothing can be resumed later: E/),
    ]);
    expect((await recv.end()).code).toBe(0);
    const named = await stt([...args, '--node-seed-file', join(stage.seed, 'no')], {
      env: stage.env,
    });
    expect([named.code, named.stderr]).toEqual([
      6,
      expect.stringMatching(/^cannot use the node seed file .*(ENOTDIR|EEXIST)/),
    ]);
  });
});
