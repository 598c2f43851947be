// Two real endpoints with a key log, and a wire for each of their sessions.

import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineOptions } from '../../ts/native/engine.ts';
import { Peer, plainStream } from '../native/peer.ts';
import { type Datagram, type Loses, type Role, Wire } from './capture.ts';
import { type KeyLog, parseKeyLog } from './keylog.ts';

/** What a decoder is given beside the datagrams. */
export interface Open {
  readonly secrets: { sharedSeed: Uint8Array; nodeSeeds: Record<Role, Uint8Array> };
  readonly keyLog: KeyLog;
}

/** One session on a wire of its own. */
export interface Met {
  readonly wire: Wire;
  /** Its number at the initiator, and at the responder. */
  readonly session: Readonly<Record<Role, number>>;
  readonly info: Readonly<Record<Role, Connected>>;
}

/** Types of clear packets (PROTOCOL.md section 1.5). */
const CHALLENGE = 0x02;
const AUTH_PROOF = 0x03;

const pathIdOf = (packet: Buffer): string => packet.toString('hex', 4, 12);

type Connected = Parameters<import('../../ts/native/engine.ts').EngineHandlers['connected']>[1];

export class Stage {
  readonly initiator: Peer;
  readonly responder: Peer;
  readonly #dir: string;
  readonly #secrets: Open['secrets'];
  readonly #wires: Wire[] = [];

  private constructor(dir: string, changes: Record<Role, Partial<EngineOptions>>) {
    this.#dir = dir;
    const sharedSeed = randomBytes(32);
    const nodeSeeds = { initiator: randomBytes(32), responder: randomBytes(32) };
    this.#secrets = { sharedSeed, nodeSeeds };
    const peer = (role: Role): Peer =>
      new Peer({
        sharedSeeds: [sharedSeed],
        nodeSeed: nodeSeeds[role],
        // The wire is a program: what stands in its way is not to be found out here.
        mtu: 1_452,
        ...changes[role],
      });
    this.responder = peer('responder');
    this.initiator = peer('initiator');
    this.responder.engine.listen({ maxSessions: 16, authorize: false, earlyData: true });
  }

  /** Acts on a stage, and gives it with the secrets of all its sessions, which have ended by then. */
  static async play<T>(
    changes: Partial<Record<Role, Partial<EngineOptions>>>,
    act: (stage: Stage) => Promise<T>,
  ): Promise<Open & { played: T }> {
    const dir = await mkdtemp(join(tmpdir(), 'stt-interchange-'));
    const keyLog = join(dir, 'keys.log');
    const { initiator, responder } = changes;
    const stage = new Stage(dir, {
      initiator: { ...initiator, keyLog },
      responder: { ...responder },
    });
    try {
      const played = await act(stage);
      await Promise.all([stage.initiator.close(), stage.responder.close()]);
      const log = parseKeyLog(await readFile(keyLog, 'utf8'));
      return { played, secrets: stage.#secrets, keyLog: log };
    } finally {
      await stage.#leave();
    }
  }

  async meet(
    options: { loses?: Loses; resume?: Uint8Array; earlyData?: Uint8Array } = {},
  ): Promise<Met> {
    const { loses, ...resumption } = options;
    const { engine } = this.responder;
    const wire = await Wire.to(engine.address.port, loses);
    this.#wires.push(wire);
    const { port } = wire;
    const to = { address: '127.0.0.1', port, peerNodeId: engine.nodeId, timeoutMs: 60_000 };
    this.initiator.engine.connect({ ...to, ...resumption });
    const [[initiator, ours], [responder, theirs]] = await Promise.all([
      this.initiator.take('connected'),
      this.responder.take('connected'),
    ]);
    const session = { initiator, responder };
    return { wire, session, info: { initiator: ours, responder: theirs } };
  }

  /** Begins so many handshakes that never end, as the AUTH_PROOF of each is lost. */
  async crowd(count: number): Promise<void> {
    let challenged = 0;
    const challenges = new Set<string>();
    const loses: Loses = (_, from, bytes) => {
      // A CHALLENGE goes to the path id of its HELLO.
      if (from === 'responder' && bytes[1] === CHALLENGE) challenges.add(pathIdOf(bytes));
      challenged = challenges.size;
      return from === 'initiator' && bytes[1] === AUTH_PROOF;
    };
    const { engine } = this.responder;
    const wire = await Wire.to(engine.address.port, loses);
    this.#wires.push(wire);
    for (let begun = 0; begun < count; begun++) {
      const to = { address: '127.0.0.1', port: wire.port, peerNodeId: engine.nodeId };
      this.initiator.engine.connect({ ...to, timeoutMs: 90_000 });
    }
    const limit = Date.now() + 60_000;
    while (challenged < count) {
      if (Date.now() > limit) throw new Error(`${challenged} of ${count} CHALLENGEs`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Closes a session from the initiator's side, and gives what passed on its wire. */
  async part({ session, wire }: Met): Promise<readonly Datagram[]> {
    const end = { reason: 0, code: 0, message: 'done', drainMs: 5_000 } as const;
    this.initiator.engine.announceEnd(session.initiator, end.drainMs);
    await this.responder.take('draining');
    this.initiator.engine.closeSession(session.initiator, end);
    await Promise.all([this.initiator.take('sessionClosed'), this.responder.take('sessionClosed')]);
    return wire.datagrams;
  }

  /** One stream there and back: what each side sent, by its id and the sender. */
  async exchange({ session }: Met, bytes: number, purpose: string): Promise<[string, Buffer][]> {
    const { initiator, responder } = this;
    const sent = { initiator: randomBytes(bytes), responder: randomBytes(bytes / 2) };
    const stream = initiator.engine.openStream(session.initiator, { ...plainStream, purpose });
    await write(initiator, stream, sent.initiator);
    const [, theirs, { id }] = await responder.take('streamOpened');
    await receive(responder, theirs, bytes);
    await write(responder, theirs, sent.responder);
    await receive(initiator, stream, bytes / 2);
    return [
      [`${id} initiator`, sent.initiator],
      [`${id} responder`, sent.responder],
    ];
  }

  /** Pings until `done`, looked at before each. */
  async pingUntil({ session }: Met, done: () => boolean): Promise<void> {
    for (let token = 1; !done(); token++) {
      this.initiator.engine.ping(session.initiator, token);
      await this.initiator.take('pong');
    }
  }

  async #leave(): Promise<void> {
    this.initiator.engine.destroy();
    this.responder.engine.destroy();
    await Promise.all(this.#wires.map((wire) => wire.close()));
    await rm(this.#dir, { recursive: true, force: true });
  }
}

export async function write(peer: Peer, stream: number, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const taken = peer.engine.write(stream, bytes, at, bytes.length);
    if (taken < 0) throw new Error('the stream died');
    at += taken;
    if (at < bytes.length) await peer.take('writable');
  }
  peer.engine.finish(stream);
}

async function receive(peer: Peer, stream: number, bytes: number): Promise<void> {
  let got = 0;
  for (let ended = false; !ended; ) {
    const [from, chunk, fin] = await peer.take('data');
    if (from !== stream) throw new Error(`data of stream ${from}`);
    peer.engine.consumed(stream, chunk.length);
    got += chunk.length;
    ended = fin;
  }
  if (got !== bytes) throw new Error(`${got} bytes instead of ${bytes}`);
}
