// A UDP relay, as a process of its own: whoever sends to its port reaches the target, and is answered by it. The demo puts
// it between its two processes and kills it.
//
// Its parent is told the port, tells the port of the target and after how many bytes to say `halfway`. From then on nothing
// is passed on any more, so that the kill that follows falls on the same byte on a slow machine as on a fast one.
import { createSocket } from 'node:dgram';

const HOST = '127.0.0.1';
/** As much as the system grants: a relay that loses is another test. */
const BUFFER = 4 * 2 ** 20;

const front = createSocket('udp4');
const back = createSocket('udp4');
let target;
let sender;
let left = Number.POSITIVE_INFINITY;

front.on('message', (datagram, from) => {
  sender = from;
  pass(back, datagram, target);
});
back.on('message', (datagram) => pass(front, datagram, sender?.port));

function pass(socket, datagram, port) {
  if (port === undefined || left <= 0) return;
  socket.send(datagram, port, HOST, () => undefined);
  left -= datagram.length;
  if (left <= 0) process.send('halfway');
}

process.on('message', (told) => {
  target = told.port;
  left = told.bytes;
});
process.on('disconnect', () => process.exit());
// The demo ends it; a Ctrl-C on the terminal reaches both.
process.on('SIGINT', () => undefined);

for (const socket of [front, back]) {
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.bind(0, HOST, resolve));
  try {
    socket.setRecvBufferSize(BUFFER);
    socket.setSendBufferSize(BUFFER);
  } catch {
    // Then with what there is.
  }
}
process.send({ port: front.address().port });
