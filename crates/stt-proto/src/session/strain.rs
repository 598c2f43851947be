//! Whether a path that answers starves what goes by it (PROTOCOL.md section 5.6): it loses much of it, or
//! it loses some and is slow besides.
//!
//! Both directions are judged from this side alone. Of what this side sends, acknowledgements tell; of what
//! the peer sends, the gaps in its packet numbers do. A path that loses nothing costs nothing: counting
//! begins with a loss, and ends with the first span of time that gives no reason to go on.

use core::time::Duration;

use crate::event::Event;
use crate::time::Instant;

use super::{Context, Session};

/// The least time that is judged as one. Shorter than that, a burst of losses is the end of a slow start, or
/// a handover between two base stations: both pass by themselves.
const SPAN: Duration = Duration::from_secs(1);
/// Round trips in a span at least: congestion control must have had time to react to what it counts.
const SPAN_ROUNDS: u32 = 8;
/// The longest span; round trips longer than half a second are judged by fewer of them.
const MAX_SPAN: Duration = Duration::from_secs(4);
/// Spans in a row that must be bad.
const SPANS: u8 = 2;
/// Packets in a span at least. Where one packet in twenty is lost, at most one such span in fifty has more
/// than one in seven, and one pair in thousands.
const SAMPLE: u64 = 16;
/// Packets that do where probe timeouts in a row say that something is wrong as well.
const HINT_SAMPLE: u64 = 8;
/// Spans that a sample may take to come together; then the counting starts anew.
const PATIENCE: u32 = 4;
/// Of a hundred packets, so many lost are heavy loss. Congestion control alone makes a few (CUBIC loses
/// less than one in a hundred, BBR two while it probes); no network that works loses every seventh for
/// seconds, and no loss-based controller gets anywhere on one that does.
const HEAVY: u64 = 15;
/// So many are a reason where the path is [`SLOW`], too: a queue that is merely long loses fewer.
const SOME: u64 = 2;
/// Bytes a second below which a path is slow: about 1 Mbit/s, a MiB in eight seconds.
const SLOW: u64 = 128 * 1024;

/// What a path did to the packets of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathStrain {
    /// Whether they are those that this side sends; else the peer's.
    pub sending: bool,
    /// Packets whose fate is known.
    pub packets: u64,
    /// Those that were lost.
    pub lost: u64,
    /// Bytes of those that arrived, in a second.
    pub bytes_per_second: u64,
}

/// See the module: one direction of the path in use, while it loses packets.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    arrived: u64,
    bytes: u64,
    lost: u64,
    /// Bytes of streams among those.
    payload: u64,
    /// Spans before this one, in a row, that were bad.
    bad: u8,
}

/// Both directions of a path.
#[derive(Clone, Debug, Default)]
pub(super) struct Strain {
    sending: Option<Window>,
    receiving: Option<Window>,
}

impl Strain {
    /// Of the packets that this side sent some arrived, and some are lost. `waiting` says that there is more
    /// to send than the path takes: only that makes its pace the path's own.
    pub(super) fn on_fates(
        &mut self,
        now: Instant,
        rtt: Duration,
        arrived: (u64, u64),
        lost: u64,
        waiting: bool,
    ) -> Option<PathStrain> {
        let window = open(&mut self.sending, now, lost > 0)?;
        window.count(arrived.0, arrived.1, lost);
        let judged = window.judge(now, rtt, waiting);
        settle(&mut self.sending, judged).map(|window| window.report(now, true))
    }

    /// A packet of the peer came that had the largest number so far; `missing` are the numbers that it left
    /// out. They may come yet.
    pub(super) fn on_newest(
        &mut self,
        now: Instant,
        rtt: Duration,
        bytes: u64,
        missing: u64,
    ) -> Option<PathStrain> {
        let window = open(&mut self.receiving, now, missing > 0)?;
        window.count(1, bytes, missing);
        // Whether the peer has more to send is not known here: packets filled with what streams bring do
        // not come from somebody who waits for something to say.
        let judged = window.judge(now, rtt, 2 * window.payload >= window.bytes);
        settle(&mut self.receiving, judged).map(|window| window.report(now, false))
    }

    /// A packet that was missing came.
    pub(super) fn on_late(&mut self, bytes: u64) {
        if let Some(window) = &mut self.receiving {
            window.lost = window.lost.saturating_sub(1);
            window.count(1, bytes, 0);
        }
    }

    /// The packet that came last brought so much of a stream.
    pub(super) fn on_payload(&mut self, bytes: usize) {
        if let Some(window) = &mut self.receiving {
            window.payload += bytes as u64;
        }
    }

    /// Whether nothing is counted.
    fn is_over(&self) -> bool {
        self.sending.is_none() && self.receiving.is_none()
    }

    /// The path does not answer at the moment: what speaks for its being alive, and starving. Without anything
    /// `waiting` to be sent, what this side sends are answers to what the peer does.
    pub(super) fn hint(&self, now: Instant, waiting: bool) -> Option<PathStrain> {
        let bad = |window: &Option<Window>| {
            window.filter(|window| {
                window.bad > 0
                    || (window.packets() >= HINT_SAMPLE && window.arrived > 0 && window.is_heavy())
            })
        };
        let sending = bad(&self.sending).filter(|_| waiting);
        let sending = sending.map(|window| window.report(now, true));
        sending.or_else(|| bad(&self.receiving).map(|window| window.report(now, false)))
    }
}

