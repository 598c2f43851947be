//! Two nodes of one network with fixed secrets, for the targets that need keys.

use stt_crypto::{
    Initiator, MESSAGE1_LEN, NetworkKeys, NodeIdentity, NodeSeed, Responder, SharedSeed, Suite,
};

/// What both sides put into the handshake beside their keys.
pub const PROLOGUE: &[u8] = b"STT/1, a fuzzer's HELLO";
/// The payloads of messages 2 and 3.
pub const PAYLOADS: [&[u8]; 2] = [b"challenge, sealed", b"proof, sealed"];

/// Bytes that pass for random, by a multiplication that walks through all residues.
fn secret(tag: u8) -> [u8; 32] {
    let mut state = u32::from(tag) ^ 0x9e37_79b9;
    core::array::from_fn(|_| {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (state >> 24) as u8
    })
}

/// The keys of the one network there is.
pub fn network() -> NetworkKeys {
    NetworkKeys::new(&SharedSeed::new(&secret(1)).expect("a good seed"))
}

/// A node's identity.
pub fn identity(tag: u8) -> NodeIdentity {
    NodeIdentity::from_seed(&NodeSeed::new(&secret(tag)).expect("a good seed"))
}

/// The side that sends HELLO.
pub fn initiator(suite: Suite) -> Initiator {
    Initiator::new(suite, &network(), &identity(2), PROLOGUE, secret(10)).expect("a good prologue")
}

/// The side that answers it.
pub fn responder(suite: Suite) -> Responder {
    Responder::new(suite, &network(), &identity(3), PROLOGUE, secret(11))
}

/// Every message of one good handshake; with these inputs it is always the same.
pub struct Transcript {
    /// Message 1.
    pub first: [u8; MESSAGE1_LEN],
    /// Messages 2 and 3.
    pub later: [Vec<u8>; 2],
    /// Both ends, ready to finish.
    pub ends: (Initiator, Responder),
}

/// Runs the handshake.
pub fn transcript(suite: Suite) -> Transcript {
    let (mut ours, mut theirs) = (initiator(suite), responder(suite));
    let (mut message, mut plain) = ([0; 256], [0; 256]);
    let first = ours.write_message1();
    theirs.read_message1(&first).expect("message 1");
    let len = theirs.write_message2(PAYLOADS[0], &mut message).expect("room for message 2");
    let second = message[..len].to_vec();
    ours.read_message2(&second, &mut plain).expect("message 2");
    let len = ours.write_message3(PAYLOADS[1], &mut message).expect("room for message 3");
    let third = message[..len].to_vec();
    theirs.read_message3(&third, &mut plain).expect("message 3");
    Transcript { first, later: [second, third], ends: (ours, theirs) }
}
