// Listens, stops reading once for as long as it is told, writes what it reads to a file, answers with
// the SHA-256 of that file's bytes, and reports its own peak memory on request.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { SttEndpoint } from '@seigr/stt';

let endpoint;
process.on('message', async (message) => {
  if (message.start) {
    const { sharedSeed, path, pauseAfter, pauseMs } = message.start;
    endpoint = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1', port: 0 });
    endpoint.serve((session) => receive(session, { path, pauseAfter, pauseMs }));
    process.send({ port: endpoint.address.port, nodeId: endpoint.nodeId });
  } else if (message.report) {
    process.send({
      rss: process.memoryUsage().rss,
      peakRss: process.resourceUsage().maxRSS * 1024,
    });
  } else {
    await endpoint.close();
    process.disconnect();
  }
});

async function receive(session, { path, pauseAfter, pauseMs }) {
  for await (const stream of session.incomingBidirectionalStreams) {
    const hash = createHash('sha256');
    const file = path === undefined ? undefined : await open(path, 'w');
    let total = 0;
    let paused = pauseMs === 0;
    for await (const batch of stream.batches()) {
      for (const chunk of batch) {
        hash.update(chunk);
        total += chunk.length;
      }
      if (file !== undefined) await file.writev(batch);
      if (!paused && total >= pauseAfter) {
        paused = true;
        process.send({ paused: total });
        await pause(pauseMs);
      }
    }
    await file?.close();
    await stream.write(hash.digest('hex'));
    await stream.end();
  }
}
