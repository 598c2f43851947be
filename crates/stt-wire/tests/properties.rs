//! Properties that hold for all inputs, not for chosen ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use core::ops::RangeInclusive;

use proptest::prelude::*;
use stt_wire::{
    CRC32_LEN, CloseReason, ErrorCode, Flags, Frame, FrameType, HEADER_LEN, Header, PathId,
    TransportParams, Writer,
    bundle::{Bundle, BundleWriter},
    frame::{
        self, Data, EcnCounts, Final, KeepAlive, KeepAliveKind, MaxStreams, NewId, Reliability,
        SessionClose, StreamClose, StreamKind, StreamOpen, ack::write_ack,
    },
    handshake::{AuthProof, ChallengeSealed, ErrorPacket, Hello, ProofSealed, Retry},
    packet::{parse_outer, seal_checksums},
    reader::Reader,
    resumption::{Resume, ResumeReplySealed, ResumeSealed, write_resume},
};

fn packet(
    sealed: bool,
    path_id: [u8; 8],
    stream_id: u32,
    packet_number: u64,
    payload: &[u8],
) -> Vec<u8> {
    let payload_len = u16::try_from(payload.len()).unwrap();
    let header = if sealed {
        Header::sealed(
            FrameType::DATA,
            Flags::FIN,
            PathId(path_id),
            stream_id,
            packet_number,
            payload_len,
        )
    } else {
        Header::clear(FrameType::HELLO, PathId(path_id), payload_len)
    };
    let mut bytes = vec![0; HEADER_LEN];
    header.write(bytes.first_chunk_mut().unwrap());
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&[0; CRC32_LEN]);
    seal_checksums(&mut bytes);
    bytes
}

/// Types that do not stand in a frame table at all are worth trying too.
fn any_type() -> impl Strategy<Value = FrameType> {
    any::<u8>().prop_map(FrameType)
}

/// Disjoint ranges that do not touch, from the largest down.
fn ack_ranges() -> impl Strategy<Value = Vec<RangeInclusive<u64>>> {
    prop::collection::vec((0_u64..1 << 20, 0_u64..1 << 20), 1..40).prop_map(|pairs| {
        let mut end = (1_u64 << 40) + 7;
        pairs
            .into_iter()
            .map(|(gap, len)| {
                let range = end - len..=end;
                end = range.start() - gap - 2;
                range
            })
            .collect()
    })
}

fn body(write: impl FnOnce(&mut Writer<'_>) -> Result<(), stt_wire::writer::NoRoom>) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let mut writer = Writer::new(&mut out);
    write(&mut writer).unwrap();
    let len = writer.len();
    out.truncate(len);
    out
}

/// Parses the same body as a packet's payload and as the only part of a BUNDLE.
fn both_ways(frame_type: FrameType, stream_id: u32, body: &[u8], check: impl Fn(&Frame<'_>)) {
    check(&frame::parse(frame_type, Flags::SEALED, stream_id, body).unwrap());
    let mut out = vec![0; body.len() + 64];
    let mut bundle = BundleWriter::new(&mut out);
    bundle.part(frame_type, stream_id, |writer| writer.bytes(body)).unwrap();
    bundle.pad_to(body.len() + 32);
    let len = bundle.len();
    let bundle = Bundle::parse(&out[..len]).unwrap();
    let parts: Vec<_> = bundle.parts().collect();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].stream_id, stream_id);
    check(&parts[0].frame);
}

macro_rules! expect_frame {
    ($pattern:pat => $check:expr) => {
        |frame: &Frame<'_>| match frame {
            $pattern => $check,
            other => panic!("parsed as {other:?}"),
        }
    };
}

