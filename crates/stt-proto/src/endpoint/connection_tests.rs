//! Sessions over connections (PROTOCOL.md section 5.5): two endpoints, a UDP link between them that can
//! be cut, and connections that carry what they are given in order, at a rate, until they are closed.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_wire::ErrorCode;

use super::Endpoint;
use crate::config::{ConnectOptions, EndpointConfig, ListenConfig};
use crate::event::{Event, SessionHandle};
use crate::path::{Connection, PathAddress};
use crate::session::{MoveError, MoveFailure};
use crate::streams::{ReadOutcome, StreamId, StreamOptions};
use crate::time::{Instant, Now};

const SHARED: [u8; 32] = *b"\x31\xd2\x7c\x05\x99\xae\x40\xf3\x6b\x18\xc4\x2d\x87\xe5\x0a\x76\xbf\x53\x91\x2e\xda\x64\x08\xb9\xf7\x1c\x4a\xe0\x25\x83\x6d\xcb";
const CLIENT: usize = 0;
const SERVER: usize = 1;
const ROOM: usize = 256 * 1024;

/// A connection's two directions: what was handed over and has not left yet, with when it arrives.
struct Pipe {
    /// Bytes that leave in a millisecond.
    rate: usize,
    ways: [VecDeque<(u64, Vec<u8>)>; 2],
    /// Bytes handed over and not yet told as passed on, at most, in either direction.
    most: [usize; 2],
    held: [usize; 2],
}

struct Lab {
    ends: [Endpoint; 2],
    events: [Vec<Event>; 2],
    sessions: [Option<SessionHandle>; 2],
    millis: u64,
    udp: VecDeque<(u64, usize, Vec<u8>)>,
    udp_works: bool,
    datagrams: [u64; 2],
    /// Bytes of UDP that each side has sent, and that have come to it.
    udp_sent: [usize; 2],
    udp_heard: [usize; 2],
    /// Whether what goes to a side by UDP arrives, while UDP works at all.
    udp_reaches: [bool; 2],
    pipes: BTreeMap<u64, Pipe>,
    homes: [SocketAddr; 2],
}

fn endpoint(number: u8, config: EndpointConfig) -> Endpoint {
    let keys = NetworkKeys::new(&SharedSeed::new(&SHARED).unwrap());
    let seed = SHARED.map(|byte| byte.wrapping_mul(number | 1).wrapping_add(number));
    let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed).unwrap());
    Endpoint::new(config, identity, vec![keys], [number; 32])
}

fn pattern(stream: StreamId, at: u64, len: usize) -> Vec<u8> {
    (at..at + len as u64).map(|i| (i.wrapping_mul(31) ^ u64::from(stream.as_u32())) as u8).collect()
}

impl Lab {
    fn new() -> Self {
        let mut ends =
            [endpoint(3, EndpointConfig::default()), endpoint(5, EndpointConfig::default())];
        ends[SERVER].set_listening(Some(ListenConfig::default()));
        Self {
            ends,
            events: [Vec::new(), Vec::new()],
            sessions: [None, None],
            millis: 0,
            udp: VecDeque::new(),
            udp_works: true,
            datagrams: [0, 0],
            udp_sent: [0, 0],
            udp_heard: [0, 0],
            udp_reaches: [true, true],
            pipes: BTreeMap::new(),
            homes: ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:7788".parse().unwrap()],
        }
    }

    fn now(&self) -> Now {
        Now { mono: Instant::from_nanos(1 + self.millis * 1_000_000), unix_ms: 1_800_000_000_000 }
    }

    /// Opens a connection, which both sides know by the same number.
    fn open(&mut self, id: u64, rate: usize) -> PathAddress {
        for side in [CLIENT, SERVER] {
            let remote = self.homes[1 - side];
            self.ends[side].open_connection(Connection { id, remote }, ROOM);
        }
        let ways = [VecDeque::new(), VecDeque::new()];
        self.pipes.insert(id, Pipe { rate, ways, most: [0; 2], held: [0; 2] });
        PathAddress::Connection(Connection { id, remote: self.homes[SERVER] })
    }

    /// Closes it at both sides; what is under way is gone.
    fn close(&mut self, id: u64) {
        self.pipes.remove(&id);
        let now = self.now();
        self.ends.iter_mut().for_each(|end| end.close_connection(now, id));
    }

    fn connect(&mut self, path: PathAddress) {
        let now = self.now();
        let handle = self.ends[CLIENT].connect(now, path, ConnectOptions::default()).unwrap();
        self.sessions[CLIENT] = Some(handle);
    }

