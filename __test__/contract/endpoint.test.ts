import { execFile } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { generateSeed } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, next, pair, streamPair } from './pair.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Runs a module in a process of its own that must end by itself; gives what it printed. */
async function script(body: string): Promise<string> {
  const source = `import { SttEndpoint, generateSeed } from '@seigr/stt';\n${body}`;
  const args = ['--input-type=module', '--eval', source];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: root,
    timeout: 60_000,
  });
  return stdout.trim();
}

describe('listen', () => {
  test('a second listen or serve throws while the first lasts', async () => {
    const server = await endpoint();
    const listener = server.listen();
    expect(() => server.listen()).toThrowError(/listens already/);
    expect(() => server.serve(() => {})).toThrowError(/listens already/);
    listener.close();
    server.listen();
  });

  test('leaving the loop stops accepting; its sessions live on', async () => {
    const both = await pair();
    const sharedSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    const client = await endpoint({ sharedSeed });
    const connect = client.connect(server.address, { peerNodeId: server.nodeId });
    for await (const session of server.listen()) {
      expect(session.peerNodeId).toBe(client.nodeId);
      break;
    }
    const session = await connect;
    expect(await session.ping()).toBeGreaterThan(0);
    await expect(
      client.connect(server.address, { peerNodeId: server.nodeId, timeout: 500 }),
    ).rejects.toMatchObject({ category: 'connection' });
    expect(await both.session.ping()).toBeGreaterThan(0);
  });

  test('a signal stops accepting and ends the iteration', async () => {
    const server = await endpoint();
    const controller = new AbortController();
    const over = (async () => {
      for await (const _ of server.listen({ signal: controller.signal }));
      return 'over';
    })();
    controller.abort();
    expect(await over).toBe('over');
  });

  test('bad options are refused by name', async () => {
    const server = await endpoint();
    const bad = [
      { backlog: 0 },
      { maxSessions: -1 },
      { maxRatePerPeer: 0 },
      { authorize: true },
      { signal: 1 },
    ];
    for (const options of bad) {
      expect(() => server.listen(options as never)).toThrowError(
        expect.objectContaining({ option: Object.keys(options)[0] }),
      );
    }
    server.listen();
  });
});

