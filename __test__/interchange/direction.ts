// One direction of a session: numbers, keys, and which packets are known to have arrived
// (PROTOCOL.md sections 1.1, 1.4, 4).

import {
  type Algorithm,
  decrypt,
  encrypt,
  headerMask,
  packetNonce,
  ratchet,
  trafficKeys,
} from '../../ts/testing/wire/keys.ts';
import {
  applyMask,
  decodePacketNumber,
  encodePacket,
  type Header,
} from '../../ts/testing/wire/packet.ts';
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
  /** The whole packet as it is sent with this plaintext. */
  readonly seal: (plaintext: Buffer) => Buffer;
}

/** A packet that was sent. */
interface Sent {
  readonly delivered: boolean;
  readonly size: number;
  readonly host: string;
  probe: boolean;
}

/** What one side sends. */
export class Direction {
  /** Key updates so far. */
  generation = 0;
  /** Packets sent, and whether the wire handed them on. */
  readonly sent = new Map<bigint, Sent>();
  /** The largest datagram that the peer has acknowledged as a probe, by the address it went to. */
  readonly #provenSizes = new Map<string, number>();
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

  /**
   * `head` is the header's first 22 bytes as they were sent, `datagram` the size of it all, `host` the
   * address that it went to.
   */
  open(
    head: Buffer,
    payload: Buffer,
    { datagram, delivered, host }: { datagram: number; delivered: boolean; host: string },
  ): Opened {
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
    const { key, iv } = this.#keys;
    const nonce = packetNonce(iv, number);
    let plaintext: Buffer;
    try {
      plaintext = decrypt(this.#algorithm, key, nonce, aad, payload);
    } catch {
      demand(false, '4.2', `packet ${number} does not open`);
    }
    const seal = (again: Buffer): Buffer => {
      const fields = { ...header, payloadLength: again.length + 16 };
      const bare = encodePacket(fields, Buffer.alloc(fields.payloadLength), Buffer.alloc(11));
      const sealed = encrypt(this.#algorithm, key, nonce, bare.subarray(0, 22), again);
      return encodePacket(fields, sealed, headerMask(this.#algorithm, this.#headerKey, sealed));
    };
    this.#largest = number;
    this.sent.set(number, { delivered, size: datagram, host, probe: false });
    return { number, type, flags, streamId, plaintext, seal };
  }

  /** What the frames of the packet opened last mean for its size. */
  judgeSize(number: bigint, eliciting: boolean, probe: boolean): void {
    const packet = this.sent.get(number) as Sent;
    const { size, host } = packet;
    demand(!eliciting || size >= MIN_ELICITING, '1.1', `${size} bytes may draw no reset`);
    const known = this.#provenSizes.get(host) ?? 1200;
    demand(probe || size <= known, '5.3', `${size} bytes, where ${known} are known to pass`);
    packet.probe = probe;
  }

  /** The peer acknowledged this range. */
  acknowledge(first: bigint, last: bigint): void {
    for (let number = first; number <= last; number++) {
      const packet = this.sent.get(number);
      demand(packet !== undefined, '1.6', `an ACK of packet ${number}, which was never sent`);
      demand(packet.delivered, '5.1', `an ACK of packet ${number}, which never arrived`);
      const { probe, size, host } = packet;
      if (probe && size > (this.#provenSizes.get(host) ?? 1200)) this.#provenSizes.set(host, size);
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

function readHeader(plain: Buffer): Omit<Header, 'payloadLength'> {
  return {
    version: plain.readUInt8(0) & 0x7f,
    sealed: true,
    type: plain.readUInt8(1),
    flags: plain.readUInt16LE(2),
    pathId: plain.toString('hex', 4, 12),
    streamId: plain.readUInt32LE(12),
    packetNumber: plain.readUInt32LE(16),
  };
}
