//! Handshakes that lose, or get twice, exactly the datagrams that a test names: every one of the first few, in each
//! direction, of each kind of handshake.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use common::{NODE, SHARED};
use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_proto::{
    Close, ConnectOptions, EarlyData, Endpoint, EndpointConfig, Event, Instant, ListenConfig, Now,
    PathAddress, ReadOutcome, ResumptionTicket, SessionHandle, StreamOptions,
};

const ONE_WAY: Duration = Duration::from_millis(15);
/// How long a handshake may take with a datagram or a few gone.
const LIMIT: Duration = Duration::from_secs(29);

/// Client (0) and server (1) on a line that drops and repeats by number.
struct Line {
    ends: [Endpoint; 2],
    now: Instant,
    flights: Vec<(Instant, usize, Vec<u8>)>,
    /// How many datagrams each end has sent, and which of them vanish or arrive twice.
    sent: [usize; 2],
    lost: [BTreeSet<usize>; 2],
    doubled: [BTreeSet<usize>; 2],
    events: [Vec<Event>; 2],
}

fn address(end: usize) -> PathAddress {
    let address: SocketAddr = ([10, 0, 0, end as u8 + 1], 7788).into();
    PathAddress::udp(address)
}

fn endpoint(node: [u8; 32], number: u8) -> Endpoint {
    let keys = NetworkKeys::new(&SharedSeed::new(&SHARED).unwrap());
    let identity = NodeIdentity::from_seed(&NodeSeed::new(&node).unwrap());
    Endpoint::new(EndpointConfig::default(), identity, vec![keys], [number; 32])
}

impl Line {
    fn new(listen: ListenConfig) -> Self {
        let mut ends = [endpoint(NODE.map(|byte| !byte), 1), endpoint(NODE, 2)];
        ends[1].set_listening(Some(listen));
        Self {
            ends,
            now: Instant::from_nanos(1),
            flights: Vec::new(),
            sent: [0; 2],
            lost: Default::default(),
            doubled: Default::default(),
            events: Default::default(),
        }
    }

    fn now(&self) -> Now {
        let unix_ms = 1_800_000_000_000 + self.now.as_nanos() / 1_000_000;
        Now { mono: self.now, unix_ms }
    }

    fn connect(&mut self, from: usize, options: ConnectOptions) -> SessionHandle {
        let now = self.now();
        self.ends[from].connect(now, address(1 - from), options).unwrap()
    }

