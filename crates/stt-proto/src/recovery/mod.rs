//! Loss recovery and congestion control of one path (RFC 9002, `PROTOCOL.md` 5).
//!
//! [`Recovery`] follows the packets sent on one path until each is acknowledged or lost, and tells how
//! much more may be sent. Packet numbers belong to the session; an ACK is shown to every path of it,
//! and each takes what is its own. What packets carried comes back through a sink, as acknowledged or
//! lost; a content that was lost may come back a second time as acknowledged.
//!
//! [`ReceivedPackets`] is the other direction: what arrived, and when an ACK is due.
//!
//! Work per packet is constant, and in the steady state nothing is allocated.

pub(crate) mod congestion;
pub(crate) mod content;
mod delivery;
mod ecn;
mod flow;
#[cfg(feature = "inspect")]
mod inspect;
mod large;
mod loss;
mod lost;
mod pacer;
mod received;
mod rtt;
mod sent;
mod usage;

#[cfg(test)]
mod model;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use core::ops::RangeInclusive;
use core::time::Duration;

use congestion::{Acked, Congestion, Controller};
use delivery::{DeliveryRate, LostFlight};
use ecn::{EcnValidator, EcnVerdict};
use flow::PeerFlow;
use large::LargePackets;
use loss::{LossRun, Thresholds};
use lost::{LossCause, LostPackets};
use pacer::{Pacer, Rate};
use sent::SentPackets;
use usage::WindowUsage;

pub(crate) use content::Content;
pub(crate) use ecn::EcnCounts;
pub(crate) use lost::Loss;
pub(crate) use received::ReceivedPackets;
use rtt::GRANULARITY;
pub(crate) use rtt::{INITIAL_RTT, RttEstimator};
pub(crate) use sent::PacketInfo;

use crate::time::Instant;

/// Probes a probe timeout sends (RFC 9002 6.2.4 allows two, which saves a further timeout when one
/// is lost).
const PROBES: u8 = 2;

/// Doublings of the probe timeout at most.
const MAX_BACKOFF: u32 = 12;

/// Where the backed-off probe timeout stops growing, unless twice a probe timeout is longer
/// (`PROTOCOL.md` 5.2, `docs/adr/0134`). A path that is dark again and again for seconds may swallow
/// each of the few probes that an unbounded backoff leaves in the time after which a session is given
/// up; and once it is there again, the session waits about as long as it was dark. Two packets in two
/// seconds are no more than the least window (RFC 9002 7.2) sends on a path as slow as that.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Lost packets are remembered for so many probe timeouts.
const LOST_MEMORY: u32 = 3;

/// After so many packets in a row that elicit nothing one must elicit an ACK (`PROTOCOL.md` 5).
const MAX_SILENT_PACKETS: u32 = 16;

/// Packets that elicit nothing are followed only while fewer than this many packets are: a peer that
/// never acknowledges cannot make us remember all the ACKs that it drew.
const MAX_SILENT_TRACKED: usize = 256;

/// What became of a content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// The peer has it.
    Acked,
    /// It is believed lost, and is to be sent again if it still matters.
    Lost,
}

/// An ACK without its ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckInfo {
    /// Largest packet number acknowledged.
    pub(crate) largest: u64,
    /// How long the peer held the ACK back.
    pub(crate) delay: Duration,
    /// ECN counts, of the path that the largest packet took.
    pub(crate) ecn: Option<EcnCounts>,
    /// The round-trip time may be taken from it: it came by the path that this [`Recovery`] follows, and what it
    /// acknowledges was not kept for its keys (`PROTOCOL.md` 5).
    pub(crate) measures: bool,
    /// The first packet number that the session has not used yet, on any path.
    pub(crate) next_packet_number: u64,
}

