//! Credit of bytes and of streams against models that are obviously right: both sides, and a path
//! between them that delays, reorders, repeats and loses what they tell each other.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::streams::flow::{RecvCredit, SendCredit};
use crate::streams::limits::{LimitReached, OwnStreams, PeerStream, PeerStreams};
use crate::time::Instant;

/// One thing that happens to the bytes of a stream.
#[derive(Clone, Debug)]
enum Step {
    /// The sender sends up to so many bytes.
    Send(u64),
    /// Some bytes arrive.
    Arrive(u16),
    /// The application reads up to so many of those that arrived.
    Read(u64),
    /// A limit that is due is told.
    Tell,
    /// A limit that was told arrives, and perhaps again.
    Learn(u16, bool),
    /// One is lost, and told again later if it is still the newest.
    Lose(u16),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..3_000).prop_map(Step::Send),
        4 => any::<u16>().prop_map(Step::Arrive),
        4 => (0_u64..3_000).prop_map(Step::Read),
        4 => Just(Step::Tell),
        3 => (any::<u16>(), any::<bool>()).prop_map(|(which, again)| Step::Learn(which, again)),
        1 => any::<u16>().prop_map(Step::Lose),
        2 => (0_u64..100).prop_map(Step::Wait),
    ]
}

/// Takes out what `which` picks.
fn pick<T>(from: &mut Vec<T>, which: u16) -> Option<T> {
    if from.is_empty() { None } else { Some(from.swap_remove(usize::from(which) % from.len())) }
}

/// Both ends of one direction, and what the model knows.
struct Bytes {
    sender: SendCredit,
    receiver: RecvCredit,
    /// Bytes on their way, and limits on theirs.
    flying: Vec<u64>,
    told: Vec<u64>,
    /// The newest limit was lost and has to be told again.
    lost: bool,
    /// The largest limit that the sender heard of, and what it has sent.
    allowed: u64,
    sent: u64,
    arrived: u64,
    read: u64,
    /// The largest limit that was ever told.
    limit: u64,
    max_window: u64,
    now: Instant,
}

impl Bytes {
    fn new(window: u64, max_window: u64) -> Self {
        Self {
            sender: SendCredit::new(window),
            receiver: RecvCredit::new(window, max_window),
            flying: Vec::new(),
            told: Vec::new(),
            lost: false,
            allowed: window,
            sent: 0,
            arrived: 0,
            read: 0,
            limit: window,
            max_window: max_window.max(window),
            now: Instant::default(),
        }
    }

    fn send(&mut self, bytes: u64) {
        let bytes = bytes.min(self.sender.available());
        self.sender.take(bytes);
        self.sent += bytes;
        self.flying.extend((bytes > 0).then_some(bytes));
    }

    fn arrive(&mut self, bytes: u64) {
        self.arrived += bytes;
        assert_eq!(self.receiver.receive(bytes), Ok(()), "the sender kept to what it was told");
    }

    fn read(&mut self, bytes: u64) {
        let bytes = bytes.min(self.arrived - self.read);
        self.read += bytes;
        self.receiver.consume(bytes);
        self.receiver.tune(self.now, Some(core::time::Duration::from_millis(10)), u64::MAX);
    }

    fn tell(&mut self) {
        let window = self.receiver.window();
        let more = self.read + window - self.limit;
        assert_eq!(
            self.receiver.is_due(u64::MAX),
            more > 0 && more >= window / 4,
            "{more} of {window}"
        );
        if self.receiver.is_due(u64::MAX) || core::mem::take(&mut self.lost) {
            self.limit = self.read + window;
            assert_eq!(self.receiver.advertise(u64::MAX), self.limit);
            self.told.push(self.limit);
        }
    }

