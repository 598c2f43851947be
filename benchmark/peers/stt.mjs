// STT through its public API, with everything on: checksums, masking, encryption, congestion control.
import { SttEndpoint } from '../../dist/index.js';

const PURPOSES = { bulk: 'bulk', echo: 'echo' };

export const name = 'stt (udp)';

export async function serve({ seed }) {
  const endpoint = await SttEndpoint.create({ sharedSeed: seed, host: '127.0.0.1', port: 0 });
  endpoint.serve(async (session) => {
    for await (const stream of session.incomingBidirectionalStreams) {
      void (stream.purpose === PURPOSES.bulk ? sink(stream) : echo(stream)).catch(() => undefined);
    }
  });
  return {
    target: { port: endpoint.address.port, nodeId: endpoint.nodeId },
    close: () => endpoint.close(),
  };
}

export async function connect({ seed, target }) {
  const endpoint = await SttEndpoint.create({ sharedSeed: seed });
  const session = await endpoint.connect(
    { address: '127.0.0.1', port: target.port },
    { peerNodeId: target.nodeId, transport: 'udp' },
  );
  return {
    async bulk(bytes, block) {
      const stream = await session.createBidirectionalStream({ purpose: PURPOSES.bulk });
      for (let sent = 0; sent < bytes; sent += block.length) await stream.write(block);
      await stream.end();
      const answer = await stream.bytes({ limit: 8 });
      return Number(Buffer.from(answer).readBigUInt64LE());
    },
    async pinger(size) {
      const stream = await session.createBidirectionalStream({ purpose: PURPOSES.echo });
      const message = new Uint8Array(size);
      const batches = stream.batches()[Symbol.asyncIterator]();
      return async () => {
        void stream.write(message);
        for (let missing = size; missing > 0; ) {
          const { value } = await batches.next();
          for (const chunk of value) missing -= chunk.length;
        }
      };
    },
    async close() {
      await session.close();
      await endpoint.close();
    },
  };
}

async function sink(stream) {
  let total = 0;
  for await (const batch of stream.batches()) for (const chunk of batch) total += chunk.length;
  const answer = Buffer.alloc(8);
  answer.writeBigUInt64LE(BigInt(total));
  await stream.write(answer);
  await stream.end();
}

async function echo(stream) {
  for await (const batch of stream.batches()) for (const chunk of batch) await stream.write(chunk);
  await stream.end();
}
