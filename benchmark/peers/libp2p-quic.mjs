// @chainsafe/libp2p-quic (quinn through napi), its transport by itself: without libp2p's negotiation of a protocol on each
// stream, which would only cost it time.

import { quic } from '@chainsafe/libp2p-quic';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { defaultLogger } from '@libp2p/logger';
import { multiaddr } from '@multiformats/multiaddr';
import { actByLabel, receiver, writeLabel } from '../lib/channel.mjs';

/** As many sessions as are measured may come from one peer. */
const OPTIONS = { maxIdleTimeout: 60_000 };

/** Bytes that may wait before the writer does. */
const HIGH_WATER = 256 * 1024;

async function transport() {
  return quic(OPTIONS)({ privateKey: await generateKeyPair('Ed25519'), logger: defaultLogger() });
}

/** Takes what the transport made of a connection as it is: QUIC has encryption and streams. */
const upgrader = (onStream) => {
  const upgrade = async (connection, { muxerFactory }) => ({
    connection,
    muxer: muxerFactory.createStreamMuxer({ onIncomingStream: onStream }),
  });
  return { upgradeInbound: upgrade, upgradeOutbound: upgrade };
};

export async function serve(_options, act) {
  const listener = (await transport()).createListener({
    upgrader: upgrader((stream) => actByLabel(channelOf(stream), act)),
  });
  await listener.listen(multiaddr('/ip4/127.0.0.1/udp/0/quic-v1'));
  return { target: { address: listener.getAddrs()[0].toString() } };
}

export async function connect({ target }) {
  const dialer = await transport();
  const address = multiaddr(target.address);
  const dial = () => dialer.dial(address, { upgrader: upgrader(() => undefined) });
  const { muxer } = await dial();
  return {
    async open(label) {
      const channel = channelOf(await muxer.newStream());
      await writeLabel(channel, label);
      return channel;
    },
    async session() {
      const { connection } = await dial();
      return {
        destroy: () => connection.abort(new Error('measured')),
        alive: () => connection.timeline.close === undefined,
      };
    },
  };
}

/** A libp2p stream is a source to loop over and a sink that loops over what is to be sent. */
function channelOf(stream) {
  const { push, listen } = receiver();
  const queue = [];
  let waiting = 0;
  let wake;
  const taken = [];
  const outgoing = async function* () {
    while (true) {
      while (queue.length > 0) {
        const next = queue.shift();
        waiting -= next.length;
        yield next;
      }
      for (const resolve of taken.splice(0)) resolve();
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
  };
  stream.sink(outgoing()).catch(() => undefined);
  let reading = false;
  const read = async () => {
    for await (const list of stream.source) push(list.subarray());
  };
  return {
    write(bytes) {
      queue.push(bytes);
      waiting += bytes.length;
      wake?.();
      if (waiting < HIGH_WATER) return undefined;
      return new Promise((resolve) => taken.push(resolve));
    },
    onBytes(take) {
      listen(take);
      if (!reading) void read().catch(() => undefined);
      reading = true;
    },
    pause: () => undefined,
    close: () => stream.abort(new Error('measured')),
  };
}
