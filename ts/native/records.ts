import { getSystemErrorName } from 'node:util';
import type { EngineHandlers, Fault, FaultDetail } from './engine.ts';

/** Numbers in a row of the table; equal to Rust's (tested). */
export const STRIDE = 12;

/** The kinds of rows, by their number; equal to Rust's (tested). */
export const KINDS = [
  'none',
  'incoming',
  'connected',
  'connectFailed',
  'streamOpened',
  'opened',
  'openFailed',
  'data',
  'writable',
  'finished',
  'reset',
  'stopped',
  'streamClosed',
  'streamsAvailable',
  'pong',
  'pathChange',
  'draining',
  'sessionClosed',
  'handshakeError',
  'frameError',
  'resourceWarning',
  'endpointClosed',
  'message',
  'messagesWritable',
  'ticket',
  'gap',
  'moved',
  'moveFailed',
  'rebound',
  'rebindFailed',
  'streamFailed',
  'acknowledged',
  'sendError',
  'pathWarning',
  'carry',
  'connectionReadable',
  'pathLost',
  'pathSilence',
  'connectionUsed',
  'pathStrained',
] as const;

/** The kind of a row of stream data. */
export const DATA = 7;
/** The kind of a row that brings a message. */
export const MESSAGE = 22;

/** The kind of a row that brings frames for a connection to carry. */
export const CARRY = 34;

/** Why a poll stopped; the second number of the table's header. */
export const DRAINED = 0;
/** The table is full: poll again. */
export const TABLE_FULL = 1;
/** The slab is full: poll again with another. */
export const SLAB_FULL = 2;

/** What became of early data, as the side that sent it knows it. */
const EARLY_DATA = [undefined, 'accepted', 'rejected', 'unknown', undefined] as const;
/** This side is the one that got it. */
const EARLY_DATA_RECEIVED = 4;

const utf8 = new TextDecoder();

/**
 * Tells `handlers` what the row at `at` says. Rows of data and messages, and what a connection
 * carries, are not for this function.
 * @param rows the table
 * @param at where the row begins
 * @param slab where its bytes are
 */
