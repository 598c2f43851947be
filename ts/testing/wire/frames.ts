// The frames that travel sealed (PROTOCOL.md section 1): each a list of named fields, in the order in
// which they are sent. A parsed frame has the shape that vectors/wire-frames.json gives it.

import {
  encodeVarint,
  FieldReader,
  hex,
  InvalidFrame,
  MAX_VARINT,
  u8,
  u16,
  u32,
  unhex,
} from './bytes.ts';

/** How one field is read and written. */
interface Field<T> {
  read(input: FieldReader): T;
  write(value: T): Buffer;
}

type Fields = Record<string, unknown>;

interface FrameLayout {
  name: string;
  /** Whether the frame belongs to a stream, to the session, or may belong to either. */
  scope: 'stream' | 'session' | 'either';
  // biome-ignore lint/suspicious/noExplicitAny: each layout pairs its own fields with their types
  fields: Record<string, Field<any>>;
  /** What no single field can tell is wrong. */
  check?(fields: Fields): boolean;
}

const FIN = 0x04;
const KNOWN_FLAGS = 0x1e;
const PADDING = 0x00;
const DATA = 0x10;
const BUNDLE = 0x1f;
/** HELLO, CHALLENGE, AUTH_PROOF, RETRY, RESUME, RESUME_REPLY and ERROR. */
const CLEAR = new Set([0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0xff]);

const varint: Field<string> = {
  read: (input) => input.varint().toString(),
  write: (value) => encodeVarint(BigInt(value)),
};

/** A u8 from 0 to `largest`. */
function small(largest: number): Field<number> {
  return {
    read: (input) => atMost(largest, input.u8()),
    write: u8,
  };
}

function atMost(largest: number, value: number): number {
  if (value > largest) throw new InvalidFrame(`${value} is more than ${largest}`);
  return value;
}

const short: Field<number> = { read: (input) => input.u16(), write: u16 };
const word: Field<number> = { read: (input) => input.u32(), write: u32 };
const rest: Field<string> = { read: (input) => hex(input.rest()), write: unhex };

function bytes(length: number): Field<string> {
  return { read: (input) => hex(input.bytes(length)), write: unhex };
}

/** A u8 that says whether the field follows. */
function optional<T>(field: Field<T>): Field<T | null> {
  return {
    read: (input) => (atMost(1, input.u8()) === 0 ? null : field.read(input)),
    write: (value) => (value === null ? u8(0) : Buffer.concat([u8(1), field.write(value)])),
  };
}

/** Bytes in hex behind a u16 with their number. */
const ticket: Field<string> = {
  read: (input) => hex(input.bytes(atMost(512, input.u16()))),
  write: (value) => Buffer.concat([u16(value.length / 2), unhex(value)]),
};

/** Text behind its length in bytes. */
function text(length: Field<number>, largest: number): Field<string> {
  return {
    read: (input) => input.utf8(atMost(largest, length.read(input))),
    write: (value) => Buffer.concat([length.write(Buffer.byteLength(value)), Buffer.from(value)]),
  };
}

type Range = [first: string, last: string];

/** Acknowledged packets and the ACK's delay, which stands between the first two numbers of the ranges. */
const acknowledged: Field<{ delayUs: string; ranges: Range[] }> = {
  read(input) {
    const ranges: Range[] = [];
    const add = (last: bigint, more: bigint) => {
      if (last < more) throw new InvalidFrame('a range below packet 0');
      ranges.push([(last - more).toString(), last.toString()]);
      return last - more;
    };
    const largest = input.varint();
    const delayUs = input.varint().toString();
    const further = input.varint();
    let smallest = add(largest, input.varint());
    for (let i = 0n; i < further; i++) {
      // RFC 9000 section 19.3.1: the gap is one less than the packets that are missing.
      const last = smallest - input.varint() - 2n;
      smallest = add(last, input.varint());
    }
    return { delayUs, ranges };
  },
  write({ delayUs, ranges }) {
    const numbers = ranges.map(([first, last]) => ({ first: BigInt(first), last: BigInt(last) }));
    const out = numbers.map(({ first, last }, i) => {
      const above = numbers[i - 1];
      const length = encodeVarint(last - first);
      return above === undefined
        ? length
        : Buffer.concat([encodeVarint(above.first - last - 2n), length]);
    });
    return Buffer.concat([
      encodeVarint(numbers[0]!.last),
      varint.write(delayUs),
      // Always two bytes: the number of ranges that fit is known only once they are written.
      encodeVarint(BigInt(ranges.length - 1), 2),
      ...out,
    ]);
  },
};

const ecnCounts: Field<string[]> = {
  read: (input) => [varint.read(input), varint.read(input), varint.read(input)],
  write: (value) => Buffer.concat(value.map(varint.write)),
};

const keepAlive = { kind: small(1), nonce: bytes(8) };

