use serde_json::{Value, json};

use super::handshake::direction;
use super::{check, hello, hex, network, seed_bytes};
use crate::schedule::TrafficSecrets;
use crate::{RESUME_OVERHEAD, ResumeInitiator, ResumeResponder, Suite};

/// RESUME's header: HELLO's with another type.
fn header() -> [u8; 22] {
    let (mut header, _) = hello(1);
    header[1] = 0x06;
    header
}

fn transcript(suite: Suite) -> Value {
    let before = TrafficSecrets::new(
        seed_bytes("earlier handshake hash"),
        (seed_bytes("earlier key of the initiator"), seed_bytes("earlier key of the responder")),
    );
    let secret = before.resumption_secret();
    let (_, fields) = hello(suite.id());
    let ticket: Vec<u8> = (0..105).collect();
    let prologue = [b"STT/1", &fields[..], &ticket].concat();
    let ephemerals = [seed_bytes("initiator's ephemeral"), seed_bytes("responder's ephemeral")];
    let payload1 = b"parameters, reset token, early data";
    let payload2 = b"path id, AEAD, flags, parameters";
    let mut message1 = vec![0; payload1.len() + RESUME_OVERHEAD];
    let mut initiator =
        ResumeInitiator::new(suite, secret, &prologue, ephemerals[0], payload1, &mut message1)
            .unwrap();
    let mut payload = [0; 64];
    let (responder, len) = ResumeResponder::read_message1(
        suite,
        secret,
        &prologue,
        ephemerals[1],
        &message1,
        &mut payload,
    )
    .unwrap();
    assert_eq!(&payload[..len], payload1);
    let mut message2 = vec![0; payload2.len() + RESUME_OVERHEAD];
    let theirs = responder.write_message2(payload2, &mut message2).unwrap();
    let len = initiator.read_message2(&message2, &mut payload).unwrap();
    assert_eq!(&payload[..len], payload2);
    let split = initiator.raw_split().unwrap();
    let secrets = initiator.finish().unwrap();
    assert_eq!(secrets.handshake_hash(), theirs.handshake_hash());
    let len = |bytes: &[u8]| (bytes.len() as u16).to_le_bytes();
    let before_mac1 = [&fields[..], &len(&ticket), &ticket, &len(&message1), &message1].concat();
    json!({
        "suite": suite.id(),
        "name": suite.resumption_name(),
        "earlier_handshake_hash": hex(before.handshake_hash()),
        "earlier_split_initiator_to_responder": hex(&seed_bytes("earlier key of the initiator")),
        "earlier_split_responder_to_initiator": hex(&seed_bytes("earlier key of the responder")),
        "ticket_secret": hex(secret),
        "ticket": hex(&ticket),
        "prologue": hex(&prologue),
        "initiator_ephemeral_private": hex(&ephemerals[0]),
        "responder_ephemeral_private": hex(&ephemerals[1]),
        "payload1": hex(payload1),
        "payload2": hex(payload2),
        "message1": hex(&message1),
        "message2": hex(&message2),
        "resume_payload_before_mac1": hex(&before_mac1),
        "resume_mac1": hex(&network().mac1(&[&header(), &before_mac1])),
        "handshake_hash": hex(secrets.handshake_hash()),
        "split_initiator_to_responder": hex(&split.0),
        "split_responder_to_initiator": hex(&split.1),
        "next_ticket_secret": hex(secrets.resumption_secret()),
        "initiator_to_responder": direction(&secrets.initiator_to_responder),
        "responder_to_initiator": direction(&secrets.responder_to_initiator),
    })
}

#[test]
fn resumption() {
    check(
        "crypto-resumption.json",
        &json!({
            "description": "Resumptions with fixed keys. Ticket secret = HKDF-Expand(HKDF-Extract(salt = handshake hash of the earlier session, its split keys, the initiator's first), \"resume\", 32); it is the psk of Noise_NNpsk0, whose prologue is \"STT/1\", the 20 bytes of HELLO's fields, and the ticket. The ticket and both payloads are arbitrary here. Traffic keys as in crypto-handshake.json. All values are hex.",
            "psk": hex(network().psk()),
            "resume_header": hex(&header()),
            "resumptions": Suite::ALL.map(transcript),
        }),
    );
}