/// What an ACK brought to one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AckSummary {
    /// Bytes in flight newly acknowledged.
    pub(crate) newly_acked_bytes: u64,
    /// Largest packet number newly acknowledged on this path.
    pub(crate) largest_newly_acked: Option<u64>,
    /// The round-trip time measured.
    pub(crate) rtt_sample: Option<Duration>,
    /// Packets in flight newly acknowledged.
    pub(crate) newly_acked_packets: u32,
    /// Packets found lost.
    pub(crate) lost_packets: u32,
    /// Those of them that were in flight, and so no probes of a larger size.
    pub(crate) lost_in_flight: u32,
    /// Packets that had been declared lost and arrived after all.
    pub(crate) spurious_losses: u32,
    /// A new recovery episode began.
    pub(crate) congestion: bool,
    /// Persistent congestion was established (RFC 9002 7.6).
    pub(crate) persistent_congestion: bool,
}

/// An ACK named a packet that was never sent: a violation of the protocol (RFC 9000 13.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AckOfUnsent;

/// What [`Recovery::on_timeout`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecoveryTimeout {
    /// No timer had run out.
    None,
    /// Packets were declared lost.
    Lost {
        /// How many.
        packets: u32,
        /// Those of them that were in flight.
        in_flight: u32,
    },
    /// The peer was in the middle of sending, or credit was used up, and then nothing came for a probe
    /// timeout, while nothing of ours is in flight that would show whether the path is dead. Told once for
    /// each such pause.
    Still,
    /// Up to `count` ack-eliciting packets must be sent now, at least one, if with nothing new
    /// then with what [`Recovery::probe_contents`] names, or a KEEP_ALIVE. The congestion window
    /// does not hold them back.
    Probe {
        /// How many packets.
        count: u8,
    },
}

/// What may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Allowance {
    /// Bytes that may be sent now, in ack-eliciting packets. Others are never held back.
    pub(crate) bytes: u64,
    /// When more may be sent even if no ACK arrives: the pacer's next grant.
    pub(crate) next: Option<Instant>,
}

/// The settings of a path's recovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecoveryConfig {
    /// Largest packet in bytes.
    pub(crate) mtu: u16,
    /// How long the peer may hold ACKs back.
    pub(crate) max_ack_delay: Duration,
    /// Round-trip time before the first sample.
    pub(crate) initial_rtt: Duration,
    /// Mark packets ECT(0), as long as the path carries the marks.
    pub(crate) ecn: bool,
    /// What is handed over arrives in order, or the path is no more (`PROTOCOL.md` 5.5): nothing is declared
    /// lost by time, no probe timeout runs, and neither window nor pacer holds anything back.
    pub(crate) reliable: bool,
}

impl Default for RecoveryConfig {
    /// 1200 bytes (`PROTOCOL.md` 5), 25 ms (RFC 9000 18.2), 333 ms (RFC 9002 6.2.2), ECN off, datagrams.
    fn default() -> Self {
        Self {
            mtu: 1_200,
            max_ack_delay: Duration::from_millis(25),
            initial_rtt: INITIAL_RTT,
            ecn: false,
            reliable: false,
        }
    }
}

/// Packets lost since the current recovery episode began and not yet seen to have arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Episode {
    number: u32,
    missing: u32,
}

/// The recovery of one path.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    sent: SentPackets,
    /// Only while there were losses of late.
    lost: Option<Box<LostPackets>>,
    rtt: RttEstimator,
    thresholds: Thresholds,
    run: LossRun,
    episode: Episode,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    usage: WindowUsage,
    ecn: EcnValidator,
    /// Only for controllers that want its samples.
    delivery: Option<Box<DeliveryRate>>,
    large: LargePackets,
    max_ack_delay: Duration,
    mtu: u16,
    reliable: bool,
    bytes_in_flight: u64,
    eliciting_in_flight: u64,
    /// Place of the latest packet acknowledged, among the packets of this path.
    largest_acked: Option<u64>,
    /// From here the probe timeout runs: when the last ack-eliciting packet was sent, or the last
    /// probe timeout ran out.
    pto_base: Instant,
    pto_count: u32,
    last_eliciting_sent: Option<Instant>,
    silent_packets: u32,
    /// Whether the peer is in the middle of sending.
    flow: PeerFlow,
    /// Since when there is nothing to do but to wait for credit.
    dry_since: Option<Instant>,
    /// Packets that may leave without regard to window and pacer.
    free_packets: u8,
    /// Packets declared lost, for whoever watches; none notes nothing.
    losses: Option<Vec<Loss>>,
}

