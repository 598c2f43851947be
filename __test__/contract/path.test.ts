import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { generateSeed } from '@seigr/stt';
import { expect, onTestFinished, test } from 'vitest';
import { endpoint, streamPair } from './pair.ts';

/** A NAT before the client, which gives it another port at `server` whenever it is told to. */
async function nat(server: number): Promise<{ port: number; rebind: () => Promise<number> }> {
  const inside = createSocket('udp4');
  inside.bind(0, '127.0.0.1');
  await once(inside, 'listening');
  onTestFinished(() => void inside.close());
  let client = 0;
  let outside = await open();
  inside.on('message', (bytes, { port }) => {
    client = port;
    outside.send(bytes, server, '127.0.0.1');
  });
  async function open(): Promise<Socket> {
    const socket = createSocket('udp4');
    socket.on('message', (bytes) => inside.send(bytes, client, '127.0.0.1'));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    onTestFinished(() => void socket.close());
    return socket;
  }
  const rebind = async (): Promise<number> => {
    outside = await open();
    return (outside.address() as AddressInfo).port;
  };
  return { port: (inside.address() as AddressInfo).port, rebind };
}

test('a session goes on behind a NAT that changes its port, and pathChange says where', async () => {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const client = await endpoint({ sharedSeed });
  const way = await nat(server.address.port);
  const sessions = server.listen()[Symbol.asyncIterator]();
  const [session, { value: accepted }] = await Promise.all([
    client.connect({ address: '127.0.0.1', port: way.port }, { peerNodeId: server.nodeId }),
    sessions.next(),
  ]);
  const { opened, incoming } = await streamPair({ server, client, session, accepted });
  const read = incoming.text();
  await opened.write('before ');
  for (let move = 0; move < 3; move += 1) {
    const told = new Promise<unknown>((resolve) => accepted.once('pathChange', resolve));
    const port = await way.rebind();
    await opened.write('and after ');
    expect(await told).toEqual({ address: '127.0.0.1', port, family: 'IPv4' });
  }
  await opened.end();
  expect(await read).toBe('before and after and after and after ');
  await session.close();
});