    fn send(&mut self) {
        for side in [CLIENT, SERVER] {
            let now = self.now();
            let mut buf = vec![0; 65_536];
            while let Some(transmit) = self.ends[side].poll_transmit(now, 10, &mut buf) {
                let bytes = &buf[..transmit.len];
                match transmit.path {
                    PathAddress::Udp { .. } => {
                        self.datagrams[side] += 1;
                        self.udp_sent[side] += bytes.len();
                        for datagram in bytes.chunks(transmit.segment_size.unwrap_or(transmit.len))
                        {
                            self.udp.push_back((self.millis + 10, 1 - side, datagram.to_vec()));
                        }
                    }
                    PathAddress::Connection(connection) => {
                        let pipe = self.pipes.get_mut(&connection.id).expect("an open one");
                        pipe.held[side] += bytes.len();
                        pipe.most[side] = pipe.most[side].max(pipe.held[side]);
                        pipe.ways[side].push_back((0, bytes.to_vec()));
                    }
                }
            }
        }
    }

    fn turn(&mut self) {
        self.send();
        self.millis += 1;
        let now = self.now();
        while self.udp.front().is_some_and(|(at, ..)| *at <= self.millis) {
            let (_, to, mut bytes) = self.udp.pop_front().unwrap();
            if self.udp_works && self.udp_reaches[to] {
                self.udp_heard[to] += bytes.len();
                let path = PathAddress::udp(self.homes[1 - to]);
                self.ends[to].handle_datagram(now, path, None, &mut bytes);
            }
        }
        for (id, pipe) in &mut self.pipes {
            for side in [CLIENT, SERVER] {
                let mut budget = pipe.rate;
                let mut passed = 0;
                for (at, bytes) in pipe.ways[side].iter_mut().filter(|(at, _)| *at == 0) {
                    if bytes.len() > budget {
                        budget = 0;
                        continue;
                    }
                    budget -= bytes.len();
                    passed += bytes.len();
                    *at = self.millis + 15;
                }
                if passed > 0 {
                    pipe.held[side] -= passed;
                    self.ends[side].connection_writable(now, *id, passed);
                }
                while pipe.ways[side].front().is_some_and(|(at, _)| *at > 0 && *at <= self.millis) {
                    let (_, mut bytes) = pipe.ways[side].pop_front().unwrap();
                    let remote = self.homes[side];
                    let path = PathAddress::Connection(Connection { id: *id, remote });
                    self.ends[1 - side].handle_datagram(now, path, None, &mut bytes);
                }
            }
        }
        for end in &mut self.ends {
            if end.poll_timeout().is_some_and(|at| at <= now.mono) {
                end.handle_timeout(now);
            }
        }
        self.send();
        for side in [CLIENT, SERVER] {
            while let Some(event) = self.ends[side].poll_event() {
                if let (SERVER, Event::Connected { session, .. }) = (side, &event) {
                    self.sessions[SERVER] = Some(*session);
                }
                self.events[side].push(event);
            }
        }
    }

    fn run(&mut self, millis: u64) {
        (0..millis).for_each(|_| self.turn());
    }

    fn until(&mut self, limit: u64, what: &str, mut done: impl FnMut(&mut Self) -> bool) -> u64 {
        let begun = self.millis;
        while !done(self) {
            assert!(self.millis - begun < limit, "{what}: not within {limit} ms");
            self.turn();
        }
        self.millis - begun
    }

    fn write(&mut self, side: usize, len: usize) -> StreamId {
        let (now, session) = (self.now(), self.sessions[side].unwrap());
        let stream = self.ends[side].open_stream(now, session, StreamOptions::default()).unwrap();
        let bytes = Bytes::from(pattern(stream, 0, len));
        self.ends[side].write(now, session, stream, bytes).unwrap();
        self.ends[side].finish(now, session, stream).unwrap();
        stream
    }

    /// Reads what has come of a stream; true once that was all of it.
    fn read(&mut self, side: usize, stream: StreamId, at: &mut u64) -> bool {
        let (now, session) = (self.now(), self.sessions[side].unwrap());
        loop {
            match self.ends[side].read(session, stream, 1 << 20) {
                Ok(ReadOutcome::Chunk(bytes)) => {
                    let len = bytes.len();
                    assert!(bytes == pattern(stream, *at, len), "at {at}");
                    *at += len as u64;
                    self.ends[side].consumed(now, session, stream, len as u64);
                }
                Ok(ReadOutcome::Finished) => return true,
                _ => return false,
            }
        }
    }

