import type { SttSession } from '@seigr/stt';
import { generateSeed, ReconnectingSession } from '@seigr/stt';
import { expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint } from '../contract/pair.ts';

test('a session is replaced by the way that it came: at the WebSocket of the first connect', async () => {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const client = await endpoint({ sharedSeed });
  const accepted: SttSession[] = [];
  const listener = server.serve((session) => void accepted.push(session), {
    websocket: { port: 0 },
  });
  await listener.ready;
  const port = listener.websocketAddress?.port ?? 0;
  // Nothing is at the address itself.
  const kept = await ReconnectingSession.connect(client, `127.0.0.1:${await closedPort()}`, {
    peerNodeId: server.nodeId,
    transport: 'websocket',
    proxy: false,
    websocket: { url: `ws://127.0.0.1:${port}/stt` },
    reconnect: { base: 20, maxDelay: 50, minDelay: 10, deadline: 60_000 },
  });
  onTestFinished(() => kept.destroy());
  await expect.poll(() => accepted.length).toBe(1);
  const back = new Promise((resolve) => kept.once('reconnected', resolve));
  accepted[0]?.destroy();
  await Promise.race([back, kept.closed]);
  expect(kept.state).toBe('connected');
  expect(kept.session.transport).toBe('websocket');
});
