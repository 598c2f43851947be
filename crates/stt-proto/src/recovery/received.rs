//! Which packets arrived, and when to say so (RFC 9000 section 13.2).

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::VecDeque;

use super::rtt::GRANULARITY;
use crate::time::Instant;

/// Ranges kept at most. Beyond that the oldest go: what they hold will be sent again.
const MAX_RANGES: usize = 128;

/// Room for so many ranges is kept while fewer are in use.
const FEW_RANGES: usize = 16;

/// An ACK at least every second ack-eliciting packet (RFC 9000 13.2.2), until more is known.
const MIN_ACK_EVERY: u32 = 2;

/// An ACK at least every 32nd ack-eliciting packet, however fast they come.
const MAX_ACK_EVERY: u32 = 32;

/// ACKs wanted in each round trip, if the window allows: HyStart++ needs 8 RTT samples a round
/// (RFC 9406 4.3), and a clock of 16 keeps the sender's window moving smoothly.
const ACKS_PER_ROUND: u32 = 16;

/// Packet numbers received, as ranges in ascending order with gaps between.
#[derive(Clone, Debug, Default)]
struct Ranges(VecDeque<RangeInclusive<u64>>);

impl Ranges {
    /// Adds `number`. False if it was there, or is older than all of a full set.
    fn insert(&mut self, number: u64) -> bool {
        // In order, which is nearly always.
        if let Some(last) = self.0.back_mut()
            && last.end().checked_add(1) == Some(number)
        {
            *last = *last.start()..=number;
            return true;
        }
        let at = self.0.partition_point(|r| *r.start() <= number);
        let before = at.checked_sub(1).and_then(|i| self.0.get(i)).cloned();
        if before.as_ref().is_some_and(|r| r.contains(&number)) {
            return false;
        }
        let joins_before = before.filter(|r| r.end() + 1 == number);
        let joins_after = self.0.get(at).filter(|r| number + 1 == *r.start()).cloned();
        match (joins_before, joins_after) {
            (Some(before), Some(after)) => {
                self.0[at - 1] = *before.start()..=*after.end();
                self.0.remove(at);
            }
            (Some(before), None) => self.0[at - 1] = *before.start()..=number,
            (None, Some(after)) => self.0[at] = number..=*after.end(),
            (None, None) => {
                if self.0.len() >= MAX_RANGES {
                    if at == 0 {
                        return false;
                    }
                    self.0.pop_front();
                    self.0.insert(at - 1, number..=number);
                } else {
                    self.0.insert(at, number..=number);
                }
            }
        }
        true
    }

    /// Removes all numbers up to `last`, but never the largest of all.
    fn remove_through(&mut self, last: u64) {
        if self.0.capacity() > FEW_RANGES && self.0.len() <= FEW_RANGES / 4 {
            self.0.shrink_to(FEW_RANGES / 2);
        }
        while let Some(first) = self.0.front().cloned() {
            let newest = self.0.len() == 1;
            if last < *first.start() || (newest && first.start() == first.end()) {
                return;
            }
            if last < *first.end() {
                self.0[0] = last + 1..=*first.end();
                return;
            }
            if newest {
                self.0[0] = *first.end()..=*first.end();
                return;
            }
            self.0.pop_front();
        }
    }
}

/// How urgently an ACK is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    /// Nothing to acknowledge.
    Nothing,
    /// With the next packet that leaves anyhow, or at this time.
    Until(Instant),
    /// At once.
    Now,
}

/// The packet numbers that a session received, and the clock of its ACKs.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedPackets {
    ranges: Ranges,
    largest_arrived: Instant,
    largest_eliciting: Option<u64>,
    /// A packet that elicits nothing left a gap that no ACK has told yet.
    gap: bool,
    due: Due,
    max_ack_delay: Duration,
    /// Ack-eliciting packets since the last ACK.
    unacknowledged: u32,
    /// ACK after so many of them.
    ack_every: u32,
    /// Start of the present round trip, and ack-eliciting packets since.
    round: Option<(Instant, u32)>,
}

impl ReceivedPackets {
    /// Nothing received. ACKs are held back for `max_ack_delay` at most, which the peer must know.
    pub(crate) fn new(max_ack_delay: Duration) -> Self {
        Self {
            ranges: Ranges::default(),
            largest_arrived: Instant::default(),
            largest_eliciting: None,
            gap: false,
            due: Due::Nothing,
            max_ack_delay,
            unacknowledged: 0,
            ack_every: MIN_ACK_EVERY,
            round: None,
        }
    }

