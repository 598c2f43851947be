//! The known answers in `vectors/crypto-*.json`: every provider must give them (`npm test` runs them with each), and so must any other
//! implementation of STT.
//!
//! Each file is computed here from its fixed inputs and compared as a whole. After a deliberate change of the protocol, run the tests
//! once with `STT_WRITE_VECTORS=1` to write the files anew, and review the difference.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use crate::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};

mod handshake;
mod packets;
mod resumption;
mod seeds;

/// Compares `computed` with the file of that name.
fn check(name: &str, computed: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(name);
    if env::var_os("STT_WRITE_VECTORS").is_some() {
        fs::write(&path, format!("{computed:#}\n")).unwrap();
    }
    let stored: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(&stored, computed, "{name} differs");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A fixed seed that passes the checks: SHA-256 of `name`.
fn seed_bytes(name: &str) -> [u8; 32] {
    let mut hash = crate::provider::Sha256::new();
    hash.update(name.as_bytes());
    hash.finish()
}

fn network() -> NetworkKeys {
    NetworkKeys::new(&SharedSeed::new(&seed_bytes("shared seed")).unwrap())
}

fn identity(name: &str) -> NodeIdentity {
    NodeIdentity::from_seed(&NodeSeed::new(&seed_bytes(name)).unwrap())
}

/// HELLO's header (22 bytes) and its payload up to the Noise message: suite, AEAD bitmap, timestamp, initiator's path id.
fn hello(suite: u16) -> ([u8; 22], Vec<u8>) {
    let mut header = [0; 22];
    header[0] = 0x01;
    header[1] = 0x01;
    header[20..].copy_from_slice(&1172_u16.to_le_bytes());
    let mut fields = suite.to_le_bytes().to_vec();
    fields.extend(3_u16.to_le_bytes());
    fields.extend(1_750_000_000_000_u64.to_le_bytes());
    fields.extend([0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8]);
    (header, fields)
}

/// The prologue: "STT/1", then those fields.
fn prologue(fields: &[u8]) -> Vec<u8> {
    [b"STT/1", fields].concat()
}
