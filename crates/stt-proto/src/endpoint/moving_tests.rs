//! Sessions that move (PROTOCOL.md section 6.3): two endpoints, each with several addresses, a NAT
//! before the client, and a record of every datagram.

mod forged;
mod kept;
mod on_purpose;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_wire::FrameType;

use super::{Endpoint, Entry};
use crate::config::{ConnectOptions, EndpointConfig, ListenConfig, SessionConfig};
use crate::event::{Event, SessionHandle};
use crate::path::{Ecn, PathAddress, SendError};
use crate::session::{MoveError, MoveFailure, Session};
use crate::streams::{ReadOutcome, StreamId, StreamOptions};
use crate::time::{Instant, Now};

const SHARED: [u8; 32] = *b"\x8e\x11\x02\xc7\x5a\x93\xf4\x60\xb7\x2d\xe9\x14\x4f\xa8\x33\xdc\x01\x6b\x95\x7e\xf0\xc2\x48\x1a\xd6\x39\x87\xb4\x22\x5f\xeb\x70";
const CLIENT: usize = 0;
const SERVER: usize = 1;
/// One way, in milliseconds.
const DELAY: u64 = 10;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct Flight {
    at: u64,
    from: SocketAddr,
    to: SocketAddr,
    ecn: Option<Ecn>,
    bytes: Vec<u8>,
}

struct Roads {
    ends: [Endpoint; 2],
    sessions: [SessionHandle; 2],
    events: [Vec<Event>; 2],
    millis: u64,
    /// Where a datagram goes out that names no local address.
    home: [SocketAddr; 2],
    /// What the NAT makes of the client's home.
    outside: SocketAddr,
    /// Addresses at which nothing arrives any more.
    dead: BTreeSet<SocketAddr>,
    flights: VecDeque<Flight>,
    /// Datagrams of a thousand that are lost, and that a stranger copies and sends on from elsewhere.
    loss: u64,
    copies: u64,
    /// Whether ECN marks come through.
    marks: bool,
    random: u64,
    /// Everything sent: from, to, path id, length.
    seen: Vec<(SocketAddr, SocketAddr, [u8; 8], u64)>,
}

fn endpoint(number: u8) -> Endpoint {
    let keys = NetworkKeys::new(&SharedSeed::new(&SHARED).unwrap());
    let seed = SHARED.map(|byte| byte.wrapping_mul(number | 1).wrapping_add(number));
    let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed).unwrap());
    let session = SessionConfig { mtu: 1472, ..SessionConfig::default() };
    let config = EndpointConfig { session, ..EndpointConfig::default() };
    Endpoint::new(config, identity, vec![keys], [number; 32])
}

impl Roads {
    fn new() -> Self {
        let home = [address("10.0.0.1:1000"), address("10.0.0.2:7788")];
        let mut ends = [endpoint(3), endpoint(5)];
        ends[SERVER].set_listening(Some(ListenConfig::default()));
        let now = Now { mono: Instant::from_nanos(1), unix_ms: 1_800_000_000_000 };
        let path = PathAddress::udp(home[SERVER]);
        let handle = ends[CLIENT].connect(now, path, ConnectOptions::default()).unwrap();
        let mut roads = Self {
            ends,
            sessions: [handle; 2],
            events: [Vec::new(), Vec::new()],
            millis: 0,
            home,
            outside: home[CLIENT],
            dead: BTreeSet::new(),
            flights: VecDeque::new(),
            loss: 0,
            copies: 0,
            marks: true,
            random: 1,
            seen: Vec::new(),
        };
        roads.run(3_000);
        let connected = |event: &Event| match event {
            Event::Connected { session, .. } => Some(*session),
            _ => None,
        };
        roads.sessions[SERVER] = roads.events[SERVER].iter().find_map(connected).unwrap();
        assert!(roads.events[CLIENT].iter().find_map(connected).is_some());
        roads.events = [Vec::new(), Vec::new()];
        roads.seen.clear();
        roads
    }

    fn now(&self) -> Now {
        Now { mono: Instant::from_nanos(1 + self.millis * 1_000_000), unix_ms: 1_800_000_000_000 }
    }

