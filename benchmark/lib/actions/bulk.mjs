// Moving as many bytes as will go.
import { answered, BLOCK, drain, pour } from '../channel.mjs';

/** Blocks that nobody reads are written until so many milliseconds pass without one being taken. */
const STUCK_MS = 1_000;

export const bulkActions = (side) => ({
  /** So many channels at once, each for so long. The clock runs until the other side has all and has said so. */
  async upload({ milliseconds, channels = 1 }) {
    const open = Array.from({ length: channels }, () => side().open('sink'));
    return timed(await Promise.all(open), (channel) => up(channel, milliseconds));
  },
  async download({ milliseconds }) {
    const started = performance.now();
    const bytes = await drain(await side().open(`source/${milliseconds}`));
    return { bytes, seconds: secondsSince(started) };
  },
  async both({ milliseconds }) {
    const channel = await side().open('sink');
    const started = performance.now();
    const [sent, received] = await Promise.all([
      up(channel, milliseconds),
      side()
        .open(`source/${milliseconds}`)
        .then((source) => drain(source)),
    ]);
    return { bytes: sent + received, seconds: secondsSince(started) };
  },
  /** Writes to a reader that has stopped, until nothing is taken any more; the bytes that were. */
  async stall({ most }) {
    const channel = await side().open('stall');
    let taken = 0;
    while (taken < most) {
      const waited = await Promise.race([Promise.resolve(channel.write(BLOCK)), stuck()]);
      taken += BLOCK.length;
      if (waited === STUCK) break;
    }
    return { bytes: taken };
  },
});

const STUCK = Symbol('stuck');

function stuck() {
  return new Promise((resolve) => setTimeout(resolve, STUCK_MS, STUCK));
}

async function up(channel, milliseconds) {
  const total = answered(channel);
  const written = await pour(channel, milliseconds);
  const arrived = await total;
  if (arrived !== written) throw new Error(`${arrived} of ${written} bytes arrived`);
  channel.close();
  return written;
}

async function timed(channels, move) {
  const started = performance.now();
  const all = await Promise.all(channels.map(move));
  return { bytes: all.reduce((sum, bytes) => sum + bytes, 0), seconds: secondsSince(started) };
}

function secondsSince(started) {
  return (performance.now() - started) / 1_000;
}
