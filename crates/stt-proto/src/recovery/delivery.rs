//! Delivery-rate samples (draft-ietf-ccwg-bbr, section 4.1): how fast the path delivered what was sent
//! around one packet.
//!
//! Only controllers that model the path ask for them, so the records lie beside the ring of sent
//! packets, one for each place, and cost the others nothing. They live in a ring that is reused: no
//! packet allocates.

use core::time::Duration;
use std::collections::VecDeque;

use crate::time::Instant;

/// Below this many records memory is never given back.
const SMALL: usize = 64;

/// The state of the path's delivery when a packet was sent.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// P.delivered.
    delivered: u64,
    /// P.delivered_time.
    delivered_time: Instant,
    /// P.first_send_time.
    first_sent: Instant,
    /// P.lost.
    lost: u64,
    /// P.tx_in_flight: bytes in flight once it was sent.
    in_flight: u64,
    /// P.is_app_limited.
    app_limited: bool,
}

/// What one ACK says of the path's delivery rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RateSample {
    /// RS.delivery_rate in bytes per second; zero if the interval was too short to tell.
    pub(crate) rate: u64,
    /// RS.delivered: bytes delivered over the interval.
    pub(crate) delivered: u64,
    /// RS.prior_delivered: bytes delivered when the newest packet acknowledged was sent.
    pub(crate) prior_delivered: u64,
    /// C.delivered: bytes ever delivered.
    pub(crate) total_delivered: u64,
    /// RS.tx_in_flight: bytes in flight when that packet had been sent.
    pub(crate) sent_in_flight: u64,
    /// RS.lost: bytes lost since it was sent.
    pub(crate) lost: u64,
    /// The application, not the path, set the pace.
    pub(crate) app_limited: bool,
}

/// The flight of a packet that was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LostFlight {
    /// Bytes in flight when it had been sent.
    pub(crate) in_flight: u64,
    /// Bytes lost since, itself included.
    pub(crate) lost: u64,
}

/// Takes delivery-rate samples on one path.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeliveryRate {
    delivered: u64,
    delivered_time: Instant,
    first_sent: Instant,
    lost: u64,
    /// Deliveries up to here were set by the application's pace; zero for none.
    app_limited_until: u64,
    records: VecDeque<Record>,
    /// Place of `records[0]`.
    first_place: u64,
    newest: Option<(Record, Instant)>,
    peak: usize,
}

impl DeliveryRate {
    /// The packet at `place` was sent; `in_flight` counts it, `was_idle` is true if nothing was in
    /// flight before it.
    pub(crate) fn on_sent(&mut self, now: Instant, place: u64, in_flight: u64, was_idle: bool) {
        if was_idle {
            self.first_sent = now;
            self.delivered_time = now;
        }
        if self.records.is_empty() {
            self.first_place = place;
        }
        self.records.push_back(Record {
            delivered: self.delivered,
            delivered_time: self.delivered_time,
            first_sent: self.first_sent,
            lost: self.lost,
            in_flight,
            app_limited: self.app_limited_until > 0,
        });
        self.peak = self.peak.max(self.records.len());
    }

    /// `bytes` of the packet at `place`, sent at `sent`, were newly acknowledged.
    pub(crate) fn on_acked(&mut self, now: Instant, place: u64, sent: Instant, bytes: u64) {
        let Some(record) = self.record(place) else { return };
        self.delivered += bytes;
        self.delivered_time = now;
        // The newest packet tells of the shortest, and so freshest, interval.
        let newer = self.newest.is_none_or(|(other, other_sent)| {
            (record.delivered, sent) > (other.delivered, other_sent)
        });
        if newer {
            self.newest = Some((record, sent));
        }
    }

    /// `bytes` of the packet at `place` were declared lost.
    pub(crate) fn on_lost(&mut self, place: u64, bytes: u64) -> LostFlight {
        self.lost += bytes;
        match self.record(place) {
            Some(record) => {
                LostFlight { in_flight: record.in_flight, lost: self.lost - record.lost }
            }
            None => LostFlight::default(),
        }
    }

