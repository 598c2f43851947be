// Listens, by WebSocket too if it is told so; answers every stream with the SHA-256 of what it brought, and tells how its session ended.
import { createHash } from 'node:crypto';
import { SttEndpoint } from '@seigr/stt';

process.once('message', async ({ options, websocket }) => {
  const endpoint = await SttEndpoint.create({ ...options, host: '0.0.0.0' });
  endpoint.on('sessionClosed', ({ reason, error }) => {
    process.send({ ended: { reason, code: error?.code, at: Date.now() } });
  });
  const { port } = endpoint.address;
  const listener = endpoint.serve(
    async (session) => {
      process.send({ accepted: session.id });
      session.on('pathChange', (pathChange) => process.send({ pathChange }));
      for await (const stream of session.incomingBidirectionalStreams) {
        const hash = createHash('sha256');
        let received = 0;
        for await (const chunk of stream) {
          hash.update(chunk);
          received += chunk.length;
          process.send({ received });
        }
        await stream.write(new TextEncoder().encode(hash.digest('hex')));
        await stream.end();
      }
    },
    { onError: () => {}, ...(websocket ? { websocket: { port } } : {}) },
  );
  await listener.ready;
  process.send({ nodeId: endpoint.nodeId, port });
});
