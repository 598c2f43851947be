use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

fn placeholder(seed: &[u8]) -> bool {
    matches!(SharedSeed::new(seed), Err(SeedError::Placeholder { .. }))
}

#[test]
fn short_seeds_are_refused() {
    for len in 0..MIN_SEED_LEN {
        assert_eq!(SharedSeed::new(&vec![1; len]).err(), Some(SeedError::TooShort { len }));
        assert_eq!(NodeSeed::new(&vec![1; len]).err(), Some(SeedError::TooShort { len }));
    }
}

#[test]
fn placeholders_are_refused() {
    assert!(placeholder(&[0; 32]));
    assert!(placeholder(&[0xff; 64]));
    assert!(placeholder(&[0xde, 0xad, 0xbe, 0xef].repeat(8)));
    assert!(placeholder(&b"Xk3!"[..].repeat(20)[..77]));
    assert!(placeholder(&(0..32).collect::<Vec<u8>>()));
    assert!(placeholder(&(0..40).map(|i| 255 - 3 * i).collect::<Vec<u8>>()));
    assert!(placeholder(b"0123456789abcdef0123456789abcdeX"));
    assert!(placeholder(b"my-Secret-CHANGEME-7f3a9c41b2d8e6"));
    assert!(placeholder(b"correct horse battery staple 2024!"));
    assert!(placeholder(b"correcthorsebatterystapleandsomemore"));
}

#[test]
fn seeds_of_little_entropy_are_refused() {
    let mut rng = ChaCha12Rng::from_seed([6; 32]);
    let mut padded = [0; 32];
    rng.fill_bytes(&mut padded[..8]);
    assert!(SharedSeed::new(&padded).is_err());
    // Random choices, but from four values only: 64 bits in 32 bytes.
    let mut few = [0; 32];
    rng.fill_bytes(&mut few);
    let few = few.map(|byte| [0x13, 0x57, 0x9b, 0xf2][usize::from(byte % 4)]);
    assert_eq!(SharedSeed::new(&few).err(), Some(SeedError::LowEntropy));
}

#[test]
fn random_seeds_pass_raw_and_as_text() {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut rng = ChaCha12Rng::from_seed([5; 32]);
    for _ in 0..5_000 {
        let mut seed = [0; 64];
        rng.fill_bytes(&mut seed);
        NodeSeed::new(&seed[..32]).unwrap();
        let hex: String = seed[..32].iter().map(|byte| format!("{byte:02x}")).collect();
        SharedSeed::new(hex.as_bytes()).unwrap();
        SharedSeed::new(format!("{hex}\n").as_bytes()).unwrap();
        let base64: Vec<u8> =
            seed[..43].iter().map(|byte| BASE64[usize::from(byte % 64)]).collect();
        SharedSeed::new(&base64).unwrap();
    }
    assert_ne!(SharedSeed::random(&mut rng).bytes(), SharedSeed::random(&mut rng).bytes());
    assert_eq!(NodeSeed::random(&mut rng).bytes().len(), 32);
}

#[cfg(feature = "passphrase")]
#[test]
fn weak_passphrases_and_short_salts_are_refused() {
    let salt = b"sixteen bytes or";
    for weak in ["", "password", "changeme2024", "Tr0ub4dour", "stt seigr", "11111111111111111111"]
    {
        let error = SharedSeed::from_passphrase(weak, salt).err();
        assert!(
            matches!(error, Some(SeedError::WeakPassphrase { score: 0..=2 })),
            "{weak}: {error:?}"
        );
    }
    assert_eq!(
        SharedSeed::from_passphrase("eleven purple herons argue quietly", &salt[..15]).err(),
        Some(SeedError::SaltTooShort { len: 15 })
    );
}

#[test]
fn nothing_secret_is_shown() {
    let seed: [u8; 32] = core::array::from_fn(|i| (i * i * 7) as u8 ^ 0x5b);
    assert_eq!(format!("{:?}", SharedSeed::new(&seed).unwrap()), "SharedSeed(..)");
    assert_eq!(format!("{:?}", NodeSeed::new(&seed).unwrap()), "NodeSeed(..)");
}
