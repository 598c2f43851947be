// A client that outlives its server: it retries the first connect, and carries on where the server's store ends.
//
//   node examples/reconnect.mjs
import { generateSeed, logTo, ReconnectingSession, SttEndpoint } from '@seigr/stt';

const sharedSeed = generateSeed();
const nodeSeed = generateSeed(); // the server is the same node after every start
const words = 'what was stored is not sent again'.split(' ');
const stored = []; // the server's disk, so to speak
const stopLog = process.argv.includes('--log') ? logTo(console, { level: 'warn' }) : () => {};

async function serve(port) {
  const endpoint = await SttEndpoint.create({ sharedSeed, nodeSeed, host: '127.0.0.1', port });
  endpoint.serve(
    async (session) => {
      for await (const stream of session.incomingBidirectionalStreams) void store(stream);
    },
    { onError: () => {} },
  );
  return endpoint;
}

/** Says how much there is, then stores what comes, and says so after each. */
async function store(stream) {
  try {
    await stream.writeMessage(String(stored.length));
    for await (const word of stream.messages()) {
      stored.push(Buffer.from(word).toString());
      await stream.writeMessage(String(stored.length));
    }
    await stream.end();
  } catch {
    // The session is gone; the client comes back.
  }
}

let server = await serve(0);
const { port } = server.address;
const client = await SttEndpoint.create({ sharedSeed });

const kept = await ReconnectingSession.connect(client, `127.0.0.1:${port}`, {
  peerNodeId: server.nodeId,
  retry: true, // for the first connect: up to five tries
  reconnect: { base: 50, maxDelay: 500, deadline: 30_000 },
});
kept.on('reconnected', () => console.log('connected again'));

await kept.run('words', async (stream, { attempt }) => {
  const answers = stream.messages();
  const count = async () => Number(Buffer.from((await answers.next()).value).toString());
  for (let next = await count(); next < words.length; next = await count()) {
    if (next === 3 && attempt === 1) void restart();
    await stream.writeMessage(words[next]);
  }
  await stream.end();
});
console.log(stored.join(' '));

await kept.close();
await client.close();
await server.close();
stopLog();

/** The server fails in the middle, and is started again on its port. */
async function restart() {
  for (const session of server.sessions) session.destroy('out of order');
  await server.close({ drain: 0 });
  server = await serve(port);
}
