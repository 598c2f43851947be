import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, relay } from '../contract/pair.ts';
import { content, MIB, sha256, until } from './stage.ts';
import { stt, temporaryFolder } from './stt.ts';
import { Terminal } from './terminal.ts';
import { all, dial, echo, exchange, failure, refused, Tunnel, tcpTarget } from './tunnels.ts';

describe('a connection through a tunnel', () => {
  test('carries bytes, and the end of each side on its own', async () => {
    const target = await tcpTarget();
    const { local, near, far } = await Tunnel.to(target);
    // The client ends first, and is answered after that.
    const first = await dial(local);
    first.end('a question');
    const asked = await target.next();
    expect((await all(asked)).toString()).toBe('a question');
    asked.end('an answer');
    expect((await all(first)).toString()).toBe('an answer');
    // The target ends first, and hears what the client says after that.
    const second = await dial(local);
    const greeting = await target.next();
    greeting.end('a greeting');
    expect((await all(second)).toString()).toBe('a greeting');
    second.end('a late reply');
    expect((await all(greeting)).toString()).toBe('a late reply');
    // Bytes of which no two blocks are equal, both ways at a time.
    const bytes = content(7, 3 * MIB + 17);
    const third = await dial(local);
    echo(await target.next());
    third.end(bytes);
    expect(sha256(await all(third))).toBe(sha256(bytes));
    for (const side of [near, far]) {
      const closed = await side.record(
        ({ event, bytesReceived }) => event === 'closed' && bytesReceived === bytes.length,
      );
      expect(closed).toMatchObject({ bytesSent: bytes.length, reset: false });
    }
  });

  test('of many at a time is none of anybody’s worries', async () => {
    const target = await tcpTarget(echo);
    const { local, near, far } = await Tunnel.to(target);
    const clients = await Promise.all(Array.from({ length: 40 }, () => dial(local)));
    const answers = clients.map(async (socket, n) => {
      socket.end(`from ${n}`);
      return (await all(socket)).toString();
    });
    expect(await Promise.all(answers)).toEqual(clients.map((_, n) => `from ${n}`));
    for (const side of [near, far]) {
      side.child.kill('SIGINT');
      expect((await side.end()).stderr).not.toContain('Warning');
    }
  });

  test('a reset of either side is one at the other, also behind bytes and in the middle of a request', async () => {
    const target = await tcpTarget();
    const { local, near } = await Tunnel.to(target);
    let count = 0;
    const opened = async (): Promise<void> => {
      count += 1;
      await near.record(({ event, connection }) => event === 'opened' && connection === count);
    };
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(MIB)]) {
      const one = await dial(local);
      const there = await target.next();
      await opened();
      one.write(bytes);
      const heard = failure(there);
      await arrived(there, bytes.length);
      one.resetAndDestroy();
      expect(await heard).toBe('ECONNRESET');
      const other = await dial(local);
      const far = await target.next();
      await opened();
      far.write(bytes);
      const heardHere = failure(other);
      await arrived(other, bytes.length);
      far.resetAndDestroy();
      expect(await heardHere).toBe('ECONNRESET');
    }
    // An answer in the middle of a request arrives all the same, and then the reset for what nobody reads.
    const client = await dial(local);
    const there = await target.next();
    client.write('a long request');
    await once(there, 'readable');
    there.end('too large');
    expect((await all(client)).toString()).toBe('too large');
    // With bytes unread, the system resets what is closed.
    there.destroy();
    const failed = failure(client);
    const more = setInterval(() => client.write('more'), 5);
    onTestFinished(() => clearInterval(more));
    expect(await failed).toMatch(/^(ECONNRESET|EPIPE)$/);
    await near.record(({ event, connection }) => event === 'closed' && connection === 5);
    near.child.kill('SIGINT');
    const { records, code } = await near.end();
    expect(code).toBe(130);
    const closed = records.filter(({ event }) => event === 'closed');
    expect(closed.map(({ reset }) => reset)).toEqual([true, true, true, true, true]);
  });
});

