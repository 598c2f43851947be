use serde_json::{Value, json};

use super::{check, hello, hex, identity, network, prologue, seed_bytes};
use crate::schedule::TrafficSecret;
use crate::{Initiator, Responder, Suite};

/// Both phases' keys of one direction.
pub(super) fn direction(secret: &TrafficSecret) -> Value {
    let next = secret.next();
    json!({
        "aead_key": hex(&secret.aead_key()[..]),
        "iv": hex(&secret.iv()[..]),
        "header_key": hex(&secret.header_key()[..]),
        "next_aead_key": hex(&next.aead_key()[..]),
        "next_iv": hex(&next.iv()[..]),
    })
}

fn transcript(suite: Suite) -> Value {
    let network = network();
    let (header, fields) = hello(suite.id());
    let prologue = prologue(&fields);
    let ephemerals = [seed_bytes("initiator's ephemeral"), seed_bytes("responder's ephemeral")];
    let (payload2, payload3) = (b"challenge parameters", b"proof parameters");
    let mut initiator =
        Initiator::new(suite, &network, &identity("initiator"), &prologue, ephemerals[0]).unwrap();
    let mut responder =
        Responder::new(suite, &network, &identity("responder"), &prologue, ephemerals[1]);
    let mut out = [0; 256];
    let mut payload = [0; 256];

    let message1 = initiator.write_message1();
    responder.read_message1(&message1).unwrap();
    let len = responder.write_message2(payload2, &mut out).unwrap();
    let message2 = out[..len].to_vec();
    let len = initiator.read_message2(&message2, &mut payload).unwrap();
    assert_eq!(&payload[..len], payload2);
    let hash2 = initiator.handshake_hash().unwrap();
    assert_eq!(responder.handshake_hash(), Some(hash2));
    let len = initiator.write_message3(payload3, &mut out).unwrap();
    let message3 = out[..len].to_vec();
    let len = responder.read_message3(&message3, &mut payload).unwrap();
    assert_eq!(&payload[..len], payload3);
    let split = initiator.raw_split().unwrap();
    let secrets = initiator.finish().unwrap();
    assert_eq!(secrets.handshake_hash(), responder.finish().unwrap().handshake_hash());

    let payload_before_mac1 = [&fields[..], &message1].concat();
    json!({
        "suite": suite.id(),
        "name": suite.name(),
        "prologue": hex(&prologue),
        "initiator_ephemeral_private": hex(&ephemerals[0]),
        "responder_ephemeral_private": hex(&ephemerals[1]),
        "hello_mac1": hex(&network.mac1(&[&header, &payload_before_mac1])),
        "payload2": hex(payload2),
        "payload3": hex(payload3),
        "message1": hex(&message1),
        "message2": hex(&message2),
        "message3": hex(&message3),
        "handshake_hash_after_message2": hex(&hash2),
        "handshake_hash": hex(secrets.handshake_hash()),
        "split_initiator_to_responder": hex(&split.0),
        "split_responder_to_initiator": hex(&split.1),
        "initiator_to_responder": direction(&secrets.initiator_to_responder),
        "responder_to_initiator": direction(&secrets.responder_to_initiator),
    })
}

#[test]
fn handshake() {
    let network = network();
    check(
        "crypto-handshake.json",
        &json!({
            "description": "Whole handshakes with fixed keys. Traffic secret = HKDF-Expand(HKDF-Extract(salt = handshake_hash, split key), \"traffic\", 32); from it HKDF-Expand with \"key\" (32), \"iv\" (12), \"header\" (32, first phase only) and \"next\" (32, the next phase's traffic secret). Message 1 has an empty payload. All values are hex.",
            "psk": hex(network.psk()),
            "initiator_static_private": hex(identity("initiator").static_private()),
            "responder_static_private": hex(identity("responder").static_private()),
            "handshakes": Suite::ALL.map(transcript),
        }),
    );
}
