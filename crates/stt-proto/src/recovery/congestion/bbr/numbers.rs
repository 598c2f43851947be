//! BBR's arithmetic, number by number: what the states do with it is tested beside, and how it does on
//! links in the simulation.

use super::super::super::delivery::LostFlight;
use super::super::super::rtt::RttEstimator;
use super::*;

const MTU: u16 = 1_000;
pub(super) const RTT: Duration = Duration::from_millis(50);

pub(super) fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(super) fn sample(rate: u64) -> RateSample {
    RateSample {
        rate,
        delivered: 1_000,
        prior_delivered: 0,
        total_delivered: 1_000,
        sent_in_flight: 0,
        lost: 0,
        app_limited: false,
    }
}

pub(super) fn acked(rtt: &RttEstimator, now: Instant, bytes: u64, sample: RateSample) -> Acked<'_> {
    Acked {
        now,
        bytes,
        growth_bytes: bytes,
        app_limited: false,
        round_started: false,
        rtt_sample: Some(rtt.latest()),
        in_flight: 0,
        sample: Some(sample),
        rtt,
    }
}

pub(super) fn round_trip(rtt: Duration) -> RttEstimator {
    let mut estimator = RttEstimator::new(RTT);
    estimator.update(at(0), rtt, Duration::ZERO, Duration::ZERO);
    estimator
}

/// A controller that has measured this much.
pub(super) fn measured(bandwidth: u64, rtt: Duration) -> Bbr {
    let mut bbr = Bbr::new(MTU);
    bbr.max_bandwidth.update(&sample(bandwidth));
    bbr.min_rtt.update(at(0), Some(rtt));
    bbr
}

fn congestion(now: Instant, sent: Instant, flight: LostFlight) -> Congestion {
    Congestion { now, sent, lost_bytes: flight.lost, flight, persistent: false, ecn: false }
}

#[test]
fn the_pipe_is_bandwidth_times_delay_or_the_initial_window_until_both_are_known() {
    assert_eq!(Bbr::new(MTU).bdp(1_000_000, 100), 10_000);
    assert_eq!(measured(0, RTT).bdp(0, 100), 10_000);
    assert_eq!(measured(1_000_000, RTT).bdp(1_000_000, 100), 50_000);
    assert_eq!(measured(1_000_000, RTT).bdp(1_000_000, 225), 112_500);
}

#[test]
fn the_flight_covers_the_pipe_or_what_bulk_sending_holds() {
    let mut bbr = measured(10_000_000, RTT);
    assert_eq!(bbr.inflight(10_000_000, 100), 500_000, "the pipe");
    bbr.mode = Mode::ProbeBw(Phase::Up);
    assert_eq!(bbr.inflight(10_000_000, 100), 502_000, "two packets more while probing");
    let short = measured(10_000_000, Duration::from_millis(1));
    assert_eq!(short.inflight(10_000_000, 100), 30_000, "three milliseconds of it");
    let slow = measured(100_000, Duration::from_millis(1));
    assert_eq!(slow.inflight(100_000, 100), 6_000, "three times two packets");
    assert_eq!(slow.min_pipe(), 4_000);
}

#[test]
fn cruising_leaves_a_share_of_the_bound_to_others() {
    let with = |bound| {
        let mut bbr = Bbr::new(MTU);
        bbr.inflight_long = Some(bound);
        bbr.inflight_with_headroom()
    };
    assert_eq!(Bbr::new(MTU).inflight_with_headroom(), None);
    assert_eq!(with(100_000), Some(85_000), "15 %");
    assert_eq!(with(5_500), Some(4_500), "a packet at least");
    assert_eq!(with(4_500), Some(4_000), "never less than the pipe's least");
}

#[test]
fn the_gains_of_the_states() {
    let gains = |mode| {
        let mut bbr = Bbr::new(MTU);
        bbr.mode = mode;
        (bbr.pacing_gain(), bbr.window_gain())
    };
    assert_eq!(gains(Mode::Startup), (277, 200));
    assert_eq!(gains(Mode::Drain), (50, 200));
    assert_eq!(gains(Mode::ProbeBw(Phase::Down)), (90, 200));
    assert_eq!(gains(Mode::ProbeBw(Phase::Cruise)), (100, 200));
    assert_eq!(gains(Mode::ProbeBw(Phase::Refill)), (100, 200));
    assert_eq!(gains(Mode::ProbeBw(Phase::Up)), (125, 225));
    assert_eq!(gains(Mode::ProbeRtt), (100, 50));
}

