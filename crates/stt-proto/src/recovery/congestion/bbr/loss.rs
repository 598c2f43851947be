//! When losses mean that too much is in flight, and when chance explains them.

/// BBRLossThresh: the loss rate that is put up with, in hundredths (draft-ietf-ccwg-bbr, section 2.4).
const LOSS_THRESHOLD: u64 = 2;

/// Whether `lost` bytes of a flight of `flight` exceed the threshold by more than chance does.
///
/// A flight is a small sample: of 25 packets on a path that loses 1 % at random, every fourth flight
/// loses one and so 4 %. The threshold alone would take each of them for a full queue. Here the
/// count of lost packets must lie two standard deviations above what the threshold leads to expect,
/// and a packet more, which an overflowing queue passes at once.
pub(super) fn is_excessive(lost: u64, flight: u64, mtu: u16) -> bool {
    let mtu = u64::from(mtu).max(1);
    // In hundredths of a packet, so that small flights don't round to nothing.
    let expected = (flight / mtu).saturating_mul(LOSS_THRESHOLD);
    let deviation = expected.saturating_mul(100).isqrt();
    let lost = lost.saturating_mul(100) / mtu;
    lost > expected.saturating_add(2 * deviation + 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_flights_are_not_judged_by_one_packet() {
        assert!(!is_excessive(1_000, 10_000, 1_000));
        assert!(!is_excessive(3_000, 30_000, 1_000));
        assert!(is_excessive(4_000, 30_000, 1_000));
    }

    #[test]
    fn large_flights_are_judged_by_the_rate() {
        // 2 % of 1 000 packets are 20, and two deviations are 9.
        assert!(!is_excessive(29_000, 1_000_000, 1_000));
        assert!(is_excessive(31_000, 1_000_000, 1_000));
    }

    #[test]
    fn no_number_overflows() {
        assert!(!is_excessive(0, u64::MAX, 1));
        assert!(is_excessive(u64::MAX, 0, 1));
    }
}