    /// A number below `below` (SplitMix64).
    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    /// Lets time pass, a millisecond a turn.
    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.send();
        self.millis += 1;
        let now = self.now();
        while self.flights.front().is_some_and(|flight| flight.at <= self.millis) {
            let Some(flight) = self.flights.pop_front() else { break };
            self.deliver(now, flight);
        }
        for end in &mut self.ends {
            if end.poll_timeout().is_some_and(|at| at <= now.mono) {
                end.handle_timeout(now);
            }
        }
        self.send();
    }

    fn send(&mut self) {
        let now = self.now();
        let mut buffer = vec![0; 65_536];
        for end in [CLIENT, SERVER] {
            while let Some(transmit) = self.ends[end].poll_transmit(now, 10, &mut buffer) {
                let PathAddress::Udp { remote, local } = transmit.path else { unreachable!() };
                let mut from = self.home[end];
                if let Some(ip) = local {
                    from.set_ip(ip);
                }
                if from == self.home[CLIENT] {
                    from = self.outside;
                }
                let size = transmit.segment_size.unwrap_or(transmit.len);
                for bytes in buffer[..transmit.len].chunks(size) {
                    let id = bytes[4..12].try_into().unwrap();
                    self.seen.push((from, remote, id, bytes.len() as u64));
                    let at = self.millis + DELAY;
                    let (ecn, bytes) = (transmit.ecn.filter(|_| self.marks), bytes.to_vec());
                    self.flights.push_back(Flight { at, from, to: remote, ecn, bytes });
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.events[end].push(event);
            }
        }
    }

    fn deliver(&mut self, now: Now, flight: Flight) {
        let Flight { from, mut to, ecn, mut bytes, .. } = flight;
        if self.dead.contains(&to) || self.dead.contains(&from) || self.draw(1000) < self.loss {
            return;
        }
        if to == self.home[SERVER] && self.draw(1000) < self.copies {
            let path = PathAddress::udp(address("10.66.6.6:6"));
            self.ends[SERVER].handle_datagram(now, path, None, &mut bytes.clone());
        }
        let end = if to.port() == self.home[SERVER].port() {
            // It has many addresses.
            SERVER
        } else if to == self.outside {
            to = self.home[CLIENT];
            CLIENT
        } else if to.port() == self.home[CLIENT].port() && to.ip() != self.outside.ip() {
            // Another interface of the client, without a NAT.
            CLIENT
        } else {
            return;
        };
        let path = PathAddress::Udp { remote: from, local: Some(to.ip()) };
        self.ends[end].handle_datagram(now, path, ecn, &mut bytes);
    }

    fn session(&mut self, end: usize) -> &mut Session {
        match self.ends[end].slots.get_mut(self.sessions[end].index) {
            Some(Entry::Session(session)) => session,
            _ => panic!("no session"),
        }
    }

    fn write(&mut self, end: usize, len: usize) -> StreamId {
        let (now, session) = (self.now(), self.sessions[end]);
        let stream = self.ends[end].open_stream(now, session, StreamOptions::default()).unwrap();
        self.ends[end].write(now, session, stream, Bytes::from(vec![7; len])).unwrap();
        stream
    }

    fn read(&mut self, end: usize, stream: StreamId) -> usize {
        let (now, session, mut sum) = (self.now(), self.sessions[end], 0);
        while let Ok(ReadOutcome::Chunk(bytes)) = self.ends[end].read(session, stream, 1 << 20) {
            sum += bytes.len();
            self.ends[end].consumed(now, session, stream, bytes.len() as u64);
        }
        sum
    }

    /// Runs until `len` bytes of a stream were read.
    fn fetch(&mut self, end: usize, stream: StreamId, len: usize) {
        let mut sum = 0;
        for _ in 0..30_000 {
            self.turn();
            sum += self.read(end, stream);
            if sum >= len {
                return;
            }
        }
        panic!("{sum} of {len} bytes");
    }

    fn moves(&self, end: usize) -> Vec<SocketAddr> {
        let moved = |event: &Event| match event {
            Event::PathChange { remote, .. } => remote.remote(),
            _ => None,
        };
        self.events[end].iter().filter_map(moved).collect()
    }

    fn failures(&self) -> Vec<MoveFailure> {
        let failed = |event: &Event| match event {
            Event::MoveFailed { reason, .. } => Some(*reason),
            _ => None,
        };
        self.events[CLIENT].iter().filter_map(failed).collect()
    }

    fn remote(&mut self, end: usize) -> SocketAddr {
        self.session(end).remote().remote().unwrap()
    }

    fn bytes(&self, from: Option<SocketAddr>, to: Option<SocketAddr>) -> u64 {
        self.seen
            .iter()
            .filter(|seen| from.is_none_or(|a| a == seen.0) && to.is_none_or(|a| a == seen.1))
            .map(|seen| seen.3)
            .sum()
    }
}

