import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:dgram';
import { generateSeed } from '../seeds.ts';
import { bindSocket, closeSocket, LOOPBACK } from './sockets.ts';
import { encodeVarint, hex, u8, u16, u32, unhex } from './wire/bytes.ts';
import { type Frame, parseBundle, parseFrame, writePart } from './wire/frames.ts';
import {
  type Algorithm,
  decrypt,
  derive,
  encrypt,
  headerMask,
  mac,
  packetNonce,
  trafficKeys,
  trafficSecret,
} from './wire/keys.ts';
import { Party } from './wire/noise.ts';
import {
  applyMask,
  decodePacket,
  decodePacketNumber,
  encodeHeader,
  encodePacket,
  type Header,
} from './wire/packet.ts';

/** How {@link SeedHolder.connect} connects. */
export interface SeedHolderOptions {
  /** The port of 127.0.0.1 to connect to. */
  readonly port: number;
  readonly sharedSeed: Uint8Array;
  /** Names path ids of another association in its proof (PROTOCOL.md section 2.4). */
  readonly wrongProof?: boolean;
  /** Milliseconds by which its clock is off. */
  readonly clockOffset?: number;
}

/** A frame of a peer that follows no rules but those of the packet around it. */
export interface RawFrame {
  /** Its type: any of 256, reserved ones included. */
  readonly type: number;
  readonly body: Uint8Array;
  /** 0, which is the session, unless given. */
  readonly streamId?: number;
}

type TrafficKeys = ReturnType<typeof trafficKeys>;

const AESGCM = 1;
const BOTH_AEADS = 3;
const HELLO = 0x01;
const CHALLENGE = 0x02;
const AUTH_PROOF = 0x03;
const FINAL = 0x04;
const BUNDLE = 0x1f;
const SESSION_CLOSE = 0x30;
const STREAM_OPEN = 0x20;
const DATA = 0x10;
const ACK = 0x11;
const FLAG_SEALED = 2;
const TAG = 16;
/** Bytes of an ack-eliciting packet's plaintext, at least. */
const MIN_PLAINTEXT = 8;
const NO_MASK = Buffer.alloc(11);
/** What the peer may do by this side's parameters: enough for any test. */
const WINDOW = 1 << 20;

/**
 * A peer that holds the shared seed, completes the handshake as PROTOCOL.md section 2 says, and then
 * sends whatever it is told to, right or wrong. It acknowledges what it gets, and keeps no streams.
 * For what no endpoint of this package would ever do.
 */
