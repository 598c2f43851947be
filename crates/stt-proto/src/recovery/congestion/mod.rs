//! Congestion control: one trait, and the controllers behind it.

use core::fmt::Debug;
use core::time::Duration;

use super::delivery::{LostFlight, RateSample};
use super::rtt::RttEstimator;
use crate::time::Instant;

mod bbr;
mod cubic;
mod hystart;
mod new_reno;

pub(crate) use bbr::Bbr;
pub(crate) use cubic::Cubic;
pub(crate) use new_reno::NewReno;

/// What one ACK acknowledged of a path's bytes in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked<'a> {
    /// When the ACK came.
    pub(crate) now: Instant,
    /// Bytes newly acknowledged.
    pub(crate) bytes: u64,
    /// Those of them that were sent after [`Controller::recovery_start`]; only they grow the window
    /// (RFC 9002 7.3.2).
    pub(crate) growth_bytes: u64,
    /// The window was not used to the full of late, so that its growth would prove nothing (RFC
    /// 9002 7.8).
    pub(crate) app_limited: bool,
    /// The first ACK of a packet sent since the previous round began: a round trip went by.
    pub(crate) round_started: bool,
    /// The round-trip sample that this ACK gave, without what the peer says that it held it back (RFC 9002 5.3).
    pub(crate) rtt_sample: Option<Duration>,
    /// Bytes in flight now.
    pub(crate) in_flight: u64,
    /// How fast the path delivers, for controllers that ask ([`Controller::wants_rate_samples`]).
    pub(crate) sample: Option<RateSample>,
    /// Round-trip time, this ACK's sample included.
    pub(crate) rtt: &'a RttEstimator,
}

/// A sign of congestion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    /// When the sign was seen.
    pub(crate) now: Instant,
    /// When the latest packet lost, or marked, was sent.
    pub(crate) sent: Instant,
    /// Bytes lost; zero for a mark.
    pub(crate) lost_bytes: u64,
    /// The flight that the packet lost was part of, for controllers that ask for rate samples.
    pub(crate) flight: LostFlight,
    /// All that was sent over a long time was lost (RFC 9002 7.6).
    pub(crate) persistent: bool,
    /// The sign is an ECN mark.
    pub(crate) ecn: bool,
}

/// Decides how many bytes may be in flight on one path.
pub(crate) trait Controller: Debug + Send {
    /// Sending goes on at `now` with nothing in flight since `since`.
    fn on_idle_end(&mut self, now: Instant, since: Instant);

    /// An ACK arrived that acknowledged bytes in flight.
    fn on_ack(&mut self, acked: &Acked<'_>);

    /// Congestion showed. Returns whether it opened a new recovery episode: signs from before the
    /// start of the current one do not (RFC 9002 7.3.2).
    fn on_congestion(&mut self, event: &Congestion) -> bool;

    /// Every packet whose loss made up the current recovery episode arrived after all: takes back
    /// what the episode did, if nothing else happened since (RFC 9438 4.9.2).
    fn on_spurious_congestion(&mut self);

    /// Packets of up to `mtu` bytes fit the path from here on.
    fn on_mtu_update(&mut self, mtu: u16);

    /// Bytes that may be in flight.
    fn window(&self) -> u64;

    /// The slow-start threshold, once congestion set one.
    fn slow_start_threshold(&self) -> Option<u64>;

    /// Whether the window still grows exponentially.
    fn in_slow_start(&self) -> bool {
        self.slow_start_threshold().is_none_or(|threshold| self.window() < threshold)
    }

    /// When the current recovery episode began.
    fn recovery_start(&self) -> Option<Instant>;

    /// Whether ACKs are to bring [`Acked::sample`]; asked once, when the path begins.
    fn wants_rate_samples(&self) -> bool {
        false
    }

    /// A pacing rate in bytes per second, from controllers that model one.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// A controller of the same kind and state, for a path that changes only its port.
    fn clone_box(&self) -> Box<dyn Controller>;
}

impl Clone for Box<dyn Controller> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}

