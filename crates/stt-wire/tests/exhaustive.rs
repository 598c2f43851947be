//! Small domains, tried to the last value.

use std::collections::BTreeSet;

use stt_wire::VarInt;
use stt_wire::frame::ack::write_ack;
use stt_wire::frame::{self, Frame};
use stt_wire::{Flags, FrameType, Writer, decode_packet_number};

/// What RFC 9000 section 16 says in words: two bits of length, the rest is the number.
fn by_the_book(bytes: &[u8]) -> Option<(u64, usize)> {
    let len = [1, 2, 4, 8][usize::from(*bytes.first()? / 64)];
    let number = bytes.get(..len)?.iter().enumerate().fold(0, |number, (index, byte)| {
        number * 256 + if index == 0 { u64::from(byte % 64) } else { u64::from(*byte) }
    });
    Some((number, len))
}

/// All encodings of one byte and of two, and as many beginnings of the longer ones; and every number
/// below 2^17, which covers the whole of both short forms and the edge to the third.
#[test]
fn every_short_varint_reads_and_writes_as_the_rfc_has_it() {
    for first in 0..=u8::MAX {
        for second in 0..=u8::MAX {
            for rest in [[0; 6], [0xFF; 6], [0x80, 0, 0x7F, 1, 0xFE, 0x55]] {
                let mut bytes = vec![first, second];
                bytes.extend_from_slice(&rest);
                for len in [0, 1, 2, 3, 4, 7, 8] {
                    let read = VarInt::read(&bytes[..len]).map(|(value, len)| (value.get(), len));
                    assert_eq!(read, by_the_book(&bytes[..len]), "{:x?}", &bytes[..len]);
                }
            }
        }
    }
    for number in 0..1 << 17 {
        let value = VarInt::new(number).expect("below 2^62");
        let mut out = [0; 8];
        let len = value.write(&mut out).expect("room");
        let shortest = match number {
            0..64 => 1,
            64..16_384 => 2,
            _ => 4,
        };
        assert_eq!((len, by_the_book(&out[..len])), (shortest, Some((number, shortest))));
    }
}

/// The edges of the four forms, from both sides, and the last number of all.
#[test]
fn the_forms_of_a_varint_meet_without_a_gap() {
    for (edge, below, above) in [(1_u64 << 6, 1, 2), (1 << 14, 2, 4), (1 << 30, 4, 8)] {
        for (number, len) in
            [(edge - 2, below), (edge - 1, below), (edge, above), (edge + 1, above)]
        {
            let value = VarInt::new(number).expect("below 2^62");
            let mut out = [0; 8];
            assert_eq!((value.encoded_len(), value.write(&mut out)), (len, Some(len)), "{number}");
            assert_eq!(VarInt::read(&out), Some((value, len)));
        }
    }
    let last = (1_u64 << 62) - 1;
    assert_eq!(VarInt::new(last).map(VarInt::get), Some(last));
    assert_eq!((VarInt::new(last + 1), VarInt::new(u64::MAX)), (None, None));
}

/// The number nearest to `expected` of those that `truncated` can stand for, found by trying the
/// windows around; at the same distance the upper one (RFC 9000 A.3).
fn nearest(expected: u64, truncated: u32) -> Option<u64> {
    let window = expected >> 32;
    let candidates = (window.saturating_sub(1)..=window + 1)
        .map(|window| window << 32 | u64::from(truncated))
        .filter(|candidate| *candidate < 1 << 62);
    let distance = |candidate: &u64| (candidate.abs_diff(expected), u64::MAX - candidate);
    candidates.min_by_key(distance)
}

/// Every offset of the next number within its window against every truncation, both to within a few
/// of each place where something can change: the ends, the middle, and the quarters, in the windows
/// where the number space begins, somewhere in it, and where it ends.
#[test]
fn every_truncation_around_every_edge_is_the_nearest_number() {
    let edges: Vec<u64> = [0, 1 << 30, 1 << 31, 3 << 30, 1 << 32]
        .into_iter()
        .flat_map(|edge: u64| (0..9).map(move |around| (edge + around).wrapping_sub(4)))
        .map(|offset| offset & 0xFFFF_FFFF)
        .collect();
    let windows = [0, 1, 2, 0x1234_5678, (1 << 30) - 3, (1 << 30) - 2, (1 << 30) - 1];
    let mut tried = 0;
    for window in windows {
        for offset in &edges {
            let expected = window << 32 | offset;
            let largest = expected.checked_sub(1);
            for truncated in &edges {
                let truncated = *truncated as u32;
                assert_eq!(
                    Some(decode_packet_number(largest, truncated)),
                    nearest(expected, truncated),
                    "{truncated:#x} after {largest:x?}"
                );
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 7 * 45 * 45);
}

/// Every set of ten packet numbers as an ACK: what is read are the numbers of the set, in ranges
/// that neither touch nor overlap.
#[test]
fn every_set_of_ten_numbers_survives_an_ack() {
    for (bits, base) in (1_u32..1 << 10).flat_map(|bits| [(bits, 0), (bits, 60), (bits, 16_380)]) {
        let numbers: BTreeSet<u64> =
            (0..10).filter(|at| bits >> at & 1 == 1).map(|at| base + at).collect();
        let mut ranges = Vec::<std::ops::RangeInclusive<u64>>::new();
        for number in numbers.iter().rev() {
            match ranges.last_mut() {
                Some(range) if *range.start() == number + 1 => *range = *number..=*range.end(),
                _ => ranges.push(*number..=*number),
            }
        }
        let mut buf = [0; 128];
        let mut out = Writer::new(&mut buf);
        write_ack(&mut out, 0, ranges.iter().cloned(), None).expect("room");
        let len = out.len();
        let parsed = frame::parse(FrameType::ACK, Flags::NONE, 0, &buf[..len]);
        let Ok(Frame::Ack(ack)) = parsed else { panic!("{parsed:?}") };
        assert_eq!(ack.ranges().collect::<Vec<_>>(), ranges, "{bits:#b} from {base}");
        for cut in 0..len {
            assert!(frame::parse(FrameType::ACK, Flags::NONE, 0, &buf[..cut]).is_err(), "{cut}");
        }
    }
}
