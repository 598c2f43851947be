//! Every field of the clear packets at the byte where PROTOCOL.md section 1 puts it, and every
//! limit, name and flag with the value that it has there. What the code computes from its own
//! constants stands here as a number: a constant that changes must be noticed.

use stt_wire::codes::{Category, CloseReason, ERROR_TABLE, HandshakeSubcode, RecoveryAction};
use stt_wire::frame::control::{Final, MAX_CLOSE_MESSAGE, MAX_TICKET, SessionClose};
use stt_wire::frame::{self, Frame, FrameError};
use stt_wire::handshake::{
    AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, AUTH_PROOF_LEN, AuthProof, CHALLENGE_LEN,
    CHALLENGE_SEALED_LEN, HELLO_PAYLOAD_LEN, Hello, Malformed, NOISE_1_LEN, NOISE_3_LEN,
    PROOF_SEALED_LEN, RETRY_LEN, write_hello,
};
use stt_wire::resumption::{Resume, ResumeReplySealed, write_resume};
use stt_wire::{Flags, FrameType, Header, PathId, Writer, header};

/// A payload in which every byte differs from its neighbours.
fn counted<const N: usize>(from: u8) -> [u8; N] {
    core::array::from_fn(|index| from.wrapping_add(index as u8))
}

#[test]
fn payloads_have_the_lengths_of_section_1_7() {
    assert_eq!((HELLO_PAYLOAD_LEN, NOISE_1_LEN), (1172, 48));
    assert_eq!((CHALLENGE_LEN, CHALLENGE_SEALED_LEN), (162, 66));
    assert_eq!((AUTH_PROOF_LEN, NOISE_3_LEN, PROOF_SEALED_LEN), (160, 144, 80));
    assert_eq!(RETRY_LEN, 32);
    assert_eq!((Resume::MIN_NOISE_LEN, ResumeReplySealed::PAYLOAD_LEN), (112, 107));
    assert_eq!((MAX_TICKET, MAX_CLOSE_MESSAGE), (512, 256));
    assert_eq!((AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305), (1, 2));
}

#[test]
fn each_field_of_a_hello_stands_at_its_offset() {
    let mut payload = [0; HELLO_PAYLOAD_LEN];
    let noise = counted::<NOISE_1_LEN>(0x40);
    write_hello(&mut payload, 0x0201, 0x0403, 0x0c0b_0a09_0807_0605, PathId(counted(13)), &noise);
    let fields = counted::<20>(1);
    assert_eq!(payload[..20], fields);
    assert_eq!(payload[20..68], noise);
    assert!(payload[68..].iter().all(|byte| *byte == 0), "mac1 and cookie come later");

    payload[68..84].copy_from_slice(&counted::<16>(0x90));
    payload[84..100].copy_from_slice(&counted::<16>(0xB0));
    let hello = Hello::parse(&payload).expect("well-formed");
    assert_eq!((hello.fields().suite(), hello.fields().aeads()), (0x0201, 0x0403));
    assert_eq!(hello.fields().timestamp_ms(), 0x0c0b_0a09_0807_0605);
    assert_eq!(hello.fields().path_id(), PathId(counted(13)));
    assert_eq!(hello.noise(), &noise);
    assert_eq!(hello.ephemeral(), counted::<32>(0x40));
    assert_eq!(hello.mac1(), counted::<16>(0x90));
    assert_eq!(hello.cookie(), Some(counted(0xB0)));
    assert_eq!(hello.payload(), &payload);
    let parts = [Hello::PROLOGUE, Hello::MAC1_INPUT, Hello::EPHEMERAL, Hello::MAC1, Hello::COOKIE];
    assert_eq!(parts, [0..20, 0..68, 20..52, 68..84, 84..100]);
}

#[test]
fn a_cookie_of_zeros_is_none_and_a_single_bit_of_padding_is_an_error() {
    let mut payload = [0; HELLO_PAYLOAD_LEN];
    assert_eq!(Hello::parse(&payload).map(|hello| hello.cookie()), Ok(None));
    for at in 84..100 {
        payload[at] = 1;
        assert!(Hello::parse(&payload).is_ok_and(|hello| hello.cookie().is_some()), "{at}");
        payload[at] = 0;
    }
    for at in 100..HELLO_PAYLOAD_LEN {
        payload[at] = 1;
        assert!(matches!(Hello::parse(&payload), Err(Malformed)), "{at}");
        payload[at] = 0;
    }
    assert!(Hello::parse(&payload[..HELLO_PAYLOAD_LEN - 1]).is_err());
    assert!(Hello::parse(&[0; HELLO_PAYLOAD_LEN + 1]).is_err());
}