/// The window before anything is known of a path: ten packets, at most 14 720 bytes unless two
/// packets are more (RFC 9002 7.2).
pub(crate) fn initial_window(mtu: u16) -> u64 {
    let mtu = u64::from(mtu);
    (10 * mtu).min((2 * mtu).max(14_720))
}

/// The window that a path always has: two packets (RFC 9002 7.2, kMinimumWindow).
pub(crate) fn minimum_window(mtu: u16) -> u64 {
    2 * u64::from(mtu)
}

/// What all controllers do when the packet size changes: the window stays, within its bounds. An
/// initial window not yet judged by the path follows the size (RFC 9002 7.2).
fn window_for_mtu(window: u64, old: u16, new: u16) -> u64 {
    let window = if window == initial_window(old) { initial_window(new) } else { window };
    window.max(minimum_window(new))
}

/// How long an unused window counts as known (RFC 7661 section 4.1, the non-validated period).
const UNUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// The window and slow-start threshold after nothing was sent from `since` to `now`, if that is so
/// long that the path may be another one (RFC 7661 section 4.4.3): half the window, to be regained
/// quickly up to three quarters of it. Shorter pauses leave it, as pacing prevents the burst.
fn after_pause(
    now: Instant,
    since: Instant,
    (window, threshold): (u64, Option<u64>),
    mtu: u16,
) -> Option<(u64, Option<u64>)> {
    if now.saturating_duration_since(since) < UNUSED_FOR || window <= initial_window(mtu) {
        return None;
    }
    Some((
        (window / 2).max(initial_window(mtu)),
        threshold.map(|threshold| threshold.max(window / 4 * 3)),
    ))
}

/// Bytes of growth earned by `numerator / window` that do not make a whole byte yet are carried in
/// `credit`, so that large windows grow at the right speed on small ACKs.
fn carry(credit: &mut u64, numerator: u64, window: u64) -> u64 {
    let window = window.max(1);
    let sum = credit.saturating_add(numerator);
    *credit = sum % window;
    sum / window
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_windows_of_rfc_9002() {
        assert_eq!(initial_window(1_200), 12_000);
        assert_eq!(initial_window(1_452), 14_520);
        assert_eq!(initial_window(9_000), 18_000);
        assert_eq!(initial_window(65_507), 131_014);
    }

    #[test]
    fn a_window_unused_for_minutes_is_halved_and_soon_regained() {
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        let known = (100_000, Some(80_000));
        assert_eq!(after_pause(at(299), at(0), known, 1_200), None);
        assert_eq!(after_pause(at(300), at(0), known, 1_200), Some((50_000, Some(80_000))));
        assert_eq!(after_pause(at(300), at(0), (100_000, None), 1_200), Some((50_000, None)));
        assert_eq!(
            after_pause(at(300), at(0), (20_000, Some(1_000)), 1_200),
            Some((12_000, Some(15_000)))
        );
        assert_eq!(after_pause(at(300), at(0), (12_000, None), 1_200), None);
    }

    #[test]
    fn a_larger_packet_size_raises_only_the_initial_window() {
        assert_eq!(window_for_mtu(12_000, 1_200, 1_452), 14_520);
        assert_eq!(window_for_mtu(50_000, 1_200, 1_452), 50_000);
        assert_eq!(window_for_mtu(2_400, 1_200, 9_000), 18_000);
    }

    #[test]
    fn what_makes_no_whole_byte_is_carried_to_the_next() {
        let mut credit = 0;
        let grown: Vec<u64> = [7, 7, 7, 25].map(|n| carry(&mut credit, n, 10)).to_vec();
        assert_eq!((grown, credit), (vec![0, 1, 1, 2], 6), "46 tenths");
        assert_eq!((carry(&mut credit, 4, 0), credit), (10, 0), "no window divides by zero");
    }
}
