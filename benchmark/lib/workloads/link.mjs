// One stream over a link that is slower than the machine, far away, and loses packets.
import { noLink, withLink } from '../link.mjs';
import { withPeer } from '../peers.mjs';

/** Milliseconds one way (a round trip is 20), per cent lost each way. */
const PATH = { delay: 10, loss: 1 };
const JUDGED = 1_000;
const RATES = { '100 Mbit/s': 100, '1 Gbit/s': JUDGED };

/** What BBR has under way on such a path is more than the default windows hold; the kernel's TCP finds its own. */
const OPTIONS = {
  'stt cubic': { endpoint: { congestion: 'cubic' } },
  'stt bbr': { endpoint: { preset: 'highThroughput', congestion: 'bbr' } },
  net: {},
};

export const linkWorkloads = Object.entries(RATES).map(([name, megabits]) => ({
  name: `link ${name}, 20 ms, 1 % lost`,
  peers: Object.keys(OPTIONS),
  quickRounds: 1,
  unfit: noLink,
  run: (peer, times) =>
    withLink({ megabits, ...PATH }, ({ inside, host }) =>
      withPeer(peer === 'net' ? 'net' : 'stt', measureLink(megabits), times, {
        more: { host, ...OPTIONS[peer] },
        inside,
      }),
    ),
}));

const measureLink =
  (megabits) =>
  async ({ client }, { linkWarmUp, link: milliseconds }) => {
    await client.call('upload', { milliseconds: linkWarmUp });
    // Where losses are few, chance decides much: what has a target is watched for longer.
    const time = megabits === JUDGED ? milliseconds : milliseconds / 2;
    const { bytes, seconds } = await client.call('upload', { milliseconds: time });
    const rate = bytes / 1e6 / seconds;
    return { 'MB/s': rate, 'of the link': (rate * 8) / megabits };
  };
