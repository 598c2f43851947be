// STT through its public API, with everything on: checksums, masking, encryption, congestion control. Over UDP, or
// over a WebSocket with or without TLS.
import { SttEndpoint } from '../../dist/index.js';
import { trusting } from '../lib/certificate.mjs';
import { countingProxy, relay } from '../lib/ways.mjs';

export const name = 'stt';

export async function serve({ seed, carrier = 'udp', identity, block }) {
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
  const udpPort = endpoint.address.port;
  return { target: { port, udpPort, nodeId: endpoint.nodeId, cert: identity?.cert } };
}

export async function connect({ seed, carrier = 'udp', target }) {
  const endpoint = await SttEndpoint.create({ sharedSeed: seed });
  const options = {
    peerNodeId: target.nodeId,
    transport: carrier === 'udp' ? 'udp' : 'websocket',
    ...(target.cert === undefined ? {} : { tls: trusting(target.cert) }),
  };
  const session = await endpoint.connect({ address: '127.0.0.1', port: target.port }, options);
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
    /** Opens sessions one after the other: milliseconds and round trips of each. */
    async setups(count, early) {
      const proxy = await countingProxy(target.port);
      const times = [];
      const trips = [];
      for (let index = 0; index < count; index += 1) {
        const started = performance.now();
        const opened = await endpoint.connect(
          { address: '127.0.0.1', port: proxy.port },
          { ...options, early },
        );
        times.push(performance.now() - started);
        trips.push(proxy.answers());
        opened.destroy();
      }
      proxy.close();
      return { times, trips };
    },
    /** Sessions that send by UDP until that ends in one of two ways: milliseconds until each goes on by a WebSocket. */
    async moves(count, end) {
      const times = [];
      for (let index = 0; index < count; index += 1) {
        const udp = await relay(target.udpPort);
        const moving = await endpoint.connect(
          { address: '127.0.0.1', port: udp.port },
          {
            peerNodeId: target.nodeId,
            transport: 'auto',
            websocket: { url: `ws://127.0.0.1:${target.port}/stt` },
          },
        );
        times.push(await timeToMove(moving, udp, end));
        moving.destroy();
        udp.close();
      }
      return { times };
    },
    async close() {
      await session.close();
      await endpoint.close();
    },
  };
}

/** Bytes that are through before UDP ends: a round trip is known by then. */
const BEFORE_END = 2_000_000;

async function timeToMove(session, udp, end) {
  if (session.transport !== 'udp') return undefined;
  const stream = await session.createBidirectionalStream({ purpose: 'sink' });
  let over = false;
  const block = Buffer.alloc(16_384);
  const enough = resolvers();
  void (async () => {
    for (let sent = 0; !over; sent += block.length) {
      await stream.write(block);
      if (sent >= BEFORE_END) enough.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
  })().catch(() => undefined);
  await enough.promise;
  const moved = new Promise((resolve) =>
    session.on('pathChange', ({ transport }) => transport === 'websocket' && resolve()),
  );
  if (session.transport !== 'udp') return undefined;
  const started = performance.now();
  udp[end]();
  await moved;
  over = true;
  return performance.now() - started;
}

function resolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
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