    /// Carries `len` bytes from a side, and says how long it took.
    fn carry(&mut self, from: usize, len: usize, limit: u64) -> u64 {
        let stream = self.write(from, len);
        let mut at = 0;
        let took = self.until(limit, "a transfer", |lab| lab.read(1 - from, stream, &mut at));
        assert_eq!(at, len as u64);
        took
    }

    fn moved(&self, side: usize) -> usize {
        self.events[side].iter().filter(|event| matches!(event, Event::Moved { .. })).count()
    }

    fn go(&mut self, path: PathAddress) {
        let (now, session) = (self.now(), self.sessions[CLIENT].unwrap());
        self.ends[CLIENT].move_session(now, session, path).unwrap();
    }

    fn path(&self, side: usize) -> PathAddress {
        self.ends[side].path_of(self.sessions[side].unwrap()).unwrap()
    }

    fn failure(&self, side: usize) -> Option<ErrorCode> {
        self.events[side].iter().find_map(|event| match event {
            Event::ConnectFailed { error, .. } => Some(error.code),
            Event::SessionClosed { error, .. } => error.map(|error| error.code),
            _ => None,
        })
    }
}

#[test]
fn a_session_begins_lives_and_ends_on_a_connection() {
    let mut lab = Lab::new();
    let path = lab.open(7, 100_000);
    lab.connect(path);
    let took = lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    assert!(took <= 48, "HELLO, CHALLENGE, AUTH_PROOF: {took} ms");
    lab.run(50);
    for from in [CLIENT, SERVER] {
        let took = lab.carry(from, 4 << 20, 1_000);
        assert!(took < 300, "credit grows at once where nothing else holds back: {took} ms");
    }
    assert_eq!(lab.datagrams, [0, 0]);
    let session = lab.sessions[CLIENT].unwrap();
    let stats = lab.ends[CLIENT].session_stats(session).unwrap();
    assert_eq!((stats.packets_lost, stats.probe_timeouts), (0, 0));
    let now = lab.now();
    lab.ends[CLIENT].close(now, session, super::Close::graceful(Duration::from_secs(1)));
    lab.run(200);
    for side in [CLIENT, SERVER] {
        assert!(lab.events[side].iter().any(|event| matches!(event, Event::SessionClosed { .. })));
        assert_eq!(lab.failure(side), None);
    }
}