#[test]
fn an_auth_proof_has_one_length() {
    let payload = counted::<AUTH_PROOF_LEN>(7);
    let proof = AuthProof::parse(&payload).expect("its length");
    assert_eq!(proof.noise, &payload[..144]);
    assert_eq!(proof.mac2, payload[144..]);
    assert!(AuthProof::parse(&payload[1..]).is_err());
    assert!(AuthProof::parse(&[0; AUTH_PROOF_LEN + 1]).is_err());
    assert!(AuthProof::parse(&[0; 3]).is_err());
}

/// A RESUME's payload, or `None` where it does not fit.
fn resume(ticket: usize, noise: usize) -> Option<[u8; HELLO_PAYLOAD_LEN]> {
    let mut payload = [0; HELLO_PAYLOAD_LEN];
    let (ticket, noise) = (vec![1; ticket], vec![2; noise]);
    let layout = write_resume(&mut payload, 1, 3, 9, PathId([5; 8]), &ticket, &noise).ok()?;
    payload[layout.mac1..layout.mac1 + 16].fill(3);
    payload[layout.cookie..layout.cookie + 16].fill(4);
    Some(payload)
}

#[test]
fn a_resume_that_fills_its_packet_fits_and_one_byte_more_does_not() {
    for ticket in [0, 1, 100, MAX_TICKET] {
        let early = Resume::early_capacity(ticket);
        // 20 bytes of fields, two lengths, a Noise message, mac1 and cookie.
        assert_eq!(early, 1172 - 20 - 2 - ticket - 2 - 112 - 16 - 16);
        let full = resume(ticket, 112 + early).expect("it fills the packet");
        let parsed = Resume::parse(&full).expect("well-formed");
        assert_eq!((parsed.ticket.len(), parsed.noise.len()), (ticket, 112 + early));
        assert_eq!((parsed.fields.suite(), parsed.fields.timestamp_ms()), (1, 9));
        assert_eq!((parsed.mac1, parsed.cookie()), ([3; 16], Some([4; 16])));
        assert_eq!(parsed.mac1_input.len(), 20 + 2 + ticket + 2 + 112 + early);
        assert!(resume(ticket, 113 + early).is_none(), "one byte more");
    }
}

#[test]
fn a_resume_with_a_length_out_of_its_range_is_malformed() {
    assert!(Resume::parse(&resume(MAX_TICKET, 112).expect("it fits")).is_ok());
    assert!(Resume::parse(&resume(MAX_TICKET + 1, 112).expect("it fits")).is_err(), "ticket");
    for noise in [0, 1, 110, 111] {
        assert!(Resume::parse(&resume(0, noise).expect("it fits")).is_err(), "{noise}");
    }
    assert!(Resume::parse(&resume(0, 112).expect("it fits")).is_ok());
    assert!(Resume::parse(&resume(0, 113).expect("it fits")).is_ok());
}

