//! What a person needs to know of every error: what it means, what causes it, and what to do, in the order
//! in which to try. Sub-codes and close reasons have their own rows, because the way out differs.
//!
//! `docs/ERRORS.md`, `stt explain` and the types of the TypeScript API are made from here
//! (`scripts/generate-errors.mjs`). Nothing at run time needs these texts, so that a program which links this
//! crate does not carry them.

use super::{CloseReason, ErrorCode, HandshakeSubcode, RecoveryAction};

/// Who takes a step of recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The transport or the program, without anybody's help.
    Program,
    /// A person: a setting, a machine or a network has to change.
    Person,
}

impl By {
    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Person => "person",
        }
    }
}

/// One thing to try.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Who does it.
    pub by: By,
    /// What to do.
    pub text: &'static str,
}

const fn auto(text: &'static str) -> Step {
    Step { by: By::Program, text }
}

const fn person(text: &'static str) -> Step {
    Step { by: By::Person, text }
}

/// Something to look at, with the command that shows it. Words in capitals stand for the reader's own: PEER as `stt send` takes
/// it, HOST, PORT, URL, PID, IFACE, FILE.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// For a shell, Linux where systems differ.
    pub command: &'static str,
    /// What it tells, and where to run it if not here.
    pub shows: &'static str,
}

const fn run(command: &'static str, shows: &'static str) -> Check {
    Check { command, shows }
}

/// The page of one code.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The code.
    pub code: ErrorCode,
    /// What has happened.
    pub meaning: &'static str,
    /// What brings it about, the most common first.
    pub causes: &'static [&'static str],
    /// What to look at, in the order in which to look; nothing where only a program can see it.
    pub checks: &'static [Check],
    /// What to do, in the order in which to try.
    pub recovery: &'static [Step],
}

/// The page of one handshake sub-code.
#[derive(Clone, Copy, Debug)]
pub struct SubcodeReference {
    /// The sub-code.
    pub subcode: HandshakeSubcode,
    /// What has happened.
    pub meaning: &'static str,
    /// What brings it about, the most common first.
    pub causes: &'static [&'static str],
    /// What to look at, in the order in which to look.
    pub checks: &'static [Check],
    /// What a program should do.
    pub action: RecoveryAction,
    /// What to do, in the order in which to try.
    pub recovery: &'static [Step],
}

/// The page of one close reason.
#[derive(Clone, Copy, Debug)]
pub struct ReasonReference {
    /// The reason.
    pub reason: CloseReason,
    /// What has happened.
    pub meaning: &'static str,
    /// What brings it about, the most common first.
    pub causes: &'static [&'static str],
    /// What to look at, in the order in which to look.
    pub checks: &'static [Check],
    /// What a program should do.
    pub action: RecoveryAction,
    /// What to do, in the order in which to try.
    pub recovery: &'static [Step],
}

