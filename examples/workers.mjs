// A server on several cores: a worker thread for each, and an endpoint in each of them.
//
//   node examples/workers.mjs [WORKERS]               8 sessions for each of 2 workers, or so many
//
// An endpoint is a node of its own, with a port, an engine's thread and an event loop to itself. Clients are told
// which is theirs, here by a number that they have; a session stays with its worker until it ends.
import { once } from 'node:events';
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads';
import { generateSeed, SttEndpoint } from '@seigr/stt';

const SESSIONS = 8;

if (isMainThread) await main(Number(process.argv[2] ?? 2));
else await work(workerData);

async function work({ sharedSeed }) {
  const endpoint = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1' });
  endpoint.serve(
    async (session) => {
      for await (const stream of session.incomingBidirectionalStreams) {
        await stream.write(`worker ${threadId} says ${await stream.text({ limit: 1_000 })}`);
        await stream.end();
      }
    },
    { onError: (error, session) => console.error(`session ${session.id}: ${error}`) },
  );
  parentPort.postMessage({ address: endpoint.address, nodeId: endpoint.nodeId });
  await once(parentPort, 'message');
  // What is under way may end first.
  await endpoint.close({ drain: 5_000 });
  parentPort.close();
}

async function main(count) {
  const sharedSeed = generateSeed();
  const script = new URL(import.meta.url);
  const workers = Array.from(
    { length: count },
    () => new Worker(script, { workerData: { sharedSeed } }),
  );
  const nodes = await Promise.all(
    workers.map(async (worker) => (await once(worker, 'message'))[0]),
  );

  const client = await SttEndpoint.create({ sharedSeed });
  const answers = await Promise.all(
    Array.from({ length: SESSIONS * count }, (_, user) => ask(client, nodes[user % count], user)),
  );
  const served = new Map();
  for (const answer of answers) {
    const [who] = answer.split(' says ');
    served.set(who, (served.get(who) ?? 0) + 1);
  }
  for (const [who, sessions] of served) console.log(`${who}: ${sessions} sessions`);

  await client.close();
  for (const worker of workers) worker.postMessage('stop');
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
}

async function ask(client, { address, nodeId }, user) {
  const session = await client.connect(address, { peerNodeId: nodeId });
  const stream = await session.createBidirectionalStream({ purpose: 'echo' });
  await stream.write(`hello ${user}`);
  await stream.end();
  const answer = await stream.text({ limit: 1_000 });
  await session.close();
  return answer;
}
