//! A sender, a bottleneck with a drop-tail queue, a receiver: how the whole of recovery behaves on a
//! path, computed and repeatable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::congestion::{Cubic, NewReno};
use super::tests::content;
use super::*;

const MTU: u16 = 1_200;

struct Link {
    bytes_per_second: u64,
    delay: Duration,
    queue: u64,
    /// Every n-th data packet is lost at random, in effect; zero for none.
    lose_every: u64,
}

#[derive(Debug)]
enum Event {
    Arrives(u64),
    Ack { largest: u64, delay: Duration, ranges: Vec<RangeInclusive<u64>> },
}

#[derive(Debug, Default)]
struct Outcome {
    delivered: u64,
    duplicates: u64,
    packets: u64,
    acks: u64,
    congestion: u32,
    persistent: u32,
    max_queue: u64,
    /// Window at the end of each tenth of the time.
    windows: Vec<u64>,
}

/// Sends without end for `time`; what is lost is sent again in new packets.
fn run(link: &Link, controller: Box<dyn Controller>, time: Duration) -> Outcome {
    let config = RecoveryConfig { mtu: MTU, ..RecoveryConfig::default() };
    let mut recovery = Recovery::new(&config, controller);
    let mut received = ReceivedPackets::new(config.max_ack_delay);
    let mut events: BTreeMap<(Instant, u64), Event> = BTreeMap::new();
    let mut outcome = Outcome::default();
    let (mut now, end) = (Instant::default(), Instant::default() + time);
    let (mut next_number, mut next_event, mut next_content) = (0, 0, 0);
    let mut repeat: VecDeque<u64> = VecDeque::new();
    let mut carried: BTreeMap<u64, u64> = BTreeMap::new();
    let mut delivered: BTreeSet<u64> = BTreeSet::new();
    // When the bottleneck has sent all that it holds.
    let mut free_at = now;
    while now < end {
        let wake = loop {
            let allowance = recovery.allowance(now);
            if allowance.bytes < u64::from(MTU) {
                break allowance.next;
            }
            let item = repeat.pop_front().unwrap_or_else(|| {
                next_content += 1;
                next_content
            });
            let info = PacketInfo { bytes: MTU, ack_eliciting: true, mtu_probe: false, ecn: false };
            recovery.on_packet_sent(now, next_number, info, &[content(item)]);
            carried.insert(next_number, item);
            outcome.packets += 1;
            let backlog = free_at.saturating_duration_since(now).as_nanos()
                * u128::from(link.bytes_per_second)
                / 1_000_000_000;
            let backlog = backlog as u64;
            let unlucky = link.lose_every > 0 && next_number % link.lose_every == 7;
            if backlog + u64::from(MTU) <= link.queue && !unlucky {
                outcome.max_queue = outcome.max_queue.max(backlog);
                let nanos = u64::from(MTU) * 1_000_000_000 / link.bytes_per_second;
                free_at = free_at.max(now) + Duration::from_nanos(nanos);
                next_event += 1;
                events.insert((free_at + link.delay, next_event), Event::Arrives(next_number));
            }
            next_number += 1;
        };
        let timers = [recovery.next_timeout(), received.ack_deadline(), wake];
        let timer = timers.into_iter().flatten().min();
        let event = events.keys().next().map(|(at, _)| *at);
        let Some(at) = [timer, event].into_iter().flatten().min() else { panic!("deadlock") };
        let tenth = |t: Instant| t.as_nanos() * 10 / end.as_nanos();
        if tenth(at) > tenth(now) {
            outcome.windows.push(recovery.window());
        }
        now = now.max(at);
        while let Some(entry) = events.first_entry().filter(|e| e.key().0 <= now) {
            match entry.remove() {
                Event::Arrives(number) => {
                    let rtt = Some(link.delay * 2);
                    received.on_received(now, number, true, false, rtt);
                    let fresh = delivered.insert(carried[&number]);
                    outcome.duplicates += u64::from(!fresh);
                    outcome.delivered += u64::from(fresh) * u64::from(MTU);
                }
                Event::Ack { largest, delay, ranges } => {
                    let info = AckInfo {
                        largest,
                        delay,
                        ecn: None,
                        same_path: true,
                        next_packet_number: next_number,
                    };
                    let summary = recovery
                        .on_ack(now, &info, ranges, &mut |fate, c| {
                            if let (Fate::Lost, Content::KeepAlive { token }) = (fate, c) {
                                repeat.push_back(token);
                            }
                        })
                        .unwrap();
                    outcome.congestion += u32::from(summary.congestion);
                    outcome.persistent += u32::from(summary.persistent_congestion);
                }
            }
        }
        if received.ack_due(now) {
            let ack = Event::Ack {
                largest: received.largest().unwrap_or_default(),
                delay: received.ack_delay(now),
                ranges: received.ranges().collect(),
            };
            received.on_ack_sent(now);
            outcome.acks += 1;
            next_event += 1;
            events.insert((now + link.delay, next_event), ack);
        }
        if recovery.next_timeout().is_some_and(|t| t <= now) {
            recovery.on_timeout(now, &mut |fate, c| {
                if let (Fate::Lost, Content::KeepAlive { token }) = (fate, c) {
                    repeat.push_back(token);
                }
            });
        }
    }
    outcome
}