/// All codes, in the order of [`super::ERROR_TABLE`].
pub static REFERENCE: [Reference; 25] = [
    Reference {
        code: ErrorCode::ConnectionTimeout,
        meaning: "The handshake did not come to an end within its timeout.",
        causes: &[
            "The peer is off, or its process has crashed.",
            "A firewall or a missing route swallows the packets in between.",
            "The network is so slow that the timeout is too short for it.",
            "The address or the port is another program's, or nobody's.",
        ],
        checks: &[
            run("stt doctor PEER", "Where on the way it ends, with the code of it."),
            run("ping -c 3 HOST", "Whether the machine answers at all."),
            run("ss -lunp \"sport = :PORT\"", "At the peer: whether its program has the port."),
            run("sudo nft list ruleset", "On both machines: rules that drop or reject UDP."),
        ],
        recovery: &[
            auto("Try again, with pauses that double and are drawn at random."),
            person("Allow more time on slow networks: a larger timeout."),
            person("See whether the peer can be reached at all (ping, traceroute)."),
            auto("Try the other carrier: WebSocket passes where UDP is blocked."),
        ],
    },
    Reference {
        code: ErrorCode::ConnectionRefused,
        meaning: "The peer, or the system that it runs on, turned the connection down.",
        causes: &[
            "Nothing listens on that port.",
            "A firewall rejects packets for it.",
            "A router forwards another port, or forwards to another machine.",
            "The port number is wrong.",
        ],
        checks: &[
            run("ss -lunp \"sport = :PORT\"", "At the peer: whether its program has the port."),
            run("stt doctor PEER", "Where on the way it ends, with the code of it."),
            run("sudo nft list ruleset", "On both machines: rules that drop or reject UDP."),
        ],
        recovery: &[
            person("See that the peer runs and listens there (ss -ulpn, netstat -tulpn)."),
            person("Look through the firewall's rules on both machines."),
            person("Behind a NAT, check which port the router forwards, and where to."),
            person("Compare the port with the one that the peer printed or was given."),
        ],
    },
    Reference {
        code: ErrorCode::AuthenticationFailed,
        meaning: "The two sides could not prove to one another that they belong together.",
        causes: &[
            "The shared seeds differ: by far the most common cause.",
            "A seed was damaged when it was copied.",
            "Another node answers than the one whose id was given.",
            "The peer's authorize() turned this node away, or it was revoked.",
        ],
        checks: &[
            run("stt doctor PEER", "Where on the way it ends, with the code of it."),
            run(
                "sha256sum FILE",
                "On both machines: whether the seed files are the same, without showing them.",
            ),
            run(
                "stt id",
                "On both machines: words for the seed, the same where the seeds are; and at the peer the node id \
                 that its listeners have.",
            ),
        ],
        recovery: &[
            person("Correct the configuration: no retry helps until somebody has."),
            person(
                "Use the very same shared seed on both sides; \"stt pair\" gives it to the other machine.",
            ),
            person("Look for a seed cut short, or read in the wrong encoding (hex, base64url)."),
            person("Compare peerNodeId with the nodeId that the peer prints."),
        ],
    },
    Reference {
        code: ErrorCode::NetworkUnreachable,
        meaning: "This machine knows no way to the peer.",
        causes: &[
            "This machine is not connected to a network.",
            "The address is not valid, or the name has none.",
            "No route leads to that network.",
        ],
        checks: &[
            run("getent hosts HOST", "What the name resolves to."),
            run("ip route get HOST", "By which route and interface, if any; HOST as an address."),
            run("ip address", "Which interfaces are up, and their addresses."),
        ],
        recovery: &[
            person("Check the connection: does the gateway answer a ping?"),
            person("Check the address, and what the name resolves to."),
            person("Look at the routes (ip route, netstat -rn)."),
            person("Try another network interface."),
        ],
    },
    Reference {
        code: ErrorCode::ProtocolVersionMismatch,
        meaning: "The two sides have no version of the protocol in common.",
        causes: &[
            "The peer runs another version of STT.",
            "One of the two has not been upgraded for long.",
        ],
        checks: &[run("npm ls @seigr/stt", "On both machines: which version is installed.")],
        recovery: &[person("Install versions that match on both sides.")],
    },
    Reference {
        code: ErrorCode::SessionClosed,
        meaning: "The session has ended; the reason tells how, and the cause why.",
        causes: &[
            "The peer called session.close(), as it should when it is done.",
            "The peer fell silent for longer than the keep-alive timeout.",
            "One side broke the protocol, as with frames that cannot be.",
            "The network between the two failed.",
        ],
        checks: &[run("stt explain - < FILE", "All errors of a log, of each side.")],
        recovery: &[
            auto("After a graceful end: nothing, it was meant."),
            auto("After a timeout: connect again, as a new session."),
            person(
                "After an error: read the cause and the logs of both sides, and mend what broke the protocol.",
            ),
        ],
    },
    Reference {
        code: ErrorCode::SessionTimeout,
        meaning: "Nothing authentic came from the peer for the whole keep-alive timeout.",
        causes: &[
            "The peer has crashed, or hangs.",
            "The network between the two is cut.",
            "The peer is too busy to answer.",
        ],
        checks: &[
            run("stt ping PEER", "Whether the peer answers now, how fast, by which carrier."),
            run("stt doctor PEER", "Where on the way it ends, with the code of it."),
            run("top -p PID", "At the peer: whether its process lives, and is too busy."),
        ],
        recovery: &[
            auto("Connect again, as a new session."),
            person("Look after the peer: its logs, its load."),
            person("On networks with long gaps, raise keepAliveTimeout."),
        ],
    },
    Reference {
        code: ErrorCode::TooManySessions,
        meaning: "A limit on sessions is reached, on this side or at the peer.",
        causes: &[
            "More sessions are in use than maxConcurrentSessions, or a cap per source or peer, allows.",
            "Sessions are opened and never closed.",
        ],
        checks: &[run("stt ping -c 1 PEER", "Whether there is a place by now.")],
        recovery: &[
            auto("Close sessions that are no longer needed; a place becomes free at once."),
            person("Raise maxConcurrentSessions, if memory and descriptors allow."),
            person("Find the leak: every session needs its session.close()."),
        ],
    },
    Reference {
        code: ErrorCode::SessionNotFound,
        meaning: "The peer is there, but does not know the session.",
        causes: &[
            "The peer was started anew, or has ended the session and forgotten it.",
            "A frame named a session that never was.",
            "A frame was still on its way when the session ended.",
        ],
        checks: &[run(
            "stt ping PEER",
            "Whether the peer answers now, how fast, by which carrier.",
        )],
        recovery: &[
            auto("Connect again, as a new session."),
            auto("Ask session.closed or session.settled before using a session that was kept."),
        ],
    },
    Reference {
        code: ErrorCode::StreamClosed,
        meaning: "The stream, or the half of it that was used, has ended.",
        causes: &[
            "The peer closed, reset or stopped it, as it may.",
            "The session ended, and all its streams with it.",
            "Nothing moved on it for streamIdleTimeout.",
        ],
        checks: &[run("stt explain - < FILE", "All errors of a log, of each side.")],
        recovery: &[
            auto("If everything had been said: nothing, the end was expected."),
            person("If not: read the logs, and whether the session has ended as well."),
            auto("Open a new stream if there is more to say."),
        ],
    },
    Reference {
        code: ErrorCode::TooManyStreams,
        meaning: "A limit on streams of the session is reached, on this side or at the peer.",
        causes: &[
            "More streams are open than maxConcurrentStreams allows.",
            "Streams are opened and never ended.",
        ],
        checks: &[],
        recovery: &[
            auto("End streams that are done, or open with waitUntilAvailable."),
            person("Raise maxConcurrentStreams on the side that sets the limit."),
            person("Find the leak: every stream needs its end(), close() or reset()."),
        ],
    },
    Reference {
        code: ErrorCode::StreamIdConflict,
        meaning: "The id that was chosen for a stream is taken.",
        causes: &[
            "The id was named by hand and is, or was, in use.",
            "Both sides opened the same id at the same time.",
        ],
        checks: &[],
        recovery: &[
            auto("Leave the id out, and let the session choose it."),
            person("Agree on who takes which ids, as one side the even and one the odd."),
        ],
    },
    Reference {
        code: ErrorCode::FlowControlViolation,
        meaning: "The peer sent more than it had been given credit for.",
        causes: &[
            "The peer's implementation does not heed the windows.",
            "Credit was told wrongly, as by damaged memory.",
        ],
        checks: &[run("npm ls @seigr/stt", "On both machines: which version is installed.")],
        recovery: &[
            person("Report it: no right implementation does this."),
            auto("Connect again, as a new session."),
        ],
    },
    Reference {
        code: ErrorCode::InvalidFrame,
        meaning: "A frame arrived whole, but cannot be: its structure is impossible.",
        causes: &[
            "It was damaged on the way in a manner that the checksums did not show.",
            "The peer's implementation makes wrong frames.",
            "The two sides speak versions that differ.",
        ],
        checks: &[
            run("npm ls @seigr/stt", "On both machines: which version is installed."),
            run("stt ping -c 100 PEER", "How much of what is sent gets lost."),
        ],
        recovery: &[
            auto("None needed: the frame is dropped, and its sender repeats what was in it."),
            person("If it goes on, look at the quality of the network, at the rate of damage."),
            person("If one version is at fault, report it and upgrade."),
        ],
    },
    Reference {
        code: ErrorCode::EncryptionError,
        meaning: "A packet with right checksums does not open under the session's keys.",
        causes: &[
            "A seed changed or was damaged while it was in use; or somebody forges packets.",
            "A defect in the encryption.",
            "Damaged memory.",
        ],
        checks: &[
            run(
                "sha256sum FILE",
                "On both machines: whether the seed files are the same, without showing them.",
            ),
            run("npm ls @seigr/stt", "On both machines: which version is installed."),
        ],
        recovery: &[
            person("Start the application anew."),
            person("See that both seeds are what they should be."),
            person("Report it, if it can be made to happen again."),
        ],
    },
    Reference {
        code: ErrorCode::ChecksumMismatch,
        meaning: "A packet arrived damaged: its checksum is wrong.",
        causes: &["Bits were turned over on the way.", "The peer computes checksums wrongly."],
        checks: &[
            run("ethtool -S IFACE", "Counters of damaged packets, of each network card."),
            run("stt ping -c 100 PEER", "How much of what is sent gets lost."),
        ],
        recovery: &[
            auto("None needed: the packet is dropped and sent again."),
            person("Above 5 %, look at the hardware: cables, network cards, radio interference."),
        ],
    },
    Reference {
        code: ErrorCode::UnknownFrameType,
        meaning: "An authentic frame has a type that nobody here handles.",
        causes: &[
            "The peer speaks a newer version.",
            "The type was damaged before it was sealed.",
            "The peer's application sends custom frames for which this side has no handler.",
        ],
        checks: &[run("npm ls @seigr/stt", "On both machines: which version is installed.")],
        recovery: &[
            person("Compare the versions of both sides."),
            person("Upgrade to the newest, or install the missing handler."),
            auto("None needed to go on: the frame is left out, the session lives."),
        ],
    },
    Reference {
        code: ErrorCode::HandshakeFailure,
        meaning: "The handshake failed at the step that the sub-code names.",
        causes: &["See the sub-codes."],
        checks: &[run("stt doctor PEER", "Where on the way it ends, with the code of it.")],
        recovery: &[
            auto("In most cases: try again, what disturbed it has passed."),
            person("NONCE_REUSE: report it, it breaks a promise of the protocol."),
            person("CHALLENGE_DECRYPT_FAILED: use the same shared seed on both sides."),
        ],
    },
    Reference {
        code: ErrorCode::UdpSendFailed,
        meaning: "The system refuses to send.",
        causes: &[
            "The network interface is down.",
            "The system's buffers are full.",
            "A local firewall or a missing permission forbids it.",
        ],
        checks: &[
            run("ip -s link show IFACE", "Whether the interface is up, and what it dropped."),
            run("sudo nft list ruleset", "Rules of this machine for what it sends."),
            run("tc -s qdisc show dev IFACE", "Whether the queue of the interface is full."),
            run("sysctl net.core.wmem_max", "How large the send buffer of a socket may be."),
        ],
        recovery: &[
            person("Check the interface and the connection."),
            auto("Sending is tried again by itself; after a session's end, connect again."),
            person(
                "Raise what was full: the interface's queue (txqueuelen, tc) or net.core.wmem_max; a larger sendBufferSize takes what is written meanwhile.",
            ),
        ],
    },
    Reference {
        code: ErrorCode::WebSocketClosed,
        meaning: "The WebSocket below the session was closed.",
        causes: &[
            "The peer closed it, on purpose or in trouble.",
            "The network failed.",
            "A proxy in between dropped it.",
        ],
        checks: &[
            run(
                "stt doctor PEER --transport websocket --websocket URL",
                "Whether a WebSocket opens now.",
            ),
            run("stt explain - < FILE", "All errors of a log, of each side."),
        ],
        recovery: &[
            auto("Connect again, as a new session."),
            person("Look for the reason in the peer's logs."),
            person("Check the proxy, if there is one: its idle timeout most of all."),
        ],
    },
    Reference {
        code: ErrorCode::WebSocketHandshakeFailed,
        meaning: "The upgrade to WebSocket was refused.",
        causes: &[
            "The server does not speak WebSocket at that path.",
            "A proxy does not let the upgrade pass.",
            "For wss: the certificate was not accepted.",
        ],
        checks: &[
            run(
                "stt doctor PEER --transport websocket --websocket URL",
                "What answers in place of a WebSocket.",
            ),
            run("ss -ltnp \"sport = :PORT\"", "At the peer: which program has the TCP port."),
        ],
        recovery: &[
            person("See that the server offers WebSocket there."),
            person("Check the proxy's configuration."),
            person("For wss, check the TLS certificate."),
        ],
    },
    Reference {
        code: ErrorCode::TlsError,
        meaning: "TLS could not be set up, or the certificate was not accepted.",
        causes: &[
            "The certificate is not valid.",
            "The certificate has expired.",
            "The certificate is for another host.",
            "Its authority is not trusted here.",
        ],
        checks: &[
            run(
                "stt doctor PEER --transport websocket --websocket URL",
                "What is wrong with the certificate.",
            ),
            run(
                "openssl s_client -connect HOST:PORT -servername HOST < /dev/null",
                "The certificate and its chain, as the server shows them.",
            ),
            run("timedatectl", "Whether this machine's clock is right."),
        ],
        recovery: &[
            person("Check the certificate: its dates, its names, its chain."),
            person("Check this machine's clock, against which the dates are held."),
            person("Bring the trusted authorities up to date, or give the right one as ca."),
        ],
    },
    Reference {
        code: ErrorCode::Timeout,
        meaning: "An operation took longer than the time that it was given.",
        causes: &[
            "A write waited for credit: the receiver does not read.",
            "A read waited for bytes: the sender does not send.",
            "The operation is slower than was expected.",
        ],
        checks: &[
            run("stt ping PEER", "Whether the peer answers now, how fast, by which carrier."),
            run(
                "stt bench PEER",
                "What the way carries, where \"stt bench --listen\" runs at the peer.",
            ),
        ],
        recovery: &[
            person("Allow more time where the operation is slow by nature."),
            person("See whether the receiver keeps up: bytes that wait are in stats()."),
            auto("Try the operation again."),
        ],
    },
    Reference {
        code: ErrorCode::BufferOverflow,
        meaning: "A bounded queue inside would have run over.",
        causes: &[
            "The receiver is too slow, and pressure builds up.",
            "The sender is too fast, and does not wait for its writes.",
            "The queue's bound is too small for its use.",
        ],
        checks: &[run(
            "stt bench PEER",
            "What the way carries, where \"stt bench --listen\" runs at the peer.",
        )],
        recovery: &[
            person("Raise the bound (recvBufferSize, streamRecvBuffer, maxPendingBytes, backlog)."),
            auto("Slow the sender down: await every write."),
            auto("Take data, datagrams and sessions as they come."),
        ],
    },
    Reference {
        code: ErrorCode::ResourceExhausted,
        meaning: "The system has no more of something that is needed.",
        causes: &[
            "Memory is used up: the system's, or what maxMemory allows.",
            "File descriptors are used up.",
            "The processor cannot keep up.",
        ],
        checks: &[
            run("ulimit -n", "How many descriptors a process may have."),
            run("ls /proc/PID/fd | wc -l", "How many it has."),
            run("free -m", "How much memory is left."),
            run("nproc; uptime", "How many processors there are, and how much waits for them."),
        ],
        recovery: &[
            auto("Reduce the load: fewer sessions, fewer streams."),
            person("Raise the system's limits (ulimit -n), or maxMemory."),
            person("Add memory or processors."),
        ],
    },
];

