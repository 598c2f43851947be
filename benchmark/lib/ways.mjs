// What stands between two sides: a TCP proxy that counts round trips, and a UDP relay that falls silent.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const HOST = '127.0.0.1';

/** A TCP proxy; `answers()` counts what was answered on its newest connection. */
export async function countingProxy(port) {
  let newest = { answers: 0 };
  const server = createServer((socket) => {
    const upstream = connect(port, HOST);
    const count = { answers: 0 };
    newest = count;
    let asked = false;
    socket.on('data', (chunk) => {
      asked = true;
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (asked) count.answers += 1;
      asked = false;
      socket.write(chunk);
    });
    for (const [end, other] of [
      [socket, upstream],
      [upstream, socket],
    ]) {
      end.setNoDelay(true);
      end.on('error', () => undefined);
      end.on('close', () => other.destroy());
    }
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  return {
    port: server.address().port,
    answers: () => newest.answers,
    close: () => server.close(),
  };
}

/** A UDP relay. `silence()` makes it drop all; `close()` makes its port refuse. */
export async function relay(port) {
  const front = createSocket('udp4');
  const back = createSocket('udp4');
  let sender;
  let silent = false;
  front.on('message', (datagram, from) => {
    sender = from.port;
    if (!silent) back.send(datagram, port, HOST, () => undefined);
  });
  back.on('message', (datagram) => {
    if (!silent) front.send(datagram, sender, HOST, () => undefined);
  });
  for (const socket of [front, back]) {
    socket.on('error', () => undefined);
    socket.bind(0, HOST);
    await once(socket, 'listening');
  }
  let open = true;
  return {
    port: front.address().port,
    silence: () => (silent = true),
    close: () => {
      if (!open) return;
      open = false;
      front.close();
      back.close();
    },
  };
}