#[test]
fn the_pace_is_a_little_below_the_estimate_and_in_startup_never_falls() {
    let mut bbr = Bbr::new(MTU);
    bbr.set_pacing_rate(100, Duration::from_millis(100));
    assert_eq!(bbr.pacing_rate(), Some(99_000), "the initial window in a round trip");
    let mut bbr = measured(1_000_000, RTT);
    bbr.set_pacing_rate(277, RTT);
    assert_eq!(bbr.pacing_rate(), Some(2_742_300));
    bbr.set_pacing_rate(100, RTT);
    assert_eq!(bbr.pacing_rate(), Some(2_742_300), "before the pipe is full");
    bbr.set_pacing_rate(300, RTT);
    assert_eq!(bbr.pacing_rate(), Some(2_970_000));
    bbr.full.reached = true;
    bbr.set_pacing_rate(100, RTT);
    assert_eq!(bbr.pacing_rate(), Some(990_000));
}

#[test]
fn the_window_grows_by_what_is_acknowledged_up_to_its_bound() {
    let rtt = round_trip(RTT);
    let grown = |reached, window, total_delivered| {
        // Twice the pipe of 50 000 bytes.
        let mut bbr = measured(1_000_000, RTT);
        bbr.full.reached = reached;
        bbr.window = window;
        let sample = RateSample { total_delivered, ..sample(1_000_000) };
        bbr.set_window(&acked(&rtt, at(0), 3_000, sample), &sample);
        bbr.window
    };
    assert_eq!(grown(false, 99_000, 50_000), 102_000);
    assert_eq!(grown(false, 100_000, 50_000), 100_000, "at the bound");
    assert_eq!(grown(false, 120_000, 50_000), 120_000, "beyond it");
    assert_eq!(grown(false, 120_000, 9_999), 123_000, "less than the initial window arrived");
    assert_eq!(grown(false, 120_000, 10_000), 120_000);
    assert_eq!(grown(true, 99_000, 50_000), 100_000);
    assert_eq!(grown(true, 120_000, 50_000), 100_000, "the pipe is known: no more than twice it");
    assert_eq!(grown(true, 500, 50_000), 4_000, "and never less than four packets");
}

#[test]
fn the_states_bound_the_window() {
    let bounded = |mode, short| {
        let mut bbr = measured(1_000_000, RTT);
        (bbr.mode, bbr.window) = (mode, 200_000);
        (bbr.inflight_long, bbr.short.inflight) = (Some(100_000), short);
        bbr.bound_window();
        bbr.window
    };
    assert_eq!(bounded(Mode::Startup, None), 200_000);
    assert_eq!(bounded(Mode::Drain, Some(60_000)), 60_000);
    assert_eq!(bounded(Mode::ProbeBw(Phase::Up), None), 100_000);
    assert_eq!(bounded(Mode::ProbeBw(Phase::Cruise), None), 85_000);
    assert_eq!(bounded(Mode::ProbeBw(Phase::Cruise), Some(60_000)), 60_000);
    assert_eq!(bounded(Mode::ProbeRtt, None), 25_000, "half the pipe");
    assert_eq!(bounded(Mode::ProbeRtt, Some(100)), 4_000);
}

#[test]
fn a_flight_that_was_too_much_becomes_the_bound() {
    let bound = |queue, window, sent, app_limited| {
        let mut bbr = measured(10_000_000, RTT);
        (bbr.mode, bbr.window, bbr.queue_stands) = (Mode::ProbeBw(Phase::Up), window, queue);
        bbr.probe.samples = true;
        bbr.on_inflight_too_high(at(9), sent, app_limited);
        assert!(!bbr.probe.samples && bbr.mode == Mode::ProbeBw(Phase::Down));
        bbr.inflight_long
    };
    assert_eq!(bound(false, 400_000, 300_000, false), Some(300_000));
    assert_eq!(bound(false, 400_000, 100_000, false), Some(280_000), "0.7 of what is in use");
    assert_eq!(bound(false, 900_000, 100_000, false), Some(350_000), "or of the pipe");
    assert_eq!(bound(true, 400_000, 1_000_000, false), Some(700_000));
    assert_eq!(bound(true, 400_000, 100_000, false), Some(470_588), "85 % of it is the window");
    assert_eq!(bound(false, 400_000, 300_000, true), None, "the application set the pace");
    let mut startup = measured(10_000_000, RTT);
    startup.on_inflight_too_high(at(9), 1, false);
    assert_eq!(startup.mode, Mode::Startup);
}

