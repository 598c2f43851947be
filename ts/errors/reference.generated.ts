// Made by scripts/generate-errors.mjs from crates/stt-wire/src/codes.rs and codes/reference.rs: change those.
import type { ErrorPage, ReasonPage, SubcodePage } from './reference.ts';

/** The pages of the 25 codes. */
export const ERROR_PAGES: readonly ErrorPage[] = [
  {
    code: 257,
    meaning: 'The handshake did not come to an end within its timeout.',
    causes: [
      'The peer is off, or its process has crashed.',
      'A firewall or a missing route swallows the packets in between.',
      'The network is so slow that the timeout is too short for it.',
      "The address or the port is another program's, or nobody's.",
    ],
    checks: [
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
      { command: 'ping -c 3 HOST', shows: 'Whether the machine answers at all.' },
      {
        command: 'ss -lunp "sport = :PORT"',
        shows: 'At the peer: whether its program has the port.',
      },
      {
        command: 'sudo nft list ruleset',
        shows: 'On both machines: rules that drop or reject UDP.',
      },
    ],
    steps: [
      { by: 'program', text: 'Try again, with pauses that double and are drawn at random.' },
      { by: 'person', text: 'Allow more time on slow networks: a larger timeout.' },
      { by: 'person', text: 'See whether the peer can be reached at all (ping, traceroute).' },
      { by: 'program', text: 'Try the other carrier: WebSocket passes where UDP is blocked.' },
    ],
  },
  {
    code: 258,
    meaning: 'The peer, or the system that it runs on, turned the connection down.',
    causes: [
      'Nothing listens on that port.',
      'A firewall rejects packets for it.',
      'A router forwards another port, or forwards to another machine.',
      'The port number is wrong.',
    ],
    checks: [
      {
        command: 'ss -lunp "sport = :PORT"',
        shows: 'At the peer: whether its program has the port.',
      },
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
      {
        command: 'sudo nft list ruleset',
        shows: 'On both machines: rules that drop or reject UDP.',
      },
    ],
    steps: [
      {
        by: 'person',
        text: 'See that the peer runs and listens there (ss -ulpn, netstat -tulpn).',
      },
      { by: 'person', text: "Look through the firewall's rules on both machines." },
      { by: 'person', text: 'Behind a NAT, check which port the router forwards, and where to.' },
      { by: 'person', text: 'Compare the port with the one that the peer printed or was given.' },
    ],
  },
  {
    code: 259,
    meaning: 'The two sides could not prove to one another that they belong together.',
    causes: [
      'The shared seeds differ: by far the most common cause.',
      'A seed was damaged when it was copied.',
      'Another node answers than the one whose id was given.',
      "The peer's authorize() turned this node away, or it was revoked.",
    ],
    checks: [
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
      {
        command: 'sha256sum FILE',
        shows: 'On both machines: whether the seed files are the same, without showing them.',
      },
      {
        command: 'stt id',
        shows:
          'On both machines: words for the seed, the same where the seeds are; and at the peer the node id that its listeners have.',
      },
    ],
    steps: [
      { by: 'person', text: 'Correct the configuration: no retry helps until somebody has.' },
      {
        by: 'person',
        text: 'Use the very same shared seed on both sides; "stt pair" gives it to the other machine.',
      },
      {
        by: 'person',
        text: 'Look for a seed cut short, or read in the wrong encoding (hex, base64url).',
      },
      { by: 'person', text: 'Compare peerNodeId with the nodeId that the peer prints.' },
    ],
  },
  {
    code: 260,
    meaning: 'This machine knows no way to the peer.',
    causes: [
      'This machine is not connected to a network.',
      'The address is not valid, or the name has none.',
      'No route leads to that network.',
    ],
    checks: [
      { command: 'getent hosts HOST', shows: 'What the name resolves to.' },
      {
        command: 'ip route get HOST',
        shows: 'By which route and interface, if any; HOST as an address.',
      },
      { command: 'ip address', shows: 'Which interfaces are up, and their addresses.' },
    ],
    steps: [
      { by: 'person', text: 'Check the connection: does the gateway answer a ping?' },
      { by: 'person', text: 'Check the address, and what the name resolves to.' },
      { by: 'person', text: 'Look at the routes (ip route, netstat -rn).' },
      { by: 'person', text: 'Try another network interface.' },
    ],
  },
  {
    code: 261,
    meaning: 'The two sides have no version of the protocol in common.',
    causes: [
      'The peer runs another version of STT.',
      'One of the two has not been upgraded for long.',
    ],
    checks: [
      { command: 'npm ls @seigr/stt', shows: 'On both machines: which version is installed.' },
    ],
    steps: [{ by: 'person', text: 'Install versions that match on both sides.' }],
  },
  {
    code: 513,
    meaning: 'The session has ended; the reason tells how, and the cause why.',
    causes: [
      'The peer called session.close(), as it should when it is done.',
      'The peer fell silent for longer than the keep-alive timeout.',
      'One side broke the protocol, as with frames that cannot be.',
      'The network between the two failed.',
    ],
    checks: [{ command: 'stt explain - < FILE', shows: 'All errors of a log, of each side.' }],
    steps: [
      { by: 'program', text: 'After a graceful end: nothing, it was meant.' },
      { by: 'program', text: 'After a timeout: connect again, as a new session.' },
      {
        by: 'person',
        text: 'After an error: read the cause and the logs of both sides, and mend what broke the protocol.',
      },
    ],
  },
  {
    code: 514,
    meaning: 'Nothing authentic came from the peer for the whole keep-alive timeout.',
    causes: [
      'The peer has crashed, or hangs.',
      'The network between the two is cut.',
      'The peer is too busy to answer.',
    ],
    checks: [
      {
        command: 'stt ping PEER',
        shows: 'Whether the peer answers now, how fast, by which carrier.',
      },
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
      { command: 'top -p PID', shows: 'At the peer: whether its process lives, and is too busy.' },
    ],
    steps: [
      { by: 'program', text: 'Connect again, as a new session.' },
      { by: 'person', text: 'Look after the peer: its logs, its load.' },
      { by: 'person', text: 'On networks with long gaps, raise keepAliveTimeout.' },
    ],
  },
  {
    code: 515,
    meaning: 'A limit on sessions is reached, on this side or at the peer.',
    causes: [
      'More sessions are in use than maxConcurrentSessions, or a cap per source or peer, allows.',
      'Sessions are opened and never closed.',
    ],
    checks: [{ command: 'stt ping -c 1 PEER', shows: 'Whether there is a place by now.' }],
    steps: [
      {
        by: 'program',
        text: 'Close sessions that are no longer needed; a place becomes free at once.',
      },
      { by: 'person', text: 'Raise maxConcurrentSessions, if memory and descriptors allow.' },
      { by: 'person', text: 'Find the leak: every session needs its session.close().' },
    ],
  },
  {
    code: 516,
    meaning: 'The peer is there, but does not know the session.',
    causes: [
      'The peer was started anew, or has ended the session and forgotten it.',
      'A frame named a session that never was.',
      'A frame was still on its way when the session ended.',
    ],
    checks: [
      {
        command: 'stt ping PEER',
        shows: 'Whether the peer answers now, how fast, by which carrier.',
      },
    ],
    steps: [
      { by: 'program', text: 'Connect again, as a new session.' },
      {
        by: 'program',
        text: 'Ask session.closed or session.settled before using a session that was kept.',
      },
    ],
  },
  {
    code: 769,
    meaning: 'The stream, or the half of it that was used, has ended.',
    causes: [
      'The peer closed, reset or stopped it, as it may.',
      'The session ended, and all its streams with it.',
      'Nothing moved on it for streamIdleTimeout.',
    ],
    checks: [{ command: 'stt explain - < FILE', shows: 'All errors of a log, of each side.' }],
    steps: [
      { by: 'program', text: 'If everything had been said: nothing, the end was expected.' },
      { by: 'person', text: 'If not: read the logs, and whether the session has ended as well.' },
      { by: 'program', text: 'Open a new stream if there is more to say.' },
    ],
  },
  {
    code: 770,
    meaning: 'A limit on streams of the session is reached, on this side or at the peer.',
    causes: [
      'More streams are open than maxConcurrentStreams allows.',
      'Streams are opened and never ended.',
    ],
    checks: [],
    steps: [
      { by: 'program', text: 'End streams that are done, or open with waitUntilAvailable.' },
      { by: 'person', text: 'Raise maxConcurrentStreams on the side that sets the limit.' },
      { by: 'person', text: 'Find the leak: every stream needs its end(), close() or reset().' },
    ],
  },
  {
    code: 771,
    meaning: 'The id that was chosen for a stream is taken.',
    causes: [
      'The id was named by hand and is, or was, in use.',
      'Both sides opened the same id at the same time.',
    ],
    checks: [],
    steps: [
      { by: 'program', text: 'Leave the id out, and let the session choose it.' },
      { by: 'person', text: 'Agree on who takes which ids, as one side the even and one the odd.' },
    ],
  },
  {
    code: 772,
    meaning: 'The peer sent more than it had been given credit for.',
    causes: [
      "The peer's implementation does not heed the windows.",
      'Credit was told wrongly, as by damaged memory.',
    ],
    checks: [
      { command: 'npm ls @seigr/stt', shows: 'On both machines: which version is installed.' },
    ],
    steps: [
      { by: 'person', text: 'Report it: no right implementation does this.' },
      { by: 'program', text: 'Connect again, as a new session.' },
    ],
  },
  {
    code: 1025,
    meaning: 'A frame arrived whole, but cannot be: its structure is impossible.',
    causes: [
      'It was damaged on the way in a manner that the checksums did not show.',
      "The peer's implementation makes wrong frames.",
      'The two sides speak versions that differ.',
    ],
    checks: [
      { command: 'npm ls @seigr/stt', shows: 'On both machines: which version is installed.' },
      { command: 'stt ping -c 100 PEER', shows: 'How much of what is sent gets lost.' },
    ],
    steps: [
      {
        by: 'program',
        text: 'None needed: the frame is dropped, and its sender repeats what was in it.',
      },
      {
        by: 'person',
        text: 'If it goes on, look at the quality of the network, at the rate of damage.',
      },
      { by: 'person', text: 'If one version is at fault, report it and upgrade.' },
    ],
  },
  {
    code: 1026,
    meaning: "A packet with right checksums does not open under the session's keys.",
    causes: [
      'A seed changed or was damaged while it was in use; or somebody forges packets.',
      'A defect in the encryption.',
      'Damaged memory.',
    ],
    checks: [
      {
        command: 'sha256sum FILE',
        shows: 'On both machines: whether the seed files are the same, without showing them.',
      },
      { command: 'npm ls @seigr/stt', shows: 'On both machines: which version is installed.' },
    ],
    steps: [
      { by: 'person', text: 'Start the application anew.' },
      { by: 'person', text: 'See that both seeds are what they should be.' },
      { by: 'person', text: 'Report it, if it can be made to happen again.' },
    ],
  },
  {
    code: 1027,
    meaning: 'A packet arrived damaged: its checksum is wrong.',
    causes: ['Bits were turned over on the way.', 'The peer computes checksums wrongly.'],
    checks: [
      { command: 'ethtool -S IFACE', shows: 'Counters of damaged packets, of each network card.' },
      { command: 'stt ping -c 100 PEER', shows: 'How much of what is sent gets lost.' },
    ],
    steps: [
      { by: 'program', text: 'None needed: the packet is dropped and sent again.' },
      {
        by: 'person',
        text: 'Above 5 %, look at the hardware: cables, network cards, radio interference.',
      },
    ],
  },
  {
    code: 1028,
    meaning: 'An authentic frame has a type that nobody here handles.',
    causes: [
      'The peer speaks a newer version.',
      'The type was damaged before it was sealed.',
      "The peer's application sends custom frames for which this side has no handler.",
    ],
    checks: [
      { command: 'npm ls @seigr/stt', shows: 'On both machines: which version is installed.' },
    ],
    steps: [
      { by: 'person', text: 'Compare the versions of both sides.' },
      { by: 'person', text: 'Upgrade to the newest, or install the missing handler.' },
      { by: 'program', text: 'None needed to go on: the frame is left out, the session lives.' },
    ],
  },
  {
    code: 1029,
    meaning: 'The handshake failed at the step that the sub-code names.',
    causes: ['See the sub-codes.'],
    checks: [
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
    ],
    steps: [
      { by: 'program', text: 'In most cases: try again, what disturbed it has passed.' },
      { by: 'person', text: 'NONCE_REUSE: report it, it breaks a promise of the protocol.' },
      { by: 'person', text: 'CHALLENGE_DECRYPT_FAILED: use the same shared seed on both sides.' },
    ],
  },
  {
    code: 1281,
    meaning: 'The system refuses to send.',
    causes: [
      'The network interface is down.',
      "The system's buffers are full.",
      'A local firewall or a missing permission forbids it.',
    ],
    checks: [
      {
        command: 'ip -s link show IFACE',
        shows: 'Whether the interface is up, and what it dropped.',
      },
      { command: 'sudo nft list ruleset', shows: 'Rules of this machine for what it sends.' },
      {
        command: 'tc -s qdisc show dev IFACE',
        shows: 'Whether the queue of the interface is full.',
      },
      {
        command: 'sysctl net.core.wmem_max',
        shows: 'How large the send buffer of a socket may be.',
      },
    ],
    steps: [
      { by: 'person', text: 'Check the interface and the connection.' },
      {
        by: 'program',
        text: "Sending is tried again by itself; after a session's end, connect again.",
      },
      {
        by: 'person',
        text: "Raise what was full: the interface's queue (txqueuelen, tc) or net.core.wmem_max; a larger sendBufferSize takes what is written meanwhile.",
      },
    ],
  },
  {
    code: 1282,
    meaning: 'The WebSocket below the session was closed.',
    causes: [
      'The peer closed it, on purpose or in trouble.',
      'The network failed.',
      'A proxy in between dropped it.',
    ],
    checks: [
      {
        command: 'stt doctor PEER --transport websocket --websocket URL',
        shows: 'Whether a WebSocket opens now.',
      },
      { command: 'stt explain - < FILE', shows: 'All errors of a log, of each side.' },
    ],
    steps: [
      { by: 'program', text: 'Connect again, as a new session.' },
      { by: 'person', text: "Look for the reason in the peer's logs." },
      { by: 'person', text: 'Check the proxy, if there is one: its idle timeout most of all.' },
    ],
  },
  {
    code: 1283,
    meaning: 'The upgrade to WebSocket was refused.',
    causes: [
      'The server does not speak WebSocket at that path.',
      'A proxy does not let the upgrade pass.',
      'For wss: the certificate was not accepted.',
    ],
    checks: [
      {
        command: 'stt doctor PEER --transport websocket --websocket URL',
        shows: 'What answers in place of a WebSocket.',
      },
      {
        command: 'ss -ltnp "sport = :PORT"',
        shows: 'At the peer: which program has the TCP port.',
      },
    ],
    steps: [
      { by: 'person', text: 'See that the server offers WebSocket there.' },
      { by: 'person', text: "Check the proxy's configuration." },
      { by: 'person', text: 'For wss, check the TLS certificate.' },
    ],
  },
  {
    code: 1284,
    meaning: 'TLS could not be set up, or the certificate was not accepted.',
    causes: [
      'The certificate is not valid.',
      'The certificate has expired.',
      'The certificate is for another host.',
      'Its authority is not trusted here.',
    ],
    checks: [
      {
        command: 'stt doctor PEER --transport websocket --websocket URL',
        shows: 'What is wrong with the certificate.',
      },
      {
        command: 'openssl s_client -connect HOST:PORT -servername HOST < /dev/null',
        shows: 'The certificate and its chain, as the server shows them.',
      },
      { command: 'timedatectl', shows: "Whether this machine's clock is right." },
    ],
    steps: [
      { by: 'person', text: 'Check the certificate: its dates, its names, its chain.' },
      { by: 'person', text: "Check this machine's clock, against which the dates are held." },
      {
        by: 'person',
        text: 'Bring the trusted authorities up to date, or give the right one as ca.',
      },
    ],
  },
  {
    code: 1537,
    meaning: 'An operation took longer than the time that it was given.',
    causes: [
      'A write waited for credit: the receiver does not read.',
      'A read waited for bytes: the sender does not send.',
      'The operation is slower than was expected.',
    ],
    checks: [
      {
        command: 'stt ping PEER',
        shows: 'Whether the peer answers now, how fast, by which carrier.',
      },
      {
        command: 'stt bench PEER',
        shows: 'What the way carries, where "stt bench --listen" runs at the peer.',
      },
    ],
    steps: [
      { by: 'person', text: 'Allow more time where the operation is slow by nature.' },
      { by: 'person', text: 'See whether the receiver keeps up: bytes that wait are in stats().' },
      { by: 'program', text: 'Try the operation again.' },
    ],
  },
  {
    code: 1538,
    meaning: 'A bounded queue inside would have run over.',
    causes: [
      'The receiver is too slow, and pressure builds up.',
      'The sender is too fast, and does not wait for its writes.',
      "The queue's bound is too small for its use.",
    ],
    checks: [
      {
        command: 'stt bench PEER',
        shows: 'What the way carries, where "stt bench --listen" runs at the peer.',
      },
    ],
    steps: [
      {
        by: 'person',
        text: 'Raise the bound (recvBufferSize, streamRecvBuffer, maxPendingBytes, backlog).',
      },
      { by: 'program', text: 'Slow the sender down: await every write.' },
      { by: 'program', text: 'Take data, datagrams and sessions as they come.' },
    ],
  },
  {
    code: 1539,
    meaning: 'The system has no more of something that is needed.',
    causes: [
      "Memory is used up: the system's, or what maxMemory allows.",
      'File descriptors are used up.',
      'The processor cannot keep up.',
    ],
    checks: [
      { command: 'ulimit -n', shows: 'How many descriptors a process may have.' },
      { command: 'ls /proc/PID/fd | wc -l', shows: 'How many it has.' },
      { command: 'free -m', shows: 'How much memory is left.' },
      {
        command: 'nproc; uptime',
        shows: 'How many processors there are, and how much waits for them.',
      },
    ],
    steps: [
      { by: 'program', text: 'Reduce the load: fewer sessions, fewer streams.' },
      { by: 'person', text: "Raise the system's limits (ulimit -n), or maxMemory." },
      { by: 'person', text: 'Add memory or processors.' },
    ],
  },
];

