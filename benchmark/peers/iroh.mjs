// @number0/iroh, without relays or discovery: the address is told. It takes and gives arrays of numbers, nothing else.
import { Endpoint, EndpointAddr, EndpointId, presetMinimal, RelayMode } from '@number0/iroh';
import { actByLabel, receiver, writeLabel } from '../lib/channel.mjs';

const ALPN = [...Buffer.from('stt-benchmark')];
const CHUNK = 64 * 1024;

async function endpoint() {
  const builder = Endpoint.builder();
  presetMinimal(builder);
  builder.relayMode(RelayMode.disabled());
  builder.alpns([ALPN]);
  builder.bindAddr('127.0.0.1:0');
  return builder.bind();
}

export async function serve(_options, act) {
  const server = await endpoint();
  void accept(server, act);
  const address = server.boundSockets().find((socket) => socket.startsWith('127.'));
  return { target: { id: server.id().toString(), address } };
}

async function accept(server, act) {
  while (true) {
    const incoming = await server.acceptNext();
    if (incoming === null) return;
    void streams(incoming, act).catch(() => undefined);
  }
}

async function streams(incoming, act) {
  const connection = await (await incoming.accept()).connect();
  while (true) actByLabel(channelOf(await connection.acceptBi()), act);
}

export async function connect({ target }) {
  const client = await endpoint();
  const address = new EndpointAddr(EndpointId.fromString(target.id), null, [target.address]);
  const connection = await client.connect(address, ALPN);
  return {
    async open(label) {
      const channel = channelOf(await connection.openBi());
      await writeLabel(channel, label);
      return channel;
    },
    async session() {
      const made = await client.connect(address, ALPN);
      return { destroy: () => made.close(0n, []), alive: () => made.closeReason() === null };
    },
  };
}

function channelOf({ send, recv }) {
  const { push, listen } = receiver();
  // Writes that nobody awaits are sent in any order.
  let last = Promise.resolve();
  let waiting = 0;
  let reading = false;
  const read = async () => {
    while (true) {
      const part = await recv.read(CHUNK);
      if (part.length === 0) return;
      push(part);
    }
  };
  return {
    write(bytes) {
      waiting += 1;
      last = last.then(async () => {
        await send.writeAll(Array.isArray(bytes) ? bytes : Array.from(bytes));
        waiting -= 1;
      });
      last.catch(() => undefined);
      return waiting > 16 ? last : undefined;
    },
    onBytes(take) {
      listen(take);
      if (!reading) void read().catch(() => undefined);
      reading = true;
    },
    pause: () => undefined,
    close: () => void send.finish().catch(() => undefined),
  };
}
