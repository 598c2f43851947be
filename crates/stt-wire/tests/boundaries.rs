//! Edges that mutation testing found unguarded (`docs/mutants.md`): sizes that fit exactly, and one
//! byte less.

use stt_wire::bundle::{Bundle, BundleWriter};
use stt_wire::frame::ack::write_ack;
use stt_wire::frame::{EcnCounts, Frame};
use stt_wire::packet::{OuterError, parse_outer, seal_checksums};
use stt_wire::{Flags, FrameType, Header, PathId, Writer, decode_packet_number, frame};

const ECN: Option<EcnCounts> = Some(EcnCounts { ect0: 70, ect1: 0, ce: 20_000 });

/// Ranges whose gaps and lengths take one byte and two.
const RANGES: [(u64, u64); 5] = [(900, 1000), (800, 890), (700, 701), (500, 600), (0, 90)];

/// An ACK of the newest `count` ranges at most, in `room` bytes.
fn ack(room: usize, count: usize, ecn: Option<EcnCounts>) -> Option<Vec<u8>> {
    let mut buf = vec![0; room];
    let mut out = Writer::new(&mut buf);
    let ranges = RANGES[..count].iter().map(|(first, last)| *first..=*last);
    let written = write_ack(&mut out, 5, ranges, ecn);
    let len = out.len();
    assert!(written.is_ok() || len == 0, "nothing is written of what does not fit");
    written.ok().map(|()| buf[..len].to_vec())
}

#[test]
fn an_ack_lists_as_many_ranges_as_fit_and_never_one_that_does_not() {
    for ecn in [None, ECN] {
        let whole = |count| ack(200, count, ecn).expect("room");
        for room in 0..100 {
            let fits = (1..=RANGES.len()).rev().find(|count| whole(*count).len() <= room);
            assert_eq!(ack(room, RANGES.len(), ecn), fits.map(whole), "{room} bytes, {ecn:?}");
        }
    }
}

#[test]
fn the_last_number_has_no_successor_window() {
    // 2^62 - 1 is the largest packet number: nothing above it may come out.
    let last_window = (1 << 62) - (1 << 32);
    assert_eq!(decode_packet_number(Some((1 << 62) - 2), 0), last_window);
    assert_eq!(decode_packet_number(Some(last_window - 1), 0), last_window);
    let before = last_window - (1 << 32);
    assert_eq!(decode_packet_number(Some(last_window - 2), 0), last_window, "from {before}");
}

#[test]
fn a_packet_cut_anywhere_in_its_tail_has_the_wrong_length() {
    let mut packet = vec![0; 24 + 16 + 4];
    let header = Header::sealed(FrameType::DATA, Flags::NONE, PathId([9; 8]), 4, 1, 16);
    header.write(packet.first_chunk_mut().expect("a header"));
    seal_checksums(&mut packet);
    let outer = parse_outer(&packet).expect("whole");
    assert!(!outer.is_empty() && outer.len() == packet.len());
    for len in 24..packet.len() {
        let error = parse_outer(&packet[..len]).expect_err("cut");
        let expected = matches!(error, OuterError::Length { .. } | OuterError::Truncated);
        assert!(expected, "{len} bytes: {error:?}");
    }
}

#[test]
fn a_bundle_counts_its_room() {
    let mut buf = [0xFF; 40];
    let mut bundle = BundleWriter::new(&mut buf);
    assert!(bundle.is_empty());
    assert_eq!((bundle.len(), bundle.remaining()), (0, 40));
    bundle.part(FrameType::WINDOW, 70_000, |out| out.varint(9)).expect("room");
    assert!(!bundle.is_empty());
    // Type, flags, a stream id of four bytes, length; then one byte of body.
    assert_eq!(BundleWriter::part_header_len(70_000), 8);
    assert_eq!((bundle.len(), bundle.remaining()), (9, 31));
    bundle.pad_to(12);
    assert_eq!(bundle.len(), 12);
    bundle.pad_to(5);
    assert_eq!(bundle.len(), 12, "never back");
    bundle.pad_to(usize::MAX);
    assert_eq!(bundle.remaining(), 0);
    assert_eq!(buf[9..], [0; 31]);
    let parsed = Bundle::parse(&buf).expect("a bundle");
    let parts: Vec<_> = parsed.parts().collect();
    assert!(matches!(parts[..], [ref p] if p.stream_id == 70_000
        && matches!(p.frame, Frame::Window { limit: 9 })));
}

#[test]
fn data_that_stands_in_place_becomes_a_part() {
    let mut buf = [0; 64];
    let header = BundleWriter::part_header_len(4);
    assert_eq!(header, 5);
    buf[header..header + 4].copy_from_slice(&[0, b'a', b'b', b'c']);
    let mut bundle = BundleWriter::new(&mut buf);
    bundle.adopt_data_part(4, true, 4);
    assert_eq!(bundle.len(), header + 4);
    // What does not fit changes nothing.
    bundle.adopt_data_part(4, false, 60);
    assert_eq!(bundle.len(), header + 4);
    let frame = frame::parse(FrameType::BUNDLE, Flags::SEALED, 0, &buf[..9]).expect("a bundle");
    let Frame::Bundle(parsed) = frame else { panic!("{frame:?}") };
    let parts: Vec<_> = parsed.parts().collect();
    let [part] = &parts[..] else { panic!("{parts:?}") };
    let Frame::Data(data) = &part.frame else { panic!("{part:?}") };
    assert_eq!((data.offset, data.bytes, data.fin), (0, &b"abc"[..], true));
}