fn goodput(outcome: &Outcome, time: Duration) -> u64 {
    outcome.delivered / time.as_secs()
}

/// 50 Mbit/s, 40 ms round trip, a queue of one bandwidth-delay product.
const DSL: Link = Link {
    bytes_per_second: 6_250_000,
    delay: Duration::from_millis(20),
    queue: 250_000,
    lose_every: 0,
};

#[test]
fn cubic_fills_a_path_and_keeps_it_full() {
    let time = Duration::from_secs(30);
    let outcome = run(&DSL, Box::new(Cubic::new(MTU)), time);
    assert!(goodput(&outcome, time) > 6_250_000 * 95 / 100, "{outcome:?}");
    assert!((1..30).contains(&outcome.congestion), "{outcome:?}");
    assert_eq!(outcome.persistent, 0);
    assert!(outcome.duplicates * 1_000 < outcome.packets, "{outcome:?}");
}

#[test]
fn hystart_leaves_slow_start_before_the_queue_overflows() {
    let deep = Link { queue: 2_500_000, ..DSL };
    let time = Duration::from_secs(2);
    let outcome = run(&deep, Box::new(Cubic::new(MTU)), time);
    assert_eq!(outcome.congestion, 0, "{outcome:?}");
    assert!(goodput(&outcome, time) > 6_250_000 * 80 / 100, "{outcome:?}");
}

#[test]
fn new_reno_fills_the_same_path() {
    let time = Duration::from_secs(30);
    let outcome = run(&DSL, Box::new(NewReno::new(MTU)), time);
    assert!(goodput(&outcome, time) > 6_250_000 * 90 / 100, "{outcome:?}");
}

#[test]
fn cubic_outgrows_reno_on_a_long_fat_path() {
    // 200 Mbit/s, 200 ms, one packet in 20 000 lost.
    let long = Link {
        bytes_per_second: 25_000_000,
        delay: Duration::from_millis(100),
        queue: 5_000_000,
        lose_every: 20_000,
    };
    let time = Duration::from_secs(60);
    let cubic = run(&long, Box::new(Cubic::new(MTU)), time);
    let reno = run(&long, Box::new(NewReno::new(MTU)), time);
    assert!(cubic.delivered > reno.delivered, "{cubic:?} {reno:?}");
}

#[test]
fn bulk_is_acknowledged_in_batches() {
    let outcome = run(&DSL, Box::new(Cubic::new(MTU)), Duration::from_secs(10));
    assert!(outcome.acks * 6 < outcome.packets, "{outcome:?}");
}

#[test]
fn the_same_run_twice_is_the_same_to_the_byte() {
    let time = Duration::from_secs(5);
    let lossy = Link { lose_every: 50, ..DSL };
    let one = run(&lossy, Box::new(Cubic::new(MTU)), time);
    let two = run(&lossy, Box::new(Cubic::new(MTU)), time);
    assert_eq!(format!("{one:?}"), format!("{two:?}"));
}
