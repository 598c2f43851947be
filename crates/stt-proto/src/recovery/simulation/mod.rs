//! Senders, a bottleneck with a drop-tail queue, receivers: how the whole of recovery behaves on a
//! path, alone and beside others, computed and repeatable.

mod alone;
mod shared;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::congestion::{Bbr, Cubic, NewReno};
use super::tests::content;
use super::*;

const MTU: u16 = 1_200;

/// A link that all flows share.
#[derive(Clone, Copy)]
struct Link {
    bytes_per_second: u64,
    delay: Duration,
    /// Bytes that may wait.
    queue: u64,
    /// Packets of a thousand lost at random.
    loss: u64,
    /// Packets of a thousand that are held back,
    reorder: u64,
    /// and for how long.
    late: Duration,
    /// Backlog in bytes from which on packets that may be are marked CE.
    mark_above: Option<u64>,
}

/// 50 Mbit/s, 40 ms round trip, a queue of one bandwidth-delay product.
const DSL: Link = Link {
    bytes_per_second: 6_250_000,
    delay: Duration::from_millis(20),
    queue: 250_000,
    loss: 0,
    reorder: 0,
    late: Duration::from_millis(4),
    mark_above: None,
};

/// 10 Mbit/s, 15 ms one way, 25 packets.
const SLOW: Link = Link {
    bytes_per_second: 1_250_000,
    delay: Duration::from_millis(15),
    queue: 25 * MTU as u64,
    ..DSL
};

/// 1 Gbit/s, 5 ms one way, one bandwidth-delay product.
const FAST: Link = Link {
    bytes_per_second: 125_000_000,
    delay: Duration::from_millis(5),
    queue: 1_250_000,
    ..DSL
};

#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Arrives { number: u64, marked: bool },
    Ack { largest: u64, delay: Duration, ranges: Vec<(u64, u64)>, ecn: Option<[u64; 3]> },
    Starts,
}

#[derive(Clone, Debug, Default)]
struct Outcome {
    delivered: u64,
    /// Bytes delivered in the second half of the time.
    late: u64,
    duplicates: u64,
    packets: u64,
    acks: u64,
    congestion: u32,
    persistent: u32,
    spurious: u32,
    marks: u64,
    max_queue: u64,
    /// Window at the end of each tenth of the time.
    windows: Vec<u64>,
}

/// One flow: a sender without end, its receiver, and what became of it.
struct Flow {
    recovery: Recovery,
    received: ReceivedPackets,
    started: bool,
    next_number: u64,
    next_content: u64,
    repeat: VecDeque<u64>,
    /// What packet number so-and-so carried.
    carried: Vec<u64>,
    /// Which contents arrived.
    arrived: Vec<bool>,
    counts: [u64; 3],
    wake: Option<Instant>,
    outcome: Outcome,
}

impl Flow {
    fn new(controller: Box<dyn Controller>, ecn: bool) -> Self {
        let config = RecoveryConfig { mtu: MTU, ecn, ..RecoveryConfig::default() };
        Self {
            recovery: Recovery::new(&config, controller),
            received: ReceivedPackets::new(config.max_ack_delay),
            started: false,
            next_number: 0,
            next_content: 0,
            repeat: VecDeque::new(),
            carried: Vec::new(),
            arrived: Vec::new(),
            counts: [0; 3],
            wake: None,
            outcome: Outcome::default(),
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let timers = [self.recovery.next_timeout(), self.received.ack_deadline(), self.wake];
        timers.into_iter().flatten().min()
    }

    /// What is lost is sent again in new packets.
    fn on_ack(&mut self, now: Instant, ack: &AckInfo, ranges: &[(u64, u64)]) {
        let ranges = ranges.iter().map(|(a, b)| *a..=*b);
        let repeat = &mut self.repeat;
        let summary = self.recovery.on_ack(now, ack, ranges, &mut repeat_lost(repeat)).unwrap();
        self.outcome.congestion += u32::from(summary.congestion);
        self.outcome.persistent += u32::from(summary.persistent_congestion);
        self.outcome.spurious += summary.spurious_losses;
    }
}

fn repeat_lost(repeat: &mut VecDeque<u64>) -> impl FnMut(Fate, Content) {
    |fate, content| {
        if let (Fate::Lost, Content::KeepAlive { token }) = (fate, content) {
            repeat.push_back(token);
        }
    }
}

/// The bottleneck and all that is under way.
struct World {
    link: Link,
    now: Instant,
    half: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, usize, Event)>>,
    order: u64,
    /// When the bottleneck has sent all that it holds.
    free_at: Instant,
    random: u64,
}

