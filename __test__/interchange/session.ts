// Sessions between two real endpoints over wires that keep what passes, and what the application saw.

import { randomBytes } from 'node:crypto';
import { plainStream } from '../native/peer.ts';
import type { Datagram, Loses, Path, Role } from './capture.ts';
import { inOrder } from './decoder.ts';
import type { Message } from './session-frames.ts';
import { type Met, type Open, Stage, write } from './stage.ts';

const DATAGRAM = 0x16;
/** Loses one in 61. */
const some: Loses = (index) => index % 61 === 60;

/** A session that was captured, with all that opens it. */
export interface Recorded extends Open {
  readonly capture: readonly Datagram[];
  readonly sessionId: string;
}

export interface Streamed extends Recorded {
  /** What each side sent: on the initiator's stream, by its id, and the responder's answer. */
  readonly streams: Map<string, Buffer>;
  /** What the initiator counted itself. */
  readonly keyUpdates: number;
}

const idOf = ({ info }: Met): string => Buffer.from(info.initiator.sessionId).toString('hex');

/** Two streams there and back, over a wire that loses a datagram now and then. */
export async function recordStreams(bytes: number): Promise<Streamed> {
  const options = { keyUpdatePackets: 200, keepAliveIntervalMs: 100 };
  const changes = { initiator: options, responder: options };
  const { played, ...open } = await Stage.play(changes, async (stage) => {
    const met = await stage.meet({ loses: some });
    const streams = new Map(await stage.exchange(met, bytes, 'first'));
    for (const [name, sent] of await stage.exchange(met, bytes, 'second')) streams.set(name, sent);
    // A key may be updated three PTO after the session began, however fast the streams were (PROTOCOL.md section 4.4).
    const updates = (): number => keyUpdates(stage, met);
    await stage.pingUntil(met, () => updates() > 0);
    const counted = updates();
    const capture = await stage.part(met);
    return { capture, sessionId: idOf(met), streams, keyUpdates: counted };
  });
  return { ...played, ...open };
}

function keyUpdates(stage: Stage, { session }: Met): number {
  return stage.initiator.engine.sessionStats(session.initiator)?.keyUpdates ?? 0;
}

/** What the responder read of a stream with a deadline. */
export interface Read {
  readonly chunks: readonly { readonly offset: number; readonly bytes: Buffer }[];
  readonly gaps: readonly { readonly offset: number; readonly length: number }[];
}

export interface Mixed extends Recorded {
  readonly streams: Map<string, Buffer>;
  readonly messages: readonly Message[];
  /** The stream of which bytes were given up, by its id. */
  readonly deadline: { readonly id: number; readonly sent: Buffer; readonly read: Read };
  /** Where the initiator was moved to. */
  readonly moves: readonly Path[];
}

/** Messages of several types, a stream that gives up bytes, and an initiator that is moved about. */
export async function recordMixed(): Promise<Mixed> {
  const changes = {
    initiator: { maxDatagramSize: 700 },
    responder: { maxDatagramSize: 600, streamRecvBuffer: 65_536, recvBufferSize: 262_144 },
  };
  const { played, ...open } = await Stage.play(changes, async (stage) => {
    const met = await stage.meet();
    const messages = await exchangeMessages(stage, met);
    const streams = new Map(await stage.exchange(met, 200_000, 'before'));
    const deadline = await giveUp(stage, met);
    const moves: Path[] = [];
    // Another port, as of a NAT; then another address.
    for (const host of ['127.0.0.1', '127.0.0.2']) {
      const path = await met.wire.move(host);
      for (const sent of await stage.exchange(met, 200_000, host)) streams.set(...sent);
      const [, { address, port }] = await stage.responder.take('pathChange');
      if (address !== host || port !== path.port) throw new Error(`moved to ${address}:${port}`);
      moves.push(path);
    }
    const capture = await stage.part(met);
    return { capture, sessionId: idOf(met), streams, messages, deadline, moves };
  });
  return { ...played, ...open };
}

/** Each side sends three of the longest that the other takes, an empty one, and two custom frames. */
async function exchangeMessages(stage: Stage, { session }: Met): Promise<Message[]> {
  const messages: Message[] = [];
  for (const from of ['initiator', 'responder'] as const) {
    const to = from === 'initiator' ? 'responder' : 'initiator';
    for (const type of [0x80, 0xfe]) stage[to].engine.handleFrames(session[to], type, true);
    const { engine } = stage[from];
    const most = engine.maxMessageSize(session[from]);
    for (const [type, size] of [
      [DATAGRAM, most],
      [DATAGRAM, 0],
      [0x80, most],
      [0xfe, 5],
    ] as const) {
      const bytes = randomBytes(size);
      if (engine.sendMessage(session[from], type, bytes) !== 1) throw new Error('no room');
      messages.push({ from, type, data: bytes.toString('hex') });
      const [, got, chunk] = await stage[to].take('message');
      if (got !== type || !bytes.equals(chunk)) throw new Error(`another message of type ${got}`);
    }
  }
  return messages;
}

