// Two network namespaces and the link between them that `stt-bench-peers link` is. Nothing of the machine's own network takes part.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { missing, Side } from './rust.mjs';

/** The sides' addresses; nobody else is in these namespaces. */
const ADDRESSES = ['10.77.0.1', '10.77.0.2'];
const NETWORK = '10.77.0.0/24';
/** Losses are the same ones for the same packets. */
const SEED = 0x51_7e_c0_de;

/** Whether a link can be made, or why not. */
export function noLink() {
  if (process.platform !== 'linux') return 'namespaces are Linux';
  if (process.getuid() !== 0) return 'network namespaces need root';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  if (spawnSync('ip', ['-V']).status !== 0) return 'there is no program ip (iproute2)';
  return missing();
}

/**
 * Calls `use` with what processes at both ends run under, and with the server's address. `megabits` a second,
 * `delay` ms one way, `loss` per cent, each way.
 */
export async function withLink({ megabits, delay, loss }, use) {
  const names = ['client', 'server'].map((side) => `stt-bench-${process.pid}-${side}`);
  let relay;
  try {
    for (const name of names) ip('netns', 'add', name);
    const numbers = [megabits * 1e6, delay, Math.round(loss * 10_000), SEED];
    relay = new Side(undefined, ['link', ...names, ...numbers.map(String)]);
    const { device } = await relay.line();
    for (const [index, name] of names.entries()) {
      ip('-n', name, 'link', 'set', 'lo', 'up');
      ip('-n', name, 'link', 'set', device, 'mtu', '1500', 'up');
      const address = [`${ADDRESSES[index]}/24`, 'dev', device, 'noprefixroute'];
      ip('-n', name, 'address', 'add', ...address);
      // What the machine's TCP holds back by may be anything; a namespace may not choose freely, but its routes may.
      ip('-n', name, 'route', 'add', NETWORK, 'dev', device, 'congctl', 'cubic');
    }
    const [client, server] = names.map((name) => ['ip', 'netns', 'exec', name]);
    return await use({ inside: { client, server }, host: ADDRESSES[1] });
  } finally {
    relay?.stop();
    for (const name of names) spawnSync('ip', ['netns', 'delete', name]);
  }
}

function ip(...args) {
  const { status, error, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status === 0) return;
  throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}