/** The pages of the handshake's sub-codes. */
export const SUBCODE_PAGES: readonly SubcodePage[] = [
  {
    causes: [
      'Somebody sends again what was recorded.',
      'A virtual machine was cloned, or set back, while it ran.',
      'The source of randomness at the peer is broken.',
    ],
    checks: [
      { command: 'stt explain - < FILE', shows: "How often it happened, in the peer's log." },
    ],
    meaning:
      'The random part of a handshake was seen before: a replay, or a broken source of randomness. A breach of security.',
    name: 'NONCE_REUSE',
    steps: [{ by: 'person', text: 'Report it, if the peer is yours: this must not happen.' }],
    subcode: 1,
  },
  {
    causes: [
      'The clock of one machine is wrong.',
      'The network held the handshake up for longer than timestampWindow.',
      'Somebody sends again what was recorded.',
    ],
    checks: [
      {
        command: 'timedatectl',
        shows: 'On both machines: whether the clock is set by NTP, and what it says.',
      },
      { command: 'stt doctor PEER', shows: 'By how much the clocks differ.' },
    ],
    meaning:
      "The handshake is stamped with a time too far from this machine's: the clocks differ, or it is an old one that somebody replays.",
    name: 'TIMESTAMP_EXPIRED',
    steps: [
      { by: 'program', text: 'Try again: a handshake that was held up is made anew.' },
      { by: 'person', text: 'Set both clocks (NTP), or widen timestampWindow.' },
    ],
    subcode: 2,
  },
  {
    causes: [
      'The shared seeds differ.',
      'A seed was damaged when it was copied.',
      'Something else answers at that address.',
    ],
    checks: [
      {
        command: 'sha256sum FILE',
        shows: 'On both machines: whether the seed files are the same, without showing them.',
      },
      {
        command: 'stt id',
        shows: 'On both machines: words for the seed, the same where the seeds are.',
      },
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
    ],
    meaning: "The peer's answer does not open under this side's seed: the seeds differ.",
    name: 'CHALLENGE_DECRYPT_FAILED',
    steps: [
      {
        by: 'person',
        text: 'Use the same shared seed on both sides; "stt pair" gives it to the other machine.',
      },
    ],
    subcode: 3,
  },
  {
    causes: ['Something on the way alters packets.', "The peer's implementation is at fault."],
    checks: [
      { command: 'npm ls @seigr/stt', shows: 'On both machines: which version is installed.' },
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
    ],
    meaning:
      "The proof is authentic, but for another association than this one: its path ids, which stand for the session's id, do not fit.",
    name: 'PROOF_VERIFICATION_FAILED',
    steps: [
      { by: 'program', text: 'Try again: what altered it may be gone.' },
      {
        by: 'person',
        text: 'If it goes on, look for what changes packets on the way, and report it.',
      },
    ],
    subcode: 4,
  },
];

