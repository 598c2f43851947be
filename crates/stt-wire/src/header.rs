//! The 24-byte packet header (PROTOCOL.md §1). Little endian.

use core::fmt;

use crate::{AAD_LEN, HEADER_LEN, VERSION};

/// Names the association of a packet for the side that receives it, which chose it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PathId(pub [u8; 8]);

impl PathId {
    /// What a HELLO carries: the responder has not chosen one yet.
    pub const ZERO: Self = Self([0; 8]);
}

impl fmt::Debug for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// What a packet, or a part of a BUNDLE, is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameType(pub u8);

macro_rules! frame_types {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        impl FrameType {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name that PROTOCOL.md gives it; `None` for types of nobody.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    0x80..=0xFE => Some("CUSTOM"),
                    _ => None,
                }
            }
        }
    };
}

frame_types! {
    /// A single byte 0x00 inside a BUNDLE.
    PADDING = 0x00,
    /// First message of a handshake.
    HELLO = 0x01,
    /// The responder's answer to a HELLO.
    CHALLENGE = 0x02,
    /// Third message of a handshake.
    AUTH_PROOF = 0x03,
    /// The responder's verdict; first ack-eliciting packet.
    FINAL = 0x04,
    /// Asks for the HELLO again, with a cookie.
    RETRY = 0x05,
    /// HELLO of a returning node.
    RESUME = 0x06,
    /// The responder's answer to a RESUME.
    RESUME_REPLY = 0x07,
    /// Bytes of a stream.
    DATA = 0x10,
    /// Packet numbers that arrived.
    ACK = 0x11,
    /// Liveness, path validation and MTU probes.
    KEEP_ALIVE = 0x13,
    /// The echo of a KEEP_ALIVE.
    KEEP_ALIVE_ACK = 0x14,
    /// New absolute credit.
    WINDOW = 0x15,
    /// One unreliable message.
    DATAGRAM = 0x16,
    /// Cumulative number of streams the peer may open.
    MAX_STREAMS = 0x17,
    /// A spare path id.
    NEW_ID = 0x18,
    /// A path id that is no longer used.
    RETIRE_ID = 0x19,
    /// Several frames in one packet.
    BUNDLE = 0x1F,
    /// Opens a stream.
    STREAM_OPEN = 0x20,
    /// Aborts sending on a stream.
    STREAM_CLOSE = 0x21,
    /// Asks the peer to abort sending.
    STREAM_STOP = 0x23,
    /// Gives up a stretch of a deadline stream.
    STREAM_SKIP = 0x24,
    /// Ends the session.
    SESSION_CLOSE = 0x30,
    /// Tells that the session is about to end: what is under way may be finished.
    DRAIN = 0x31,
    /// Handshake-time refusal, or the reset of a session that is not known.
    ERROR = 0xFF,
}

impl FrameType {
    /// Whether packets of this type are sent in clear.
    #[must_use]
    pub const fn is_clear(self) -> bool {
        matches!(self.0, 0x01 | 0x02 | 0x03 | 0x05 | 0x06 | 0x07 | 0xFF)
    }

    /// Whether the type is the application's own, 0x80 to 0xFE.
    #[must_use]
    pub const fn is_custom(self) -> bool {
        matches!(self.0, 0x80..=0xFE)
    }
}

impl fmt::Debug for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some("CUSTOM") | None => write!(f, "{:#04x}", self.0),
            Some(name) => f.write_str(name),
        }
    }
}

/// The header's flag bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The packet is sealed; equals bit 7 of byte 0.
    pub const SEALED: Self = Self(1 << 1);
    /// DATA: the stream ends with these bytes.
    pub const FIN: Self = Self(1 << 2);
    /// The sender counts this packet as urgent.
    pub const PRIORITY: Self = Self(1 << 3);
    /// The AEAD key generation, modulo two (§4).
    pub const KEY_PHASE: Self = Self(1 << 4);

    const KNOWN: u16 = Self::SEALED.0 | Self::FIN.0 | Self::PRIORITY.0 | Self::KEY_PHASE.0;

    /// Flags from their bits, known or not.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits as they are sent.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `other` where `condition` holds.
    #[must_use]
    pub const fn with_if(self, condition: bool, other: Self) -> Self {
        if condition { self.with(other) } else { self }
    }

    /// Whether a bit is set that STT/1 keeps zero.
    #[must_use]
    pub const fn has_unknown(self) -> bool {
        self.0 & !Self::KNOWN != 0
    }
}

