import type { Fault, FaultDetail } from '../native/engine.ts';
import { systemCode } from '../native/records.ts';
import { printable } from '../printable.ts';
import type { FrameError, FrameErrorEvent } from '../session-state.ts';
import { SessionClosedError } from './classes.ts';
import { createError } from './create.ts';
import type { SttError, SttErrorContext, SttErrorOrigin } from './error.ts';
import type { CloseReason, SttErrorCodeName } from './table.ts';
import { CLOSE_REASONS, errorInfo, formatCode } from './table.ts';

/** Where a fault was met, for its message. */
export interface FaultPlace {
  /** The peer's address as people write it, or what else there is to call it. */
  readonly peer: string;
  readonly context: Partial<SttErrorContext>;
  /** Milliseconds since the operation began, where that says something. */
  readonly elapsed?: number;
  /** The id that the application chose for the stream. */
  readonly name?: number | undefined;
}

/** The error for what the core reported, with a message that says what happened and what to try. */
export function faultToError(fault: Fault, place: FaultPlace): SttError {
  const cause = causeOf(fault, place);
  return createError(fault.code, fault.message ?? describe(fault, place), {
    subcode: fault.subcode,
    origin: fault.origin,
    context: { ...place.context, ...contextOf(fault.detail) },
    system: systemOf(fault.detail),
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A fault that ended a session: what this side is told when an open finds no room is the peer's breach there. */
export function asEnd(fault: Fault, peer: string): Fault {
  const { code, detail } = fault;
  if (code !== 0x0302) return fault;
  const admitted = detail.kind === 'limit' ? `: ${detail.limit}` : '';
  return {
    ...fault,
    message: `${peer} opened more streams than this side admits (maxConcurrentStreams${admitted}) without waiting for room, so the session was ended. This is a bug in the peer: have it run the newest version, and please report it.`,
  };
}

/** What the core found out that a program may want without reading the message. */
function contextOf(detail: FaultDetail): Partial<SttErrorContext> {
  if (detail.kind === 'answered') return { answeredBy: detail.nodeId };
  if (detail.kind === 'clockSkew') return { clockSkew: detail.ms };
  return {};
}

/** Frames of one kind that were dropped, as an event. */
export function frameErrorEvent(
  code: number,
  count: number,
  place: FaultPlace,
  frameType?: number,
): FrameErrorEvent {
  const which = frameType === undefined ? {} : { frameType };
  const detail = { kind: 'count', count, ...which } as const;
  const fault = { code, subcode: 0, causeCode: 0, causeSubcode: 0, detail };
  // The core tells of the four codes of frames only.
  const error = faultToError(fault, place) as FrameError;
  return { error, code: error.code, codeName: error.codeName, count, ...which };
}

/** What the system said, in its own terms. */
function systemOf(detail: FaultDetail): { code: string; errno: number } | undefined {
  if (detail.kind !== 'os' || detail.errno === 0) return undefined;
  return { code: systemCode(detail.errno), errno: -detail.errno };
}

/** The root cause of a session's end that the peer told with a code: its words are kept, and its trouble is not ours. */
export function peerFaultToError(
  fault: Fault,
  reason: CloseReason,
  words: string,
  place: FaultPlace,
): SttError {
  if (fault.code === 0x0201) return reasonToError(reason, words, place);
  if (fault.code === 0x0204) return faultToError(fault, place);
  return createError(fault.code, peerSays(fault, place.peer, told(words)), {
    subcode: fault.subcode,
    origin: 'peer',
    context: place.context,
  });
}

function told(words: string): string {
  return words === '' ? '' : ` It says: "${printable(words)}".`;
}

/** What a peer means that ends the session with a code. */
function peerSays({ code, detail }: Fault, peer: string, says: string): string {
  switch (code) {
    case 0x0103:
      return detail.kind === 'revoked'
        ? `${peer} has revoked this node's id.${says} Ask who runs it.`
        : `${peer} no longer admits this node: its id was revoked there, or it is not authorized.${says} Ask who runs it.`;
    case 0x0202:
      return `${peer} gave the session up: it heard nothing from this side for too long.${says} Check the network between, and that this process is not held up; then connect again.`;
    case 0x0203:
      return `${peer} has as many sessions as it takes, and ended this one.${says} Try again later, or raise the limit there.`;
    case 0x0602:
      return `${peer} ended the session because a bounded queue of its own is full.${says} Nothing is wrong on this side: connect again later, or let the peer's application take what waits sooner.`;
    case 0x0302:
    case 0x0304:
    case 0x0401:
    case 0x0402:
      return `${peer} ended the session with ${errorInfo(code)?.codeName ?? ''} because of what it got from this side.${says} Check that both sides run the same version; please report it if they do.`;
    default:
      return `${peer} ended the session with ${errorInfo(code)?.codeName ?? formatCode(code)}.${says} Connect again.`;
  }
}

/** The root cause of a session's end that came with a reason but without more, as from a peer. */
export function reasonToError(reason: CloseReason, words: string, place: FaultPlace): SttError {
  const { context, peer } = place;
  const details = { origin: 'peer' as const, context };
  const says = told(words);
  if (reason === 'timeout') {
    return createError(
      0x0202,
      `${peer} gave the session up as timed out.${says} Connect again.`,
      details,
    );
  }
  if (reason === 'auth_failure') {
    return createError(
      0x0103,
      `${peer} no longer admits this node.${says} Ask who runs it.`,
      details,
    );
  }
  return new SessionClosedError(
    `${peer} ended the session with an error.${says} Look there for why, then connect again.`,
    {
      reason,
      ...details,
    },
  );
}

/** What an operation gets that a session's end broke, or that came after it. */
export function sessionClosedError(
  reason: CloseReason,
  cause: SttError | undefined,
  place: FaultPlace,
  origin?: SttErrorOrigin,
): SessionClosedError {
  const ended = `The session with ${place.peer} has ended (${reason}).`;
  // What the session itself ended with says that it has ended.
  const why = cause?.message ?? closedBy(reason, origin);
  return new SessionClosedError(why.startsWith(ended) ? why : `${ended} ${why}`, {
    reason,
    origin: cause?.origin ?? origin,
    context: place.context,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Who closed a session that ended without an error that is somebody else's, and what then. */
function closedBy(reason: CloseReason, origin: SttErrorOrigin | undefined): string {
  if (origin === 'local') {
    return reason === 'graceful'
      ? 'This side closed it. Connect again if there is more to say.'
      : 'This side gave it up (destroy(), or a handler that threw). Look there for why, then connect again.';
  }
  return `${origin === 'peer' ? 'The peer closed it.' : 'It was closed.'} Connect again if there is more to say.`;
}

/** The name of a close reason by its number on the wire; a number nobody knows counts as an error. */
export function closeReason(reason: number): CloseReason {
  return CLOSE_REASONS[reason] ?? 'error';
}

function causeOf(fault: Fault, place: FaultPlace): SttError | undefined {
  if (fault.causeCode === 0) return undefined;
  const { context } = place;
  if (fault.causeCode !== 0x0405) {
    const info = errorInfo(fault.causeCode);
    return createError(
      fault.causeCode,
      `${info?.codeName ?? formatCode(fault.causeCode)} at ${place.peer}.`,
      { context },
    );
  }
  const subcode = fault.causeSubcode;
  return createError(fault.causeCode, handshake({ ...fault, subcode }, place), {
    subcode,
    context,
  });
}

function describe(fault: Fault, place: FaultPlace): string {
  const info = errorInfo(fault.code);
  if (info !== undefined) return MESSAGES[info.codeName as SttErrorCodeName](fault, place);
  return `${place.peer} reported ${formatCode(fault.code)}, which this version does not know. Upgrade to learn more.`;
}

type Describer = (fault: Fault, place: FaultPlace) => string;

const MESSAGES: Readonly<Record<SttErrorCodeName, Describer>> = {
  CONNECTION_TIMEOUT: ({ detail }, { peer, elapsed }) =>
    `${peer} did not answer${after(detail, elapsed)}. Check that it runs, that the address is right, and that UDP passes the firewalls in between; or allow more time.`,
  CONNECTION_REFUSED: ({ origin }, { peer, elapsed }) => {
    const how = `${peer} refused the connection${elapsed === undefined ? '' : ` after ${Math.round(elapsed)} ms`}`;
    return origin === 'peer'
      ? `${how}: it holds our seed, but takes no sessions now. Have it listen (listen() or serve()), or connect to the endpoint that does.`
      : `${how}: its host says that nothing is on that UDP port, or a firewall rejects it. Start it there, or correct the port; then look at the firewall's rules.`;
  },
  AUTHENTICATION_FAILED: (fault, place) => authentication(fault, place),
  NETWORK_UNREACHABLE: (fault, { peer }) =>
    fault.detail.kind === 'os' && systemCode(fault.detail.errno) === 'EHOSTUNREACH'
      ? `On the way to ${peer} no host was found for that address, or a firewall forbids it${osText(fault.detail)}. Check the address, and that the host is up; then the firewalls in between, and this machine's network.`
      : `No route leads to ${peer}${osText(fault.detail)}. Check this machine's network, its routes, and the address.`,
  PROTOCOL_VERSION_MISMATCH: ({ detail }, { peer }) =>
    `${peer} speaks ${versions(detail)} of the protocol, this side version 1. Install versions that match${older(detail)}.`,
  SESSION_CLOSED: (_, { peer }) => `The session with ${peer} has ended. Connect again.`,
  SESSION_TIMEOUT: ({ detail }, { peer }) =>
    detail.kind === 'refused'
      ? refused(detail.count, detail.ms, peer)
      : `Nothing was heard from ${peer}${forSome(detail)} (keepAliveTimeout). It has crashed, hangs, or the network between is cut. Connect again; where such gaps are usual, raise keepAliveTimeout.`,
  TOO_MANY_SESSIONS: ({ detail }, { peer }) =>
    detail.kind === 'limit' && detail.local
      ? `This endpoint has ${detail.limit} session${detail.limit === 1 ? '' : 's'}, as many as it may (maxConcurrentSessions), so ${peer} was not tried. Close some, or raise the limit.`
      : `${peer} has as many sessions as it takes${limit(detail)}. Try again later, close sessions to it, or raise maxConcurrentSessions there, or its caps on sessions per source and peer.`,
  SESSION_NOT_FOUND: (_, { peer }) =>
    `${peer} answers, but no longer knows the session: it was started anew. Connect again.`,
  STREAM_CLOSED: (_, { peer }) => `The stream with ${peer} has ended. Open a new one.`,
  TOO_MANY_STREAMS: ({ detail }, { peer }) =>
    detail.kind === 'limit' && !detail.local
      ? `${peer} admits ${detail.limit} stream${detail.limit === 1 ? '' : 's'} of this kind at a time. End some, or open with waitUntilAvailable.`
      : `The session with ${peer} has as many streams as it may${limit(detail)} (maxConcurrentStreams). End some, open with waitUntilAvailable, or raise the limit.`,
  STREAM_ID_CONFLICT: (_, { peer, name }) =>
    `The id ${name === undefined ? '' : `${name} `}that was chosen for a stream with ${peer} is in use or was used before, by either side. Leave it out, or agree with the peer on who takes which.`,
  FLOW_CONTROL_VIOLATION: ({ detail }, { peer }) =>
    `${peer} sent ${detail.kind === 'limit' ? `beyond its credit, which ended at byte ${detail.limit}` : 'more than it was allowed to'}, so the session was ended. This is a bug in the peer: have it run the newest version, and please report it.`,
  INVALID_FRAME: ({ detail }, { peer }) =>
    `Frames from ${peer} with right checksums had an impossible structure${tooMany(detail)}. Check that both sides run the same version; please report it if they do.`,
  ENCRYPTION_ERROR: ({ detail }, { peer }) =>
    `Packets that claim to come from ${peer} did not authenticate${count(detail)}. Somebody forges them, or memory is damaged. None was let in: see who can send from that address; if nobody forges, start both sides anew.`,
  CHECKSUM_MISMATCH: ({ detail }, { peer }) =>
    `Packets from ${peer} were damaged on the way${count(detail)}. They are sent again by themselves; if many are (over 5 %), check cables and network cards.`,
  UNKNOWN_FRAME_TYPE: ({ detail }, { peer }) => unknownFrames(detail, peer),
  HANDSHAKE_FAILURE: (fault, place) => handshake(fault, place),
  UDP_SEND_FAILED: ({ detail }, { peer }) => unsent(detail, peer),
  WEBSOCKET_CLOSED: ({ detail }, { peer, context }) =>
    `The WebSocket to ${peer} was closed${carrierEnd(context)}${detail.kind === 'waited' ? `, and no other was there within ${detail.ms} ms (keepAliveTimeout)` : ''}. Connect again; if it repeats, look at the peer's logs, and at the idle timeout of proxies between.`,
  WEBSOCKET_HANDSHAKE_FAILED: (_, { peer }) =>
    `${peer} refused the WebSocket upgrade. Check the address and the proxy.`,
  TLS_ERROR: (_, { peer }) =>
    `TLS with ${peer} failed. Check its certificate and this machine's clock.`,
  TIMEOUT: ({ detail }, { peer }) =>
    `An operation with ${peer} took too long${forSome(detail)}. Allow more time.`,
  BUFFER_OVERFLOW: ({ detail }, { peer }) =>
    `A bounded queue of what goes to or comes from ${peer} is full${limit(detail)}. Read faster, or raise its limit.`,
  RESOURCE_EXHAUSTED: ({ detail, origin }, { peer }) =>
    shortage(detail) ??
    (origin === 'peer'
      ? `${peer} has as much in memory as it may (maxMemory there), and takes no more. Try again later, or raise maxMemory there.`
      : undefined) ??
    `The system is out of descriptors, memory or threads${osText(detail)}. Use less, or raise its limits (ulimit -n).`,
};

/** The types that are the application's own. */
const CUSTOM_TYPES = { first: 0x80, last: 0xfe };

function unknownFrames(detail: FaultDetail, peer: string): string {
  const frames = detail.kind === 'count' ? detail : { count: 2, frameType: undefined };
  const { count: many, frameType } = frames;
  const what = many === 1 ? 'a frame' : 'frames';
  if (frameType === undefined) {
    return `${peer} sent ${what} of a type that nobody here handles${count(detail)}. They were left out; give onFrame() a handler for their type, or upgrade, if the application misses them.`;
  }
  const type = `0x${frameType.toString(16).padStart(2, '0')}`;
  const which =
    many === 1 ? `a frame of type ${type}` : `${many} frames, the last of type ${type},`;
  if (frameType >= CUSTOM_TYPES.first && frameType <= CUSTOM_TYPES.last) {
    return `${peer} sent ${which} that no handler here takes. Left out: call onFrame(${type}, ...) if the application misses it, or have the peer not send it.`;
  }
  return `${peer} sent ${which} that this version does not know. Left out: install the same version on both sides if something is missing.`;
}

/** What `maxMemory` refuses, here. */
export function shortage(detail: FaultDetail): string | undefined {
  if (detail.kind !== 'memory') return undefined;
  const [limit, used, asked] = [detail.limit, detail.used, detail.asked].map(bytes);
  return `This endpoint holds ${used} of the ${limit} that it may (maxMemory); ${asked} more were asked for. Read what came, end sessions or streams, try again later, or raise maxMemory.`;
}

/** Bytes as people read them. */
function bytes(count: number): string {
  if (count < 1_024) return `${count} bytes`;
  if (count < 1_048_576) return `${Math.ceil(count / 1_024)} KiB`;
  return `${(count / 1_048_576).toFixed(1)} MiB`;
}

function authentication(fault: Fault, { peer, elapsed, context }: FaultPlace): string {
  const { subcode, detail, origin } = fault;
  const took = elapsed === undefined ? 'answered' : `answered in ${Math.round(elapsed)} ms`;
  // What does not open under our seed may be forged, so a better answer is waited for: that is not the peer's time.
  const waited =
    elapsed === undefined
      ? 'answered'
      : `answered, and nothing better came within ${Math.round(elapsed)} ms`;
  if (detail.kind === 'answered') {
    return `${peer} ${took}, but it is the node ${detail.nodeId}, not ${context.nodeId ?? 'the one'} that peerNodeId names. Correct peerNodeId or the address.`;
  }
  if (detail.kind === 'revoked') {
    return `${peer} ${took}: it has revoked this node's id. Ask who runs it.`;
  }
  if (detail.kind === 'seeds') {
    return `${peer} ${waited}: its shared seed is none of the ${detail.count} in sharedSeed here. Add its seed, or use the same sharedSeed on both sides.`;
  }
  if (elapsed === undefined && subcode === 3) {
    return `${peer} greeted this side under a shared seed that is not ours, and was not let in. If it belongs to us, use the same sharedSeed on both sides.`;
  }
  if (elapsed === undefined && origin === 'local') {
    return `This side has revoked the node at ${peer} (revoke()), so the session was ended. Let it in again with another endpoint, if that was a mistake.`;
  }
  if (subcode === 0 && origin === 'peer') {
    return `${peer} ${took}, and does not admit this node: its authorize() said no, or did not decide in time. Have it admit this node's nodeId.`;
  }
  if (subcode === 3) {
    return `${peer} ${waited}: its shared seed is not ours. Use the same sharedSeed on both sides.`;
  }
  if (subcode === 2) return clock(peer, fault);
  return `${peer} ${took}, and one side does not admit the other: it is not the node that peerNodeId names, or its authorize() said no. Compare peerNodeId with the peer's nodeId.`;
}

function handshake(fault: Fault, { peer }: FaultPlace): string {
  switch (fault.subcode) {
    case 1:
      return `${peer} used the random part of an earlier handshake again: a replay, or a broken source of randomness there. Please report it if the peer is yours.`;
    case 2:
      return clock(peer, fault);
    case 3:
      return `The handshake with ${peer} could not be decrypted: its shared seed is not ours. Use the same sharedSeed on both sides.`;
    case 4:
      if (fault.origin === 'peer') {
        return `${peer} did not take this side's proof: it was made for another handshake than the one that arrived there. Try again; if it repeats, something on the way alters packets.`;
      }
      return `${peer} proved knowledge of the seed for another handshake than this one. Try again; if it repeats, something on the way alters packets.`;
    default:
      return `The handshake with ${peer} failed. Try again.`;
  }
}

/** Clocks that agree this far are not what a HELLO was refused for: it was on its way for too long. */
const CLOCKS_AGREE_MS = 1_000;

function clock(peer: string, { detail, origin }: Fault): string {
  if (detail.kind !== 'clockSkew') {
    return `The clocks of ${peer} and this machine differ by more than the handshake allows. Set both by NTP, or widen timestampWindow.`;
  }
  // The peer's clock as it answered: what it saw was the HELLO's, and that may be old.
  if (origin === 'peer' && Math.abs(detail.ms) < CLOCKS_AGREE_MS) {
    return `${peer} took this node's greeting for one of another time, though the clocks differ by ${Math.abs(detail.ms)} ms only: it was on its way for longer than timestampWindow there. Try again, or widen that.`;
  }
  const off = `${Math.abs(detail.ms)} ms ${detail.ms > 0 ? 'ahead of' : 'behind'}`;
  return `The clock of ${peer} is ${off} this machine's, more than the handshake allows. Set both by NTP, or widen timestampWindow.`;
}

function after(detail: FaultDetail, elapsed: number | undefined): string {
  const ms = detail.kind === 'waited' ? detail.ms : elapsed;
  return ms === undefined ? ' in time' : ` within ${Math.round(ms)} ms`;
}

function forSome(detail: FaultDetail): string {
  return detail.kind === 'waited' ? ` for ${detail.ms} ms` : '';
}

function carrierEnd({ closeCode, closeReason }: Partial<SttErrorContext>): string {
  if (closeCode === undefined) return '';
  return ` (code ${closeCode}, ${closeReason === undefined ? 'without a word' : `"${closeReason}"`})`;
}

function limit(detail: FaultDetail): string {
  // A peer tells that its limit is reached, not what it is.
  return detail.kind === 'limit' && detail.limit > 0 ? `: ${detail.limit}` : '';
}

function count(detail: FaultDetail): string {
  if (detail.kind !== 'count') return '';
  return detail.count === 1 ? ' (once)' : ` (${detail.count} times)`;
}

/** As {@link count}; where there is none it is the end of a session, which bore as many as it may. */
function tooMany(detail: FaultDetail): string {
  return detail.kind === 'count' ? count(detail) : ', so often that the session was ended';
}

/** Which side is to be upgraded, where that can be told. */
function older(detail: FaultDetail): string {
  if (detail.kind !== 'versions' || detail.versions.length === 0) return '';
  return detail.versions.every((version) => version > 1)
    ? ': upgrade this side'
    : ': upgrade the peer';
}

function versions(detail: FaultDetail): string {
  if (detail.kind !== 'versions' || detail.versions.length === 0) return 'another version';
  return `version ${detail.versions.join(', ')}`;
}

function refused(count: number, ms: number, peer: string): string {
  return `The host of ${peer} refuses: it said of ${count} packets in ${ms} ms that nothing is on that port any more. The process there has ended. Start it again, and connect again.`;
}

function unsent(detail: FaultDetail, peer: string): string {
  const span = detail.kind === 'os' && detail.ms > 0 ? ` for ${detail.ms} ms` : '';
  const code = detail.kind === 'os' ? systemCode(detail.errno) : 'UNKNOWN';
  return `This machine's system refused to send to ${peer}${span}${osText(detail)}. ${UNSENT[code] ?? 'Check the network interface and the local firewall.'}`;
}

/** What to look at, by what the system said. */
const UNSENT: Readonly<Record<string, string>> = {
  EPERM: 'A firewall rule of this machine forbids it: look at the rules for outgoing UDP.',
  EACCES:
    'It is not permitted: a firewall or a policy of this machine forbids it, or the address is a broadcast address, which has no peer.',
  ENOBUFS:
    "The interface's queue is full or out of memory. Sending is tried again by itself; if it goes on, lengthen the queue (txqueuelen, tc) or send less.",
  ENETDOWN: 'The network interface is down: bring it up.',
  ENETUNREACH: "No route leads there: look at this machine's interfaces and routes.",
  EHOSTUNREACH: 'Nothing answers for that address on the way: look at the route and the next hop.',
  EADDRNOTAVAIL: 'The local address is not this machine’s any more.',
};

function osText(detail: FaultDetail): string {
  if (detail.kind !== 'os' || detail.errno === 0) return '';
  return ` (${systemCode(detail.errno)}, system error ${detail.errno})`;
}