/** The pages of the reasons for which sessions end. */
export const REASON_PAGES: readonly ReasonPage[] = [
  {
    causes: ['The session, or its endpoint, was closed on purpose.'],
    checks: [],
    meaning: 'One side was done and said so.',
    reason: 'graceful',
    steps: [{ by: 'program', text: 'Nothing: it was meant.' }],
  },
  {
    causes: ['The peer has crashed, or hangs.', 'The network between the two is cut.'],
    checks: [
      {
        command: 'stt ping PEER',
        shows: 'Whether the peer answers now, how fast, by which carrier.',
      },
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
    ],
    meaning: 'The peer fell silent for the keep-alive timeout.',
    reason: 'timeout',
    steps: [{ by: 'program', text: 'Connect again, as a new session.' }],
  },
  {
    causes: [
      'One side called destroy(), or its program failed.',
      'One side broke the protocol.',
      'A bounded queue, or memory, was used up at the peer.',
    ],
    checks: [{ command: 'stt explain - < FILE', shows: 'All errors of a log, of each side.' }],
    meaning: 'The protocol was broken, or the transport failed: the cause says how.',
    reason: 'error',
    steps: [
      { by: 'program', text: 'Connect again, as a new session.' },
      {
        by: 'person',
        text: 'Read the cause and the logs of both sides, and mend what broke the protocol.',
      },
    ],
  },
  {
    causes: ["The peer revoked this node's id."],
    checks: [
      { command: 'stt doctor PEER', shows: 'Where on the way it ends, with the code of it.' },
      { command: 'stt explain - < FILE', shows: 'All errors of a log, of each side.' },
    ],
    meaning: 'The peer lost its right to be here after the handshake, as by revoke().',
    reason: 'auth_failure',
    steps: [{ by: 'person', text: 'Ask whoever runs the peer to admit this node again.' }],
  },
];
