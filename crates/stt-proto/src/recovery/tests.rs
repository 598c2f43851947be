//! What a path's recovery does, behaviour by behaviour.

use super::congestion::{Cubic, NewReno};
use super::*;

const MTU: u16 = 1_000;

/// Packets carry their own number as content.
pub(super) fn content(number: u64) -> Content {
    Content::KeepAlive { token: number }
}

pub(super) fn info(ack_eliciting: bool) -> PacketInfo {
    PacketInfo { bytes: MTU, ack_eliciting, mtu_probe: false, ecn: false }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn at(n: u64) -> Instant {
    Instant::default() + ms(n)
}

fn ack(largest: u64) -> AckInfo {
    AckInfo {
        largest,
        delay: Duration::ZERO,
        ecn: None,
        measures: true,
        next_packet_number: u64::MAX,
    }
}

fn config() -> RecoveryConfig {
    RecoveryConfig { mtu: MTU, ..RecoveryConfig::default() }
}

/// A path together with what it reported last.
struct Path {
    recovery: Recovery,
    acked: Vec<u64>,
    lost: Vec<u64>,
}

impl Path {
    fn new() -> Self {
        Self::with(Box::new(Cubic::new(MTU)))
    }

    fn with(controller: Box<dyn Controller>) -> Self {
        let recovery = Recovery::new(&config(), controller);
        Self { recovery, acked: Vec::new(), lost: Vec::new() }
    }

    /// A path with a round-trip time of 100 ms, known since 100 ms; number 0 is taken.
    fn measured() -> Self {
        let mut path = Self::new();
        path.send(0, [0]);
        path.ack(100, [0..=0]);
        path
    }

    fn send(&mut self, now: u64, numbers: impl IntoIterator<Item = u64>) {
        for n in numbers {
            self.recovery.on_packet_sent(at(now), n, info(true), &[content(n)]);
        }
    }

    fn ack_with<const N: usize>(
        &mut self,
        now: u64,
        info: &AckInfo,
        ranges: [RangeInclusive<u64>; N],
    ) -> AckSummary {
        self.acked.clear();
        self.lost.clear();
        let (acked, lost) = (&mut self.acked, &mut self.lost);
        let summary = self.recovery.on_ack(at(now), info, ranges, &mut sink(acked, lost)).unwrap();
        self.acked.sort_unstable();
        summary
    }

    fn ack<const N: usize>(&mut self, now: u64, ranges: [RangeInclusive<u64>; N]) -> AckSummary {
        let info = ack(*ranges[0].end());
        self.ack_with(now, &info, ranges)
    }

    fn timeout(&mut self) -> (Instant, RecoveryTimeout) {
        self.acked.clear();
        self.lost.clear();
        let deadline = self.recovery.next_timeout().unwrap();
        let (acked, lost) = (&mut self.acked, &mut self.lost);
        (deadline, self.recovery.on_timeout(deadline, &mut sink(acked, lost)))
    }
}

fn sink<'a>(
    acked: &'a mut Vec<u64>,
    lost: &'a mut Vec<u64>,
) -> impl FnMut(Fate, Content) + use<'a> {
    |fate, content| {
        let Content::KeepAlive { token } = content else { return };
        match fate {
            Fate::Acked => acked.push(token),
            Fate::Lost => lost.push(token),
        }
    }
}

#[test]
fn an_ack_frees_the_flight_and_measures_the_round_trip() {
    let mut path = Path::new();
    path.send(0, 0..4);
    assert_eq!(path.recovery.bytes_in_flight(), 4_000);
    let summary = path.ack(80, [0..=3]);
    assert_eq!(path.acked, [0, 1, 2, 3]);
    assert_eq!(summary.newly_acked_bytes, 4_000);
    assert_eq!(summary.rtt_sample, Some(ms(80)));
    assert_eq!(path.recovery.rtt().smoothed(), ms(80));
    assert_eq!(path.recovery.bytes_in_flight(), 0);
    assert_eq!(path.recovery.next_timeout(), None);
    assert_eq!(path.ack(90, [0..=3]), AckSummary::default(), "a repetition changes nothing");
}

