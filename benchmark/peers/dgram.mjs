// node:dgram: bare datagrams, nothing in order, nothing sent again. The floor for a round trip, and what one can send.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Tally } from '../lib/actions/messages.mjs';

const HOST = '127.0.0.1';
/** As STT asks for. */
const BUFFERS = { recvBufferSize: 2 << 20, sendBufferSize: 2 << 20 };
/** Datagrams that are handed over before the sender waits for one of them. */
const UNDER_WAY = 64;

export async function serve() {
  const tally = new Tally();
  const [echo, sink] = [createSocket('udp4'), createSocket({ type: 'udp4', ...BUFFERS })];
  echo.on('message', (message, from) => echo.send(message, from.port, from.address));
  sink.on('message', () => tally.add());
  for (const socket of [echo, sink]) {
    socket.bind(0, HOST);
    await once(socket, 'listening');
  }
  return {
    target: { echo: echo.address().port, sink: sink.address().port },
    datagramsTaken: () => tally.taken,
  };
}

export async function connect({ target }) {
  const dial = async (port) => {
    const socket = createSocket({ type: 'udp4', ...BUFFERS });
    socket.connect(port, HOST);
    await once(socket, 'connect');
    return socket;
  };
  return {
    async open() {
      const socket = await dial(target.echo);
      let take;
      socket.on('message', (message) => take(message));
      return {
        write: (bytes) => void socket.send(bytes),
        onBytes: (listener) => (take = listener),
        close: () => socket.close(),
      };
    },
    async datagrams(message) {
      const socket = await dial(target.sink);
      return () =>
        new Promise((resolve) => {
          let left = UNDER_WAY;
          const done = () => {
            left -= 1;
            if (left === 0) resolve(UNDER_WAY);
          };
          for (let index = 0; index < UNDER_WAY; index += 1) socket.send(message, done);
        });
    },
  };
}