impl World {
    fn post(&mut self, at: Instant, flow: usize, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, flow, event)));
    }

    /// True in `of_thousand` of a thousand cases (SplitMix64).
    fn chance(&mut self, of_thousand: u64) -> bool {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % 1_000 < of_thousand
    }

    fn carry(&mut self, index: usize, number: u64, ecn: bool, outcome: &mut Outcome) {
        let (link, mtu) = (self.link, u64::from(MTU));
        let wait = self.free_at.saturating_duration_since(self.now).as_nanos();
        let backlog = (wait * u128::from(link.bytes_per_second) / 1_000_000_000) as u64;
        let unlucky = self.chance(link.loss);
        if backlog + mtu > link.queue || unlucky {
            return;
        }
        outcome.max_queue = outcome.max_queue.max(backlog);
        let marked = ecn && link.mark_above.is_some_and(|above| backlog > above);
        outcome.marks += u64::from(marked);
        let nanos = mtu * 1_000_000_000 / link.bytes_per_second;
        self.free_at = self.free_at.max(self.now) + Duration::from_nanos(nanos);
        let late = if self.chance(link.reorder) { link.late } else { Duration::ZERO };
        self.post(self.free_at + link.delay + late, index, Event::Arrives { number, marked });
    }

    fn send(&mut self, index: usize, flow: &mut Flow) {
        if !flow.started {
            return;
        }
        loop {
            let allowance = flow.recovery.allowance(self.now);
            if allowance.bytes < u64::from(MTU) {
                flow.wake = allowance.next;
                return;
            }
            let item = flow.repeat.pop_front().unwrap_or_else(|| {
                flow.next_content += 1;
                flow.next_content
            });
            let number = flow.next_number;
            let ecn = flow.recovery.mark_ecn();
            let info = PacketInfo { bytes: MTU, ack_eliciting: true, mtu_probe: false, ecn };
            flow.recovery.on_packet_sent(self.now, number, info, &[content(item)]);
            flow.carried.push(item);
            flow.outcome.packets += 1;
            flow.next_number += 1;
            self.carry(index, number, ecn, &mut flow.outcome);
        }
    }

    fn act(&self, flow: &mut Flow, event: Event) {
        let now = self.now;
        match event {
            Event::Starts => flow.started = true,
            Event::Arrives { number, marked } => {
                let rtt = Some(self.link.delay * 2);
                flow.received.on_received(now, number, true, marked, rtt);
                flow.counts[if marked { 2 } else { 0 }] += 1;
                let item = flow.carried[number as usize] as usize;
                if flow.arrived.len() <= item {
                    flow.arrived.resize(item + 1, false);
                }
                let fresh = !core::mem::replace(&mut flow.arrived[item], true);
                let bytes = u64::from(fresh) * u64::from(MTU);
                flow.outcome.duplicates += u64::from(!fresh);
                flow.outcome.delivered += bytes;
                flow.outcome.late += if now >= self.half { bytes } else { 0 };
            }
            Event::Ack { largest, delay, ranges, ecn } => {
                let ecn = ecn.map(|[ect0, ect1, ce]| EcnCounts { ect0, ect1, ce });
                let next_packet_number = flow.next_number;
                let info = AckInfo { largest, delay, ecn, measures: true, next_packet_number };
                flow.on_ack(now, &info, &ranges);
            }
        }
    }

    /// Timers and ACKs that are due.
    fn serve(&mut self, index: usize, flow: &mut Flow) {
        let now = self.now;
        if flow.received.ack_due(now) {
            let ack = Event::Ack {
                largest: flow.received.largest().unwrap_or_default(),
                delay: flow.received.ack_delay(now),
                ranges: flow.received.ranges().map(|r| (*r.start(), *r.end())).collect(),
                ecn: self.link.mark_above.map(|_| flow.counts),
            };
            flow.received.on_ack_sent(now);
            flow.outcome.acks += 1;
            self.post(now + self.link.delay, index, ack);
        }
        if flow.recovery.next_timeout().is_some_and(|t| t <= now) {
            flow.recovery.on_timeout(now, &mut repeat_lost(&mut flow.repeat));
        }
        self.send(index, flow);
    }
}

/// Lets `flows` send without end for `time`; each starts at the time beside it.
fn run_all(
    link: Link,
    seed: u64,
    flows: Vec<(Box<dyn Controller>, Duration)>,
    time: Duration,
) -> Vec<Outcome> {
    let start = Instant::default();
    let mut world = World {
        link,
        now: start,
        half: start + time / 2,
        events: BinaryHeap::new(),
        order: 0,
        free_at: start,
        random: seed,
    };
    let ecn = link.mark_above.is_some();
    let mut running = Vec::new();
    for (index, (controller, at)) in flows.into_iter().enumerate() {
        world.post(start + at, index, Event::Starts);
        running.push(Flow::new(controller, ecn));
    }
    let end = start + time;
    while world.now < end {
        let timer = running.iter().filter_map(Flow::next_timer).min();
        let event = world.events.peek().map(|Reverse((at, ..))| *at);
        let Some(at) = [timer, event].into_iter().flatten().min() else { panic!("deadlock") };
        let tenth = |t: Instant| t.as_nanos() * 10 / end.as_nanos();
        if tenth(at) > tenth(world.now) {
            running.iter_mut().for_each(|f| f.outcome.windows.push(f.recovery.window()));
        }
        world.now = world.now.max(at);
        let mut touched = [false; 4];
        while world.events.peek().is_some_and(|Reverse((at, ..))| *at <= world.now) {
            let Some(Reverse((_, _, index, event))) = world.events.pop() else { break };
            world.act(&mut running[index], event);
            touched[index] = true;
        }
        for (index, flow) in running.iter_mut().enumerate() {
            if touched[index] || flow.next_timer().is_some_and(|t| t <= world.now) {
                world.serve(index, flow);
            }
        }
    }
    running.into_iter().map(|flow| flow.outcome).collect()
}

fn run(link: Link, controller: Box<dyn Controller>, time: Duration) -> Outcome {
    run_all(link, 1, vec![(controller, Duration::ZERO)], time).remove(0)
}

fn cubic() -> Box<dyn Controller> {
    Box::new(Cubic::new(MTU))
}

fn bbr() -> Box<dyn Controller> {
    Box::new(Bbr::new(MTU))
}

fn reno() -> Box<dyn Controller> {
    Box::new(NewReno::new(MTU))
}

/// Percent of the link that a flow delivered, start included.
fn percent(outcome: &Outcome, link: Link, time: Duration) -> u64 {
    (u128::from(outcome.delivered) * 100_000_000_000
        / (u128::from(link.bytes_per_second) * time.as_nanos())) as u64
}
