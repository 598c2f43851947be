//! BBR on a path of numbers: its states one by one. How it does on links is in the simulation.

use super::super::super::rtt::RttEstimator;
use super::*;

const MTU: u16 = 1_000;
/// 10 MB/s at 50 ms: a pipe of 500 packets.
const RATE: u64 = 10_000_000;
const RTT: Duration = Duration::from_millis(50);
const BDP: u64 = 500_000;

/// A path that delivers `rate` at most, and a flight of what the window allows.
struct Path {
    bbr: Bbr,
    now: Instant,
    rtt: RttEstimator,
    delivered: u64,
    rate: u64,
}

impl Path {
    fn new() -> Self {
        let mut rtt = RttEstimator::new(RTT);
        rtt.update(Instant::default(), RTT, Duration::ZERO, Duration::ZERO);
        Self { bbr: Bbr::new(MTU), now: Instant::default(), rtt, delivered: 0, rate: RATE }
    }

    /// One round trip, acknowledged in ten pieces.
    fn round(&mut self) {
        let window = self.bbr.window();
        let pace = self.bbr.pacing_rate().unwrap_or(u64::MAX);
        let rate = bytes_in(pace, RTT).min(window).min(bytes_in(self.rate, RTT)) * 20;
        let bytes = bytes_in(rate, RTT) / 10;
        let prior = self.delivered;
        for n in 1..=10 {
            self.now += RTT / 10;
            self.delivered += bytes;
            let sample = RateSample {
                rate,
                delivered: bytes * n,
                prior_delivered: if n == 1 { prior } else { prior.saturating_sub(bytes) },
                total_delivered: self.delivered,
                sent_in_flight: window.min(bytes * 10),
                lost: 0,
                app_limited: false,
            };
            self.bbr.on_ack(&Acked {
                now: self.now,
                bytes,
                growth_bytes: bytes,
                app_limited: false,
                round_started: n == 1,
                rtt_sample: Some(self.rtt.latest()),
                in_flight: window.min(bytes * 10),
                sample: Some(sample),
                rtt: &self.rtt,
            });
        }
    }

    fn lose(&mut self, lost: u64, in_flight: u64) {
        let flight = super::super::LostFlight { in_flight, lost };
        self.bbr.on_congestion(&Congestion {
            now: self.now,
            sent: self.now,
            lost_bytes: lost,
            flight,
            persistent: false,
            ecn: false,
        });
    }

    fn until(&mut self, rounds: u32, done: impl Fn(&Bbr) -> bool) {
        for _ in 0..rounds {
            if done(&self.bbr) {
                return;
            }
            self.round();
        }
        panic!("not within {rounds} rounds: {:?}", self.bbr);
    }

    fn cruising() -> Self {
        let mut path = Self::new();
        path.until(40, |bbr| bbr.mode == Mode::ProbeBw(Phase::Cruise));
        path
    }
}

#[test]
fn startup_finds_the_bandwidth_and_cruises_at_it() {
    let path = Path::cruising();
    let rate = path.bbr.pacing_rate().unwrap_or(0);
    assert!((RATE * 98 / 100..=RATE).contains(&rate), "{rate}");
    assert!((BDP..=BDP * 3).contains(&path.bbr.window()), "{}", path.bbr.window());
    assert!(!path.bbr.in_slow_start());
}

#[test]
fn a_probe_finds_what_the_path_gained() {
    let mut path = Path::cruising();
    path.rate = 2 * RATE;
    path.until(400, |bbr| bbr.max_bandwidth.get() > RATE * 12 / 10);
}

#[test]
fn chance_losses_leave_a_cruise_alone_and_many_lower_it() {
    let mut path = Path::cruising();
    path.lose(5_000, BDP);
    path.round();
    path.round();
    assert_eq!(path.bbr.short.bandwidth, None);
    path.rate = RATE / 2;
    for _ in 0..3 {
        path.lose(100_000, BDP);
        path.round();
    }
    assert!(path.bbr.bandwidth() < RATE * 9 / 10, "{}", path.bbr.bandwidth());
}

#[test]
fn a_probe_that_overflows_the_queue_is_answered_at_once() {
    let mut path = Path::cruising();
    path.until(400, |bbr| bbr.mode == Mode::ProbeBw(Phase::Up));
    path.lose(60_000, BDP + 50_000);
    assert_eq!(path.bbr.mode, Mode::ProbeBw(Phase::Down));
    assert_eq!(path.bbr.inflight_long, Some(BDP + 50_000));
}

#[test]
fn a_mark_counts_as_congestion() {
    let mut path = Path::cruising();
    let now = path.now;
    let mark = Congestion {
        now,
        sent: now,
        lost_bytes: 0,
        flight: super::super::LostFlight::default(),
        persistent: false,
        ecn: true,
    };
    assert!(path.bbr.on_congestion(&mark));
    assert!(!path.bbr.on_congestion(&mark), "once in an episode");
    path.round();
    path.round();
    assert!(path.bbr.short.bandwidth.is_some());
}

#[test]
fn a_false_alarm_is_taken_back() {
    let mut path = Path::cruising();
    path.until(400, |bbr| bbr.mode == Mode::ProbeBw(Phase::Up));
    path.lose(60_000, BDP);
    assert!(path.bbr.inflight_long.is_some());
    path.bbr.on_spurious_congestion();
    assert_eq!(path.bbr.inflight_long, None);
}

#[test]
fn persistent_congestion_starts_from_the_least_window() {
    let mut path = Path::cruising();
    let now = path.now;
    path.bbr.on_congestion(&Congestion {
        now,
        sent: now,
        lost_bytes: 0,
        flight: super::super::LostFlight::default(),
        persistent: true,
        ecn: false,
    });
    assert_eq!(path.bbr.window(), 4_000);
    path.until(20, |bbr| bbr.window() > BDP);
}

#[test]
fn the_round_trip_time_is_looked_for_after_five_seconds_unseen_and_the_window_comes_back() {
    let mut path = Path::cruising();
    for _ in 0..50 {
        path.round();
    }
    assert_ne!(path.bbr.mode, Mode::ProbeRtt, "the queue runs empty by itself");
    let slower = RTT + RTT / 8;
    path.rtt.update(path.now, slower, Duration::ZERO, Duration::ZERO);
    path.until(200, |bbr| bbr.mode == Mode::ProbeRtt);
    path.round();
    assert!(path.bbr.window() <= BDP / 2 + 1_000, "{}", path.bbr.window());
    path.until(20, |bbr| bbr.mode != Mode::ProbeRtt);
    path.until(20, |bbr| bbr.window() >= 2 * BDP);
    path.until(400, |bbr| bbr.min_rtt.get() == Some(slower));
}
