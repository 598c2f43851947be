// One side of one peer in a process of its own, steered over IPC by run.mjs. What it can be told to do is in actions/.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { cpuUsage } from 'node:process';
import { bulkActions } from './actions/bulk.mjs';
import { messageActions } from './actions/messages.mjs';
import { roundTripActions } from './actions/round-trips.mjs';
import { sessionActions } from './actions/sessions.mjs';
import { act } from './channel.mjs';

const [, , peerModule] = process.argv;
const peer = await import(peerModule);
let side;
let delay;

const ACTIONS = {
  async serve(options) {
    side = await peer.serve(options, act);
    return { target: side.target };
  },
  async connect(options) {
    side = await peer.connect(options);
  },
  /** CPU seconds so far, the resident set now and the largest, of this process with all its threads. */
  usage() {
    const { user, system } = cpuUsage();
    const maxRss = process.resourceUsage().maxRSS * 1024;
    return { cpu: (user + system) / 1e6, rss: process.memoryUsage.rss(), maxRss };
  },
  watchDelay() {
    delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
  },
  /** Milliseconds between two turns of a timer of 1 ms since then, as Node counts them. */
  delay() {
    delay.disable();
    return { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6 };
  },
  async close() {
    await side.close?.();
  },
  ...bulkActions(() => side),
  ...roundTripActions(() => side),
  ...messageActions(() => side),
  ...sessionActions(() => side),
};

process.on('message', async ({ id, call, argument }) => {
  try {
    process.send({ id, result: await ACTIONS[call](argument) });
  } catch (error) {
    process.send({ id, error: error.stack ?? String(error) });
  }
});
process.on('disconnect', () => process.exit());
process.send({ ready: true });