#[test]
fn an_ack_of_the_future_is_refused_and_changes_nothing() {
    let mut path = Path::new();
    path.send(0, 0..2);
    let info = AckInfo { next_packet_number: 2, ..ack(2) };
    let refused = path.recovery.on_ack(at(1), &info, [0..=2], &mut |_, _| unreachable!());
    assert_eq!(refused, Err(AckOfUnsent));
    assert_eq!(path.recovery.bytes_in_flight(), 2_000);
}

#[test]
fn only_the_path_itself_measures_the_round_trip() {
    let mut path = Path::new();
    path.send(0, 0..2);
    let summary = path.ack_with(50, &AckInfo { measures: false, ..ack(0) }, [0..=0]);
    assert_eq!((summary.rtt_sample, path.recovery.rtt().measured()), (None, None));
    let summary = path.ack_with(50, &ack(7), [7..=7, 1..=1]);
    assert_eq!(summary.newly_acked_bytes, 1_000);
    assert_eq!(summary.rtt_sample, None, "the largest went another way");
}

#[test]
fn three_later_packets_of_the_same_path_make_one_lost() {
    let mut path = Path::measured();
    path.send(100, [1, 10, 20]);
    let summary = path.ack(200, [20..=20, 10..=10]);
    assert_eq!(
        summary.lost_packets, 0,
        "two packets went after it here, however high their numbers"
    );
    path.send(200, [30]);
    let summary = path.ack(201, [30..=30]);
    assert_eq!((summary.lost_packets, path.lost.as_slice()), (1, &[1][..]));
    assert!(summary.congestion);
    assert_eq!(path.recovery.bytes_in_flight(), 0);
}

#[test]
fn time_makes_a_packet_lost_once_a_later_one_arrived() {
    let mut path = Path::measured();
    path.send(100, [1]);
    path.send(110, [2]);
    path.ack(210, [2..=2]);
    assert_eq!(path.recovery.next_timeout(), Some(at(100) + ms(100) * 9 / 8));
    let (_, outcome) = path.timeout();
    assert_eq!(outcome, RecoveryTimeout::Lost { packets: 1, in_flight: 1 });
    assert_eq!(path.lost, [1]);
    assert_eq!(path.recovery.next_timeout(), None);
}

#[test]
fn probe_timeouts_back_off_and_declare_nothing_lost() {
    let mut path = Path::measured();
    path.send(100, [1]);
    // srtt 100 + 4 * rttvar 50 + max_ack_delay 25.
    assert_eq!(path.recovery.pto(), ms(325));
    assert_eq!(path.timeout(), (at(425), RecoveryTimeout::Probe { count: 2 }));
    assert_eq!(path.timeout().0, at(425 + 650), "even when no probe could leave");
    path.send(1_075, [2]);
    assert_eq!(path.timeout().0, at(1_075 + 1_300));
    assert!(path.lost.is_empty());
    let mut probe = Vec::new();
    path.recovery.probe_contents(1, &mut |c| probe.push(c));
    assert_eq!(probe, [content(1)]);
    path.ack(2_400, [2..=2]);
    assert_eq!(path.recovery.pto_count(), 0);
    assert_eq!(path.lost, [1], "an answer to the probe shows the first packet lost");
}

/// The moments, in milliseconds, at which probes go out within half a minute of silence.
fn probes(path: &mut Path) -> Vec<u64> {
    let mut probes = Vec::new();
    loop {
        let (when, what) = path.timeout();
        assert_eq!(what, RecoveryTimeout::Probe { count: 2 });
        let ms = when.as_nanos() / 1_000_000;
        if ms >= 30_000 {
            return probes;
        }
        probes.push(ms);
        path.send(ms, [ms]);
    }
}

#[test]
fn probe_timeouts_stop_growing_at_two_seconds() {
    let mut path = Path::measured();
    path.send(100, [1]);
    let probes = probes(&mut path);
    assert_eq!(probes[..5], [425, 1_075, 2_375, 4_375, 6_375]);
    assert_eq!(probes.len(), 16, "{probes:?}");
    assert!(probes[3..].is_sorted_by(|a, b| b - a == 2_000), "{probes:?}");
    assert!(path.lost.is_empty());
}