    /// Takes out what both ends have to send and to say now.
    fn settle(&mut self) {
        let mut buffer = vec![0; 65_536];
        for end in [0, 1] {
            let now = self.now();
            while let Some(transmit) = self.ends[end].poll_transmit(now, 1, &mut buffer) {
                let number = self.sent[end];
                self.sent[end] += 1;
                let copies = usize::from(!self.lost[end].contains(&number))
                    + usize::from(self.doubled[end].contains(&number));
                for copy in 0..copies as u32 {
                    let at = self.now + ONE_WAY + copy * ONE_WAY / 2;
                    self.flights.push((at, 1 - end, buffer[..transmit.len].to_vec()));
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.events[end].push(event);
            }
        }
    }

    /// Runs until `done`, or until `limit` has passed.
    fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            let timers = self.ends.iter_mut().filter_map(Endpoint::poll_timeout).min();
            let flight = self.flights.iter().map(|(at, ..)| *at).min();
            let Some(next) = [timers, flight].into_iter().flatten().min() else { return false };
            if next > end {
                self.now = end;
                return false;
            }
            self.now = self.now.max(next);
            let (due, rest) = core::mem::take(&mut self.flights)
                .into_iter()
                .partition(|(at, ..)| *at <= self.now);
            self.flights = rest;
            let (now, due): (Now, Vec<(Instant, usize, Vec<u8>)>) = (self.now(), due);
            for (_, to, mut bytes) in due {
                self.ends[to].handle_datagram(now, address(1 - to), None, &mut bytes);
            }
            for end in &mut self.ends {
                end.handle_timeout(now);
            }
        }
    }

    /// The sessions that an end was told of: handle, resumed, early data.
    fn begun(&self, end: usize) -> Vec<(SessionHandle, bool, EarlyData)> {
        let begun = self.events[end].iter().filter_map(|event| match event {
            Event::Connected { session, resumed, early_data, .. } => {
                Some((*session, *resumed, early_data.clone()))
            }
            _ => None,
        });
        begun.collect()
    }

    fn ticket(&mut self) -> ResumptionTicket {
        let session = self.connect(0, ConnectOptions::default());
        let find = |line: &Self| {
            line.events[0].iter().find_map(|event| match event {
                Event::Ticket { ticket, .. } => Some((**ticket).clone()),
                _ => None,
            })
        };
        assert!(self.run(LIMIT, |line| find(line).is_some()));
        let ticket = find(self).unwrap();
        let now = self.now();
        self.ends[0].close(now, session, Close::graceful(Duration::ZERO));
        self.run(Duration::from_secs(2), |_| false);
        self.flights.clear();
        (self.sent, self.events) = ([0; 2], Default::default());
        ticket
    }

    /// Moves `bytes` from one end to the other.
    fn transfer(&mut self, from: usize, sessions: [SessionHandle; 2], bytes: usize) {
        let now = self.now();
        let data: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
        let session = sessions[from];
        let stream = self.ends[from].open_stream(now, session, StreamOptions::default()).unwrap();
        self.ends[from].write(now, session, stream, Bytes::from(data.clone())).unwrap();
        self.ends[from].finish(now, session, stream).unwrap();
        let to = 1 - from;
        self.run(LIMIT, |line| {
            line.events[from].iter().any(
                |event| matches!(event, Event::StreamFinished { stream: id, .. } if *id == stream),
            )
        });
        let mut read = Vec::new();
        while let Ok(ReadOutcome::Chunk(chunk)) = self.ends[to].read(sessions[to], stream, 1 << 20)
        {
            read.extend_from_slice(&chunk);
        }
        assert!(read == data, "{} of {bytes} bytes", read.len());
    }
}

/// The kinds of handshake, each with what it begins with.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Hello,
    Early,
    Cookie,
    Resume,
    ResumeCookie,
}

const KINDS: [Kind; 5] = [Kind::Hello, Kind::Early, Kind::Cookie, Kind::Resume, Kind::ResumeCookie];

fn begin(kind: Kind) -> (Line, ConnectOptions) {
    let listen = ListenConfig { early_data: true, ..ListenConfig::default() };
    let mut line = Line::new(listen.clone());
    let timeout = Duration::from_secs(30);
    let mut options = ConnectOptions { timeout, ..ConnectOptions::default() };
    match kind {
        Kind::Hello | Kind::Cookie => {}
        Kind::Early => options.early = true,
        Kind::Resume | Kind::ResumeCookie => {
            options.resume = Some(line.ticket());
            options.early_data = Bytes::from_static(b"early");
        }
    }
    if matches!(kind, Kind::Cookie | Kind::ResumeCookie) {
        line.ends[1].set_listening(Some(ListenConfig { retry_threshold: 0, ..listen }));
    }
    (line, options)
}

/// Connects under what the line does, and uses the session both ways.
fn complete(mut line: Line, options: ConnectOptions, what: &str) {
    let resumes = options.resume.is_some();
    let before = line.ends[1].stats().sessions;
    line.connect(0, options);
    let both = |line: &Line| !line.begun(0).is_empty() && !line.begun(1).is_empty();
    assert!(line.run(LIMIT, both), "{what}: {:?}", line.events);
    let (ours, theirs) = (line.begun(0), line.begun(1));
    assert_eq!((ours.len(), theirs.len()), (1, 1), "{what}");
    assert_eq!((ours[0].1, theirs[0].1), (resumes, resumes), "{what}");
    if resumes {
        assert_eq!(ours[0].2, EarlyData::Accepted, "{what}");
        assert_eq!(theirs[0].2, EarlyData::Received(Bytes::from_static(b"early")), "{what}");
    }
    let sessions = [ours[0].0, theirs[0].0];
    line.transfer(0, sessions, 20_000);
    line.transfer(1, sessions, 20_000);
    assert_eq!(line.ends[1].stats().sessions, before + 1, "{what}");
    assert_eq!((line.begun(0).len(), line.begun(1).len()), (1, 1), "{what}");
}

