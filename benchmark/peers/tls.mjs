// node:tls, TLS 1.3, Nagle off. A connection says by its first byte what it is for.
import { once } from 'node:events';
import { connect as connectTls, createServer } from 'node:tls';
import { trusting } from '../lib/certificate.mjs';

const BULK = 1;
const ECHO = 2;

export const name = 'node:tls';

export async function serve({ identity: { key, cert } }) {
  const server = createServer(
    { key, cert, minVersion: 'TLSv1.3', noDelay: true, allowHalfOpen: true },
    (socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (first) => {
        const rest = first.subarray(1);
        if (first[0] === BULK) sink(socket, rest);
        else {
          socket.write(rest);
          socket.on('data', (chunk) => socket.write(chunk));
          socket.on('end', () => socket.end());
        }
      });
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { target: { port: server.address().port, cert }, close: () => server.close() };
}

export async function connect({ target }) {
  const open = async (kind) => {
    const socket = connectTls({
      host: '127.0.0.1',
      port: target.port,
      ...trusting(target.cert),
      minVersion: 'TLSv1.3',
      allowHalfOpen: true,
    });
    await once(socket, 'secureConnect');
    socket.setNoDelay(true);
    socket.write(Buffer.of(kind));
    return socket;
  };
  const sockets = [];
  return {
    async upload(bytes, block) {
      const socket = await open(BULK);
      for (let sent = 0; sent < bytes; sent += block.length) {
        if (!socket.write(block)) await once(socket, 'drain');
      }
      socket.end();
      const answer = [];
      for await (const chunk of socket) answer.push(chunk);
      return Number(Buffer.concat(answer).readBigUInt64LE());
    },
    async pinger(size) {
      const socket = await open(ECHO);
      sockets.push(socket);
      const message = Buffer.alloc(size);
      let missing = 0;
      let arrived;
      socket.on('data', (chunk) => {
        missing -= chunk.length;
        if (missing === 0) arrived();
      });
      return () =>
        new Promise((resolve) => {
          missing = size;
          arrived = resolve;
          socket.write(message);
        });
    },
    async close() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function sink(socket, first) {
  let total = first.length;
  socket.on('data', (chunk) => (total += chunk.length));
  socket.on('end', () => {
    const answer = Buffer.alloc(8);
    answer.writeBigUInt64LE(BigInt(total));
    socket.end(answer);
  });
}
