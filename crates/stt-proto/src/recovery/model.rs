//! Random lives of a path, compared with a model that is obviously right.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::congestion::{Bbr, Cubic, NewReno};
use super::tests::{content, info};
use super::*;

/// One thing that happens to a path.
#[derive(Clone, Debug)]
enum Step {
    /// Sends packets, skipping packet numbers that another path took.
    Send { count: u8, skip: u8, eliciting: bool },
    /// Acknowledges the packets that `mask` picks among the latest 64 sent.
    Ack { mask: u64, measures: bool, delay: u16 },
    /// Time goes by, timers run out.
    Wait { micros: u32 },
    /// The path is left.
    Discard,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u8..12, 0_u8..4, prop::bool::weighted(0.8))
            .prop_map(|(count, skip, eliciting)| Step::Send { count, skip, eliciting }),
        5 => (any::<u64>(), any::<u64>(), any::<bool>(), any::<u16>()).prop_map(
            |(a, b, measures, delay)| Step::Ack { mask: a & b, measures, delay }
        ),
        5 => (0_u32..200_000).prop_map(|micros| Step::Wait { micros }),
        1 => Just(Step::Discard),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Outstanding,
    Acked,
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    state: State,
    eliciting: bool,
}

/// The path under test and what the model knows of it.
struct World {
    recovery: Recovery,
    packets: BTreeMap<u64, Packet>,
    next: u64,
    now: Instant,
}

/// Applies what recovery reports to the model: every content is acknowledged or lost once, and only
/// a lost one may change its fate.
fn judge(packets: &mut BTreeMap<u64, Packet>) -> impl FnMut(Fate, Content) {
    |fate, content| {
        let Content::KeepAlive { token } = content else { panic!("never sent: {content:?}") };
        let packet = packets.get_mut(&token).expect("only what was sent comes back");
        packet.state = match (packet.state, fate) {
            (State::Outstanding | State::Lost, Fate::Acked) => State::Acked,
            (State::Outstanding, Fate::Lost) => State::Lost,
            (state, fate) => panic!("{token} was {state:?} and is now {fate:?}"),
        };
    }
}

/// Ascending numbers as ranges, newest first.
fn ranges(numbers: &[u64]) -> Vec<RangeInclusive<u64>> {
    let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
    for n in numbers.iter().rev() {
        match ranges.last_mut() {
            Some(range) if range.start() - 1 == *n => *range = *n..=*range.end(),
            _ => ranges.push(*n..=*n),
        }
    }
    ranges
}

impl World {
    fn new(controller: Box<dyn Controller>) -> Self {
        Self {
            recovery: Recovery::new(&RecoveryConfig::default(), controller),
            packets: BTreeMap::new(),
            next: 0,
            now: Instant::default(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Send { count, skip, eliciting } => {
                self.next += u64::from(*skip);
                for _ in 0..*count {
                    let number = self.next;
                    let packet = Packet { state: State::Outstanding, eliciting: *eliciting };
                    self.packets.insert(number, packet);
                    let info = info(*eliciting);
                    self.recovery.on_packet_sent(self.now, number, info, &[content(number)]);
                    self.next += 1;
                }
            }
            Step::Ack { mask, measures, delay } => {
                let latest = self.packets.keys().rev().take(64).copied();
                let mut numbers: Vec<u64> = latest
                    .enumerate()
                    .filter(|(i, _)| mask >> i & 1 == 1)
                    .map(|(_, number)| number)
                    .collect();
                numbers.reverse();
                self.ack(&numbers, *measures, Duration::from_micros(u64::from(*delay)));
            }
            Step::Wait { micros } => {
                let end = self.now + Duration::from_micros(u64::from(*micros));
                let mut fired = 0;
                while let Some(deadline) = self.recovery.next_timeout().filter(|d| *d <= end) {
                    fired = if deadline > self.now { 1 } else { fired + 1 };
                    // A loss timer may hide a probe timeout that is due as well, no more.
                    assert!(fired <= 3, "a timer stays in the past");
                    self.now = self.now.max(deadline);
                    let sink = &mut judge(&mut self.packets);
                    let outcome = self.recovery.on_timeout(self.now, sink);
                    assert_ne!(outcome, RecoveryTimeout::None, "a timer ran out for nothing");
                }
                self.now = end;
            }
            Step::Discard => {
                self.recovery.discard_all(self.now, &mut judge(&mut self.packets));
            }
        }
    }

    fn ack(&mut self, numbers: &[u64], measures: bool, delay: Duration) {
        let Some(largest) = numbers.last().copied() else { return };
        let info = AckInfo { largest, delay, ecn: None, measures, next_packet_number: self.next };
        let before = self.recovery.bytes_in_flight();
        let summary = self
            .recovery
            .on_ack(self.now, &info, ranges(numbers), &mut judge(&mut self.packets))
            .expect("all of these were sent");
        for number in numbers {
            assert_ne!(self.packets[number].state, State::Outstanding, "{number}");
        }
        assert!(summary.newly_acked_bytes <= before);
        assert!(measures || summary.rtt_sample.is_none());
    }

    fn check(&mut self) {
        let outstanding = |p: &&Packet| p.state == State::Outstanding && p.eliciting;
        let count = self.packets.values().filter(outstanding).count() as u64;
        assert_eq!(self.recovery.bytes_in_flight(), count * u64::from(info(true).bytes));
        assert_eq!(self.recovery.eliciting_in_flight, count);
        if count > 0 {
            assert!(self.recovery.next_timeout().is_some(), "no timer with {count} in flight");
        }
        assert!(self.recovery.window() >= 2_400);
        let allowance = self.recovery.allowance(self.now);
        let room = self.recovery.window().saturating_sub(self.recovery.bytes_in_flight());
        assert!(allowance.bytes <= room.max(2 * 1_200));
        assert!(allowance.next.is_none_or(|next| next > self.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_content_meets_its_fate_once(
        steps in prop::collection::vec(step(), 1..120),
        kind in 0..3,
    ) {
        let controller: Box<dyn Controller> = match kind {
                0 => Box::new(NewReno::new(1_200)),
                1 => Box::new(Bbr::new(1_200)),
                _ => Box::new(Cubic::new(1_200)),
            };
        let mut world = World::new(controller);
        for step in &steps {
            world.apply(step);
            world.check();
        }
        let all: Vec<u64> = world.packets.keys().copied().collect();
        world.ack(&all, true, Duration::ZERO);
        world.check();
        prop_assert_eq!(world.recovery.bytes_in_flight(), 0);
        prop_assert_eq!(world.recovery.sent.len(), 0);
        prop_assert_eq!(world.recovery.next_timeout(), None);
    }
}
