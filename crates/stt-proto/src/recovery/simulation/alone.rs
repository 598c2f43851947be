//! One flow on a link of its own.

use super::*;

const SECONDS_20: Duration = Duration::from_secs(20);
const SECONDS_3: Duration = Duration::from_secs(3);

#[test]
fn cubic_fills_a_path_and_keeps_it_full() {
    let time = Duration::from_secs(30);
    let outcome = run(DSL, cubic(), time);
    assert!(percent(&outcome, DSL, time) >= 95, "{outcome:?}");
    assert!((1..30).contains(&outcome.congestion), "{outcome:?}");
    assert_eq!(outcome.persistent, 0);
    assert!(outcome.duplicates * 1_000 < outcome.packets, "{outcome:?}");
}

#[test]
fn every_controller_holds_the_slow_profile_steady() {
    for controller in [cubic(), bbr(), reno()] {
        let name = format!("{controller:?}");
        let outcome = run(SLOW, controller, SECONDS_20);
        let percent = percent(&outcome, SLOW, SECONDS_20);
        assert!(percent >= 95, "{percent} % {outcome:?} {name}");
    }
}

#[test]
fn cubic_and_bbr_hold_the_fast_profile_steady() {
    for controller in [cubic(), bbr()] {
        let name = format!("{controller:?}");
        let outcome = run(FAST, controller, SECONDS_3);
        let percent = percent(&outcome, FAST, SECONDS_3);
        assert!(percent >= 95, "{percent} % {outcome:?} {name}");
    }
}

#[test]
fn bbr_bears_two_percent_of_random_loss() {
    for (link, time, seeds) in [(SLOW, SECONDS_20, 4), (FAST, SECONDS_3, 2)] {
        for seed in 1..seeds {
            let lossy = Link { loss: 20, ..link };
            let outcome = run_all(lossy, seed, vec![(bbr(), Duration::ZERO)], time).remove(0);
            let percent = percent(&outcome, lossy, time);
            assert!(percent >= 70, "{percent} % seed {seed} {outcome:?}");
        }
    }
}

#[test]
fn one_percent_of_reordering_costs_little() {
    for (link, time) in [(SLOW, SECONDS_20), (FAST, SECONDS_3)] {
        for controller in [cubic(), bbr()] {
            let name = format!("{controller:?}");
            let unruly = Link { reorder: 10, ..link };
            let outcome = run(unruly, controller, time);
            let percent = percent(&outcome, unruly, time);
            assert!(percent >= 90, "{percent} % {outcome:?} {name}");
        }
    }
}

#[test]
fn bbr_keeps_the_queue_of_a_deep_buffer_short() {
    let deep = Link { queue: 2_500_000, ..DSL };
    let time = Duration::from_secs(20);
    let outcome = run(deep, bbr(), time);
    assert!(percent(&outcome, deep, time) >= 90, "{outcome:?}");
    // Startup fills two pipes; nothing after it does.
    assert!(outcome.max_queue < 1_000_000, "{outcome:?}");
    assert_eq!(outcome.congestion, 0, "{outcome:?}");
}

#[test]
fn hystart_leaves_slow_start_before_the_queue_overflows() {
    let deep = Link { queue: 2_500_000, ..DSL };
    let time = Duration::from_secs(2);
    let outcome = run(deep, cubic(), time);
    assert_eq!(outcome.congestion, 0, "{outcome:?}");
    assert!(percent(&outcome, deep, time) >= 80, "{outcome:?}");
}

#[test]
fn new_reno_fills_the_same_path() {
    let time = Duration::from_secs(30);
    let outcome = run(DSL, reno(), time);
    assert!(percent(&outcome, DSL, time) >= 90, "{outcome:?}");
}

#[test]
fn cubic_outgrows_reno_on_a_long_fat_path() {
    // 200 Mbit/s, 200 ms, two packets in a hundred thousand lost.
    let long = Link {
        bytes_per_second: 25_000_000,
        delay: Duration::from_millis(100),
        queue: 5_000_000,
        ..DSL
    };
    let time = Duration::from_secs(60);
    let cubic = run(long, cubic(), time);
    let reno = run(long, reno(), time);
    assert!(cubic.delivered > reno.delivered, "{cubic:?} {reno:?}");
}

#[test]
fn marks_keep_the_queue_short_without_a_loss() {
    let marking = Link { queue: 2_500_000, mark_above: Some(60_000), ..DSL };
    let time = Duration::from_secs(20);
    for controller in [cubic(), bbr(), reno()] {
        let name = format!("{controller:?}");
        let outcome = run(marking, controller, time);
        assert!(outcome.marks > 0 && outcome.congestion > 0, "{outcome:?} {name}");
        assert!(percent(&outcome, marking, time) >= 85, "{outcome:?} {name}");
        assert!(outcome.max_queue < 500_000, "{outcome:?} {name}");
    }
}

#[test]
fn bulk_is_acknowledged_in_batches() {
    let outcome = run(DSL, cubic(), Duration::from_secs(10));
    assert!(outcome.acks * 6 < outcome.packets, "{outcome:?}");
}

#[test]
fn the_same_run_twice_is_the_same_to_the_byte() {
    let time = Duration::from_secs(5);
    let lossy = Link { loss: 20, ..DSL };
    for make in [cubic, bbr] {
        let one = run(lossy, make(), time);
        let two = run(lossy, make(), time);
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
    }
}
