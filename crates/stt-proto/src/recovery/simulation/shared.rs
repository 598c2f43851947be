//! Several flows on one link: none starves, and equals end alike.

use super::*;

type Make = fn() -> Box<dyn Controller>;

/// Times at which the second flow joins: where in the first one's cycle it comes is chance.
const JOINS: [Duration; 2] = [Duration::from_millis(1_300), Duration::from_millis(2_700)];
/// So long shows who starves; BBR, which probes every two or three seconds, needs longer to even out.
const TIME: Duration = Duration::from_secs(40);
const LONG: Duration = Duration::from_secs(100);

/// The first flow's share of what both deliver in the second half, in percent, for each of [`JOINS`].
fn shares(first: Make, second: Make, time: Duration) -> [u64; 2] {
    JOINS.map(|join| {
        let flows = vec![(first(), Duration::ZERO), (second(), join)];
        let outcomes = run_all(DSL, join.as_millis() as u64, flows, time);
        let (a, b) = (outcomes[0].late, outcomes[1].late);
        let used = (a + b) * 200 / (DSL.bytes_per_second * time.as_secs());
        assert!(used >= 85, "the link is used to {used} %: {outcomes:?}");
        a * 100 / (a + b)
    })
}

/// Half each on the average, to a tenth; and nobody far from it in any run.
fn assert_equal(name: &str, make: Make, time: Duration) {
    let shares = shares(make, make, time);
    let mean = shares.iter().sum::<u64>() / 2;
    assert!((45..=55).contains(&mean), "{name}: {shares:?}");
    assert!(shares.iter().all(|share| (35..=65).contains(share)), "{name}: {shares:?}");
}

#[test]
fn two_cubic_flows_end_alike() {
    assert_equal("cubic", cubic, TIME);
}

#[test]
fn two_bbr_flows_end_alike() {
    assert_equal("bbr", bbr, LONG);
}

#[test]
fn two_reno_flows_end_alike() {
    assert_equal("newreno", reno, TIME);
}

#[test]
fn cubic_and_reno_share() {
    let shares = shares(reno, cubic, TIME);
    assert!(shares.iter().all(|share| (30..=60).contains(share)), "{shares:?}");
}

#[test]
fn nobody_starves_beside_bbr() {
    for (name, other) in [("reno", reno as Make), ("cubic", cubic)] {
        let shares = shares(other, bbr, TIME);
        assert!(shares.iter().all(|share| (20..=80).contains(share)), "{name}: {shares:?}");
    }
}
