//! The wire format of STT/1: packet header, checksums, variable-length integers, frames, and the
//! closed table of error codes.
//!
//! Everything here is a view over bytes or a plain value. Nothing allocates, nothing reads a clock,
//! nothing can panic on input: a parser takes any bytes at all and answers with a value or with a
//! typed error. Cryptography is elsewhere; this crate only says where its bytes stand.
//!
//! Section numbers refer to `docs/PROTOCOL.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod bundle;
pub mod codes;
pub mod crc;
pub mod frame;
pub mod handshake;
pub mod header;
pub mod packet;
pub mod packet_number;
pub mod params;
pub mod reader;
pub mod resumption;
pub mod varint;
pub mod writer;

pub use bundle::{Bundle, BundleWriter, Part};
pub use codes::{Category, CloseReason, ErrorCode, ErrorInfo, HandshakeSubcode, RecoveryAction};
pub use frame::{Frame, FrameError};
pub use header::{Flags, FrameType, Header, PathId};
pub use packet::{Outer, OuterError};
pub use packet_number::decode_packet_number;
pub use params::TransportParams;
pub use reader::Reader;
pub use varint::VarInt;
pub use writer::Writer;

/// The protocol version this crate speaks (PROTOCOL.md §1).
pub const VERSION: u8 = 1;
/// Bytes of the packet header.
pub const HEADER_LEN: usize = 24;
/// Bytes of the header that the AEAD authenticates: all but its own CRC-16.
pub const AAD_LEN: usize = 22;
/// Bytes of the AEAD tag that ends a sealed payload.
pub const TAG_LEN: usize = 16;
/// Bytes of the CRC-32 that ends a packet.
pub const CRC32_LEN: usize = 4;
/// What a clear packet adds to its payload.
pub const CLEAR_OVERHEAD: usize = HEADER_LEN + CRC32_LEN;
/// What a sealed packet adds to its plaintext.
pub const SEALED_OVERHEAD: usize = CLEAR_OVERHEAD + TAG_LEN;
/// Length that every ack-eliciting packet is padded to, so that each can draw a reset (§1, §6).
pub const MIN_ACK_ELICITING_LEN: usize = 52;
/// Length of a HELLO or RESUME datagram, header and checksum included (§1).
pub const HELLO_LEN: usize = 1200;
/// UDP payload that every path must carry (§5).
pub const MIN_MTU: usize = 1200;
/// Largest UDP payload over IPv4.
pub const MAX_UDP_PAYLOAD: usize = 65_507;
/// Bytes of a reset token, a MAC or a cookie.
pub const TOKEN_LEN: usize = 16;
