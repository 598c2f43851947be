// There and back: one at a time, many at a time, and one at a time beside a transfer.
import { FILL, pour } from '../channel.mjs';

const WARM_UP = 500;
const WARM_UP_MS = 500;

export const roundTripActions = (side) => ({
  async pings({ size, milliseconds }) {
    return pings(await side().open('echo'), size, milliseconds);
  },
  /** On one session: alone, then while another channel takes all that goes. */
  async pingsUnderLoad({ size, milliseconds }) {
    const channel = await side().open('echo', { urgent: true });
    const idle = await pings(channel, size, milliseconds);
    const sink = await side().open('sink');
    const total = pour(sink, milliseconds + 3 * WARM_UP_MS);
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    const busy = await pings(channel, size, milliseconds);
    const bytes = await total;
    return { idle, busy, bytes, seconds: (milliseconds + 3 * WARM_UP_MS) / 1_000 };
  },
  /** So many requests under way on one channel: how many are answered. */
  async requests({ size, inFlight, milliseconds }) {
    const channel = await side().open('echo');
    const request = Buffer.alloc(size, FILL);
    let count = 0;
    let missing = size;
    let over = false;
    const started = performance.now();
    const end = started + milliseconds;
    await new Promise((resolve) => {
      channel.onBytes((chunk) => {
        let answers = 0;
        for (missing -= chunk.length; missing <= 0; missing += size) answers += 1;
        count += answers;
        if (over) return;
        if (performance.now() >= end) {
          over = true;
          resolve();
          return;
        }
        for (let index = 0; index < answers; index += 1) void channel.write(request);
      });
      for (let index = 0; index < inFlight; index += 1) void channel.write(request);
    });
    const seconds = (performance.now() - started) / 1_000;
    channel.close();
    return { count, seconds };
  },
});

/** Round trips one after the other: microseconds. */
async function pings(channel, size, milliseconds) {
  const message = Buffer.alloc(size, FILL);
  let missing = 0;
  let arrived;
  // A channel may be measured twice; the listener of before sees nothing missing then.
  channel.onBytes((chunk) => {
    missing -= chunk.length;
    if (missing === 0) arrived();
  });
  const ping = () =>
    new Promise((resolve) => {
      missing = size;
      arrived = resolve;
      void channel.write(message);
    });
  const warm = performance.now() + WARM_UP_MS;
  for (let index = 0; index < WARM_UP && performance.now() < warm; index += 1) await ping();
  const micros = [];
  const end = performance.now() + milliseconds;
  for (let before = performance.now(); before < end; ) {
    await ping();
    const now = performance.now();
    micros.push((now - before) * 1_000);
    before = now;
  }
  channel.onBytes(() => undefined);
  micros.sort((a, b) => a - b);
  const at = (share) => micros[Math.min(micros.length - 1, Math.floor(micros.length * share))];
  return { p50: at(0.5), p99: at(0.99), count: micros.length };
}
