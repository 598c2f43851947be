// A process without descriptors, in which a link hears a client for the first time. An unhandled rejection ends it.
import { closeSync, openSync } from 'node:fs';
import { TestNetwork } from '@seigr/stt/testing';

const network = new TestNetwork();
const server = await network.endpoint();
server.listen();
const client = await network.endpoint();
const link = await network.link(server);
const held = [];
try {
  for (;;) held.push(openSync('/dev/null'));
} catch (error) {
  if (error.code !== 'EMFILE') throw error;
}
// The address is one, so that connecting takes no descriptor of its own.
const connecting = client.connect(link.address, { peerNodeId: server.nodeId, timeout: 10_000 });
await new Promise((resolve) => setTimeout(resolve, 300));
for (const descriptor of held) closeSync(descriptor);
await connecting;
console.log('connected');
await network[Symbol.asyncDispose]();
