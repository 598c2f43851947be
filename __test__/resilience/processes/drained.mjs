// A server that answers a long answer to a short question, and drains when it is asked to end.
import { SttEndpoint } from '@seigr/stt';

process.once('message', async ({ sharedSeed, listen }) => {
  const endpoint = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1' });
  const listener = endpoint.serve(async (session) => {
    for await (const stream of session.incomingBidirectionalStreams) {
      await stream.bytes();
      void stream.write(Buffer.alloc(5_000_000));
      void stream.end();
      process.send({ written: true });
    }
  }, listen);
  process.once('SIGTERM', async () => {
    await endpoint.close({ drain: 10_000 });
    process.disconnect();
  });
  await listener.ready;
  process.send({ place: listener.websocketAddress ?? endpoint.address });
});