describe('close and destroy', () => {
  test('close drains what was written, ends every session, and is told to the peers', async () => {
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    const read = incoming.bytes();
    void opened.write(Buffer.alloc(1_000_000));
    void opened.end();
    await both.client.close();
    expect((await read).length).toBe(1_000_000);
    expect(await both.accepted.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
    expect(await both.session.closed).toMatchObject({ reason: 'graceful', initiator: 'local' });
    await both.client.closed;
    await both.client.close();
  });

  test('after the end every call says so, and nothing hangs', async () => {
    const closed = await endpoint();
    await closed.close();
    expect(() => closed.listen()).toThrowError(/closed/);
    await expect(closed.connect('127.0.0.1:1', { peerNodeId: 'any' })).rejects.toThrowError(
      /closed/,
    );
    expect(closed.stats()).toBeUndefined();
    expect(closed.hasRef()).toBe(false);
    closed.destroy();
    closed.ref().unref();
  });

  test('destroy ends pending connects, sessions and loops at once', async () => {
    const both = await pair();
    const loop = (async () => {
      for await (const _ of both.accepted.incomingBidirectionalStreams);
    })();
    both.server.destroy();
    await expect(loop).rejects.toMatchObject({ code: 0x0201, reason: 'error' });
    await expect(both.accepted.closed).rejects.toMatchObject({ code: 0x0201 });
    await both.server.closed;
  });

  test('the port is free again after close', async () => {
    const port = await closedPort();
    const first = await endpoint({ port });
    await first.close();
    expect((await endpoint({ port })).address.port).toBe(port);
  });

  test('await using has what it needs', async () => {
    const both = await pair();
    const { opened } = await streamPair(both);
    await opened[Symbol.asyncDispose]();
    await both.session[Symbol.asyncDispose]();
    await both.client[Symbol.asyncDispose]();
    expect(await both.session.closed).toMatchObject({ reason: 'graceful' });
  });
});

describe('the process', () => {
  test('is not held by an endpoint that never listened and has no session', async () => {
    const body = `await SttEndpoint.create({ sharedSeed: generateSeed() }); console.log('made')`;
    expect(await script(body)).toBe('made');
  });

  test('is not held by a listening endpoint that is unref’d', async () => {
    const body = `
      const e = await SttEndpoint.create({ sharedSeed: generateSeed(), host: '127.0.0.1' });
      e.serve(() => {}); console.log(e.hasRef()); e.unref(); console.log(e.hasRef());`;
    expect(await script(body)).toBe('true\nfalse');
  });

  test('is held until close() has resolved', async () => {
    const body = `
      const e = await SttEndpoint.create({ sharedSeed: generateSeed(), host: '127.0.0.1' });
      await e.close(); console.log('closed');`;
    expect(await script(body)).toBe('closed');
  });

  test('is held by a session until it closes', async () => {
    const body = `
      const sharedSeed = generateSeed();
      const s = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1' });
      s.serve(async (session) => { await session.settled; s.unref(); }); s.unref();
      const c = await SttEndpoint.create({ sharedSeed });
      const session = await c.connect(s.address, { peerNodeId: s.nodeId });
      console.log(c.hasRef());
      setTimeout(async () => { await session.close(); console.log(c.hasRef()); }, 100).unref();`;
    expect(await script(body)).toBe('true\nfalse');
  });
});

describe('events', () => {
  test('sessionClosed tells how every session ended; a listener that throws breaks nothing', async () => {
    const both = await pair();
    const warned = new Promise((resolve) => process.once('warning', resolve));
    const told = new Promise((resolve) => {
      both.server.once('sessionClosed', () => {
        throw new Error('mine');
      });
      both.server.once('sessionClosed', resolve);
    });
    await both.session.close();
    expect(await told).toMatchObject({ reason: 'graceful', session: both.accepted });
    expect(await warned).toMatchObject({ code: 'STT_CALLBACK' });
  });

  test('diagnostics channels see sessions and streams come and go', async () => {
    const seen: { name: string; session: unknown }[] = [];
    const names = [
      'stt.session.opened',
      'stt.stream.opened',
      'stt.stream.closed',
      'stt.session.closed',
    ];
    for (const name of names) {
      const note = (message: unknown): void =>
        void seen.push({ name, session: (message as { session: unknown }).session });
      channel(name).subscribe(note);
      onTestFinished(() => void channel(name).unsubscribe(note));
    }
    const both = await pair();
    const { opened, incoming } = await streamPair(both);
    await Promise.all([opened.end(), incoming.end(), opened.text(), incoming.text()]);
    await both.session.close();
    await both.accepted.closed;
    // Those of tests before may still end.
    const sides: unknown[] = [both.session, both.accepted];
    for (const name of names) {
      const told = seen.filter((other) => other.name === name && sides.includes(other.session));
      expect([name, told.length]).toEqual([name, 2]);
    }
  });

  test('a listener that was taken off hears nothing', async () => {
    const { server, session, accepted } = await pair();
    let heard = 0;
    const hear = (): void => {
      heard += 1;
    };
    server.on('sessionClosed', hear).off('sessionClosed', hear);
    await session.close();
    await accepted.settled;
    expect(heard).toBe(0);
  });
});

test('an endpoint serves and connects at the same time', async () => {
  const both = await pair();
  const back = both.client.listen();
  const [session, incoming] = await Promise.all([
    both.server.connect(both.client.address, { peerNodeId: both.client.nodeId }),
    next(back),
  ]);
  expect(session.id).toBe(incoming.id);
});
