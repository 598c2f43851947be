// Network namespaces of this kernel, joined by veth, made for one test and removed with it. Every rule and
// every link is made inside of them; the machine's own network is never touched.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Disposer } from '../network/children.ts';

/** The ends of a network, and the router between them where there is one. */
export type Node = 'a' | 'b' | 'r';

/** Addresses of the two ends: those they have, and others that a test may give them. */
export const ADDRESS = {
  a: '10.77.1.1',
  b: '10.77.2.1',
  /** Of `a`, by `secondWire()`. */
  other: '10.77.3.1',
  /** Of `b`, by `secondAddress()`. */
  second: '10.77.2.2',
} as const;

/** The router's address on the side of `b`. */
export const OUTSIDE = '10.77.2.254';

let made = 0;

/** Runs a program and returns what it wrote; what it said of a failure is in the error. */
export function run(...argv: string[]): string {
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

/** Removes what a run left behind that was killed before it could. */
export function sweepNamespaces(): void {
  for (const line of run('ip', 'netns', 'list').split('\n')) {
    const match = /^(stt-(?:try-)?(\d+)\S*)/.exec(line);
    if (match === null || isAlive(Number(match[2]))) continue;
    run('ip', 'netns', 'del', match[1] as string);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export class Network {
  readonly #names: Record<Node, string>;
  readonly #dispose: Disposer;

  /** `a` and `b` with a router between them: three hops of which each has its own rules. */
  constructor(dispose: Disposer) {
    this.#dispose = dispose;
    made += 1;
    const name = (node: Node): string => `stt-${process.pid}-${made}-${node}`;
    this.#names = { a: name('a'), b: name('b'), r: name('r') };
    dispose(() => this.#remove());
    for (const netns of Object.values(this.#names)) {
      run('ip', 'netns', 'add', netns);
      run('ip', '-n', netns, 'link', 'set', 'lo', 'up');
    }
    this.#join('a', 'wire', ADDRESS.a, 'to-a', '10.77.1.254');
    this.#join('b', 'wire', ADDRESS.b, 'to-b', OUTSIDE);
    run('ip', '-n', this.#names.a, 'route', 'add', 'default', 'via', '10.77.1.254');
    run('ip', '-n', this.#names.b, 'route', 'add', 'default', 'via', OUTSIDE);
    this.exec('r', 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  }

  #join(end: 'a' | 'b', wire: string, address: string, port: string, router: string): void {
    const [here, there] = [this.#names[end], this.#names.r];
    const pair = ['type', 'veth', 'peer', 'name', port, 'netns', there];
    run('ip', '-n', here, 'link', 'add', wire, ...pair);
    run('ip', '-n', here, 'addr', 'add', `${address}/24`, 'dev', wire);
    run('ip', '-n', there, 'addr', 'add', `${router}/24`, 'dev', port);
    // One datagram a time, as on a wire: or what one rule drops is a whole batch of them.
    run('ip', '-n', here, 'link', 'set', wire, 'up', 'gso_max_segs', '1');
    run('ip', '-n', there, 'link', 'set', port, 'up', 'gso_max_segs', '1');
  }

  /** A second wire from `a` to the router, for what is sent from `ADDRESS.other`. */
  secondWire(): void {
    this.#join('a', 'other', ADDRESS.other, 'to-other', '10.77.3.254');
    const ip = (...words: string[]): string => run('ip', '-n', this.#names.a, ...words);
    ip('route', 'add', 'default', 'via', '10.77.3.254', 'table', '3');
    ip('rule', 'add', 'from', ADDRESS.other, 'table', '3');
  }

  /** Gives `b` another address. */
  secondAddress(): void {
    run('ip', '-n', this.#names.b, 'addr', 'add', `${ADDRESS.second}/24`, 'dev', 'wire');
  }

  /** Takes the address of `a` away, and with it all of its routes. */
  loseAddress(): void {
    run('ip', '-n', this.#names.a, 'addr', 'del', `${ADDRESS.a}/24`, 'dev', 'wire');
  }

  /** Gives `a`, which has none, an address and a route. */
  gainAddress(address: string): void {
    run('ip', '-n', this.#names.a, 'addr', 'add', `${address}/24`, 'dev', 'wire');
    run('ip', '-n', this.#names.a, 'route', 'add', 'default', 'via', '10.77.1.254');
  }

  /** Runs a program in a namespace and returns what it wrote. */
  exec(node: Node, ...argv: string[]): string {
    return run('ip', 'netns', 'exec', this.#names[node], ...argv);
  }

  /** Takes the interface of an end down, its routes with it, or up again with them. */
  interface(end: 'a' | 'b', state: 'up' | 'down'): void {
    run('ip', '-n', this.#names[end], 'link', 'set', 'wire', state);
    if (state === 'down') return;
    const via = end === 'a' ? '10.77.1.254' : OUTSIDE;
    run('ip', '-n', this.#names[end], 'route', 'add', 'default', 'via', via);
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

  /** The firewall of `a` itself refuses what matches: the system says EPERM to whoever sends. */
  refuseAt(node: 'a' | 'b', rule: string): void {
    const nft = (words: string): string => this.exec(node, 'nft', words);
    nft('add table ip own');
    nft('add chain ip own out { type filter hook output priority 0; policy accept; }');
    nft(`add rule ip own out ${rule}`);
  }

  /** That firewall refuses nothing any more. */
  permitAt(node: 'a' | 'b'): void {
    this.exec(node, 'nft', 'delete table ip own');
  }

  /** Takes the link of a node down, or up again, at its own end, as a pulled cable does; with its route. */
  ownLink(node: 'a' | 'b', state: 'up' | 'down'): void {
    run('ip', '-n', this.#names[node], 'link', 'set', 'wire', state);
    if (state === 'up') {
      const router = node === 'a' ? '10.77.1.254' : OUTSIDE;
      run('ip', '-n', this.#names[node], 'route', 'replace', 'default', 'via', router);
    }
  }

  /** The router hides `a` behind its own address, and ports from these. */
  masquerade(ports = '1024-65535'): void {
    const nft = (words: string): string => this.exec('r', 'nft', words);
    nft('add table ip hide');
    nft('delete table ip hide');
    nft('add table ip hide');
    nft('add chain ip hide out { type nat hook postrouting priority 100; }');
    nft(`add rule ip hide out oifname "to-b" meta l4proto udp masquerade to :${ports} random`);
  }

  /** The router hides what `a` sends by TCP as well. */
  masqueradeTcp(): void {
    const rule = 'oifname "to-b" meta l4proto tcp masquerade random';
    this.exec('r', 'nft', `add rule ip hide out ${rule}`);
  }

  /** The router's line outside drops for a moment, so that it forgets all ports; then come others. */
  async newPorts(ports: string): Promise<void> {
    this.link('b', 'down');
    await this.#forgotten();
    this.masquerade(ports);
    this.link('b', 'up');
  }

  /** The router gets another address outside, and forgets whom it hid behind the one before. */
  async newOutside(address: string): Promise<void> {
    const addr = (verb: string, ip: string): string =>
      run('ip', '-n', this.#names.r, 'addr', verb, `${ip}/24`, 'dev', 'to-b');
    addr('del', OUTSIDE);
    await this.#forgotten();
    addr('add', address);
  }

  /** Resolves when the router follows no connection any more. */
  async #forgotten(): Promise<void> {
    const until = performance.now() + 60_000;
    for (;;) {
      const count = this.exec('r', 'cat', '/proc/sys/net/netfilter/nf_conntrack_count');
      if (Number(count) === 0) return;
      if (performance.now() > until) throw new Error(`the router still follows ${count}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** What each `counter` in the rules of {@link forward} has counted, in packets. */
  counted(): number[] {
    const rules = this.exec('r', 'nft', 'list', 'table', 'ip', 'stt');
    return [...rules.matchAll(/counter packets (\d+)/g)].map(([, packets]) => Number(packets));
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

  /** The command that runs another one in a namespace. */
  within(node: Node): readonly [string, ...string[]] {
    return ['ip', 'netns', 'exec', this.#names[node]];
  }

  /** Runs `ip` on a namespace. */
  ip(node: Node, ...words: string[]): string {
    return run('ip', '-n', this.#names[node], ...words);
  }

  /** Starts one of the programs in `processes/` in a namespace; it ends with the test. */
  start(node: Node, program: string): ChildProcess {
    const path = fileURLToPath(new URL(`./processes/${program}.mjs`, import.meta.url));
    const [command, ...argv] = [...this.within(node), process.execPath, path];
    const child = spawn(command, argv, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#dispose(() => void child.kill('SIGKILL'));
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
