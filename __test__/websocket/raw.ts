import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { onTestFinished } from 'vitest';

/** What a frame has besides its payload (RFC 6455 section 5.2). */
export interface FrameShape {
  readonly opcode: number;
  readonly fin?: boolean;
  readonly rsv1?: boolean;
  readonly masked?: boolean;
  /** A length that is told and not kept. */
  readonly claims?: bigint;
}

/** One frame, as no library would write it. */
export function frame(shape: FrameShape, payload: Buffer | string = ''): Buffer {
  const { opcode, fin = true, rsv1 = false, masked = true, claims } = shape;
  const bytes = Buffer.from(payload as Buffer);
  const length = claims ?? BigInt(bytes.length);
  const first = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  const head =
    length < 126n
      ? Buffer.from([first, Number(length)])
      : length < 65_536n
        ? Buffer.from([first, 126, Number(length >> 8n), Number(length & 255n)])
        : Buffer.concat([Buffer.from([first, 127]), eight(length)]);
  if (!masked) return Buffer.concat([head, bytes]);
  head[1] = (head[1] ?? 0) | 0x80;
  // A mask of zeros leaves the payload as it is.
  return Buffer.concat([head, Buffer.alloc(4), bytes]);
}

function eight(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** A frame that came. */
export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** Reads frames off a socket until it ends. */
export class RawSocket {
  readonly socket: Duplex;
  /** Resolves when the connection is over: the code of the close frame, 1006 without one. */
  readonly closed: Promise<number>;
  readonly #frames: Frame[] = [];
  #buffer: Buffer;
  #wake: () => void = () => {};
  #over = false;

  constructor(socket: Duplex, head: Buffer) {
    this.socket = socket;
    this.#buffer = head;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#read();
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#over = true;
        this.#wake();
        const last = this.#frames.find(({ opcode }) => opcode === 8);
        resolve(last === undefined ? 1_006 : (last.payload.readUInt16BE(0) ?? 0));
      });
    });
    this.#read();
    onTestFinished(() => void socket.destroy());
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** The next frame of that kind; undefined when the connection ends without. */
  async next(opcode: number): Promise<Frame | undefined> {
    for (;;) {
      const found = this.#frames.find((frame) => frame.opcode === opcode);
      if (found !== undefined || this.#over) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #read(): void {
    for (;;) {
      const [first = 0, second = 0] = this.#buffer;
      const masked = (second & 0x80) !== 0;
      const short = second & 0x7f;
      const start = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (masked ? 4 : 0);
      if (this.#buffer.length < 2 || this.#buffer.length < start) return;
      const length =
        short === 126
          ? this.#buffer.readUInt16BE(2)
          : short === 127
            ? Number(this.#buffer.readBigUInt64BE(2))
            : short;
      if (this.#buffer.length < start + length) return;
      const payload = this.#buffer.subarray(start, start + length);
      this.#frames.push({ opcode: first & 0x0f, payload });
      this.#buffer = this.#buffer.subarray(start + length);
      this.#wake();
      // Whoever is told that it is over hangs up (RFC 6455 section 7.1.1).
      if ((first & 0x0f) === 8) this.socket.end();
    }
  }
}

/** Opens a WebSocket by hand; also gives the head of the answer. */
export async function rawClient(
  port: number,
  headers: readonly string[] = [],
): Promise<{ raw: RawSocket; head: string }> {
  const socket: Socket = connectTcp(port, '127.0.0.1');
  const lines = [
    ...['GET /stt HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket'],
    ...[`Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`, 'Sec-WebSocket-Version: 13'],
    ...['Sec-WebSocket-Protocol: stt.1', ...headers],
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  let bytes = Buffer.alloc(0);
  while (!bytes.includes('\r\n\r\n')) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
  }
  const end = bytes.indexOf('\r\n\r\n') + 4;
  return {
    raw: new RawSocket(socket, bytes.subarray(end)),
    head: bytes.subarray(0, end).toString('latin1'),
  };
}

/** The answer to an upgrade with that key. */
export function answerTo(
  key: string,
  change: (headers: string[], key: string) => readonly string[] = (headers) => headers,
): string {
  const accept = createHash('sha1')
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  const headers = [
    ...['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`],
    'Sec-WebSocket-Protocol: stt.1',
  ];
  return `${['HTTP/1.1 101 Switching Protocols', ...change(headers, key)].join('\r\n')}\r\n\r\n`;
}

/** A server that opens WebSockets by hand, and then does what it wants. */
export function rawServer(
  act: (raw: RawSocket) => void,
  change?: (headers: string[], key: string) => readonly string[],
): Server {
  const server = createServer();
  server.on('upgrade', (request, socket, head) => {
    const key = request.headers['sec-websocket-key'] ?? '';
    socket.write(answerTo(key, change));
    act(new RawSocket(socket, head));
  });
  return server;
}
