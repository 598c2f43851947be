// A session between two real endpoints over a wire that keeps what passes.

import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Peer, plainStream } from '../native/peer.ts';
import { type Datagram, type Role, Wire } from './capture.ts';
import { type KeyLog, parseKeyLog } from './decoder.ts';

export interface Recorded {
  readonly capture: readonly Datagram[];
  readonly secrets: { sharedSeed: Uint8Array; nodeSeeds: Record<Role, Uint8Array> };
  readonly keyLog: KeyLog;
  readonly sessionId: string;
  /** What each side sent: on the initiator's stream, by its id, and the responder's answer. */
  readonly streams: Map<string, Buffer>;
}

/** Two streams there and back, over a wire that loses a datagram now and then. */
export async function record(bytes: number): Promise<Recorded> {
  const dir = await mkdtemp(join(tmpdir(), 'stt-interchange-'));
  const sharedSeed = randomBytes(32);
  const nodeSeeds = { initiator: randomBytes(32), responder: randomBytes(32) };
  const options = {
    sharedSeeds: [sharedSeed],
    // The wire is a program: what stands in its way is not to be found out here.
    mtu: 1_452,
    keyUpdatePackets: 200,
    keepAliveIntervalMs: 100,
  };
  const log = join(dir, 'keys.log');
  const server = new Peer({ ...options, nodeSeed: nodeSeeds.responder });
  const client = new Peer({ ...options, nodeSeed: nodeSeeds.initiator, keyLog: log });
  const wire = await Wire.to(server.engine.address.port, (index) => index % 61 === 60);
  try {
    server.engine.listen({ maxSessions: 1, authorize: false });
    const { port } = wire;
    const peerNodeId = server.engine.nodeId;
    const to = { address: '127.0.0.1', port, peerNodeId, timeoutMs: 5_000 };
    const session = client.engine.connect(to);
    const [[, info]] = await Promise.all([client.take('connected'), server.take('connected')]);
    const connected = performance.now();
    const streams = new Map<string, Buffer>();
    for (const purpose of ['first', 'second']) {
      const sent = { initiator: randomBytes(bytes), responder: randomBytes(bytes / 2) };
      const stream = client.engine.openStream(session, { ...plainStream, purpose });
      await write(client, stream, sent.initiator);
      const [, theirs, { id }] = await server.take('streamOpened');
      await receive(server, theirs, bytes);
      await write(server, theirs, sent.responder);
      await receive(client, stream, bytes / 2);
      streams.set(`${id} initiator`, sent.initiator).set(`${id} responder`, sent.responder);
    }
    // A key may be updated three PTO after the session began, however fast the streams were (PROTOCOL.md section 4.4).
    for (let token = 1, waiting = true; waiting; token++) {
      // Until one is measured, RFC 9002 section 6.2.2 has these.
      const { smoothedRtt = 333, rttVariation = 166 } = client.engine.sessionStats(session)!;
      const pto = smoothedRtt + 4 * rttVariation + 25;
      waiting = performance.now() - connected < 6 * pto;
      client.engine.ping(session, token);
      await client.take('pong');
    }
    client.engine.closeSession(session, { reason: 0, code: 0, message: 'done', drainMs: 5_000 });
    await Promise.all([client.take('sessionClosed'), server.take('sessionClosed')]);
    await Promise.all([client.close(), server.close()]);
    const keyLog = parseKeyLog(await readFile(log, 'utf8'));
    const sessionId = Buffer.from(info.sessionId).toString('hex');
    const secrets = { sharedSeed, nodeSeeds };
    return { capture: wire.datagrams, secrets, keyLog, sessionId, streams };
  } finally {
    client.engine.destroy();
    server.engine.destroy();
    await wire.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function write(peer: Peer, stream: number, bytes: Buffer): Promise<void> {
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
  for (;;) {
    const [from, chunk, fin] = await peer.take('data');
    if (from !== stream) throw new Error(`data of stream ${from}`);
    peer.engine.consumed(stream, chunk.length);
    got += chunk.length;
    if (fin) break;
  }
  if (got !== bytes) throw new Error(`${got} bytes instead of ${bytes}`);
}
