//! The packets of one path that wait for their fate, oldest first.
//!
//! Packet numbers are the session's, so one path sees only some of them. The ring holds no holes for
//! the numbers that other paths took: a packet is found by guessing that its numbers are dense
//! (nearly always true) and by binary search otherwise. Its *place* in the ring counts the packets
//! of this path alone, which is what reordering has to be measured in.
//!
//! The oldest packet in the ring is always outstanding: acknowledged ones at the front are dropped at
//! once, lost ones move to [`super::lost`]. So the oldest outstanding packet is found in O(1), and a
//! packet is looked at a constant number of times in its life.

use core::ops::{Range, RangeInclusive};
use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

use super::content::{Content, ContentLog, Run};
use crate::time::Instant;

/// Below this many packets memory is never given back.
const SMALL: usize = 4;

/// A packet that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SentPacket {
    /// Its packet number.
    pub(crate) number: u64,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// What it carried.
    pub(crate) contents: Run,
    /// Its size in bytes of UDP payload (or WebSocket message).
    pub(crate) bytes: u16,
    /// It demands an acknowledgement and counts as in flight (`PROTOCOL.md` 5: one condition for
    /// both).
    pub(crate) ack_eliciting: bool,
    /// It only tries a larger size: its loss is no sign of congestion (RFC 8899 section 3).
    pub(crate) mtu_probe: bool,
    /// It was marked ECT(0).
    pub(crate) ecn: bool,
    /// It was acknowledged and waits only for older packets to leave the ring.
    acknowledged: bool,
}

impl SentPacket {
    /// Whether it counts as in flight and its loss as a sign of congestion: probes of a larger size
    /// do not (RFC 8899 section 3).
    pub(crate) fn counts(&self) -> bool {
        self.ack_eliciting && !self.mtu_probe
    }

    /// Whether it is larger than every path must carry, and sent in the belief that this one does.
    pub(crate) fn is_large(&self) -> bool {
        self.counts() && usize::from(self.bytes) > stt_wire::MIN_MTU
    }

    /// Bytes that this packet has in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        if self.counts() { u64::from(self.bytes) } else { 0 }
    }
}

/// What is told of a packet when it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PacketInfo {
    /// Size in bytes of UDP payload (or WebSocket message).
    pub(crate) bytes: u16,
    /// Holds more than ACK, SESSION_CLOSE and PADDING.
    pub(crate) ack_eliciting: bool,
    /// Only tries a larger size.
    pub(crate) mtu_probe: bool,
    /// Marked ECT(0).
    pub(crate) ecn: bool,
}

/// The packets of a path whose fate is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct SentPackets {
    ring: VecDeque<SentPacket>,
    log: ContentLog,
    /// Place of the ring's first packet: how many packets of this path left the ring before it.
    first_place: u64,
    /// Largest number of packets held since the ring was last empty.
    peak: usize,
}