#[test]
fn probe_timeouts_of_a_slow_path_double_once() {
    let mut path = Path::new();
    path.send(0, [0]);
    path.ack(500, [0..=0]);
    assert_eq!(path.recovery.pto(), ms(1_525));
    path.send(500, [1]);
    assert_eq!(probes(&mut path)[..4], [2_025, 5_075, 8_125, 11_175]);
}

#[test]
fn a_peer_heard_after_a_long_silence_ends_the_backoff() {
    let mut path = Path::measured();
    path.send(100, [1]);
    assert_eq!(path.timeout().0, at(425));
    path.recovery.on_heard_again(at(430), at(50));
    assert_eq!(path.recovery.pto_count(), 1, "one silent probe timeout is nothing unusual");
    assert_eq!(path.timeout().0, at(425 + 650));
    path.recovery.on_heard_again(at(1_080), at(1_075));
    assert_eq!(path.recovery.pto_count(), 2, "it was heard since the last probe timeout");
    assert_eq!(path.timeout().0, at(1_075 + 1_300));
    path.recovery.on_heard_again(at(2_400), at(1_070));
    assert_eq!(path.recovery.next_timeout(), Some(at(2_375 + 325)));
    assert_eq!(path.timeout().0, at(2_375 + 325));
    assert_eq!(path.timeout().0, at(2_700 + 650));
    path.recovery.on_heard_again(at(4_000), at(2_400));
    assert_eq!(path.recovery.next_timeout(), Some(at(4_001)), "long due: in a moment");
    assert!(path.lost.is_empty());
}

#[test]
fn probes_pass_a_full_window() {
    let mut path = Path::measured();
    let window = path.recovery.window();
    path.send(100, 1..=window / 1_000);
    assert_eq!(path.recovery.allowance(at(100)), Allowance::default());
    path.timeout();
    assert_eq!(path.recovery.allowance(at(425)).bytes, 2_000);
    path.send(425, [100, 101]);
    assert_eq!(path.recovery.allowance(at(425)).bytes, 0);
}

#[test]
fn silent_packets_take_no_room_and_arm_no_timer() {
    let mut path = Path::new();
    for n in 0..15 {
        path.recovery.on_packet_sent(at(0), n, info(false), &[Content::Ack { largest: n }]);
    }
    assert_eq!((path.recovery.bytes_in_flight(), path.recovery.next_timeout()), (0, None));
    assert!(!path.recovery.needs_ack_eliciting());
    path.recovery.on_packet_sent(at(0), 15, info(false), &[Content::Ack { largest: 15 }]);
    assert!(path.recovery.needs_ack_eliciting());
    path.send(1, [16]);
    assert!(!path.recovery.needs_ack_eliciting());
    let mut largest = None;
    path.recovery
        .on_ack(at(50), &ack(16), [0..=16], &mut |_, c| {
            if let Content::Ack { largest: l } = c {
                largest = largest.max(Some(l));
            }
        })
        .unwrap();
    assert_eq!(largest, Some(15), "our ACKs are known to have arrived");
}

#[test]
fn a_peer_that_never_acknowledges_fills_no_memory() {
    let mut path = Path::new();
    path.send(0, [0]);
    for n in 1..100_000 {
        path.recovery.on_packet_sent(at(n), n, info(false), &[Content::Ack { largest: n }]);
    }
    assert!(path.recovery.sent.len() <= MAX_SILENT_TRACKED);
}

#[test]
fn a_late_ack_undoes_the_reduction_and_widens_the_threshold() {
    let mut path = Path::measured();
    path.send(100, 1..=10);
    let window = path.recovery.window();
    let summary = path.ack(200, [6..=10, 3..=4]);
    assert_eq!(path.lost, [1, 2, 5]);
    assert!(summary.congestion);
    assert!(path.recovery.window() < window);
    let summary = path.ack(205, [3..=10, 1..=1]);
    assert_eq!((path.acked.as_slice(), summary.spurious_losses), (&[1, 5][..], 2));
    assert!(path.recovery.window() < window, "2 is still missing");
    path.ack(206, [1..=10]);
    assert!(path.recovery.window() >= window);
    path.send(210, 11..=20);
    let summary = path.ack(300, [12..=20]);
    assert_eq!(summary.lost_packets, 0, "this path is known to reorder by nine");
}