export class SeedHolder implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #port: number;
  readonly #received: Frame[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #numbers = new Set<number>();
  #algorithm: Algorithm = 'AES';
  #keys: { readonly send: TrafficKeys; readonly receive: TrafficKeys } | undefined;
  #theirId = '';
  #sent = 0n;
  #largest: bigint | null = null;

  /** Connects, and resolves with FINAL, whatever it says. */
  static async connect(options: SeedHolderOptions): Promise<SeedHolder> {
    const peer = new SeedHolder(await bindSocket(), options.port);
    await peer.#handshake(options);
    return peer;
  }

  private constructor(socket: Socket, port: number) {
    this.#socket = socket;
    this.#port = port;
  }

  /** The frames that have come, BUNDLEs taken apart. */
  get received(): readonly Frame[] {
    return this.#received;
  }

  /** Resolves with the first frame of a type, come or to come. */
  frame(type: number, limitMs = 5_000): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.#received.find(({ typeCode }) => typeCode === type);
        if (found === undefined) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(look);
        reject(new Error(`no frame of type ${type} within ${limitMs} ms`));
      }, limitMs);
      this.#watchers.add(look);
      look();
    });
  }

  /** Sends frames in one packet, which the receiver acknowledges if it takes them. */
  send(...frames: readonly RawFrame[]): void {
    const parts = frames.map(({ type, body, streamId = 0 }) =>
      Buffer.concat([u8(type), u8(0), encodeVarint(BigInt(streamId)), u16(body.length), body]),
    );
    this.#sendPlain(Buffer.concat(parts));
  }

  /** Opens the first stream of this side, and sends bytes on it, credit or none. */
  flood(bytes: number): void {
    const streamId = 4;
    const open = { purpose: '', name: null, priority: 3, deadlineMs: null, initialCredit: '0' };
    this.#sendPlain(
      writePart({ type: null, typeCode: STREAM_OPEN, streamId, fin: false, fields: open }),
    );
    const chunk = 1_000;
    for (let offset = 0; offset < bytes; offset += chunk) {
      const body = Buffer.concat([encodeVarint(BigInt(offset)), Buffer.alloc(chunk)]);
      this.send({ type: DATA, streamId, body });
    }
  }

  /** Resolves with the error code of the SESSION_CLOSE that the peer sends. */
  async closeCode(limitMs?: number): Promise<number> {
    const { fields } = await this.frame(SESSION_CLOSE, limitMs);
    return (fields as { code: number }).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeSocket(this.#socket);
  }

  async #handshake({
    sharedSeed,
    clockOffset = 0,
    wrongProof = false,
  }: SeedHolderOptions): Promise<void> {
    const psk = derive(sharedSeed, 'psk');
    const [nodeSeed, ephemeralPrivate, ownId] = [generateSeed(), randomBytes(32), randomBytes(8)];
    const clock = Buffer.alloc(8);
    clock.writeBigUInt64LE(BigInt(Date.now() + clockOffset));
    const fields = Buffer.concat([u16(AESGCM), u16(BOTH_AEADS), clock, ownId]);
    const party = new Party('initiator', 'AESGCM', Buffer.concat([Buffer.from('STT/1'), fields]), {
      staticPrivate: derive(nodeSeed, 'static'),
      ephemeralPrivate,
      psk,
    });
    const begun = Buffer.concat([fields, party.write(Buffer.alloc(0))]);
    const head = clearHeader(HELLO, '00'.repeat(8), 1_172);
    const mac1 = mac(derive(psk, 'mac1'), encodeHeader(head), begun);
    const hello = Buffer.concat([begun, mac1, Buffer.alloc(1_172 - 84)]);
    const answer = await this.#exchange(encodePacket(head, hello, NO_MASK));
    const challenge = party.read(answer);
    this.#theirId = hex(challenge.subarray(0, 8));
    this.#algorithm = challenge.readUInt16LE(8) === 1 ? 'AES' : 'ChaCha';

    const proofHead = clearHeader(AUTH_PROOF, this.#theirId, 160);
    const hash = party.hash;
    const token = mac(derive(nodeSeed, 'reset'), ownId);
    const named = wrongProof ? randomBytes(8) : ownId;
    const noise = party.write(
      Buffer.concat([named, unhex(this.#theirId), transportParams(), token]),
    );
    const mac2 = mac(derive(psk, 'mac2'), hash, encodeHeader(proofHead), noise);
    const [there, back] = party.split().map((key) => trafficSecret(party.hash, key));
    this.#keys = { send: trafficKeys(there!), receive: trafficKeys(back!) };
    this.#socket.on('message', (datagram) => this.#read(datagram));
    this.#transmit(encodePacket(proofHead, Buffer.concat([noise, mac2]), NO_MASK));
    await this.frame(FINAL);
  }

  /** Sends HELLO and waits for the payload of CHALLENGE. */
  #exchange(hello: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const repeat = setInterval(() => this.#transmit(hello), 300);
      const give = setTimeout(() => done(() => reject(new Error('no CHALLENGE came'))), 5_000);
      const onMessage = (datagram: Buffer): void => {
        const { header, payload } = decodePacket(datagram, NO_MASK);
        if (header.type === CHALLENGE) done(() => resolve(payload));
        else done(() => reject(new Error(`type ${header.type} came in place of CHALLENGE`)));
      };
      const done = (settle: () => void): void => {
        clearInterval(repeat);
        clearTimeout(give);
        this.#socket.off('message', onMessage);
        settle();
      };
      this.#socket.on('message', onMessage);
      this.#transmit(hello);
    });
  }

  #sendPlain(parts: Buffer): void {
    if (this.#keys === undefined) throw new Error('the handshake is not over');
    const { key, iv, header: headerKey } = this.#keys.send;
    const missing = Math.max(0, MIN_PLAINTEXT - parts.length);
    const plain = Buffer.concat([parts, Buffer.alloc(missing)]);
    const header: Header = {
      version: 1,
      sealed: true,
      type: BUNDLE,
      flags: FLAG_SEALED,
      pathId: this.#theirId,
      streamId: 0,
      packetNumber: Number(this.#sent & 0xffff_ffffn),
      payloadLength: plain.length + TAG,
    };
    const nonce = packetNonce(iv, this.#sent);
    this.#sent += 1n;
    const sealed = encrypt(this.#algorithm, key, nonce, encodeHeader(header), plain);
    this.#transmit(encodePacket(header, sealed, headerMask(this.#algorithm, headerKey, sealed)));
  }

  #read(datagram: Buffer): void {
    // Only sealed packets say anything from here on.
    if (this.#keys === undefined || ((datagram[0] ?? 0) & 0x80) === 0) return;
    const { key, iv, header: headerKey } = this.#keys.receive;
    const sealed = datagram.subarray(24, 24 + datagram.readUInt16LE(20));
    const mask = headerMask(this.#algorithm, headerKey, sealed);
    const { header, payload } = decodePacket(datagram, mask);
    const number = decodePacketNumber(this.#largest, header.packetNumber);
    const aad = applyMask(datagram.subarray(0, 22), mask);
    const plain = decrypt(this.#algorithm, key, packetNonce(iv, number), aad, payload);
    if (this.#largest === null || number > this.#largest) this.#largest = number;
    this.#numbers.add(Number(number));
    const frames =
      header.type === BUNDLE
        ? parseBundle(header.flags, header.streamId, plain).map(({ frame }) => frame)
        : [parseFrame(header.type, header.flags, header.streamId, plain)];
    this.#received.push(...frames);
    if (frames.some(({ typeCode }) => typeCode !== ACK && typeCode !== SESSION_CLOSE)) {
      this.#acknowledge();
    }
    for (const watcher of [...this.#watchers]) watcher();
  }

  #acknowledge(): void {
    const ranges: [string, string][] = [];
    const numbers = [...this.#numbers].sort((one, other) => other - one);
    let last = numbers[0]!;
    let first = last;
    for (const number of [...numbers.slice(1), -2]) {
      if (number === first - 1) {
        first = number;
        continue;
      }
      ranges.push([String(first), String(last)]);
      [first, last] = [number, number];
    }
    const fields = { delayUs: '0', ranges, ecn: null };
    this.#sendPlain(writeAck(fields));
  }

  #transmit(packet: Buffer): void {
    this.#socket.send(packet, this.#port, LOOPBACK);
  }
}

function writeAck(fields: Record<string, unknown>): Buffer {
  const { delayUs, ranges, ecn } = fields;
  return writePart({
    type: 'ACK',
    typeCode: ACK,
    streamId: 0,
    fin: false,
    fields: { acknowledged: { delayUs, ranges }, ecn },
  });
}

function clearHeader(type: number, pathId: string, payloadLength: number): Header {
  return {
    version: 1,
    sealed: false,
    type,
    flags: 0,
    pathId,
    streamId: 0,
    packetNumber: 0,
    payloadLength,
  };
}

/** Transport parameters (PROTOCOL.md section 1.8). */
function transportParams(): Buffer {
  const window = Buffer.alloc(8);
  window.writeBigUInt64LE(BigInt(WINDOW));
  const streams = 100;
  return Buffer.concat([
    u32(30_000),
    window,
    window,
    u32(streams),
    u32(streams),
    u32(25_000),
    u16(1_472),
    u16(1_200),
    Buffer.alloc(12),
  ]);
}

/** An ERROR packet that says which other versions its sender speaks (PROTOCOL.md section 1.7). */
export function versionsPacket(version: number, pathId: string): Buffer {
  const payload = Buffer.concat([u8(1), u16(0x0105), u8(0), u8(1), u8(version)]);
  const header = { ...clearHeader(0xff, pathId, payload.length), version };
  return encodePacket(header, payload, NO_MASK);
}

/** A session reset for a path id: ERROR of kind 2, believed only with the token that its peer sealed (section 6.5). */
export function resetPacket(pathId: string, token: Uint8Array): Buffer {
  const payload = Buffer.concat([u8(2), u16(0x0204), u8(0), token]);
  return encodePacket(clearHeader(0xff, pathId, payload.length), payload, NO_MASK);
}

/** The path id that a HELLO asks to be answered under. */
export function helloPathId(datagram: Buffer): string {
  return hex(datagram.subarray(24 + 12, 24 + 20));
}

/** The bytes of a datagram with its sealed part altered and both checksums right again. */
export function forge(datagram: Buffer): Buffer {
  const { header, payload } = decodePacket(datagram, NO_MASK);
  const altered = Buffer.from(payload);
  const last = altered.length - 1;
  altered[last] = (altered[last] ?? 0) ^ 1;
  return encodePacket(header, altered, NO_MASK);
}