    /// The sample of the ACK whose packets were all shown to [`on_acked`](Self::on_acked), and whose
    /// losses to [`on_lost`](Self::on_lost). `oldest_place` is the oldest place still outstanding.
    pub(crate) fn sample(&mut self, min_rtt: Duration, oldest_place: u64) -> Option<RateSample> {
        let newest = self.newest.take();
        while self.first_place < oldest_place && self.records.pop_front().is_some() {
            self.first_place += 1;
        }
        if self.records.is_empty() {
            self.give_memory_back();
        }
        if self.app_limited_until > 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let (record, sent) = newest?;
        // Section 4.1.1.2: the send rate bounds what compressed ACKs feign.
        let send_elapsed = sent.saturating_duration_since(record.first_sent);
        let ack_elapsed = self.delivered_time.saturating_duration_since(record.delivered_time);
        self.first_sent = sent;
        let interval = send_elapsed.max(ack_elapsed);
        let delivered = self.delivered - record.delivered;
        let rate = if interval < min_rtt || interval.is_zero() {
            0
        } else {
            let rate = u128::from(delivered) * 1_000_000_000 / interval.as_nanos();
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        Some(RateSample {
            rate,
            delivered,
            prior_delivered: record.delivered,
            total_delivered: self.delivered,
            sent_in_flight: record.in_flight,
            lost: self.lost - record.lost,
            app_limited: record.app_limited,
        })
    }

    /// The application has nothing more to send although the window, with `in_flight` bytes of it
    /// taken, has room.
    pub(crate) fn on_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = (self.delivered + in_flight).max(1);
    }

    fn record(&self, place: u64) -> Option<Record> {
        let index = usize::try_from(place.checked_sub(self.first_place)?).ok()?;
        self.records.get(index).copied()
    }

    fn give_memory_back(&mut self) {
        let keep = (self.peak * 2).max(SMALL);
        if self.records.capacity() > keep * 2 {
            self.records.shrink_to(keep);
        }
        self.peak = 0;
    }

