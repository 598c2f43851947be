// Network namespaces of this kernel, joined by veth, made for one test and removed with it.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** The ends of a network, and the router between them where there is one. */
export type Node = 'a' | 'b' | 'r';

/** Addresses of the two ends. */
export const ADDRESS = { a: '10.77.1.1', b: '10.77.2.1' } as const;

let made = 0;

function run(...argv: string[]): string {
  const [program, ...rest] = argv;
  try {
    return execFileSync(program as string, rest, { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(`${argv.join(' ')}: ${stderr?.trim() || String(error)}`, { cause: error });
  }
}

/** Why there can be no namespaces here, or undefined. */
export function obstacle(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  const name = `stt-try-${process.pid}`;
  try {
    run('ip', 'netns', 'add', name);
  } catch (error) {
    return `needs iproute2, and root with CAP_NET_ADMIN and CAP_SYS_ADMIN (${String(error)})`;
  }
  try {
    run('ip', 'netns', 'exec', name, 'nft', 'add', 'table', 'inet', 'try');
    run('ip', '-n', name, 'link', 'add', 'x', 'type', 'veth', 'peer', 'name', 'y');
    return undefined;
  } catch (error) {
    return `needs nftables and veth (${String(error)})`;
  } finally {
    run('ip', 'netns', 'del', name);
  }
}

export class Network {
  readonly #names: Record<Node, string>;

  /** `a` and `b` with a router between them: three hops of which each has its own rules. */
  constructor() {
    made += 1;
    const name = (node: Node): string => `stt-${process.pid}-${made}-${node}`;
    this.#names = { a: name('a'), b: name('b'), r: name('r') };
    onTestFinished(() => this.#remove());
    for (const netns of Object.values(this.#names)) {
      run('ip', 'netns', 'add', netns);
      run('ip', '-n', netns, 'link', 'set', 'lo', 'up');
    }
    for (const [end, address, router] of [
      ['a', ADDRESS.a, '10.77.1.254'],
      ['b', ADDRESS.b, '10.77.2.254'],
    ] as const) {
      const [here, there] = [this.#names[end], this.#names.r];
      run(
        'ip',
        '-n',
        here,
        'link',
        'add',
        'wire',
        'type',
        'veth',
        'peer',
        'name',
        `to-${end}`,
        'netns',
        there,
      );
      run('ip', '-n', here, 'addr', 'add', `${address}/24`, 'dev', 'wire');
      run('ip', '-n', there, 'addr', 'add', `${router}/24`, 'dev', `to-${end}`);
      // One datagram a time, as on a wire: or what one rule drops is a whole batch of them.
      run('ip', '-n', here, 'link', 'set', 'wire', 'up', 'gso_max_segs', '1');
      run('ip', '-n', there, 'link', 'set', `to-${end}`, 'up', 'gso_max_segs', '1');
      run('ip', '-n', here, 'route', 'add', 'default', 'via', router);
    }
    this.exec('r', 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  }

  /** Runs a program in a namespace and returns what it wrote. */
  exec(node: Node, ...argv: string[]): string {
    return run('ip', 'netns', 'exec', this.#names[node], ...argv);
  }

  /** Rules of the router for what it forwards, in nftables' own words; replaces those before. */
  forward(...rules: string[]): void {
    const nft = (words: string): string => this.exec('r', 'nft', words);
    nft('add table ip stt');
    nft('delete table ip stt');
    nft('add table ip stt');
    nft('add chain ip stt fate { type filter hook forward priority 0; policy accept; }');
    for (const rule of rules) nft(`add rule ip stt fate ${rule}`);
  }

  /** The router hides `a` behind its own address. */
  masquerade(): void {
    const nft = (words: string): string => this.exec('r', 'nft', words);
    nft('add table ip hide');
    nft('add chain ip hide out { type nat hook postrouting priority 100; }');
    nft('add rule ip hide out oifname "to-b" masquerade random');
  }

  /** The rate of the router's link to a node, both of its directions sharing nothing. */
  limit(to: 'a' | 'b', rate: string): void {
    const tbf = ['root', 'tbf', 'rate', rate, 'burst', '16kbit', 'latency', '100ms'];
    this.exec('r', 'tc', 'qdisc', 'replace', 'dev', `to-${to}`, ...tbf);
  }

  /** The MTU of the link between the router and a node. */
  mtu(node: 'a' | 'b', bytes: number): void {
    run('ip', '-n', this.#names[node], 'link', 'set', 'wire', 'mtu', String(bytes));
    run('ip', '-n', this.#names.r, 'link', 'set', `to-${node}`, 'mtu', String(bytes));
  }

  /** Takes the link between the router and a node down, or up again, at the router's end. */
  link(node: 'a' | 'b', state: 'up' | 'down'): void {
    run('ip', '-n', this.#names.r, 'link', 'set', `to-${node}`, state);
  }

  /** Bytes that the router has sent to a node. */
  sentTo(node: 'a' | 'b'): number {
    const [link] = JSON.parse(
      run('ip', '-n', this.#names.r, '-s', '-j', 'link', 'show', `to-${node}`),
    );
    return link.stats64.tx.bytes;
  }

  /** Starts one of the programs in `processes/` in a namespace; it ends with the test. */
  start(node: Node, program: string): ChildProcess {
    const path = fileURLToPath(new URL(`./processes/${program}.mjs`, import.meta.url));
    const argv = ['netns', 'exec', this.#names[node], process.execPath, path];
    const child = spawn('ip', argv, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child;
  }

  #remove(): void {
    for (const netns of Object.values(this.#names)) {
      try {
        run('ip', 'netns', 'del', netns);
      } catch {
        // It was not made.
      }
    }
  }
}