/// All sub-codes, by ascending value.
pub static SUBCODE_REFERENCE: [SubcodeReference; 4] = [
    SubcodeReference {
        subcode: HandshakeSubcode::NonceReuse,
        meaning: "The random part of a handshake was seen before: a replay, or a broken source of randomness. A \
                  breach of security.",
        causes: &[
            "Somebody sends again what was recorded.",
            "A virtual machine was cloned, or set back, while it ran.",
            "The source of randomness at the peer is broken.",
        ],
        checks: &[run("stt explain - < FILE", "How often it happened, in the peer's log.")],
        action: RecoveryAction::None,
        recovery: &[person("Report it, if the peer is yours: this must not happen.")],
    },
    SubcodeReference {
        subcode: HandshakeSubcode::TimestampExpired,
        meaning: "The handshake is stamped with a time too far from this machine's: the clocks differ, or it is an \
                  old one that somebody replays.",
        causes: &[
            "The clock of one machine is wrong.",
            "The network held the handshake up for longer than timestampWindow.",
            "Somebody sends again what was recorded.",
        ],
        checks: &[
            run(
                "timedatectl",
                "On both machines: whether the clock is set by NTP, and what it says.",
            ),
            run("stt doctor PEER", "By how much the clocks differ."),
        ],
        action: RecoveryAction::Retry,
        recovery: &[
            auto("Try again: a handshake that was held up is made anew."),
            person("Set both clocks (NTP), or widen timestampWindow."),
        ],
    },
    SubcodeReference {
        subcode: HandshakeSubcode::ChallengeDecryptFailed,
        meaning: "The peer's answer does not open under this side's seed: the seeds differ.",
        causes: &[
            "The shared seeds differ.",
            "A seed was damaged when it was copied.",
            "Something else answers at that address.",
        ],
        checks: &[
            run(
                "sha256sum FILE",
                "On both machines: whether the seed files are the same, without showing them.",
            ),
            run("stt id", "On both machines: words for the seed, the same where the seeds are."),
            run("stt doctor PEER", "Where on the way it ends, with the code of it."),
        ],
        action: RecoveryAction::FixConfig,
        recovery: &[person(
            "Use the same shared seed on both sides; \"stt pair\" gives it to the other machine.",
        )],
    },
    SubcodeReference {
        subcode: HandshakeSubcode::ProofVerificationFailed,
        meaning: "The proof is authentic, but for another association than this one: its path ids, which stand \
                  for the session's id, do not fit.",
        causes: &["Something on the way alters packets.", "The peer's implementation is at fault."],
        checks: &[
            run("npm ls @seigr/stt", "On both machines: which version is installed."),
            run("stt doctor PEER", "Where on the way it ends, with the code of it."),
        ],
        action: RecoveryAction::Retry,
        recovery: &[
            auto("Try again: what altered it may be gone."),
            person("If it goes on, look for what changes packets on the way, and report it."),
        ],
    },
];

