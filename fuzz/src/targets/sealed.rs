//! Sealed payloads: open, unmask, and nothing that was touched opens (PROTOCOL.md sections 1 and 4).
//!
//! Input: AEAD u8, packet number u64 (little endian), position u16, change u8, then what is sealed.

use std::sync::OnceLock;

use stt_crypto::{AEAD_TAG_LEN, Aead, OpenKeys, SAMPLE_LEN, SealKeys, Suite};

use crate::peers::transcript;

/// Bytes of a header that the tag covers.
const AAD: usize = 22;
const PREFIX: usize = 12;

/// Seals, changes one byte as told, opens; then tries the input itself as a sealed payload.
pub fn run(data: &[u8]) {
    let Some((prefix, plain)) = data.split_first_chunk::<PREFIX>() else { return };
    let [aead, number @ .., low, high, change] = prefix;
    let number = u64::from_le_bytes(*number);
    let (seal, open) = keys(*aead);

    let mut aad = [0x5a; AAD];
    let mut packet = [plain, &[0; AEAD_TAG_LEN]].concat();
    seal.key.seal_in_place(number, &aad, &mut packet);
    let at = usize::from(u16::from_le_bytes([*low, *high])) % (AAD + packet.len());
    match at.checked_sub(AAD) {
        None => aad[at] ^= change,
        Some(at) => packet[at] ^= change,
    }
    let opened = open.key.open_in_place(number, &aad, &mut packet);
    if *change == 0 {
        assert_eq!(opened, Ok(plain.len()), "an untouched packet does not open");
        assert_eq!(&packet[..plain.len()], plain);
    } else {
        assert!(opened.is_err(), "a touched packet opens");
    }

    let mut noise = plain.to_vec();
    assert!(open.key.open_in_place(number, &aad, &mut noise).is_err(), "noise opens");
    let samples: Vec<[u8; SAMPLE_LEN]> =
        plain.chunks_exact(SAMPLE_LEN).take(9).filter_map(|part| part.try_into().ok()).collect();
    let mut masks = vec![[0; 11]; samples.len()];
    open.header.mask_batch(&samples, &mut masks);
    for (sample, mask) in samples.iter().zip(&masks) {
        assert_eq!(mask, &seal.header.mask(sample), "the two ends mask differently");
    }
}

/// Both AEADs: untouched, a changed header, a changed text, a changed tag, nothing but a tag.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for aead in [0, 1] {
        for (len, at, change) in [(0, 0, 0), (1, 0, 1), (40, 30, 0x80), (200, 230, 2), (1200, 0, 0)]
        {
            let mut input = vec![aead, 7, 0, 0, 0, 0, 0, 0, 0, at, 0, change];
            input.resize(PREFIX + len, 0xa5);
            seeds.push(input);
        }
    }
    seeds
}

fn keys(aead: u8) -> (&'static SealKeys, &'static OpenKeys) {
    static KEYS: [OnceLock<(SealKeys, OpenKeys)>; 2] = [OnceLock::new(), OnceLock::new()];
    let index = usize::from(aead & 1);
    let (seal, open) = KEYS[index].get_or_init(|| {
        let (ours, theirs) = transcript(Suite::AesGcm).ends;
        let (ours, theirs) = (ours.finish().expect("keys"), theirs.finish().expect("keys"));
        let aead = Aead::ALL[index];
        (ours.keys(true, aead).0, theirs.keys(false, aead).1)
    });
    (seal, open)
}