#[test]
fn a_final_takes_the_longest_ticket_and_a_close_the_longest_message() {
    for (len, fits) in [(0, true), (511, true), (512, true), (513, false)] {
        let mut body = vec![0; 19];
        body.extend_from_slice(&(len as u16).to_le_bytes());
        body.resize(21 + len, 7);
        let parsed = frame::parse(FrameType::FINAL, Flags::NONE, 0, &body);
        let ticket = match parsed {
            Ok(Frame::Final(Final { ticket, .. })) => Some(ticket.len()),
            Err(FrameError::Value) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(ticket, fits.then_some(len));
    }
    for (len, fits) in [(0, true), (255, true), (256, true), (257, false)] {
        let mut body = vec![2, 0, 0];
        body.extend_from_slice(&(len as u16).to_le_bytes());
        body.resize(5 + len, b'x');
        let parsed = frame::parse(FrameType::SESSION_CLOSE, Flags::NONE, 0, &body);
        let message = match parsed {
            Ok(Frame::SessionClose(SessionClose { message, .. })) => Some(message.len()),
            Err(FrameError::Value) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(message, fits.then_some(len));
    }
}

#[test]
fn only_acks_and_closes_ask_for_nothing() {
    let mut buf = [0; 64];
    let mut out = Writer::new(&mut buf);
    frame::ack::write_ack(&mut out, 0, std::iter::once(3..=4), None).expect("room");
    let len = out.len();
    let ack = frame::parse(FrameType::ACK, Flags::NONE, 0, &buf[..len]).expect("an ACK");
    assert!(!ack.is_ack_eliciting());
    let close = SessionClose { reason: CloseReason::Graceful, code: 0, message: "" };
    assert!(!Frame::SessionClose(close).is_ack_eliciting());
    assert!(Frame::RetireId { sequence: 0 }.is_ack_eliciting());
    assert!(Frame::Unknown { frame_type: FrameType(0x7F) }.is_ack_eliciting());

    // The parts of a BUNDLE decide for it.
    let part = |frame_type: FrameType, body: &[u8]| {
        let mut part = vec![frame_type.0, 0, 0];
        part.extend_from_slice(&(body.len() as u16).to_le_bytes());
        part.extend_from_slice(body);
        part
    };
    let alone = part(FrameType::ACK, &buf[..len]);
    let with_another = [alone.clone(), part(FrameType::RETIRE_ID, &[0])].concat();
    for (payload, eliciting) in [(vec![], false), (alone, false), (with_another, true)] {
        let bundle = frame::parse(FrameType::BUNDLE, Flags::NONE, 0, &payload).expect("a BUNDLE");
        assert_eq!(bundle.is_ack_eliciting(), eliciting, "{payload:?}");
    }
}

/// Types of nobody are reported and skipped, whatever stream they name; those of somebody are judged.
#[test]
fn an_unknown_type_is_not_judged_by_its_stream() {
    for stream_id in [0, 4] {
        let frame = frame::parse(FrameType(0x7F), Flags::NONE, stream_id, b"?").expect("skipped");
        assert!(matches!(frame, Frame::Unknown { frame_type: FrameType(0x7F) }));
    }
    let custom = |stream_id| frame::parse(FrameType(0x80), Flags::NONE, stream_id, b"x");
    assert!(custom(0).is_ok());
    assert!(matches!(custom(4), Err(FrameError::StreamId)));
}

#[test]
fn names_and_categories_are_those_of_the_reference() {
    let categories = [
        (Category::Connection, 1, "connection"),
        (Category::Session, 2, "session"),
        (Category::Stream, 3, "stream"),
        (Category::Protocol, 4, "protocol"),
        (Category::Transport, 5, "transport"),
        (Category::Application, 6, "application"),
    ];
    for (category, value, name) in categories {
        assert_eq!((category as u8, category.name()), (value, name));
    }
    for row in ERROR_TABLE {
        assert_eq!(row.code.category() as u16, row.code.as_u16() >> 8, "{}", row.name);
    }
    let actions = [
        (RecoveryAction::Retry, "retry"),
        (RecoveryAction::Reconnect, "reconnect"),
        (RecoveryAction::Reopen, "reopen"),
        (RecoveryAction::FixConfig, "fix-config"),
        (RecoveryAction::Upgrade, "upgrade"),
        (RecoveryAction::ReduceLoad, "reduce-load"),
        (RecoveryAction::Automatic, "automatic"),
        (RecoveryAction::None, "none"),
    ];
    for (action, name) in actions {
        assert_eq!(action.name(), name);
    }
    let subcodes = HandshakeSubcode::ALL.map(HandshakeSubcode::name);
    let expected = [
        "NONCE_REUSE",
        "TIMESTAMP_EXPIRED",
        "CHALLENGE_DECRYPT_FAILED",
        "PROOF_VERIFICATION_FAILED",
    ];
    assert_eq!(subcodes, expected);
    let reasons = CloseReason::ALL.map(CloseReason::name);
    assert_eq!(reasons, ["graceful", "timeout", "error", "auth_failure"]);
}

#[test]
fn flags_are_the_bits_of_section_1_1() {
    let flags = [Flags::SEALED, Flags::FIN, Flags::PRIORITY, Flags::KEY_PHASE];
    assert_eq!(flags.map(Flags::bits), [0x02, 0x04, 0x08, 0x10]);
    for bit in 0..16 {
        let known = (1..=4).contains(&bit);
        assert_eq!(Flags::from_bits(1 << bit).has_unknown(), !known, "bit {bit}");
    }
    assert!(!Flags::from_bits(0x1E).has_unknown());
    assert_eq!(Flags::FIN.with(Flags::FIN), Flags::FIN, "a flag set twice stays set");
}

#[test]
fn what_the_aead_authenticates_is_the_header_but_for_its_checksum() {
    let header = counted::<24>(1);
    assert_eq!(header::aad(&header), counted::<22>(1));
    let clear = Header::clear(FrameType::HELLO, PathId::ZERO, 9);
    let mut bytes = [0xFF; 24];
    clear.write(&mut bytes);
    assert_eq!(bytes[..2], [0x01, 0x01]);
    let sealed = Header::sealed(FrameType::DATA, Flags::NONE, PathId([1; 8]), 4, 1, 9);
    sealed.write(&mut bytes);
    assert_eq!(bytes[..4], [0x81, 0x10, 0x02, 0x00]);
}

#[test]
fn debug_says_what_a_log_needs() {
    assert_eq!(format!("{:?}", PathId(counted(1))), "0102030405060708");
    assert_eq!(format!("{:?} {:?}", FrameType::DATA, FrameType(0x80)), "DATA 0x80");
    assert_eq!(format!("{:?}", FrameType(0x7F)), "0x7f");
}