/// All reasons, by ascending value.
pub static REASON_REFERENCE: [ReasonReference; 4] = [
    ReasonReference {
        reason: CloseReason::Graceful,
        meaning: "One side was done and said so.",
        causes: &["The session, or its endpoint, was closed on purpose."],
        checks: &[],
        action: RecoveryAction::None,
        recovery: &[auto("Nothing: it was meant.")],
    },
    ReasonReference {
        reason: CloseReason::Timeout,
        meaning: "The peer fell silent for the keep-alive timeout.",
        causes: &["The peer has crashed, or hangs.", "The network between the two is cut."],
        checks: &[
            run("stt ping PEER", "Whether the peer answers now, how fast, by which carrier."),
            run("stt doctor PEER", "Where on the way it ends, with the code of it."),
        ],
        action: RecoveryAction::Reconnect,
        recovery: &[auto("Connect again, as a new session.")],
    },
    ReasonReference {
        reason: CloseReason::Error,
        meaning: "The protocol was broken, or the transport failed: the cause says how.",
        causes: &[
            "One side called destroy(), or its program failed.",
            "One side broke the protocol.",
            "A bounded queue, or memory, was used up at the peer.",
        ],
        checks: &[run("stt explain - < FILE", "All errors of a log, of each side.")],
        action: RecoveryAction::Reconnect,
        recovery: &[
            auto("Connect again, as a new session."),
            person("Read the cause and the logs of both sides, and mend what broke the protocol."),
        ],
    },
    ReasonReference {
        reason: CloseReason::AuthFailure,
        meaning: "The peer lost its right to be here after the handshake, as by revoke().",
        causes: &["The peer revoked this node's id."],
        checks: &[
            run("stt doctor PEER", "Where on the way it ends, with the code of it."),
            run("stt explain - < FILE", "All errors of a log, of each side."),
        ],
        action: RecoveryAction::FixConfig,
        recovery: &[person("Ask whoever runs the peer to admit this node again.")],
    },
];