#[test]
fn one_congestion_event_a_round_trip() {
    let mut path = Path::measured();
    path.send(100, 1..=10);
    assert!(path.ack(200, [4..=4]).congestion);
    let window = path.recovery.window();
    assert!(!path.ack(201, [8..=8]).congestion, "5 was sent before the reduction");
    assert_eq!(path.recovery.window(), window);
}

#[test]
fn a_single_packet_leaves_at_once_when_recovery_begins() {
    let mut path = Path::measured();
    let window = path.recovery.window();
    path.send(100, 1..=window / 1_000);
    assert!(path.ack(200, [4..=4]).congestion);
    assert!(path.recovery.window() < path.recovery.bytes_in_flight());
    assert_eq!(path.recovery.allowance(at(200)).bytes, 1_000);
    path.send(200, [100]);
    assert_eq!(path.recovery.allowance(at(200)).bytes, 0);
}

#[test]
fn long_unbroken_loss_is_persistent_congestion() {
    for controller in
        [Box::new(Cubic::new(MTU)) as Box<dyn Controller>, Box::new(NewReno::new(MTU))]
    {
        let mut path = Path::with(controller);
        path.send(0, [0]);
        path.ack(100, [0..=0]);
        // 3 * (100 + 200 + 25) ms must lie between the first and the last lost.
        path.send(101, [1]);
        path.send(1_077, [2, 3, 4, 5]);
        let summary = path.ack(1_180, [5..=5]);
        assert_eq!(path.lost, [1, 2]);
        assert!(summary.persistent_congestion);
        assert_eq!(path.recovery.window(), 2 * u64::from(MTU));
    }
}

#[test]
fn an_arrival_in_between_is_no_persistent_congestion() {
    let mut path = Path::measured();
    path.send(101, [1]);
    path.send(500, [2]);
    path.send(1_077, [3, 4, 5, 6]);
    let summary = path.ack(1_180, [6..=6, 2..=2]);
    assert_eq!(path.lost, [1, 3]);
    assert!(!summary.persistent_congestion);
}

#[test]
fn a_lost_size_probe_is_no_congestion() {
    let mut path = Path::measured();
    let probe = PacketInfo { mtu_probe: true, ..info(true) };
    path.recovery.on_packet_sent(at(100), 1, probe, &[content(1)]);
    path.send(100, 2..=4);
    let summary = path.ack(200, [2..=4]);
    assert_eq!(path.lost, [1]);
    assert!(!summary.congestion);
}

#[test]
fn leaving_a_path_requeues_everything_without_congestion() {
    let mut path = Path::measured();
    path.send(100, 1..=5);
    path.ack(200, [3..=3]);
    let window = path.recovery.window();
    let (mut acked, mut lost) = (Vec::new(), Vec::new());
    path.recovery.discard_all(at(210), &mut sink(&mut acked, &mut lost));
    assert_eq!(lost, [1, 2, 4, 5]);
    assert_eq!((path.recovery.bytes_in_flight(), path.recovery.next_timeout()), (0, None));
    assert_eq!(path.recovery.window(), window);
    path.ack(250, [4..=5]);
    assert_eq!(path.acked, [4, 5], "late ACKs still count");
}

#[test]
fn an_ecn_mark_is_a_congestion_event() {
    let config = RecoveryConfig { ecn: true, ..config() };
    let mut path = Path::new();
    path.recovery = Recovery::new(&config, Box::new(Cubic::new(MTU)));
    let marked = PacketInfo { ecn: true, ..info(true) };
    assert!(path.recovery.mark_ecn());
    (0..4).for_each(|n| path.recovery.on_packet_sent(at(0), n, marked, &[content(n)]));
    let counts = |ect0, ce| Some(EcnCounts { ect0, ect1: 0, ce });
    assert!(!path.ack_with(50, &AckInfo { ecn: counts(2, 0), ..ack(1) }, [0..=1]).congestion);
    assert!(path.recovery.ecn_capable());
    let window = path.recovery.window();
    assert!(path.ack_with(51, &AckInfo { ecn: counts(3, 1), ..ack(3) }, [0..=3]).congestion);
    assert!(path.recovery.window() < window);
}

