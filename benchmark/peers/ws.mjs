// ws alone: one binary message a block, no compression, `ws` as it is otherwise. A connection says by its path what it is for.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { WebSocket, WebSocketServer } from 'ws';
import { trusting } from '../lib/certificate.mjs';
import { receiver } from '../lib/channel.mjs';

/** Bytes that may wait in a socket before the sender does. */
const HIGH_WATER = 1 << 20;

export async function serve({ identity }, act) {
  const server = identity ? createSecureServer(identity) : createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket, request) => act(request.url.slice(1), channelOf(socket)));
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 });
  await once(server, 'listening');
  return { target: { port: server.address().port, cert: identity?.cert } };
}

export async function connect({ target: { port, cert } }) {
  const scheme = cert === undefined ? 'ws' : 'wss';
  const options = { ...(cert === undefined ? {} : trusting(cert)), perMessageDeflate: false };
  const dial = async (label) => {
    const socket = new WebSocket(`${scheme}://127.0.0.1:${port}/${label}`, options);
    await once(socket, 'open');
    return socket;
  };
  return {
    open: async (label) => channelOf(await dial(label)),
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

function channelOf(socket) {
  const { push, listen } = receiver();
  socket.on('error', () => undefined);
  socket.on('message', push);
  return {
    write(bytes) {
      if (socket.bufferedAmount < HIGH_WATER) return void socket.send(bytes);
      return new Promise((resolve) => socket.send(bytes, resolve));
    },
    onBytes: listen,
    pause: () => socket.pause(),
    close: () => socket.terminate(),
  };
}
