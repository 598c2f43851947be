// ICMP by hand, in a namespace: what ping does, and what forgers do.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Disposer } from '../network/children.ts';
import type { Network, Node } from './network.ts';

/** A socket's address and port. */
export interface Ends {
  readonly address: string;
  readonly port: number;
}

/** The program, compiled for one test. */
export class Icmp {
  readonly #program: string;
  readonly #net: Network;

  static async build(net: Network, dispose: Disposer): Promise<Icmp> {
    const folder = mkdtempSync(join(tmpdir(), 'stt-icmp-'));
    dispose(() => rmSync(folder, { recursive: true }));
    const program = join(folder, 'icmp');
    const source = fileURLToPath(new URL('./icmp.c', import.meta.url));
    await promisify(execFile)('cc', ['-Wall', '-Wextra', '-O1', '-o', program, source]);
    return new Icmp(net, program);
  }

  private constructor(net: Network, program: string) {
    this.#net = net;
    this.#program = program;
  }

  /** Whether a host answers the echo request of a node: what `ping` shows. */
  async answers(from: Node, address: string, ms = 30_000): Promise<boolean> {
    return (await this.#run(from, 'echo', address, String(ms))) === 0;
  }

  /**
   * Tells a host, in the name of another, that its datagrams do not arrive: each kind of error that there is,
   * `count` times, over some three seconds.
   */
  async forge(from: Node, as: string, sender: Ends, receiver: Ends, count: number): Promise<void> {
    const words = [as, sender.address, sender.address, sender.port, receiver.address];
    const status = await this.#run(
      from,
      'forge',
      ...[...words, receiver.port, count].map((word) => String(word)),
    );
    if (status !== 0) throw new Error(`icmp forge ended with ${status}`);
  }

  async #run(from: Node, ...words: string[]): Promise<number> {
    const [command, ...argv] = [...this.#net.within(from), this.#program, ...words];
    const child = spawn(command as string, argv, { stdio: ['ignore', 'ignore', 'ignore'] });
    const [status] = (await once(child, 'exit')) as [number | null];
    return status ?? -1;
  }
}