#[test]
fn the_feedback_of_a_probe_ends_a_round_after_it() {
    let rtt = round_trip(RTT);
    let adapted = |mode, app_limited| {
        let mut bbr = measured(10, RTT);
        (bbr.mode, bbr.rounds.started) = (mode, true);
        // Two cycles, the second of them slower: the first is forgotten with the second.
        for rate in [10, 5] {
            bbr.max_bandwidth.update(&sample(rate));
            (bbr.probe.ack_phase, bbr.probe.samples) = (AckPhase::ProbeStopping, true);
            let sample = RateSample { app_limited, ..sample(1) };
            bbr.adapt_long_term(&acked(&rtt, at(0), 1_000, sample), &sample);
            assert!(!bbr.probe.samples && bbr.probe.ack_phase == AckPhase::Init);
        }
        bbr.max_bandwidth.get()
    };
    assert_eq!(adapted(Mode::ProbeBw(Phase::Down), false), 5);
    assert_eq!(adapted(Mode::ProbeBw(Phase::Down), true), 10, "a pace of the application's");
    assert_eq!(adapted(Mode::ProbeRtt, false), 10, "no cycle");

    let mut bbr = measured(10, RTT);
    bbr.probe.ack_phase = AckPhase::ProbeStarting;
    bbr.adapt_long_term(&acked(&rtt, at(0), 1_000, sample(1)), &sample(1));
    assert_eq!(bbr.probe.ack_phase, AckPhase::ProbeStarting, "within the round");
    bbr.rounds.started = true;
    bbr.adapt_long_term(&acked(&rtt, at(0), 1_000, sample(1)), &sample(1));
    assert_eq!(bbr.probe.ack_phase, AckPhase::ProbeFeedback);
}

#[test]
fn what_the_path_bore_raises_the_bound_and_what_it_lost_lowers_it() {
    let rtt = round_trip(RTT);
    let adapted = |samples, lost, sent_in_flight| {
        let mut bbr = measured(10_000_000, RTT);
        bbr.mode = Mode::ProbeBw(Phase::Cruise);
        (bbr.window, bbr.inflight_long, bbr.probe.samples) = (500_000, Some(400_000), samples);
        let sample = RateSample { lost, sent_in_flight, ..sample(1) };
        bbr.adapt_long_term(&acked(&rtt, at(0), 1_000, sample), &sample);
        bbr.inflight_long
    };
    assert_eq!(adapted(false, 0, 450_000), Some(450_000));
    assert_eq!(adapted(false, 0, 350_000), Some(400_000));
    assert_eq!(adapted(true, 100_000, 360_000), Some(360_000), "a probe's loss");
    assert_eq!(adapted(false, 100_000, 450_000), Some(450_000), "nobody probed");
}

#[test]
fn a_probe_raises_the_bound_by_packets_for_bytes_acknowledged() {
    let rtt = round_trip(RTT);
    let mut bbr = measured(10_000_000, RTT);
    bbr.mode = Mode::ProbeBw(Phase::Up);
    (bbr.window, bbr.inflight_long, bbr.probe.up_count) = (64_000, Some(64_000), 1_000);
    let ack = |bytes| acked(&rtt, at(0), bytes, sample(1));
    bbr.adapt_long_term(&ack(2_500), &sample(1));
    assert_eq!((bbr.inflight_long, bbr.probe.up_acked), (Some(66_000), 500));
    bbr.probe_upward(&ack(5_000));
    assert_eq!(bbr.inflight_long, Some(66_000), "a window below the bound proves nothing");
    bbr.window = 66_000;
    bbr.probe_upward(&Acked { app_limited: true, ..ack(5_000) });
    assert_eq!((bbr.inflight_long, bbr.probe.up_acked), (Some(66_000), 500));
    bbr.probe_upward(&ack(600));
    assert_eq!((bbr.inflight_long, bbr.probe.up_acked), (Some(67_000), 100));
    bbr.mode = Mode::ProbeBw(Phase::Down);
    bbr.window = 80_000;
    bbr.adapt_long_term(&ack(9_000), &sample(1));
    assert_eq!(bbr.inflight_long, Some(67_000), "no probe");

    // Each round, twice as many packets for the same bytes, and at most a packet for a packet.
    (bbr.window, bbr.rounds.started) = (64_000, true);
    let counts = [0; 8].map(|_| {
        bbr.probe_upward(&ack(0));
        bbr.probe.up_count
    });
    assert_eq!(counts, [64_000, 32_000, 16_000, 8_000, 4_000, 2_000, 1_000, 1_000]);
    bbr.rounds.started = false;
    bbr.probe_upward(&ack(0));
    assert_eq!(bbr.probe.up_rounds, 8, "within a round");
    bbr.probe.up_rounds = 30;
    bbr.raise_slope();
    assert_eq!(bbr.probe.up_rounds, 30);
}