impl Recovery {
    /// The recovery of a path on which nothing was sent yet.
    pub(crate) fn new(config: &RecoveryConfig, controller: Box<dyn Controller>) -> Self {
        Self {
            sent: SentPackets::default(),
            lost: None,
            rtt: RttEstimator::new(config.initial_rtt),
            thresholds: Thresholds::new(),
            run: LossRun::default(),
            episode: Episode::default(),
            delivery: controller.wants_rate_samples().then(Box::default),
            controller,
            pacer: Pacer::new(),
            usage: WindowUsage::default(),
            ecn: EcnValidator::new(config.ecn),
            large: LargePackets::default(),
            max_ack_delay: config.max_ack_delay,
            mtu: config.mtu,
            reliable: config.reliable,
            bytes_in_flight: 0,
            eliciting_in_flight: 0,
            largest_acked: None,
            pto_base: Instant::default(),
            pto_count: 0,
            last_eliciting_sent: None,
            silent_packets: 0,
            flow: PeerFlow::default(),
            dry_since: None,
            free_packets: 0,
            losses: None,
        }
    }

    /// The recovery of another path of the same session, of which nothing is known yet.
    pub(crate) fn for_new_path(&self, controller: Box<dyn Controller>, reliable: bool) -> Self {
        let config = RecoveryConfig {
            max_ack_delay: self.max_ack_delay,
            ecn: !reliable,
            reliable,
            ..RecoveryConfig::default()
        };
        Self::new(&config, controller)
    }

    /// A packet was sent that carried `contents`. `number` must be larger than those before it.
    pub(crate) fn on_packet_sent(
        &mut self,
        now: Instant,
        number: u64,
        info: PacketInfo,
        contents: &[Content],
    ) {
        let was_idle = self.bytes_in_flight == 0;
        if info.mtu_probe {
            // Outside the window, and without a probe timeout: it carries nothing that anybody waits
            // for, and its own timer asks again (RFC 8899 5.1.1).
            self.silent_packets = 0;
        } else if info.ack_eliciting {
            self.on_eliciting_sent(now, u64::from(info.bytes));
        } else {
            self.silent_packets = self.silent_packets.saturating_add(1);
        }
        if info.ecn {
            self.ecn.on_sent();
        }
        if !info.ack_eliciting && self.sent.len() >= MAX_SILENT_TRACKED {
            return;
        }
        if let Some(delivery) = &mut self.delivery {
            let place = self.sent.next_place();
            let begins = was_idle && self.bytes_in_flight > 0;
            delivery.on_sent(now, place, self.bytes_in_flight, begins);
        }
        self.sent.push(now, number, info, contents);
    }

    fn on_eliciting_sent(&mut self, now: Instant, bytes: u64) {
        if let Some(last) = self.last_eliciting_sent.filter(|_| self.bytes_in_flight == 0) {
            self.controller.on_idle_end(now, last);
        }
        self.silent_packets = 0;
        self.bytes_in_flight += bytes;
        self.eliciting_in_flight += 1;
        self.last_eliciting_sent = Some(now);
        self.dry_since = None;
        self.pto_base = now;
        self.free_packets = self.free_packets.saturating_sub(1);
        self.pacer.on_sent(bytes);
        self.usage.on_sent(self.bytes_in_flight);
    }

    /// The system refused to send the last packet for its size. A probe of a larger size that never left is
    /// neither lost nor to be waited for.
    pub(crate) fn on_too_large(&mut self) {
        self.sent.withdraw_probe();
        if self.sent.drop_acknowledged() {
            self.run.interrupt();
        }
    }

