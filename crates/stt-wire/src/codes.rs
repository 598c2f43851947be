//! The closed table of 25 error codes, with its handshake sub-codes and close reasons. The single
//! source of what crosses the boundary as an integer.
//!
//! A code is two 8-bit halves, `0xCCEE`: category and error. What each means to a person stands in
//! [`mod@reference`].

pub mod reference;

/// The upper half of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Category {
    /// 0x01: no session came to be.
    Connection = 0x01,
    /// 0x02: a session as a whole.
    Session = 0x02,
    /// 0x03: one stream.
    Stream = 0x03,
    /// 0x04: frames and handshake messages.
    Protocol = 0x04,
    /// 0x05: the carrier below.
    Transport = 0x05,
    /// 0x06: the use of the library and its resources.
    Application = 0x06,
}

impl Category {
    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Session => "session",
            Self::Stream => "stream",
            Self::Protocol => "protocol",
            Self::Transport => "transport",
            Self::Application => "application",
        }
    }
}

/// What a program should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryAction {
    /// The same again, after a pause.
    Retry,
    /// A new session.
    Reconnect,
    /// A new stream.
    Reopen,
    /// Nothing a program can do: a person corrects the configuration.
    FixConfig,
    /// Matching versions on both sides.
    Upgrade,
    /// Fewer sessions, streams or bytes at once, or higher limits.
    ReduceLoad,
    /// Nothing: the transport has recovered by itself.
    Automatic,
    /// Nothing: a defect to be reported.
    None,
}

