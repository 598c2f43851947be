// node-datachannel: WebRTC's data channels (DTLS and SCTP). An offer and its answer go by TCP between the two processes, as
// any application has to bring its own way for that.
import { once } from 'node:events';
import { connect as connectPlain, createServer } from 'node:net';
import rtc from 'node-datachannel';
import { receiver } from '../lib/channel.mjs';

const HOST = '127.0.0.1';
const CONFIG = { iceServers: [], bindAddress: HOST };
/** Bytes that may wait in a channel before the sender does, and those at which it goes on. */
const HIGH_WATER = 1 << 20;
const LOW_WATER = 1 << 18;

export async function serve(_options, act) {
  const peers = new Set();
  const server = createServer({ noDelay: true }, async (socket) => {
    socket.on('error', () => undefined);
    const offer = await line(socket);
    const peer = new rtc.PeerConnection('server', CONFIG);
    peers.add(peer);
    peer.onStateChange((state) => {
      if (state === 'closed' || state === 'failed' || state === 'disconnected') peers.delete(peer);
    });
    peer.onDataChannel((channel) => {
      peers.add(channel);
      act(channel.getLabel(), channelOf(channel));
    });
    const answer = described(peer);
    peer.setRemoteDescription(offer.sdp, offer.type);
    socket.end(`${JSON.stringify(await answer)}\n`);
  });
  server.listen({ port: 0, host: HOST, backlog: 1_024 });
  await once(server, 'listening');
  return { target: { port: server.address().port } };
}

export async function connect({ target }) {
  const dial = async (label) => {
    const peer = new rtc.PeerConnection('client', CONFIG);
    const offer = described(peer);
    const first = peer.createDataChannel(label);
    const opened = new Promise((resolve) => first.onOpen(resolve));
    const socket = connectPlain(target.port, HOST);
    socket.write(`${JSON.stringify(await offer)}\n`);
    const { sdp, type } = await line(socket);
    socket.destroy();
    peer.setRemoteDescription(sdp, type);
    await opened;
    return { peer, first };
  };
  const { peer } = await dial('idle');
  return {
    async open(label) {
      const channel = peer.createDataChannel(label);
      await new Promise((resolve) => channel.onOpen(resolve));
      return channelOf(channel);
    },
    async session() {
      const made = await dial('idle');
      return { destroy: () => made.peer.close(), alive: () => made.first.isOpen() };
    },
  };
}

/** What a side says of itself, its addresses included. */
function described(peer) {
  return new Promise((resolve) =>
    peer.onGatheringStateChange((state) => {
      if (state === 'complete') resolve(peer.localDescription());
    }),
  );
}

async function line(socket) {
  let text = '';
  socket.setEncoding('utf8');
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    text += part;
    if (text.endsWith('\n')) break;
  }
  return JSON.parse(text);
}

function channelOf(channel) {
  const { push, listen } = receiver();
  channel.onMessage(push);
  channel.setBufferedAmountLowThreshold(LOW_WATER);
  return {
    write(bytes) {
      channel.sendMessageBinary(bytes);
      if (channel.bufferedAmount() < HIGH_WATER) return undefined;
      return new Promise((resolve) => channel.onBufferedAmountLow(resolve));
    },
    onBytes: listen,
    pause: () => undefined,
    close: () => channel.close(),
  };
}
