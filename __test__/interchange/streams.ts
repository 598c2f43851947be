// The streams of a session as their bytes pass on the wire (PROTOCOL.md sections 1.9 and 5.4).

import { unhex } from '../../ts/testing/wire/bytes.ts';
import type { Frame } from '../../ts/testing/wire/frames.ts';
import type { Role } from './capture.ts';
import { demand } from './deviation.ts';
import type { Params } from './params.ts';

/** The other side. */
export function peerOf(role: Role): Role {
  return role === 'initiator' ? 'responder' : 'initiator';
}

/** One direction of a stream, as its sender has shown it. */
class Half {
  bytes = Buffer.alloc(0);
  /** Which bytes were sent at least once. */
  #seen = new Uint8Array(0);
  sent = 0n;
  /** Everything below was given up. */
  skipped = 0n;
  finalSize: bigint | undefined;
  fin = false;
  limit: bigint;
  /** Whether old bytes may be given up. */
  readonly #deadline: boolean;

  constructor(limit: bigint, deadline: boolean) {
    this.limit = limit;
    this.#deadline = deadline;
  }

  add(offset: bigint, data: Buffer, fin: boolean): void {
    const end = offset + BigInt(data.length);
    const reaches = !this.#deadline || offset <= this.sent;
    demand(reaches, '1.9', 'DATA behind bytes given up, before the STREAM_SKIP that covers them');
    demand(end <= this.limit, '5.4', `bytes up to ${end} with a limit of ${this.limit}`);
    const from = Number(offset);
    if (Number(end) > this.bytes.length) {
      const size = Math.max(Number(end), 2 * this.bytes.length);
      const [bytes, seen] = [Buffer.alloc(size), new Uint8Array(size)];
      this.bytes.copy(bytes);
      seen.set(this.#seen);
      [this.bytes, this.#seen] = [bytes, seen];
    }
    for (let i = 0; i < data.length; i++) {
      const same = this.#seen[from + i] === 0 || this.bytes[from + i] === data[i];
      demand(same, '5.2', `byte ${from + i} was sent again as another`);
    }
    data.copy(this.bytes, from);
    this.#seen.fill(1, from, Number(end));
    if (end > this.sent) this.sent = end;
    if (fin) this.end(end);
    if (this.finalSize !== undefined) {
      demand(this.sent <= this.finalSize, '1.9', 'bytes behind the final size');
    }
    this.fin ||= fin;
  }

  /** Bytes below `offset` are given up; those that were never sent use credit as if they had been. */
  skip(offset: bigint): void {
    demand(this.#deadline, '1.9', 'STREAM_SKIP on a stream with reliability 0');
    demand(offset <= this.limit, '1.9', `a skip to ${offset} with a limit of ${this.limit}`);
    const ends = this.finalSize === undefined || offset <= this.finalSize;
    demand(ends, '1.9', 'a skip beyond the final size');
    if (offset > this.skipped) this.skipped = offset;
    if (offset > this.sent) this.sent = offset;
  }

  end(size: bigint): void {
    demand(this.finalSize === undefined || this.finalSize === size, '1.9', 'a new final size');
    demand(size >= this.sent, '1.9', 'a final size below bytes already sent');
    this.finalSize = size;
  }

  /** All bytes, if every one of them was sent, but for those given up: these are zero. */
  whole(): Buffer | undefined {
    if (!this.fin || this.finalSize === undefined) return undefined;
    const [size, start] = [Number(this.finalSize), Number(this.skipped)];
    const seen = this.#seen.subarray(start, size);
    if (start + seen.length < size || !seen.every((byte) => byte === 1)) return undefined;
    const whole = Buffer.alloc(size);
    this.bytes.copy(whole, 0, 0, size);
    return whole;
  }
}

/** What a side sent on a stream that ended by FIN. */
export interface Finished {
  readonly bytes: Buffer;
  /** What lies below was given up, whether it was sent or not. */
  readonly skipped: number;
}

interface Stream {
  readonly opener: Role;
  readonly unidirectional: boolean;
  opened: boolean;
  readonly halves: Record<Role, Half>;
}

/** Every stream of a session, and both sides' credit. */
export class Streams {
  readonly #params: Readonly<Record<Role, Params>>;
  readonly #streams = new Map<number, Stream>();
  /** The most that each side may send in all, and has sent. */
  readonly #session: Record<Role, { limit: bigint; sent: bigint }>;
  /** Streams that each side may open: bidirectional, unidirectional. */
  readonly #mayOpen: Record<Role, [bigint, bigint]>;
  readonly #hasOpened: Record<Role, [bigint, bigint]>;

  constructor(params: Readonly<Record<Role, Params>>) {
    this.#params = params;
    const credit = (peer: Params) => ({ limit: peer.sessionWindow, sent: 0n });
    this.#session = { initiator: credit(params.responder), responder: credit(params.initiator) };
    const open = (peer: Params): [bigint, bigint] => [
      BigInt(peer.maxBidiStreams),
      BigInt(peer.maxUniStreams),
    ];
    this.#mayOpen = { initiator: open(params.responder), responder: open(params.initiator) };
    this.#hasOpened = { initiator: [0n, 0n], responder: [0n, 0n] };
  }

  /** What a side sent on a stream, if it ended by FIN: by `<stream> <sender>`. */
  finished(): Map<string, Finished> {
    const found = new Map<string, Finished>();
    for (const [id, { halves }] of this.#streams) {
      for (const role of ['initiator', 'responder'] as const) {
        const bytes = halves[role].whole();
        const skipped = Number(halves[role].skipped);
        if (bytes !== undefined) found.set(`${id} ${role}`, { bytes, skipped });
      }
    }
    return found;
  }

  /** A frame that is about a stream, or about credit. `delivered` says whether the peer got it. */
  read(from: Role, frame: Frame, delivered: boolean): void {
    const fields = frame.fields as Record<string, unknown>;
    const id = frame.streamId;
    switch (frame.type) {
      case 'STREAM_OPEN':
        this.#open(from, id, BigInt(fields.initialCredit as string), fields.deadlineMs !== null);
        break;
      case 'DATA':
        this.#spend(from, id, (half) =>
          half.add(BigInt(fields.offset as string), unhex(fields.data as string), frame.fin),
        );
        break;
      case 'STREAM_SKIP':
        this.#spend(from, id, (half) => half.skip(BigInt(fields.offset as string)));
        break;
      case 'STREAM_CLOSE':
        this.#sending(from, id).end(BigInt(fields.finalOffset as string));
        break;
      case 'STREAM_STOP':
        this.#sending(peerOf(from), id);
        break;
      case 'WINDOW': {
        if (!delivered) break;
        const raised = id === 0 ? this.#session[peerOf(from)] : this.#sending(peerOf(from), id);
        const limit = BigInt(fields.limit as string);
        if (limit > raised.limit) raised.limit = limit;
        break;
      }
      case 'MAX_STREAMS': {
        const kind = fields.kind as 0 | 1;
        const limits = this.#mayOpen[peerOf(from)];
        const limit = BigInt(fields.limit as string);
        if (delivered && limit > limits[kind]) limits[kind] = limit;
        break;
      }
      default:
        demand(false, '1.5', `${frame.type} is not sent by this version`);
    }
  }

  /** Does something to what a side sends, and takes the session's credit for it. */
  #spend(from: Role, id: number, act: (half: Half) => void): void {
    const half = this.#sending(from, id);
    const before = half.sent;
    act(half);
    const credit = this.#session[from];
    credit.sent += half.sent - before;
    demand(credit.sent <= credit.limit, '5.4', 'more than the credit of the session');
  }

  #open(from: Role, id: number, initialCredit: bigint, deadline: boolean): void {
    demand(id >= 4, '1.9', 'ids 0 to 3 name no stream');
    const opener = (id & 1) === 0 ? 'initiator' : 'responder';
    demand(opener === from, '1.9', 'STREAM_OPEN for a stream of the other side');
    const kind = ((id >> 1) & 1) as 0 | 1;
    if (this.#streams.has(id)) return; // Sent again after a loss.
    const index = BigInt(id >> 2) - 1n;
    const opened = this.#hasOpened[from];
    demand(index === opened[kind], '1.9', 'ids are used in order');
    opened[kind] += 1n;
    demand(opened[kind] <= this.#mayOpen[from][kind], '1.9', 'more streams than allowed');
    demand(kind === 0 || initialCredit === 0n, '1.6', 'no credit back on a one-way stream');
    const peer = peerOf(from);
    const back = this.#params[from].streamWindow;
    const halves = {
      [from]: new Half(this.#params[peer].streamWindow, deadline),
      [peer]: new Half(initialCredit > back ? initialCredit : back, deadline),
    } as Record<Role, Half>;
    this.#streams.set(id, { opener: from, unidirectional: kind === 1, opened: true, halves });
  }

  /** The half of a stream that `role` sends. */
  #sending(role: Role, id: number): Half {
    const stream = this.#streams.get(id);
    demand(stream !== undefined, '1.9', `stream ${id} was not opened`);
    const sends = !stream.unidirectional || stream.opener === role;
    demand(sends, '1.9', `the ${role} does not send on stream ${id}`);
    return stream.halves[role];
  }
}
