//! Two endpoints, a UDP link between them that can be cut, and connections that carry what they are given
//! in order, at a rate, until they are closed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_wire::ErrorCode;

use crate::Endpoint;
use crate::config::{ConnectOptions, EndpointConfig, ListenConfig};
use crate::event::{Event, SessionHandle};
use crate::path::{Connection, PathAddress, PathError, SendError};
use crate::streams::{ReadOutcome, StreamId, StreamOptions};
use crate::time::{Instant, Now};

const SHARED: [u8; 32] = *b"\x31\xd2\x7c\x05\x99\xae\x40\xf3\x6b\x18\xc4\x2d\x87\xe5\x0a\x76\xbf\x53\x91\x2e\xda\x64\x08\xb9\xf7\x1c\x4a\xe0\x25\x83\x6d\xcb";
pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;
pub(super) const ROOM: usize = 256 * 1024;

/// A connection's two directions: what was handed over and has not left yet, with when it arrives.
pub(super) struct Pipe {
    /// Bytes that leave in a millisecond.
    pub(super) rate: usize,
    pub(super) ways: [VecDeque<(u64, Vec<u8>)>; 2],
    /// Bytes handed over and not yet told as passed on, at most, in either direction.
    pub(super) most: [usize; 2],
    pub(super) held: [usize; 2],
    /// Messages that each side has sent and that have arrived, and which of those are dropped there.
    pub(super) carried: [u64; 2],
    pub(super) dropped: [BTreeSet<u64>; 2],
}

pub(super) struct Lab {
    pub(super) ends: [Endpoint; 2],
    pub(super) events: [Vec<Event>; 2],
    pub(super) sessions: [Option<SessionHandle>; 2],
    pub(super) millis: u64,
    pub(super) udp: VecDeque<(u64, usize, Vec<u8>)>,
    pub(super) udp_works: bool,
    pub(super) datagrams: [u64; 2],
    /// Bytes of UDP that each side has sent, and that have come to it.
    pub(super) udp_sent: [usize; 2],
    pub(super) udp_heard: [usize; 2],
    /// What a side's system says to all that it sends by UDP.
    pub(super) udp_refused: [Option<SendError>; 2],
    /// Whether nobody listens at a side's UDP port, so that its host refuses what comes.
    pub(super) udp_closed: [bool; 2],
    /// Whether what goes to a side by UDP arrives, while UDP works at all.
    pub(super) udp_reaches: [bool; 2],
    pub(super) pipes: BTreeMap<u64, Pipe>,
    pub(super) homes: [SocketAddr; 2],
}

pub(super) fn endpoint(number: u8, config: EndpointConfig) -> Endpoint {
    let keys = NetworkKeys::new(&SharedSeed::new(&SHARED).unwrap());
    let seed = SHARED.map(|byte| byte.wrapping_mul(number | 1).wrapping_add(number));
    let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed).unwrap());
    Endpoint::new(config, identity, vec![keys], [number; 32])
}

