// node:net and node:tls (1.3), Nagle off. One socket is one session and one channel.
import { once } from 'node:events';
import { connect as connectPlain, createServer as createPlainServer } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { trusting } from '../lib/certificate.mjs';
import { actByLabel, duplexChannel, writeLabel } from '../lib/channel.mjs';

const TLS = { minVersion: 'TLSv1.3' };

/** With `identity` by TLS; `mutual` proves the client as well, as STT always does. */
export async function serve({ identity, mutual = false, host = '127.0.0.1' }, act) {
  const accept = (socket) => {
    socket.on('error', () => undefined);
    actByLabel(duplexChannel(socket), act);
  };
  const server = identity
    ? createTlsServer({ ...serverOptions(identity, mutual), noDelay: true }, accept)
    : createPlainServer({ noDelay: true }, accept);
  server.on('tlsClientError', () => undefined);
  // As many may come at once as are measured.
  server.listen({ port: 0, host, backlog: 1_024 });
  await once(server, 'listening');
  return { target: { host, port: server.address().port, identity, mutual } };
}

function serverOptions({ key, cert }, mutual) {
  return { ...TLS, key, cert, ...(mutual ? { requestCert: true, ca: cert } : {}) };
}

export async function connect({ target }) {
  const { host, port, identity, mutual } = target;
  const secure = identity && {
    ...TLS,
    ...trusting(identity.cert),
    ...(mutual ? { key: identity.key, cert: identity.cert } : {}),
  };
  const dial = async () => {
    const socket = secure ? connectTls({ host, port, ...secure }) : connectPlain({ host, port });
    await once(socket, secure ? 'secureConnect' : 'connect');
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    return socket;
  };
  return {
    async open(label) {
      const channel = duplexChannel(await dial());
      await writeLabel(channel, label);
      return channel;
    },
    async session() {
      const socket = await dial();
      // Its end is seen by whoever reads.
      socket.resume();
      return { destroy: () => socket.destroy(), alive: () => !socket.destroyed };
    },
  };
}
