// One direction of a session: numbers, keys, and which packets are known to have arrived
// (PROTOCOL.md sections 1.1, 1.4, 4).

import {
  type Algorithm,
  decrypt,
  headerMask,
  packetNonce,
  ratchet,
  trafficKeys,
} from '../vectors/keys.ts';
import { applyMask, decodePacketNumber, type Header } from '../vectors/packet.ts';
import { demand } from './deviation.ts';

const SEALED = 0x02;
const FIN = 0x04;
const PRIORITY = 0x08;
const KEY_PHASE = 0x10;
const MIN_ELICITING = 52;

/** A packet whose AEAD held. */
export interface Opened {
  readonly number: bigint;
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly plaintext: Buffer;
}

/** What one side sends. */
export class Direction {
  /** Key updates so far. */
  generation = 0;
  /** Packets sent, and whether the wire handed them on. */
  readonly sent = new Map<bigint, { delivered: boolean; size: number; probe: boolean }>();
  /** The largest datagram that the peer has acknowledged as a probe. */
  provenSize = 1200;
  readonly #algorithm: Algorithm;
  readonly #headerKey: Buffer;
  #secret: Buffer;
  #keys: { key: Buffer; iv: Buffer };
  #largest: bigint | null = null;
  #firstOfGeneration = 0n;
  #largestAcked = -1n;

  constructor(aead: 1 | 2, secret: Buffer) {
    this.#algorithm = aead === 1 ? 'AES' : 'ChaCha';
    this.#secret = secret;
    const { key, iv, header } = trafficKeys(secret);
    this.#headerKey = header;
    this.#keys = { key, iv };
  }

  /** `head` is the header's first 22 bytes as they were sent, `datagram` the size of it all. */
  open(head: Buffer, payload: Buffer, datagram: number, delivered: boolean): Opened {
    const aad = applyMask(head, headerMask(this.#algorithm, this.#headerKey, payload));
    const header = readHeader(aad);
    const { flags, type, streamId } = header;
    demand((flags & SEALED) !== 0, '1.1', 'the flag SEALED is set in sealed packets');
    const known = SEALED | FIN | PRIORITY | KEY_PHASE;
    demand((flags & ~known) === 0, '1.1', `flags ${flags}: all other bits are sent as zero`);
    const number = decodePacketNumber(this.#largest, header.packetNumber);
    const rises = this.#largest === null || number > this.#largest;
    demand(rises, '4.3', `packet number ${number} after ${this.#largest}`);
    if (((flags & KEY_PHASE) !== 0) !== (this.generation % 2 === 1)) this.#update(number);
    const nonce = packetNonce(this.#keys.iv, number);
    let plaintext: Buffer;
    try {
      plaintext = decrypt(this.#algorithm, this.#keys.key, nonce, aad, payload);
    } catch {
      demand(false, '4.2', `packet ${number} does not open`);
    }
    this.#largest = number;
    this.sent.set(number, { delivered, size: datagram, probe: false });
    return { number, type, flags, streamId, plaintext };
  }

  /** What the frames of the packet opened last mean for its size. */
  judgeSize(number: bigint, datagram: number, eliciting: boolean, probe: boolean): void {
    demand(!eliciting || datagram >= MIN_ELICITING, '1.1', `${datagram} bytes may draw no reset`);
    demand(
      probe || datagram <= this.provenSize,
      '5.3',
      `${datagram} bytes, where ${this.provenSize} are known to pass`,
    );
    const packet = this.sent.get(number);
    if (packet !== undefined) packet.probe = probe;
  }

  /** The peer acknowledged this range. */
  acknowledge(first: bigint, last: bigint): void {
    for (let number = first; number <= last; number++) {
      const packet = this.sent.get(number);
      demand(packet !== undefined, '1.6', `an ACK of packet ${number}, which was never sent`);
      demand(packet.delivered, '5.1', `an ACK of packet ${number}, which never arrived`);
      if (packet.probe && packet.size > this.provenSize) this.provenSize = packet.size;
    }
    if (last > this.#largestAcked) this.#largestAcked = last;
  }

  #update(number: bigint): void {
    const acked = this.#largestAcked >= this.#firstOfGeneration;
    demand(acked, '4.4', 'a key update before a packet under the key was acknowledged');
    this.generation += 1;
    this.#firstOfGeneration = number;
    this.#secret = ratchet(this.#secret);
    const { key, iv } = trafficKeys(this.#secret);
    this.#keys = { key, iv };
  }
}

function readHeader(plain: Buffer): Pick<Header, 'type' | 'flags' | 'streamId' | 'packetNumber'> {
  return {
    type: plain.readUInt8(1),
    flags: plain.readUInt16LE(2),
    streamId: plain.readUInt32LE(12),
    packetNumber: plain.readUInt32LE(16),
  };
}
