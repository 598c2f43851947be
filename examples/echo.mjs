// An echo server and a client that measures round trips.
//
//   node examples/echo.mjs                            both in one process
//   node examples/echo.mjs serve SEED [PORT]          on one machine; prints what the other needs
//   node examples/echo.mjs ask SEED HOST:PORT NODEID  on the other
import { generateSeed, isSttError, SttEndpoint } from '@seigr/stt';

const ROUNDS = 100;
const MESSAGE = new Uint8Array(64);

async function serve(options) {
  const endpoint = await SttEndpoint.create(options);
  endpoint.serve(
    async (session) => {
      for await (const stream of session.incomingBidirectionalStreams) void echo(stream);
    },
    { onError: (error, session) => console.error(`session ${session.id}: ${error}`) },
  );
  return endpoint;
}

async function echo(stream) {
  try {
    for await (const batch of stream.batches()) {
      for (const chunk of batch) await stream.write(chunk);
    }
    await stream.end();
  } catch (error) {
    // The client is gone, or left in the middle: nothing to answer any more.
    if (!isSttError(error)) throw error;
  }
}

async function ask(sharedSeed, address, peerNodeId) {
  const endpoint = await SttEndpoint.create({ sharedSeed });
  try {
    const session = await endpoint.connect(address, { peerNodeId, timeout: 5_000 });
    const stream = await session.createBidirectionalStream({ purpose: 'echo' });
    const answers = stream.batches();
    const times = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const started = performance.now();
      await stream.write(MESSAGE);
      for (let missing = MESSAGE.length; missing > 0; ) {
        const { value } = await answers.next();
        for (const chunk of value) missing -= chunk.length;
      }
      times.push(performance.now() - started);
    }
    await stream.end();
    await session.close();
    times.sort((a, b) => a - b);
    console.log(`${ROUNDS} round trips, median ${(times[ROUNDS / 2] * 1_000).toFixed(0)} us`);
  } finally {
    await endpoint.close();
  }
}

const [command, seed, ...rest] = process.argv.slice(2);
if (command === 'serve') {
  const endpoint = await serve({ sharedSeed: seed, port: Number(rest[0] ?? 7788) });
  console.log(`port ${endpoint.address.port}, node id ${endpoint.nodeId}`);
  process.once('SIGINT', () => endpoint.close());
} else if (command === 'ask') {
  await ask(seed, rest[0], rest[1]);
} else {
  const sharedSeed = generateSeed();
  const server = await serve({ sharedSeed, host: '127.0.0.1' });
  await ask(sharedSeed, server.address, server.nodeId);
  await server.close();
}
