use super::*;
use crate::{Aead, NetworkKeys, NodeId, NodeIdentity, NodeSeed, SharedSeed};

const PROLOGUE: &[u8] = b"STT/1 and the fields of HELLO";

fn seed(tag: u8) -> [u8; 32] {
    let mut hash = crate::provider::Sha256::new();
    hash.update(&[tag]);
    hash.finish()
}

fn network(tag: u8) -> NetworkKeys {
    NetworkKeys::new(&SharedSeed::new(&seed(tag)).unwrap())
}

fn identity(tag: u8) -> NodeIdentity {
    NodeIdentity::from_seed(&NodeSeed::new(&seed(tag)).unwrap())
}

fn initiator(suite: Suite) -> Initiator {
    Initiator::new(suite, &network(1), &identity(2), PROLOGUE, seed(10)).unwrap()
}

fn responder(suite: Suite) -> Responder {
    Responder::new(suite, &network(1), &identity(3), PROLOGUE, seed(11))
}

/// Message 2 of `responder` for the HELLO of `initiator`.
fn challenge(initiator: &Initiator, responder: &mut Responder) -> Vec<u8> {
    responder.read_message1(&initiator.write_message1()).unwrap();
    let mut message = vec![0; 200];
    let len = responder.write_message2(b"challenge", &mut message).unwrap();
    message.truncate(len);
    message
}

fn proof(initiator: &mut Initiator) -> Vec<u8> {
    let mut message = vec![0; 200];
    let len = initiator.write_message3(b"proof", &mut message).unwrap();
    message.truncate(len);
    message
}

/// Both ends finish with keys that fit.
fn agree(initiator: Initiator, responder: Responder) {
    let (a, b) = (initiator.finish().unwrap(), responder.finish().unwrap());
    assert_eq!(a.handshake_hash(), b.handshake_hash());
    for aead in Aead::ALL {
        for (sender, receiver) in [
            (a.keys(true, aead).0, b.keys(false, aead).1),
            (b.keys(false, aead).0, a.keys(true, aead).1),
        ] {
            let mut packet = *b"payload.................";
            sender.key.seal_in_place(5, b"header", &mut packet);
            assert_eq!(sender.header.mask(&[9; 16]), receiver.header.mask(&[9; 16]));
            assert_eq!(receiver.key.open_in_place(5, b"header", &mut packet), Ok(8));
        }
        // A packet sent back to its sender must not open.
        let (seal, open) = a.keys(true, aead);
        let mut packet = [0; 40];
        seal.key.seal_in_place(5, b"", &mut packet);
        assert!(open.key.open_in_place(5, b"", &mut packet).is_err());
    }
}

#[test]
fn both_suites_complete_and_name_the_peer() {
    for suite in Suite::ALL {
        assert_eq!(Suite::from_id(suite.id()), Some(suite));
        let (mut i, mut r) = (initiator(suite), responder(suite));
        let mut payload = [0; 100];
        let message2 = challenge(&i, &mut r);
        assert_eq!(message2.len(), MESSAGE2_OVERHEAD + 9);
        assert_eq!((i.handshake_hash(), i.remote_static()), (None, None));
        let len = i.read_message2(&message2, &mut payload).unwrap();
        assert_eq!(&payload[..len], b"challenge");
        assert_eq!(i.remote_static(), Some(*identity(3).public()));
        assert!(i.handshake_hash().is_some());
        assert_eq!(i.handshake_hash(), r.handshake_hash());
        let message3 = proof(&mut i);
        assert_eq!(message3.len(), MESSAGE3_OVERHEAD + 5);
        assert_eq!(r.remote_static(), None);
        let len = r.read_message3(&message3, &mut payload).unwrap();
        assert_eq!(&payload[..len], b"proof");
        assert_eq!(NodeId::of(&r.remote_static().unwrap()), identity(2).node_id());
        agree(i, r);
    }
}

#[test]
fn another_seed_fails_at_message_2() {
    let mut i = initiator(Suite::AesGcm);
    let mut r = Responder::new(Suite::AesGcm, &network(99), &identity(3), PROLOGUE, seed(11));
    let message2 = challenge(&i, &mut r);
    assert_eq!(i.read_message2(&message2, &mut [0; 100]), Err(NoiseError::NotVerified));
    // The genuine responder's answer still completes it.
    let mut r = responder(Suite::AesGcm);
    let message2 = challenge(&i, &mut r);
    i.read_message2(&message2, &mut [0; 100]).unwrap();
}