    /// Packet `number` arrived and opened. `ce`: the network marked it. `rtt`: the round-trip time of
    /// its path, once measured. The replay window has already dropped what came twice.
    pub(crate) fn on_received(
        &mut self,
        now: Instant,
        number: u64,
        ack_eliciting: bool,
        ce: bool,
        rtt: Option<Duration>,
    ) {
        let previous = self.largest();
        if !self.ranges.insert(number) {
            return;
        }
        if previous.is_none_or(|p| number > p) {
            self.largest_arrived = now;
        }
        self.gap |= previous.is_some_and(|p| number > p.saturating_add(1));
        if !ack_eliciting {
            return;
        }
        self.count_round(now, rtt);
        self.unacknowledged += 1;
        // RFC 9000 13.2.1: out of order, the first after a gap, or marked.
        let late = self.largest_eliciting.is_some_and(|largest| number < largest);
        self.largest_eliciting = self.largest_eliciting.max(Some(number));
        if late || self.gap || ce || self.unacknowledged >= self.ack_every {
            self.due = Due::Now;
        } else if self.due == Due::Nothing {
            self.due = Due::Until(now + self.delay(rtt));
        }
    }

    /// The largest number received.
    pub(crate) fn largest(&self) -> Option<u64> {
        self.ranges.0.back().map(|r| *r.end())
    }

    /// The ranges received and not yet forgotten, newest first.
    pub(crate) fn ranges(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.0.iter().rev().cloned()
    }

