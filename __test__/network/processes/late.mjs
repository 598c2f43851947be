// A session whose engines have something due several times a second, in a process that is stopped from outside.
import { generateSeed, SttEndpoint } from '../../../dist/index.js';

const options = { sharedSeed: generateSeed(), host: '127.0.0.1', keepAliveInterval: 100 };
const server = await SttEndpoint.create(options);
const client = await SttEndpoint.create(options);
for (const endpoint of [server, client])
  endpoint.on('resourceWarning', (warning) => {
    // A system that grants small buffers warns of these as well.
    if (warning.resource === 'engineLag') process.send({ warning });
  });
server.listen();
const session = await client.connect(server.address, { peerNodeId: 'any', transport: 'udp' });
await session.ping();
process.send({ ready: true });
// Lived through: the session, not only its engines, is asked again.
process.on('message', async () => process.send({ answered: (await session.ping()) >= 0 }));