describe('readers that have stopped', () => {
  test('bound what is under way, hold nobody else up, and get all of it in the end', async () => {
    const size = 24 * MIB;
    const bytes = content(11, size);
    const written: number[] = [];
    const target = await tcpTarget((socket) => {
      const index = written.push(0) - 1;
      const step = (): void => {
        for (let at = written[index] ?? 0; at < size; at = written[index] ?? 0) {
          const chunk = bytes.subarray(at, at + 65_536);
          written[index] = at + chunk.length;
          if (!socket.write(chunk)) {
            socket.once('drain', step);
            return;
          }
        }
        socket.end();
      };
      socket.once('data', (word: Buffer) => {
        if (word.toString() === 'all') step();
        else socket.end(word);
      });
    });
    const { local } = await Tunnel.to(target);
    const stopped: Socket[] = [];
    for (let index = 0; index < 6; index += 1) stopped.push(await dial(local));
    for (const socket of stopped) socket.pause().write('all');
    // Until nothing moves any more: the same sum over a quarter of a second.
    let last = -1;
    let since = performance.now();
    await until(async () => {
      const sum = written.reduce((one, other) => one + other, 0);
      if (sum !== last) since = performance.now();
      last = sum;
      return written.length === 6 && performance.now() - since > 250 ? sum : undefined;
    }, 'the writers to be held up');
    // A window for each, and what the system keeps of two TCP connections.
    for (const sent of written) expect(sent).toBeLessThan(size);
    // Six windows of a stream are more than a session begins with: only credit apart from that lets this one pass.
    expect(await exchange(local, 'ping')).toBe('ping');
    const one = stopped[0] as Socket;
    expect(sha256(await all(one))).toBe(sha256(bytes));
  });
});

describe('what is not carried', () => {
  test('is refused with the reason, in one line, and reset', async () => {
    const target = await tcpTarget(echo);
    const closed = await closedPort();
    const tunnel = await Tunnel.make();
    const allow = [`127.0.0.1:${target.port}`, `localhost:${closed}`, 'nowhere.invalid:*'];
    await tunnel.serve(...allow.flatMap((rule) => ['--allow', rule]));
    for (const [to, refusal, message] of [
      // Another way to write a host is another host, and the port next to one is another port.
      [`localhost:${target.port}`, 'forbidden', /does not allow localhost:\d+; it would with/],
      [
        `localhost:${closed}`,
        'refused',
        /^nothing takes connections at .* \(ECONNREFUSED there\)$/,
      ],
      ['nowhere.invalid:80', 'unresolved', /finds no address of nowhere\.invalid/],
    ] as const) {
      await tunnel.forward(to);
      expect(await refused(tunnel.local)).toBe('ECONNRESET');
      const told = await tunnel.near.record(({ event }) => event === 'refused');
      expect(told).toMatchObject({
        refusal,
        target: to,
        message: expect.stringMatching(message),
      });
      tunnel.near.child.kill('SIGKILL');
    }
    const there = (await tunnel.far.record(({ refusal }) => refusal === 'unresolved')) ?? {};
    expect(there).toMatchObject({ event: 'refused', target: 'nowhere.invalid:80' });
    await tunnel.forward(`127.0.0.1:${target.port}`);
    expect(await exchange(tunnel.local, 'allowed')).toBe('allowed');
  });

  test('is everything where nothing is allowed, and more than is allowed at a time', async () => {
    const target = await tcpTarget(echo);
    const nothing = await Tunnel.make();
    await nothing.serve();
    const { allow } = await nothing.far.record(({ event }) => event === 'serving');
    expect(allow).toEqual([]);
    await nothing.forward(`127.0.0.1:${target.port}`);
    expect(await refused(nothing.local)).toBe('ECONNRESET');
    await nothing.near.record(({ refusal }) => refusal === 'forbidden');

    const few = await Tunnel.make();
    await few.serve('--allow', `127.0.0.1:${target.port}`, '--max-connections', '2');
    await few.forward(`127.0.0.1:${target.port}`, '--max-connections', '3');
    const open = [await dial(few.local), await dial(few.local)];
    for (const socket of open) socket.write('x');
    await Promise.all(open.map((socket) => once(socket, 'data')));
    expect(await refused(few.local)).toBe('ECONNRESET');
    await few.near.record(({ refusal }) => refusal === 'busy');
    // One that has ended makes room.
    const [first] = open as [Socket];
    first.end();
    await once(first, 'end');
    await few.far.record(({ event }) => event === 'closed');
    expect(await exchange(few.local, 'room')).toBe('room');
    expect(target.sockets).toHaveLength(3);
  });
});