    /// How long ago the largest number arrived: the delay that an ACK sent now reports.
    pub(crate) fn ack_delay(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.largest_arrived)
    }

    /// Whether an ACK must leave now.
    pub(crate) fn ack_due(&self, now: Instant) -> bool {
        match self.due {
            Due::Nothing => false,
            Due::Until(deadline) => now >= deadline,
            Due::Now => true,
        }
    }

    /// Whether an ACK is worth adding to a packet that leaves anyhow.
    pub(crate) fn ack_pending(&self) -> bool {
        self.due != Due::Nothing
    }

    /// When [`ack_due`](Self::ack_due) will turn true by itself.
    pub(crate) fn ack_deadline(&self) -> Option<Instant> {
        match self.due {
            Due::Until(deadline) => Some(deadline),
            Due::Nothing | Due::Now => None,
        }
    }

    /// An ACK of all ranges was sent.
    pub(crate) fn on_ack_sent(&mut self, now: Instant) {
        if let Due::Until(deadline) = self.due {
            // The flow became too thin for its rhythm: better many ACKs than a sender that waits.
            if now >= deadline {
                self.ack_every = (self.ack_every / 2).max(MIN_ACK_EVERY);
            }
        }
        self.due = Due::Nothing;
        self.gap = false;
        self.unacknowledged = 0;
    }

    /// The peer acknowledged a packet with our ACK up to `largest`: that part need not be repeated
    /// (RFC 9000 13.2.4).
    pub(crate) fn on_ack_acked(&mut self, largest: u64) {
        self.ranges.remove_through(largest);
    }

    /// A quarter of a round trip, so that the peer's round-trip time hardly grows.
    fn delay(&self, rtt: Option<Duration>) -> Duration {
        let max = self.max_ack_delay.max(GRANULARITY);
        rtt.map_or(max, |rtt| (rtt / 4).clamp(GRANULARITY, max))
    }

    /// Adapts the rhythm to what a round trip brings. The window of the sender is at least that
    /// much, so that it never waits for an ACK that waits for its packets.
    fn count_round(&mut self, now: Instant, rtt: Option<Duration>) {
        let Some(rtt) = rtt else { return };
        match &mut self.round {
            Some((start, count)) => {
                *count += 1;
                let elapsed = now.saturating_duration_since(*start);
                if elapsed >= rtt {
                    // A round that lasted longer held fewer packets in each round trip.
                    let trips = elapsed.as_nanos() / rtt.as_nanos().max(1);
                    let trips = u32::try_from(trips).unwrap_or(u32::MAX).max(1);
                    let every = *count / trips / ACKS_PER_ROUND;
                    self.ack_every = every.clamp(MIN_ACK_EVERY, MAX_ACK_EVERY);
                    self.round = Some((now, 0));
                }
            }
            None => self.round = Some((now, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;

    const DELAY: Duration = Duration::from_millis(25);
    const RTT: Option<Duration> = Some(Duration::from_millis(40));

    fn at(us: u64) -> Instant {
        Instant::from_nanos(us * 1_000)
    }

    fn listed(received: &ReceivedPackets) -> Vec<RangeInclusive<u64>> {
        received.ranges().collect()
    }

    #[test]
    fn every_second_packet_draws_an_ack_at_first() {
        let mut r = ReceivedPackets::new(DELAY);
        r.on_received(at(0), 0, true, false, None);
        assert!(!r.ack_due(at(0)) && r.ack_pending());
        assert_eq!(r.ack_deadline(), Some(at(25_000)));
        assert!(r.ack_due(at(25_000)));
        r.on_received(at(5), 1, true, false, None);
        assert!(r.ack_due(at(5)));
        assert_eq!(r.ack_delay(at(8)), Duration::from_micros(3));
        r.on_ack_sent(at(8));
        assert!(!r.ack_pending());
    }

    #[test]
    fn packets_that_elicit_nothing_draw_nothing() {
        let mut r = ReceivedPackets::new(DELAY);
        (0..100).step_by(2).for_each(|n| r.on_received(at(n), n, false, false, RTT));
        assert!(!r.ack_pending());
        assert_eq!(r.ranges().len(), 50);
    }

    #[test]
    fn gaps_latecomers_and_marks_draw_an_ack_at_once() {
        let mut r = ReceivedPackets::new(DELAY);
        r.on_received(at(0), 0, true, false, RTT);
        r.on_ack_sent(at(0));
        r.on_received(at(1), 2, true, false, RTT);
        assert!(r.ack_due(at(1)), "1 is missing");
        r.on_ack_sent(at(1));
        r.on_received(at(2), 1, true, false, RTT);
        assert!(r.ack_due(at(2)), "1 came late");
        r.on_ack_sent(at(2));
        r.on_received(at(3), 3, true, true, RTT);
        assert!(r.ack_due(at(3)), "marked");
        assert_eq!(listed(&r), [0..=3]);
    }

    #[test]
    fn a_gap_before_a_packet_that_elicits_nothing_draws_an_ack_with_the_next_that_does() {
        let mut r = ReceivedPackets::new(DELAY);
        r.on_received(at(0), 0, true, false, RTT);
        r.on_ack_sent(at(0));
        r.on_received(at(1), 2, false, false, RTT);
        assert!(!r.ack_pending(), "nothing demands an ACK yet");
        r.on_received(at(2), 3, true, false, RTT);
        assert!(r.ack_due(at(2)), "1 is missing below the largest that elicits (RFC 9000 13.2.1)");
    }

    #[test]
    fn the_memory_of_many_gaps_goes_back() {
        let mut r = ReceivedPackets::new(DELAY);
        (0..100).for_each(|n| r.on_received(at(n), n * 2, true, false, RTT));
        r.on_ack_acked(180);
        r.on_ack_acked(197);
        r.on_ack_acked(198);
        assert!(r.ranges.0.capacity() <= FEW_RANGES, "{}", r.ranges.0.capacity());
    }

    #[test]
    fn bulk_thins_the_acks_and_a_trickle_thickens_them() {
        let mut r = ReceivedPackets::new(DELAY);
        let mut acks = 0;
        for n in 0..10_000 {
            // 1 000 packets in each round trip of 40 ms.
            r.on_received(at(n * 40), n, true, false, RTT);
            if r.ack_due(at(n * 40)) {
                acks += 1;
                r.on_ack_sent(at(n * 40));
            }
        }
        assert!((300..1_000).contains(&acks), "{acks}");
        let mut now = 400_000;
        for n in 10_000..10_010 {
            now += 30_000;
            r.on_received(at(now), n, true, false, RTT);
            if r.ack_due(at(now)) {
                r.on_ack_sent(at(now));
            } else if let Some(deadline) = r.ack_deadline() {
                r.on_ack_sent(deadline);
            }
        }
        assert_eq!(r.ack_every, MIN_ACK_EVERY);
    }

    #[test]
    fn the_rhythm_is_sixteen_acks_a_round_trip_within_its_bounds() {
        // Packets, the round trips that they took, and after how many of them an ACK follows then.
        let cases =
            [(400, 1, 25), (400, 4, 6), (1_600, 4, 25), (640, 2, 20), (100, 7, 2), (4_000, 1, 32)];
        for (packets, trips, every) in cases {
            let mut r = ReceivedPackets::new(DELAY);
            (0..packets - 1).for_each(|n| r.on_received(at(0), n, true, false, RTT));
            assert_eq!(r.ack_every, MIN_ACK_EVERY, "no round is over");
            r.on_received(at(40_000 * trips), packets - 1, true, false, RTT);
            assert_eq!(r.ack_every, every, "{packets} in {trips}");
        }
    }

    #[test]
    fn only_an_ack_that_waited_to_the_end_makes_the_rhythm_faster() {
        let mut r = ReceivedPackets::new(DELAY);
        (0..399).for_each(|n| r.on_received(at(0), n, true, false, RTT));
        r.on_received(at(40_000), 399, true, false, RTT);
        r.on_ack_sent(at(40_000));
        let every: Vec<u32> = (0..5)
            .map(|round| {
                r.on_received(at(40_001), 400 + 2 * round, true, false, RTT);
                let deadline = r.ack_deadline().unwrap();
                // With a packet that leaves anyhow, a moment before.
                let before = r.ack_every;
                r.on_ack_sent(at(deadline.as_nanos() / 1_000 - 1));
                assert_eq!(r.ack_every, before);
                r.on_received(at(40_001), 401 + 2 * round, true, false, RTT);
                r.on_ack_sent(r.ack_deadline().unwrap());
                r.ack_every
            })
            .collect();
        assert_eq!(every, [12, 6, 3, 2, 2]);
    }

    #[test]
    fn an_ack_waits_a_quarter_of_a_round_trip() {
        let cases = [(40_000, 10_000), (2_000, 1_000), (400_000, 25_000)];
        for (rtt, delay) in cases.map(|(rtt, delay)| (Duration::from_micros(rtt), delay)) {
            let mut r = ReceivedPackets::new(DELAY);
            r.on_received(at(7), 0, true, false, Some(rtt));
            assert_eq!(r.ack_deadline(), Some(at(7 + delay)), "{rtt:?}");
        }
    }

    #[test]
    fn acknowledged_acks_end_the_repetition_but_the_largest_stays() {
        let mut r = ReceivedPackets::new(DELAY);
        [0, 1, 4, 5, 6, 9].iter().for_each(|n| r.on_received(at(0), *n, true, false, RTT));
        r.on_ack_acked(5);
        assert_eq!(listed(&r), [9..=9, 6..=6]);
        r.on_ack_acked(20);
        assert_eq!(listed(&r), [9..=9]);
        r.on_received(at(1), 3, true, false, RTT);
        assert_eq!(listed(&r), [9..=9, 3..=3], "a latecomer is still acknowledged");
    }

    #[test]
    fn the_oldest_ranges_make_room() {
        let mut r = ReceivedPackets::new(DELAY);
        (0..1_000).for_each(|n| r.on_received(at(0), n * 2 + 10, true, false, RTT));
        assert_eq!(r.ranges().len(), MAX_RANGES);
        assert_eq!(r.largest(), Some(2_008));
        r.on_received(at(0), 3, true, false, RTT);
        assert_eq!(r.ranges().last(), Some(1_754..=1_754));
    }

    /// Every set of eight numbers, with every number added to it, and cut off at every one.
    #[test]
    fn every_small_set_of_ranges_behaves_as_bits_do() {
        let set_of = |bits: u32| {
            let mut ranges = Ranges::default();
            // Not in order, so that every way of joining is taken.
            for number in [3, 0, 6, 2, 7, 5, 1, 4].into_iter().filter(|n| bits >> n & 1 == 1) {
                assert!(ranges.insert(number));
            }
            ranges
        };
        let bits_of = |ranges: &Ranges| {
            let pairs = ranges.0.iter().zip(ranges.0.iter().skip(1));
            assert!(pairs.into_iter().all(|(a, b)| a.end() + 1 < *b.start()), "{ranges:?}");
            ranges.0.iter().cloned().flatten().fold(0_u32, |bits, number| bits | 1 << number)
        };
        for bits in 0..1_u32 << 8 {
            let set = set_of(bits);
            assert_eq!(bits_of(&set), bits);
            for number in 0..8 {
                let mut grown = set.clone();
                assert_eq!(grown.insert(number), bits >> number & 1 == 0, "{number} {bits:#b}");
                assert_eq!(bits_of(&grown), bits | 1 << number);
                let mut cut = set.clone();
                cut.remove_through(number);
                let largest = bits.checked_ilog2().map_or(0, |largest| 1 << largest);
                let above = bits & !((2 << number) - 1);
                assert_eq!(bits_of(&cut), above | largest, "{bits:#b} without 0..={number}");
            }
        }
    }

    proptest! {
        #[test]
        fn ranges_behave_like_a_set(
            ops in prop::collection::vec((0_u64..80, prop::bool::weighted(0.05)), 0..200),
        ) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (n, remove) in ops {
                if remove {
                    ranges.remove_through(n);
                    let largest = set.last().copied();
                    set.retain(|m| *m > n || Some(*m) == largest);
                } else {
                    prop_assert_eq!(ranges.insert(n), set.insert(n));
                }
                let all: Vec<u64> = ranges.0.iter().flat_map(Clone::clone).collect();
                prop_assert!(all.iter().eq(set.iter()));
                let apart = |(a, b): (&RangeInclusive<u64>, &RangeInclusive<u64>)| {
                    a.end() + 1 < *b.start()
                };
                prop_assert!(ranges.0.iter().zip(ranges.0.iter().skip(1)).all(apart));
            }
        }
    }
}
