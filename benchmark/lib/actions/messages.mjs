// Many small messages one way, and datagrams.
import { answered, endOf, FILL } from '../channel.mjs';

/** Messages that are handed over in one call, where there is one for many. */
const BATCH = 256;
/** Milliseconds after the last datagram until the receiver's count is final. */
const SETTLE_MS = 300;

export const messageActions = (side) => ({
  /**
   * Messages of `size` bytes for so long: 'each' is written by itself, 'many' by the call that a peer has for many,
   * 'framed' by what keeps their bounds, to be read one by one.
   */
  async messages({ size, how, milliseconds }) {
    const message = Buffer.alloc(size, FILL);
    if (how === 'framed') return framed(side(), message, milliseconds);
    const channel = await side().open('sink');
    const total = answered(channel);
    const many = Array.from({ length: BATCH }, () => message);
    const writeMany =
      how === 'many' && channel.writeMany !== undefined
        ? () => channel.writeMany(many)
        : () => writeEach(channel, message);
    const started = performance.now();
    for (const end = started + milliseconds; performance.now() < end; ) {
      const wait = writeMany();
      if (wait !== undefined) await wait;
    }
    await channel.write(endOf(message));
    const count = (await total) / size;
    return { count, seconds: (performance.now() - started) / 1_000 };
  },
  async datagrams({ size, milliseconds }) {
    const send = await side().datagrams(Buffer.alloc(size, FILL));
    const end = performance.now() + milliseconds;
    let sent = 0;
    while (performance.now() < end) sent += await send();
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    return { sent };
  },
  /** At the receiver: how many datagrams came, and in how many seconds. */
  datagramsTaken: () => side().datagramsTaken(),
});

/** Writes a batch one by one; what to wait for, if the last of them was too many. */
function writeEach(channel, message) {
  let wait;
  for (let index = 0; index < BATCH; index += 1) {
    wait = channel.write(message);
    if (wait !== undefined) return wait;
  }
  return undefined;
}

async function framed(side, message, milliseconds) {
  const channel = await side.openFramed();
  const started = performance.now();
  for (const end = started + milliseconds; performance.now() < end; ) {
    for (let index = 0; index < BATCH; index += 1) {
      const wait = channel.write(message);
      if (wait !== undefined) await wait;
    }
  }
  const count = await channel.finish(endOf(message));
  return { count, seconds: (performance.now() - started) / 1_000 };
}

/** What a receiver of datagrams keeps of them. */
export class Tally {
  #count = 0;
  #first = 0;
  #last = 0;

  add(count = 1) {
    this.#last = performance.now();
    if (this.#count === 0) this.#first = this.#last;
    this.#count += count;
  }

  get taken() {
    return { count: this.#count, seconds: (this.#last - this.#first) / 1_000 };
  }
}
