//! Packet numbers travel as their low 32 bits (PROTOCOL.md §1, §4).

/// The full packet number nearest to the one expected next, as RFC 9000 A.3 with 32 bits.
///
/// `largest` is the largest number authenticated so far, `None` before the first packet.
#[must_use]
pub const fn decode_packet_number(largest: Option<u64>, truncated: u32) -> u64 {
    const WINDOW: u64 = 1 << 32;
    const HALF: u64 = WINDOW / 2;
    let expected = match largest {
        Some(largest) => largest.saturating_add(1),
        None => 0,
    };
    let candidate = expected & !(WINDOW - 1) | truncated as u64;
    if candidate.saturating_add(HALF) <= expected && candidate < (1 << 62) - WINDOW {
        candidate + WINDOW
    } else if candidate > expected.saturating_add(HALF) && candidate >= WINDOW {
        candidate - WINDOW
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_half_the_window_of_the_next_are_found() {
        const HALF: u64 = 1 << 31;
        for largest in [
            0,
            1,
            HALF - 2,
            HALF,
            (1 << 32) - 2,
            (1 << 32) - 1,
            1 << 32,
            7 << 32,
            (1 << 61) + 12_345,
        ] {
            let next = largest + 1;
            for distance in [0, 1, 2, 1_000, HALF - 1, HALF] {
                let ahead = next + distance;
                assert_eq!(
                    decode_packet_number(Some(largest), ahead as u32),
                    ahead,
                    "{ahead} after {largest}"
                );
                if let Some(behind) = next.checked_sub(distance.min(HALF - 1)) {
                    assert_eq!(
                        decode_packet_number(Some(largest), behind as u32),
                        behind,
                        "{behind} after {largest}"
                    );
                }
            }
        }
        assert_eq!(decode_packet_number(None, 0), 0);
        assert_eq!(decode_packet_number(None, 5), 5);
    }

    #[test]
    fn extremes_do_not_overflow() {
        for largest in [None, Some(0), Some(u64::MAX), Some((1 << 62) - 1)] {
            for truncated in [0, 1, u32::MAX] {
                let _ = decode_packet_number(largest, truncated);
            }
        }
    }
}