/// The window, begun with the first loss.
fn open(window: &mut Option<Window>, now: Instant, loss: bool) -> Option<&mut Window> {
    if window.is_none() && loss {
        *window = Some(Window::new(now, 0));
    }
    window.as_mut()
}

/// What comes after the judgement of a window; that window itself if it is to be told.
fn settle(slot: &mut Option<Window>, judged: Judgement) -> Option<Window> {
    let before = *slot;
    match judged {
        Judgement::Open => None,
        Judgement::Over => {
            *slot = None;
            None
        }
        Judgement::Bad(now) => {
            let bad = before.map_or(0, |window| window.bad).saturating_add(1).min(SPANS);
            *slot = Some(Window::new(now, bad));
            before.filter(|_| bad >= SPANS)
        }
    }
}

enum Judgement {
    /// It goes on.
    Open,
    /// There is no reason to count on.
    Over,
    /// It was bad; the next one begins.
    Bad(Instant),
}

impl Window {
    fn new(now: Instant, bad: u8) -> Self {
        Self { since: now, arrived: 0, bytes: 0, lost: 0, payload: 0, bad }
    }

    fn count(&mut self, arrived: u64, bytes: u64, lost: u64) {
        self.arrived += arrived;
        self.bytes += bytes;
        self.lost += lost;
    }

    fn packets(&self) -> u64 {
        self.arrived + self.lost
    }

    fn is_heavy(&self) -> bool {
        100 * self.lost >= HEAVY * self.packets()
    }