#[test]
fn any_one_of_the_first_datagrams_may_be_lost() {
    for kind in KINDS {
        for end in [0, 1] {
            for number in 0..6 {
                let (mut line, options) = begin(kind);
                line.lost[end].insert(number);
                complete(line, options, &format!("{kind:?}, datagram {number} of {end}"));
            }
        }
    }
}

#[test]
fn any_one_of_the_first_datagrams_may_come_twice() {
    for kind in KINDS {
        for end in [0, 1] {
            for number in 0..6 {
                let (mut line, options) = begin(kind);
                line.doubled[end].insert(number);
                complete(line, options, &format!("{kind:?}, datagram {number} of {end} twice"));
            }
        }
    }
}

#[test]
fn the_responders_second_to_seventh_datagrams_may_all_be_lost() {
    for kind in KINDS {
        let (mut line, options) = begin(kind);
        line.lost[1] = (1..7).collect();
        complete(line, options, &format!("{kind:?}"));
    }
}

#[test]
fn before_the_address_is_proven_no_more_is_sent_than_came() {
    for kind in KINDS {
        let (mut line, options) = begin(kind);
        // The client hears nothing, so it never proves its address; the server's own clock runs on.
        line.lost[1] = (0..1000).collect();
        let stats =
            |line: &Line| (line.ends[1].stats().bytes_sent, line.ends[1].stats().bytes_received);
        let before = stats(&line);
        line.connect(0, options);
        let mut worst = 0.0_f64;
        line.run(LIMIT, |line| {
            let after = stats(line);
            let (sent, received) = (after.0 - before.0, after.1 - before.1);
            worst = worst.max(sent as f64 / received.max(1) as f64);
            false
        });
        assert!(worst > 0.0 && worst <= 1.0, "{kind:?}: {worst}");
    }
}

/// A server that thinks until the initiator has heard that its proof arrived; then it says yes, and the
/// line loses the next `lost` of its datagrams. How long the client waits from the yes on.
fn final_after(lost: usize, timeout: Duration, early: bool) -> (Line, Option<Duration>) {
    let mut line = Line::new(ListenConfig { authorize: true, ..ListenConfig::default() });
    line.connect(0, ConnectOptions { timeout, early, ..ConnectOptions::default() });
    // CHALLENGE, the packet that says that the proof is there, and the answer to the KEEP_ALIVE beside the copy.
    assert!(line.run(LIMIT, |line| line.sent[1] >= 2), "{:?}", line.events);
    assert!(!line.run(2 * ONE_WAY, |_| false));
    let asked = line.events[1].iter().find_map(|event| match event {
        Event::Incoming { session, .. } => Some(*session),
        _ => None,
    });
    line.lost[1] = (line.sent[1]..line.sent[1] + lost).collect();
    let (now, from) = (line.now(), line.now);
    line.ends[1].accept(now, asked.unwrap());
    line.events[1].clear();
    let done = line.run(LIMIT, |line| {
        line.events[0].iter().any(|event| matches!(event, Event::Ticket { .. }))
            || line.events[0].iter().any(|event| matches!(event, Event::ConnectFailed { .. }))
    });
    assert!(done, "{:?}", line.events);
    let took = line.now.saturating_duration_since(from);
    let failed = line.events[0].iter().any(|event| matches!(event, Event::ConnectFailed { .. }));
    (line, (!failed).then_some(took))
}

#[test]
fn a_lost_final_is_asked_for_though_the_responder_was_heard() {
    // The responder's probe timeouts alone, of up to two seconds, take eleven for ten losses. A copy of the proof every 1.5 s at
    // most draws two datagrams and more.
    for early in [false, true] {
        for lost in 0..=10 {
            let (mut line, took) = final_after(lost, Duration::from_secs(60), early);
            let took = took.unwrap();
            let limit = Duration::from_millis(500) + lost as u32 * Duration::from_millis(750);
            assert!(took <= limit, "{lost} lost: {took:?}");
            assert_eq!(line.ends[1].stats().sessions, 1, "{lost} lost");
            line.run(Duration::from_secs(5), |_| false);
            let (ours, theirs) = (line.begun(0), line.begun(1));
            assert_eq!((ours.len(), theirs.len()), (1, 1), "{lost} lost");
            line.transfer(0, [ours[0].0, theirs[0].0], 20_000);
        }
    }
}

