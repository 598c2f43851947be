//! Two live endpoints, a network that does what the input says, and applications that do, too
//! (PROTOCOL.md sections 2, 3 and 5): nothing panics, and no byte is delivered that was not written there.
//!
//! Input: operations of two bytes, a kind and a value.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use stt_proto::{
    Close, ConnectOptions, Direction, Endpoint, EndpointConfig, Event, Instant, ListenConfig, Now,
    PathAddress, ReadOutcome, SessionConfig, SessionHandle, StreamId, StreamOptions,
};
use stt_wire::{CLEAR_OVERHEAD, packet::seal_checksums};

use crate::peers::{identity, network};

/// Datagrams that are remembered, to be sent again.
const REMEMBERED: usize = 64;
/// Operations of one run: a handshake is dear, and long inputs only repeat themselves.
const MOST_OPERATIONS: usize = 400;

/// Plays the input, then lets the network be good and looks whether both sides come to rest.
pub fn run(data: &[u8]) {
    let mut play = Play::new();
    play.carry(|_, _| Fate::Deliver);
    for pair in data.chunks_exact(2).take(MOST_OPERATIONS) {
        play.act(pair[0], pair[1]);
    }
    for _ in 0..40 {
        play.carry(|_, _| Fate::Deliver);
        play.pass(Duration::from_millis(250));
    }
    play.read_all();
}

/// A talk without harm, and each kind of harm in the middle of one.
pub fn seeds() -> Vec<Vec<u8>> {
    // Opens a stream, writes, carries, reads; ends.
    const TALK: [u8; 16] = [0, 0, 1, 200, 2, 0, 1, 90, 2, 0, 3, 1, 5, 0, 2, 0];
    let mut seeds = vec![TALK.repeat(4)];
    for harm in 4..20 {
        let mut input = TALK.to_vec();
        for value in [0, 1, 37, 130, 255] {
            input.extend([1, 60, harm, value, 2, 0]);
        }
        input.extend(TALK);
        seeds.push(input);
    }
    seeds
}

enum Fate {
    Deliver,
    Drop,
    Twice,
    /// One bit is turned, and where asked the checksums are made good again.
    Flip {
        at: usize,
        mend: bool,
    },
    Cut(usize),
}

struct Play {
    ends: [Endpoint; 2],
    /// The session of each side, once it has told of one.
    sessions: [Option<SessionHandle>; 2],
    streams: [Vec<StreamId>; 2],
    written: [BTreeMap<StreamId, u64>; 2],
    read: [BTreeMap<StreamId, u64>; 2],
    nanos: u64,
    seen: Vec<(usize, Vec<u8>)>,
    buffer: Vec<u8>,
}

impl Play {
    fn new() -> Self {
        let config = SessionConfig {
            recv_buffer: 64 * 1024,
            stream_recv_buffer: 32 * 1024,
            max_concurrent_streams: 8,
            key_update_packets: 16,
            // The search for larger datagrams finds some, and its probes are not most of the work.
            mtu: 4_000,
            ..SessionConfig::default()
        };
        let endpoint = |tag: u8| {
            let config = EndpointConfig { session: config.clone(), ..EndpointConfig::default() };
            Endpoint::new(config, identity(tag), vec![network()], [tag; 32])
        };
        let mut ends = [endpoint(2), endpoint(3)];
        ends[1].set_listening(Some(ListenConfig { max_sessions: 4, ..ListenConfig::default() }));
        let mut play = Self {
            ends,
            sessions: [None; 2],
            streams: Default::default(),
            written: Default::default(),
            read: Default::default(),
            nanos: 1,
            seen: Vec::new(),
            buffer: vec![0; 65_536],
        };
        play.connect();
        play
    }

    fn now(&self) -> Now {
        Now { mono: Instant::from_nanos(self.nanos), unix_ms: 1_800_000_000_000 }
    }