impl SentPackets {
    /// Appends a packet. Its number must be larger than every number before it.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        number: u64,
        info: PacketInfo,
        contents: &[Content],
    ) {
        debug_assert!(self.ring.back().is_none_or(|p| p.number < number));
        let contents = self.log.push(contents.iter().copied());
        self.ring.push_back(SentPacket {
            number,
            sent: now,
            contents,
            bytes: info.bytes,
            ack_eliciting: info.ack_eliciting,
            mtu_probe: info.mtu_probe,
            ecn: info.ecn,
            acknowledged: false,
        });
        self.peak = self.peak.max(self.ring.len());
    }

    /// The oldest outstanding packet and its place.
    pub(crate) fn oldest(&self) -> Option<(&SentPacket, u64)> {
        self.ring.front().map(|p| (p, self.first_place))
    }

    /// The place that the next packet sent will have.
    pub(crate) fn next_place(&self) -> u64 {
        self.first_place + self.ring.len() as u64
    }

    /// Outstanding packets, oldest first.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = &SentPacket> {
        self.ring.iter().filter(|p| !p.acknowledged)
    }

    /// Indices of the packets whose numbers lie in `numbers`.
    pub(crate) fn indices(&self, numbers: &RangeInclusive<u64>) -> Range<usize> {
        let start = self.index(*numbers.start());
        let end = match numbers.end().checked_add(1) {
            Some(end) => self.index(end),
            None => self.ring.len(),
        };
        start..end.max(start)
    }

    /// Index of the first packet whose number is at least `number`.
    fn index(&self, number: u64) -> usize {
        let Some(front) = self.ring.front() else { return 0 };
        let Some(distance) = number.checked_sub(front.number) else { return 0 };
        let guess = usize::try_from(distance).unwrap_or(usize::MAX);
        match self.ring.get(guess) {
            Some(packet) if packet.number == number => guess,
            _ if self.ring.back().is_some_and(|p| p.number < number) => self.ring.len(),
            _ => self.ring.partition_point(|p| p.number < number),
        }
    }

    /// Marks the packet at `index` as acknowledged and returns it with its place, unless it was
    /// acknowledged before.
    pub(crate) fn acknowledge(&mut self, index: usize) -> Option<(SentPacket, u64)> {
        let packet = self.ring.get_mut(index)?;
        if core::mem::replace(&mut packet.acknowledged, true) {
            return None;
        }
        Some((*packet, self.first_place + index as u64))
    }

    /// The packet sent last never left: if it only tried a size, nothing is expected of it any more.
    pub(crate) fn withdraw_probe(&mut self) {
        if let Some(probe) = self.ring.back_mut().filter(|packet| packet.mtu_probe) {
            probe.acknowledged = true;
        }
    }

    /// What a packet carried that has not left the ring.
    pub(crate) fn contents(&self, packet: &SentPacket) -> Iter<'_, Content> {
        self.log.get(packet.contents)
    }

    /// Drops acknowledged packets from the front; tells whether there were any.
    pub(crate) fn drop_acknowledged(&mut self) -> bool {
        let mut dropped = false;
        while self.ring.front().is_some_and(|p| p.acknowledged) {
            self.drop_oldest();
            dropped = true;
        }
        if self.ring.is_empty() {
            self.give_memory_back();
        }
        dropped
    }

    /// Drops the oldest packet, whatever its state.
    pub(crate) fn drop_oldest(&mut self) {
        if let Some(packet) = self.ring.pop_front() {
            self.log.release(packet.contents);
            self.first_place += 1;
        }
    }

    /// Number of packets held, acknowledged ones behind an outstanding one included.
    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// All packets held, oldest first.
    #[cfg(feature = "inspect")]
    pub(crate) fn all(&self) -> impl Iterator<Item = &SentPacket> {
        self.ring.iter()
    }

    /// Contents held.
    #[cfg(feature = "inspect")]
    pub(crate) fn contents_held(&self) -> usize {
        self.log.len()
    }

    /// Packets that fit without an allocation.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// After a busy time, memory goes back once a quieter one has come and gone: shrinking whenever
    /// the ring runs empty would allocate for every burst of a chatty session.
    fn give_memory_back(&mut self) {
        let keep = (self.peak * 2).max(SMALL);
        if self.ring.capacity() > keep || self.log.capacity() > keep * 2 {
            self.ring.shrink_to(keep);
            self.log.shrink_to(keep);
        }
        self.peak = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: PacketInfo =
        PacketInfo { bytes: 1200, ack_eliciting: true, mtu_probe: false, ecn: false };

    fn ring(numbers: impl IntoIterator<Item = u64>) -> SentPackets {
        let mut sent = SentPackets::default();
        for n in numbers {
            sent.push(Instant::default(), n, INFO, &[Content::KeepAliveAck]);
        }
        sent
    }

    #[test]
    fn a_record_is_half_a_cache_line() {
        assert!(size_of::<SentPacket>() <= 40);
    }

    #[test]
    fn what_is_larger_than_every_path_carries_and_counts_is_large() {
        let is_large = |info: PacketInfo| {
            let mut sent = SentPackets::default();
            sent.push(Instant::default(), 0, info, &[]);
            sent.oldest().unwrap().0.is_large()
        };
        let large = PacketInfo { bytes: stt_wire::MIN_MTU as u16 + 1, ..INFO };
        assert!(is_large(large));
        assert!(is_large(PacketInfo { bytes: 65_507, ..INFO }));
        assert!(!is_large(PacketInfo { bytes: stt_wire::MIN_MTU as u16, ..INFO }));
        assert!(!is_large(PacketInfo { bytes: 100, ..INFO }));
        assert!(!is_large(PacketInfo { mtu_probe: true, ..large }), "it only tries the size");
        assert!(!is_large(PacketInfo { ack_eliciting: false, ..large }), "nobody misses it");
    }

    #[test]
    fn numbers_that_other_paths_took_are_no_holes() {
        let sent = ring([3, 4, 9, 1_000_000_000]);
        assert_eq!(sent.len(), 4);
        assert_eq!(sent.indices(&(0..=u64::MAX)), 0..4);
        assert_eq!(sent.indices(&(4..=9)), 1..3);
        assert_eq!(sent.indices(&(5..=8)), 2..2);
        assert_eq!(sent.indices(&(0..=2)), 0..0);
        assert_eq!(sent.indices(&(9..=1_000_000_000)), 2..4);
        assert_eq!(sent.indices(&(1_000_000_001..=u64::MAX)), 4..4);
    }

    #[test]
    fn the_front_is_always_outstanding() {
        let mut sent = ring(0..5);
        assert!(sent.acknowledge(1).is_some());
        assert!(sent.acknowledge(1).is_none(), "a second time changes nothing");
        assert!(!sent.drop_acknowledged());
        assert_eq!(sent.acknowledge(0).map(|(p, place)| (p.number, place)), Some((0, 0)));
        assert!(sent.drop_acknowledged());
        assert_eq!(sent.oldest().map(|(p, place)| (p.number, place)), Some((2, 2)));
        assert_eq!(sent.next_place(), 5);
        assert_eq!(sent.outstanding().count(), 3);
    }

    #[test]
    fn memory_follows_the_load_down_but_not_at_once() {
        let mut sent = ring(0..10_000);
        let empty = |sent: &mut SentPackets| {
            (0..sent.len()).for_each(|i| {
                sent.acknowledge(i);
            });
            sent.drop_acknowledged();
        };
        empty(&mut sent);
        assert!(sent.ring.capacity() >= 10_000, "the same load may come again");
        sent.push(Instant::default(), 10_000, INFO, &[]);
        empty(&mut sent);
        assert!(sent.ring.capacity() <= 2 * SMALL);
        assert!(sent.log.len() == 0);
    }
}