    fn learn(&mut self, limit: u64) {
        assert_eq!(self.sender.raise(limit), limit > self.allowed);
        self.allowed = self.allowed.max(limit);
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Send(bytes) => self.send(*bytes),
            Step::Arrive(which) => {
                if let Some(bytes) = pick(&mut self.flying, *which) {
                    self.arrive(bytes);
                }
            }
            Step::Read(bytes) => self.read(*bytes),
            Step::Tell => self.tell(),
            Step::Learn(which, again) => {
                if let Some(limit) = pick(&mut self.told, *which) {
                    self.learn(limit);
                    self.told.extend(again.then_some(limit));
                }
            }
            Step::Lose(which) => {
                let lost = pick(&mut self.told, *which);
                self.lost |= lost == Some(self.limit);
            }
            Step::Wait(millis) => self.now += core::time::Duration::from_millis(*millis),
        }
    }

    fn check(&self, window_before: u64) {
        assert_eq!(self.sender.available(), self.allowed - self.sent);
        assert_eq!(self.sender.used(), self.sent);
        assert_eq!((self.receiver.received(), self.receiver.consumed()), (self.arrived, self.read));
        assert_eq!(self.receiver.limit(), self.limit);
        let window = self.receiver.window();
        assert!((window_before..=self.max_window).contains(&window), "{window}");
        // What the peer can make this side hold: never more than the bound of the window.
        assert!(self.limit - self.read <= self.max_window);
        assert!(self.sent <= self.allowed && self.allowed <= self.limit);
        // To the byte: one more than was told is an overrun, and that many are none.
        let room = self.limit - self.arrived;
        let (mut exact, mut over) = (self.receiver, self.receiver);
        assert_eq!(exact.receive(room), Ok(()));
        assert_eq!(over.receive(room + 1), Err(self.limit));
    }

    /// The path calms down and the application reads everything: nobody may wait for ever.
    fn settle(&mut self) {
        for bytes in core::mem::take(&mut self.flying) {
            self.arrive(bytes);
        }
        self.read(u64::MAX);
        self.tell();
        self.told.sort_unstable();
        for limit in core::mem::take(&mut self.told) {
            self.learn(limit);
        }
        let window = self.receiver.window();
        let kept = self.sender.available();
        assert!(window == 0 || kept > 0, "no byte of {window} may be sent");
        assert!(kept >= window - window / 4, "{kept} of {window}");
    }
}

/// One thing that happens to the streams of one kind.
#[derive(Clone, Debug)]
enum StreamStep {
    /// The opener wants another one.
    Open,
    /// The first frame of a stream, or a later one, arrives.
    Frame(u16),
    /// A stream ends, at the opener and at the peer, in this order or the other.
    End(u16, bool),
    /// A limit that is due is told.
    Tell,
    Learn(u16),
}

fn stream_step() -> impl Strategy<Value = StreamStep> {
    prop_oneof![
        4 => Just(StreamStep::Open),
        3 => any::<u16>().prop_map(StreamStep::Frame),
        3 => (any::<u16>(), any::<bool>()).prop_map(|(which, first)| StreamStep::End(which, first)),
        3 => Just(StreamStep::Tell),
        3 => any::<u16>().prop_map(StreamStep::Learn),
    ]
}

/// The opener and its peer.
struct Opening {
    own: OwnStreams,
    peer: PeerStreams,
    max_own: u32,
    max_peer: u32,
    /// Ordinals that live at the opener, and at the peer.
    live: BTreeSet<u32>,
    unfinished: BTreeSet<u32>,
    closed: BTreeSet<u32>,
    opened: u32,
    allowed: u64,
    limit: u64,
    highest: u32,
    told: Vec<u64>,
    /// An open was refused and has not been told of room.
    refused: bool,
}

impl Opening {
    fn new(max_own: u32, max_peer: u32) -> Self {
        let mut own = OwnStreams::new(max_own);
        // What the peer's transport parameters say.
        assert!(!own.raise(u64::from(max_peer)), "nobody waits yet");
        Self {
            own,
            peer: PeerStreams::new(max_peer),
            max_own,
            max_peer,
            live: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            closed: BTreeSet::new(),
            opened: 0,
            allowed: u64::from(max_peer),
            limit: u64::from(max_peer),
            highest: 0,
            told: Vec::new(),
            refused: false,
        }
    }

    fn verdict(&self) -> Result<(), LimitReached> {
        if self.live.len() as u64 >= u64::from(self.max_own) {
            Err(LimitReached { limit: u64::from(self.max_own), local: true })
        } else if u64::from(self.opened) >= self.allowed {
            Err(LimitReached { limit: self.allowed, local: false })
        } else {
            Ok(())
        }
    }

    /// What an end or a new limit answers: whether somebody waits for just this.
    fn told_of_room(&mut self) -> bool {
        let told = self.refused && self.verdict().is_ok();
        self.refused &= !told;
        told
    }