    fn act(&mut self, kind: u8, value: u8) {
        let (now, side) = (self.now(), usize::from(value & 1));
        let number = usize::from(value);
        match kind % 20 {
            0 => self.open(side, value),
            1 => self.write(side, number),
            2 => self.carry(|_, _| Fate::Deliver),
            3 => self.read_all(),
            4 => self.carry(|n, _| if n % 3 == number % 3 { Fate::Drop } else { Fate::Deliver }),
            5 => self.on_stream(side, value, |end, session, stream| {
                let _ = end.finish(now, session, stream);
            }),
            6 => self.on_stream(side, value, |end, session, stream| {
                let _ = end.reset(now, session, stream, u16::from(value));
            }),
            7 => self.on_stream(side, value, |end, session, stream| {
                let _ = end.stop(now, session, stream, u16::from(value));
            }),
            8 => {
                self.carry(|_, len| Fate::Flip { at: number * 31 % (8 * len.max(1)), mend: false })
            }
            9 => self.carry(|_, len| Fate::Flip { at: number * 31 % (8 * len.max(1)), mend: true }),
            10 => self.carry(|_, len| Fate::Cut(number * len / 256)),
            11 => self.carry(|_, _| Fate::Twice),
            12 => self.again(number),
            13 => self.pass(Duration::from_millis(u64::from(value))),
            14 => self.pass(Duration::from_secs(u64::from(value) / 16)),
            15 => self.connect(),
            16 => {
                let listen = value >= 64;
                self.ends[1].set_listening(listen.then(ListenConfig::default));
            }
            17 => {
                if let (true, Some(session)) = (value >= 192, self.sessions[side]) {
                    let drain = Duration::from_millis(number as u64);
                    self.ends[side].close(now, session, Close::graceful(drain));
                }
            }
            18 => {
                if let Some(session) = self.sessions[side] {
                    let _ = self.ends[side].ping(now, session);
                }
            }
            _ => {
                let mut noise: Vec<u8> = (0..number * 6).map(|i| (i * number) as u8).collect();
                self.ends[side].handle_datagram(now, address(1 - side), None, &mut noise);
            }
        }
        self.events();
    }

    fn connect(&mut self) {
        let now = self.now();
        let _ = self.ends[0].connect(now, address(1), ConnectOptions::default());
    }

    fn open(&mut self, side: usize, value: u8) {
        let Some(session) = self.sessions[side] else { return };
        let options = StreamOptions {
            direction: if value & 2 == 0 {
                Direction::Bidirectional
            } else {
                Direction::Unidirectional
            },
            purpose: "x".repeat(usize::from(value)),
            name: (value & 4 != 0).then_some(u32::from(value >> 3)),
            priority: value >> 5,
            deadline: value
                .is_multiple_of(5)
                .then(|| Duration::from_millis(1 + u64::from(value) * 8)),
        };
        let now = self.now();
        if let Ok(stream) = self.ends[side].open_stream(now, session, options) {
            self.streams[side].push(stream);
        }
    }

    fn write(&mut self, side: usize, number: usize) {
        let now = self.now();
        let Some(session) = self.sessions[side] else { return };
        let Some(stream) = pick(&self.streams[side], number) else { return };
        let from = self.written[side].entry(stream).or_default();
        let len = (number * number / 8) as u64;
        let bytes: Bytes = (*from..*from + len).map(|at| byte_at(side, stream, at)).collect();
        if self.ends[side].write(now, session, stream, bytes).is_ok() {
            *from += len;
        }
    }

    fn on_stream(
        &mut self,
        side: usize,
        value: u8,
        act: impl FnOnce(&mut Endpoint, SessionHandle, StreamId),
    ) {
        let Some(session) = self.sessions[side] else { return };
        let Some(stream) = pick(&self.streams[side], usize::from(value)) else { return };
        act(&mut self.ends[side], session, stream);
    }

