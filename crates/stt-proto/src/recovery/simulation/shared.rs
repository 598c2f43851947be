//! Several flows on one link: none starves, and equals end alike.

use super::*;

type Make = fn() -> Box<dyn Controller>;

/// Times at which the second flow joins: where in the first one's cycle it comes is chance.
const JOINS: [Duration; 3] =
    [Duration::from_millis(1_300), Duration::from_millis(2_000), Duration::from_millis(2_700)];
const TIME: Duration = Duration::from_secs(50);

/// The first flow's share of what both deliver in the second half, in percent, for each of [`JOINS`].
fn shares(first: Make, second: Make) -> [u64; 3] {
    JOINS.map(|join| {
        let flows = vec![(first(), Duration::ZERO), (second(), join)];
        let outcomes = run_all(DSL, join.as_millis() as u64, flows, TIME);
        let (a, b) = (outcomes[0].late, outcomes[1].late);
        let used = (a + b) * 200 / (DSL.bytes_per_second * TIME.as_secs());
        assert!(used >= 85, "the link is used to {used} %: {outcomes:?}");
        a * 100 / (a + b)
    })
}

/// Half each on the average, to a tenth; and nobody far from it in any run.
fn assert_equal(name: &str, make: Make) {
    let shares = shares(make, make);
    let mean = shares.iter().sum::<u64>() / 3;
    assert!((45..=55).contains(&mean), "{name}: {shares:?}");
    assert!(shares.iter().all(|share| (35..=65).contains(share)), "{name}: {shares:?}");
}

#[test]
fn two_cubic_flows_end_alike() {
    assert_equal("cubic", cubic);
}

#[test]
fn two_bbr_flows_end_alike() {
    assert_equal("bbr", bbr);
}

#[test]
fn two_reno_flows_end_alike() {
    assert_equal("newreno", reno);
}

#[test]
fn cubic_and_reno_share() {
    let shares = shares(reno, cubic);
    assert!(shares.iter().all(|share| (30..=60).contains(share)), "{shares:?}");
}

#[test]
fn nobody_starves_beside_bbr() {
    for (name, other) in [("reno", reno as Make), ("cubic", cubic)] {
        let shares = shares(other, bbr);
        assert!(shares.iter().all(|share| (20..=80).contains(share)), "{name}: {shares:?}");
    }
}
