//! The clear payloads, which anybody can send (PROTOCOL.md §1, §2).
//!
//! Input: a selector byte, then the payload.

use stt_wire::{
    Reader, TransportParams, VarInt, Writer,
    handshake::{AuthProof, ChallengeSealed, ErrorPacket, Hello, ProofSealed, Retry},
    resumption::{Resume, ResumeReplySealed, ResumeSealed},
};

const SELECTORS: u8 = 10;

/// Parses the payload as the selector says; what is written again reads as the same.
pub fn run(data: &[u8]) {
    let Some((selector, payload)) = data.split_first() else { return };
    match selector % SELECTORS {
        0 => {
            if let Ok(hello) = Hello::parse(payload) {
                let fields = hello.fields();
                let _ = (fields.suite(), fields.aeads(), fields.timestamp_ms(), fields.path_id());
                let _ = (hello.noise(), hello.ephemeral(), hello.mac1(), hello.cookie());
            }
        }
        1 => {
            if let Ok(proof) = AuthProof::parse(payload) {
                let _ = format!("{proof:?}");
            }
        }
        2 => {
            if let Ok(retry) = Retry::parse(payload) {
                let again = written(payload, |out| retry.write(out).is_ok());
                assert_eq!(again.as_deref(), Some(payload), "RETRY changes when written again");
            }
        }
        3 => {
            if let Ok(error) = ErrorPacket::parse(payload) {
                let again = written(payload, |out| error.write(out).is_ok());
                let again = again.as_deref().map(ErrorPacket::parse);
                assert!(matches!(again, Some(Ok(_))), "an ERROR that we write is not one");
            }
        }
        4 => {
            if let Ok(resume) = Resume::parse(payload) {
                let _ = format!("{resume:?}");
                let fields = resume.fields;
                let _ = (fields.suite(), fields.aeads(), fields.timestamp_ms(), fields.path_id());
                let _ = (resume.ephemeral(), resume.cookie());
            }
        }
        5 => {
            if let Ok(sealed) = ChallengeSealed::read(payload) {
                assert!(written(payload, |out| sealed.write(out).is_ok()).is_some());
            }
        }
        6 => {
            if let Ok(sealed) = ProofSealed::read(payload) {
                assert!(written(payload, |out| sealed.write(out).is_ok()).is_some());
            }
        }
        7 => {
            if let Ok(sealed) = ResumeReplySealed::read(payload) {
                assert!(written(payload, |out| sealed.write(out).is_ok()).is_some());
            }
            if let Ok(sealed) = ResumeSealed::read(payload) {
                let again = written(payload, |out| sealed.write(out).is_ok()).unwrap_or_default();
                assert_eq!(ResumeSealed::read(&again).map(|again| again.early), Ok(sealed.early));
            }
        }
        8 => {
            if let Ok(params) = TransportParams::read(&mut Reader::new(payload)) {
                let again = written(payload, |out| params.write(out).is_ok()).unwrap_or_default();
                let read = TransportParams::read(&mut Reader::new(&again));
                assert_eq!(read.ok(), Some(params), "parameters change when written and read");
            }
        }
        _ => {
            if let Some((value, len)) = VarInt::read(payload) {
                assert!(len <= payload.len());
                let mut out = [0; 8];
                let written = value.write(&mut out);
                assert_eq!(written, Some(value.encoded_len()));
                assert_eq!(VarInt::read(&out).map(|(v, _)| v), Some(value));
            }
        }
    }
}

/// Payloads of the right lengths, which is what the parsers judge first.
pub fn seeds() -> Vec<Vec<u8>> {
    const LENGTHS: [usize; 8] = [1, 8, 32, 64, 80, 144, 400, 1172];
    let lengths = || LENGTHS.iter().copied();
    (0..SELECTORS)
        .flat_map(|selector| {
            lengths().map(move |len| {
                let mut bytes = vec![0; len + 1];
                bytes[0] = selector;
                bytes
            })
        })
        .collect()
}

fn written(payload: &[u8], write: impl FnOnce(&mut Writer<'_>) -> bool) -> Option<Vec<u8>> {
    // What was read may be written in a longer form, and an input is as long as it likes.
    let mut buffer = vec![0; payload.len() + 2048];
    let mut out = Writer::new(&mut buffer);
    let fits = write(&mut out);
    let len = out.len();
    buffer.truncate(len);
    fits.then_some(buffer)
}
