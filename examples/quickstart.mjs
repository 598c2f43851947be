// Two endpoints in one process: one asks, the other answers.
import { generateSeed, SttEndpoint } from '@seigr/stt';

const sharedSeed = generateSeed(); // both machines hold these 32 bytes

const server = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1', port: 0 });
server.serve(async (session) => {
  for await (const stream of session.incomingBidirectionalStreams) {
    const question = await stream.text();
    await stream.write(`You said: ${question}`);
    await stream.end();
  }
});

const client = await SttEndpoint.create({ sharedSeed });
const session = await client.connect(server.address, { peerNodeId: server.nodeId });
const stream = await session.createBidirectionalStream({ purpose: 'greeting' });
await stream.write('hello');
await stream.end();
console.log(await stream.text()); // You said: hello

await session.close();
await client.close();
await server.close();
