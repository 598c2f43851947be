// udx-native: reliable streams over UDP. Bare, or under @hyperswarm/secret-stream (Noise XX and libsodium's secretstream).
// UDX has no handshake: who opens a stream tells its number by a datagram and waits for one back.
import { once } from 'node:events';
import SecretStream from '@hyperswarm/secret-stream';
import UDX from 'udx-native';
import { actByLabel, duplexChannel, writeLabel } from '../lib/channel.mjs';

const HOST = '127.0.0.1';
/** Milliseconds until an opener asks again: its datagram, or the answer, may be lost. */
const AGAIN_MS = 200;

export async function serve({ secret = false }, act) {
  const udx = new UDX();
  const socket = udx.createSocket();
  socket.bind(0, HOST);
  const known = new Set();
  const keyPair = SecretStream.keyPair();
  socket.on('message', (message, { port }) => {
    const id = message.readUInt32LE();
    const key = `${port}/${id}`;
    if (!known.has(key)) {
      known.add(key);
      const raw = udx.createStream(known.size);
      raw.on('error', () => undefined);
      raw.connect(socket, id, port, HOST);
      const stream = secret ? new SecretStream(false, raw, { keyPair }) : raw;
      stream.on('error', () => undefined);
      // A UDX stream ends by itself only when both sides have said so.
      stream.on('end', () => stream.end());
      actByLabel(duplexChannel(stream), act);
    }
    const answer = Buffer.alloc(8);
    answer.writeUInt32LE(id);
    answer.writeUInt32LE(known.size, 4);
    socket.trySend(answer, port, HOST);
  });
  return { target: { port: socket.address().port, secret } };
}

export async function connect({ target: { port, secret } }) {
  const udx = new UDX();
  const socket = udx.createSocket();
  socket.bind(0, HOST);
  const keyPair = SecretStream.keyPair();
  const asked = new Map();
  socket.on('message', (message) => asked.get(message.readUInt32LE())?.(message.readUInt32LE(4)));
  let next = 0;
  const dial = async () => {
    next += 1;
    const id = next;
    const raw = udx.createStream(id);
    raw.on('error', () => undefined);
    raw.connect(socket, await remote(id), port, HOST);
    if (!secret) return raw;
    const stream = new SecretStream(true, raw, { keyPair });
    stream.on('error', () => undefined);
    await once(stream, 'connect');
    return stream;
  };
  const remote = (id) =>
    new Promise((resolve) => {
      const message = Buffer.alloc(4);
      message.writeUInt32LE(id);
      const ask = () => socket.trySend(message, port, HOST);
      const timer = setInterval(ask, AGAIN_MS);
      asked.set(id, (number) => {
        clearInterval(timer);
        asked.delete(id);
        resolve(number);
      });
      ask();
    });
  return {
    async open(label) {
      const channel = duplexChannel(await dial());
      await writeLabel(channel, label);
      return channel;
    },
    async session() {
      const stream = await dial();
      return { destroy: () => stream.destroy(), alive: () => !stream.destroyed };
    },
  };
}
