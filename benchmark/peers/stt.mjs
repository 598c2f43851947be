// STT through its public API, with everything on: checksums, masking, encryption, congestion control. Over UDP, or
// over a WebSocket with or without TLS.
import { SttEndpoint } from '../../dist/index.js';
import { certificate, trusting } from '../lib/certificate.mjs';

export const name = 'stt';

export async function serve({ seed, carrier = 'udp', block }) {
  const identity = carrier === 'wss' ? await certificate() : undefined;
  const endpoint = await SttEndpoint.create({ sharedSeed: seed, host: '127.0.0.1', port: 0 });
  const listener = endpoint.serve(
    async (session) => {
      for await (const stream of session.incomingBidirectionalStreams) {
        void answer(stream, block).catch(() => undefined);
      }
    },
    carrier === 'udp' ? {} : { websocket: { port: 0, tls: identity } },
  );
  await listener.ready;
  const { port } = carrier === 'udp' ? endpoint.address : listener.websocketAddress;
  return { target: { port, nodeId: endpoint.nodeId, cert: identity?.cert } };
}

export async function connect({ seed, carrier = 'udp', target }) {
  const endpoint = await SttEndpoint.create({ sharedSeed: seed });
  const session = await endpoint.connect(
    { address: '127.0.0.1', port: target.port },
    {
      peerNodeId: target.nodeId,
      transport: carrier === 'udp' ? 'udp' : 'websocket',
      ...(target.cert === undefined ? {} : { tls: trusting(target.cert) }),
    },
  );
  return {
    async upload(bytes, block) {
      const stream = await session.createBidirectionalStream({ purpose: 'sink' });
      await pour(stream, bytes, block);
      const answer = await stream.bytes({ limit: 8 });
      return Number(Buffer.from(answer).readBigUInt64LE());
    },
    async download(bytes) {
      const stream = await session.createBidirectionalStream({ purpose: `source/${bytes}` });
      await stream.end();
      return drain(stream);
    },
    async pinger(size) {
      const stream = await session.createBidirectionalStream({ purpose: 'echo' });
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

async function answer(stream, block) {
  const [kind, bytes] = stream.purpose.split('/');
  if (kind === 'sink') await sink(stream);
  else if (kind === 'source') await pour(stream, Number(bytes), block);
  else await echo(stream);
}

async function pour(stream, bytes, block) {
  for (let sent = 0; sent < bytes; sent += block.length) await stream.write(block);
  await stream.end();
}

async function sink(stream) {
  const answer = Buffer.alloc(8);
  answer.writeBigUInt64LE(BigInt(await drain(stream)));
  await stream.write(answer);
  await stream.end();
}

async function drain(stream) {
  let total = 0;
  for await (const batch of stream.batches()) for (const chunk of batch) total += chunk.length;
  return total;
}

async function echo(stream) {
  for await (const batch of stream.batches()) for (const chunk of batch) await stream.write(chunk);
  await stream.end();
}