describe('the session under a tunnel', () => {
  test('survives another port of its NAT in the middle of bytes', async () => {
    const target = await tcpTarget(echo);
    const tunnel = await Tunnel.make();
    await tunnel.serve('--allow', `127.0.0.1:${target.port}`);
    const nat = await relay(tunnel.port);
    await tunnel.forwardBy(nat.port, `127.0.0.1:${target.port}`, '--transport', 'udp');
    const socket = await dial(tunnel.local);
    const bytes = content(3, 8 * MIB);
    const back = all(socket);
    socket.write(bytes.subarray(0, MIB));
    await once(socket, 'data');
    await nat.link.rebind();
    socket.end(bytes.subarray(MIB));
    expect(sha256(await back)).toBe(sha256(bytes));
    await tunnel.far.record(({ event }) => event === 'moved');
    const sessions = (await done(tunnel)).filter(({ event }) => event === 'session');
    expect(sessions).toHaveLength(1);
  });

  test('goes over to a WebSocket where UDP is lost, and its connections with it', async () => {
    const target = await tcpTarget(echo);
    const tunnel = await Tunnel.make();
    await tunnel.serve('--allow', `127.0.0.1:${target.port}`, '--websocket');
    const { websocketPort } = await tunnel.far.record(({ event }) => event === 'serving');
    const way = await relay(tunnel.port);
    await tunnel.forwardBy(way.port, `127.0.0.1:${target.port}`);
    // The WebSocket is looked for at the peer's port, which is here that of the relay; later, so that UDP comes first.
    const tcp = createServer((socket) => {
      const on = connect(websocketPort as number, '127.0.0.1');
      for (const end of [socket, on]) end.on('error', () => end.destroy());
      socket.pipe(on).pipe(socket);
    }).listen(way.port, '127.0.0.1');
    onTestFinished(() => void tcp.close());
    await once(tcp, 'listening');
    const socket = await dial(tunnel.local);
    const bytes = content(5, 4 * MIB);
    const back = all(socket);
    socket.write(bytes.subarray(0, MIB));
    await once(socket, 'data');
    way.cut();
    socket.end(bytes.subarray(MIB));
    expect(sha256(await back)).toBe(sha256(bytes));
    await tunnel.near.record(
      ({ event, transport }) => event === 'moved' && transport === 'websocket',
    );
  });

  test('is replaced when the far side was started again: old connections are reset, new ones wait', async () => {
    const target = await tcpTarget(echo);
    const again = ['--allow', `127.0.0.1:${target.port}`, '--drain', '50ms'];
    const tunnel = await Tunnel.make();
    await tunnel.serve(...again);
    await tunnel.forward(`127.0.0.1:${target.port}`);
    for (const [signal, code] of [
      ['SIGTERM', 143],
      ['SIGKILL', 137],
    ] as const) {
      const old = await dial(tunnel.local);
      old.write('x');
      await once(old, 'data');
      const { nodeId } = tunnel;
      const oldFailed = failure(old);
      tunnel.far.child.kill(signal);
      expect((await tunnel.far.end()).code).toBe(code);
      // One that was killed said nothing: the session is found to be lost by the first that wants to use it.
      if (signal === 'SIGKILL') await tunnel.serve(...again);
      const waits = await dial(tunnel.local);
      waits.end('early');
      if (signal === 'SIGTERM') await tunnel.serve(...again);
      expect(tunnel.nodeId).toBe(nodeId);
      expect((await all(waits)).toString()).toBe('early');
      expect(await oldFailed).toBe('ECONNRESET');
      expect(await exchange(tunnel.local, 'again')).toBe('again');
    }
    const records = await done(tunnel);
    expect(records.filter(({ event }) => event === 'session')).toHaveLength(3);
    expect(
      records.some(({ event, try: attempt }) => event === 'reconnecting' && attempt === 1),
    ).toBe(true);
  });
});

