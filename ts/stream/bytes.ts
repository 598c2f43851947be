import { SttOptionError } from '../errors/local.ts';

/** Anything that is bytes, or text that is sent as UTF-8. */
export type ByteSource = Uint8Array | ArrayBuffer | ArrayBufferView | string;

/** The bytes of `data`, without a copy unless it is text. */
export function toBytes(data: ByteSource): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  if (ArrayBuffer.isView(data)) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new SttOptionError(
    'data',
    'must be a Uint8Array, an ArrayBuffer, a view of one, or a string',
  );
}

/** All chunks as one array of `length` bytes. */
export function concatenate(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined) return only;
  const all = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

/** Checks a number that an application sends to the peer's: 0 to 65535. */
export function checkCode(code: unknown): number {
  if (typeof code !== 'number' || !Number.isInteger(code) || code < 0 || code > 0xffff) {
    throw new SttOptionError('code', 'must be an integer from 0 to 65535');
  }
  return code;
}