proptest! {
    #[test]
    fn every_single_bit_flip_is_a_checksum_mismatch(
        sealed: bool,
        path_id: [u8; 8],
        stream_id: u32,
        packet_number: u64,
        payload in prop::collection::vec(any::<u8>(), 16..80),
    ) {
        let good = packet(sealed, path_id, stream_id, packet_number, &payload);
        prop_assert!(parse_outer(&good).is_ok());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = parse_outer(&bad).expect_err("a flipped bit");
            prop_assert_eq!(error.code(), ErrorCode::ChecksumMismatch, "bit {}", bit);
        }
    }

    #[test]
    fn a_header_round_trips_and_masking_twice_changes_nothing(
        sealed: bool, version in 0_u8..128, frame_type: u8, flags: u16, path_id: [u8; 8],
        stream_id: u32, packet_number: u32, payload_len: u16, mask: [u8; 11],
    ) {
        let header = Header {
            sealed, version, frame_type: FrameType(frame_type), flags: Flags::from_bits(flags),
            path_id: PathId(path_id), stream_id, packet_number, payload_len,
        };
        let mut bytes = [0; HEADER_LEN];
        header.write(&mut bytes);
        prop_assert_eq!(Header::read(&bytes), header);
        let plain = bytes;
        stt_wire::header::apply_mask(&mut bytes, &mask);
        prop_assert_eq!(bytes[0], plain[0]);
        prop_assert_eq!(&bytes[4..12], &plain[4..12]);
        prop_assert_eq!(&bytes[20..], &plain[20..]);
        stt_wire::header::apply_mask(&mut bytes, &mask);
        prop_assert_eq!(bytes, plain);
    }

    #[test]
    fn any_bytes_at_all_are_judged_without_panic(
        frame_type in any_type(), flags: u16, stream_id in prop_oneof![Just(0_u32), any::<u32>()],
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let _ = parse_outer(&bytes);
        for known in 0..=u8::MAX {
            if let Ok(Frame::Ack(ack)) = frame::parse(FrameType(known), Flags::SEALED, stream_id, &bytes) {
                let mut below = u64::MAX;
                for range in ack.ranges() {
                    prop_assert!(range.start() <= range.end() && *range.end() < below);
                    below = *range.start();
                }
            }
        }
        let _ = frame::parse(frame_type, Flags::from_bits(flags), stream_id, &bytes);
        let _ = (Hello::parse(&bytes), AuthProof::parse(&bytes), Retry::parse(&bytes), Resume::parse(&bytes));
        let _ = (ChallengeSealed::read(&bytes), ProofSealed::read(&bytes), ResumeReplySealed::read(&bytes), ResumeSealed::read(&bytes));
        let _ = ErrorPacket::parse(&bytes);
    }

    /// Right checksums over random bytes: the outer layer lets them through, the rest must cope.
    #[test]
    fn any_bytes_behind_right_checksums_are_judged_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), HEADER_LEN + CRC32_LEN..600), version_1: bool,
    ) {
        if version_1 {
            bytes[0] = bytes[0] & 0x80 | 1;
            let payload_len = (bytes.len() - HEADER_LEN - CRC32_LEN) as u16;
            bytes[20..22].copy_from_slice(&payload_len.to_le_bytes());
        }
        seal_checksums(&mut bytes);
        if let Ok(outer) = parse_outer(&bytes) {
            prop_assert!(outer.len() <= bytes.len());
        }
    }

    #[test]
    fn data_round_trips(offset in 0_u64..1 << 60, payload in prop::collection::vec(any::<u8>(), 0..500), stream_id in 1_u32.., fin: bool) {
        let mut out = vec![0; 600];
        let mut bundle = BundleWriter::new(&mut out);
        let written = bundle.data_part(stream_id, |room| {
            let mut writer = Writer::new(room);
            writer.varint(offset).ok()?;
            writer.bytes(&payload).ok()?;
            Some((writer.len(), fin, writer.len() - Data::prefix_len(offset)))
        });
        prop_assert_eq!(written, Some(payload.len()));
        let len = bundle.len();
        let parts: Vec<_> = Bundle::parse(&out[..len]).unwrap().parts().collect();
        let Frame::Data(data) = &parts[0].frame else { panic!("{parts:?}") };
        prop_assert_eq!((data.offset, data.bytes, data.fin), (offset, payload.as_slice(), fin));
    }

    #[test]
    fn ack_round_trips_and_keeps_the_newest_where_room_is_short(
        ranges in ack_ranges(), delay_us in 0_u64..1 << 30, ecn: Option<(u32, u32, u32)>, room in 24_usize..400,
    ) {
        let ecn = ecn.map(|(ect0, ect1, ce)| EcnCounts { ect0: ect0.into(), ect1: ect1.into(), ce: ce.into() });
        let mut out = vec![0; room];
        let mut writer = Writer::new(&mut out);
        if write_ack(&mut writer, delay_us, ranges.iter().cloned(), ecn).is_err() {
            prop_assert_eq!(writer.len(), 0);
            return Ok(());
        }
        let len = writer.len();
        let Ok(Frame::Ack(ack)) = frame::parse(FrameType::ACK, Flags::SEALED, 0, &out[..len]) else { panic!("not an ACK") };
        prop_assert_eq!((ack.largest, ack.delay_us, ack.ecn), (*ranges[0].end(), delay_us, ecn));
        let read: Vec<_> = ack.ranges().collect();
        prop_assert_eq!(&read[..], &ranges[..read.len()]);
        prop_assert!(read.len() == ranges.len() || room - len < 16);
    }

    #[test]
    fn control_frames_round_trip(limit in 0_u64..1 << 62, other in 0_u64..1 << 62, stream_id in 1_u32.., nonce: [u8; 8], token: [u8; 16], probe: bool, uni: bool) {
        let kind = if uni { StreamKind::Unidirectional } else { StreamKind::Bidirectional };
        let keep_alive = KeepAlive { kind: if probe { KeepAliveKind::Probe } else { KeepAliveKind::Alive }, nonce };
        let new_id = NewId { sequence: limit, path_id: PathId(nonce), reset_token: token };
        let max = MaxStreams { kind, limit };
        let close = StreamClose { code: limit, final_offset: other };
        both_ways(FrameType::WINDOW, 0, &body(|out| out.varint(limit)), expect_frame!(Frame::Window { limit: read } => assert_eq!(*read, limit)));
        both_ways(FrameType::WINDOW, stream_id, &body(|out| out.varint(limit)), expect_frame!(Frame::Window { limit: read } => assert_eq!(*read, limit)));
        both_ways(FrameType::KEEP_ALIVE, 0, &body(|out| keep_alive.write(out)), expect_frame!(Frame::KeepAlive(read) => assert_eq!(*read, keep_alive)));
        both_ways(FrameType::KEEP_ALIVE_ACK, 0, &body(|out| keep_alive.write(out)), expect_frame!(Frame::KeepAliveAck(read) => assert_eq!(*read, keep_alive)));
        both_ways(FrameType::MAX_STREAMS, 0, &body(|out| max.write(out)), expect_frame!(Frame::MaxStreams(read) => assert_eq!(*read, max)));
        both_ways(FrameType::NEW_ID, 0, &body(|out| new_id.write(out)), expect_frame!(Frame::NewId(read) => assert_eq!(*read, new_id)));
        both_ways(FrameType::RETIRE_ID, 0, &body(|out| out.varint(other)), expect_frame!(Frame::RetireId { sequence } => assert_eq!(*sequence, other)));
        both_ways(FrameType::DRAIN, 0, &body(|out| out.varint(other)), expect_frame!(Frame::Drain { within } => assert_eq!(*within, other)));
        both_ways(FrameType::STREAM_CLOSE, stream_id, &body(|out| close.write(out)), expect_frame!(Frame::StreamClose(read) => assert_eq!(*read, close)));
        both_ways(FrameType::STREAM_STOP, stream_id, &body(|out| out.varint(other)), expect_frame!(Frame::StreamStop { code } => assert_eq!(*code, other)));
        both_ways(FrameType::STREAM_SKIP, stream_id, &body(|out| out.varint(other)), expect_frame!(Frame::StreamSkip { offset } => assert_eq!(*offset, other)));
    }

    #[test]
    fn frames_with_text_and_bytes_round_trip(
        purpose in ".{0,60}", message in ".{0,80}", name: Option<u32>, priority in 0_u8..8, deadline: Option<u32>, credit: u32,
        status: u16, subcode: u8, token: [u8; 16], ticket in prop::collection::vec(any::<u8>(), 0..200), reason in 0_u8..4, custom in 0x80_u8..=0xFE, stream_id in 1_u32..,
    ) {
        let reliability = deadline.map_or(Reliability::Reliable, |milliseconds| Reliability::Deadline { milliseconds: milliseconds.into() });
        let open = StreamOpen { purpose: &purpose, name, priority, reliability, initial_credit: credit.into() };
        let close = SessionClose { reason: CloseReason::from_u8(reason).unwrap(), code: status, message: &message };
        let last = Final { status, subcode, reset_token: token, ticket: &ticket };
        both_ways(FrameType::STREAM_OPEN, stream_id, &body(|out| open.write(out)), expect_frame!(Frame::StreamOpen(read) => assert_eq!(*read, open)));
        if message.len() <= frame::control::MAX_CLOSE_MESSAGE {
            both_ways(FrameType::SESSION_CLOSE, 0, &body(|out| close.write(out)), expect_frame!(Frame::SessionClose(read) => assert_eq!(*read, close)));
        }
        both_ways(FrameType::FINAL, 0, &body(|out| last.write(out)), expect_frame!(Frame::Final(read) => assert_eq!(*read, last)));
        both_ways(FrameType::DATAGRAM, 0, &ticket, expect_frame!(Frame::Datagram(read) => assert_eq!(*read, ticket)));
        both_ways(FrameType(custom), 0, &ticket, expect_frame!(Frame::Custom { frame_type, data } => assert_eq!((*frame_type, *data), (FrameType(custom), ticket.as_slice()))));
    }

    #[test]
    fn handshake_payloads_round_trip(path_id: [u8; 8], other: [u8; 8], token: [u8; 16], time: u64, aead: u16, numbers: [u32; 4], windows: [u64; 2], code: u16, subcode: u8, versions in prop::collection::vec(any::<u8>(), 0..20)) {
        let params = TransportParams {
            max_idle_ms: numbers[0], session_window: windows[0], stream_window: windows[1], max_bidi_streams: numbers[1],
            max_uni_streams: numbers[2], max_ack_delay_us: numbers[3], max_udp_payload: code, max_message: aead,
        };
        let written = body(|out| params.write(out));
        prop_assert_eq!(written.len(), TransportParams::LEN);
        prop_assert_eq!(TransportParams::read(&mut Reader::new(&written)), Ok(params));
        let challenge = ChallengeSealed { path_id: PathId(path_id), aead, timestamp_ms: time, params };
        let written = body(|out| challenge.write(out));
        prop_assert_eq!(written.len(), stt_wire::handshake::CHALLENGE_SEALED_LEN);
        prop_assert_eq!(ChallengeSealed::read(&written), Ok(challenge));
        let proof = ProofSealed { initiator_path_id: PathId(path_id), responder_path_id: PathId(other), params, reset_token: token };
        let written = body(|out| proof.write(out));
        prop_assert_eq!(written.len(), stt_wire::handshake::PROOF_SEALED_LEN);
        prop_assert_eq!(ProofSealed::read(&written), Ok(proof));
        let retry = Retry { cookie: token, mac: token };
        prop_assert_eq!(Retry::parse(&body(|out| retry.write(out))), Ok(retry));
        let reply = ResumeReplySealed { path_id: PathId(path_id), aead, early_accepted: code % 2 == 0, params };
        let written = body(|out| reply.write(out));
        prop_assert_eq!(written.len(), ResumeReplySealed::LEN);
        prop_assert_eq!(ResumeReplySealed::read(&written), Ok(reply));
        let sealed = ResumeSealed { params, reset_token: token, early: &versions };
        let written = body(|out| sealed.write(out));
        prop_assert_eq!(ResumeSealed::read(&written), Ok(sealed));
        for error in [
            ErrorPacket::Refusal { code, subcode, timestamp_ms: time, mac: token },
            ErrorPacket::Versions { versions: &versions },
            ErrorPacket::Reset { token },
        ] {
            let written = body(|out| error.write(out));
            prop_assert_eq!(ErrorPacket::parse(&written), Ok(error));
        }
    }
}

