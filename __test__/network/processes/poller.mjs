// An endpoint that asks for busy polling, and says what the system did not grant.
import { generateSeed, SttEndpoint } from '../../../dist/index.js';

const options = { sharedSeed: generateSeed(), host: '127.0.0.1' };
const server = await SttEndpoint.create(options);
const client = await SttEndpoint.create({ ...options, socketBusyPoll: 50 });
const refused = [];
client.on('resourceWarning', (warning) => {
  if (warning.resource === 'socketBusyPoll') refused.push(warning);
});
// What the engine had to say of its start has been told by the time that a session is there.
server.listen();
await client.connect(server.address, { peerNodeId: 'any', transport: 'udp' });
process.send({ refused });
await Promise.all([client.close(), server.close()]);
