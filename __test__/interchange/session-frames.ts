// The frames of a session that are not about streams: what each may say, after what was said before
// (PROTOCOL.md sections 1.6, 1.10, 2.4, 2.7, 6).

import { hex } from '../../ts/testing/wire/bytes.ts';
import type { Frame } from '../../ts/testing/wire/frames.ts';
import type { Agreement } from './agreement.ts';
import type { Role } from './capture.ts';
import { demand } from './deviation.ts';
import type { Direction } from './direction.ts';
import { resetToken, type Secrets } from './seeds.ts';
import { peerOf, Streams } from './streams.ts';

/** Spare path ids that a side gives before any is retired. */
const SPARES = 2;

/** A DATAGRAM or custom frame. */
export interface Message {
  readonly from: Role;
  readonly type: number;
  /** In hex. */
  readonly data: string;
}

/** What a side has given out to be reached under. */
interface Ids {
  /** By sequence number; 0 is the handshake's. */
  readonly given: Map<string, string>;
  readonly retired: Set<string>;
}

export class SessionFrames {
  readonly counts: Record<Role, Record<string, number>> = { initiator: {}, responder: {} };
  readonly messages: Message[] = [];
  readonly streams: Streams;
  readonly #agreement: Agreement;
  readonly #secrets: Secrets;
  readonly #directions: Readonly<Record<Role, Direction>>;
  readonly #ids: Record<Role, Ids>;
  readonly #pings = new Set<string>();
  readonly #draining: Partial<Record<Role, string>> = {};
  readonly #closing: Record<Role, string | undefined> = {
    initiator: undefined,
    responder: undefined,
  };
  readonly #ecn: Record<Role, bigint[]> = { initiator: [0n, 0n, 0n], responder: [0n, 0n, 0n] };
  /** FINAL, as it was sent first, and whether it arrived. */
  #final: { ticket: string; delivered: boolean } | undefined;

  constructor(
    agreement: Agreement,
    secrets: Secrets,
    directions: Readonly<Record<Role, Direction>>,
  ) {
    this.#agreement = agreement;
    this.#secrets = secrets;
    this.#directions = directions;
    this.streams = new Streams(agreement.params);
    const ids = (role: Role): Ids => ({
      given: new Map([['0', agreement.pathIds[role]]]),
      retired: new Set(),
    });
    this.#ids = { initiator: ids('initiator'), responder: ids('responder') };
  }

  /** Whether packets for a side may carry this path id. */
  receivesUnder(role: Role, pathId: string): boolean {
    const { given, retired } = this.#ids[role];
    return [...given].some(([sequence, id]) => id === pathId && !retired.has(sequence));
  }

  read(from: Role, frame: Frame, delivered: boolean): void {
    const { type } = frame;
    const fields = frame.fields as Record<string, unknown>;
    demand(type !== null, '1.5', `frame type ${frame.typeCode} is unknown`);
    const counts = this.counts[from];
    counts[type] = (counts[type] ?? 0) + 1;
    const open = this.#closing[from] === undefined || type === 'ACK' || type === 'SESSION_CLOSE';
    demand(open, '6.6', `${type} after SESSION_CLOSE`);
    switch (type) {
      case 'FINAL':
        this.#readFinal(from, fields, delivered);
        break;
      case 'ACK':
        this.#readAck(from, fields);
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
      case 'DATAGRAM':
      case 'CUSTOM': {
        const data = fields.data as string;
        const most = this.#agreement.params[peerOf(from)].maxMessage;
        const fits = most > 0 && data.length / 2 <= most;
        demand(fits, '1.10', `a message of ${data.length / 2} bytes to a peer that takes ${most}`);
        this.messages.push({ from, type: frame.typeCode, data });
        break;
      }
      case 'NEW_ID':
        this.#readNewId(from, fields);
        break;
      case 'RETIRE_ID': {
        const { given, retired } = this.#ids[peerOf(from)];
        const sequence = fields.sequence as string;
        demand(given.has(sequence), '6.3', 'RETIRE_ID of an id that was given');
        retired.add(sequence);
        break;
      }
      case 'DRAIN': {
        demand(
          this.#mayUseStreams(from),
          from === 'responder' ? '2.4' : '2.3',
          'DRAIN before FINAL',
        );
        const said = this.#draining[from];
        const same = said === undefined || said === fields.withinMs;
        demand(same, '6.6', 'a DRAIN that comes again says the same');
        this.#draining[from] = fields.withinMs as string;
        break;
      }
      case 'SESSION_CLOSE': {
        const words = `${fields.reason} ${fields.code}`;
        const theirs = this.#closing[peerOf(from)];
        const same = theirs === undefined || theirs === words;
        demand(same, '6.6', 'the answer repeats reason and code');
        this.#closing[from] = words;
        break;
      }
      default: {
        demand(
          this.#mayUseStreams(from),
          from === 'responder' ? '2.4' : '2.3',
          `${type} before FINAL`,
        );
        this.streams.read(from, frame, delivered);
      }
    }
  }

  /** Streams follow FINAL: once it was sent, and at the initiator once it has come. */
  #mayUseStreams(from: Role): boolean {
    return from === 'responder' ? this.#final !== undefined : this.#final?.delivered === true;
  }

  #readFinal(from: Role, fields: Record<string, unknown>, delivered: boolean): void {
    demand(from === 'responder', '2.4', 'FINAL is the responder’s');
    const token = resetToken(this.#secrets, 'responder', this.#agreement.pathIds.responder);
    demand(fields.resetToken === hex(token), '0.2', 'the reset token of the responder');
    demand(fields.status === 0 && fields.subcode === 0, '2.4', 'accepted');
    const ticket = fields.ticket as string;
    const before = this.#final;
    demand(before === undefined || before.ticket === ticket, '2.7', 'one ticket a session');
    this.#final = { ticket, delivered: delivered || before?.delivered === true };
    if (ticket === '' || before !== undefined) return;
    const { tickets } = this.#secrets;
    demand(!tickets.has(ticket), '2.7', 'a ticket of its own for each session');
    tickets.set(ticket, { secret: this.#agreement.ticketSecret, served: false });
  }

  #readAck(from: Role, fields: Record<string, unknown>): void {
    const acknowledged = this.#directions[peerOf(from)];
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

  #readNewId(from: Role, fields: Record<string, unknown>): void {
    const { given, retired } = this.#ids[from];
    const sequence = fields.sequence as string;
    const pathId = fields.pathId as string;
    const known = given.get(sequence);
    const next = known ?? (BigInt(sequence) === BigInt(given.size) ? pathId : '');
    demand(next === pathId, '6.4', `NEW_ID ${sequence} after ${given.size - 1} of them`);
    const used = [...given].some(([other, id]) => other !== sequence && id === pathId);
    demand(!used && BigInt(`0x${pathId}`) !== 0n, '6.4', `the path id ${pathId}`);
    const token = resetToken(this.#secrets, from, pathId);
    demand(fields.resetToken === hex(token), '0.2', 'the reset token of a spare path id');
    given.set(sequence, pathId);
    const live = given.size - 1 - retired.size;
    demand(live <= SPARES, '6.3', 'two spare path ids, and one for each that is retired');
  }
}
