// Sends a file with backpressure from disk to disk.
//
//   node examples/file-transfer.mjs [FILE [COPY]]      itself, into a temporary folder, unless said
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { generateSeed, SttEndpoint } from '@seigr/stt';

const [
  file = fileURLToPath(import.meta.url),
  copy = join(mkdtempSync(join(tmpdir(), 'stt-example-')), 'copy'),
] = process.argv.slice(2);

const sharedSeed = generateSeed();
const receiver = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1' });
const sender = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1' });

try {
  receiver.serve(async (session) => {
    for await (const stream of session.incomingBidirectionalStreams) {
      await pipeline(stream.batches(), joinBatches, createWriteStream(copy));
      // The sender learns what arrived, not only that something did.
      await stream.write(await sha256(copy));
      await stream.end();
    }
  });

  const session = await sender.connect(receiver.address, { peerNodeId: receiver.nodeId });
  const stream = await session.createBidirectionalStream({ purpose: 'file' });
  const answer = stream.text();
  await pipeline(createReadStream(file), writeTo(stream));
  await stream.end();
  const verified = (await answer) === (await sha256(file));
  console.log(verified ? 'the copy is the same' : 'the copy differs');
  process.exitCode = verified ? 0 : 1;
  await session.close();
} finally {
  await sender.close();
  await receiver.close();
}

async function* joinBatches(batches) {
  for await (const batch of batches) yield* batch;
}

function writeTo(stream) {
  return async (chunks) => {
    for await (const chunk of chunks) await stream.write(chunk);
  };
}

async function sha256(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}