/** A stream whose reader stands still until what was written is too old, and who then reads it. */
async function giveUp(stage: Stage, met: Met): Promise<Mixed['deadline']> {
  const { initiator, responder } = stage;
  const { session } = met;
  const options = { ...plainStream, unidirectional: true, deadline: 50 };
  const stream = initiator.engine.openStream(session.initiator, options);
  const sent = randomBytes(500_000);
  const written = write(initiator, stream, sent);
  const stats = (): number => initiator.engine.sessionStats(session.initiator)?.bytesGivenUp ?? 0;
  await stage.pingUntil(met, () => stats() > 0);
  const [, theirs, { id }] = await responder.take('streamOpened');
  const chunks: { offset: number; bytes: Buffer }[] = [];
  const gaps: { offset: number; length: number }[] = [];
  let offset = 0;
  for (let ended = false; !ended; ) {
    const event = await responder.until('data or a gap', () => {
      const at = responder.heard.findIndex(({ name }) => name === 'data' || name === 'gap');
      return at < 0 ? undefined : responder.heard.splice(at, 1)[0];
    });
    if (event.name === 'gap') {
      const [, from, length] = event.args;
      gaps.push({ offset: from, length });
      offset = from + length;
    } else if (event.name === 'data') {
      const [, chunk, fin] = event.args;
      responder.engine.consumed(theirs, chunk.length);
      chunks.push({ offset, bytes: Buffer.from(chunk) });
      offset += chunk.length;
      ended = fin;
    }
  }
  await written;
  if (offset !== sent.length) throw new Error(`the stream ended at ${offset}`);
  return { id, sent, read: { chunks, gaps } };
}

/** A session, one that its ticket brought about, and one where the ticket came again in vain. */
export interface Resumed extends Open {
  readonly first: readonly Datagram[];
  readonly resumed: readonly Datagram[];
  readonly refused: readonly Datagram[];
  readonly early: Buffer;
  readonly streams: Map<string, Buffer>;
  readonly sessionIds: readonly string[];
  /** What the responder counted itself. */
  readonly counted: Record<string, number>;
}

export async function recordResumption(): Promise<Resumed> {
  const { played, ...open } = await Stage.play({}, async (stage) => {
    const one = await stage.meet();
    const [, resume] = await stage.initiator.take('ticket');
    const first = await stage.part(one);
    const early = randomBytes(300);
    // The first RESUME is lost, and so repeated.
    const two = await stage.meet({ resume, earlyData: early, loses: (index) => index < 1 });
    expectEarly(two, 'accepted', early);
    const streams = new Map(await stage.exchange(two, 50_000, 'resumed'));
    const resumed = await stage.part(two);
    const three = await stage.meet({ resume, earlyData: early });
    expectEarly(three, 'rejected', undefined);
    const refused = await stage.part(three);
    const counted = stage.responder.engine.endpointStats();
    const sessionIds = [one, two, three].map(idOf);
    return { first, resumed, refused, early, streams, sessionIds, counted };
  });
  return { ...played, ...open };
}

function expectEarly({ info }: Met, status: string, received: Buffer | undefined): void {
  const { initiator, responder } = info;
  const got = responder.earlyData;
  const same =
    received === undefined ? got === undefined : got !== undefined && received.equals(got);
  if (initiator.earlyDataStatus !== status || !same) throw new Error('early data fared otherwise');
}

export interface Moved extends Recorded {
  readonly streams: Map<string, Buffer>;
}

/** Half-open handshakes of one source from which on it draws RETRY (PROTOCOL.md section 3.1). */
const CROWD = 64;

/** A connect that takes a RETRY, and an initiator that moves to another of its addresses and back. */
export async function recordMoved(): Promise<Moved> {
  const anywhere = { initiator: { host: '0.0.0.0' } };
  const { played, ...open } = await Stage.play(anywhere, async (stage) => {
    await stage.crowd(CROWD);
    const met = await stage.meet();
    const streams = new Map(await stage.exchange(met, 200_000, 'before'));
    await met.wire.move('127.0.0.2', '127.0.0.2');
    for (const [index, local] of ['127.0.0.2', '127.0.0.1'].entries()) {
      stage.initiator.engine.moveSession(met.session.initiator, index, local, undefined);
      await stage.initiator.take('moved');
      for (const sent of await stage.exchange(met, 200_000, local)) streams.set(...sent);
    }
    const capture = await stage.part(met);
    return { capture, sessionId: idOf(met), streams };
  });
  const { secrets, keyLog } = open;
  return { ...played, ...open, capture: inOrder(played.capture, secrets, keyLog) };
}

/** Roles in the order in which a session knows them. */
export const ROLES: readonly Role[] = ['initiator', 'responder'];