describe('the end of a tunnel', () => {
  test('SIGTERM lets connections end for a while, on either side, and takes no more', async () => {
    const target = await tcpTarget();
    const tunnel = await Tunnel.to(target, '--drain', '60s');
    const socket = await dial(tunnel.local);
    const there = await target.next();
    tunnel.near.child.kill('SIGTERM');
    await until(async () => {
      const late = connect(tunnel.local, '127.0.0.1');
      const closed = once(late, 'connect').then(
        () => undefined,
        (error: NodeJS.ErrnoException) => error.code,
      );
      return closed.finally(() => late.resetAndDestroy());
    }, 'the port to be closed');
    socket.end('the last words');
    expect((await all(there)).toString()).toBe('the last words');
    there.end('farewell');
    expect((await all(socket)).toString()).toBe('farewell');
    expect((await tunnel.near.end()).code).toBe(143);

    await tunnel.forward(`127.0.0.1:${target.port}`);
    const cut = await dial(tunnel.local);
    await tunnel.near.record(({ event }) => event === 'opened');
    const failed = failure(cut);
    tunnel.far.child.kill('SIGINT');
    expect(await failed).toBe('ECONNRESET');
    expect((await tunnel.far.end()).code).toBe(130);
  });

  test('each way to fail has two lines and its code, and no line has the seed', async () => {
    const target = await tcpTarget(echo);
    const tunnel = await Tunnel.to(target);
    const other = (await Tunnel.make()).seed;
    const silent = await closedPort();
    const seed = ['--seed-file', tunnel.seed];
    const here = `127.0.0.1:${tunnel.port}:127.0.0.1:${target.port}`;
    const quick = ['--timeout', '300ms', '--transport', 'udp'];
    for (const [args, code, words] of [
      [['0', `127.0.0.1:${silent}:db:5432`, ...seed, ...quick], 3, /^0x010[12]/],
      [['0', here, '--seed-file', other, '--transport', 'udp'], 4, /^0x0103/],
      [[`127.0.0.1:${tunnel.local}`, here, ...seed], 8, /EADDRINUSE/],
      [['0', 'somewhere:80', ...seed], 2, /is no PEER:HOST:PORT/],
      [['0', here, '--allow', 'localhost:80', ...seed], 2, /--allow does not go with/],
      [['--serve', '--allow', '*:80', ...seed], 2, /of one host/],
    ] as const) {
      const ended = await stt(['tunnel', ...args]);
      expect([args, ended.code, ended.stderr]).toEqual([
        args,
        code,
        expect.stringMatching(new RegExp(words.source, 'm')),
      ]);
      expect(ended.stderr).toMatch(/\nTry: /);
    }
    const secret = (await readFile(tunnel.seed, 'utf8')).trim();
    for (const side of [tunnel.near, tunnel.far]) {
      const argv = await readFile(`/proc/${side.child.pid}/cmdline`, 'utf8');
      expect(argv).toContain('tunnel');
      expect(argv).not.toContain(secret);
      side.child.kill('SIGTERM');
      const { stdout, stderr } = await side.end();
      expect(stdout + stderr).not.toContain(secret);
    }
  });

  test('what answers has to be the far side of a tunnel, and a seed that changes ends it with 4', async () => {
    const target = await tcpTarget(echo);
    const tunnel = await Tunnel.make();
    const recv = tunnel.startOther('recv', '--forever', '--listen', `127.0.0.1:${tunnel.port}`);
    await recv.record(({ event }) => event === 'listening');
    const wrong = tunnel.start(
      '0',
      `127.0.0.1:${tunnel.port}:127.0.0.1:${target.port}`,
      '--timeout',
      '30s',
    );
    const { code, stderr } = await wrong.end();
    expect([code, stderr]).toEqual([5, expect.stringMatching(/is not "stt tunnel --serve"/)]);
    recv.child.kill('SIGKILL');
    await recv.end();

    await tunnel.serve('--allow', `127.0.0.1:${target.port}`);
    await tunnel.forward(`127.0.0.1:${target.port}`, '--transport', 'udp');
    tunnel.far.child.kill('SIGTERM');
    await tunnel.far.end();
    const other = await Tunnel.make();
    other.port = tunnel.port;
    await other.serve();
    const ended = await tunnel.near.end();
    expect([ended.code, ended.stderr]).toEqual([4, expect.stringMatching(/^0x0103/m)]);
  });
});

