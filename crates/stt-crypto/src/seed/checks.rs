//! What tells a seed that was never random. Each rule refuses a truly random seed less often than once in ten million.

use super::{MIN_SEED_LEN, SeedError};

/// Words of examples and templates; long enough not to turn up in a random seed written as hex or base64.
const WORDS: [&str; 16] = [
    "changeme",
    "change-me",
    "change_me",
    "replace",
    "placeholder",
    "example",
    "password",
    "passphrase",
    "sharedseed",
    "shared-seed",
    "default",
    "qwertz",
    "qwerty",
    "letmein",
    "12345678",
    "deadbeef",
];

/// The least randomness, in bits, that the distribution of a seed's bytes must leave room for. 32 random bytes measure about 155,
/// 64 random hex digits about 250.
const MIN_BITS: f64 = 96.0;

/// Refuses what is too short or plainly not random.
pub(super) fn check(seed: &[u8]) -> Result<(), SeedError> {
    if seed.len() < MIN_SEED_LEN {
        return Err(SeedError::TooShort { len: seed.len() });
    }
    let placeholder = |why| Err(SeedError::Placeholder { why });
    if seed.iter().all(|byte| *byte == seed[0]) {
        return placeholder("all bytes are equal");
    }
    if is_periodic(seed) {
        return placeholder("it repeats itself");
    }
    if is_counting(seed) {
        return placeholder("most of its bytes go up or down by the same step");
    }
    if let Ok(text) = core::str::from_utf8(seed) {
        let text = zeroize::Zeroizing::new(text.trim().to_ascii_lowercase());
        if WORDS.iter().any(|word| text.contains(word)) {
            return placeholder("it holds a word of examples");
        }
        if is_prose(&text, seed) {
            return placeholder("it is written text; give it as a passphrase");
        }
    }
    if order_zero_bits(seed) < MIN_BITS { Err(SeedError::LowEntropy) } else { Ok(()) }
}

/// Whether a pattern of at most half the length makes up the whole.
fn is_periodic(seed: &[u8]) -> bool {
    (1..=seed.len() / 2).any(|period| seed.iter().zip(&seed[period..]).all(|(a, b)| a == b))
}

/// Whether half of all neighbours differ by the same step.
fn is_counting(seed: &[u8]) -> bool {
    let mut steps = [0_usize; 256];
    for (a, b) in seed.iter().zip(&seed[1..]) {
        steps[usize::from(b.wrapping_sub(*a))] += 1;
    }
    steps.iter().any(|count| *count * 2 >= seed.len())
}

/// Whether it reads as words: with blanks, or of letters of one case with no digit among them. Random seeds in hex or base64 have
/// neither.
fn is_prose(lowercase: &str, seed: &[u8]) -> bool {
    let has_blank = lowercase.contains(char::is_whitespace);
    let wordy = lowercase.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_.,".contains(&byte));
    let one_case =
        !(seed.iter().any(u8::is_ascii_lowercase) && seed.iter().any(u8::is_ascii_uppercase));
    has_blank || (wordy && one_case)
}

/// The Shannon entropy of the bytes' frequencies, times their number: an upper bound for independent bytes of that distribution.
fn order_zero_bits(seed: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in seed {
        counts[usize::from(*byte)] += 1;
    }
    let len = seed.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count))
        .map(|count| count * (len / count).log2())
        .sum()
}