impl RecoveryAction {
    /// Its name in the TypeScript API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reconnect => "reconnect",
            Self::Reopen => "reopen",
            Self::FixConfig => "fix-config",
            Self::Upgrade => "upgrade",
            Self::ReduceLoad => "reduce-load",
            Self::Automatic => "automatic",
            Self::None => "none",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ErrorInfo {
    /// The code.
    pub code: ErrorCode,
    /// The name in the error reference, as `CONNECTION_TIMEOUT`.
    pub name: &'static str,
    /// The TypeScript class.
    pub class_name: &'static str,
    /// False only where the error reference says No.
    pub recoverable: bool,
    /// The reference's own words on recovery: yes, no, by itself or in part, and how.
    pub recovery_phrase: &'static str,
    /// What a program should do.
    pub action: RecoveryAction,
}

macro_rules! error_table {
    ($($(#[$doc:meta])* $variant:ident = $value:literal, $name:literal, $class:literal, $recoverable:literal, $phrase:literal, $action:ident;)*) => {
        /// An STT error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $value,)*
        }

        impl ErrorCode {
            /// The code of an integer; `None` for integers outside the table.
            #[must_use]
            pub const fn from_u16(value: u16) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its row.
            #[must_use]
            pub const fn info(self) -> &'static ErrorInfo {
                match self {
                    $(Self::$variant => &const { ErrorInfo {
                        code: Self::$variant,
                        name: $name,
                        class_name: $class,
                        recoverable: $recoverable,
                        recovery_phrase: $phrase,
                        action: RecoveryAction::$action,
                    } },)*
                }
            }
        }

        /// All rows, by ascending code.
        pub static ERROR_TABLE: [&ErrorInfo; 25] = [$(ErrorCode::$variant.info(),)*];
    };
}

error_table! {
    /// No verdict of the peer within the time allowed.
    ConnectionTimeout = 0x0101, "CONNECTION_TIMEOUT", "ConnectionTimeoutError", true, "Yes (retry)", Retry;
    /// The peer, or its machine, refused.
    ConnectionRefused = 0x0102, "CONNECTION_REFUSED", "ConnectionRefusedError", true, "Yes (fix config)", Retry;
    /// Another seed, another node than the pinned one, or the peer's `authorize` said no.
    AuthenticationFailed = 0x0103, "AUTHENTICATION_FAILED", "AuthenticationError", false, "No (fix seed)", FixConfig;
    /// No route, or no address for the name.
    NetworkUnreachable = 0x0104, "NETWORK_UNREACHABLE", "NetworkUnreachableError", true, "Yes (check network)", Retry;
    /// The peer speaks other versions.
    ProtocolVersionMismatch = 0x0105, "PROTOCOL_VERSION_MISMATCH", "ProtocolVersionMismatchError", false, "No (upgrade)", Upgrade;
    /// The session has ended.
    SessionClosed = 0x0201, "SESSION_CLOSED", "SessionClosedError", true, "Yes (reconnect)", Reconnect;
    /// Nothing authentic was heard for too long.
    SessionTimeout = 0x0202, "SESSION_TIMEOUT", "SessionTimeoutError", true, "Yes (reconnect)", Reconnect;
    /// A limit on sessions, ours or the peer's.
    TooManySessions = 0x0203, "TOO_MANY_SESSIONS", "TooManySessionsError", true, "Yes (close some)", ReduceLoad;
    /// The peer has restarted and does not know the session.
    SessionNotFound = 0x0204, "SESSION_NOT_FOUND", "SessionNotFoundError", true, "Yes (reconnect)", Reconnect;
    /// The stream has ended.
    StreamClosed = 0x0301, "STREAM_CLOSED", "StreamClosedError", true, "Yes (reopen)", Reopen;
    /// A limit on streams, ours or the peer's.
    TooManyStreams = 0x0302, "TOO_MANY_STREAMS", "TooManyStreamsError", true, "Yes (close some)", ReduceLoad;
    /// A named stream id is in use, or both sides opened it at once.
    StreamIdConflict = 0x0303, "STREAM_ID_CONFLICT", "StreamIdConflictError", true, "Yes (auto-assign)", Reopen;
    /// The peer sent past its credit.
    FlowControlViolation = 0x0304, "FLOW_CONTROL_VIOLATION", "FlowControlError", false, "No (bug)", None;
    /// Right checksums, impossible structure.
    InvalidFrame = 0x0401, "INVALID_FRAME", "InvalidFrameError", true, "Auto (retransmit)", Automatic;
    /// Right checksums, but the AEAD does not open.
    EncryptionError = 0x0402, "ENCRYPTION_ERROR", "EncryptionError", false, "No (serious)", None;
    /// CRC-16 or CRC-32 is wrong.
    ChecksumMismatch = 0x0403, "CHECKSUM_MISMATCH", "ChecksumMismatchError", true, "Auto (retransmit)", Automatic;
    /// A sealed frame of a type nobody knows.
    UnknownFrameType = 0x0404, "UNKNOWN_FRAME_TYPE", "UnknownFrameTypeError", true, "Partial (discard)", Automatic;
    /// The handshake failed; the sub-code says how.
    HandshakeFailure = 0x0405, "HANDSHAKE_FAILURE", "HandshakeError", true, "Yes (retry)", Retry;
    /// The operating system does not send.
    UdpSendFailed = 0x0501, "UDP_SEND_FAILED", "UdpSendError", true, "Yes (retry)", Retry;
    /// The WebSocket below a session closed and was not re-established in time.
    WebSocketClosed = 0x0502, "WEBSOCKET_CLOSED", "WebSocketClosedError", true, "Yes (reconnect)", Reconnect;
    /// The upgrade to WebSocket was refused.
    WebSocketHandshakeFailed = 0x0503, "WEBSOCKET_HANDSHAKE_FAILED", "WebSocketHandshakeError", true, "Yes (fix config)", FixConfig;
    /// TLS below a WebSocket failed.
    TlsError = 0x0504, "TLS_ERROR", "TlsError", true, "Yes (fix cert)", FixConfig;
    /// An operation took longer than its own timeout.
    Timeout = 0x0601, "TIMEOUT", "SttTimeoutError", true, "Yes (retry/increase)", Retry;
    /// A bounded queue would overflow.
    BufferOverflow = 0x0602, "BUFFER_OVERFLOW", "BufferOverflowError", true, "Yes (increase buffer)", ReduceLoad;
    /// Memory, descriptors or threads are used up.
    ResourceExhausted = 0x0603, "RESOURCE_EXHAUSTED", "ResourceExhaustedError", true, "Yes (reduce load)", ReduceLoad;
}

impl ErrorCode {
    /// The integer.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self as u16
    }

    /// The upper half.
    #[must_use]
    pub const fn category(self) -> Category {
        match self as u16 >> 8 {
            0x01 => Category::Connection,
            0x02 => Category::Session,
            0x03 => Category::Stream,
            0x04 => Category::Protocol,
            0x05 => Category::Transport,
            _ => Category::Application,
        }
    }

    /// The name in the error reference.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }
}

/// What exactly failed in a handshake: the sub-codes of [`ErrorCode::HandshakeFailure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HandshakeSubcode {
    /// An ephemeral key was seen before.
    NonceReuse = 1,
    /// The HELLO's clock is outside the window.
    TimestampExpired = 2,
    /// The CHALLENGE does not open: the seeds differ.
    ChallengeDecryptFailed = 3,
    /// The proof opens but names another association.
    ProofVerificationFailed = 4,
}

impl HandshakeSubcode {
    /// All four, by ascending value.
    pub const ALL: [Self; 4] = [
        Self::NonceReuse,
        Self::TimestampExpired,
        Self::ChallengeDecryptFailed,
        Self::ProofVerificationFailed,
    ];

    /// The sub-code of an integer.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::NonceReuse),
            2 => Some(Self::TimestampExpired),
            3 => Some(Self::ChallengeDecryptFailed),
            4 => Some(Self::ProofVerificationFailed),
            _ => None,
        }
    }

    /// The name in the error reference.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NonceReuse => "NONCE_REUSE",
            Self::TimestampExpired => "TIMESTAMP_EXPIRED",
            Self::ChallengeDecryptFailed => "CHALLENGE_DECRYPT_FAILED",
            Self::ProofVerificationFailed => "PROOF_VERIFICATION_FAILED",
        }
    }
}