#[test]
fn a_nat_that_gives_another_port_costs_nothing_but_a_challenge() {
    let mut roads = Roads::new();
    let stream = roads.write(SERVER, 1_000_000);
    roads.run(300);
    roads.read(CLIENT, stream);
    let before = roads.session(SERVER).stats();
    roads.outside = address("10.0.0.1:2000");
    roads.write(CLIENT, 10);
    roads.run(60);
    assert_eq!(roads.moves(SERVER), [address("10.0.0.1:2000")]);
    assert_eq!(roads.moves(CLIENT), [], "it knows of nothing");
    let after = roads.session(SERVER).stats();
    assert!(after.congestion_window >= before.congestion_window, "{before:?} {after:?}");
    assert_eq!(after.rtt_min, before.rtt_min);
    roads.fetch(CLIENT, stream, 100_000);
}

#[test]
fn a_nat_that_gives_another_address_is_followed_and_the_path_learnt_anew() {
    let mut roads = Roads::new();
    let outside = address("10.9.9.9:2000");
    let stream = roads.write(SERVER, 1_000_000);
    roads.fetch(CLIENT, stream, 200_000);
    roads.outside = outside;
    roads.fetch(CLIENT, stream, 700_000);
    roads.run(1_000);
    assert_eq!(roads.moves(SERVER), [outside]);
    assert_eq!(roads.remote(SERVER), outside);
    assert_eq!(roads.session(SERVER).stats().mtu, 1472, "the size was searched for again");
}

#[test]
fn an_unproven_path_gets_no_more_than_came_from_it() {
    let mut roads = Roads::new();
    let thief = address("10.6.6.6:666");
    roads.write(SERVER, 1_000_000);
    roads.run(100);
    // What the client sends next arrives from somewhere else, and nothing else does for a while.
    roads.seen.clear();
    roads.outside = thief;
    roads.dead.insert(roads.home[CLIENT]);
    roads.write(CLIENT, 10);
    roads.turn();
    roads.dead.insert(roads.home[SERVER]);
    roads.flights.iter_mut().for_each(|flight| flight.at += 1);
    roads.dead.clear();
    let flights: Vec<Flight> = roads.flights.drain(..).filter(|f| f.from == thief).collect();
    assert!(!flights.is_empty());
    let now = roads.now();
    for flight in flights {
        roads.deliver(now, flight);
    }
    roads.outside = roads.home[CLIENT];
    roads.dead.insert(roads.home[CLIENT]);
    roads.run(900);
    let (got, sent) = (roads.bytes(Some(thief), None), roads.bytes(None, Some(thief)));
    assert!(sent > 0 && sent <= got, "{sent} of {got}");
}

#[test]
fn a_path_that_does_not_answer_is_given_up_for_the_one_before() {
    let mut roads = Roads::new();
    let (home, thief) = (roads.home[CLIENT], address("10.6.6.6:666"));
    let stream = roads.write(SERVER, 50_000);
    roads.fetch(CLIENT, stream, 50_000);
    roads.outside = thief;
    roads.write(CLIENT, 10);
    roads.turn();
    roads.outside = home;
    // The copy comes through; the client is silent from here on, and nothing reaches the thief.
    roads.run(DELAY + 1);
    assert_eq!(roads.remote(SERVER), thief);
    roads.dead.insert(thief);
    let asked = roads.seen.iter().filter(|seen| seen.1 == home).count();
    roads.run(100);
    assert!(
        roads.seen.iter().filter(|seen| seen.1 == home).count() > asked,
        "the old one is asked"
    );
    roads.run(4_000);
    assert_eq!(roads.remote(SERVER), home);
    assert_eq!(roads.moves(SERVER), [], "nobody was told of a move that was none");
    let stream = roads.write(SERVER, 50_000);
    roads.fetch(CLIENT, stream, 50_000);
}

#[test]
fn a_path_gone_back_to_over_several_is_the_one_that_it_was() {
    let mut roads = Roads::new();
    let home = roads.home[CLIENT];
    let stream = roads.write(SERVER, 500_000);
    roads.fetch(CLIENT, stream, 500_000);
    roads.run(1_000);
    let before = roads.session(SERVER).stats();
    // By its host's other port, and before that is proven by another host.
    let others = [address("10.0.0.1:2000"), address("10.6.6.6:666")];
    for outside in others {
        roads.outside = outside;
        roads.write(CLIENT, 10);
        roads.turn();
    }
    roads.outside = home;
    roads.run(DELAY);
    assert_eq!(roads.remote(SERVER), others[1]);
    roads.dead.extend(others);
    while roads.remote(SERVER) != home {
        assert!(roads.millis < 30_000, "it is still there");
        roads.turn();
    }
    let after = roads.session(SERVER).stats();
    assert_eq!((after.mtu, after.rtt_min), (before.mtu, before.rtt_min), "known as it was");
    assert_eq!(after.congestion_window, before.congestion_window);
    let stream = roads.write(SERVER, 50_000);
    roads.fetch(CLIENT, stream, 50_000);
}