#[test]
fn three_rounds_without_a_quarter_more_are_a_full_pipe() {
    let mut bbr = Bbr::new(MTU);
    let mut check = |started, app_limited, rate| {
        bbr.rounds.started = started;
        bbr.check_full_bandwidth(&RateSample { app_limited, ..sample(rate) });
        (bbr.full.bandwidth, bbr.full.rounds, bbr.full.reached)
    };
    assert_eq!(check(true, false, 1_000), (1_000, 0, false));
    assert_eq!(check(true, false, 1_249), (1_000, 1, false));
    assert_eq!(check(true, false, 1_250), (1_250, 0, false), "a quarter more");
    assert_eq!(check(false, false, 1_250), (1_250, 0, false), "within the round");
    assert_eq!(check(true, true, 1_250), (1_250, 0, false), "a pace of the application's");
    assert_eq!(check(true, false, 1_250), (1_250, 1, false));
    assert_eq!(check(true, false, 1_300), (1_250, 2, false));
    assert_eq!(check(true, false, 1_300), (1_250, 3, true));
    assert_eq!(check(true, false, 9_000), (1_250, 3, true), "found");
    bbr.reset_full_bandwidth();
    assert!(bbr.full.reached && !bbr.full.now, "Startup is over for good");
    assert_eq!((bbr.full.bandwidth, bbr.full.rounds), (0, 0));
}

#[test]
fn the_waits_are_drawn_as_splitmix64_draws() {
    let mut bbr = Bbr::new(MTU);
    // Its outputs for the seed 0, which its authors' program prints.
    for expected in [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F] {
        assert_eq!(bbr.draw(Instant::default(), u64::MAX), expected);
    }
    assert_eq!(Bbr::new(MTU).draw(Instant::default(), 1_000), 0xE220_A839_7B1D_CDAF % 1_000);
    assert_eq!(bbr.draw(at(1), 0), 0, "below nothing there is nothing");
}

#[test]
fn a_pause_while_probing_goes_on_at_the_estimate() {
    let mut bbr = measured(1_000_000, RTT);
    (bbr.mode, bbr.full.reached) = (Mode::ProbeBw(Phase::Up), true);
    bbr.on_idle_end(at(5), at(0));
    assert!(bbr.idle_restart);
    assert_eq!(bbr.pacing_rate(), Some(990_000));
    let mut startup = measured(1_000_000, RTT);
    startup.on_idle_end(at(5), at(0));
    assert_eq!(startup.pacing_rate(), None, "Startup keeps its own");
    let mut at_rest = measured(1_000_000, RTT);
    (at_rest.mode, at_rest.probe_rtt_done) = (Mode::ProbeRtt, Some(at(300)));
    at_rest.on_idle_end(at(300), at(0));
    assert_eq!(at_rest.mode, Mode::ProbeRtt);
    at_rest.on_idle_end(at(301), at(0));
    assert_eq!(at_rest.mode, Mode::Startup, "the pause was as good");
}

#[test]
fn a_restart_lasts_until_something_is_delivered() {
    let rtt = round_trip(RTT);
    let mut bbr = measured(1_000_000, RTT);
    bbr.idle_restart = true;
    bbr.on_ack(&acked(&rtt, at(60), 0, RateSample { delivered: 0, ..sample(1) }));
    assert!(bbr.idle_restart);
    bbr.on_ack(&acked(&rtt, at(60), 1_000, sample(1)));
    assert!(!bbr.idle_restart);
}

