use super::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

/// RFC 9001 appendix A.5, whose first five bytes are the whole of QUIC's mask.
#[test]
fn chacha_mask_of_rfc_9001() {
    let key = HeaderKey::new(
        Aead::ChaCha20Poly1305,
        &hex("25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"),
    );
    let mask = key.mask(&hex("5e5cd55c41f69080575d7999c25a5bfb"));
    assert_eq!(mask[..5], hex::<5>("aefefe7d03"));
}

/// FIPS 197 appendix C.3: the mask is the start of the AES-256 block.
#[test]
fn aes_mask_of_fips_197() {
    let key = HeaderKey::new(
        Aead::Aes256Gcm,
        &hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    );
    let mask = key.mask(&hex("00112233445566778899aabbccddeeff"));
    assert_eq!(mask, hex::<11>("8ea2b7ca516745bfeafc49"));
}

#[test]
fn a_batch_is_the_masks_one_by_one() {
    for aead in Aead::ALL {
        let key = HeaderKey::new(aead, &[0x5a; 32]);
        let samples: Vec<[u8; SAMPLE_LEN]> =
            (0..40).map(|i: u8| [i.wrapping_mul(37); SAMPLE_LEN]).collect();
        for count in 0..samples.len() {
            let mut masks = vec![[0; MASK_LEN]; count];
            key.mask_batch(&samples[..count], &mut masks);
            let single: Vec<_> = samples[..count].iter().map(|sample| key.mask(sample)).collect();
            assert_eq!(masks, single);
        }
    }
}

/// The shorter slice decides, whichever it is.
#[test]
fn a_batch_of_unequal_slices_stops_at_the_shorter() {
    let key = HeaderKey::new(Aead::Aes256Gcm, &[1; 32]);
    let mut masks = [[0; MASK_LEN]; 12];
    key.mask_batch(&[[9; SAMPLE_LEN]; 3], &mut masks);
    assert_eq!(masks[2], key.mask(&[9; SAMPLE_LEN]));
    assert_eq!(masks[3], [0; MASK_LEN]);
    key.mask_batch(&[[9; SAMPLE_LEN]; 30], &mut masks);
    assert_eq!(masks[11], key.mask(&[9; SAMPLE_LEN]));
}
