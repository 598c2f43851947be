//! The outer layer of a packet: what is judged before any cryptography (PROTOCOL.md §1).

use crate::{
    CRC32_LEN, HEADER_LEN, TAG_LEN, VERSION,
    codes::ErrorCode,
    crc::{crc16, crc32},
    header::PathId,
};

/// Where a packet stands in a datagram, and what can be known of it without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Whether the payload is sealed and the header masked.
    pub sealed: bool,
    /// The receiver's path id.
    pub path_id: PathId,
    /// Bytes of payload, tag included; the payload begins at [`HEADER_LEN`].
    pub payload_len: usize,
}

impl Outer {
    /// Bytes of the whole packet; the next one begins there.
    #[must_use]
    pub const fn len(&self) -> usize {
        HEADER_LEN + self.payload_len + CRC32_LEN
    }

    /// Never: a packet has at least a header and a checksum.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterError {
    /// Fewer bytes than a header and a checksum. Nothing else is known.
    Truncated,
    /// The CRC-16 is wrong: the length cannot be trusted, so the rest of the datagram is dropped.
    HeaderChecksum,
    /// A whole header of another version.
    Version {
        /// The version it speaks.
        version: u8,
        /// The path id, whose place never changes across versions.
        path_id: PathId,
        /// Whether it claims to be sealed; such packets are never answered.
        sealed: bool,
    },
    /// The header is whole, but its length does not fit the bytes that came.
    Length {
        /// The path id it names.
        path_id: PathId,
    },
    /// The CRC-32 is wrong: this packet is dropped.
    Checksum {
        /// The path id it names.
        path_id: PathId,
        /// Bytes of the packet; the next one begins there.
        len: usize,
    },
}

impl OuterError {
    /// The code under which it is counted.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::HeaderChecksum | Self::Checksum { .. } => ErrorCode::ChecksumMismatch,
            Self::Version { .. } => ErrorCode::ProtocolVersionMismatch,
            Self::Truncated | Self::Length { .. } => ErrorCode::InvalidFrame,
        }
    }
}

/// Judges the first packet in `bytes`: CRC-16, version, length, CRC-32, in this order.
///
/// # Errors
/// [`OuterError`] says what is wrong; bytes after a wrong CRC-16 are lost with it.
pub fn parse_outer(bytes: &[u8]) -> Result<Outer, OuterError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(OuterError::Truncated);
    };
    let (head, crc) = header.split_at(HEADER_LEN - 2);
    if crc16(head).to_le_bytes() != *crc {
        return Err(OuterError::HeaderChecksum);
    }
    let [first, _, _, _, p0, p1, p2, p3, p4, p5, p6, p7, .., l0, l1, _, _] = *header;
    let path_id = PathId([p0, p1, p2, p3, p4, p5, p6, p7]);
    let (version, sealed) = (first & 0x7F, first & 0x80 != 0);
    if version != VERSION {
        return Err(OuterError::Version { version, path_id, sealed });
    }
    let payload_len = usize::from(u16::from_le_bytes([l0, l1]));
    let shortest = if sealed { TAG_LEN } else { 0 };
    let outer = Outer { sealed, path_id, payload_len };
    if payload_len < shortest || rest.len() < payload_len + CRC32_LEN {
        return Err(OuterError::Length { path_id });
    }
    let (body, crc) = bytes[..outer.len()].split_at(HEADER_LEN + payload_len);
    if crc32(body).to_le_bytes() != *crc {
        return Err(OuterError::Checksum { path_id, len: outer.len() });
    }
    Ok(outer)
}

/// Writes both checksums of a finished packet, whose last four bytes are theirs. Packets too short
/// to be one are left alone.
pub fn seal_checksums(packet: &mut [u8]) {
    let Some(body_len) = packet.len().checked_sub(CRC32_LEN).filter(|len| *len >= HEADER_LEN)
    else {
        return;
    };
    let header_crc = crc16(&packet[..HEADER_LEN - 2]);
    packet[HEADER_LEN - 2..HEADER_LEN].copy_from_slice(&header_crc.to_le_bytes());
    let (body, crc) = packet.split_at_mut(body_len);
    crc.copy_from_slice(&crc32(body).to_le_bytes());
}