proptest! {
    #[test]
    fn a_resume_is_read_as_it_was_written(
        path_id: [u8; 8], time: u64, suite: u16, aeads: u16, ticket in prop::collection::vec(any::<u8>(), 0..=512),
        early in prop::collection::vec(any::<u8>(), 0..900), mac1: [u8; 16], cookie: [u8; 16], damage in 0_usize..1172,
    ) {
        let noise = vec![7; Resume::MIN_NOISE_LEN + early.len()];
        let mut payload = [0; 1172];
        let written = write_resume(&mut payload, suite, aeads, time, PathId(path_id), &ticket, &noise);
        prop_assert_eq!(written.is_ok(), early.len() <= Resume::early_capacity(ticket.len()));
        if let Ok(layout) = written {
            payload[layout.mac1..layout.cookie].copy_from_slice(&mac1);
            payload[layout.cookie..layout.cookie + 16].copy_from_slice(&cookie);
            let resume = Resume::parse(&payload).unwrap();
            prop_assert_eq!((resume.fields.suite(), resume.fields.aeads(), resume.fields.timestamp_ms()), (suite, aeads, time));
            prop_assert_eq!((resume.fields.path_id(), resume.ephemeral()), (PathId(path_id), [7; 32]));
            prop_assert_eq!((resume.ticket, resume.noise), (&ticket[..], &noise[..]));
            prop_assert_eq!((resume.mac1, resume.mac1_input), (mac1, &payload[..layout.mac1]));
            prop_assert_eq!(resume.cookie(), (cookie != [0; 16]).then_some(cookie));
            let padding = layout.cookie + 16;
            if damage >= padding {
                payload[damage] ^= 1;
                prop_assert!(Resume::parse(&payload).is_err());
            }
        }
        prop_assert!(Resume::parse(&payload[..1171]).is_err());
    }
}

