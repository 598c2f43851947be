import { once } from 'node:events';
import type { SttEndpoint, SttSession } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { endpoint } from '../contract/pair.ts';
import { frame, type RawSocket, rawClient, rawServer } from './raw.ts';
import { echo, failure, listening, sides } from './support.ts';

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

const code = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);

/** What a peer may send that nobody should, and the close code that it gets. */
const VIOLATIONS: readonly (readonly [string, readonly Buffer[], number])[] = [
  ['a text message', [frame({ opcode: TEXT }, 'hello')], 1_003],
  ['a message that is too long', [frame({ opcode: BINARY, claims: 2n << 20n })], 1_009],
  ['a length that no machine has', [frame({ opcode: BINARY, claims: 1n << 62n })], 1_009],
  [
    'fragments that are too long together',
    [
      frame({ opcode: BINARY, fin: false }, Buffer.alloc(600_000)),
      frame({ opcode: CONTINUATION, claims: 600_000n }),
    ],
    1_009,
  ],
  [
    'more fragments than a message may have',
    [
      frame({ opcode: BINARY, fin: false }, 'x'),
      ...Array.from({ length: 1_024 }, () => frame({ opcode: CONTINUATION, fin: false }, 'x')),
    ],
    1_008,
  ],
  ['a compressed frame', [frame({ opcode: BINARY, rsv1: true }, 'x')], 1_002],
  ['a frame without a mask', [frame({ opcode: BINARY, masked: false }, 'x')], 1_002],
  ['a continuation of nothing', [frame({ opcode: CONTINUATION }, 'x')], 1_002],
  [
    'a message within another',
    [frame({ opcode: BINARY, fin: false }, 'x'), frame({ opcode: BINARY }, 'y')],
    1_002,
  ],
  ['a ping in fragments', [frame({ opcode: PING, fin: false }, 'x')], 1_002],
  ['a ping that is too long', [frame({ opcode: PING }, Buffer.alloc(126))], 1_002],
  ['a kind of data that there is not', [frame({ opcode: 3 }, 'x')], 1_002],
  ['a kind of control that there is not', [frame({ opcode: 11 }, 'x')], 1_002],
  ['half a close code', [frame({ opcode: CLOSE }, 'x')], 1_002],
  ['a close code that is never sent', [frame({ opcode: CLOSE }, code(1_005))], 1_002],
  ['a close', [frame({ opcode: CLOSE }, code(1_001))], 1_001],
];

