import type { Socket } from 'node:net';
import type { SttStream } from '../../index.ts';
import type { ByteReader } from '../transfer/byte-reader.ts';
import type { Allowance, Credits } from './credit.ts';
import { abandon, StreamCode, WINDOW } from './messages.ts';

/** What became of a connection. */
export interface PipeEnd {
  /** Bytes from the socket into the stream. */
  readonly sent: number;
  /** Bytes from the stream into the socket. */
  readonly received: number;
  /** Why it was reset; undefined where both sides ended it. */
  readonly failure: Error | undefined;
}

/**
 * How long a socket whose bytes nobody takes any more is read on, once it has got all of what came for it: a reset at once
 * could take that away from it (RFC 9112 section 9.6).
 */
const LINGER_MS = 1_000;

const NOTHING = new Uint8Array(0);

/**
 * Joins a TCP connection and a stream until both are over: bytes for bytes, FIN for FIN, RST for reset. Nothing
 * is read from the socket for which there is no credit; what the stream brings is handed to the socket at once, and
 * credit for it given back as the system takes it.
 */
export class Pipe {
  readonly #socket: Socket;
  readonly #stream: SttStream;
  readonly #reader: ByteReader;
  readonly #credits: Credits;
  readonly #allowance: Allowance;
  /** Bytes that the peer may still send. */
  #room = WINDOW;
  /** Bytes that the system has taken and that the peer was not given credit for yet. */
  #passed = 0;
  #sent = 0;
  #received = 0;
  #sentAll = false;
  #receivedAll = false;
  /** Nobody takes what the socket brings. */
  #unwanted = false;
  #lingering: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  /**
   * @param reader of the stream, behind whatever came before the bytes.
   * @param window bytes that the peer takes before it has passed any on.
   */
  constructor(
    socket: Socket,
    stream: SttStream,
    reader: ByteReader,
    credits: Credits,
    window: number,
  ) {
    this.#socket = socket;
    this.#stream = stream;
    this.#reader = reader;
    this.#credits = credits;
    this.#allowance = credits.allow(stream.id, window);
  }

  /** Resolves when the connection is over on both sides. Never rejects. */
  async run(): Promise<PipeEnd> {
    const socket = this.#socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    const wake = (): void => this.#wake?.();
    socket.on('error', (error) => {
      this.#failure ??= error;
    });
    for (const event of ['readable', 'end', 'close'] as const) socket.on(event, wake);
    socket.once('close', () => this.#onClose());
    // Whoever waits for bytes or for credit has to hear that nobody takes them any more.
    this.#stream.closed.catch(() => {
      this.#allowance.end();
      wake();
    });
    if (socket.destroyed) this.#onClose();
    const receiving = this.#receive().catch((error: Error) => this.abort(StreamCode.Reset, error));
    try {
      await Promise.all([receiving, this.#send()]);
      if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
    } finally {
      clearTimeout(this.#lingering);
      this.#credits.forget(this.#stream.id);
    }
    return { sent: this.#sent, received: this.#received, failure: this.#failure };
  }

  /** Resets both. */
  abort(code: number, failure: Error): void {
    this.#failure ??= failure;
    this.#allowance.end();
    abandon(this.#stream, code);
    this.#socket.resetAndDestroy();
  }

  /** From the socket into the stream. Never rejects: what fails here shows at the other half, or ends with the socket. */
  async #send(): Promise<void> {
    const socket = this.#socket;
    for (;;) {
      const chunk: Buffer | null = socket.read();
      if (chunk !== null) {
        if (!this.#unwanted) await this.#forward(chunk);
      } else if (socket.readableEnded) {
        break;
      } else if (socket.destroyed) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        // Nothing tells of a peer that stopped reading but the next write.
        if (!this.#unwanted) await this.#write(NOTHING);
      }
    }
    this.#sentAll = true;
    if (this.#unwanted) return;
    await this.#stream.end().catch((error: Error) => {
      this.#failure ??= error;
    });
  }

  async #forward(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length && !this.#unwanted; ) {
      const taken = await this.#allowance.take(chunk.length - at);
      await this.#write(chunk.subarray(at, at + taken));
      if (taken === 0) this.#unwanted = true;
      else if (!this.#unwanted) this.#sent += taken;
      at += taken;
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#stream.write(bytes);
    } catch (error) {
      this.#failure ??= error as Error;
      this.#unwanted = true;
      this.#linger();
    }
  }

  #linger(): void {
    if (!this.#unwanted || !this.#receivedAll || this.#sentAll) return;
    this.#lingering ??= setTimeout(() => this.#socket.resetAndDestroy(), LINGER_MS);
  }

  /** From the stream into the socket. */
  async #receive(): Promise<void> {
    const socket = this.#socket;
    for await (const batch of this.#reader.rest()) {
      socket.cork();
      for (const chunk of batch) this.#hand(chunk);
      socket.uncork();
    }
    this.#receivedAll = true;
    socket.end();
    this.#linger();
  }

  #hand(chunk: Uint8Array): void {
    this.#room -= chunk.length;
    if (this.#room < 0) {
      const error = new Error('the far side sent more than its window');
      this.abort(StreamCode.Overrun, error);
      throw error;
    }
    this.#received += chunk.length;
    this.#socket.write(chunk, (error) => {
      if (error !== null && error !== undefined) return;
      this.#passed += chunk.length;
      // In quarters: a grant is a packet.
      if (this.#passed < WINDOW / 4 || this.#receivedAll) return;
      this.#room += this.#passed;
      this.#credits.grant(this.#stream.id, this.#passed);
      this.#passed = 0;
    });
  }

  /** The socket has gone: what it had sent with its FIN still arrives. */
  #onClose(): void {
    if (!this.#receivedAll) this.#stream.stop(StreamCode.Reset);
    if (!this.#sentAll && !this.#socket.readableEnded) this.#stream.reset(StreamCode.Reset);
  }
}
