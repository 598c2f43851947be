//! The three messages of the Noise handshake (PROTOCOL.md section 2): only the genuine ones verify, and
//! after any forgery the genuine one still does.
//!
//! Input: suite and message in one byte, then the message.

use std::sync::OnceLock;

use stt_crypto::Suite;

use crate::peers::{PAYLOADS, Transcript, initiator, responder, transcript};

/// Tries the bytes as the message that the first byte names.
pub fn run(data: &[u8]) {
    let Some((selector, message)) = data.split_first() else { return };
    let suite = Suite::ALL[usize::from(selector & 1)];
    let good = known(suite);
    match (selector >> 1) % 3 {
        0 => first(suite, message),
        1 => second(suite, message, good),
        _ => third(suite, message, good),
    }
}

/// The genuine messages of both suites.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (index, suite) in Suite::ALL.into_iter().enumerate() {
        let good = known(suite);
        let messages = [&good.first[..], &good.later[0], &good.later[1]];
        for (step, message) in messages.into_iter().enumerate() {
            let selector = (index | step << 1) as u8;
            seeds.push([&[selector], message].concat());
        }
    }
    seeds
}

/// Anybody can make a message 1: what must hold is that the answer to it gives nothing away but bytes.
fn first(suite: Suite, message: &[u8]) {
    let Ok(message) = message.try_into() else { return };
    let mut side = responder(suite);
    let mut answer = [0; 256];
    if side.read_message1(message).is_ok() {
        let _ = side.write_message2(PAYLOADS[0], &mut answer);
        assert!(side.remote_static().is_none(), "a peer without a proof");
    }
    assert!(side.finish().is_err(), "keys after message 1");
}

fn second(suite: Suite, message: &[u8], good: &Transcript) {
    let mut side = initiator(suite);
    let mut plain = [0; 256];
    let genuine = message == good.later[0];
    let read = side.read_message2(message, &mut plain[..message.len().min(256)]);
    assert_eq!(read.is_ok(), genuine, "message 2: {read:?}");
    if !genuine {
        assert!(side.remote_static().is_none() && side.handshake_hash().is_none());
        let len = side.read_message2(&good.later[0], &mut plain);
        assert_eq!(len, Ok(PAYLOADS[0].len()), "the genuine message 2 after a forgery");
    }
    assert_eq!(&plain[..PAYLOADS[0].len()], PAYLOADS[0]);
}

fn third(suite: Suite, message: &[u8], good: &Transcript) {
    let mut side = responder(suite);
    let (mut answer, mut plain) = ([0; 256], [0; 256]);
    assert!(side.read_message1(&good.first).is_ok());
    assert!(side.write_message2(PAYLOADS[0], &mut answer).is_ok());
    let genuine = message == good.later[1];
    let read = side.read_message3(message, &mut plain[..message.len().min(256)]);
    assert_eq!(read.is_ok(), genuine, "message 3: {read:?}");
    if !genuine {
        assert!(side.remote_static().is_none());
        let len = side.read_message3(&good.later[1], &mut plain);
        assert_eq!(len, Ok(PAYLOADS[1].len()), "the genuine message 3 after a forgery");
    }
    assert!(side.finish().is_ok());
}

fn known(suite: Suite) -> &'static Transcript {
    static KNOWN: [OnceLock<Transcript>; 2] = [OnceLock::new(), OnceLock::new()];
    KNOWN[usize::from(suite != Suite::ALL[0])].get_or_init(|| transcript(suite))
}