const LAYOUTS: ReadonlyMap<number, FrameLayout> = new Map<number, FrameLayout>([
  [
    0x04,
    {
      name: 'FINAL',
      scope: 'session',
      fields: { status: short, subcode: small(255), resetToken: bytes(16), ticket },
    },
  ],
  [
    DATA,
    {
      name: 'DATA',
      scope: 'stream',
      fields: { offset: varint, data: rest },
      check: ({ offset, data }) =>
        BigInt(offset as string) + BigInt((data as string).length / 2) <= MAX_VARINT,
    },
  ],
  [0x11, { name: 'ACK', scope: 'session', fields: { acknowledged, ecn: optional(ecnCounts) } }],
  [0x13, { name: 'KEEP_ALIVE', scope: 'session', fields: keepAlive }],
  [0x14, { name: 'KEEP_ALIVE_ACK', scope: 'session', fields: keepAlive }],
  [0x15, { name: 'WINDOW', scope: 'either', fields: { limit: varint } }],
  [0x16, { name: 'DATAGRAM', scope: 'session', fields: { data: rest } }],
  [0x17, { name: 'MAX_STREAMS', scope: 'session', fields: { kind: small(1), limit: varint } }],
  [
    0x18,
    {
      name: 'NEW_ID',
      scope: 'session',
      fields: { sequence: varint, pathId: bytes(8), resetToken: bytes(16) },
    },
  ],
  [0x19, { name: 'RETIRE_ID', scope: 'session', fields: { sequence: varint } }],
  [
    0x20,
    {
      name: 'STREAM_OPEN',
      scope: 'stream',
      fields: {
        purpose: text(small(255), 255),
        name: optional(word),
        priority: small(7),
        deadlineMs: optional(varint),
        initialCredit: varint,
      },
    },
  ],
  [0x21, { name: 'STREAM_CLOSE', scope: 'stream', fields: { code: varint, finalOffset: varint } }],
  [0x23, { name: 'STREAM_STOP', scope: 'stream', fields: { code: varint } }],
  [0x24, { name: 'STREAM_SKIP', scope: 'stream', fields: { offset: varint } }],
  [
    0x30,
    {
      name: 'SESSION_CLOSE',
      scope: 'session',
      fields: { reason: small(3), code: short, message: text(short, 256) },
    },
  ],
  [0x31, { name: 'DRAIN', scope: 'session', fields: { withinMs: varint } }],
]);

/** One message of a type that means what two applications say. */
const CUSTOM: FrameLayout = { name: 'CUSTOM', scope: 'session', fields: { data: rest } };

function layoutOf(typeCode: number): FrameLayout | undefined {
  return typeCode >= 0x80 && typeCode <= 0xfe ? CUSTOM : LAYOUTS.get(typeCode);
}

/** A frame, or a part of a BUNDLE. Of an unknown type only the body is known, which is skipped. */
export interface Frame {
  type: string | null;
  typeCode: number;
  streamId: number;
  fin: boolean;
  fields: Fields | null;
}

/** A BUNDLE's part, and the bytes it takes: from `start` to `end`. */
export interface Part {
  frame: Frame;
  start: number;
  end: number;
}

/** The frame, not a BUNDLE, of this body. */
function parseBody(typeCode: number, fin: boolean, streamId: number, body: Buffer): Frame {
  if (CLEAR.has(typeCode) || typeCode === PADDING || typeCode === BUNDLE) {
    throw new InvalidFrame('a type that must not stand here');
  }
  if (fin && typeCode !== DATA) throw new InvalidFrame('a FIN without DATA');
  const layout = layoutOf(typeCode);
  if (layout === undefined) return { type: null, typeCode, streamId, fin, fields: null };
  if (layout.scope !== 'either' && (layout.scope === 'stream') !== (streamId !== 0)) {
    throw new InvalidFrame(`not a frame of stream ${streamId}`);
  }
  const input = new FieldReader(body);
  const fields: Fields = {};
  for (const [name, field] of Object.entries(layout.fields)) fields[name] = field.read(input);
  if (!input.atEnd) throw new InvalidFrame('bytes after the last field');
  if (layout.check?.(fields) === false) throw new InvalidFrame('past the largest offset');
  return { type: layout.name, typeCode, streamId, fin, fields: flatten(fields) };
}

/** What an opened packet says, if it is one frame. */
export function parseFrame(typeCode: number, flags: number, streamId: number, body: Buffer): Frame {
  if ((flags & ~KNOWN_FLAGS) !== 0) throw new InvalidFrame('an unknown flag');
  return parseBody(typeCode, (flags & FIN) !== 0, streamId, body);
}

/** The parts of a BUNDLE, all of them checked. */
export function parseBundle(flags: number, streamId: number, body: Buffer): Part[] {
  if ((flags & ~KNOWN_FLAGS) !== 0) throw new InvalidFrame('an unknown flag');
  if ((flags & FIN) !== 0) throw new InvalidFrame('a FIN without DATA');
  if (streamId !== 0) throw new InvalidFrame(`not a frame of stream ${streamId}`);
  const parts: Part[] = [];
  const input = new FieldReader(body);
  while (!input.atEnd) {
    const start = input.position;
    const typeCode = input.u8();
    if (typeCode === PADDING) continue;
    const partFlags = input.u8();
    if ((partFlags & ~FIN) !== 0) throw new InvalidFrame('a flag that a part cannot have');
    const partStream = input.varint();
    if (partStream > 0xffff_ffffn) throw new InvalidFrame('a stream id beyond 32 bits');
    const part = input.bytes(input.u16());
    const frame = parseBody(typeCode, partFlags === FIN, Number(partStream), part);
    parts.push({ frame, start, end: input.position });
  }
  return parts;
}

/** The body that a known frame is written as. */
export function writeBody(frame: Frame): Buffer {
  const layout = layoutOf(frame.typeCode);
  if (layout === undefined || frame.fields === null) throw new TypeError('an unknown frame');
  const nested: Fields = { acknowledged: frame.fields, ...frame.fields };
  const fields = Object.entries(layout.fields);
  return Buffer.concat(fields.map(([name, field]) => field.write(nested[name])));
}

/** A known frame as a part of a BUNDLE. */
export function writePart(frame: Frame): Buffer {
  const body = writeBody(frame);
  const flags = frame.fin ? FIN : 0;
  const stream = encodeVarint(BigInt(frame.streamId));
  return Buffer.concat([Buffer.of(frame.typeCode, flags), stream, u16(body.length), body]);
}

/** The vectors give an ACK's delay and ranges beside its ECN counts. */
function flatten({ acknowledged, ...fields }: Fields): Fields {
  return { ...(acknowledged as object | undefined), ...fields };
}