test('a person sees where it leads, what was refused, and how it ended', async () => {
  const target = await tcpTarget(echo);
  const tunnel = await Tunnel.make();
  const seed = ['--seed-file', tunnel.seed];
  const allow = ['--allow', `127.0.0.1:${target.port}`, '--allow', '[::1]:8000-8010'];
  const far = new Terminal(['tunnel', '--serve', '--listen', '127.0.0.1:0', ...allow, ...seed]);
  const [, port] = await far.shows(
    /^listening on 127\.0\.0\.1:(\d+), allowing 127\.0\.0\.1:\d+, \[::1\]:8000-8010\nnode id [0-9a-f]{64}$/m,
  );
  const [, nodeId = ''] = await far.shows(/^node id ([0-9a-f]{64})$/m);
  // By its name, which proves that it is that node; another one of the same seed would be refused.
  const config = await temporaryFolder();
  await mkdir(join(config, 'stt'));
  const desk = { nodeId, hosts: ['127.0.0.1'], port: Number(port), pairedAt: 0 };
  const book = JSON.stringify({ schema: 1, peers: { desk } });
  await writeFile(join(config, 'stt', 'peers.json'), book, { mode: 0o600 });
  const env = { XDG_CONFIG_HOME: config };
  const near = new Terminal(['tunnel', '127.0.0.1:0', 'desk:db:5432', ...seed], { env });
  const [, local] = await near.shows(
    /^forwarding 127\.0\.0\.1:(\d+) to db:5432 by 127\.0\.0\.1:\d+\nnode id [0-9a-f]{64}$/m,
  );
  await refused(Number(local));
  await near.shows(
    /^refused: 127\.0\.0\.1:\d+: the far side does not allow db:5432; it would with --allow db:5432$/m,
  );
  await far.shows(/^refused: db:5432 for node [0-9a-f]{16}: forbidden$/m);
  far.type('\x03');
  await far.shows(/ended by SIGINT\.\nTry: run the same command again\.$/m);
  expect(await far.end()).toBe(130);
  await near.shows(/was ended by the peer[^.]*; connecting again, try 1$/m);
  near.type('\x03');
  expect(await near.end()).toBe(130);
});

/** Until so many bytes have come. */
async function arrived(socket: Socket, bytes: number): Promise<void> {
  for (let got = 0; got < bytes; ) got += ((await once(socket, 'data')) as [Buffer])[0].length;
}

/** Ends the near side, and gives what it said. */
async function done(tunnel: Tunnel) {
  tunnel.near.child.kill('SIGINT');
  return (await tunnel.near.end()).records;
}