describe('frames that nobody should send', () => {
  test('to a server: each ends its own connection, and no other', async () => {
    const { server, client, port } = await sides();
    const session = await client.connect(`127.0.0.1:${port}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
    });
    const going = echo(session, 4 << 20);
    for (const [what, frames, expected] of VIOLATIONS) {
      const { raw } = await rawClient(port);
      raw.send(...frames);
      expect(await raw.closed, what).toBe(expected);
    }
    await going;
    await echo(session, 1_000);
    await session.close();
  });

  test('to a client: 0x0502 while it connects, with the close code', async () => {
    const client = await endpoint();
    const unmasked = (frames: readonly Buffer[]): Buffer[] =>
      // The same by a server, which masks nothing.
      frames.map((bytes) => {
        const short = (bytes[1] ?? 0) & 0x7f;
        const at = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
        const head = Buffer.from(bytes.subarray(0, at));
        head[1] = (head[1] ?? 0) & 0x7f;
        return Buffer.concat([head, bytes.subarray(at + 4)]);
      });
    for (const [what, frames, expected] of VIOLATIONS) {
      const sent =
        what === 'a frame without a mask' ? [frame({ opcode: BINARY }, 'x')] : unmasked(frames);
      const error = await refused(client, (raw) => raw.send(...sent));
      expect(error, what).toMatchObject({ code: 0x0502, context: { transport: 'websocket' } });
      // What the library refuses it hangs up on; only whole frames of the peer, or of this side's own, have a code.
      const told = [1_001, 1_003].includes(expected) ? expected : 1_006;
      expect(error.context.closeCode, what).toBe(told);
    }
  });
});

/** Connects to a server that behaves in that way. */
async function refused(client: SttEndpoint, act: (raw: RawSocket) => void) {
  const port = await listening(rawServer(act));
  return failure(
    client.connect(`127.0.0.1:${port}`, {
      peerNodeId: 'any',
      transport: 'websocket',
      timeout: 60_000,
    }),
  );
}

describe('answers to the upgrade', () => {
  const attempt = async (change: Parameters<typeof rawServer>[1]) => {
    const client = await endpoint();
    const port = await listening(rawServer(() => {}, change));
    return failure(
      client.connect(`127.0.0.1:${port}`, {
        peerNodeId: 'any',
        transport: 'websocket',
        timeout: 60_000,
      }),
    );
  };

  test('another subprotocol, none, a wrong key, and an extension nobody asked for: 0x0503', async () => {
    const changes: ((headers: string[]) => string[])[] = [
      (headers) => headers.map((line) => line.replace('stt.1', 'chat')),
      (headers) => headers.filter((line) => !line.includes('stt.1')),
      (headers) => headers.map((line) => line.replace(/Accept: ./, 'Accept: ?')),
      (headers) => [...headers, 'Sec-WebSocket-Extensions: permessage-deflate'],
      (headers) => headers.filter((line) => !line.startsWith('Upgrade:')),
    ];
    for (const change of changes) {
      const error = await attempt(change);
      expect(error).toMatchObject({ code: 0x0503, context: { transport: 'websocket' } });
    }
  });
});

describe('what stands on the way may change', () => {
  test('compression that is offered is not taken, and the rest goes on', async () => {
    const { port } = await sides();
    const { raw, head } = await rawClient(port, [
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
    ]);
    expect(head).toMatch(/^HTTP\/1.1 101 /);
    expect(head).not.toMatch(/extensions/i);
    raw.send(frame({ opcode: PING }, 'are you there'));
    expect(String((await raw.next(PONG))?.payload)).toBe('are you there');
  });

  test('pings between fragments are answered, pongs and empty messages are nothing', async () => {
    const { port } = await sides();
    const { raw } = await rawClient(port);
    raw.send(
      frame({ opcode: PONG }, 'unasked'),
      frame({ opcode: BINARY }),
      frame({ opcode: BINARY, fin: false }, 'rub'),
      frame({ opcode: PING }, '1'),
      frame({ opcode: CONTINUATION, fin: false }),
      frame({ opcode: CONTINUATION }, 'bish'),
    );
    expect(String((await raw.next(PONG))?.payload)).toBe('1');
    raw.send(frame({ opcode: CLOSE }, code(1_000)));
    expect(await raw.closed).toBe(1_000);
  });

  test('packets of bulk data fill a frame of 16 KiB each, whoever sends them', async () => {
    const lengths = { up: new Set<number>(), down: new Set<number>() };
    await echoBehind((way, to, data) => {
      lengths[way].add(data.length);
      to.send(data);
    });
    // With the header of a frame, which says that a client's is masked, 16 384.
    expect(lengths.up).toContain(16_376);
    expect(lengths.down).toContain(16_380);
  });

  test('messages in fragments, and joined anew, are the same bytes', async () => {
    await echoBehind((_way, to, data) => {
      const size = Math.max(1, Math.ceil(data.length / 5));
      for (let at = 0; at < data.length; at += size) {
        to.send(data.subarray(at, at + size), { binary: true, fin: at + size >= data.length });
      }
    });
  });
});

/** Echoes 2 MiB by a WebSocket that ends on the way, where `pass` sends on what comes. */
async function echoBehind(
  pass: (way: 'up' | 'down', to: WebSocket, data: Buffer) => void,
): Promise<void> {
  const { server, client, port } = await sides();
  const middle = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(middle, 'listening');
  onTestFinished(() => middle.close());
  middle.on('connection', (near) => {
    const far = new WebSocket(`ws://127.0.0.1:${port}/stt`, 'stt.1');
    near.pause();
    far.on('open', () => near.resume());
    near.on('message', (data: Buffer) => pass('up', far, data));
    far.on('message', (data: Buffer) => pass('down', near, data));
    near.on('close', () => far.close());
    far.on('error', () => near.terminate());
  });
  const session: SttSession = await client.connect('127.0.0.1:9', {
    peerNodeId: server.nodeId,
    transport: 'websocket',
    websocket: { url: `ws://127.0.0.1:${(middle.address() as { port: number }).port}/stt` },
  });
  await echo(session, 2 << 20);
  await session.close();
}