#[test]
fn a_connect_that_heard_its_responder_does_not_begin_anew() {
    let timeout = Duration::from_secs(20);
    let (line, took) = final_after(1000, timeout, false);
    assert_eq!(took, None, "{:?}", line.events);
    assert_eq!(line.ends[1].stats().sessions, 1, "one handshake all the time");
    assert!(line.now.as_nanos() >= timeout.as_nanos() as u64, "{:?}", line.now);
}

#[test]
fn copies_of_a_proof_draw_little_and_nothing_behind_final() {
    let mut line = Line::new(ListenConfig { authorize: true, ..ListenConfig::default() });
    line.connect(0, ConnectOptions::default());
    // HELLO, then AUTH_PROOF.
    line.settle();
    line.now += ONE_WAY;
    let (now, mut hello) = (line.now(), line.flights.remove(0).2);
    line.ends[1].handle_datagram(now, address(0), None, &mut hello);
    line.settle();
    line.now += ONE_WAY;
    let (now, mut challenge) = (line.now(), line.flights.remove(0).2);
    line.ends[0].handle_datagram(now, address(1), None, &mut challenge);
    line.settle();
    let proof = line.flights.remove(0).2;

    let replay = |line: &mut Line, times: u64| {
        let before = line.ends[1].stats().bytes_sent;
        for _ in 0..times {
            line.now += Duration::from_millis(1);
            let (now, mut copy) = (line.now(), proof.clone());
            line.ends[1].handle_datagram(now, address(0), None, &mut copy);
            line.settle();
        }
        line.ends[1].stats().bytes_sent - before
    };
    let thinking = replay(&mut line, 100);
    assert!(thinking > 0 && thinking <= 100 * proof.len() as u64, "{thinking} bytes");
    let asked = line.events[1].iter().find_map(|event| match event {
        Event::Incoming { session, .. } => Some(*session),
        _ => None,
    });
    // Unanswered, FINAL goes out four times a second at most; its own probe timeouts add a few.
    let (session, now) = (asked.unwrap(), line.now());
    line.flights.clear();
    line.ends[1].accept(now, session);
    let (from, time) = (line.sent[1], line.now);
    let unanswered = replay(&mut line, 5_000);
    let seconds = line.now.saturating_duration_since(time).as_secs_f64();
    let finals = (line.sent[1] - from) as f64;
    assert!((4.0 * seconds - 2.0..=4.0 * seconds + 8.0).contains(&finals), "{finals} FINALs");
    assert!(unanswered <= 5_000 * proof.len() as u64 / 50, "{unanswered} bytes");
    // The client has its FINAL, and the server knows.
    assert!(line.run(LIMIT, |line| !line.begun(0).is_empty()));
    line.run(Duration::from_secs(1), |_| false);
    assert_eq!(replay(&mut line, 100), 0, "behind an acknowledged FINAL");
}

#[test]
fn two_nodes_that_connect_to_each_other_at_once_have_two_sessions() {
    for (ours, theirs) in [(Kind::Hello, Kind::Hello), (Kind::Resume, Kind::Hello)] {
        for lost in [None, Some(0), Some(1), Some(2)] {
            let (mut line, options) = begin(ours);
            line.ends[0].set_listening(Some(ListenConfig::default()));
            line.lost = [lost.into_iter().collect(), lost.into_iter().collect()];
            let before = line.ends[0].stats().sessions;
            line.connect(0, options);
            line.connect(1, ConnectOptions::default());
            let what = format!("{ours:?} and {theirs:?}, {lost:?} lost");
            let done = |line: &Line| line.begun(0).len() == 2 && line.begun(1).len() == 2;
            assert!(line.run(LIMIT, done), "{what}: {:?}", line.events);
            line.run(Duration::from_secs(5), |_| false);
            for end in [0, 1] {
                assert_eq!(line.begun(end).len(), 2, "{what}");
                assert_eq!(line.ends[end].stats().sessions, before + 2, "{what}");
            }
        }
    }
}
