// Sends random, truncated and bit-flipped datagrams to a port of 127.0.0.1, as fast as it can, from a
// seed that the test prints.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const IN_FLIGHT = 256;

process.once('message', async ({ port, count, seed, templates }) => {
  const random = generator(seed);
  const socket = createSocket('udp4');
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let sent = 0;
  let inFlight = 0;
  await new Promise((resolve) => {
    const more = () => {
      while (inFlight < IN_FLIGHT && sent < count) {
        sent += 1;
        inFlight += 1;
        socket.send(datagram(random, templates), () => {
          inFlight -= 1;
          if (sent < count) more();
          else if (inFlight === 0) resolve();
        });
      }
    };
    more();
  });
  socket.close();
  process.send({ sent });
  process.disconnect();
});

function datagram(random, templates) {
  const template = templates[random() % templates.length];
  switch (random() % 4) {
    case 0: {
      const bytes = Buffer.allocUnsafe(random() % 1_473);
      for (let index = 0; index < bytes.length; index += 1) bytes[index] = random();
      return bytes;
    }
    case 1:
      return Buffer.from(template.subarray(0, random() % (template.length + 1)));
    case 2: {
      const bytes = Buffer.from(template);
      bytes[random() % bytes.length] ^= 1 << (random() % 8);
      return bytes;
    }
    default:
      return Buffer.from(template);
  }
}

/** xorshift32: small, seeded, good enough to reach every branch. */
function generator(seed) {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