#[test]
fn probes_move_nothing_and_are_answered_where_they_came_from() {
    let mut roads = Roads::new();
    let (now, elsewhere) = (roads.now(), address("10.7.7.7:7"));
    let probe = [&[1][..], &[9; 8]].concat();
    let path = PathAddress::Udp { remote: elsewhere, local: Some(roads.home[SERVER].ip()) };
    let mut packet = roads.session(CLIENT).forge(now.mono, FrameType::KEEP_ALIVE, 0, &probe);
    roads.ends[SERVER].handle_datagram(now, path, None, &mut packet);
    roads.run(20);
    assert_eq!(roads.bytes(None, Some(elsewhere)), packet.len() as u64);
    assert_eq!(roads.remote(SERVER), roads.home[CLIENT]);
    // The same with one frame more is no probe.
    let mut packet = roads.session(CLIENT).forge(now.mono, FrameType::KEEP_ALIVE, 0, &[0; 9]);
    roads.ends[SERVER].handle_datagram(now, path, None, &mut packet);
    assert_eq!(roads.remote(SERVER), elsewhere);
    // An older packet from the next place does not move it again.
    let mut older = roads.session(CLIENT).forge(now.mono, FrameType::KEEP_ALIVE, 0, &[0; 9]);
    let mut newer = roads.session(CLIENT).forge(now.mono, FrameType::KEEP_ALIVE, 0, &[0; 9]);
    roads.ends[SERVER].handle_datagram(now, path, None, &mut newer);
    let third = PathAddress::udp(address("10.8.8.8:8"));
    roads.ends[SERVER].handle_datagram(now, third, None, &mut older);
    assert_eq!(roads.remote(SERVER), elsewhere);
}

fn leave(roads: &mut Roads, ip: &str) -> Result<u64, MoveError> {
    let (now, session) = (roads.now(), roads.sessions[CLIENT]);
    let local = ip.parse::<IpAddr>().unwrap();
    let path = PathAddress::Udp { remote: roads.home[SERVER], local: Some(local) };
    roads.ends[CLIENT].move_session(now, session, path)
}

#[test]
fn a_move_on_purpose_makes_before_it_breaks_and_shows_no_id_twice() {
    let mut roads = Roads::new();
    let mut known = BTreeSet::new();
    let stream = roads.write(SERVER, 1);
    for round in 1..=8 {
        let old: BTreeSet<[u8; 8]> = roads.seen.iter().map(|seen| seen.2).collect();
        known.extend(old);
        roads.seen.clear();
        let ip = format!("10.1.0.{round}");
        leave(&mut roads, &ip).unwrap();
        roads.run(200);
        let there = SocketAddr::new(ip.parse().unwrap(), 1000);
        assert_eq!(roads.moves(SERVER).last(), Some(&there), "round {round}");
        assert_eq!(roads.moves(CLIENT).len(), round, "the client hears of it too");
        assert_eq!(roads.remote(SERVER), there);
        let on_new: Vec<_> =
            roads.seen.iter().filter(|seen| seen.0 == there || seen.1 == there).collect();
        assert!(on_new.len() >= 4);
        for seen in on_new {
            assert!(!known.contains(&seen.2), "round {round}: an id of another path: {seen:?}");
        }
        let (now, session) = (roads.now(), roads.sessions[SERVER]);
        roads.ends[SERVER].write(now, session, stream, Bytes::from(vec![1; 5000])).unwrap();
        roads.run(200);
    }
    roads.run(10_000);
    assert_eq!(roads.read(CLIENT, stream), 1 + 8 * 5000);
    let ids: Vec<usize> =
        [CLIENT, SERVER].map(|end| roads.session(end).local_ids().count()).to_vec();
    assert_eq!(ids, [3, 3], "one in use, two to spare: no more are kept");
    assert_eq!(roads.ends.each_ref().map(|end| end.routes.len()), [3, 3]);
    assert_eq!(roads.ends.each_ref().map(|end| end.remotes.len()), [1, 1]);
}

