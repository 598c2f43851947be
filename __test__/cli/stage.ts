// A sender and a receiver of one file, in processes that can be killed, stopped and started again.

import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestLink } from '@seigr/stt/testing';
import { closedPort, TestNetwork } from '@seigr/stt/testing';
import { onTestFinished } from 'vitest';
import { STEP_MS, Stt, seedFile, temporaryFolder } from './stt.ts';

export const MIB = 1024 * 1024;

/** Windows so small that a transfer takes its time, on any machine. */
export const SLOW: NodeJS.ProcessEnv = {
  STT_SEND_BUFFER_SIZE: '32768',
  STT_RECV_BUFFER_SIZE: '32768',
  STT_STREAM_RECV_BUFFER: '32768',
};

export const sha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

/** Bytes of which no two blocks are equal, the same for the same seed: what goes to a wrong place shows. */
export function content(seed: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = (seed ^ 0x9e37_79b9) >>> 0;
  for (let at = 0; at + 4 <= size; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeUInt32LE(state >>> 0, at);
  }
  return bytes;
}

/** Numbers in [0, 1) that are the same for the same seed, which is printed. */
export function chance(seed: number): () => number {
  console.log(`seed ${seed}`);
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Polls until `look` finds something. */
export async function until<T>(
  look: () => Promise<T | undefined>,
  what: string,
  limit = STEP_MS,
): Promise<T> {
  const deadline = performance.now() + limit;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`waited ${limit} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Stands between a sender and its receiver, and can be made deaf to the receiver. */
export async function between(
  port: number,
): Promise<{ port: number; deafen: (deaf?: boolean) => void }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  let client = 0;
  let deaf = false;
  socket.on('message', (bytes, { port: from }) => {
    if (from !== port) client = from;
    else if (deaf) return;
    socket.send(bytes, from === port ? client : port, '127.0.0.1');
  });
  return {
    port: (socket.address() as AddressInfo).port,
    deafen: (now = true) => {
      deaf = now;
    },
  };
}

/** One file, one folder to receive it, one port, one place for what lasts. */
export class Stage {
  readonly folder: string;
  readonly inbox: string;
  readonly file: string;
  readonly seed: string;
  readonly port: number;
  bytes: Buffer;
  env: NodeJS.ProcessEnv;
  /** Where the receiver is. */
  host = '127.0.0.1';
  /** The port at which the sender looks for it, if that is not its own. */
  via: number | undefined;
  #link: TestLink | undefined;
  /** What the two are run by: a network namespace each, for one. */
  wrappers: { recv?: readonly string[]; send?: readonly string[] } = {};

  private constructor(folder: string, seed: string, port: number, bytes: Buffer) {
    this.folder = folder;
    this.inbox = join(folder, 'inbox');
    this.file = join(folder, 'data.bin');
    this.seed = seed;
    this.port = port;
    this.bytes = bytes;
    this.env = { ...SLOW, XDG_STATE_HOME: join(folder, 'state') };
  }

  static async make(bytes: Buffer): Promise<Stage> {
    const folder = await temporaryFolder();
    const stage = new Stage(folder, await seedFile(folder), await closedPort(), bytes);
    await mkdir(stage.inbox);
    await writeFile(stage.file, bytes);
    return stage;
  }

  /** Starts `stt recv`, and resolves once it listens. */
  async recv(...more: string[]): Promise<Stt> {
    const listen = ['--listen', `${this.host}:${this.port}`, '--seed-file', this.seed, '--json'];
    const { env, wrappers } = this;
    const wrapper = wrappers.recv ?? [];
    const recv = new Stt(['recv', this.inbox, ...listen, ...more], { env, wrapper });
    await recv.record(({ event }) => event === 'listening');
    return recv;
  }

  /**
   * Puts 5 ms between the two, by a link of this process: a window each 10 ms is 3 MB/s, on a machine of any speed, and
   * what `reaches()` has seen goes on only as the test does, however long this process does not get to run.
   */
  async goFarAway(): Promise<TestLink> {
    const network = new TestNetwork();
    onTestFinished(() => network[Symbol.asyncDispose]());
    const link = await network.link({ address: { port: this.port } });
    await link.delay(5);
    this.#link = link;
    this.via = link.port;
    return link;
  }

  /** Takes that away again, and every other fault; what was sent to is still the link. */
  async comeNear(): Promise<void> {
    await this.#link?.heal();
  }

  /** Starts `stt send`. */
  send(...more: string[]): Stt {
    const { env, wrappers } = this;
    const peer = `${this.host}:${this.via ?? this.port}`;
    const args = ['send', this.file, peer, '--seed-file', this.seed, '--json', ...more];
    return new Stt(args, { env, wrapper: wrappers.send ?? [] });
  }

  /** The unfinished file, and its length. Nothing comes by a link of this process while it looks. */
  part(): { name: string; length: number } | undefined {
    for (const name of readdirSync(this.inbox)) {
      if (!name.endsWith('.part')) continue;
      const found = statSync(join(this.inbox, name), { throwIfNoEntry: false });
      if (found !== undefined) return { name, length: found.size };
    }
    return undefined;
  }

  /** Resolves once the unfinished file has at least so many bytes. */
  async reaches(bytes: number): Promise<number> {
    const look = async () => {
      const length = this.part()?.length ?? 0;
      return length >= bytes ? length : undefined;
    };
    return until(look, `${bytes} bytes to arrive`);
  }

  /** Changes one byte of a file in the inbox. */
  async damage(name: string, at: number): Promise<void> {
    const file = await open(join(this.inbox, name), 'r+');
    try {
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, at);
      byte[0] = (byte[0] as number) ^ 0x5a;
      await file.write(byte, 0, 1, at);
    } finally {
      await file.close();
    }
  }

  /** What was received, by its hash; and nothing else is left in the inbox. */
  async received(): Promise<{ files: string[]; sha256: string }> {
    const files = await readdir(this.inbox);
    return { files, sha256: sha256(await readFile(join(this.inbox, 'data.bin'))) };
  }

  /** The same for what should have been. */
  expected(): { files: string[]; sha256: string } {
    return { files: ['data.bin'], sha256: sha256(this.bytes) };
  }
}
