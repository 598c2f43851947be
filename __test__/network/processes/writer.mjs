// Connects and writes a file into one stream; reports its own peak memory.
import { createReadStream } from 'node:fs';
import { SttEndpoint } from '@seigr/stt';

process.once('message', async ({ sharedSeed, port, nodeId, path }) => {
  const endpoint = await SttEndpoint.create({ sharedSeed });
  const session = await endpoint.connect(
    { address: '127.0.0.1', port },
    { peerNodeId: nodeId, transport: 'udp' },
  );
  const stream = await session.createBidirectionalStream({ purpose: 'bulk' });
  let written = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
    await stream.write(chunk);
    written += chunk.length;
  }
  await stream.end();
  const digest = await stream.text();
  await session.close();
  await endpoint.close();
  process.send({ written, digest, peakRss: process.resourceUsage().maxRSS * 1024 });
  process.disconnect();
});
