// 0x0603: the memory that an endpoint may hold is used up.

import { strict as assert } from 'node:assert';
import type { EndpointOptions, SttEndpoint, SttSession, SttStream } from '@seigr/stt';
import type { TestPair } from '@seigr/stt/testing';
import type { Context } from '../context.ts';
import { type AnyRow, row } from '../row.ts';

const MIB = 1024 * 1024;
/** What the client may hold: a sixteenth of what it is to write. */
const LITTLE = 2 * MIB;
const WRITTEN = 16 * LITTLE;
/** What small things find left when all is full: less than 16 KiB, of which a stream takes 4. */
const TRIES = 16;
/** As much as a stream takes: where there is no room for one more of these, there is none for it. */
const SMALL_WRITE = 4 * 1024;

/** A client that may hold so much, one stream of it that is idle, and one for all that it writes. */
interface Holding extends TestPair {
  readonly idle: SttStream;
  readonly hog: SttStream;
  /** Settles when all of it was taken; undefined while nothing is written. */
  written?: Promise<void>;
}

async function holding(context: Context, maxMemory: number): Promise<Holding> {
  // Whatever holds a session back is the ceiling, and no clock is.
  const wide: Partial<EndpointOptions> = { sendBufferSize: 64 * MIB, keepAliveTimeout: 30_000 };
  const client = { ...wide, maxMemory };
  const pair = await context.network.connect({ server: { keepAliveTimeout: 30_000 }, client });
  const idle = await pair.session.createBidirectionalStream();
  return { ...pair, idle, hog: await pair.session.createBidirectionalStream({ purpose: 'hog' }) };
}

/** Writes what the peer does not read, until `bytes` of it are held. */
async function press(state: Holding, bytes: number): Promise<void> {
  state.written = state.hog.write(Buffer.alloc(WRITTEN));
  state.written.catch(() => undefined);
  while (used(state.client) < bytes) await state.session.ping({ timeout: 30_000 });
}

/** What an endpoint does beside the stream that fills it: connect, open, write. */
function operations({ client, server, faults, session, idle }: Holding) {
  const connect = (): Promise<SttSession> =>
    client.connect(faults.address, { peerNodeId: server.nodeId });
  return {
    connect,
    open: (): Promise<SttStream> => session.createBidirectionalStream(),
    write: (): Promise<void> => idle.write(Buffer.alloc(SMALL_WRITE)),
  };
}

export const memoryRows: readonly AnyRow[] = [
  row({
    id: '0x0603',
    title: 'no memory left',
    fault: `write(${WRITTEN / MIB} MiB) to a peer that does not read; maxMemory is ${LITTLE / MIB} MiB`,
    setup: (context) => holding(context, LITTLE),
    async baseline(state) {
      for (const each of Object.values(operations(state))) await each();
    },
    inject: (state) => press(state, LITTLE),
    async act(state, context) {
      for (const [how, each] of Object.entries(operations(state))) {
        for (let count = 0; count < TRIES; count += 1) {
          await context.watch('client', how, each());
          if (context.seen.some((seen) => seen.how === how)) break;
        }
      }
    },
    expect: ['connect', 'open', 'write'].map((how) => ({
      side: 'client',
      how,
      code: 0x0603 as const,
      says: /of the 2\.0 MiB that it may \(maxMemory\)/,
    })),
    recovery: {
      async '0x0603/3'(_, context) {
        // More memory, and the same load: as much is held and more, and nothing is refused.
        const roomy = await holding(context, 2 * WRITTEN);
        await press(roomy, 2 * LITTLE);
        for (const each of Object.values(operations(roomy))) await each();
        assert.equal(roomy.client.stats()?.memoryRefused, 0);
      },
      async '0x0603/1'(state) {
        // Less load: what was written is read there, and whatever was refused goes by itself.
        const reading = readAll(state.accepted);
        await state.written;
        await state.hog.end();
        await reading;
        assert(used(state.client) < LITTLE);
        for (const each of Object.values(operations(state))) await each();
      },
    },
  }),
];

/** Reads the stream of that purpose to its end; the others stay as they are. */
async function readAll(session: SttSession): Promise<void> {
  for await (const stream of session.incomingBidirectionalStreams) {
    if (stream.purpose !== 'hog') continue;
    let read = 0;
    for await (const chunk of stream) read += chunk.length;
    assert.equal(read, WRITTEN);
    return;
  }
}

function used(endpoint: SttEndpoint): number {
  return endpoint.stats()?.memoryUsed ?? Number.NaN;
}
