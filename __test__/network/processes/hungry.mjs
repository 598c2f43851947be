// Takes every descriptor that it may have, connects by name, lets them go, and connects again.
import { closeSync, openSync } from 'node:fs';
import { SttEndpoint } from '@seigr/stt';

process.once('message', async ({ options, port }) => {
  const endpoint = await SttEndpoint.create({ ...options, host: '127.0.0.1' });
  const connect = () =>
    endpoint.connect(`localhost:${port}`, { peerNodeId: 'any', timeout: 60_000 }).then(
      (session) => ({ session: session.id }),
      ({ code, codeName, systemCode, errno, message }) => ({
        error: { code, codeName, systemCode, errno, message },
      }),
    );
  // What Node loads at the first use of a name is not what runs out here.
  await connect();
  const held = [];
  try {
    for (;;) held.push(openSync('/dev/null', 'r'));
  } catch {
    // There are no more.
  }
  const starved = await connect();
  for (const descriptor of held) closeSync(descriptor);
  process.send({ starved, fed: await connect() });
  endpoint.destroy();
  process.disconnect();
});
