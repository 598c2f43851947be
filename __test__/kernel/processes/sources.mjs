// One server on all addresses and a client on each that it is told, in one process of one namespace; answers what
// became of each connect.
import { generateSeed, isSttError, SttEndpoint } from '@seigr/stt';

process.once('message', async ({ listen, connects }) => {
  const sharedSeed = generateSeed();
  const server = await SttEndpoint.create({ sharedSeed, host: '::' });
  server.serve(() => {}, listen);
  const outcomes = [];
  for (const { from, to } of connects) {
    const client = await SttEndpoint.create({ sharedSeed, host: from });
    const address = { address: to, port: server.address.port };
    try {
      await client.connect(address, { peerNodeId: server.nodeId, timeout: 5_000 });
      outcomes.push('connected');
    } catch (error) {
      outcomes.push(isSttError(error) ? error.code : String(error));
    }
  }
  process.send({ outcomes });
});
