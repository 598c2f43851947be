// One side of one peer in a process of its own, steered over IPC by run.mjs.
import { cpuUsage } from 'node:process';

const BLOCK = Buffer.alloc(64 * 1024, 0x5a);
const WARM_UP_PINGS = 500;

const [, , peerModule] = process.argv;
const peer = await import(peerModule);
let side;

process.on('message', async ({ id, call, argument }) => {
  try {
    process.send({ id, result: await CALLS[call](argument) });
  } catch (error) {
    process.send({ id, error: error.stack ?? String(error) });
  }
});
process.on('disconnect', () => process.exit());

const CALLS = {
  async serve(options) {
    side = await peer.serve({ ...options, block: BLOCK });
    return { target: side.target };
  },
  async connect(options) {
    side = await peer.connect(options);
  },
  // CPU seconds so far, and the largest resident set, of this process with all its threads.
  usage() {
    const { user, system } = cpuUsage();
    return { cpu: (user + system) / 1e6, maxRss: process.resourceUsage().maxRSS * 1024 };
  },
  upload: ({ bytes }) => timed(bytes, () => side.upload(bytes, BLOCK)),
  download: ({ bytes }) => timed(bytes, () => side.download(bytes)),
  setups: ({ count, early }) => side.setups(count, early),
  moves: ({ count, end }) => side.moves(count, end),
  async pings({ count, size }) {
    const ping = await side.pinger(size);
    for (let index = 0; index < WARM_UP_PINGS; index += 1) await ping();
    const micros = new Float64Array(count);
    for (let index = 0; index < count; index += 1) {
      const started = performance.now();
      await ping();
      micros[index] = (performance.now() - started) * 1_000;
    }
    micros.sort();
    return { p50: micros[Math.floor(count * 0.5)], p99: micros[Math.floor(count * 0.99)] };
  },
  async close() {
    await side.close();
  },
};

async function timed(bytes, move) {
  const started = performance.now();
  const arrived = await move();
  if (arrived !== bytes) throw new Error(`${arrived} of ${bytes} bytes arrived`);
  return { seconds: (performance.now() - started) / 1_000 };
}

process.send({ ready: true });