#[test]
fn a_move_to_where_nothing_answers_leaves_the_session_where_it_is() {
    let mut roads = Roads::new();
    roads.dead.insert(address("10.1.0.1:1000"));
    leave(&mut roads, "10.1.0.1").unwrap();
    let stream = roads.write(SERVER, 50_000);
    roads.fetch(CLIENT, stream, 50_000);
    roads.run(5_000);
    let [MoveFailure::NoAnswer { waited }] = roads.failures()[..] else {
        panic!("{:?}", roads.failures())
    };
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert_eq!(roads.moves(SERVER), []);
    leave(&mut roads, "10.1.0.2").unwrap();
    roads.run(200);
    assert_eq!(roads.moves(SERVER), [address("10.1.0.2:1000")]);
}

#[test]
fn a_local_address_that_went_away_is_left_at_once() {
    let mut roads = Roads::new();
    leave(&mut roads, "10.1.0.1").unwrap();
    roads.run(500);
    assert_eq!(roads.remote(SERVER), address("10.1.0.1:1000"));
    let stream = roads.write(CLIENT, 100);
    let path = *roads.session(CLIENT).remote();
    let now = roads.now();
    // The system's word on what goes out next.
    let mut buffer = vec![0; 65_536];
    let sent = roads.ends[CLIENT].poll_transmit(now, 1, &mut buffer).unwrap();
    assert_eq!(sent.path, path);
    roads.ends[CLIENT].handle_send_error(now, path, SendError::Other(22));
    roads.run(100);
    assert_eq!(roads.remote(SERVER), roads.home[CLIENT]);
    roads.fetch(SERVER, stream, 100);
}

#[test]
fn a_reset_finds_a_session_that_has_moved() {
    let mut roads = Roads::new();
    leave(&mut roads, "10.1.0.1").unwrap();
    roads.run(5_000);
    // The server's process begins anew, with the same identity.
    roads.ends[SERVER] = endpoint(5);
    roads.write(CLIENT, 100);
    roads.run(100);
    let closed = |event: &Event| matches!(event, Event::SessionClosed { .. });
    assert!(roads.events[CLIENT].iter().any(closed), "{:?}", roads.events[CLIENT]);
}

/// The client moves on purpose and is moved by its NAT, at random, while both sides send, datagrams
/// are lost, and a stranger sends copies on from somewhere else.
fn wander(seed: u64) {
    let mut roads = Roads::new();
    (roads.random, roads.loss, roads.copies) = (seed, 50, 5);
    let streams = [roads.write(CLIENT, 300_000), roads.write(SERVER, 300_000)];
    let mut sums = [0, 0];
    for round in 0.. {
        match roads.draw(4) {
            0 => roads.outside.set_port(2000 + roads.millis as u16),
            1 => {
                let octets = [10, 77, roads.draw(250) as u8, 1];
                roads.outside = SocketAddr::from((octets, 2000));
            }
            2 => {
                let ip = format!("10.1.{}.1", roads.draw(250));
                // Without a spare id, for the moment, there is no move.
                let _ = leave(&mut roads, &ip);
            }
            _ => {}
        }
        for _ in 0..400 {
            roads.turn();
            for end in [CLIENT, SERVER] {
                sums[end] += roads.read(1 - end, streams[end]);
            }
        }
        if sums == [300_000, 300_000] && round >= 8 {
            break;
        }
        assert!(round < 200, "{sums:?} with seed {seed}");
    }
    // At rest, nothing of the moves is left.
    (roads.loss, roads.copies) = (0, 0);
    roads.run(15_000);
    for end in [CLIENT, SERVER] {
        let session = roads.session(end);
        assert_eq!(session.local_ids().count(), 3, "seed {seed}, end {end}");
        assert!(!session.is_moving(), "seed {seed}, end {end}");
        assert_eq!(roads.ends[end].routes.len(), 3, "seed {seed}, end {end}");
        assert_eq!(roads.ends[end].remotes.len(), 1, "seed {seed}, end {end}");
        assert!(!roads.events[end].iter().any(|e| matches!(e, Event::SessionClosed { .. })));
        let told = |event: &Event| match event {
            Event::PathChange { remote, .. } => Some(*remote),
            _ => None,
        };
        let told: Vec<_> = roads.events[end].iter().filter_map(told).collect();
        let differ = |one: &PathAddress, next: &PathAddress| !one.same_path(next);
        assert!(told.is_sorted_by(differ), "seed {seed}, end {end}: {told:?}");
    }
    assert!(roads.bytes(None, Some(address("10.66.6.6:6"))) < 100_000, "seed {seed}");
}

#[test]
fn whatever_moves_happen_every_byte_arrives_and_nothing_is_left_behind() {
    (0..12).for_each(wander);
}
