// STT through its public API, with everything on: checksums, masking, encryption, congestion control. Over UDP, or
// over a WebSocket with or without TLS.
import { SttEndpoint } from '../../dist/index.js';
import { Tally } from '../lib/actions/messages.mjs';
import { trusting } from '../lib/certificate.mjs';
import { receiver } from '../lib/channel.mjs';
import { endings } from '../lib/endings.mjs';

/** Bytes of writes that nobody awaited before the writer waits. */
const PENDING = 64 * 1024;
/** The most urgent of priorities. */
const URGENT = 0;

/** `endpoint` has options of the endpoint, for both sides. */
export async function serve(options, act) {
  const { seed, carrier = 'udp', identity, host = '127.0.0.1', endpoint: own = {} } = options;
  const endpoint = await SttEndpoint.create({ sharedSeed: seed, host, port: 0, ...own });
  const tally = new Tally();
  const listener = endpoint.serve(
    async (session) => {
      void count(session, tally);
      for await (const stream of session.incomingBidirectionalStreams) {
        if (stream.purpose === 'framed') void countMessages(stream).catch(() => undefined);
        else act(stream.purpose, channelOf(stream));
      }
    },
    {
      // Sessions that end by force are ends with an error.
      onError: () => undefined,
      ...(carrier === 'udp' ? {} : { websocket: { port: 0, tls: identity } }),
    },
  );
  await listener.ready;
  const { port } = carrier === 'udp' ? endpoint.address : listener.websocketAddress;
  const udpPort = endpoint.address.port;
  const cert = identity?.cert;
  return {
    target: { host, port, udpPort, nodeId: endpoint.nodeId, cert },
    datagramsTaken: () => tally.taken,
  };
}

export async function connect({ seed, carrier = 'udp', target, endpoint: own = {} }) {
  const endpoint = await SttEndpoint.create({ sharedSeed: seed, ...own });
  const address = { address: target.host, port: target.port };
  const options = {
    peerNodeId: target.nodeId,
    transport: carrier === 'udp' ? 'udp' : 'websocket',
    ...(target.cert === undefined ? {} : { tls: trusting(target.cert) }),
  };
  const session = await endpoint.connect(address, options);
  const openStream = (purpose, { urgent = false } = {}) =>
    session.createBidirectionalStream({ purpose, ...(urgent ? { priority: URGENT } : {}) });
  return {
    open: async (label, how) => channelOf(await openStream(label, how)),
    /** Messages with their bounds. */
    async openFramed() {
      const stream = await openStream('framed');
      return {
        write(message) {
          const written = stream.writeMessage(message);
          return stream.pendingBytes > PENDING ? written : undefined;
        },
        async finish(last) {
          await stream.writeMessage(last);
          void stream.end();
          return Number(await stream.text({ limit: 32 }));
        },
      };
    },
    async datagrams(message) {
      const { datagrams } = session;
      return async () => {
        let sent = 0;
        while (sent < 256 && datagrams.trySend(message)) sent += 1;
        if (sent === 256) return sent;
        await datagrams.send(message);
        return sent + 1;
      };
    },
    async session() {
      const opened = await endpoint.connect(address, options);
      let over = false;
      void opened.settled.then(() => {
        over = true;
      });
      return { destroy: () => opened.destroy(), alive: () => !over };
    },
    ...endings(endpoint, target, options),
    async close() {
      await session.close();
      await endpoint.close();
    },
  };
}

function channelOf(stream) {
  const { push, listen } = receiver();
  let reading = false;
  const read = async () => {
    // Who takes a chunk is done with it when the call returns, but for an echo, which writes it.
    const lend = stream.purpose !== 'echo';
    for await (const batch of stream.batches({ lend })) for (const chunk of batch) push(chunk);
  };
  return {
    write(bytes) {
      const written = stream.write(bytes);
      return stream.pendingBytes > PENDING ? written : undefined;
    },
    onBytes(take) {
      listen(take);
      // A session that ends by force ends what is read of it.
      if (!reading) void read().catch(() => undefined);
      reading = true;
    },
    pause: () => undefined,
    close: () => void stream.close().catch(() => undefined),
  };
}

async function count(session, tally) {
  try {
    for await (const batch of session.datagrams.batches()) tally.add(batch.length);
  } catch {
    // The session has ended.
  }
}

async function countMessages(stream) {
  let messages = 0;
  for await (const _ of stream.messages()) messages += 1;
  await stream.write(String(messages));
  await stream.end();
}