    /// Reads what there is on every stream of both sides: the right bytes, and no more than were written.
    fn read_all(&mut self) {
        let now = self.now();
        for side in [0, 1] {
            let Some(session) = self.sessions[side] else { continue };
            for stream in &self.streams[side] {
                let at = self.read[side].entry(*stream).or_default();
                loop {
                    let bytes = match self.ends[side].read(session, *stream, 10_000) {
                        Ok(ReadOutcome::Chunk(bytes)) => bytes,
                        Ok(ReadOutcome::Skipped { offset, len }) => {
                            assert_eq!(offset, *at, "a gap of {stream:?} in another place");
                            *at += len;
                            continue;
                        }
                        _ => break,
                    };
                    for byte in &bytes {
                        assert_eq!(
                            *byte,
                            byte_at(1 - side, *stream, *at),
                            "byte {at} of {stream:?}"
                        );
                        *at += 1;
                    }
                    self.ends[side].consumed(now, session, *stream, bytes.len() as u64);
                }
                let written = self.written[1 - side].get(stream).copied().unwrap_or(0);
                assert!(*at <= written, "{at} bytes read, {written} written");
            }
        }
        self.events();
    }

    /// Carries what both sides want to send until neither has any more.
    fn carry(&mut self, fate: impl Fn(usize, usize) -> Fate) {
        let mut count = 0;
        loop {
            let before = count;
            for from in [0, 1] {
                let now = self.now();
                while let Some(transmit) = self.ends[from].poll_transmit(now, 1, &mut self.buffer) {
                    let mut datagram = self.buffer[..transmit.len].to_vec();
                    self.seen.push((from, datagram.clone()));
                    let fate = fate(count, datagram.len());
                    count += 1;
                    let copies = match fate {
                        Fate::Deliver => 1,
                        Fate::Drop => 0,
                        Fate::Twice => 2,
                        Fate::Flip { at, mend } => {
                            datagram[at / 8] ^= 1 << (at % 8);
                            if mend && datagram.len() >= CLEAR_OVERHEAD {
                                seal_checksums(&mut datagram);
                            }
                            1
                        }
                        Fate::Cut(len) => {
                            datagram.truncate(len);
                            1
                        }
                    };
                    for _ in 0..copies {
                        let mut copy = datagram.clone();
                        self.ends[1 - from].handle_datagram(now, address(from), None, &mut copy);
                    }
                }
                self.events();
            }
            let extra = self.seen.len().saturating_sub(REMEMBERED);
            self.seen.drain(..extra);
            // Two sides that answer each other for ever would be a finding.
            assert!(count < 20_000, "the two sides never come to rest");
            if count == before {
                return;
            }
            self.pass(Duration::from_millis(1));
        }
    }

    /// Gives an old datagram to the side that it was for, once more.
    fn again(&mut self, number: usize) {
        let now = self.now();
        if self.seen.is_empty() {
            return;
        }
        let (from, mut datagram) = self.seen[number % self.seen.len()].clone();
        self.ends[1 - from].handle_datagram(now, address(from), None, &mut datagram);
    }

    fn pass(&mut self, time: Duration) {
        self.nanos += time.as_nanos() as u64;
        let now = self.now();
        for end in &mut self.ends {
            end.handle_timeout(now);
        }
        self.events();
    }

    fn events(&mut self) {
        for side in [0, 1] {
            while let Some(event) = self.ends[side].poll_event() {
                match event {
                    // The first stays the one that is used: later ones are there to be in its way.
                    Event::Connected { session, .. } => {
                        self.sessions[side].get_or_insert(session);
                    }
                    Event::StreamOpened { session, stream, .. }
                        if self.sessions[side] == Some(session) =>
                    {
                        self.streams[side].push(stream);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn address(side: usize) -> PathAddress {
    PathAddress::udp(([10, 0, 0, side as u8 + 1], 7788).into())
}

fn pick(streams: &[StreamId], number: usize) -> Option<StreamId> {
    streams.get(number / 2 % streams.len().max(1)).copied()
}

/// What stands at a place of a stream: different for each side, stream and offset.
fn byte_at(side: usize, stream: StreamId, at: u64) -> u8 {
    (at.wrapping_mul(167) >> 3) as u8 ^ (stream.as_u32() as u8).wrapping_mul(29) ^ side as u8
}