#[test]
fn an_application_that_sends_little_earns_no_window() {
    let mut path = Path::measured();
    let window = path.recovery.window();
    for n in 1..200 {
        path.send(n * 100, [n]);
        path.ack(n * 100 + 100, [n..=n]);
    }
    assert_eq!(path.recovery.window(), window);
}

#[test]
fn the_pacer_spreads_what_the_window_allows() {
    let mut path = Path::measured();
    let first = path.recovery.allowance(at(100));
    assert_eq!(first.bytes, 10_000, "the initial window may leave in one burst");
    path.send(100, 1..=10);
    path.ack(200, [1..=10]);
    assert_eq!(path.recovery.allowance(at(200)).bytes, 10_000);
    path.send(200, 11..=20);
    let later = path.recovery.allowance(at(200));
    assert_eq!(later.bytes, 0);
    let next = later.next.unwrap();
    assert!(next > at(200) && next < at(210), "{next:?}");
    assert!(path.recovery.allowance(next).bytes >= 1_000);
}

#[test]
fn the_steady_state_allocates_nothing() {
    let mut path = Path::measured();
    let mut capacities = Vec::new();
    for round in 0..1_000_u64 {
        let first = 1 + round * 10;
        path.send(round * 100 + 100, first..first + 10);
        path.ack(round * 100 + 200, [first..=first + 9]);
        capacities.push(path.recovery.sent.capacity());
    }
    assert_eq!(capacities[10], capacities[999]);
}

/// Remembers which pauses it was told of.
#[derive(Clone, Debug)]
struct Pauses(std::sync::Arc<std::sync::Mutex<Vec<(Instant, Instant)>>>);

impl Controller for Pauses {
    fn on_idle_end(&mut self, now: Instant, since: Instant) {
        self.0.lock().unwrap().push((since, now));
    }

