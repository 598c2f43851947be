import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { SocketAddress } from '../address.ts';
import type { Engine } from '../native/engine.ts';

/** Bytes that a WebSocket is given before it says that it has passed them on. */
export const ROOM: number = 256 * 1024;

/** Passed-on bytes are told in steps of this: each call wakes the engine. */
const TOLD_AT = ROOM / 2;

/** Received bytes are handed over in portions of this, and at the end of each turn of the event loop. */
const PORTION = 256 * 1024;

/** The longest message that a peer may send: ours have one frame of 16 KiB, or of one packet that is longer. */
export const MAX_MESSAGE: number = 1 << 20;

/** Frames that a message may come in: ours are one, but what stands on the way may split them (RFC 6455 section 5.4). */
export const MAX_FRAGMENTS: number = 1_024;

/** What a message costs beside its bytes, so that many small ones are handed over in time as well. */
const MESSAGE_COST = 128;

/** What each piece that TCP brings costs beside its bytes, until the message is whole. */
const PIECE_COST = 256;

/** Milliseconds that a WebSocket has to close well. */
const CLOSE_TIMEOUT = 1_000;

/** WebSocket close codes (RFC 6455 section 7.4.1). */
const CLOSE_NORMAL = 1_000;
const CLOSE_UNSUPPORTED = 1_003;
const CLOSE_ABNORMAL = 1_006;

/** How a WebSocket ended. */
export interface LinkEnd {
  /** The code of the close frame: the peer's, or else this side's; 1006 when there was none. */
  readonly closeCode: number;
  /** Words of that frame, or of the error. */
  readonly reason: string;
  readonly error?: Error;
}

/** What a link tells its owner. */
export interface LinkHost {
  readonly engine: Engine;
  /** A link without a session holds so many bytes of memory more, or fewer, for a message that is not whole. */
  held(bytes: number): void;
  /** The link is no more. Called once. */
  gone(link: Link, end: LinkEnd): void;
}

/**
 * One open WebSocket, attached to an engine as the connection of a number. Packets go in and out in binary
 * messages; how much waits in it is bounded by what the engine was told to have passed on.
 */
export class Link {
  readonly id: number;
  /** Where it leads, or comes from. */
  readonly remote: SocketAddress;
  /** Sessions that use it. */
  readonly sessions: Set<number> = new Set();

  readonly #host: LinkHost;
  readonly #socket: WebSocket;
  readonly #limit: number;
  readonly #stream: Socket;
  /** What goes out in this task leaves in one call. */
  #corked = false;
  #passed = 0;
  /** What came in this turn of the event loop, and what it costs. */
  #received: Buffer[] = [];
  #receivedCost = 0;
  #handOver: NodeJS.Immediate | undefined;
  #authenticated = false;
  /** Bytes that came before any session did, whatever was in them. */
  #unauthenticated = 0;
  /** What the message that is not whole yet costs; counted as long as no session is there. */
  #held = 0;
  #open = true;
  #error: Error | undefined;
  /** The close frame of this side. */
  #said: LinkEnd | undefined;
  #closeTimer: NodeJS.Timeout | undefined;
  readonly #sent = (length: number): void => {
    this.#passed += length;
    if (this.#passed < TOLD_AT || !this.#open) return;
    this.#host.engine.connectionWritable(this.id, this.#passed);
    this.#passed = 0;
  };