pub(super) fn pattern(stream: StreamId, at: u64, len: usize) -> Vec<u8> {
    (at..at + len as u64).map(|i| (i.wrapping_mul(31) ^ u64::from(stream.as_u32())) as u8).collect()
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::with(EndpointConfig::default())
    }

    pub(super) fn with(config: EndpointConfig) -> Self {
        let mut ends = [endpoint(3, config.clone()), endpoint(5, config)];
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
            udp_refused: [None, None],
            udp_closed: [false, false],
            udp_reaches: [true, true],
            pipes: BTreeMap::new(),
            homes: ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:7788".parse().unwrap()],
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: Instant::from_nanos(1 + self.millis * 1_000_000), unix_ms: 1_800_000_000_000 }
    }

    /// Opens a connection, which both sides know by the same number.
    pub(super) fn open(&mut self, id: u64, rate: usize) -> PathAddress {
        for side in [CLIENT, SERVER] {
            let remote = self.homes[1 - side];
            self.ends[side].open_connection(Connection { id, remote }, ROOM);
        }
        let ways = [VecDeque::new(), VecDeque::new()];
        let dropped = [BTreeSet::new(), BTreeSet::new()];
        let (most, held, carried) = ([0; 2], [0; 2], [0; 2]);
        self.pipes.insert(id, Pipe { rate, ways, most, held, carried, dropped });
        PathAddress::Connection(Connection { id, remote: self.homes[SERVER] })
    }

    /// Closes it at both sides; what is under way is gone.
    pub(super) fn close(&mut self, id: u64) {
        self.pipes.remove(&id);
        let now = self.now();
        self.ends.iter_mut().for_each(|end| end.close_connection(now, id));
    }

    pub(super) fn connect(&mut self, path: PathAddress) {
        self.sessions[CLIENT] = Some(self.begin(path, ConnectOptions::default()));
    }

    pub(super) fn begin(&mut self, path: PathAddress, options: ConnectOptions) -> SessionHandle {
        let now = self.now();
        self.ends[CLIENT].connect(now, path, options).unwrap()
    }

    /// Connects by UDP.
    pub(super) fn connect_by_udp(&mut self) {
        self.connect(PathAddress::udp(self.homes[SERVER]));
        self.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
        self.run(100);
    }

    pub(super) fn send(&mut self) {
        for side in [CLIENT, SERVER] {
            let now = self.now();
            let mut buf = vec![0; 65_536];
            while let Some(transmit) = self.ends[side].poll_transmit(now, 10, &mut buf) {
                let bytes = &buf[..transmit.len];
                match transmit.path {
                    path @ PathAddress::Udp { .. } if self.udp_refused[side].is_some() => {
                        let error = self.udp_refused[side].unwrap();
                        self.ends[side].handle_send_error(now, path, error);
                    }
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

    pub(super) fn turn(&mut self) {
        self.send();
        self.millis += 1;
        let now = self.now();
        while self.udp.front().is_some_and(|(at, ..)| *at <= self.millis) {
            let (_, to, mut bytes) = self.udp.pop_front().unwrap();
            if self.udp_closed[to] {
                let (refused, quoted) = (PathError::Refused, Some(&bytes[..128.min(bytes.len())]));
                self.ends[1 - to].handle_path_error(now, self.homes[to], refused, quoted);
                continue;
            }
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
                    pipe.carried[side] += 1;
                    if pipe.dropped[side].contains(&(pipe.carried[side] - 1)) {
                        continue;
                    }
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

    pub(super) fn run(&mut self, millis: u64) {
        (0..millis).for_each(|_| self.turn());
    }

    pub(super) fn until(
        &mut self,
        limit: u64,
        what: &str,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> u64 {
        let begun = self.millis;
        while !done(self) {
            assert!(self.millis - begun < limit, "{what}: not within {limit} ms");
            self.turn();
        }
        self.millis - begun
    }

    pub(super) fn write(&mut self, side: usize, len: usize) -> StreamId {
        let (now, session) = (self.now(), self.sessions[side].unwrap());
        let stream = self.ends[side].open_stream(now, session, StreamOptions::default()).unwrap();
        let bytes = Bytes::from(pattern(stream, 0, len));
        self.ends[side].write(now, session, stream, bytes).unwrap();
        self.ends[side].finish(now, session, stream).unwrap();
        stream
    }

    /// Reads what has come of a stream; true once that was all of it.
    pub(super) fn read(&mut self, side: usize, stream: StreamId, at: &mut u64) -> bool {
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
    pub(super) fn carry(&mut self, from: usize, len: usize, limit: u64) -> u64 {
        let stream = self.write(from, len);
        let mut at = 0;
        let took = self.until(limit, "a transfer", |lab| lab.read(1 - from, stream, &mut at));
        assert_eq!(at, len as u64);
        took
    }

    pub(super) fn moved(&self, side: usize) -> usize {
        self.events[side].iter().filter(|event| matches!(event, Event::Moved { .. })).count()
    }

    pub(super) fn go(&mut self, path: PathAddress) {
        let (now, session) = (self.now(), self.sessions[CLIENT].unwrap());
        self.ends[CLIENT].move_session(now, session, path).unwrap();
    }

    pub(super) fn path(&self, side: usize) -> PathAddress {
        self.ends[side].path_of(self.sessions[side].unwrap()).unwrap()
    }

    /// Nobody listens at the server's port any more, nor sends from it.
    pub(super) fn closes_at_the_server(&mut self) {
        self.udp_closed[SERVER] = true;
        self.udp_reaches[CLIENT] = false;
    }

    /// How often a side was told that its path is silent, and that it is not any more.
    pub(super) fn silences(&self, side: usize) -> [usize; 2] {
        [true, false].map(|wanted| {
            let told = |event: &&Event| matches!(event, Event::PathSilence { silent, .. } if *silent == wanted);
            self.events[side].iter().filter(told).count()
        })
    }

    /// One probe timeout of a side's session.
    pub(super) fn pto(&self, side: usize) -> u64 {
        let stats = self.ends[side].session_stats(self.sessions[side].unwrap()).unwrap();
        let variance = (4 * stats.rtt_var).max(Duration::from_millis(1));
        (stats.rtt + variance + Duration::from_millis(25)).as_millis() as u64 + 1
    }

    pub(super) fn failure(&self, side: usize) -> Option<ErrorCode> {
        self.events[side].iter().find_map(|event| match event {
            Event::ConnectFailed { error, .. } => Some(error.code),
            Event::SessionClosed { error, .. } => error.map(|error| error.code),
            _ => None,
        })
    }
}
