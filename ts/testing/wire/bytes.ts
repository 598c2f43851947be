// Reading and writing the fields that STT's packets and frames are made of.

/** Largest value of a varint (RFC 9000 section 16). */
export const MAX_VARINT: bigint = (1n << 62n) - 1n;

/** A structure that cannot be: INVALID_FRAME (0x0401). */
export class InvalidFrame extends Error {}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function unhex(text: string): Buffer {
  const bytes = Buffer.from(text, 'hex');
  // Buffer.from stops at the first character that is no hex digit, without a word.
  if (bytes.length * 2 !== text.length) throw new RangeError(`not hex: ${text}`);
  return bytes;
}

/** The shortest encoding that holds `value`, or one of `length` bytes. */
export function encodeVarint(value: bigint, length?: 1 | 2 | 4 | 8): Buffer {
  if (value < 0n || value > MAX_VARINT) throw new RangeError(`no varint: ${value}`);
  const log = [0, 1, 2, 3].find((n) =>
    length === undefined ? value < 1n << (8n * (1n << BigInt(n)) - 2n) : 1 << n === length,
  )!;
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(value);
  const tail = out.subarray(8 - (1 << log));
  if (tail[0]! >= 0x40) throw new RangeError(`${value} does not fit ${length} bytes`);
  tail[0]! |= log << 6;
  return tail;
}

/** Takes fields from the front of a buffer. */
export class FieldReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Bytes taken so far. */
  get position(): number {
    return this.#at;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  bytes(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new InvalidFrame('ends inside a field');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at);
  }

  u8(): number {
    return this.bytes(1).readUInt8();
  }

  u16(): number {
    return this.bytes(2).readUInt16LE();
  }

  u32(): number {
    return this.bytes(4).readUInt32LE();
  }

  varint(): bigint {
    const first = this.u8();
    let value = BigInt(first & 0x3f);
    for (const byte of this.bytes((1 << (first >> 6)) - 1)) value = (value << 8n) | BigInt(byte);
    return value;
  }

  utf8(length: number): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.bytes(length));
    } catch (error) {
      if (error instanceof InvalidFrame) throw error;
      throw new InvalidFrame('not UTF-8', { cause: error });
    }
  }
}

export function u8(value: number): Buffer {
  return Buffer.of(value);
}

export function u16(value: number): Buffer {
  const out = Buffer.alloc(2);
  out.writeUInt16LE(value);
  return out;
}

export function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
}
