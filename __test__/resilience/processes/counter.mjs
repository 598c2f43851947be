// A server with a lasting identity that stores what comes, and is killed in the middle. Each stream begins by
// being told how much is stored; what comes after that is stored behind it.
import { appendFileSync, existsSync, statSync } from 'node:fs';
import { SttEndpoint } from '@seigr/stt';

process.once('message', async ({ sharedSeed, nodeSeed, port, file }) => {
  const options = { sharedSeed, nodeSeed, host: '127.0.0.1', port };
  const endpoint = await SttEndpoint.create(options);
  endpoint.serve(
    async (session) => {
      for await (const stream of session.incomingBidirectionalStreams) void store(stream, file);
    },
    { onError: () => {} },
  );
  process.send({ ready: { port: endpoint.address.port, nodeId: endpoint.nodeId } });
});

async function store(stream, file) {
  try {
    const stored = existsSync(file) ? statSync(file).size : 0;
    await stream.writeMessage(JSON.stringify({ stored }));
    for await (const chunk of stream) {
      appendFileSync(file, chunk);
      process.send({ stored: statSync(file).size });
    }
    await stream.writeMessage(JSON.stringify({ stored: statSync(file).size }));
    await stream.end();
  } catch {
    // The client is gone, and comes back.
  }
}
