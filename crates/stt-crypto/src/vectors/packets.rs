use serde_json::{Value, json};

use super::{check, hex, seed_bytes};
use crate::schedule::TrafficSecrets;
use crate::{AEAD_TAG_LEN, Aead, SAMPLE_LEN};

fn packets(aead: Aead) -> Value {
    let secrets = TrafficSecrets::new(
        seed_bytes("handshake hash"),
        (seed_bytes("split 1"), seed_bytes("split 2")),
    );
    let (seal, _) = secrets.keys(true, aead);
    let (_, open) = secrets.keys(false, aead);
    let first = &secrets.initiator_to_responder;
    let next = seal.key.next();
    let cases = [
        (0_u64, 0_u8, 1_usize),
        (1, 0, 16),
        (0x1234_5678, 0, 52),
        ((1 << 40) + 7, 1, 200),
        ((1 << 62) - 1, 1, 0),
    ];
    let packets: Vec<_> = cases
        .into_iter()
        .map(|(number, phase, len)| {
            let seal_key = if phase == 0 { &seal.key } else { &next };
            let aad: [u8; 22] = core::array::from_fn(|i| i as u8 ^ 0x81);
            let plaintext: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let mut sealed = plaintext.clone();
            sealed.resize(len + AEAD_TAG_LEN, 0);
            seal_key.seal_in_place(number, &aad, &mut sealed);
            let sample: [u8; SAMPLE_LEN] = *sealed.first_chunk().unwrap();
            let mask = seal.header.mask(&sample);
            assert_eq!(mask, open.header.mask(&sample));
            json!({
                "packet_number": number.to_string(),
                "phase": phase,
                "aad": hex(&aad),
                "plaintext": hex(&plaintext),
                "sealed": hex(&sealed),
                "mask": hex(&mask),
            })
        })
        .collect();
    json!({
        "aead": aead.bit(),
        "name": format!("{aead:?}"),
        "aead_key": hex(&first.aead_key()[..]),
        "iv": hex(&first.iv()[..]),
        "header_key": hex(&first.header_key()[..]),
        "next_aead_key": hex(&first.next().aead_key()[..]),
        "next_iv": hex(&first.next().iv()[..]),
        "packets": packets,
    })
}

#[test]
fn sealed_packets() {
    check(
        "crypto-packets.json",
        &json!({
            "description": "Sealed payloads and header masks. Nonce = iv xor packet number (big-endian, last 8 bytes); phase 1 seals with the next key and iv, the header key stays. Mask = first 11 bytes of AES-256(header_key, first 16 bytes of sealed), or of the ChaCha20 keystream with counter = sample[0..4] little-endian and nonce = sample[4..16]. Packet numbers are decimal text, all else is hex.",
            "aeads": Aead::ALL.map(packets),
        }),
    );
}
