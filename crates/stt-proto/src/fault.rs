//! What went wrong, in numbers: the form in which the core tells any error of the closed table.

use core::fmt;

use stt_crypto::NodeId;
use stt_wire::ErrorCode;

use crate::memory::Shortage;

/// An error of the closed table (`docs/PROTOCOL.md`, error codes) with the numbers that explain it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which of the 25.
    pub code: ErrorCode,
    /// Refinement of the code, 0 when there is none. [`ErrorCode::AuthenticationFailed`] and
    /// [`ErrorCode::HandshakeFailure`] use the handshake subcodes.
    pub subcode: u8,
    /// The error that led to this one, with its subcode.
    pub cause: Option<(ErrorCode, u8)>,
    /// The numbers behind it.
    pub detail: FaultDetail,
    /// Whose doing it was.
    pub origin: Origin,
}

/// Whose doing the end of a session, or of a connect, was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Origin {
    /// This side ended it: its application, a limit of its own, or a demand that the peer did not meet.
    Local = 1,
    /// The peer said so: SESSION_CLOSE, a refusal, a reset, or a greeting of another seed or version.
    Peer = 2,
    /// Nobody said anything: nothing was heard for too long.
    Idle = 3,
    /// The way to the peer: its host refuses the port, no route leads there, or nothing can be sent.
    Path = 4,
    /// What came breaks the protocol, or does not authenticate.
    Transport = 5,
}

impl Origin {
    /// Where an error begins unless more is known.
    const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::ConnectionTimeout | ErrorCode::SessionTimeout => Self::Idle,
            ErrorCode::ConnectionRefused
            | ErrorCode::NetworkUnreachable
            | ErrorCode::UdpSendFailed
            | ErrorCode::WebSocketClosed
            | ErrorCode::WebSocketHandshakeFailed
            | ErrorCode::TlsError => Self::Path,
            ErrorCode::ProtocolVersionMismatch | ErrorCode::SessionNotFound => Self::Peer,
            ErrorCode::FlowControlViolation
            | ErrorCode::InvalidFrame
            | ErrorCode::EncryptionError
            | ErrorCode::ChecksumMismatch
            | ErrorCode::UnknownFrameType
            | ErrorCode::HandshakeFailure => Self::Transport,
            _ => Self::Local,
        }
    }
}

/// Numbers that belong to a [`Fault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum FaultDetail {
    /// Nothing more to tell.
    #[default]
    None,
    /// A limit was reached.
    Limit {
        /// The limit.
        limit: u64,
        /// Whether it is this side's own; else the peer's.
        local: bool,
    },
    /// The endpoint's memory is at its ceiling; see [`crate::Memory`].
    Memory(Shortage),
    /// Time ran out.
    Waited {
        /// Milliseconds waited.
        ms: u64,
    },
    /// The peer speaks other protocol versions.
    Versions {
        /// The versions it listed; entries past `count` are zero.
        list: [u8; 8],
        /// How many.
        count: u8,
    },
    /// The two clocks differ by more than the timestamp window.
    ClockSkew {
        /// The peer's clock minus ours, in milliseconds.
        ms: i64,
    },
    /// A system error number of the socket.
    Os {
        /// The number, 0 when unknown.
        errno: i32,
        /// For how many milliseconds it stood in the way; 0 where it does not matter.
        ms: u64,
    },
    /// The peer's host said that nobody listens on the port.
    Refused {
        /// How many different packets of ours it said that of.
        count: u64,
        /// Milliseconds from the first time to the last.
        ms: u64,
    },
    /// How many times something happened.
    Count {
        /// The number.
        count: u64,
    },
    /// Another node than the one that was asked for answered.
    Answered {
        /// The node that did, proved.
        by: NodeId,
    },
    /// The peer has revoked this node's id.
    Revoked,
    /// None of several shared seeds is the peer's.
    Seeds {
        /// How many were tried.
        count: u32,
    },
}

impl Fault {
    /// An error without refinement.
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, subcode: 0, cause: None, detail: FaultDetail::None, origin: Origin::of(code) }
    }

    /// The same with a subcode.
    #[must_use]
    pub const fn with_subcode(mut self, subcode: u8) -> Self {
        self.subcode = subcode;
        self
    }

    /// The same with the error that led to it.
    #[must_use]
    pub const fn with_cause(mut self, code: ErrorCode, subcode: u8) -> Self {
        self.cause = Some((code, subcode));
        self
    }

    /// The same, as whose doing it was.
    #[must_use]
    pub const fn by(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The same with numbers.
    #[must_use]
    pub const fn with_detail(mut self, detail: FaultDetail) -> Self {
        self.detail = detail;
        self
    }
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:04x}", self.code.name(), self.code as u16)?;
        if self.subcode != 0 {
            write!(f, ", subcode {}", self.subcode)?;
        }
        f.write_str(")")?;
        if let Some((code, subcode)) = self.cause {
            write!(f, " caused by {} (0x{:04x}, subcode {subcode})", code.name(), code as u16)?;
        }
        Ok(())
    }
}

impl core::error::Error for Fault {}