    fn apply(&mut self, step: &StreamStep) {
        match step {
            StreamStep::Open => {
                assert_eq!(self.own.reserve(), self.verdict());
                if self.verdict().is_err() {
                    self.refused = true;
                    return;
                }
                self.opened += 1;
                assert_eq!(self.own.open(), self.opened);
                self.live.insert(self.opened);
                self.unfinished.insert(self.opened);
            }
            StreamStep::Frame(which) => {
                if self.opened == 0 {
                    return;
                }
                let ordinal = u32::from(*which) % self.opened + 1;
                self.frame(ordinal);
            }
            StreamStep::End(which, first) => {
                let side = if *first { &self.live } else { &self.unfinished };
                if side.is_empty() {
                    return;
                }
                let Some(ordinal) = side.iter().nth(usize::from(*which) % side.len()).copied()
                else {
                    return;
                };
                if *first {
                    self.live.remove(&ordinal);
                    let told = self.told_of_room();
                    assert_eq!(self.own.close(), told);
                } else {
                    self.frame(ordinal);
                    self.unfinished.remove(&ordinal);
                    self.closed.insert(ordinal);
                    self.peer.close(ordinal);
                }
            }
            StreamStep::Tell => {
                let next = self.closed.len() as u64 + u64::from(self.max_peer);
                let (more, step) = (next - self.limit, u64::from(self.max_peer / 8));
                let close = self.limit - u64::from(self.highest) <= step;
                assert_eq!(self.peer.is_due(), more > 0 && (more >= step || close));
                if self.peer.is_due() {
                    self.limit = next;
                    assert_eq!(self.peer.advertise(), next);
                    self.told.push(next);
                }
            }
            StreamStep::Learn(which) => {
                if let Some(limit) = pick(&mut self.told, *which) {
                    self.allowed = self.allowed.max(limit);
                    let told = self.told_of_room();
                    assert_eq!(self.own.raise(limit), told);
                }
            }
        }
    }

    fn frame(&mut self, ordinal: u32) {
        self.highest = self.highest.max(ordinal);
        let closed = self.closed.contains(&ordinal);
        let expected = if closed { PeerStream::Closed } else { PeerStream::Open };
        assert_eq!(self.peer.admit(ordinal), Ok(expected), "the opener kept to its limit");
    }

    fn check(&self) {
        assert!(self.own.was_opened(self.opened) && !self.own.was_opened(self.opened + 1));
        let beyond = u32::try_from(self.limit + 1).unwrap_or(u32::MAX);
        assert_eq!(self.peer.clone().admit(beyond), Err(self.limit));
        // Those that the peer may have open at once, whatever is on its way.
        assert!(self.limit - self.closed.len() as u64 <= u64::from(self.max_peer));
        assert!(self.peer.remembered() <= self.max_peer as usize + 1);
    }

    /// Everything ends and every limit arrives: whoever wants a stream gets one.
    fn settle(&mut self) {
        for ordinal in 1..=self.opened {
            self.frame(ordinal);
        }
        while !self.live.is_empty() {
            self.apply(&StreamStep::End(0, true));
        }
        while !self.unfinished.is_empty() {
            self.apply(&StreamStep::End(0, false));
        }
        self.apply(&StreamStep::Tell);
        while !self.told.is_empty() {
            self.apply(&StreamStep::Learn(0));
        }
        let any = self.max_own > 0 && self.max_peer > 0;
        assert!(!self.refused || !any, "refused, and never told of room");
        assert_eq!(self.own.reserve().is_ok(), any);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn credit_of_bytes_behaves_as_its_model(
        window in prop_oneof![0_u64..10, 10_u64..3_000],
        growth in 0_u64..20_000,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut bytes = Bytes::new(window, window + growth);
        for step in &steps {
            let before = bytes.receiver.window();
            bytes.apply(step);
            bytes.check(before);
        }
        bytes.settle();
    }

    #[test]
    fn credit_of_streams_behaves_as_its_model(
        max_own in 0_u32..12,
        max_peer in prop_oneof![0_u32..4, 4_u32..40],
        steps in prop::collection::vec(stream_step(), 1..200),
    ) {
        let mut opening = Opening::new(max_own, max_peer);
        for step in &steps {
            opening.apply(step);
            opening.check();
        }
        opening.settle();
    }
}