#[test]
fn a_slow_connection_holds_no_more_than_its_room() {
    let mut lab = Lab::new();
    let path = lab.open(7, 70_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    let pipe = lab.pipes.get_mut(&7).unwrap();
    pipe.rate = 66_000;
    // One batch at a time: as slow as a batch may be to leave whole.
    let took = lab.carry(CLIENT, 8 << 20, 10_000);
    let most = lab.pipes[&7].most[CLIENT];
    assert!(most <= ROOM + 65_536, "{most} bytes waited");
    assert!(took < 400, "{took} ms at 66 MB/s");
    let session = lab.sessions[CLIENT].unwrap();
    let stats = lab.ends[CLIENT].session_stats(session).unwrap();
    assert_eq!((stats.packets_lost, stats.probe_timeouts), (0, 0));
}

#[test]
fn a_connect_over_a_connection_that_closes_fails_at_once() {
    let mut lab = Lab::new();
    let path = lab.open(7, 100_000);
    lab.connect(path);
    lab.run(5);
    lab.close(7);
    lab.run(1);
    assert_eq!(lab.failure(CLIENT), Some(ErrorCode::WebSocketClosed));
    // And one over a connection that was never there.
    lab.events = [Vec::new(), Vec::new()];
    lab.connect(path);
    lab.run(1);
    assert_eq!(lab.failure(CLIENT), Some(ErrorCode::WebSocketClosed));
}

#[test]
fn udp_goes_dark_in_the_middle_and_the_session_goes_on_by_a_connection() {
    for from in [CLIENT, SERVER] {
        let mut lab = Lab::new();
        lab.connect(PathAddress::udp(lab.homes[SERVER]));
        lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
        lab.run(100);
        let stream = lab.write(from, 6 << 20);
        let mut at = 0;
        let begun = |at: u64| at > 1 << 20;
        lab.until(5_000, "the beginning", |lab| {
            lab.read(1 - from, stream, &mut at);
            begun(at)
        });
        lab.udp_works = false;
        if from == CLIENT {
            lab.until(1_000, "word of the silence", |lab| {
                let silent =
                    Event::PathSilence { session: lab.sessions[CLIENT].unwrap(), silent: true };
                lab.events[CLIENT].contains(&silent)
            });
        }
        let path = lab.open(9, 100_000);
        lab.go(path);
        let all = lab.until(2_000, "the rest", |lab| lab.read(1 - from, stream, &mut at));
        assert!(all < 800, "{all} ms");
        assert_eq!(at, 6 << 20);
        assert_eq!(lab.moved(CLIENT), 1);
        assert_eq!(
            (lab.path(CLIENT), lab.path(SERVER).connection().map(|c| c.id)),
            (path, Some(9))
        );
        assert_eq!(lab.failure(CLIENT), None);
        // UDP is back: the session returns, and nothing of it is lost or doubled.
        lab.udp_works = true;
        lab.go(PathAddress::udp(lab.homes[SERVER]));
        lab.carry(from, 1 << 20, 5_000);
        assert_eq!(lab.moved(CLIENT), 2);
        assert_eq!(lab.path(SERVER), PathAddress::udp(lab.homes[CLIENT]));
    }
}

#[test]
fn a_connection_that_closes_leaves_its_session_to_the_next_path() {
    for from in [CLIENT, SERVER] {
        let mut lab = Lab::new();
        let path = lab.open(1, 60_000);
        lab.connect(path);
        lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
        lab.run(50);
        let stream = lab.write(from, 9 << 20);
        let mut at = 0;
        for id in 2..8 {
            lab.run(20);
            lab.read(1 - from, stream, &mut at);
            lab.close(id - 1);
            lab.run(30 * id);
            let lost = |event: &&Event| matches!(event, Event::PathLost { .. });
            assert_eq!(lab.events[CLIENT].iter().filter(lost).count() as u64, id - 1);
            let path = lab.open(id, 100_000);
            lab.go(path);
            lab.run(70);
            lab.read(1 - from, stream, &mut at);
        }
        lab.until(3_000, "the rest", |lab| lab.read(1 - from, stream, &mut at));
        assert_eq!(at, 9 << 20);
        assert_eq!(lab.moved(CLIENT), 6);
        assert_eq!((lab.failure(CLIENT), lab.failure(SERVER)), (None, None));
    }
}

#[test]
fn without_another_path_a_session_ends_when_its_time_is_up() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    lab.close(1);
    let took = lab.until(40_000, "the end", |lab| lab.failure(CLIENT).is_some());
    assert!(took > 29_000, "{took} ms");
    lab.run(100);
    assert_eq!(lab.failure(CLIENT), Some(ErrorCode::WebSocketClosed));
    assert_eq!(lab.failure(SERVER), Some(ErrorCode::WebSocketClosed));
    assert_eq!(lab.ends.iter().map(|end| end.stats().sessions).sum::<u64>(), 0);
}