    fn rate(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.since).as_nanos().max(1_000_000);
        u64::try_from(u128::from(self.bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    fn judge(&self, now: Instant, rtt: Duration, wanted: bool) -> Judgement {
        let span = (SPAN_ROUNDS * rtt).clamp(SPAN, MAX_SPAN);
        let age = now.saturating_duration_since(self.since);
        if age < span {
            return Judgement::Open;
        }
        if self.packets() < SAMPLE {
            return if age < PATIENCE * span { Judgement::Open } else { Judgement::Over };
        }
        let slow = self.rate(now) < SLOW && 100 * self.lost >= SOME * self.packets();
        if wanted && (self.is_heavy() || slow) { Judgement::Bad(now) } else { Judgement::Over }
    }

    fn report(&self, now: Instant, sending: bool) -> PathStrain {
        PathStrain {
            sending,
            packets: self.packets(),
            lost: self.lost,
            bytes_per_second: self.rate(now),
        }
    }
}

impl Session {
    /// Another path is in use: what was counted is of no use any more.
    pub(super) fn start_counts(&mut self) {
        self.strain = None;
        self.path_is_new = true;
        (self.stats.path_bytes_acked, self.stats.path_bytes_received) = (0, 0);
    }

    /// Of what was sent by the path in use some arrived, as packets and bytes, and some is lost.
    pub(super) fn on_packet_fates(&mut self, cx: &mut Context<'_>, arrived: (u64, u64), lost: u64) {
        if self.path.address.is_reliable() || (self.strain.is_none() && lost == 0) {
            return;
        }
        let (waiting, rtt) = (self.wants_data(), self.recovery.rtt().smoothed());
        let strain = self.strain.get_or_insert_default();
        let told = strain.on_fates(cx.now.mono, rtt, arrived, lost, waiting);
        self.tell_strain(cx, told);
    }

    /// A packet came by the path in use; `largest` is the largest number before it.
    pub(super) fn on_packet_came(
        &mut self,
        cx: &mut Context<'_>,
        largest: Option<u64>,
        number: u64,
        bytes: u64,
    ) {
        // What is missing before the first packet went by the path before.
        let is_first = core::mem::take(&mut self.path_is_new);
        let missing = number.saturating_sub(largest.map_or(number, |largest| largest + 1));
        if self.path.address.is_reliable() || (self.strain.is_none() && missing == 0) {
            return;
        }
        let rtt = self.recovery.rtt().smoothed();
        let strain = self.strain.get_or_insert_default();
        if largest > Some(number) {
            strain.on_late(bytes);
            return;
        }
        let missing = if is_first { 0 } else { missing };
        let told = strain.on_newest(cx.now.mono, rtt, bytes, missing);
        self.tell_strain(cx, told);
    }

    /// Tells of a strain, and keeps nothing where there is nothing to count any more.
    pub(super) fn tell_strain(&mut self, cx: &mut Context<'_>, strain: Option<PathStrain>) {
        if self.strain.as_ref().is_some_and(|strain| strain.is_over()) {
            self.strain = None;
        }
        if let Some(strain) = strain.filter(|_| self.is_established() && self.is_live()) {
            cx.events.push_back(Event::PathStrained { session: cx.handle, strain });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// What is told of packets of 1000 bytes, one each `pace` ms, of which every `one_in`th is lost.
    fn send(strain: &mut Strain, ms: core::ops::Range<u64>, pace: u64, one_in: u64) -> Vec<u64> {
        let mut told = Vec::new();
        for time in ms.filter(|ms| ms % pace == 0) {
            let lost = one_in > 0 && (time / pace).is_multiple_of(one_in);
            let fates = if lost { ((0, 0), 1) } else { ((1, 1_000), 0) };
            if let Some(strain) = strain.on_fates(at(time), RTT, fates.0, fates.1, true) {
                assert!(strain.sending);
                told.push(100 * strain.lost / strain.packets);
            }
        }
        told
    }

    fn receive(strain: &mut Strain, ms: u64, pace: u64, one_in: u64, payload: usize) -> usize {
        let (mut told, mut missing) = (0, 0);
        for packet in 0..ms / pace {
            if packet % one_in == 0 {
                missing += 1;
                continue;
            }
            let now = at(packet * pace);
            told += usize::from(strain.on_newest(now, RTT, 1_000, missing).is_some());
            strain.on_payload(payload);
            missing = 0;
        }
        told
    }

    #[test]
    fn heavy_loss_is_told_after_two_spans_and_once_a_span_from_then_on() {
        let mut strain = Strain::default();
        let told = send(&mut strain, 0..10_000, 1, 4);
        assert_eq!(told.len(), 8, "spans end at 1 s, 2 s and so on to 9 s");
        assert!(told.iter().all(|percent| (24..=26).contains(percent)), "{told:?}");
    }

    #[test]
    fn what_congestion_control_loses_by_itself_is_none() {
        let mut strain = Strain::default();
        assert!(send(&mut strain, 0..60_000, 1, 30).is_empty());
    }

    #[test]
    fn one_bad_second_is_none_and_nothing_is_kept_of_it() {
        let mut strain = Strain::default();
        assert!(send(&mut strain, 0..1_200, 1, 2).is_empty());
        assert!(send(&mut strain, 1_200..9_000, 1, 0).is_empty());
        assert!(strain.sending.is_none());
        assert!(send(&mut strain, 9_000..10_200, 1, 2).is_empty());
    }

    #[test]
    fn a_slow_path_that_loses_some_is_told_and_a_fast_one_is_not() {
        // 50 and 1000 kB/s, one in 25 lost.
        assert!(!send(&mut Strain::default(), 0..10_000, 20, 25).is_empty());
        assert!(send(&mut Strain::default(), 0..10_000, 1, 25).is_empty());
        // One in a hundred is what a full queue loses.
        assert!(send(&mut Strain::default(), 0..60_000, 20, 100).is_empty());
    }

    #[test]
    fn a_pace_of_the_applications_own_is_none_of_the_paths() {
        let mut strain = Strain::default();
        for ms in 0..10_000 {
            let lost = u64::from(ms % 3 == 0);
            assert_eq!(strain.on_fates(at(ms), RTT, (1 - lost, 1_000), lost, false), None);
        }
    }

    #[test]
    fn spans_last_eight_round_trips() {
        let mut strain = Strain::default();
        let slow = Duration::from_millis(300);
        let told = (0..10_000).filter(|ms| {
            let lost = u64::from(ms % 3 == 0);
            strain.on_fates(at(*ms), slow, (1 - lost, 1_000), lost, true).is_some()
        });
        assert_eq!(told.count(), 3);
    }

    #[test]
    fn few_packets_are_no_sample() {
        assert!(send(&mut Strain::default(), 0..60_000, 300, 2).is_empty());
    }

    #[test]
    fn gaps_in_the_peers_numbers_tell_of_its_loss() {
        assert_eq!(receive(&mut Strain::default(), 10_000, 10, 3, 900), 8);
        assert_eq!(receive(&mut Strain::default(), 10_000, 1, 30, 900), 0);
        // ACKs, keep-alives, and whoever says little.
        assert_eq!(receive(&mut Strain::default(), 10_000, 10, 3, 40), 0);
    }

    #[test]
    fn what_comes_late_was_not_lost() {
        let mut strain = Strain::default();
        for packet in 0..10_000_u64 {
            let now = at(packet);
            // Every third overtakes the one before it.
            if packet % 3 == 0 {
                assert_eq!(strain.on_newest(now, RTT, 1_000, 1), None);
            } else if packet % 3 == 1 {
                strain.on_late(1_000);
            } else {
                assert_eq!(strain.on_newest(now, RTT, 1_000, 0), None);
            }
            strain.on_payload(900);
        }
    }

    #[test]
    fn few_packets_and_silence_are_a_hint() {
        let mut strain = Strain::default();
        assert_eq!(strain.hint(at(0), true), None);
        strain.on_fates(at(0), RTT, (0, 0), 3, true);
        assert_eq!(strain.hint(at(10), true), None, "nothing says that it is alive");
        strain.on_fates(at(10), RTT, (5, 5_000), 0, true);
        assert_eq!(strain.hint(at(100), false), None);
        let hint = strain.hint(at(100), true).unwrap();
        assert_eq!((hint.packets, hint.lost, hint.bytes_per_second), (8, 3, 50_000));
    }
}
