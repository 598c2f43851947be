// An independent reading of docs/PROTOCOL.md: takes the datagrams of a session and its secrets, derives
// every frame again, and refuses what the document does not allow. It shares no code with the Rust.

import { hex, InvalidFrame } from '../vectors/bytes.ts';
import { type Frame, parseBundle, parseFrame } from '../vectors/frames.ts';
import { decodePacket, RefusedPacket } from '../vectors/packet.ts';
import type { Datagram, Role } from './capture.ts';
import { Deviation, demand } from './deviation.ts';
import { Direction } from './direction.ts';
import { type Agreement, HandshakeReader, type Secrets } from './handshake.ts';
import { peerOf, Streams } from './streams.ts';

const NO_MASK = Buffer.alloc(11);
const BUNDLE = 0x1f;
const OVERHEAD = 28;
const SILENT = new Set(['ACK', 'SESSION_CLOSE']);

/** What a key log says (docs/qlog.md). */
export interface KeyLog {
  readonly ephemerals: Map<string, Buffer>;
  /** secret_0 and AEAD, by the path id of the headers. */
  readonly traffic: Map<string, { aead: number; secret: Buffer }>;
}

export function parseKeyLog(text: string): KeyLog {
  const log: KeyLog = { ephemerals: new Map(), traffic: new Map() };
  for (const line of text.trimEnd().split('\n')) {
    const [label, ...words] = line.split(' ');
    const [a = '', b = '', c = ''] = words;
    if (label === 'STT_EPHEMERAL') log.ephemerals.set(a, Buffer.from(b, 'hex'));
    else if (label === 'STT_TRAFFIC_SECRET_0') {
      log.traffic.set(a, { aead: Number(b), secret: Buffer.from(c, 'hex') });
    } else throw new Error(`a key log has no line ${label}`);
  }
  return log;
}

/** What a session was found to be. */
export interface Decoded {
  readonly sessionId: string;
  /** Frames of each type that each side sent. */
  readonly frames: Readonly<Record<Role, Record<string, number>>>;
  readonly packets: Readonly<Record<Role, number>>;
  readonly keyUpdates: Readonly<Record<Role, number>>;
  readonly largestDatagram: Readonly<Record<Role, number>>;
  /** The bytes of every half that ended by FIN, by `<stream> <sender>`. */
  readonly streams: ReadonlyMap<string, Buffer>;
  readonly handshake: Readonly<Record<string, number>>;
}

