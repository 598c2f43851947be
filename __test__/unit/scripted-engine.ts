import type { Engine, Joined } from '../../ts/native/engine.ts';
import type { HalfHost } from '../../ts/stream/writer.ts';

/** The core's side of one stream, moved by hand: as much room as the test gives, every call noted. */
export class ScriptedEngine {
  /** Bytes that the next writes may take. */
  room = 0;
  /** What may be held for all streams is used up. */
  exhausted = false;
  /** Room is that of memory: a write is taken whole or refused. */
  whole = false;
  /** Something was written in this tick already, so that small writes may be joined. */
  joining = false;
  /** Who joins, until `endTick`. */
  readonly joined = new Set<Joined>();
  readonly taken: number[] = [];
  readonly calls: string[] = [];
  consumedBytes = 0;

  write(_stream: number, chunk: Uint8Array, start: number, end: number): number {
    if (this.exhausted || (this.whole && this.room < end - start)) return -2;
    const length = Math.min(this.room, end - start);
    this.room -= length;
    this.taken.push(...chunk.subarray(start, start + length));
    this.calls.push(`write ${length}`);
    return length;
  }

  writev(_stream: number, chunks: readonly Uint8Array[]): number {
    if (this.exhausted) return -2;
    let total = 0;
    if (this.whole && this.room < (chunks[0]?.length ?? 0)) return -2;
    for (const chunk of chunks) {
      const length = Math.min(this.room, chunk.length);
      this.room -= length;
      this.taken.push(...chunk.subarray(0, length));
      total += length;
      if (length < chunk.length) break;
    }
    this.calls.push(`writev ${chunks.length}: ${total}`);
    return total;
  }

  joins(joined: Joined): boolean {
    if (this.joining) this.joined.add(joined);
    return this.joining;
  }

  endTick(): void {
    for (const joined of this.joined) joined.flushJoined();
    this.joined.clear();
  }

  /** As if the peer had nothing yet, and the stream were known. */
  acknowledged(): number {
    return 0;
  }

  memory(): { limit: number; used: number } {
    return { limit: 2 ** 20, used: 2 ** 20 };
  }

  finish(): void {
    this.calls.push('finish');
  }

  reset(_stream: number, code: number): void {
    this.calls.push(`reset ${code}`);
  }

  stop(_stream: number, code: number): void {
    this.calls.push(`stop ${code}`);
  }

  consumed(_stream: number, bytes: number): void {
    this.consumedBytes += bytes;
  }

  /** What a half of a stream is built on. */
  host(onDone: (error: unknown) => void = () => {}): HalfHost {
    return {
      engine: this as unknown as Engine,
      stream: 1,
      context: () => ({ peer: '127.0.0.1:1' }),
      touch: () => {},
      halfDone: onDone,
    };
  }
}

/** `count` bytes that count up from `from`. */
export function counting(count: number, from = 0): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => (from + index) & 0xff);
}
