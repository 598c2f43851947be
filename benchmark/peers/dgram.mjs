// node:dgram: an echo of bare datagrams, the floor for a round trip. It has no bulk: nothing would arrive in order or at all.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

export const name = 'node:dgram';

export async function serve() {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { target: { port: socket.address().port }, close: () => socket.close() };
}

export async function connect({ target }) {
  const socket = createSocket('udp4');
  socket.connect(target.port, '127.0.0.1');
  await once(socket, 'connect');
  return {
    async pinger(size) {
      const message = Buffer.alloc(size);
      let arrived;
      socket.on('message', () => arrived());
      return () =>
        new Promise((resolve) => {
          arrived = resolve;
          socket.send(message);
        });
    },
    close: async () => void socket.close(),
  };
}