    /// An ACK arrived, with `ranges` newest first. Contents acknowledged or found lost go to `sink`.
    ///
    /// # Errors
    ///
    /// [`AckOfUnsent`], before anything changed.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        ack: &AckInfo,
        ranges: impl IntoIterator<Item = RangeInclusive<u64>>,
        sink: &mut impl FnMut(Fate, Content),
    ) -> Result<AckSummary, AckOfUnsent> {
        if ack.largest >= ack.next_packet_number {
            return Err(AckOfUnsent);
        }
        let mut summary = AckSummary::default();
        let newly = self.acknowledge(now, ranges, &mut summary, sink);
        self.expire_lost(now);
        let Some(largest) = newly.largest else { return Ok(summary) };
        summary.largest_newly_acked = Some(largest.number);
        let reaches_largest = largest.number == ack.largest;
        let mut adjusted = None;
        // RFC 9002 5.1: the largest is newly acknowledged, and something demanded an ACK.
        if ack.measures && reaches_largest && newly.eliciting {
            let sample = now.saturating_duration_since(largest.sent);
            adjusted = Some(self.rtt.update(now, sample, ack.delay, self.max_ack_delay));
            summary.rtt_sample = Some(sample);
        }
        let round_started = self.usage.on_acked(largest.place, self.sent.next_place());
        if self.largest_acked.is_none_or(|before| largest.place > before) {
            self.largest_acked = Some(largest.place);
            if reaches_largest {
                let verdict = self.ecn.on_ack(newly.marked, ack.ecn);
                if verdict == EcnVerdict::Congestion {
                    summary.congestion |= self.on_mark(now, largest.sent);
                }
            }
        }
        if self.sent.drop_acknowledged() {
            self.run.interrupt();
        }
        self.detect_lost(now, &mut summary, sink);
        if newly.eliciting {
            self.pto_count = 0;
            self.free_packets = self.free_packets.min(u8::from(summary.congestion));
        }
        let oldest = self.sent.oldest().map_or(self.sent.next_place(), |(_, place)| place);
        let min_rtt = self.rtt.min();
        let sample = self.delivery.as_mut().and_then(|d| d.sample(min_rtt, oldest));
        if newly.bytes > 0 && !self.reliable {
            let app_limited =
                !self.usage.used(self.controller.window(), self.controller.in_slow_start());
            self.controller.on_ack(&Acked {
                now,
                bytes: newly.bytes,
                // What opened an episode with this very ACK was sent before it.
                growth_bytes: if summary.congestion { 0 } else { newly.growth_bytes },
                app_limited,
                round_started,
                rtt_sample: adjusted,
                in_flight: self.bytes_in_flight,
                sample,
                rtt: &self.rtt,
            });
        }
        if round_started {
            self.usage.start_round(self.bytes_in_flight);
        }
        summary.newly_acked_bytes = newly.bytes;
        summary.newly_acked_packets = newly.packets;
        Ok(summary)
    }

    /// Marks what `ranges` cover as acknowledged.
    fn acknowledge(
        &mut self,
        now: Instant,
        ranges: impl IntoIterator<Item = RangeInclusive<u64>>,
        summary: &mut AckSummary,
        sink: &mut impl FnMut(Fate, Content),
    ) -> NewlyAcked {
        let mut newly = NewlyAcked::default();
        let recovery_start = self.controller.recovery_start();
        let oldest_sent = self.sent.oldest().map(|(p, _)| p.number);
        let oldest = match (oldest_sent, self.lost.as_ref().and_then(|lost| lost.first_number())) {
            (Some(a), Some(b)) => a.min(b),
            (Some(a), None) | (None, Some(a)) => a,
            (None, None) => return newly,
        };
        for range in ranges {
            if *range.end() < oldest {
                break;
            }
            for index in self.sent.indices(&range).rev() {
                let Some((packet, place)) = self.sent.acknowledge(index) else { continue };
                self.sent.contents(&packet).for_each(|c| sink(Fate::Acked, *c));
                if newly.largest.is_none_or(|l| packet.number > l.number) {
                    newly.largest =
                        Some(LargestAcked { number: packet.number, sent: packet.sent, place });
                }
                newly.marked += u64::from(packet.ecn);
                if packet.is_large() {
                    self.large.on_arrived(place);
                }
                if packet.counts() {
                    newly.eliciting = true;
                    newly.bytes += packet.in_flight();
                    newly.packets += 1;
                    if recovery_start.is_none_or(|start| packet.sent > start) {
                        newly.growth_bytes += packet.in_flight();
                    }
                    self.bytes_in_flight -= packet.in_flight();
                    self.eliciting_in_flight -= 1;
                    if let Some(delivery) = &mut self.delivery {
                        delivery.on_acked(now, place, packet.sent, packet.in_flight());
                    }
                }
            }
            let lost = self.lost.as_ref().map_or(0..0, |lost| lost.indices(&range));
            for index in lost.rev() {
                summary.spurious_losses += u32::from(self.acknowledge_lost(now, index, sink));
            }
        }
        newly
    }

    /// A packet declared lost was acknowledged after all. True unless that is old news.
    fn acknowledge_lost(
        &mut self,
        now: Instant,
        index: usize,
        sink: &mut impl FnMut(Fate, Content),
    ) -> bool {
        let Some(lost) = &mut self.lost else { return false };
        let Some(packet) = lost.acknowledge(index) else { return false };
        lost.contents(&packet).for_each(|c| sink(Fate::Acked, *c));
        let distance = self.largest_acked.map_or(0, |l| l.saturating_sub(packet.place));
        self.thresholds.on_spurious_loss(now, packet.cause, distance, &self.rtt);
        self.run.on_spurious_loss(packet.sent);
        if packet.episode == Some(self.episode.number) && self.episode.missing > 0 {
            self.episode.missing -= 1;
            if self.episode.missing == 0 {
                self.controller.on_spurious_congestion();
            }
        }
        true
    }

    /// Forgets the losses of long ago, and with the last of them their memory.
    fn expire_lost(&mut self, now: Instant) {
        let Some(lost) = &mut self.lost else { return };
        lost.expire(now, self.rtt.pto(self.max_ack_delay) * LOST_MEMORY);
        if lost.first_number().is_none() {
            self.lost = None;
        }
    }

    /// An ECN mark: the same episode that a loss would open, but never taken back.
    fn on_mark(&mut self, now: Instant, sent: Instant) -> bool {
        let event = Congestion {
            now,
            sent,
            lost_bytes: 0,
            flight: LostFlight::default(),
            persistent: false,
            ecn: true,
        };
        let new = self.controller.on_congestion(&event);
        if new {
            self.begin_episode();
        }
        new
    }

    fn begin_episode(&mut self) {
        self.episode = Episode { number: self.episode.number.wrapping_add(1), missing: 0 };
        // RFC 9002 7.3.2: one packet may leave although the window shrank, to speed up recovery.
        self.free_packets = self.free_packets.max(1);
    }

    /// Declares lost what the thresholds say, and tells the controller.
    fn detect_lost(
        &mut self,
        now: Instant,
        summary: &mut AckSummary,
        sink: &mut impl FnMut(Fate, Content),
    ) {
        let Some(largest_acked) = self.largest_acked else { return };
        if self.reliable {
            self.detect_dropped(now, largest_acked, summary, sink);
            return;
        }
        let mut latest = None;
        // Sent times and places ascend together: the first packet that is not lost ends the search.
        while let Some((&packet, place)) = self.sent.oldest() {
            // An episode that begins below may narrow the thresholds: what is left is judged by the
            // same as the timer, which would lie in the past otherwise.
            let delay = self.thresholds.delay(&self.rtt);
            let judged = self.thresholds.judge(now, delay, packet.sent, place, largest_acked);
            let Some(cause) = judged else { break };
            summary.lost_packets += 1;
            let mut episode = None;
            // RFC 8899 3: a lost probe of a larger size says nothing of congestion.
            if packet.is_large() {
                self.large.on_lost(place);
            }
            if packet.counts() {
                summary.lost_in_flight += 1;
                let bytes = packet.in_flight();
                let flight = self
                    .delivery
                    .as_mut()
                    .map_or(LostFlight::default(), |d| d.on_lost(place, bytes));
                let event = Congestion {
                    now,
                    sent: packet.sent,
                    lost_bytes: bytes,
                    flight,
                    persistent: false,
                    ecn: false,
                };
                if self.controller.on_congestion(&event) {
                    self.thresholds.on_loss_episode();
                    self.begin_episode();
                    summary.congestion = true;
                }
                self.episode.missing += 1;
                episode = Some(self.episode.number);
                latest = Some(event);
                summary.persistent_congestion |=
                    self.run.on_lost(packet.sent, &self.rtt, self.max_ack_delay);
            }
            self.give_up_oldest(now, cause, episode, sink);
        }
        if let Some(event) = latest.filter(|_| summary.persistent_congestion) {
            self.controller.on_congestion(&Congestion { persistent: true, ..event });
            self.rtt.reset_min();
        }
    }

    /// On a path that keeps the order, a packet that is missing below one that arrived did arrive and was
    /// dropped by the peer, or never left: it is lost at once, and says nothing of congestion.
    fn detect_dropped(
        &mut self,
        now: Instant,
        largest_acked: u64,
        summary: &mut AckSummary,
        sink: &mut impl FnMut(Fate, Content),
    ) {
        while self.sent.oldest().is_some_and(|(_, place)| place < largest_acked) {
            summary.lost_packets += 1;
            self.give_up_oldest(now, LossCause::Reordering, None, sink);
        }
    }

    /// Reports the oldest outstanding packet as lost and remembers it for a late ACK.
    fn give_up_oldest(
        &mut self,
        now: Instant,
        cause: LossCause,
        episode: Option<u32>,
        sink: &mut impl FnMut(Fate, Content),
    ) {
        let Some((&packet, place)) = self.sent.oldest() else { return };
        self.sent.contents(&packet).for_each(|c| sink(Fate::Lost, *c));
        if let Some(losses) = &mut self.losses {
            losses.push(Loss::new(packet.number, packet.in_flight(), cause));
        }
        if packet.counts() {
            self.bytes_in_flight -= packet.in_flight();
            self.eliciting_in_flight -= 1;
            let contents = self.sent.contents(&packet);
            let lost = self.lost.get_or_insert_default();
            lost.push(now, &packet, place, cause, episode, contents);
        }
        if packet.ecn && cause != LossCause::Abandoned {
            self.ecn.on_lost();
        }
        self.sent.drop_oldest();
        if self.sent.drop_acknowledged() {
            self.run.interrupt();
        }
    }

    /// When [`on_timeout`](Self::on_timeout) is to be called: at the loss time of the oldest packet,
    /// or else at the probe timeout (RFC 9002 6.2.1). Always set while anything is in flight, but for
    /// a reliable path.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.reliable {
            return None;
        }
        self.loss_time().or_else(|| match self.eliciting_in_flight {
            0 => self.stands_still_at(),
            _ => Some(self.pto_base + self.probe_interval()),
        })
    }

    /// When to ask whether the path is dead, while nothing in flight can tell.
    fn stands_still_at(&self) -> Option<Instant> {
        let pto = self.pto();
        let dry = self.dry_since.map(|since| since + pto);
        self.flow.stands_still_at(pto).into_iter().chain(dry).min()
    }

    fn forget_standstill(&mut self) {
        self.flow = PeerFlow::default();
        self.dry_since = None;
    }

    /// All that was sent is acknowledged, or more of it still is in flight, and credit may be used up.
    pub(crate) fn on_dry(&mut self, now: Instant) {
        self.dry_since = (self.eliciting_in_flight == 0).then_some(now);
    }

    /// The peer sent data by this path.
    pub(crate) fn on_data_heard(&mut self, now: Instant) {
        if !self.reliable {
            let pto = self.pto();
            self.flow.on_data(now, pto);
        }
    }

    /// The probe timeout, backed off (RFC 9002 6.2.1) up to [`MAX_PROBE_INTERVAL`], and once in any case:
    /// it may be that the path has become slower.
    fn probe_interval(&self) -> Duration {
        let pto = self.pto();
        (pto * (1 << self.pto_count.min(MAX_BACKOFF))).min(MAX_PROBE_INTERVAL.max(2 * pto))
    }

    fn loss_time(&self) -> Option<Instant> {
        let largest_acked = self.largest_acked?;
        let (packet, place) = self.sent.oldest()?;
        (place < largest_acked).then(|| packet.sent + self.thresholds.delay(&self.rtt))
    }

    /// The time of [`next_timeout`](Self::next_timeout) has come.
    pub(crate) fn on_timeout(
        &mut self,
        now: Instant,
        sink: &mut impl FnMut(Fate, Content),
    ) -> RecoveryTimeout {
        if self.next_timeout().is_none_or(|deadline| now < deadline) {
            return RecoveryTimeout::None;
        }
        if self.eliciting_in_flight == 0 && self.loss_time().is_none() {
            self.forget_standstill();
            return RecoveryTimeout::Still;
        }
        if self.loss_time().is_some() {
            let mut summary = AckSummary::default();
            self.detect_lost(now, &mut summary, sink);
            let (packets, in_flight) = (summary.lost_packets, summary.lost_in_flight);
            return RecoveryTimeout::Lost { packets, in_flight };
        }
        // A probe timeout is no sign of loss (RFC 9002 6.2.4). Its clock starts anew even if no
        // probe can leave, so that the timer never stays in the past.
        self.pto_count += 1;
        self.pto_base = now;
        self.free_packets = PROBES;
        RecoveryTimeout::Probe { count: PROBES }
    }

    /// One packet may leave without regard to window and pacer: it asks, as a probe does, and whoever calls this
    /// sees to the pauses between them.
    pub(crate) fn free_one(&mut self) {
        self.free_packets = self.free_packets.max(1);
    }

    /// A probe goes out because the peer [stands still](RecoveryTimeout::Still). It stands for the probe
    /// timeout that a sender would have had by now, so that both sides find a dead path as soon.
    pub(crate) fn on_still_probe(&mut self) {
        self.pto_count = self.pto_count.max(1);
    }

    /// The peer was heard on this path, the last time before that at `before`. If that is the first
    /// sign of life since several probe timeouts in a row, whatever silenced the path has ended:
    /// probes go out in a moment, and do not sit out a backoff that grew in the dark
    /// (`PROTOCOL.md` 5.2). Each such start needs a probe timeout and a packet of the peer, so that
    /// a path that is dead in one direction only does not see many.
    pub(crate) fn on_heard_again(&mut self, now: Instant, before: Instant) {
        if self.pto_count >= 2 && before < self.pto_base {
            self.pto_count = 0;
            // The timer never lies in the past.
            self.pto_base = self.pto_base.max(now + GRANULARITY - self.pto());
        }
    }

    /// What the oldest `packets` outstanding packets carried: the best content of a probe. They stay
    /// in flight, and will be reported once more when their fate is known.
    pub(crate) fn probe_contents(&self, packets: usize, sink: &mut impl FnMut(Content)) {
        for packet in self.sent.outstanding().filter(|p| p.counts()).take(packets) {
            self.sent.contents(packet).for_each(|c| sink(*c));
        }
    }

    /// What may be sent at `now` on account of window, pacer and probes.
    pub(crate) fn allowance(&mut self, now: Instant) -> Allowance {
        if self.reliable {
            return Allowance { bytes: u64::MAX, next: None };
        }
        let mtu = u64::from(self.mtu);
        let free = u64::from(self.free_packets) * mtu;
        let window = self.controller.window();
        let room = window.saturating_sub(self.bytes_in_flight);
        if room < mtu {
            self.usage.on_blocked();
            return Allowance { bytes: free, next: None };
        }
        let rate = match self.controller.pacing_rate() {
            Some(bytes) => Rate::per_second(bytes),
            None => {
                let slow_start = self.controller.in_slow_start();
                Rate::from_window(window, self.rtt.smoothed(), slow_start)
            }
        };
        match self.pacer.available(now, rate, window, self.mtu) {
            Ok(tokens) => Allowance { bytes: tokens.min(room).max(free), next: None },
            Err(next) => {
                self.usage.on_blocked();
                Allowance { bytes: free, next: Some(next) }
            }
        }
    }

    /// The application has nothing more to send although window and pacer would let it: what is
    /// delivered from here on tells of its pace, not of the path's.
    pub(crate) fn on_app_limited(&mut self) {
        if let Some(delivery) = &mut self.delivery {
            delivery.on_app_limited(self.bytes_in_flight);
        }
    }

    /// Reports all that is outstanding as lost, without a sign of congestion: the path was left or
    /// its connection ended (`PROTOCOL.md` 5). Late ACKs still count.
    pub(crate) fn discard_all(&mut self, now: Instant, sink: &mut impl FnMut(Fate, Content)) {
        while self.sent.oldest().is_some() {
            self.give_up_oldest(now, LossCause::Abandoned, None, sink);
        }
        // What was in flight has watched the path up to now, and what goes out instead will: a standstill
        // of the peer that lies behind is no reason to ask now.
        if self.stands_still_at().is_some_and(|at| at < now) {
            self.forget_standstill();
        }
        self.run.interrupt();
        self.pto_count = 0;
        self.free_packets = 0;
    }

    /// Packets of up to `mtu` bytes fit the path from here on.
    pub(crate) fn on_mtu_update(&mut self, mtu: u16) {
        self.large.reset();
        self.mtu = mtu;
        self.controller.on_mtu_update(mtu);
    }

    /// From here on, packets declared lost are noted for [`take_losses`](Self::take_losses).
    pub(crate) fn note_losses(&mut self) {
        self.losses.get_or_insert_default();
    }

    /// Moves the packets declared lost since the last time to `to`.
    pub(crate) fn take_losses(&mut self, to: &mut Vec<Loss>) {
        if let Some(losses) = &mut self.losses {
            to.append(losses);
        }
    }

    /// Another path is in use from now on: losses are noted there, and ECN counts go on there. What the peer sent
    /// there before, if it was in use already, is no flow that could stand still.
    pub(crate) fn hand_over_to(&mut self, other: &mut Self) {
        other.forget_standstill();
        self.ecn.hand_over_to(&mut other.ecn);
        other.losses = self.losses.take();
    }

    /// What is known of the round-trip time.
    pub(crate) fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    /// One probe timeout without backoff.
    pub(crate) fn pto(&self) -> Duration {
        self.rtt.pto(self.max_ack_delay)
    }

    /// Probe timeouts in a row without an answer.
    pub(crate) fn pto_count(&self) -> u32 {
        self.pto_count
    }

    /// Packets of more than the least size that were lost in a row while a smaller one sent after
    /// them arrived.
    pub(crate) fn large_lost_in_a_row(&self) -> u32 {
        self.large.lost_in_a_row()
    }

    /// Bytes of ack-eliciting packets that are neither acknowledged nor lost.
    pub(crate) fn bytes_in_flight(&self) -> u64 {
        self.bytes_in_flight
    }

    /// The congestion window in bytes.
    pub(crate) fn window(&self) -> u64 {
        self.controller.window()
    }

    /// Whether the next packet is to be marked ECT(0).
    pub(crate) fn mark_ecn(&self) -> bool {
        self.ecn.mark()
    }

    /// Whether the path was found to carry ECN marks.
    #[cfg(test)]
    pub(crate) fn ecn_capable(&self) -> bool {
        self.ecn.capable()
    }

    /// Whether the next packet must elicit an ACK (with a KEEP_ALIVE, if with nothing else): so many
    /// in a row did not that the peer's view of our ACKs would never be confirmed.
    pub(crate) fn needs_ack_eliciting(&self) -> bool {
        self.silent_packets >= MAX_SILENT_PACKETS
    }
}

#[derive(Clone, Copy, Debug)]
struct LargestAcked {
    number: u64,
    sent: Instant,
    place: u64,
}

/// What an ACK newly acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct NewlyAcked {
    largest: Option<LargestAcked>,
    bytes: u64,
    packets: u32,
    growth_bytes: u64,
    marked: u64,
    eliciting: bool,
}
