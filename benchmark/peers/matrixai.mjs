// @matrixai/quic (quiche through napi), its streams as web streams.
import {
  generateKeyPairSync,
  randomBytes,
  randomFillSync,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import Logger, { LogLevel } from '@matrixai/logger';
import { events, QUICClient, QUICServer } from '@matrixai/quic';
import { actByLabel, receiver, writeLabel } from '../lib/channel.mjs';

const HOST = '127.0.0.1';
/** TLS's alert for a certificate that nobody vouches for. */
const UNKNOWN_CA = 48;
const logger = new Logger('bench', LogLevel.SILENT, []);

export async function serve({ identity }, act) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const ops = {
    sign: async (_key, data) => copy(sign(null, Buffer.from(data), privateKey)),
    verify: async (_key, data, signature) =>
      verify(null, Buffer.from(data), publicKey, Buffer.from(signature)),
  };
  const server = new QUICServer({
    crypto: { key: copy(randomBytes(32)), ops },
    config: { key: identity.key, cert: identity.cert, verifyPeer: false, maxIdleTimeout: 60_000 },
    logger,
  });
  server.addEventListener(events.EventQUICServerConnection.name, ({ detail: connection }) =>
    connection.addEventListener(events.EventQUICConnectionStream.name, ({ detail: stream }) =>
      actByLabel(channelOf(stream), act),
    ),
  );
  await server.start({ host: HOST, port: 0 });
  return { target: { port: server.port, cert: identity.cert } };
}

export async function connect({ target }) {
  const expected = new X509Certificate(target.cert).raw;
  /** The certificate that was told is the one that is shown; undefined says yes. */
  const pinned = async ([shown]) => (expected.equals(shown) ? undefined : UNKNOWN_CA);
  const dial = () =>
    QUICClient.createQUICClient({
      host: HOST,
      port: target.port,
      localHost: HOST,
      serverName: 'localhost',
      crypto: { ops: { randomBytes: async (data) => void randomFillSync(new Uint8Array(data)) } },
      config: { verifyPeer: true, verifyCallback: pinned, maxIdleTimeout: 60_000 },
      logger,
    });
  const { connection } = await dial();
  return {
    async open(label) {
      const channel = channelOf(connection.newStream('bidi'));
      await writeLabel(channel, label);
      return channel;
    },
    async session() {
      const client = await dial();
      return {
        destroy: () => void client.destroy({ force: true }).catch(() => undefined),
        alive: () => !client.closed,
      };
    },
  };
}

function copy(bytes) {
  return new Uint8Array(bytes).buffer;
}

function channelOf(stream) {
  const { push, listen } = receiver();
  const writer = stream.writable.getWriter();
  let reading = false;
  const read = async () => {
    for await (const chunk of stream.readable) push(chunk);
  };
  return {
    write(bytes) {
      const written = writer.write(bytes);
      written.catch(() => undefined);
      return writer.desiredSize > 0 ? undefined : written;
    },
    onBytes(take) {
      listen(take);
      if (!reading) void read().catch(() => undefined);
      reading = true;
    },
    pause: () => undefined,
    close: () => stream.cancel(),
  };
}