/// The header in plain, before masking or after unmasking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bit 7 of byte 0.
    pub sealed: bool,
    /// Low seven bits of byte 0.
    pub version: u8,
    /// What the packet is.
    pub frame_type: FrameType,
    /// Flag bits; the sealed bit is kept equal to `sealed` by the constructors.
    pub flags: Flags,
    /// The receiver's path id.
    pub path_id: PathId,
    /// The stream, 0 for the session itself.
    pub stream_id: u32,
    /// Low 32 bits of the packet number; 0 in clear packets.
    pub packet_number: u32,
    /// Bytes of payload, tag included.
    pub payload_len: u16,
}

impl Header {
    /// The header of a clear packet of this version.
    #[must_use]
    pub const fn clear(frame_type: FrameType, path_id: PathId, payload_len: u16) -> Self {
        Self {
            sealed: false,
            version: VERSION,
            frame_type,
            flags: Flags::NONE,
            path_id,
            stream_id: 0,
            packet_number: 0,
            payload_len,
        }
    }

    /// The header of a sealed packet of this version; `flags` gains the sealed bit.
    #[must_use]
    pub const fn sealed(
        frame_type: FrameType,
        flags: Flags,
        path_id: PathId,
        stream_id: u32,
        packet_number: u64,
        payload_len: u16,
    ) -> Self {
        Self {
            sealed: true,
            version: VERSION,
            frame_type,
            flags: flags.with(Flags::SEALED),
            path_id,
            stream_id,
            packet_number: packet_number as u32,
            payload_len,
        }
    }

    /// Writes the header with a CRC-16 of zero; [`crate::packet::seal_checksums`] fills it in.
    pub fn write(&self, out: &mut [u8; HEADER_LEN]) {
        out[0] = self.version & 0x7F | u8::from(self.sealed) << 7;
        out[1] = self.frame_type.0;
        out[2..4].copy_from_slice(&self.flags.bits().to_le_bytes());
        out[4..12].copy_from_slice(&self.path_id.0);
        out[12..16].copy_from_slice(&self.stream_id.to_le_bytes());
        out[16..20].copy_from_slice(&self.packet_number.to_le_bytes());
        out[20..22].copy_from_slice(&self.payload_len.to_le_bytes());
        out[22..24].copy_from_slice(&[0, 0]);
    }

    /// Reads a header, whatever its values. The CRC-16 is judged elsewhere.
    #[must_use]
    pub fn read(bytes: &[u8; HEADER_LEN]) -> Self {
        let [
            first,
            frame_type,
            f0,
            f1,
            p0,
            p1,
            p2,
            p3,
            p4,
            p5,
            p6,
            p7,
            s0,
            s1,
            s2,
            s3,
            n0,
            n1,
            n2,
            n3,
            l0,
            l1,
            _,
            _,
        ] = *bytes;
        Self {
            sealed: first & 0x80 != 0,
            version: first & 0x7F,
            frame_type: FrameType(frame_type),
            flags: Flags::from_bits(u16::from_le_bytes([f0, f1])),
            path_id: PathId([p0, p1, p2, p3, p4, p5, p6, p7]),
            stream_id: u32::from_le_bytes([s0, s1, s2, s3]),
            packet_number: u32::from_le_bytes([n0, n1, n2, n3]),
            payload_len: u16::from_le_bytes([l0, l1]),
        }
    }
}

/// The bytes of a written header that the AEAD authenticates.
#[must_use]
pub fn aad(header: &[u8; HEADER_LEN]) -> [u8; AAD_LEN] {
    let mut aad = [0; AAD_LEN];
    aad.copy_from_slice(&header[..AAD_LEN]);
    aad
}

/// XORs a header mask over type and flags (bytes 1..4) and over stream id and packet number (bytes
/// 12..20). The same call masks and unmasks (§1; the construction of RFC 9001 §5.4).
pub fn apply_mask(header: &mut [u8; HEADER_LEN], mask: &[u8; 11]) {
    for (byte, mask) in header[1..4].iter_mut().zip(&mask[..3]) {
        *byte ^= mask;
    }
    for (byte, mask) in header[12..20].iter_mut().zip(&mask[3..]) {
        *byte ^= mask;
    }
}