  /**
   * @param stream the socket below, which never holds the process: the endpoint does
   * @param side whose of the WebSocket this is: a client masks
   * @param limit bytes that may come before a session does
   */
  constructor(
    host: LinkHost,
    id: number,
    socket: WebSocket,
    stream: Socket,
    side: 'client' | 'server',
    remote: SocketAddress,
    limit: number,
  ) {
    this.id = id;
    this.remote = remote;
    this.#host = host;
    this.#socket = socket;
    this.#stream = stream;
    this.#limit = limit;
    stream.unref();
    // An application's server may have sockets of its own kind.
    stream.setNoDelay?.(true);
    host.engine.openConnection(id, remote, ROOM, side === 'client');
    stream.on('data', this.#onBytes);
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (!this.#open) return;
      if (!isBinary) {
        this.#end(CLOSE_UNSUPPORTED, 'STT speaks in binary messages');
        return;
      }
      if (!this.#authenticated) this.#hold(-this.#held);
      // One of nothing says nothing.
      if (data.length > 0) this.#receive(data);
    });
    socket.on('error', (error: Error) => {
      this.#error = error;
    });
    socket.on('close', (closeCode: number, reason: Buffer) => {
      clearTimeout(this.#closeTimer);
      const words = reason.length > 0 ? reason.toString('utf8') : (this.#error?.message ?? '');
      // A peer that hangs up without a word has not said why; this side may have.
      const own = closeCode === CLOSE_ABNORMAL ? this.#said : undefined;
      this.#detach({
        ...(own ?? { closeCode, reason: words }),
        ...(this.#error === undefined ? {} : { error: this.#error }),
      });
    });
  }

  get open(): boolean {
    return this.#open;
  }

  /** Whether a session has used it. */
  get authenticated(): boolean {
    return this.#authenticated;
  }

  /** What it holds of a message that is not whole, while no session is there. */
  get held(): number {
    return this.#held;
  }

  /** A session uses it: its limits are those of sessions from now on. */
  authenticate(): void {
    this.#authenticated = true;
    this.#unwatch();
  }

  /**
   * Sends what the engine wants carried: frames that are whole, past `ws`, which would make a list of each message. It writes
   * its own in one go, and keeps none back without compression, so that both are in order.
   * @param giveBack told once the socket does not read `frames` any more
   * @param packets bytes in them that count as passed on
   */
  carry(frames: Uint8Array, giveBack: () => void, packets: number): void {
    // What is not open passes nothing on: the engine learns of its end by `close`.
    if (!this.#open || this.#socket.readyState !== this.#socket.OPEN) {
      giveBack();
      return;
    }
    this.#cork();
    this.#stream.write(frames, (error) => {
      // After an error nobody knows whether it is read any more: it is not given back then.
      if (error != null) return;
      giveBack();
      this.#sent(packets);
    });
  }

  /** The engine has caught up. */
  resume(): void {
    if (this.#open) this.#socket.resume();
  }

  /** Ends it well: what was handed over still leaves. */
  close(): void {
    this.#end(CLOSE_NORMAL, '');
  }

  /** Ends it at once. */
  terminate(): void {
    this.#socket.terminate();
  }

  /** Gathers what a task sends: one system call for all of it. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#stream.cork();
    queueMicrotask(() => {
      this.#corked = false;
      this.#stream.uncork();
    });
  }

  /** Gathers what a turn brings: the engine is woken once for it. */
  #receive(message: Buffer): void {
    this.#received.push(message);
    this.#receivedCost += message.length + MESSAGE_COST;
    if (this.#receivedCost >= PORTION) this.flush();
    else this.#handOver ??= setImmediate(() => this.flush());
  }

  /** Hands over what has come. */
  flush(): void {
    clearImmediate(this.#handOver);
    this.#handOver = undefined;
    const messages = this.#received;
    this.#received = [];
    this.#receivedCost = 0;
    if (messages.length === 0) return;
    if (!this.#host.engine.receive(this.id, messages)) this.#socket.pause();
  }

  #end(code: number, reason: string): void {
    if (this.#closeTimer !== undefined) return;
    this.#said = { closeCode: code, reason };
    this.#socket.close(code, reason);
    this.#closeTimer = setTimeout(() => this.#socket.terminate(), CLOSE_TIMEOUT);
    this.#closeTimer.unref();
  }

  /** Runs after the library has read the same bytes, so that what is held is never counted too low. */
  readonly #onBytes = ({ length }: Buffer): void => {
    // It may have been taken off while these bytes are told of.
    if (this.#authenticated || !this.#open) return;
    this.#unauthenticated += length;
    this.#hold(length + PIECE_COST);
    if (this.#unauthenticated > this.#limit) this.terminate();
  };

  #hold(bytes: number): void {
    this.#held += bytes;
    this.#host.held(bytes);
  }

  #unwatch(): void {
    this.#stream.removeListener('data', this.#onBytes);
    this.#hold(-this.#held);
  }

  #detach(end: LinkEnd): void {
    if (!this.#open) return;
    // Its last words come first.
    this.flush();
    this.#open = false;
    this.#unwatch();
    this.#host.engine.closeConnection(this.id);
    this.#host.gone(this, end);
  }
}
