import { generateSeed } from '@seigr/stt';
import { expect, test } from 'vitest';
import { endpoint, relay, streamPair } from './pair.ts';

test('a session goes on behind a NAT that changes its port, and pathChange says where', async () => {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const client = await endpoint({ sharedSeed });
  const way = await relay(server.address.port);
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
    const [port] = await way.link.rebind();
    await opened.write('and after ');
    expect(await told).toEqual({
      address: '127.0.0.1',
      port,
      family: 'IPv4',
      transport: 'udp',
      from: 'udp',
      reason: 'nat-rebinding',
    });
  }
  await opened.end();
  expect(await read).toBe('before and after and after and after ');
  await session.close();
});