#[test]
fn a_quarter_above_the_shortest_round_trip_is_a_standing_queue() {
    let stands = |micros| {
        let mut bbr = measured(1_000_000, RTT);
        let rtt = round_trip(Duration::from_micros(micros));
        bbr.on_ack(&acked(&rtt, at(60), 1_000, sample(1)));
        bbr.queue_stands
    };
    assert!(!stands(62_500));
    assert!(stands(62_501));
}

#[test]
fn an_ack_that_the_peer_held_back_is_no_standing_queue() {
    let stands = |held_back| {
        let mut bbr = measured(1_000_000, RTT);
        let mut rtt = round_trip(RTT);
        let most = Duration::from_millis(25);
        let rtt_sample = Some(rtt.update(at(60), RTT + most, held_back, most));
        bbr.on_ack(&Acked { rtt_sample, ..acked(&rtt, at(60), 1_000, sample(1)) });
        bbr.queue_stands
    };
    assert!(!stands(Duration::from_millis(20)));
    assert!(stands(Duration::from_millis(10)));
}

#[test]
fn an_episode_is_what_was_sent_after_the_one_before_began() {
    let mut bbr = measured(10_000_000, RTT);
    let none = LostFlight::default();
    assert_eq!(bbr.recovery_start(), None);
    assert!(bbr.on_congestion(&congestion(at(10), at(5), none)));
    assert_eq!(bbr.recovery_start(), Some(at(10)));
    assert!(!bbr.on_congestion(&congestion(at(12), at(9), none)));
    assert!(!bbr.on_congestion(&congestion(at(12), at(10), none)));
    assert_eq!(bbr.recovery_start(), Some(at(10)));
    assert!(bbr.on_congestion(&congestion(at(14), at(11), none)));
    assert_eq!(bbr.recovery_start(), Some(at(14)));
}

#[test]
fn only_a_probes_losses_beyond_chance_lower_the_long_bound() {
    let lost = |samples, lost, queue| {
        let mut bbr = measured(10_000_000, RTT);
        (bbr.window, bbr.probe.samples, bbr.queue_stands) = (500_000, samples, queue);
        bbr.on_congestion(&congestion(at(9), at(5), LostFlight { in_flight: 600_000, lost }));
        bbr.inflight_long
    };
    assert_eq!(lost(true, 100_000, false), Some(600_000));
    assert_eq!(lost(false, 100_000, false), None);
    assert_eq!(lost(true, 1_000, false), None, "chance");
    assert_eq!(lost(true, 1_000, true), Some(588_235), "with a queue every loss is the queue's");
    assert_eq!(lost(false, 1_000, true), None);
}

#[test]
fn what_an_episode_took_comes_back_unless_more_has_grown() {
    let mut bbr = measured(10_000_000, RTT);
    (bbr.inflight_long, bbr.short.bandwidth) = (Some(500_000), Some(9_000));
    bbr.short.inflight = Some(80_000);
    bbr.on_congestion(&congestion(at(9), at(5), LostFlight::default()));
    (bbr.inflight_long, bbr.short.bandwidth) = (Some(350_000), Some(9_500));
    bbr.short.inflight = None;
    bbr.on_spurious_congestion();
    assert_eq!(bbr.inflight_long, Some(500_000));
    assert_eq!(bbr.short.bandwidth, Some(9_500));
    assert_eq!(bbr.short.inflight, None, "no bound is more than any");
    bbr.inflight_long = Some(1);
    bbr.on_spurious_congestion();
    assert_eq!(bbr.inflight_long, Some(1), "once");
}

#[test]
fn larger_packets_keep_the_window_within_its_bounds() {
    let mut bbr = Bbr::new(MTU);
    bbr.on_mtu_update(9_000);
    assert_eq!((bbr.mtu, bbr.window()), (9_000, 36_000), "four of them are more than the initial");
}

#[test]
fn what_it_tells_of_itself() {
    let mut bbr = Bbr::new(MTU);
    assert!(bbr.wants_rate_samples() && bbr.in_slow_start());
    assert_eq!(bbr.slow_start_threshold(), None);
    bbr.mode = Mode::Drain;
    assert!(!bbr.in_slow_start());
}
