//! A datagram, as it comes from the socket: outer layer, masking, packet numbers (PROTOCOL.md §1).

use stt_wire::{
    CLEAR_OVERHEAD, FrameType, HEADER_LEN, Header, OuterError, PathId, decode_packet_number,
    header::apply_mask, packet, packet::parse_outer,
};

/// Walks all packets of a datagram, once as it came and once with the checksums of its first packet
/// set right, because random bytes hardly ever pass a CRC.
pub fn run(data: &[u8]) {
    walk(data);
    if data.len() >= CLEAR_OVERHEAD {
        let mut whole = data.to_vec();
        set_length(&mut whole);
        packet::seal_checksums(&mut whole);
        walk(&whole);
        header_round_trip(&whole);
    }
}

/// The shortest packets of both kinds, and two packets in a row.
pub fn seeds() -> Vec<Vec<u8>> {
    let sealed = |len: usize| {
        let mut bytes = vec![0x5a; HEADER_LEN + len + 4];
        bytes[0] = 0x81;
        set_length(&mut bytes);
        packet::seal_checksums(&mut bytes);
        bytes
    };
    let mut clear = vec![0; 1200];
    let payload_len = u16::try_from(1200 - CLEAR_OVERHEAD).unwrap_or(0);
    let header = Header::clear(FrameType::HELLO, PathId::ZERO, payload_len);
    if let Some(front) = clear.first_chunk_mut::<HEADER_LEN>() {
        header.write(front);
    }
    packet::seal_checksums(&mut clear);
    let pair = [sealed(24), sealed(16)].concat();
    vec![clear, sealed(16), sealed(1172), pair]
}

fn walk(mut rest: &[u8]) {
    while !rest.is_empty() {
        let len = match parse_outer(rest) {
            Ok(outer) => {
                assert!(outer.len() <= rest.len(), "a packet reaches past its datagram");
                outer.len()
            }
            Err(OuterError::Checksum { len, .. }) => {
                assert!(len <= rest.len(), "a corrupted packet reaches past its datagram");
                len
            }
            Err(error) => {
                let _ = error.code();
                return;
            }
        };
        assert!(len >= CLEAR_OVERHEAD, "a packet without a header");
        rest = &rest[len..];
    }
}

fn header_round_trip(bytes: &[u8]) {
    let Some(front) = bytes.first_chunk::<HEADER_LEN>() else { return };
    let header = Header::read(front);
    let mut again = [0; HEADER_LEN];
    header.write(&mut again);
    assert_eq!(Header::read(&again), header, "a header changes when written and read");

    let Some(mask) = bytes[HEADER_LEN..].first_chunk::<4>() else { return };
    let mask: [u8; 11] = std::array::from_fn(|i| mask[i % 4].wrapping_add(i as u8));
    let mut masked = *front;
    apply_mask(&mut masked, &mask);
    apply_mask(&mut masked, &mask);
    assert_eq!(&masked, front, "masking twice is not nothing");

    let largest = u64::from(header.packet_number) << (mask[0] % 31);
    let decoded = decode_packet_number(Some(largest), header.packet_number);
    assert_eq!(decoded as u32, header.packet_number, "a packet number lost its low bits");
}

/// Makes the length field tell the truth about `bytes` as one packet.
fn set_length(bytes: &mut [u8]) {
    let len = u16::try_from(bytes.len() - CLEAR_OVERHEAD).unwrap_or(u16::MAX);
    bytes[20..22].copy_from_slice(&len.to_le_bytes());
}