    fn on_ack(&mut self, _: &Acked<'_>) {}

    fn on_congestion(&mut self, _: &Congestion) -> bool {
        false
    }

    fn on_spurious_congestion(&mut self) {}

    fn on_mtu_update(&mut self, _: u16) {}

    fn window(&self) -> u64 {
        1 << 20
    }

    fn slow_start_threshold(&self) -> Option<u64> {
        None
    }

    fn recovery_start(&self) -> Option<Instant> {
        None
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[test]
fn a_pause_is_told_when_it_ends_and_only_where_nothing_was_in_flight() {
    let told = std::sync::Arc::default();
    let mut path = Path::with(Box::new(Pauses(std::sync::Arc::clone(&told))));
    path.send(0, [0]);
    path.send(10, [1]);
    path.ack(100, [0..=1]);
    path.send(500, [2]);
    path.send(501, [3]);
    assert_eq!(*told.lock().unwrap(), [(at(10), at(500))]);
}

#[test]
fn another_path_begins_anew_with_what_is_the_sessions() {
    let config = RecoveryConfig { max_ack_delay: ms(7), ecn: false, ..config() };
    let recovery = Recovery::new(&config, Box::new(Cubic::new(MTU)));
    let other = recovery.for_new_path(Box::new(Cubic::new(MTU)), false);
    assert_eq!(other.max_ack_delay, ms(7));
    assert!(other.ecn.mark() && !recovery.ecn.mark(), "each path is tested for ECN by itself");
    let initial = RttEstimator::new(INITIAL_RTT).pto(ms(7));
    assert_eq!(other.pto(), initial, "its round trip is not known");
}

#[test]
fn what_was_lost_long_ago_is_forgotten_with_its_memory() {
    let mut path = Path::measured();
    path.send(200, 1..=5);
    path.ack(300, [5..=5]);
    assert_eq!(path.lost, [1, 2]);
    path.send(310, [6]);
    let pto = path.recovery.pto();
    let forgotten = 300 + (pto * LOST_MEMORY).as_millis() as u64;
    path.ack(forgotten - 10, [6..=6]);
    assert!(path.recovery.lost.is_some(), "a late ACK still counts");
    path.ack(100_000, [6..=6]);
    assert!(path.recovery.lost.is_none());
}

#[test]
fn losses_are_noted_only_where_somebody_asked_and_each_once() {
    let mut path = Path::measured();
    let mut losses = Vec::new();
    path.send(200, 1..=4);
    path.ack(300, [4..=4]);
    path.recovery.take_losses(&mut losses);
    assert!(!path.lost.is_empty() && losses.is_empty(), "nobody asked");
    path.recovery.note_losses();
    path.send(310, 5..=9);
    path.ack(410, [9..=9]);
    path.recovery.take_losses(&mut losses);
    let numbers: Vec<u64> = losses.iter().map(|loss| loss.number).collect();
    assert!(numbers.contains(&5) && losses.iter().all(|loss| loss.bytes == u64::from(MTU)));
    let before = losses.len();
    path.recovery.take_losses(&mut losses);
    assert_eq!(losses.len(), before);
    // On the next path they are noted, too.
    let mut other = path.recovery.for_new_path(Box::new(Cubic::new(MTU)), false);
    path.recovery.hand_over_to(&mut other);
    assert!(other.losses.is_some() && path.recovery.losses.is_none());
}

#[test]
fn large_packets_lost_in_a_row_are_counted_until_one_arrives_or_the_size_changes() {
    let large = PacketInfo { bytes: 1_400, ..info(true) };
    let mut path = Path::measured();
    let send = |path: &mut Path, now, number, info| {
        path.recovery.on_packet_sent(at(now), number, info, &[content(number)]);
    };
    (1..=3).for_each(|number| send(&mut path, 200, number, large));
    (4..=6).for_each(|number| send(&mut path, 201, number, info(true)));
    path.ack(301, [4..=6]);
    assert_eq!((path.lost.as_slice(), path.recovery.large_lost_in_a_row()), (&[1, 2, 3][..], 3));
    send(&mut path, 310, 7, large);
    path.ack(410, [7..=7]);
    assert_eq!(path.recovery.large_lost_in_a_row(), 0);
    send(&mut path, 420, 8, large);
    (9..=11).for_each(|number| send(&mut path, 421, number, info(true)));
    path.ack(521, [9..=11]);
    assert_eq!(path.recovery.large_lost_in_a_row(), 1);
    path.recovery.on_mtu_update(1_200);
    assert_eq!(path.recovery.large_lost_in_a_row(), 0);
}

#[test]
fn another_packet_size_is_the_controllers_the_pacers_and_the_allowances() {
    let mut path = Path::new();
    assert_eq!((path.recovery.window(), path.recovery.mark_ecn()), (10_000, false));
    path.recovery.on_mtu_update(1_400);
    assert_eq!(path.recovery.window(), 14_000);
    // Of the window nine tenths and a byte less than a packet remain: nothing more leaves.
    let info = |bytes| PacketInfo { bytes, ..info(true) };
    path.recovery.on_packet_sent(at(0), 0, info(12_600), &[]);
    assert_eq!(path.recovery.allowance(at(10_000)).bytes, 1_400, "exactly one fits");
    path.recovery.on_packet_sent(at(10_000), 1, info(1), &[]);
    assert_eq!(path.recovery.allowance(at(20_000)).bytes, 0);
}

#[test]
fn a_standstill_that_was_watched_over_is_none() {
    let mut path = Path::measured();
    path.send(200, [1]);
    // The peer sends for a while and stops; what is in flight watches the path meanwhile.
    for n in 0..20 {
        path.recovery.on_data_heard(at(210 + n));
    }
    let mut none = |_, _| {};
    path.recovery.discard_all(at(5_000), &mut none);
    assert_eq!(path.recovery.next_timeout(), None, "no timer that lies in the past");
    // The same for a path that is gone back to.
    path.send(5_000, [2]);
    for n in 0..20 {
        path.recovery.on_data_heard(at(5_010 + n));
    }
    path.recovery.discard_all(at(5_040), &mut none);
    assert!(path.recovery.next_timeout().is_some_and(|deadline| deadline > at(5_040)));
    let mut other = path.recovery.for_new_path(Box::new(NewReno::new(MTU)), false);
    other.hand_over_to(&mut path.recovery);
    assert_eq!(path.recovery.next_timeout(), None);
}
