// Two machines on one wire, as at home: no router, and each has a name, an address and a home folder of its own.

import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { temporaryFolder } from '../cli/stt.ts';
import { Terminal } from '../cli/terminal.ts';
import type { Disposer } from '../network/children.ts';
import { run } from './network.ts';

/** A machine of the two: a network namespace, a host name, and a folder that is its user's home. */
export class Computer {
  readonly name: string;
  readonly home: string;
  /** What its user typed, each line with what it printed, in turn. */
  readonly said: string[] = [];
  readonly #netns: string;

  constructor(name: string, home: string, netns: string) {
    this.name = name;
    this.home = home;
    this.#netns = netns;
  }

  /** Types a command line of `stt` in a new terminal in the home folder. */
  types(line: string): Terminal {
    const renamed = `hostname ${this.name}; exec "$@"`;
    return new Terminal(line.split(' ').slice(1), {
      wrapper: ['ip', 'netns', 'exec', this.#netns, 'unshare', '--uts', 'sh', '-c', renamed, 'sh'],
      cwd: this.home,
      env: {
        HOME: this.home,
        XDG_CONFIG_HOME: undefined,
        XDG_STATE_HOME: undefined,
        STT_SEED_FILE: undefined,
        STT_NODE_SEED_FILE: undefined,
      },
    });
  }

  /** Waits until that command has ended well, and notes what stands on its terminal. */
  async ends(line: string, terminal: Terminal): Promise<void> {
    const code = await terminal.end();
    if (code !== 0)
      throw new Error(`${this.name}$ ${line} ended with ${code}:\n${terminal.screen}`);
    // Where its home stands on this machine says nothing.
    const screen = terminal.screen.replaceAll(this.home, `/home/${this.name}`);
    this.said.push(`${this.name}$ ${line}\n${screen}`);
  }
}

/** Makes two computers at 192.168.1.7 and 192.168.1.20; what they share with this machine is its disk alone. */
export async function makeLan(
  first: string,
  second: string,
  dispose: Disposer,
): Promise<readonly [Computer, Computer]> {
  if (hostname() === first) throw new Error('this machine has that name itself');
  const names = [first, second];
  const [here, there] = names.map((name) => `stt-${process.pid}-lan-${name}`) as [string, string];
  dispose(() => {
    for (const netns of [here, there]) run('ip', 'netns', 'del', netns);
  });
  for (const netns of [here, there]) {
    run('ip', 'netns', 'add', netns);
    run('ip', '-n', netns, 'link', 'set', 'lo', 'up');
  }
  run('ip', '-n', here, 'link', 'add', 'eth0', ...['type', 'veth', 'peer', 'eth0', 'netns', there]);
  for (const [netns, address] of [
    [here, '192.168.1.7/24'],
    [there, '192.168.1.20/24'],
  ] as const) {
    run('ip', '-n', netns, 'addr', 'add', address, 'dev', 'eth0');
    run('ip', '-n', netns, 'link', 'set', 'eth0', 'up');
  }
  const folder = await temporaryFolder();
  const computers = names.map(
    (name, n) => new Computer(name, join(folder, name), [here, there][n] as string),
  );
  for (const { home } of computers) await mkdir(home);
  return computers as [Computer, Computer];
}
