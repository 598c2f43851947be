// One end of a session that may take UDP or a WebSocket. It listens or connects, pushes bytes that look random
// until it is told to stop or takes what comes, and tells where the session's packets go, and why.
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { SttEndpoint } from '@seigr/stt';

const PIECE = 64 * 1024;

let stopped = false;
process.on('message', ({ stop }) => {
  stopped ||= stop === true;
});

async function push(session, hash) {
  const stream = await session.createUnidirectionalStream();
  const source = createCipheriv('aes-256-ctr', randomBytes(32), randomBytes(16));
  const zeros = Buffer.alloc(PIECE);
  while (!stopped) {
    const piece = source.update(zeros);
    hash.update(piece);
    await stream.write(piece);
  }
  await stream.end();
  await stream.finished;
}

async function take(session, hash) {
  let [received, told] = [0, 0];
  for await (const stream of session.incomingUnidirectionalStreams) {
    for await (const chunk of stream) {
      hash.update(chunk);
      received += chunk.length;
      if (received - told < PIECE) continue;
      told = received;
      process.send({ received });
    }
    return;
  }
}

async function run(session, pushes) {
  session.on('pathChange', (pathChange) => process.send({ pathChange }));
  process.send({ session: session.id, transport: session.transport });
  const hash = createHash('sha256');
  await (pushes ? push : take)(session, hash);
  process.send({ done: { hash: hash.digest('hex'), session: session.id } });
}

process.once('message', async ({ options, to, pushes }) => {
  const endpoint = await SttEndpoint.create({ host: '0.0.0.0', ...options });
  endpoint.on('sessionClosed', ({ reason, error }) => {
    process.send({ ended: { reason, code: error?.code } });
  });
  if (to !== undefined) {
    await run(await endpoint.connect(to.address, { peerNodeId: to.nodeId }), pushes);
    return;
  }
  const { port } = endpoint.address;
  const listener = endpoint.serve((session) => run(session, pushes), { websocket: { port } });
  await listener.ready;
  process.send({ port, nodeId: endpoint.nodeId });
});