class Decoder {
  readonly #handshake: HandshakeReader;
  readonly #keyLog: KeyLog;
  #directions: Record<Role, Direction> | undefined;
  #streams: Streams | undefined;
  readonly frames: Record<Role, Record<string, number>> = { initiator: {}, responder: {} };
  readonly largest: Record<Role, number> = { initiator: 0, responder: 0 };
  /** Spare path ids that each side has given, by sequence number. */
  readonly #spares: Record<Role, Map<string, string>> = {
    initiator: new Map(),
    responder: new Map(),
  };
  readonly #pings = new Set<string>();
  readonly #closing: Record<Role, string | undefined> = {
    initiator: undefined,
    responder: undefined,
  };
  readonly #ecn: Record<Role, bigint[]> = { initiator: [0n, 0n, 0n], responder: [0n, 0n, 0n] };

  constructor(secrets: Omit<Secrets, 'ephemerals'>, keyLog: KeyLog) {
    this.#handshake = new HandshakeReader({ ...secrets, ephemerals: keyLog.ephemerals });
    this.#keyLog = keyLog;
  }

  datagram({ from, bytes, delivered }: Datagram): void {
    const { header, payload } = decodePacket(bytes, NO_MASK);
    const head = bytes.subarray(0, 22);
    demand(payload.length + OVERHEAD === bytes.length, '1.1', 'one packet in a datagram');
    if (!header.sealed) {
      const clear = header.flags === 0 && header.streamId === 0 && header.packetNumber === 0;
      demand(clear, '1.1', 'flags, stream id and packet number of a clear packet are zero');
      const { type, pathId } = header;
      this.#handshake.read({ from, type, pathId, head, payload });
      return;
    }
    const agreement = this.#agreement();
    const to = peerOf(from);
    demand(header.pathId === agreement.pathIds[to], '1.1', 'the path id is the receiver’s');
    demand(bytes.length <= agreement.params[to].maxUdpPayload, '5.3', 'more than the peer takes');
    this.largest[from] = Math.max(this.largest[from], bytes.length);
    const direction = (this.#directions as Record<Role, Direction>)[from];
    const packet = direction.open(head, payload, bytes.length, delivered);
    const { type, flags, streamId, plaintext, number } = packet;
    let frames: Frame[];
    let padding = 0;
    if (type === BUNDLE) {
      const parts = parseBundle(flags, streamId, plaintext);
      frames = parts.map((part) => part.frame);
      padding = plaintext.length - parts.reduce((sum, part) => sum + part.end - part.start, 0);
    } else {
      frames = [parseFrame(type, flags, streamId, plaintext)];
    }
    const probe =
      padding > 0 && frames.every((f) => f.type === 'KEEP_ALIVE' && f.fields?.kind === 1);
    const eliciting = frames.some((frame) => !SILENT.has(frame.type ?? ''));
    direction.judgeSize(number, bytes.length, eliciting, probe && frames.length === 1);
    for (const frame of frames) this.#frame(from, frame, delivered);
  }

  done(): Decoded {
    const { sessionId } = this.#agreement();
    const { initiator, responder } = this.#directions as Record<Role, Direction>;
    return {
      sessionId,
      frames: this.frames,
      packets: { initiator: initiator.sent.size, responder: responder.sent.size },
      keyUpdates: { initiator: initiator.generation, responder: responder.generation },
      largestDatagram: this.largest,
      streams: (this.#streams as Streams).finished(),
      handshake: this.#handshake.counts,
    };
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
    this.#streams = new Streams(agreement.params);
    return agreement;
  }

  #frame(from: Role, frame: Frame, delivered: boolean): void {
    const { type, fields } = frame;
    demand(type !== null && fields !== null, '1.5', `frame type ${frame.typeCode} is unknown`);
    const counts = this.frames[from];
    counts[type] = (counts[type] ?? 0) + 1;
    const ended = this.#closing[from] !== undefined;
    demand(!ended || SILENT.has(type), '6.6', `${type} after SESSION_CLOSE`);
    switch (type) {
      case 'FINAL': {
        demand(from === 'responder', '2.4', 'FINAL is the responder’s');
        const token = this.#handshake.resetToken('responder', this.#agreement().pathIds.responder);
        demand(fields.resetToken === hex(token), '0.2', 'the reset token of the responder');
        demand(fields.status === 0, '2.4', 'accepted');
        break;
      }
      case 'ACK':
        this.#ack(from, fields);
        break;
      case 'KEEP_ALIVE':
        demand(!this.#pings.has(`${from} ${fields.nonce}`), '1.6', 'fresh bytes in a KEEP_ALIVE');
        this.#pings.add(`${from} ${fields.nonce}`).add(`${from} ${fields.kind} ${fields.nonce}`);
        break;
      case 'KEEP_ALIVE_ACK': {
        const asked = this.#pings.has(`${peerOf(from)} ${fields.kind} ${fields.nonce}`);
        demand(asked, '1.6', 'KEEP_ALIVE_ACK repeats a KEEP_ALIVE');
        break;
      }
      case 'NEW_ID': {
        const ids = this.#spares[from];
        const sequence = fields.sequence as string;
        const pathId = fields.pathId as string;
        const known = ids.get(sequence);
        const next = known ?? (BigInt(sequence) === BigInt(ids.size + 1) ? pathId : '');
        demand(next === pathId, '6.4', `NEW_ID ${sequence} after ${ids.size} of them`);
        const used = [...ids].some(([other, id]) => other !== sequence && id === pathId);
        demand(!used && BigInt(`0x${pathId}`) !== 0n, '6.4', `the path id ${pathId}`);
        const token = this.#handshake.resetToken(from, pathId);
        demand(fields.resetToken === hex(token), '0.2', 'the reset token of a spare path id');
        ids.set(sequence, pathId);
        break;
      }
      case 'RETIRE_ID': {
        const known = this.#spares[peerOf(from)].has(fields.sequence as string);
        demand(known || fields.sequence === '0', '6.3', 'RETIRE_ID of an id that was given');
        break;
      }
      case 'SESSION_CLOSE': {
        const words = `${fields.reason} ${fields.code}`;
        const theirs = this.#closing[peerOf(from)];
        demand(
          theirs === undefined || theirs === words,
          '6.6',
          'the answer repeats reason and code',
        );
        this.#closing[from] = words;
        break;
      }
      default:
        (this.#streams as Streams).read(from, frame, delivered);
    }
  }

  #ack(from: Role, fields: Record<string, unknown>): void {
    const { [peerOf(from)]: acknowledged } = this.#directions as Record<Role, Direction>;
    for (const [first, last] of fields.ranges as [string, string][]) {
      acknowledged.acknowledge(BigInt(first), BigInt(last));
    }
    const ecn = fields.ecn as string[] | null;
    if (ecn === null) return;
    const counts = ecn.map(BigInt);
    const before = this.#ecn[from];
    const rises = counts.every((count, i) => count >= (before[i] as bigint));
    demand(rises, '5.1', 'ECN counts do not fall');
    this.#ecn[from] = counts;
  }
}

/**
 * Reads a capture from HELLO to the last packet.
 *
 * @throws {Deviation} at the first datagram that the document does not allow.
 */
export function decode(
  capture: readonly Datagram[],
  secrets: Omit<Secrets, 'ephemerals'>,
  keyLog: KeyLog,
): Decoded {
  const decoder = new Decoder(secrets, keyLog);
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