/// Why a session was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum CloseReason {
    /// One side is done.
    #[default]
    Graceful = 0,
    /// The peer fell silent.
    Timeout = 1,
    /// The protocol was broken.
    Error = 2,
    /// The peer lost its right to be here.
    AuthFailure = 3,
}

impl CloseReason {
    /// All four, by ascending value.
    pub const ALL: [Self; 4] = [Self::Graceful, Self::Timeout, Self::Error, Self::AuthFailure];

    /// The reason of an integer.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Graceful),
            1 => Some(Self::Timeout),
            2 => Some(Self::Error),
            3 => Some(Self::AuthFailure),
            _ => None,
        }
    }

    /// The name in the error reference.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Graceful => "graceful",
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::AuthFailure => "auth_failure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_ascending_and_closed() {
        let codes: Vec<u16> = ERROR_TABLE.iter().map(|info| info.code.as_u16()).collect();
        assert!(codes.is_sorted());
        for value in 0..=u16::MAX {
            assert_eq!(
                ErrorCode::from_u16(value).map(ErrorCode::as_u16),
                codes.contains(&value).then_some(value)
            );
        }
    }

    #[test]
    fn only_what_the_reference_calls_lost_is_not_recoverable() {
        let lost: Vec<u16> = ERROR_TABLE
            .iter()
            .filter(|info| !info.recoverable)
            .map(|info| info.code.as_u16())
            .collect();
        assert_eq!(lost, [0x0103, 0x0105, 0x0304, 0x0402]);
    }

    #[test]
    fn names_and_phrases_are_the_references() {
        let rows = [
            (0x0101, "CONNECTION_TIMEOUT", "Yes (retry)"),
            (0x0102, "CONNECTION_REFUSED", "Yes (fix config)"),
            (0x0103, "AUTHENTICATION_FAILED", "No (fix seed)"),
            (0x0104, "NETWORK_UNREACHABLE", "Yes (check network)"),
            (0x0105, "PROTOCOL_VERSION_MISMATCH", "No (upgrade)"),
            (0x0201, "SESSION_CLOSED", "Yes (reconnect)"),
            (0x0202, "SESSION_TIMEOUT", "Yes (reconnect)"),
            (0x0203, "TOO_MANY_SESSIONS", "Yes (close some)"),
            (0x0204, "SESSION_NOT_FOUND", "Yes (reconnect)"),
            (0x0301, "STREAM_CLOSED", "Yes (reopen)"),
            (0x0302, "TOO_MANY_STREAMS", "Yes (close some)"),
            (0x0303, "STREAM_ID_CONFLICT", "Yes (auto-assign)"),
            (0x0304, "FLOW_CONTROL_VIOLATION", "No (bug)"),
            (0x0401, "INVALID_FRAME", "Auto (retransmit)"),
            (0x0402, "ENCRYPTION_ERROR", "No (serious)"),
            (0x0403, "CHECKSUM_MISMATCH", "Auto (retransmit)"),
            (0x0404, "UNKNOWN_FRAME_TYPE", "Partial (discard)"),
            (0x0405, "HANDSHAKE_FAILURE", "Yes (retry)"),
            (0x0501, "UDP_SEND_FAILED", "Yes (retry)"),
            (0x0502, "WEBSOCKET_CLOSED", "Yes (reconnect)"),
            (0x0503, "WEBSOCKET_HANDSHAKE_FAILED", "Yes (fix config)"),
            (0x0504, "TLS_ERROR", "Yes (fix cert)"),
            (0x0601, "TIMEOUT", "Yes (retry/increase)"),
            (0x0602, "BUFFER_OVERFLOW", "Yes (increase buffer)"),
            (0x0603, "RESOURCE_EXHAUSTED", "Yes (reduce load)"),
        ];
        let table = ERROR_TABLE.map(|info| (info.code.as_u16(), info.name, info.recovery_phrase));
        assert_eq!(table, rows);
        for info in ERROR_TABLE {
            assert_eq!(info.recoverable, !info.recovery_phrase.starts_with("No ("));
        }
    }

    #[test]
    fn small_tables_round_trip() {
        for value in 0..=u8::MAX {
            assert_eq!(HandshakeSubcode::from_u8(value).is_some(), (1..=4).contains(&value));
            assert_eq!(CloseReason::from_u8(value).is_some(), value < 4);
        }
        for subcode in HandshakeSubcode::ALL {
            assert_eq!(HandshakeSubcode::from_u8(subcode as u8), Some(subcode));
        }
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_u8(reason as u8), Some(reason));
        }
    }
}
