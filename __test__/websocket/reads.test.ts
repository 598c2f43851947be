// A client's socket is read into memory that is used again at once: nothing of that may be seen in what comes.

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import type { SocketAddress } from '../../ts/address.ts';
import { wholeFrames } from '../../ts/carriers/reads.ts';
import { connectTcp } from '../../ts/carriers/tcp.ts';
import { random as seeded } from '../../ts/testing/random.ts';
import { answerTo, frame, rawServer } from './raw.ts';
import { listening } from './support.ts';

const CONTINUATION = 0;
const BINARY = 2;
const PING = 9;

const unmasked = (opcode: number, payload: Buffer, fin = true): Buffer =>
  frame({ opcode, fin, masked: false }, payload);

interface Client {
  readonly messages: Buffer[];
  readonly pings: Buffer[];
  readonly settled: () => number;
  /** Resolves once so many messages have come. */
  until(count: number): Promise<void>;
}

/** A WebSocket whose messages are copied as they come, and must be read no later. */
async function client(port: number): Promise<Client> {
  const address: SocketAddress = { address: '127.0.0.1', port, family: 'IPv4' };
  const { socket, reads } = await connectTcp([address], new AbortController().signal, true);
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/`, 'stt.1', {
    createConnection: () => socket,
    perMessageDeflate: false,
  });
  onTestFinished(() => webSocket.terminate());
  const messages: Buffer[] = [];
  const pings: Buffer[] = [];
  let settled = 0;
  webSocket.on('message', (data: Buffer) => {
    messages.push(Buffer.from(data));
    webSocket.emit('counted');
  });
  webSocket.on('ping', (data: Buffer) => pings.push(data));
  await once(webSocket, 'open');
  webSocket.pause();
  reads?.begin(() => {
    settled += 1;
  });
  webSocket.resume();
  return {
    messages,
    pings,
    settled: () => settled,
    async until(count) {
      while (messages.length < count) await once(webSocket, 'counted');
    },
  };
}

/** Bytes that differ with their place and message. */
function payload(length: number, salt: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + salt * 17 + (at >> 8)) & 0xff;
  return bytes;
}

/** Writes in pieces, each in a turn of its own. */
async function writeInPieces(socket: Socket, bytes: Buffer, size: () => number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const end = at + Math.max(1, size());
    if (!socket.write(bytes.subarray(at, end))) await once(socket, 'drain');
    await turn();
    at = end;
  }
}

async function connected(): Promise<{ client: Client; peer: Socket }> {
  let taken: (socket: Socket) => void;
  const peer = new Promise<Socket>((resolve) => {
    taken = resolve;
  });
  const port = await listening(rawServer(({ socket }) => taken(socket as Socket)));
  return { client: await client(port), peer: await peer };
}

describe('whatever the pieces, messages come as they were sent', () => {
  const LENGTHS = [0, 1, 125, 126, 1_000, 16_380, 16_384, 65_535];

  test.for([
    ['of one byte', (): number => 1, LENGTHS.slice(0, 5)],
    ['of a few bytes and many', undefined, [...LENGTHS, ...LENGTHS, ...LENGTHS]],
    ['as large as they come', (): number => 1 << 20, Array.from({ length: 200 }, () => 16_380)],
  ] as const)('%s, by sockets that take turns', async ([, size, lengths]) => {
    const seed = Date.now() % 1_000_000;
    console.info(`seed ${seed}`);
    const random = seeded(seed);
    const pieces: () => number =
      size ?? (() => (random() < 0.3 ? random() * 8 : random() * 40_000));
    const sides = await Promise.all([connected(), connected(), connected()]);
    const sent = sides.map((_, side) => lengths.map((length, at) => payload(length, at + side)));
    await Promise.all(
      sides.map(({ peer }, side) => {
        const frames = (sent[side] as Buffer[]).map((bytes) => unmasked(BINARY, bytes));
        return writeInPieces(peer, Buffer.concat(frames), pieces);
      }),
    );
    for (const [side, { client }] of sides.entries()) {
      await client.until(lengths.length);
      expect(Buffer.concat(client.messages).equals(Buffer.concat(sent[side] as Buffer[]))).toBe(
        true,
      );
      expect(client.messages.map(({ length }) => length)).toEqual(lengths);
      expect(client.settled()).toBeGreaterThan(0);
    }
  });

  test('with pings between, whose words last', async () => {
    const { client, peer } = await connected();
    const bytes = [
      unmasked(BINARY, payload(300, 1)),
      unmasked(PING, Buffer.from('are you there')),
      unmasked(BINARY, payload(300, 2)),
    ];
    peer.write(Buffer.concat(bytes));
    await client.until(2);
    peer.write(unmasked(BINARY, payload(9_000, 3)));
    await client.until(3);
    expect(client.pings.map(String)).toEqual(['are you there']);
    expect(client.messages).toEqual([payload(300, 1), payload(300, 2), payload(9_000, 3)]);
  });

  test.for([
    [
      'a message in fragments',
      [unmasked(BINARY, payload(700, 1), false), unmasked(CONTINUATION, payload(300, 2))],
    ],
    ['a message longer than what is gathered', [unmasked(BINARY, payload(300_000, 1))]],
  ] as const)('with %s, in pieces, and what follows it', async ([, frames]) => {
    const { client, peer } = await connected();
    const first = payload(2_000, 8);
    const last = payload(3_000, 9);
    const all = Buffer.concat([unmasked(BINARY, first), ...frames, unmasked(BINARY, last)]);
    await writeInPieces(peer, all, () => 997);
    await client.until(3);
    expect([client.messages[0], client.messages[2]]).toEqual([first, last]);
    const whole = client.messages[1] as Buffer;
    const sent = frames.map((bytes) => bytes.subarray(bytes.length > 70_000 ? 10 : 4));
    expect(whole.equals(Buffer.concat(sent))).toBe(true);
  });

  test('where some came with the answer to the upgrade', async () => {
    const sent = [payload(500, 1), payload(16_000, 2)];
    const all = Buffer.concat(sent.map((bytes) => unmasked(BINARY, bytes)));
    let rest: (() => void) | undefined;
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (request: Buffer) => {
        const key = /sec-websocket-key: (.*)\r/i.exec(request.toString('latin1'))?.[1] ?? '';
        socket.write(Buffer.concat([Buffer.from(answerTo(key)), all.subarray(0, 600)]));
        rest = () => socket.write(all.subarray(600));
      });
    });
    const port = await listening(server);
    const side = await client(port);
    await side.until(1);
    rest?.();
    await side.until(2);
    expect(side.messages).toEqual(sent);
  });
});

describe('wholeFrames', () => {
  const frames = Buffer.concat([
    unmasked(BINARY, payload(5, 1)),
    unmasked(BINARY, payload(200, 2)),
  ]);

  test('finds the end of the last that is whole', () => {
    const ends = new Set<number | undefined>();
    for (let end = 0; end <= frames.length; end += 1) ends.add(wholeFrames(frames, end));
    expect([...ends]).toEqual([0, 7, 211]);
  });

  test.each([
    ['a mask', frame({ opcode: BINARY }, 'x')],
    ['text', frame({ opcode: 1, masked: false }, 'x')],
    ['a fragment', unmasked(BINARY, payload(5, 1), false)],
    ['a compressed one', frame({ opcode: BINARY, rsv1: true, masked: false }, 'x')],
    ['a length of eight bytes', frame({ opcode: BINARY, claims: 70_000n, masked: false })],
  ])('leaves %s to others', (_, bytes) => {
    expect(
      wholeFrames(Buffer.concat([frames, bytes]), frames.length + bytes.length),
    ).toBeUndefined();
  });

  test('says of control frames that they are there', () => {
    const bytes = Buffer.concat([unmasked(PING, Buffer.from('x')), frames]);
    expect(wholeFrames(bytes, bytes.length)).toBe(-1 - bytes.length);
    expect(wholeFrames(bytes, 0)).toBe(0);
  });
});