    /// Records that fit without an allocation.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.records.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_sample_measures_from_the_state_when_the_packet_was_sent() {
        let mut d = DeliveryRate::default();
        for n in 0..10 {
            d.on_sent(at(n * 10), n, (n + 1) * 1_000, n == 0);
        }
        d.on_acked(at(100), 0, at(0), 1_000);
        let first = d.sample(Duration::ZERO, 1).unwrap();
        assert_eq!((first.rate, first.delivered), (10_000, 1_000), "1 000 bytes in 100 ms");
        // The eleventh leaves after one delivery; the ACK of it sees the other nine arrive in 100 ms.
        d.on_sent(at(100), 10, 10_000, false);
        (1..=10).for_each(|n| d.on_acked(at(200), n, at(n * 10), 1_000));
        let second = d.sample(Duration::from_millis(100), 11).unwrap();
        assert_eq!(second.prior_delivered, 1_000);
        assert_eq!((second.delivered, second.rate), (10_000, 100_000));
        assert_eq!(second.total_delivered, 11_000);
    }

    #[test]
    fn compressed_acks_do_not_feign_a_rate() {
        let mut d = DeliveryRate::default();
        (0..10).for_each(|n| d.on_sent(at(n * 10), n, 1_000, n == 0));
        (0..5).for_each(|n| d.on_acked(at(100), n, at(n * 10), 1_000));
        d.sample(Duration::ZERO, 5);
        (5..10).for_each(|n| d.on_acked(at(101), n, at(n * 10), 1_000));
        let sample = d.sample(Duration::ZERO, 10).unwrap();
        assert!(sample.rate <= 110_000, "{sample:?}");
    }

    #[test]
    fn an_interval_shorter_than_the_round_trip_tells_nothing() {
        let mut d = DeliveryRate::default();
        d.on_sent(at(0), 0, 1_000, true);
        d.on_acked(at(10), 0, at(0), 1_000);
        assert_eq!(d.sample(Duration::from_millis(20), 1).map(|s| s.rate), Some(0));
        assert_eq!(d.sample(Duration::ZERO, 1), None, "an ACK of nothing new");
    }

    #[test]
    fn the_applications_pace_is_marked_until_it_has_passed() {
        let mut d = DeliveryRate::default();
        d.on_sent(at(0), 0, 1_000, true);
        d.on_app_limited(1_000);
        d.on_sent(at(1), 1, 2_000, false);
        d.on_acked(at(50), 0, at(0), 1_000);
        assert_eq!(d.sample(Duration::ZERO, 1).map(|s| s.app_limited), Some(false));
        d.on_acked(at(51), 1, at(1), 1_000);
        assert_eq!(d.sample(Duration::ZERO, 2).map(|s| s.app_limited), Some(true));
        d.on_sent(at(60), 2, 1_000, true);
        d.on_acked(at(110), 2, at(60), 1_000);
        assert_eq!(d.sample(Duration::ZERO, 3).map(|s| s.app_limited), Some(false));
    }

    #[test]
    fn losses_are_counted_from_the_packets_own_departure() {
        let mut d = DeliveryRate::default();
        (0..4).for_each(|n| d.on_sent(at(n), n, (n + 1) * 1_000, n == 0));
        assert_eq!(d.on_lost(0, 1_000), LostFlight { in_flight: 1_000, lost: 1_000 });
        d.on_sent(at(5), 4, 4_000, false);
        assert_eq!(d.on_lost(1, 1_000), LostFlight { in_flight: 2_000, lost: 2_000 });
        assert_eq!(d.on_lost(4, 1_000), LostFlight { in_flight: 4_000, lost: 2_000 });
    }

    #[test]
    fn the_ring_is_reused() {
        let mut d = DeliveryRate::default();
        let mut capacity = 0;
        for n in 0..100_000_u64 {
            d.on_sent(at(n), n, 32_000, false);
            if n >= 32 {
                d.on_acked(at(n), n - 32, at(n - 32), 1_000);
                d.sample(Duration::ZERO, n - 31);
            }
            if n == 1_000 {
                capacity = d.capacity();
            }
        }
        assert_eq!(d.capacity(), capacity);
    }

    #[test]
    fn the_mark_stays_until_more_was_delivered_than_was_in_flight() {
        let mut d = DeliveryRate::default();
        (0..5).for_each(|n| d.on_sent(at(n), n, (n + 1) * 1_000, n == 0));
        // Two are delivered before the application pauses with three in flight: 5 000 in all.
        [0, 1].into_iter().for_each(|n| d.on_acked(at(50), n, at(n), 1_000));
        d.sample(Duration::ZERO, 2);
        d.on_app_limited(3_000);
        let mut marked = |place: u64, acked: u64| {
            d.on_acked(at(50 + acked), acked, at(acked), 1_000);
            d.sample(Duration::ZERO, acked + 1);
            d.on_sent(at(100), place, 3_000, false);
            d.record(place).unwrap().app_limited
        };
        assert!(marked(5, 2), "3 000 of 5 000");
        assert!(marked(6, 3), "4 000 of 5 000");
        assert!(marked(7, 4), "all that was in flight, and nothing more");
        assert!(!marked(8, 5), "6 000: what was sent after the pause");
    }

    #[test]
    fn a_sample_counts_the_losses_since_its_packet_left() {
        let mut d = DeliveryRate::default();
        (0..3).for_each(|n| d.on_sent(at(n), n, (n + 1) * 1_000, n == 0));
        d.on_lost(0, 1_000);
        d.on_sent(at(3), 3, 3_000, false);
        d.on_lost(1, 500);
        d.on_acked(at(60), 3, at(3), 1_000);
        let sample = d.sample(Duration::ZERO, 4).unwrap();
        assert_eq!((sample.lost, sample.sent_in_flight), (500, 3_000));
    }

    #[test]
    fn the_newest_packet_of_an_ack_gives_its_sample() {
        let mut d = DeliveryRate::default();
        d.on_sent(at(0), 0, 1_000, true);
        d.on_sent(at(10), 1, 2_000, false);
        // The newer one first, and again the older one: its state is older, its interval longer.
        d.on_acked(at(40), 1, at(10), 1_000);
        d.on_acked(at(40), 0, at(0), 1_000);
        assert_eq!(d.sample(Duration::ZERO, 2).map(|s| s.sent_in_flight), Some(2_000));
    }
}
