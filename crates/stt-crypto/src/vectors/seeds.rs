use serde_json::json;

use super::{check, hello, hex, identity, network, seed_bytes};
use crate::{CookieKey, NetworkKeys, SharedSeed, derive};

#[test]
fn seeds() {
    let network = network();
    let mac_key = |label| hex(&derive(network.psk(), label)[..]);
    let nodes: Vec<_> = ["initiator", "responder"]
        .into_iter()
        .map(|name| {
            let identity = identity(name);
            let path_id = [0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8];
            json!({
                "node_seed": hex(&seed_bytes(name)),
                "static_private": hex(identity.static_private()),
                "static_public": hex(identity.public()),
                "node_id": identity.node_id().to_string(),
                "path_id": hex(&path_id),
                "reset_token": hex(&identity.reset_token(&path_id)),
            })
        })
        .collect();
    let (header, mut payload) = hello(1);
    payload.extend([0x5e; 48]);
    let pairing: [u8; 16] = core::array::from_fn(|i| i as u8);
    check(
        "crypto-seeds.json",
        &json!({
            "description": "Seeds to keys. HKDF is HKDF-SHA256 with salt \"STT/1\" and 32 bytes of output: psk = HKDF(shared_seed, \"psk\"), mac keys = HKDF(psk, \"mac1\" | \"mac2\" | \"err\"), static_private = HKDF(node_seed, \"static\"), reset key = HKDF(node_seed, \"reset\"), node_id = SHA-256(static_public). Macs are the first 16 bytes of HMAC-SHA256. All values are hex.",
            "shared_seed": hex(&seed_bytes("shared seed")),
            "psk": hex(network.psk()),
            "mac1_key": mac_key("mac1"),
            "mac2_key": mac_key("mac2"),
            "err_key": mac_key("err"),
            "nodes": nodes,
            "hello_mac1": {
                "header": hex(&header),
                "payload_before_mac1": hex(&payload),
                "mac1": hex(&network.mac1(&[&header, &payload])),
            },
            "mac2": { "input": hex(b"mac2 input"), "mac2": hex(&network.mac2(&[b"mac2 ", b"input"])) },
            "err": { "input": hex(b"err input"), "mac": hex(&network.err_mac(&[b"err ", b"input"])) },
            "cookie": {
                "key": hex(&seed_bytes("cookie")),
                "input": hex(b"cookie input"),
                "mac": hex(&CookieKey::new(&seed_bytes("cookie")).mac(&[b"cookie input"])),
            },
            "pairing": {
                "secret": hex(&pairing),
                "shared_seed": hex(SharedSeed::pairing(&pairing).bytes()),
                "psk": hex(NetworkKeys::new(&SharedSeed::pairing(&pairing)).psk()),
            },
        }),
    );
}

#[cfg(feature = "passphrase")]
#[test]
fn passphrase() {
    let (passphrase, salt) = ("eleven purple herons argue quietly", b"salt of sixteen!");
    check(
        "crypto-passphrase.json",
        &json!({
            "description": "Passphrase to shared seed: Argon2id version 0x13, m = 65536 KiB, t = 3, p = 1, 32 bytes of output. The passphrase is UTF-8; all other values are hex.",
            "passphrase": passphrase,
            "salt": hex(salt),
            "shared_seed": hex(SharedSeed::from_passphrase(passphrase, salt).unwrap().bytes()),
        }),
    );
}
