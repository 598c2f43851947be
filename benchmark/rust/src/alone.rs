//! One primitive on one core, at the sizes that packets have.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Map, json};

use crate::Failure;
use crate::report::say;

/// Bytes at a time: two of Ethernet, a jumbo frame, the largest record of TLS.
const SIZES: [usize; 4] = [1350, 1452, 8952, 16_384];

pub(crate) fn run(what: &str, bytes: u64) -> Result<(), Failure> {
    let mut rates = Map::new();
    for size in SIZES {
        let rate = match what {
            "aead" => aead(size, bytes)?,
            "crc" => crc(size, bytes),
            other => return Err(format!("no such primitive: {other}").into()),
        };
        rates.insert(size.to_string(), json!(rate));
    }
    say(&json!({ "MB/s": rates }));
    Ok(())
}

fn aead(size: usize, bytes: u64) -> Result<f64, Failure> {
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| "the key")?;
    let key = LessSafeKey::new(key);
    let mut buffer = vec![0x5a; size];
    let rounds = bytes / size as u64;
    let started = Instant::now();
    for round in 0..rounds {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&round.to_le_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from([0; 18]), black_box(&mut buffer))
            .map_err(|_| "sealing")?;
        let _ = black_box(tag);
    }
    Ok((rounds * size as u64) as f64 / 1e6 / started.elapsed().as_secs_f64())
}

fn crc(size: usize, bytes: u64) -> f64 {
    let buffer = vec![0x5a; size];
    let rounds = bytes / size as u64;
    let started = Instant::now();
    for _ in 0..rounds {
        black_box(crc32fast::hash(black_box(&buffer)));
    }
    (rounds * size as u64) as f64 / 1e6 / started.elapsed().as_secs_f64()
}
