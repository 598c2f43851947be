// ws alone: one binary message a block, no compression, `ws` as it is otherwise. A connection says by its path what it is for.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { WebSocket, WebSocketServer } from 'ws';
import { trusting } from '../lib/certificate.mjs';

/** Bytes that may wait in a socket before the sender does. */
const HIGH_WATER = 1 << 20;

export const name = 'ws';

export async function serve({ identity, block }) {
  const server = identity ? createSecureServer(identity) : createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket, request) => {
    socket.on('error', () => undefined);
    const [, kind, bytes] = request.url.split('/');
    if (kind === 'sink') sink(socket);
    else if (kind === 'source') void pour(socket, Number(bytes), block).then(() => socket.close());
    else socket.on('message', (message) => socket.send(message));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { target: { port: server.address().port, cert: identity?.cert } };
}

export async function connect({ target }) {
  const sockets = [];
  const open = async (path) => {
    const scheme = target.cert === undefined ? 'ws' : 'wss';
    const socket = new WebSocket(`${scheme}://127.0.0.1:${target.port}/${path}`, {
      ...(target.cert === undefined ? {} : trusting(target.cert)),
      perMessageDeflate: false,
    });
    await once(socket, 'open');
    sockets.push(socket);
    return socket;
  };
  return {
    async upload(bytes, block) {
      const socket = await open('sink');
      const answered = once(socket, 'message');
      await pour(socket, bytes, block);
      socket.send('end');
      const [answer] = await answered;
      return Number(answer.readBigUInt64LE());
    },
    async download(bytes) {
      const socket = await open(`source/${bytes}`);
      let total = 0;
      socket.on('message', (message) => (total += message.length));
      await once(socket, 'close');
      return total;
    },
    async pinger(size) {
      const socket = await open('echo');
      const message = Buffer.alloc(size);
      let arrived;
      socket.on('message', () => arrived());
      return () =>
        new Promise((resolve) => {
          arrived = resolve;
          socket.send(message);
        });
    },
    async close() {
      for (const socket of sockets) socket.terminate();
    },
  };
}

async function pour(socket, bytes, block) {
  for (let sent = 0; sent < bytes; sent += block.length) {
    if (socket.bufferedAmount < HIGH_WATER) socket.send(block);
    else await new Promise((resolve) => socket.send(block, resolve));
  }
}

function sink(socket) {
  let total = 0;
  socket.on('message', (message, isBinary) => {
    if (isBinary) {
      total += message.length;
      return;
    }
    const answer = Buffer.alloc(8);
    answer.writeBigUInt64LE(BigInt(total));
    socket.send(answer);
  });
}
