// Connects, sends so many bytes that look random, and tells the SHA-256 of both sides, or how it failed. Moves
// when it is told to. It goes on to `upTo` bytes, and waits there to be told another number: however late the test is
// told of it, the middle of a transfer is not over before.
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { SttEndpoint } from '@seigr/stt';

const PIECE = 64 * 1024;

process.once('message', async ({ options, address, port, nodeId, bytes, upTo }) => {
  let more = () => undefined;
  const endpoint = await SttEndpoint.create({ host: '0.0.0.0', ...options });
  endpoint.on('addressChange', (addressChange) => process.send({ addressChange }));
  endpoint.on('sessionClosed', ({ reason, error }) => {
    process.send({ ended: { reason, code: error?.code, at: Date.now() } });
  });
  const session = await endpoint.connect({ address, port }, { peerNodeId: nodeId });
  process.on('message', (order) => {
    if (order.upTo !== undefined) {
      upTo = Math.max(upTo, order.upTo);
      more();
    }
    if (order.migrate !== undefined) {
      const tell = (code) => process.send({ migrated: { code } });
      session.migrate(order.migrate).then(
        () => tell(null),
        (error) => tell(error.code ?? String(error)),
      );
    }
    if (order.rebind !== undefined) {
      const tell = (rebound) => process.send({ rebound });
      endpoint.rebind(order.rebind).then(tell, (error) => tell(String(error)));
    }
  });
  session.on('pathChange', ({ transport }) => process.send({ transport, at: Date.now() }));
  session.on('sendError', ({ error, count }) => {
    process.send({ sendError: { systemCode: error.systemCode, errno: error.errno, count } });
  });
  process.send({ connected: session.id });
  try {
    const stream = await session.createBidirectionalStream({ purpose: 'kernel' });
    const source = createCipheriv('aes-256-ctr', randomBytes(32), randomBytes(16));
    const zeros = Buffer.alloc(PIECE);
    const hash = createHash('sha256');
    for (let sent = 0; sent < bytes; sent += PIECE) {
      while (sent >= upTo) await new Promise((resolve) => (more = resolve));
      const piece = source.update(zeros.subarray(0, Math.min(PIECE, bytes - sent)));
      hash.update(piece);
      await stream.write(piece);
    }
    await stream.end();
    const theirs = await stream.text();
    const { packetsLost, congestionEvents, mtu } = session.stats() ?? {};
    await session.close();
    await endpoint.close();
    process.send({
      done: { ours: hash.digest('hex'), theirs, packetsLost, congestionEvents, mtu },
    });
  } catch (error) {
    process.send({ done: { error: String(error) } });
  }
});
