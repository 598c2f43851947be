// ws alone: one binary message a block, no compression, `ws` as it is otherwise. A connection says by its path what it is for.
// `sealed`: each message is sealed by node:crypto with AES-256-GCM, the least that end-to-end encryption costs an application.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { WebSocket, WebSocketServer } from 'ws';
import { trusting } from '../lib/certificate.mjs';
import { receiver } from '../lib/channel.mjs';

/** Bytes that may wait in a socket before the sender does. */
const HIGH_WATER = 1 << 20;

const CIPHER = 'aes-256-gcm';
const NONCE = 12;
const TAG = 16;

export async function serve({ identity, seed, sealed }, act) {
  const server = identity ? createSecureServer(identity) : createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket, request) =>
    act(request.url.slice(1), channelOf(socket, sealed ? sealing(seed) : PLAIN)),
  );
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 });
  await once(server, 'listening');
  return { target: { port: server.address().port, cert: identity?.cert } };
}

export async function connect({ target: { port, cert }, seed, sealed }) {
  const scheme = cert === undefined ? 'ws' : 'wss';
  const options = { ...(cert === undefined ? {} : trusting(cert)), perMessageDeflate: false };
  const dial = async (label) => {
    const socket = new WebSocket(`${scheme}://127.0.0.1:${port}/${label}`, options);
    await once(socket, 'open');
    return socket;
  };
  return {
    open: async (label) => channelOf(await dial(label), sealed ? sealing(seed) : PLAIN),
    async session() {
      const socket = await dial('idle');
      socket.on('error', () => undefined);
      return {
        destroy: () => socket.terminate(),
        alive: () => socket.readyState === WebSocket.OPEN,
      };
    },
  };
}

const PLAIN = { seal: (bytes) => bytes, open: (bytes) => bytes };

/** A channel's messages, each with a nonce that counts, and its tag. */
function sealing(key) {
  const nonce = Buffer.alloc(NONCE);
  let count = 0;
  return {
    seal(bytes) {
      nonce.writeUIntBE(count++, NONCE - 6, 6);
      const cipher = createCipheriv(CIPHER, key, nonce);
      const body = cipher.update(bytes);
      cipher.final();
      return Buffer.concat([nonce, body, cipher.getAuthTag()]);
    },
    open(sealed) {
      const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE));
      decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
      const bytes = decipher.update(sealed.subarray(NONCE, sealed.length - TAG));
      decipher.final();
      return bytes;
    },
  };
}

function channelOf(socket, { seal, open }) {
  const { push, listen } = receiver();
  socket.on('error', () => undefined);
  socket.on('message', (bytes) => push(open(bytes)));
  return {
    write(bytes) {
      const sealed = seal(bytes);
      if (socket.bufferedAmount < HIGH_WATER) return void socket.send(sealed);
      return new Promise((resolve) => socket.send(sealed, resolve));
    },
    onBytes: listen,
    pause: () => socket.pause(),
    close: () => socket.terminate(),
  };
}
