//! A short memory of lost packets, for acknowledgements that come late after all.

use core::ops::{Range, RangeInclusive};
use core::time::Duration;
use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

use super::content::{Content, ContentLog, Run};
use super::sent::SentPacket;
use crate::time::Instant;
use crate::trace::LossTrigger;

/// Lost packets remembered at most. An acknowledgement of one that was forgotten is without effect:
/// its contents were already given back for retransmission.
const MAX_LOST: usize = 1024;

/// Why a packet was declared lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LossCause {
    /// Enough later packets were acknowledged (RFC 9002 6.1.1).
    Reordering,
    /// A later packet was acknowledged, and enough time went by (RFC 9002 6.1.2).
    Time,
    /// Its path was given up: no statement about the network.
    Abandoned,
}

/// A packet that was declared lost, as a tracer hears of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Loss {
    pub(crate) number: u64,
    /// Its bytes.
    pub(crate) bytes: u64,
    pub(crate) trigger: LossTrigger,
}

impl Loss {
    pub(crate) fn new(number: u64, bytes: u64, cause: LossCause) -> Self {
        let trigger = match cause {
            LossCause::Reordering => LossTrigger::ReorderingThreshold,
            LossCause::Time => LossTrigger::TimeThreshold,
            LossCause::Abandoned => LossTrigger::PathAbandoned,
        };
        Self { number, bytes, trigger }
    }
}

/// A packet that was declared lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostPacket {
    number: u64,
    /// When it had been sent.
    pub(crate) sent: Instant,
    /// Its place among the packets of its path.
    pub(crate) place: u64,
    /// The recovery episode that its loss belongs to, if it started or joined one.
    pub(crate) episode: Option<u32>,
    /// Why it was declared lost.
    pub(crate) cause: LossCause,
    declared: Instant,
    contents: Run,
    acknowledged: bool,
}

/// Packets lost recently, in order of their numbers (losses are declared in that order).
#[derive(Clone, Debug, Default)]
pub(crate) struct LostPackets {
    ring: VecDeque<LostPacket>,
    log: ContentLog,
}

impl LostPackets {
    /// Remembers `packet`, declared lost at `now`.
    pub(crate) fn push<'a>(
        &mut self,
        now: Instant,
        packet: &SentPacket,
        place: u64,
        cause: LossCause,
        episode: Option<u32>,
        contents: impl Iterator<Item = &'a Content>,
    ) {
        debug_assert!(self.ring.back().is_none_or(|p| p.number < packet.number));
        if self.ring.len() >= MAX_LOST {
            self.drop_oldest();
        }
        let contents = self.log.push(contents.copied());
        self.ring.push_back(LostPacket {
            number: packet.number,
            sent: packet.sent,
            place,
            episode,
            cause,
            declared: now,
            contents,
            acknowledged: false,
        });
    }

    /// The smallest number remembered.
    pub(crate) fn first_number(&self) -> Option<u64> {
        self.ring.front().map(|p| p.number)
    }

    /// How many are remembered.
    #[cfg(feature = "inspect")]
    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Indices of the packets whose numbers lie in `numbers`.
    pub(crate) fn indices(&self, numbers: &RangeInclusive<u64>) -> Range<usize> {
        if self.ring.back().is_none_or(|p| p.number < *numbers.start()) {
            return 0..0;
        }
        let start = self.ring.partition_point(|p| p.number < *numbers.start());
        let end = self.ring.partition_point(|p| p.number <= *numbers.end());
        start..end.max(start)
    }

    /// Marks the packet at `index` as acknowledged and returns it, unless that happened before.
    pub(crate) fn acknowledge(&mut self, index: usize) -> Option<LostPacket> {
        let packet = self.ring.get_mut(index)?;
        if core::mem::replace(&mut packet.acknowledged, true) {
            return None;
        }
        Some(*packet)
    }

    /// What a remembered packet carried.
    pub(crate) fn contents(&self, packet: &LostPacket) -> Iter<'_, Content> {
        self.log.get(packet.contents)
    }

    /// Forgets packets declared lost more than `age` ago, and acknowledged ones at the front.
    pub(crate) fn expire(&mut self, now: Instant, age: Duration) {
        while let Some(packet) = self.ring.front() {
            if !packet.acknowledged && now.saturating_duration_since(packet.declared) <= age {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(packet) = self.ring.pop_front() {
            self.log.release(packet.contents);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sent::{PacketInfo, SentPackets};
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// Packets of these numbers, declared lost one millisecond after the other.
    fn lost(numbers: &[u64]) -> LostPackets {
        let (mut sent, mut lost) = (SentPackets::default(), LostPackets::default());
        for (&number, ms) in numbers.iter().zip(0..) {
            let info =
                PacketInfo { bytes: 1_200, ack_eliciting: true, mtu_probe: false, ecn: false };
            sent.push(at(0), number, info, &[Content::StreamOpen { stream: 7 }]);
            let packet = *sent.outstanding().last().unwrap();
            lost.push(at(ms), &packet, ms, LossCause::Time, None, sent.contents(&packet));
        }
        lost
    }

    fn numbers(lost: &LostPackets) -> Vec<u64> {
        lost.ring.iter().map(|packet| packet.number).collect()
    }

    #[test]
    fn a_range_finds_the_packets_within_it() {
        let some = lost(&[4, 6, 9]);
        assert_eq!(some.first_number(), Some(4));
        for (range, found) in [
            (0..=3, 0..0),
            (0..=4, 0..1),
            (4..=6, 0..2),
            (5..=8, 1..2),
            (6..=9, 1..3),
            (9..=9, 2..3),
            (10..=20, 0..0),
        ] {
            assert_eq!(some.indices(&range), found, "{range:?}");
        }
        assert_eq!(LostPackets::default().first_number(), None);
        assert_eq!(LostPackets::default().indices(&(0..=9)), 0..0);
    }

    #[test]
    fn an_acknowledgement_counts_once() {
        let mut some = lost(&[4, 6]);
        let packet = some.acknowledge(1).unwrap();
        assert_eq!(some.contents(&packet).count(), 1);
        assert!(some.acknowledge(1).is_none());
        assert!(some.acknowledge(2).is_none());
    }

    #[test]
    fn what_is_old_goes_and_what_was_acknowledged_in_front_of_it() {
        let mut some = lost(&[1, 2, 3, 4]);
        let age = Duration::from_millis(10);
        some.expire(at(10), age);
        assert_eq!(numbers(&some), [1, 2, 3, 4], "not older than it may be");
        some.expire(at(11), age);
        assert_eq!(numbers(&some), [2, 3, 4]);
        some.acknowledge(1);
        some.expire(at(11), age);
        assert_eq!(numbers(&some), [2, 3, 4], "an acknowledged one behind one that is not");
        some.acknowledge(0);
        some.expire(at(11), age);
        assert_eq!(numbers(&some), [4]);
    }

    #[test]
    fn the_oldest_make_room() {
        let all: Vec<u64> = (0..MAX_LOST as u64 + 2).collect();
        let some = lost(&all);
        assert_eq!((some.ring.len(), some.first_number()), (MAX_LOST, Some(2)));
    }
}
