// An independent reading of docs/PROTOCOL.md: takes the datagrams of a session and its secrets, derives
// every frame again, writes each packet as it was sent, and refuses what the document does not allow. It
// shares no code with the Rust.

import { InvalidFrame } from '../../ts/testing/wire/bytes.ts';
import {
  type Frame,
  parseBundle,
  parseFrame,
  writeBody,
  writePart,
} from '../../ts/testing/wire/frames.ts';
import { decodePacket, encodePacket, RefusedPacket } from '../../ts/testing/wire/packet.ts';
import type { Agreement } from './agreement.ts';
import type { Datagram, Role } from './capture.ts';
import { Deviation, demand } from './deviation.ts';
import { Direction, type Opened } from './direction.ts';
import { type ClearType, type Early, HandshakeReader } from './handshake.ts';
import type { KeyLog } from './keylog.ts';
import { largestDatagram } from './params.ts';
import { Paths } from './paths.ts';
import type { Secrets } from './seeds.ts';
import { type Message, SessionFrames } from './session-frames.ts';
import { type Finished, peerOf } from './streams.ts';

const NO_MASK = Buffer.alloc(11);
const BUNDLE = 0x1f;
const OVERHEAD = 28;
const SILENT = new Set(['ACK', 'SESSION_CLOSE']);

/** What a session was found to be. */
export interface Decoded {
  readonly sessionId: string;
  readonly resumed: boolean;
  /** Frames of each type that each side sent. */
  readonly frames: Readonly<Record<Role, Record<string, number>>>;
  readonly packets: Readonly<Record<Role, number>>;
  readonly keyUpdates: Readonly<Record<Role, number>>;
  readonly largestDatagram: Readonly<Record<Role, number>>;
  /** Every half that ended by FIN, by `<stream> <sender>`. */
  readonly streams: ReadonlyMap<string, Finished>;
  readonly messages: readonly Message[];
  readonly handshake: Readonly<Record<ClearType, number>>;
  readonly early: Early | undefined;
  /** Addresses that the initiator was seen at, and how many of them were proven. */
  readonly paths: { readonly seen: number; readonly proven: number };
  /** Path ids that each side was sent sealed packets under. */
  readonly pathIds: Readonly<Record<Role, number>>;
}

/** What a packet holds. */
interface Contents {
  readonly frames: readonly Frame[];
  /** The plaintext, written from the frames. */
  readonly again: Buffer;
  readonly padded: boolean;
}

class Decoder {
  readonly #handshake: HandshakeReader;
  readonly #secrets: Secrets;
  readonly #keyLog: KeyLog;
  readonly #paths = new Paths();
  #directions: Record<Role, Direction> | undefined;
  #session: SessionFrames | undefined;
  readonly #largest: Record<Role, number> = { initiator: 0, responder: 0 };
  /** The address of the initiator's own that each path id is used with. */
  readonly #locals = new Map<string, string>();
  /** Whether the initiator has been heard under the session's keys. */
  #heard = false;

  constructor(secrets: Secrets, keyLog: KeyLog) {
    this.#secrets = secrets;
    this.#handshake = new HandshakeReader(secrets);
    this.#keyLog = keyLog;
  }

  datagram(datagram: Datagram): void {
    const { bytes } = datagram;
    const { header, payload } = decodePacket(bytes, NO_MASK);
    // Of the exception, a sealed packet behind AUTH_PROOF, this library makes no use.
    demand(payload.length + OVERHEAD === bytes.length, '1.1', 'one packet in a datagram');
    if (header.sealed) this.#sealed(datagram, header.pathId, payload);
    else this.#clear(datagram, payload);
    this.#paths.note(datagram);
  }

