// Many small messages one way, and datagrams.
import { SECURE_UDP, withPeer } from '../peers.mjs';

const MESSAGE = 100;
/** Fits where nothing is known of a path. */
const DATAGRAM = 1_000;

export const messageWorkloads = [
  {
    name: 'messages',
    peers: ['stt', 'tls', 'ws', 'net', 'wss', 'udx', ...SECURE_UDP],
    run: (peer, times) => withPeer(peer, measureMessages(peer), times),
  },
  {
    name: 'datagrams',
    peers: ['stt', 'dgram'],
    run: (peer, times) => withPeer(peer, measureDatagrams, times),
  },
];

/** Written one by one; by the call for many where a peer has one; and so that the reader gets each by itself. */
const measureMessages =
  (peer) =>
  async ({ client }, { messages: milliseconds }) => {
    const rate = async (how) => {
      const { count, seconds } = await client.call('messages', {
        size: MESSAGE,
        how,
        milliseconds,
      });
      return count / seconds;
    };
    const each = await rate('each');
    const many = await rate('many');
    // What `ws` sends has its bounds as it is; a stream of TLS has none at all.
    const bounds = { stt: () => rate('framed'), ws: () => each, wss: () => each };
    return {
      'messages/s, a call each': each,
      'messages/s, a call for many': many,
      ...(bounds[peer] === undefined ? {} : { 'messages/s, bounds kept': await bounds[peer]() }),
    };
  };

async function measureDatagrams({ server, client }, { messages: milliseconds }) {
  const { sent } = await client.call('datagrams', { size: DATAGRAM, milliseconds });
  const { count, seconds } = await server.call('datagramsTaken');
  return { 'datagrams/s taken': count / seconds, 'lost %': 100 * (1 - count / sent) };
}