#[test]
fn a_move_to_a_connection_that_closes_or_never_was_leaves_the_session_where_it_is() {
    let mut lab = Lab::new();
    let udp = PathAddress::udp(lab.homes[SERVER]);
    lab.connect(udp);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(100);
    let path = lab.open(3, 100_000);
    lab.go(path);
    lab.run(5);
    lab.close(3);
    lab.run(200);
    let failed = lab.events[CLIENT].iter().find_map(|event| match event {
        Event::MoveFailed { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(failed, Some(MoveFailure::ConnectionLost));
    let (now, session) = (lab.now(), lab.sessions[CLIENT].unwrap());
    let refused = lab.ends[CLIENT].move_session(now, session, path);
    assert_eq!(refused, Err(MoveError::NoConnection));
    lab.carry(SERVER, 1 << 20, 5_000);
    assert_eq!(lab.path(CLIENT), udp);
}

#[test]
fn a_path_that_is_not_proven_stays_so_when_the_connection_before_it_closes() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    let heard_before = lab.udp_heard[SERVER];
    lab.go(PathAddress::udp(lab.homes[SERVER]));
    lab.until(1_000, "the peer's move", |lab| lab.path(SERVER).connection().is_none());
    // What goes there reaches nobody: as if the address had been forged.
    lab.udp_reaches[CLIENT] = false;
    lab.run(5);
    let told = |lab: &Lab| {
        let told = |event: &&Event| matches!(event, Event::PathChange { .. });
        lab.events[SERVER].iter().filter(told).count()
    };
    assert_eq!(told(&lab), 0);
    lab.close(1);
    let stream = lab.write(SERVER, 1 << 20);
    for _ in 0..6 {
        lab.run(1_000);
        let heard = lab.udp_heard[SERVER] - heard_before;
        let sent = lab.udp_sent[SERVER];
        assert!(sent <= heard, "{sent} bytes went to a path that {heard} came from");
    }
    assert_eq!(told(&lab), 0);
    lab.udp_reaches[CLIENT] = true;
    let mut at = 0;
    lab.until(15_000, "the rest", |lab| lab.read(CLIENT, stream, &mut at));
    assert_eq!((at, told(&lab)), (1 << 20, 1));
    assert_eq!((lab.failure(CLIENT), lab.failure(SERVER)), (None, None));
}

#[test]
fn a_resumed_session_that_goes_on_by_udp_has_a_window_there() {
    let mut lab = Lab::new();
    let udp = PathAddress::udp(lab.homes[SERVER]);
    lab.connect(udp);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(200);
    let ticket = lab.events[CLIENT].iter().find_map(|event| match event {
        Event::Ticket { ticket, .. } => Some((**ticket).clone()),
        _ => None,
    });
    let path = lab.open(1, 100_000);
    lab.sessions = [None, None];
    let options = ConnectOptions { resume: ticket, ..ConnectOptions::default() };
    let now = lab.now();
    lab.sessions[CLIENT] = Some(lab.ends[CLIENT].connect(now, path, options).unwrap());
    lab.until(1_000, "the answer", |lab| {
        lab.send();
        lab.ends[SERVER].stats().sessions_resumed == 1
            && lab.pipes[&1].ways[CLIENT].front().is_some()
    });
    // The first sealed packet takes another way.
    let ways = lab.pipes.get_mut(&1).unwrap().ways[CLIENT].split_off(0);
    for (_, mut bytes) in ways {
        let now = lab.now();
        let here = PathAddress::udp(lab.homes[CLIENT]);
        lab.ends[SERVER].handle_datagram(now, here, None, &mut bytes);
    }
    lab.run(1);
    assert_eq!(lab.path(SERVER), PathAddress::udp(lab.homes[CLIENT]));
    let (before, session) = (lab.udp_sent[SERVER], lab.sessions[SERVER].unwrap());
    let window = lab.ends[SERVER].session_stats(session).unwrap().congestion_window;
    let stream = lab.write(SERVER, 1 << 20);
    lab.send();
    let sent = lab.udp_sent[SERVER] - before;
    assert!(sent > 0 && sent as u64 <= 2 * window, "{sent} bytes at once");
    let mut at = 0;
    lab.until(5_000, "the rest", |lab| lab.read(CLIENT, stream, &mut at));
}

#[test]
fn a_session_that_goes_back_to_a_connection_that_is_gone_knows_it() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    lab.close(1);
    lab.run(5);
    lab.go(PathAddress::udp(lab.homes[SERVER]));
    lab.until(1_000, "the peer's move", |lab| lab.path(SERVER).connection().is_none());
    // Nobody answers there.
    lab.udp_works = false;
    lab.until(5_000, "the way back", |lab| lab.path(SERVER).connection().is_some());
    lab.until(40_000, "the end", |lab| lab.failure(SERVER).is_some());
    assert_eq!(lab.failure(SERVER), Some(ErrorCode::WebSocketClosed));
}

#[test]
fn what_waits_for_no_room_overdraws_a_connection_so_far_and_no_further() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    let server = &mut lab.ends[SERVER];
    let taken = (0..1_000).take_while(|_| server.charge(&path, 1_200)).count() * 1_200;
    assert!((ROOM..=2 * ROOM + 2 * 1_200).contains(&taken), "{taken} bytes");
    let now = lab.now();
    lab.ends[SERVER].connection_writable(now, 1, taken);
    assert!(lab.ends[SERVER].charge(&path, 1_200), "room is back");
}

#[test]
fn a_connection_that_is_slow_to_answer_is_waited_for() {
    let mut lab = Lab::new();
    lab.connect(PathAddress::udp(lab.homes[SERVER]));
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(100);
    let path = lab.open(1, 100_000);
    lab.go(path);
    lab.until(1_000, "the peer's move", |lab| lab.path(SERVER).connection().is_some());
    // Nothing of the connection passes, and it is open.
    lab.pipes.get_mut(&1).unwrap().rate = 0;
    lab.udp_works = false;
    for _ in 0..12 {
        lab.run(1_000);
        assert!(lab.path(SERVER).connection().is_some(), "at {} ms", lab.millis);
    }
    lab.pipes.get_mut(&1).unwrap().rate = 100_000;
    let told = |event: &Event| matches!(event, Event::PathChange { .. });
    lab.until(100, "the answer", |lab| lab.events[SERVER].iter().any(told));
    lab.carry(SERVER, 1 << 20, 1_000);
    lab.carry(CLIENT, 1 << 20, 1_000);
}