#[test]
fn a_reset_is_shorter_than_any_packet_that_draws_one() {
    let reset = body(|out| ErrorPacket::Reset { token: [7; 16] }.write(out));
    assert!(HEADER_LEN + reset.len() + CRC32_LEN < stt_wire::MIN_ACK_ELICITING_LEN);
}

#[test]
fn bundles_refuse_what_must_not_stand_in_them() {
    let part = |frame_type: FrameType, flags: u8, stream: u8, body: &[u8]| {
        let mut bytes = vec![frame_type.0, flags, stream, body.len() as u8, 0];
        bytes.extend_from_slice(body);
        Bundle::parse(&bytes).map(|bundle| bundle.parts().count())
    };
    use stt_wire::FrameError::{Flags as BadFlags, Misplaced, StreamId, TrailingBytes, Truncated};
    assert_eq!(part(FrameType::BUNDLE, 0, 0, &[]), Err(Misplaced));
    assert_eq!(part(FrameType::HELLO, 0, 0, &[]), Err(Misplaced));
    assert_eq!(part(FrameType::ERROR, 0, 0, &[]), Err(Misplaced));
    assert_eq!(part(FrameType::WINDOW, 4, 0, &[1]), Err(BadFlags));
    assert_eq!(part(FrameType::DATA, 2, 4, &[0]), Err(BadFlags));
    assert_eq!(part(FrameType::DATA, 4, 0, &[0]), Err(StreamId));
    assert_eq!(part(FrameType::KEEP_ALIVE, 0, 4, &[0; 9]), Err(StreamId));
    assert_eq!(part(FrameType::WINDOW, 0, 0, &[1, 2]), Err(TrailingBytes));
    assert_eq!(part(FrameType::WINDOW, 0, 0, &[]), Err(Truncated));
    assert_eq!(Bundle::parse(&[FrameType::DATA.0, 0, 4, 9, 0, 0]).map(|_| ()), Err(Truncated));
    // A type of nobody is skipped by its length, and what follows acts.
    let mut unknown = vec![0x42, 0, 0, 2, 0, 1, 2];
    unknown.extend_from_slice(&[0, 0, FrameType::WINDOW.0, 0, 0, 1, 0, 5]);
    let bundle = Bundle::parse(&unknown).unwrap();
    let parts: Vec<_> = bundle.parts().map(|part| part.frame).collect();
    assert!(matches!(parts[..], [Frame::Unknown { .. }, Frame::Window { limit: 5 }]), "{parts:?}");
    assert!(bundle.is_ack_eliciting());
    assert!(!Bundle::parse(&[0; 20]).unwrap().is_ack_eliciting());
}