export function dispatch(
  handlers: EngineHandlers,
  rows: Float64Array,
  at: number,
  slab: Uint8Array,
): void {
  const number = (index: number): number => rows[at + index] as number;
  const flag = (index: number): boolean => rows[at + index] !== 0;
  const bytes = (index: number): Uint8Array =>
    slab.subarray(number(index), number(index) + number(index + 1));
  /** `length` bytes that stand behind those that `index` names. */
  const behind = (index: number, length: number): Uint8Array => {
    const start = number(index) + number(index + 1);
    return slab.slice(start, start + length);
  };
  const subject = number(1);
  switch (KINDS[number(0)]) {
    case 'incoming': {
      const text = bytes(4);
      handlers.incoming(subject, {
        peerNodeId: text.slice(0, 32),
        address: utf8.decode(text.subarray(32)),
        port: number(2),
        family: family(number(3)),
        connection: connection(number(6)),
      });
      return;
    }
    case 'connected': {
      const text = bytes(4);
      handlers.connected(subject, {
        peerNodeId: text.slice(0, 32),
        sessionId: text.slice(32, 40),
        address: utf8.decode(text.subarray(40)),
        port: number(2),
        family: family(number(3)),
        initiator: flag(6),
        resumed: flag(7),
        earlyDataStatus: EARLY_DATA[number(8)],
        earlyData: number(8) === EARLY_DATA_RECEIVED ? behind(4, number(9)) : undefined,
        connection: connection(number(10)),
      });
      return;
    }
    case 'ticket':
      handlers.ticket(subject, bytes(2).slice());
      return;
    case 'connectFailed':
      handlers.connectFailed(subject, answered(readFault(rows, at + 4), bytes(2)));
      return;
    case 'streamOpened': {
      const name = number(6);
      const deadline = number(9);
      handlers.streamOpened(subject, number(2), {
        id: number(3),
        unidirectional: flag(4),
        priority: number(5),
        purpose: utf8.decode(bytes(7)),
        ...(name >= 0 ? { name } : {}),
        ...(deadline >= 0 ? { deadline } : {}),
      });
      return;
    }
    case 'opened':
      handlers.opened(subject, number(2));
      return;
    case 'openFailed':
      handlers.openFailed(subject, readFault(rows, at + 2));
      return;
    case 'streamFailed':
      handlers.streamFailed(subject, readFault(rows, at + 2));
      return;
    case 'acknowledged':
      handlers.acknowledged(subject, number(2));
      return;
    case 'gap':
      handlers.gap(subject, number(2), number(3));
      return;
    case 'messagesWritable':
      handlers.messagesWritable(subject);
      return;
    case 'writable':
      handlers.writable(subject);
      return;
    case 'finished':
      handlers.finished(subject);
      return;
    case 'reset':
      handlers.reset(subject, number(2));
      return;
    case 'stopped':
      handlers.stopped(subject, number(2));
      return;
    case 'streamClosed':
      handlers.streamClosed(subject, number(2));
      return;
    case 'streamsAvailable':
      handlers.streamsAvailable(subject, flag(2));
      return;
    case 'pong':
      handlers.pong(subject, number(2), number(3));
      return;
    case 'pathChange':
      handlers.pathChange(subject, {
        port: number(2),
        family: family(number(3)),
        address: utf8.decode(bytes(4)),
        connection: connection(number(6)),
      });
      return;
    case 'pathLost':
      handlers.pathLost(subject);
      return;
    case 'pathStrained':
      handlers.pathStrained(subject, {
        sending: flag(2),
        packets: number(3),
        lost: number(4),
        bytesPerSecond: number(5),
      });
      return;
    case 'pathSilence':
      handlers.pathSilence(subject, flag(2));
      return;
    case 'connectionUsed':
      handlers.connectionUsed(subject);
      return;
    case 'connectionReadable':
      handlers.connectionReadable(subject);
      return;
    case 'moved':
      handlers.moved(subject, number(2));
      return;
    case 'moveFailed':
      handlers.moveFailed(subject, number(2), readFault(rows, at + 3));
      return;
    case 'rebound':
      handlers.rebound(number(1), {
        port: number(2),
        family: family(number(3)),
        address: utf8.decode(bytes(4)),
      });
      return;
    case 'rebindFailed':
      handlers.rebindFailed(number(1), systemCode(number(2)), -number(2));
      return;
    case 'draining':
      handlers.draining(subject, number(2) < 0 ? undefined : number(2));
      return;
    case 'sessionClosed': {
      const message = utf8.decode(bytes(5));
      const fault = number(7) === 0 ? undefined : readFault(rows, at + 7);
      handlers.sessionClosed(subject, {
        reason: number(2) as 0 | 1 | 2 | 3,
        remote: flag(3),
        undelivered: number(4),
        ...(fault === undefined ? {} : { fault }),
        ...(message === '' ? {} : { message }),
      });
      return;
    }
    case 'handshakeError':
      handlers.handshakeError({
        port: number(1),
        address: utf8.decode(bytes(3)),
        fault: readFault(rows, at + 5),
      });
      return;
    case 'pathWarning':
      handlers.pathWarning(subject, number(2), number(3));
      return;
    case 'sendError':
      handlers.sendError(subject, {
        port: number(2),
        family: family(number(3)),
        address: utf8.decode(bytes(4)),
        count: number(6),
        fault: readFault(rows, at + 7),
      });
      return;
    case 'frameError':
      handlers.frameError(subject, number(2), number(3), frameType(number(4)));
      return;
    case 'resourceWarning':
      handlers.resourceWarning({
        resource: utf8.decode(bytes(3)),
        limit: number(1),
        value: number(2),
      });
      return;
    case 'endpointClosed':
      handlers.endpointClosed(endFault(number(1), number(2), utf8.decode(bytes(3))));
      return;
    default:
  }
}