#[test]
fn another_prologue_or_suite_fails_at_message_1() {
    let i = initiator(Suite::AesGcm);
    let mut r =
        Responder::new(Suite::AesGcm, &network(1), &identity(3), b"another prologue", seed(11));
    assert_eq!(r.read_message1(&i.write_message1()), Err(NoiseError::NotVerified));
    let mut r = responder(Suite::ChaChaPoly);
    assert_eq!(r.read_message1(&i.write_message1()), Err(NoiseError::NotVerified));
}

/// Every byte of message 2 in turn is altered: each copy fails and leaves the handshake able to complete.
#[test]
fn altered_challenges_do_not_spoil_the_handshake() {
    for suite in Suite::ALL {
        let (mut i, mut r) = (initiator(suite), responder(suite));
        let message2 = challenge(&i, &mut r);
        for at in 0..message2.len() {
            let mut altered = message2.clone();
            altered[at] ^= 1;
            assert_eq!(
                i.read_message2(&altered, &mut [0; 100]),
                Err(NoiseError::NotVerified),
                "byte {at}"
            );
            assert_eq!((i.handshake_hash(), i.remote_static()), (None, None));
        }
        for len in 0..message2.len() {
            assert_eq!(
                i.read_message2(&message2[..len], &mut [0; 100]),
                Err(NoiseError::NotVerified),
                "length {len}"
            );
        }
        i.read_message2(&message2, &mut [0; 100]).unwrap();
        let message3 = proof(&mut i);
        for at in 0..message3.len() {
            let mut altered = message3.clone();
            altered[at] ^= 0x80;
            assert_eq!(
                r.read_message3(&altered, &mut [0; 100]),
                Err(NoiseError::NotVerified),
                "byte {at}"
            );
            assert_eq!(r.remote_static(), None);
        }
        r.read_message3(&message3, &mut [0; 100]).unwrap();
        agree(i, r);
    }
}

#[test]
fn a_small_buffer_spoils_nothing() {
    let (mut i, mut r) = (initiator(Suite::ChaChaPoly), responder(Suite::ChaChaPoly));
    r.read_message1(&i.write_message1()).unwrap();
    let mut message = [0; 200];
    assert_eq!(r.write_message2(b"challenge", &mut message[..104]), Err(NoiseError::BufferSize));
    let len = r.write_message2(b"challenge", &mut message[..105]).unwrap();
    assert_eq!(i.read_message2(&message[..len], &mut [0; 8]), Err(NoiseError::BufferSize));
    i.read_message2(&message[..len], &mut [0; 9]).unwrap();
    assert_eq!(i.write_message3(b"proof", &mut message[..68]), Err(NoiseError::BufferSize));
    let len = i.write_message3(b"proof", &mut message[..69]).unwrap();
    assert_eq!(r.read_message3(&message[..len], &mut [0; 4]), Err(NoiseError::BufferSize));
    r.read_message3(&message[..len], &mut [0; 5]).unwrap();
    agree(i, r);
}

#[test]
fn steps_out_of_order_are_refused() {
    let out = &mut [0; 200];
    let (mut i, mut r) = (initiator(Suite::AesGcm), responder(Suite::AesGcm));
    assert_eq!(i.write_message3(b"", out), Err(NoiseError::OutOfOrder));
    assert_eq!(r.write_message2(b"", out), Err(NoiseError::OutOfOrder));
    assert_eq!(r.read_message3(&[0; 64], out), Err(NoiseError::OutOfOrder));
    let message2 = challenge(&i, &mut r);
    assert_eq!(r.read_message1(&i.write_message1()), Err(NoiseError::OutOfOrder));
    assert_eq!(r.write_message2(b"", out), Err(NoiseError::OutOfOrder));
    i.read_message2(&message2, out).unwrap();
    assert_eq!(i.read_message2(&message2, out), Err(NoiseError::OutOfOrder));
    assert_eq!(initiator(Suite::AesGcm).finish().err(), Some(NoiseError::OutOfOrder));
    assert_eq!(i.finish().err(), Some(NoiseError::OutOfOrder));
    assert_eq!(r.finish().err(), Some(NoiseError::OutOfOrder));
}

/// An initiator's ephemeral key of small order makes a valid message 1, whose Diffie-Hellman must then be refused.
#[test]
fn an_ephemeral_key_of_small_order_is_refused() {
    let mut i = initiator(Suite::AesGcm);
    let mut message2 = challenge(&i, &mut responder(Suite::AesGcm));
    message2[..32].fill(0);
    assert_eq!(i.read_message2(&message2, &mut [0; 100]), Err(NoiseError::NotVerified));
}
