import { expect, test } from 'vitest';
import { writeAllPatiently, writePatiently } from '../../ts/adapters/patience.ts';
import { ResourceExhaustedError, StreamClosedError } from '../../ts/errors/classes.ts';
import type { SttSendStream } from '../../ts/stream.ts';

/** A stream that refuses each write as often as said, and notes what it took and when it was waited for. */
function stream(refusals: Record<string, number>, error?: Error): [SttSendStream, string[]] {
  const notes: string[] = [];
  const write = async (bytes: string): Promise<void> => {
    const left = refusals[bytes] ?? 0;
    if (left > 0) {
      refusals[bytes] = left - 1;
      throw error ?? new ResourceExhaustedError('Nothing was written.', { bytesTaken: 0 });
    }
    notes.push(bytes);
  };
  const drained = async (): Promise<void> => void notes.push('waited');
  return [{ write, drained } as unknown as SttSendStream, notes];
}

test('a write that memory has no room for is made again once there is some', async () => {
  const [sink, notes] = stream({ a: 2 });
  await writePatiently(sink, 'a');
  expect(notes).toEqual(['waited', 'waited', 'a']);
});

test('of several, those that are refused go in their order', async () => {
  const [sink, notes] = stream({ b: 1, c: 2 });
  await writeAllPatiently(sink, ['a', 'b', 'c']);
  expect(notes).toEqual(['a', 'b', 'waited', 'c']);
});

test('any other failure is told', async () => {
  const failure = new StreamClosedError('gone', {});
  const [sink, notes] = stream({ a: 9 }, failure);
  await expect(writePatiently(sink, 'a')).rejects.toBe(failure);
  await expect(writeAllPatiently(sink, ['b', 'a'])).rejects.toBe(failure);
  expect(notes).toEqual(['b']);
});