/** The errors of Windows' sockets that sending can meet, by the names that Node has for them. */
const WINSOCK: Readonly<Record<number, string>> = {
  10013: 'EACCES',
  10022: 'EINVAL',
  10040: 'EMSGSIZE',
  10049: 'EADDRNOTAVAIL',
  10050: 'ENETDOWN',
  10051: 'ENETUNREACH',
  10055: 'ENOBUFS',
  10065: 'EHOSTUNREACH',
};

/** The system's name for one of its error numbers. */
export function systemCode(errno: number): string {
  if (errno <= 0) return 'UNKNOWN';
  if (process.platform === 'win32') return WINSOCK[errno] ?? 'UNKNOWN';
  return getSystemErrorName(-errno);
}

/** Why the engine ended by itself: a fault without a code of the table, which is a bug or a starved system. */
function endFault(how: number, errno: number, words: string): Fault | undefined {
  if (how === 0) return undefined;
  const message =
    how === 1
      ? `the engine thread panicked, which is a bug: ${words}`
      : `the system's poller failed with error ${errno}`;
  const detail: FaultDetail = how === 1 ? { kind: 'none' } : { kind: 'os', errno, ms: 0 };
  return { code: 0, subcode: 0, causeCode: 0, causeSubcode: 0, detail, message };
}

/** A connection's number; 0 is none. */
function connection(value: number): number | undefined {
  return value === 0 ? undefined : value;
}

function family(value: number): 'IPv4' | 'IPv6' {
  return value === 6 ? 'IPv6' : 'IPv4';
}

/** The fault with the node id that stands beside it, where there is one. */
function answered(fault: Fault, nodeId: Uint8Array): Fault {
  if (nodeId.length === 0) return fault;
  return { ...fault, detail: { kind: 'answered', nodeId: Buffer.from(nodeId).toString('hex') } };
}

/** Whose doing a fault was, by its number. */
const ORIGINS = [undefined, 'local', 'peer', 'idle', 'path', 'transport'] as const;

/** Five numbers: origin, code and sub-code, those of the cause, the kind of detail, and two that depend on it. */
function readFault(rows: Float64Array, at: number): Fault {
  const own = rows[at] as number;
  const cause = rows[at + 1] as number;
  const origin = ORIGINS[own >> 24];
  return {
    code: (own >> 8) & 0xffff,
    subcode: own & 0xff,
    causeCode: cause >> 8,
    causeSubcode: cause & 0xff,
    detail: readDetail(rows[at + 2] as number, rows[at + 3] as number, rows[at + 4] as number),
    ...(origin === undefined ? {} : { origin }),
  };
}

/** The type of a frame; -1 where there is none to tell. */
function frameType(value: number): number | undefined {
  return value < 0 ? undefined : value;
}

function readDetail(kind: number, first: number, second: number): FaultDetail {
  switch (kind) {
    case 1:
      return { kind: 'limit', limit: first, local: second !== 0 };
    case 2:
      return { kind: 'waited', ms: first };
    case 3: {
      const versions: number[] = [];
      for (let packed = first; versions.length < second; packed = Math.floor(packed / 256)) {
        versions.push(packed % 256);
      }
      return { kind: 'versions', versions };
    }
    case 4:
      return { kind: 'clockSkew', ms: first };
    case 5:
      return { kind: 'os', errno: first, ms: second };
    case 6:
      return { kind: 'count', count: first };
    case 8:
      return { kind: 'revoked' };
    case 9:
      return { kind: 'seeds', count: first };
    case 10:
      return { kind: 'refused', count: first, ms: second };
    case 11:
      return {
        kind: 'memory',
        limit: first,
        used: Math.floor(second / 2 ** 20) * 1024,
        asked: (second % 2 ** 20) * 1024,
      };
    default:
      return { kind: 'none' };
  }
}
