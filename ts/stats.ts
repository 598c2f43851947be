import type { ErrorCounts } from './errors/tally.ts';

/** A session in numbers: sums since its start, but for those that say otherwise. Times in milliseconds. */
export interface SessionStats {
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly packetsLost: number;
  /** Packets that came more than once, or too late to tell. */
  readonly packetsDuplicate: number;
  /** Bytes of UDP payload, headers and retransmissions included. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Now: smoothed round-trip time (RFC 9002, section 5.3). */
  readonly smoothedRtt: number;
  /** Now: its variation. */
  readonly rttVariation: number;
  /** Now: the least that was measured. */
  readonly minRtt: number;
  /** Now: bytes that congestion control allows on the way. */
  readonly congestionWindow: number;
  /** Now: bytes that the peer acknowledged on the path in use, since the session took it. */
  readonly pathBytesAcked: number;
  /** Now: bytes that came by the path in use, since the session took it. */
  readonly pathBytesReceived: number;
  /** Now: bytes on the way. */
  readonly bytesInFlight: number;
  readonly congestionEvents: number;
  readonly probeTimeouts: number;
  /** Times that this side changed the key it seals with. */
  readonly keyUpdates: number;
  /** Now: bytes of the largest UDP payload that is sent. */
  readonly mtu: number;
  /** Datagrams that the system refused to send. */
  readonly sendErrors: number;
  /** Frames dropped with 0x0401. */
  readonly invalidFrames: number;
  /** Packets dropped with 0x0402. */
  readonly encryptionErrors: number;
  /** Packets dropped with 0x0403. */
  readonly checksumErrors: number;
  /** Frames dropped with 0x0404. */
  readonly unknownFrames: number;
  /** Datagrams and frames that went out. */
  readonly messagesSent: number;
  /** Of those, declared lost with their packet. */
  readonly messagesLost: number;
  /** Datagrams and frames that came, and that this side takes. */
  readonly messagesReceived: number;
  /** Dropped before they went out: for want of room, or because the path carries less by then. */
  readonly messagesDroppedSending: number;
  /** Dropped after they came: the application did not take them in time. */
  readonly messagesDroppedReceiving: number;
  /** Bytes of deadline streams given up for their age before the peer acknowledged them. */
  readonly bytesGivenUp: number;
  /** Bytes of deadline streams that the peer gave up and that were never read here. */
  readonly bytesSkipped: number;
  /** Now: bytes of writes that wait for room in the send ring. */
  readonly pendingBytes: number;
  /** Now: streams of the peer that the application has not taken. */
  readonly unacceptedStreams: number;
  /** Now: datagrams that came and that the application has not taken. */
  readonly unreadDatagrams: number;
}

/** An endpoint in numbers: sums since its start, but for those that say otherwise. */
export interface EndpointStats {
  readonly datagramsReceived: number;
  readonly datagramsSent: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Now: sessions. */
  readonly sessions: number;
  /** Now: handshakes that peers began and have not ended. */
  readonly halfOpen: number;
  /** HELLOs from peers without the shared seed. */
  readonly helloUnknownSeed: number;
  /** HELLOs from peers whose clock differs too much. */
  readonly helloExpired: number;
  /** HELLOs that were replays. */
  readonly helloReplayed: number;
  /** HELLOs that were dropped under load. */
  readonly helloShed: number;
  /** Proofs that did not hold. */
  readonly proofFailed: number;
  /** Sessions that tickets of this endpoint brought about. */
  readonly sessionsResumed: number;
  /** Tickets that peers came with in vain: unknown, used, or too old. */
  readonly ticketsRefused: number;
  /** HELLOs and RESUMEs answered with a cookie, under load. */
  readonly retriesSent: number;
  /** Answers to HELLOs without the shared seed that tell a stranger nothing. */
  readonly decoysSent: number;
  /** Peers told that their session is not known here. */
  readonly resetsSent: number;
  /** Packets for no session of this endpoint. */
  readonly unknownPath: number;
  /**
   * Now: bytes that are held for all sessions, or that peers may still send: what `maxMemory` bounds.
   */
  readonly memoryUsed: number;
  /** Now: that bound. */
  readonly memoryLimit: number;
  /** Sessions, streams and writes refused with 0x0603 at that bound. */
  readonly memoryRefused: number;
  /** Round-trip times measured, in all sessions. */
  readonly rttSamples: number;
  /** Now: the median of the last some thousand of them, to a sixteenth; 0 before the first. Milliseconds. */
  readonly rttP50: number;
  /** Now: their 99th percentile. Milliseconds. */
  readonly rttP99: number;
  /** Now: sessions that were accepted and that nobody has taken. */
  readonly unacceptedSessions: number;
  /** Now: peers that `authorize` decides on. */
  readonly pendingAuthorizations: number;
  /** Of sessions and outside any: frames dropped with 0x0401. */
  readonly invalidFrames: number;
  /** Of sessions and outside any: packets dropped with 0x0402. */
  readonly encryptionErrors: number;
  /** Of sessions and outside any: packets dropped with 0x0403. */
  readonly checksumErrors: number;
  /** Of sessions and outside any: frames dropped with 0x0404. */
  readonly unknownFrames: number;
  /** Turns of the engine's loop. */
  readonly engineTurns: number;
  /** Of what was written, turns that the writing thread made itself, as it was little. */
  readonly shortTurns: number;
  /** Turns that JavaScript's event loop took because the socket was readable, while traffic was thin; on Linux, in Node. */
  readonly loopTurns: number;
  /** Turns that JavaScript's thread took with what a WebSocket brought. */
  readonly connectionTurns: number;
  /** Times that the engine's thread left the socket to that loop alone. */
  readonly loopAlone: number;
  /** Times that it took the socket back: there was more traffic, or none, or the loop was busy. */
  readonly loopRelieved: number;
  /** Times that the engine went to sleep. */
  readonly engineSleeps: number;
  /** System calls that brought datagrams. */
  readonly receiveCalls: number;
  /** System calls that sent datagrams. */
  readonly sendCalls: number;
  /** Sends that the system refused. */
  readonly sendErrors: number;
  /** Sends that found the socket's buffer full. */
  readonly sendBlocked: number;
  /** Times that the socket's address went away and another was bound. */
  readonly rebinds: number;
  /** ICMP reports read. */
  readonly pathErrors: number;
  /** Times that JavaScript was behind, so that events had to wait. */
  readonly ringFull: number;
  /** Times that JavaScript was woken. */
  readonly doorbells: number;
  /** Calls across the boundary that fetched events. */
  readonly polls: number;
  /** Now: datagrams that may go into one system call; 1 without segmentation offload. */
  readonly segments: number;
  /**
   * Errors of each of the 25 kinds that were raised here, by the names of their codes: those that an operation
   * rejected with, the root causes of ends and refusals, and each frame and send that was told as an event.
   */
  readonly errors: ErrorCounts;
}

/** A frozen copy, so that a reader cannot take a snapshot for live numbers. */
export function snapshot<Stats extends object>(stats: object): Stats {
  return Object.freeze({ ...stats }) as Stats;
}
