//! Inputs from a seed: the same seed gives the same inputs on every machine.

/// SplitMix64: small, fast, and good enough to choose mutations with.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator whose numbers follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next_u64() % end as u64) as usize }
    }
}

/// Lengths, counts and limits go wrong at their edges.
const EDGES: [u64; 16] = [
    0,
    1,
    0x3f,
    0x40,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x3fff,
    0x4000,
    0x7fff,
    0xffff,
    0x3fff_ffff,
    0xffff_ffff,
    (1 << 62) - 1,
    u64::MAX,
];

/// Changes `bytes` in one to eight places, never to more than `limit` bytes. `other` is a second
/// input to take pieces from.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8], limit: usize) {
    for _ in 0..=random.below(8) {
        match random.below(9) {
            0 => flip_bit(random, bytes),
            1 => {
                let at = random.below(bytes.len());
                let value = random.next_u64() as u8;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            2 => write_edge(random, bytes),
            3 => {
                let len = random.below(bytes.len() + 1);
                bytes.truncate(len);
            }
            4 => {
                let more = random.below(64);
                bytes.extend((0..more).map(|_| random.next_u64() as u8));
            }
            5 => {
                let at = random.below(bytes.len() + 1);
                bytes.insert(at, random.next_u64() as u8);
            }
            6 => {
                let range = range_of(random, bytes.len());
                bytes.drain(range);
            }
            7 => {
                let range = range_of(random, bytes.len());
                let piece = bytes[range].to_vec();
                splice(random, bytes, &piece);
            }
            _ => {
                let range = range_of(random, other.len());
                splice(random, bytes, &other[range]);
            }
        }
    }
    bytes.truncate(limit);
}

fn flip_bit(random: &mut Random, bytes: &mut [u8]) {
    let at = random.below(bytes.len());
    let bit = random.below(8);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

/// An edge value in one, two, four or eight bytes of either order, or as a varint of that length.
fn write_edge(random: &mut Random, bytes: &mut [u8]) {
    let value = EDGES[random.below(EDGES.len())];
    let size_log = random.below(4);
    let size = 1 << size_log;
    let at = random.below(bytes.len());
    let Some(place) = bytes.get_mut(at..at + size) else { return };
    match random.below(3) {
        0 => place.copy_from_slice(&value.to_le_bytes()[..size]),
        1 => place.copy_from_slice(&value.to_be_bytes()[8 - size..]),
        _ => {
            place.copy_from_slice(&value.to_be_bytes()[8 - size..]);
            place[0] = place[0] & 0x3f | (size_log as u8) << 6;
        }
    }
}

fn splice(random: &mut Random, bytes: &mut Vec<u8>, piece: &[u8]) {
    let at = random.below(bytes.len() + 1);
    bytes.splice(at..at, piece.iter().copied());
}

fn range_of(random: &mut Random, len: usize) -> std::ops::Range<usize> {
    let start = random.below(len + 1);
    let end = start + random.below(len - start + 1);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let inputs = |seed| {
            let mut random = Random::new(seed);
            let mut bytes = vec![7; 40];
            (0..100)
                .map(|_| {
                    mutate(&mut random, &mut bytes, &[1, 2, 3], 4096);
                    bytes.clone()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    #[test]
    fn any_length_can_be_mutated_and_none_passes_the_limit() {
        let mut random = Random::new(3);
        for len in 0..70 {
            for _ in 0..200 {
                let mut bytes = vec![0; len];
                mutate(&mut random, &mut bytes, &[], 64);
                assert!(bytes.len() <= 64);
            }
        }
    }
}