#[cfg(test)]
mod tests {
    use super::super::ERROR_TABLE;
    use super::*;

    #[test]
    fn every_row_has_its_page_in_order() {
        for (info, page) in ERROR_TABLE.iter().zip(&REFERENCE) {
            assert_eq!(info.code, page.code);
            assert!(!page.causes.is_empty() && !page.recovery.is_empty(), "{}", info.name);
        }
        for (subcode, page) in HandshakeSubcode::ALL.iter().zip(&SUBCODE_REFERENCE) {
            assert_eq!(*subcode, page.subcode);
            assert!(!page.recovery.is_empty());
        }
        for (reason, page) in CloseReason::ALL.iter().zip(&REASON_REFERENCE) {
            assert_eq!(*reason, page.reason);
            assert!(!page.recovery.is_empty());
        }
    }

    /// Lines of the error reference: causes, recovery.
    #[test]
    fn as_many_causes_and_steps_as_the_error_reference_has() {
        let seed = [
            (4, 4),
            (4, 4),
            (3, 4),
            (3, 4),
            (2, 1),
            (4, 3),
            (3, 3),
            (2, 3),
            (3, 2),
            (3, 3),
            (2, 3),
            (2, 2),
            (2, 2),
            (3, 3),
            (3, 3),
            (2, 2),
            (3, 3),
            (1, 3),
            (3, 3),
            (3, 3),
            (3, 3),
            (4, 3),
            (3, 3),
            (3, 3),
            (3, 3),
        ];
        for (page, (causes, recovery)) in REFERENCE.iter().zip(seed) {
            let name = page.code.name();
            assert!(page.causes.len() >= causes, "{name}: {} causes", page.causes.len());
            assert_eq!(page.recovery.len(), recovery, "{name}");
        }
    }

    #[test]
    fn texts_are_sentences() {
        let pages = REFERENCE.iter().flat_map(|page| {
            page.causes
                .iter()
                .copied()
                .chain(page.recovery.iter().map(|s| s.text))
                .chain(page.checks.iter().map(|check| check.shows))
                .chain([page.meaning])
        });
        let subcodes = SUBCODE_REFERENCE.iter().map(|page| page.meaning);
        for text in pages.chain(subcodes).chain(REASON_REFERENCE.iter().map(|page| page.meaning)) {
            assert!(text.ends_with(['.', '?']), "{text}");
            assert!(text.starts_with(|c: char| c.is_ascii_uppercase()), "{text}");
        }
    }
}