  #clear({ from, bytes, delivered, path }: Datagram, payload: Buffer): void {
    const { header } = decodePacket(bytes, NO_MASK);
    const clear = header.flags === 0 && header.streamId === 0 && header.packetNumber === 0;
    demand(clear, '1.1', 'flags, stream id and packet number of a clear packet are zero');
    demand(encodePacket(header, payload, NO_MASK).equals(bytes), '1.1', 'a packet, written again');
    const { type, pathId } = header;
    const head = bytes.subarray(0, 22);
    const name = this.#handshake.read({ from, type, pathId, head, payload });
    if (!delivered) return;
    if (name === 'AUTH_PROOF') this.#paths.prove(path);
    // The session is where the packet came from that made it.
    if (name === 'AUTH_PROOF' || name === 'RESUME') this.#paths.use(path);
  }

  #sealed(datagram: Datagram, pathId: string, payload: Buffer): void {
    const { from, bytes, delivered, path, local } = datagram;
    const agreement = this.#agreement();
    const session = this.#session as SessionFrames;
    const to = peerOf(from);
    demand(session.receivesUnder(to, pathId), '1.1', 'the path id is one of the receiver’s');
    this.#usedWith(`${to} ${pathId}`, local);
    const most = largestDatagram(agreement.params[to]);
    demand(bytes.length <= most, '5.3', 'more than the peer takes');
    this.#largest[from] = Math.max(this.#largest[from], bytes.length);
    const direction = (this.#directions as Record<Role, Direction>)[from];
    // The initiator knows from which of its own addresses it sends, and not at which it is seen.
    const host = from === 'initiator' ? local : path.host;
    const sent = { datagram: bytes.length, delivered, host };
    const packet = direction.open(bytes.subarray(0, 22), payload, sent);
    const { frames, again, padded } = contents(packet);
    demand(packet.seal(again).equals(bytes), '1.4', 'a packet, written again');
    const eliciting = frames.some((frame) => !SILENT.has(frame.type ?? ''));
    const probes = frames.every((frame) => frame.type === 'KEEP_ALIVE' && isProbe(frame));
    direction.judgeSize(packet.number, eliciting, padded && frames.length === 1 && probes);
    if (from === 'responder') {
      if (!frames.every(isProbing)) this.#paths.demandUsed(path);
    } else {
      const confirms = this.#heard || !agreement.resumed || eliciting;
      demand(confirms, '2.7', 'an ack-eliciting packet when RESUME_REPLY verifies');
      if (delivered && !this.#heard) {
        this.#heard = true;
        this.#paths.prove(path);
      }
      if (delivered && !frames.every(isProbing)) this.#paths.use(path);
    }
    for (const frame of frames) {
      session.read(from, frame, delivered);
      if (!isProbe(frame)) continue;
      const nonce = frame.fields?.nonce as string;
      const challenged = frame.type === 'KEEP_ALIVE' && from === 'responder';
      const answered = frame.type === 'KEEP_ALIVE_ACK' && from === 'initiator' && delivered;
      if (challenged) this.#paths.challenge(path, nonce);
      if (answered) this.#paths.answer(nonce);
    }
  }

  /** Who moves on purpose, and who is moved with, uses other path ids there: a watcher learns nothing. */
  #usedWith(pathId: string, local: string): void {
    const known = this.#locals.get(pathId) ?? local;
    demand(known === local, '6.3', 'a path id that was used on another path');
    this.#locals.set(pathId, local);
  }

  done(): Decoded {
    const { sessionId, resumed } = this.#agreement();
    const { initiator, responder } = this.#directions as Record<Role, Direction>;
    const { counts, messages, streams } = this.#session as SessionFrames;
    return {
      sessionId,
      resumed,
      frames: counts,
      packets: { initiator: initiator.sent.size, responder: responder.sent.size },
      keyUpdates: { initiator: initiator.generation, responder: responder.generation },
      largestDatagram: this.#largest,
      streams: streams.finished(),
      messages,
      handshake: this.#handshake.counts,
      early: this.#handshake.early,
      paths: this.#paths.counts,
      pathIds: { initiator: this.#idsOf('initiator'), responder: this.#idsOf('responder') },
    };
  }

  #idsOf(role: Role): number {
    return [...this.#locals.keys()].filter((name) => name.startsWith(role)).length;
  }

  /** The handshake's outcome, which the key log has to agree with. */
  #agreement(): Agreement {
    const { agreement } = this.#handshake;
    demand(agreement !== undefined, '2', 'a sealed packet before the handshake');
    if (this.#directions !== undefined) return agreement;
    const direction = (from: Role): Direction => {
      const secret = agreement.trafficSecrets[from];
      const logged = this.#keyLog.traffic.get(agreement.pathIds[peerOf(from)]);
      const agrees = logged?.aead === agreement.aead && logged.secret.equals(secret);
      demand(agrees, '4.1', `secret_0 of the ${from} is not the one in the key log`);
      return new Direction(agreement.aead, secret);
    };
    this.#directions = { initiator: direction('initiator'), responder: direction('responder') };
    this.#session = new SessionFrames(agreement, this.#secrets, this.#directions);
    return agreement;
  }
}

