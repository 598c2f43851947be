import { ReadableStream, WritableStream } from 'node:stream/web';
import type { ByteSource } from '../stream/bytes.ts';
import type { StreamGap } from '../stream/reader.ts';
import type { SttReceiveStream, SttSendStream, SttStream } from '../stream.ts';
import { writePatiently } from './patience.ts';

/** A code that an application aborted or cancelled with, where it gave a number that fits. */
function codeOf(reason: unknown): number {
  const fits = typeof reason === 'number' && Number.isInteger(reason) && reason >= 0;
  return fits && reason <= 0xffff ? reason : 0;
}

/** Fails: a web stream has no way to tell of bytes that were given up. */
function refuseGap(stream: SttReceiveStream, gap: StreamGap): never {
  return (stream as SttStream).refuseGap(gap);
}

/** The receiving half as a web stream: cancelling it asks the peer to stop. */
export function toReadableStream(stream: SttReceiveStream): ReadableStream<Uint8Array> {
  const batches = stream.batches({ preventCancel: true });
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const step = await batches.next();
        if (step.done === true) controller.close();
        else if (step.value.gap !== undefined) refuseGap(stream, step.value.gap);
        else for (const chunk of step.value) controller.enqueue(chunk);
      },
      cancel(reason) {
        stream.stop(codeOf(reason));
      },
    },
    { highWaterMark: 0 },
  );
}

/** The sending half as a web stream: closing it waits as `end()` does, aborting it resets. */
export function toWritableStream(stream: SttSendStream): WritableStream<ByteSource> {
  return new WritableStream<ByteSource>({
    write: (chunk) => writePatiently(stream, chunk),
    close: () => stream.end(),
    abort(reason) {
      stream.reset(codeOf(reason));
    },
  });
}