/**
 * Reads a packet's plaintext, and writes it again. A sender has one choice, in which this library keeps to
 * what section 0.1 recommends: every varint has the shortest form.
 */
function contents({ type, flags, streamId, plaintext }: Opened): Contents {
  if (type !== BUNDLE) {
    const frame = known(parseFrame(type, flags, streamId, plaintext));
    const again = writeBody(frame);
    demand(again.length === plaintext.length, '0.1', `${frame.type} in the shortest form`);
    return { frames: [frame], again, padded: false };
  }
  const parts = parseBundle(flags, streamId, plaintext);
  const again = Buffer.alloc(plaintext.length);
  let bytes = 0;
  for (const { frame, start, end } of parts) {
    const part = writePart(known(frame));
    demand(part.length === end - start, '0.1', `${frame.type} in the shortest form`);
    part.copy(again, start);
    bytes += part.length;
  }
  return { frames: parts.map((part) => part.frame), again, padded: bytes < plaintext.length };
}

function known(frame: Frame): Frame {
  demand(frame.type !== null, '1.5', `frame type ${frame.typeCode} is unknown`);
  return frame;
}

/** KEEP_ALIVE or KEEP_ALIVE_ACK of kind 1. */
function isProbe({ type, fields }: Frame): boolean {
  return (type === 'KEEP_ALIVE' || type === 'KEEP_ALIVE_ACK') && fields?.kind === 1;
}

/** What a packet may hold that moves nothing (section 6.3). */
function isProbing(frame: Frame): boolean {
  return frame.type === 'NEW_ID' || frame.type === 'KEEP_ALIVE_ACK' || isProbe(frame);
}

/**
 * Reads a capture from its first HELLO or RESUME to the last packet. A ticket that FINAL brings joins those
 * of `secrets`, and one that serves is marked there.
 *
 * @throws {Deviation} at the first datagram that the document does not allow.
 */
export function decode(
  capture: readonly Datagram[],
  secrets: Omit<Secrets, 'ephemerals'>,
  keyLog: KeyLog,
): Decoded {
  const decoder = new Decoder({ ...secrets, ephemerals: keyLog.ephemerals }, keyLog);
  for (const [index, datagram] of capture.entries()) {
    try {
      decoder.datagram(datagram);
    } catch (error) {
      let deviation = error;
      if (error instanceof RefusedPacket) deviation = new Deviation('1.3', error.message);
      if (error instanceof InvalidFrame) deviation = new Deviation('1.6', error.message);
      if (deviation instanceof Deviation) deviation.datagram = index;
      throw deviation;
    }
  }
  return decoder.done();
}

/**
 * A capture in the order in which its datagrams were sent. Sockets of one wire are read one after the other,
 * so that what went to two of the initiator's addresses may have changed places.
 */
export function inOrder(
  capture: readonly Datagram[],
  secrets: Omit<Secrets, 'ephemerals' | 'tickets'>,
  keyLog: KeyLog,
): Datagram[] {
  const ordered = [...capture];
  for (let tries = 0; tries < 64; tries++) {
    try {
      decode(ordered, { ...secrets, tickets: new Map() }, keyLog);
      return ordered;
    } catch (error) {
      const at = error instanceof Deviation && error.section === '4.3' ? error.datagram : undefined;
      const late = at === undefined ? undefined : ordered[at];
      if (at === undefined || late === undefined) return ordered;
      const before = ordered.slice(0, at).findLastIndex(({ from }) => from === late.from);
      // On one socket nothing changes places: that is for the reader to refuse.
      if (before < 0 || ordered[before]?.path === late.path) return ordered;
      ordered.splice(at, 1);
      ordered.splice(before, 0, late);
    }
  }
  return ordered;
}
