//! An endpoint and a peer that completes the handshake, holds the keys and keeps to no rule
//! (PROTOCOL.md sections 1, 4, 5 and 6): nothing panics or hangs, memory stays within what the
//! configuration allows, and in the end there is a typed close.
//!
//! Input: a byte that chooses who the victim is and how far the handshake comes, one that says how many of
//! the peer's frames break rules, then operations: a kind, and what the kind reads. Where the input has
//! ended, numbers that follow from it go on for a while.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use stt_proto::{
    Close, CongestionControl, ConnectOptions, Direction, Ecn, Endpoint, EndpointConfig, ErrorCode,
    Event, FrameType, Instant, ListenConfig, Message, Now, PathAddress, ReadOutcome, SessionConfig,
    SessionHandle, StreamId, StreamOptions,
};

use crate::{
    heap,
    hostile::{HostilePeer, Manner, Part, Tap},
    mutate::Random,
    peers::{identity, network},
};

use self::legal::Ledger;
use super::input::Input;

mod frames;
mod legal;

/// Operations of one run.
const MOST_OPERATIONS: usize = 400;
/// As many go on where the input has ended.
const LEAST_OPERATIONS: usize = 120;
/// The victim's window for a stream, and for the session.
const WINDOWS: [u64; 2] = [32 * 1024, 64 * 1024];
/// Its room for messages, each way.
const MESSAGES: u64 = 16 * 1024;
/// Bytes that its application writes and that are not acknowledged, over all streams.
const SEND_BUFFER: u64 = 64 * 1024;
/// Its memory for received bytes that is kept for use again.
const POOL: usize = 256 * 1024;
/// What the victim may hold, and this module for the peer: a block of 64 KiB for each of 32 streams, the
/// pool, 4096 runs out of order, written and sent bytes, messages, and the two themselves.
const MOST_HEAP: isize = 3 << 20;
/// What may be left of a session: tables that do not shrink, and what the endpoint keeps of handshakes.
const MOST_LEFT: isize = 128 << 10;

/// Plays the input, then falls silent and waits for the end.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(mut play) = Play::start(input.u8(), input.u8()) else { return };
    for count in 0..MOST_OPERATIONS {
        if input.is_empty() && count >= LEAST_OPERATIONS {
            break;
        }
        play.act(&mut input);
        play.check();
    }
    play.end();
}

/// Each way to begin, with few and with many frames that break rules.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random::new(64);
    let mut seeds = Vec::new();
    for head in [0_u8, 1, 2, 5, 8 + 1, 16, 24 + 1, 0x22, 0x43] {
        for malice in [0, 4, 12, 64] {
            let mut input = vec![head, malice];
            input.extend((0..1_000).map(|_| random.next_u64() as u8));
            seeds.push(input);
        }
    }
    seeds
}

/// Kinds of operations, see [`Play::act`].
const KINDS: usize = 24;

struct Play {
    victim: Endpoint,
    peer: HostilePeer,
    /// What the victim's application knows of the session.
    session: SessionHandle,
    told: Told,
    streams: Vec<StreamId>,
    unacked: BTreeMap<StreamId, (u64, u64)>,
    ledger: Ledger,
    /// Which side the victim is on: 0 for the initiator.
    side: usize,
    /// Of 256 frames of the peer so many are arbitrary.
    malice: u8,
    nanos: u64,
    buffer: Vec<u8>,
    last: Vec<u8>,
    heap: isize,
}

/// What the application was told of the beginning and the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Nothing,
    Connected,
    Ended,
}

impl Play {
    /// Lets two endpoints shake hands, wholly or in part, and puts the peer in the place of one.
    fn start(flags: u8, malice: u8) -> Option<Self> {
        let heap = heap::live();
        let buffer = vec![0; 65_536];
        let side = usize::from(flags & 1);
        let most = if flags & 2 == 0 { 40 } else { 2 + usize::from(flags >> 5 & 3) };
        let congestion = match flags >> 3 & 3 {
            0 | 3 => CongestionControl::Cubic,
            1 => CongestionControl::Bbr,
            _ => CongestionControl::NewReno,
        };
        let session = SessionConfig {
            stream_recv_buffer: WINDOWS[0],
            recv_buffer: WINDOWS[1],
            max_concurrent_streams: 8,
            key_update_packets: 16,
            datagram_send_buffer: MESSAGES,
            datagram_recv_buffer: MESSAGES,
            mtu: 1_400,
            congestion,
            ..SessionConfig::default()
        };
        let endpoint = |tag: u8| {
            let config = EndpointConfig {
                session: session.clone(),
                receive_blocks: POOL,
                ..EndpointConfig::default()
            };
            Endpoint::new(config, identity(tag), vec![network()], [tag; 32])
        };
        let mut ends = [endpoint(2), endpoint(3)];
        let tap = Tap::default();
        ends[side].set_tracer(Some(Box::new(tap.clone())));
        let listen = ListenConfig { authorize: flags & 4 != 0, ..ListenConfig::default() };
        ends[1].set_listening(Some(listen));
        let mut handshake = Handshake { ends, buffer, session: [None; 2], told: Told::Nothing };
        handshake.carry(side, most)?;
        let Handshake { ends, buffer, session, told } = handshake;
        let [first, second] = ends;
        let peer = HostilePeer::new(tap.directions()?, 1 - side);
        Some(Self {
            victim: if side == 0 { first } else { second },
            peer,
            session: session[side]?,
            told,
            streams: Vec::new(),
            unacked: BTreeMap::new(),
            ledger: Ledger::default(),
            side,
            malice: malice / 4,
            nanos: START,
            buffer,
            last: Vec::new(),
            heap,
        })
    }

    fn now(&self) -> Now {
        now(self.nanos)
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let now = self.now();
        let (victim, session) = (&mut self.victim, self.session);
        match usize::from(input.u8()) % KINDS {
            // The peer speaks: one frame, or several; most often as it should be sent.
            kind @ 0..=9 => {
                let count = if kind < 6 { 1 } else { 2 + usize::from(input.u8() % 6) };
                let parts: Vec<Part> = (0..count).map(|_| self.frame(input)).collect();
                self.say(&parts, Manner::default(), 0, None);
            }
            10 => {
                let part = self.frame(input);
                let manner = Manner {
                    skip: [0, 1, 300, 1 << 20][usize::from(input.u8() % 4)],
                    back: [0, 0, 1, 40][usize::from(input.u8() % 4)],
                    next_key: input.u8() < 64,
                    id: usize::from(input.u8() % 4),
                };
                let ecn = [None, Some(Ecn::Ect0), Some(Ecn::Ce)][usize::from(input.u8() % 3)];
                let place = input.u8() % 3;
                self.say(&[part], manner, place, ecn);
            }
            11 => {
                let mut datagram = self.last.clone();
                self.deliver(&mut datagram, 0, None);
            }
            // A flip of which no packet tells is one that the victim cannot follow.
            12 if self.peer.is_phase_used() || input.u8() < self.malice => self.peer.update_key(),
            // A peer that behaves for a moment: so many packets acknowledged, and bytes in order.
            13 => {
                let parts = [self.honest_ack(), self.legal_frame(input)];
                self.say(&parts, Manner::default(), 0, None);
            }
            // The victim's application.
            14 => self.open(input.u8()),
            15 => self.write(input.u8()),
            16 => self.read(),
            17 => {
                let (what, stream) = (input.u8(), self.pick(input.u8()));
                let Some(stream) = stream else { return };
                let victim = &mut self.victim;
                let _ = match what % 3 {
                    0 => victim.finish(now, session, stream).is_ok(),
                    1 => victim.reset(now, session, stream, 7).is_ok(),
                    _ => victim.stop(now, session, stream, 8).is_ok(),
                };
            }
            18 => {
                let frame_type = FrameType(input.u8() | 0x80);
                victim.handle_frames(now, session, frame_type, true);
                let bytes = Bytes::from(vec![1; usize::from(input.u8()) * 5]);
                let _ = victim.send_message(now, session, Message { frame_type, bytes });
                while victim.read_message(session).is_some() {}
            }
            19 => {
                if let Some(token) = victim.ping(now, session)
                    && input.u8() < 64
                {
                    victim.cancel_ping(now, session, token);
                }
            }
            20 => match input.u8() {
                0..=99 => victim.accept(now, session),
                100..=119 => victim.refuse(now, session, ErrorCode::ConnectionRefused),
                120..=247 => {
                    let _ = victim.move_session(now, session, address(input.u8() % 3));
                }
                _ => {
                    let drain = Duration::from_millis(u64::from(input.u8()));
                    victim.close(now, session, Close::graceful(drain));
                }
            },
            21 => self.pass(Duration::from_millis(u64::from(input.u8()))),
            22 => self.pass(Duration::from_millis(u64::from(input.u8()) * 16)),
            // Bytes in order, whatever the credit; what was taken of them is within it all the same.
            23 if input.u8() < 40 => {
                let stream = self.sending(input.u8());
                for _ in 0..input.u8() % 80 {
                    let part = self.more(stream);
                    self.say(&[part], Manner::default(), 0, None);
                }
                self.read();
            }
            _ => self.pass(Duration::from_micros(u64::from(input.u8()))),
        }
        self.drain();
    }

    fn say(&mut self, parts: &[Part], manner: Manner, place: u8, ecn: Option<Ecn>) {
        let datagram = self.peer.say(parts, manner);
        self.last.clone_from(&datagram);
        self.deliver(&mut { datagram }, place, ecn);
    }

    fn deliver(&mut self, datagram: &mut [u8], place: u8, ecn: Option<Ecn>) {
        self.victim.handle_datagram(now(self.nanos), address(place), ecn, datagram);
    }

    fn pick(&self, number: u8) -> Option<StreamId> {
        self.streams.get(usize::from(number) % self.streams.len().max(1)).copied()
    }

    fn open(&mut self, value: u8) {
        let options = StreamOptions {
            direction: if value & 1 == 0 {
                Direction::Bidirectional
            } else {
                Direction::Unidirectional
            },
            purpose: "victim".to_owned(),
            name: (value & 2 != 0).then_some(u32::from(value >> 4)),
            priority: value >> 5,
            deadline: (value & 4 != 0).then(|| Duration::from_millis(1 + u64::from(value))),
        };
        if let Ok(stream) = self.victim.open_stream(self.now(), self.session, options) {
            self.streams.push(stream);
        }
    }

    fn write(&mut self, value: u8) {
        let Some(stream) = self.pick(value) else { return };
        let len = u64::from(value) * 64;
        let held: u64 = self.unacked.values().map(|(written, acked)| written - acked).sum();
        let bytes = Bytes::from(vec![value; len as usize]);
        if held + len <= SEND_BUFFER
            && self.victim.write(self.now(), self.session, stream, bytes).is_ok()
        {
            self.unacked.entry(stream).or_default().0 += len;
        }
    }

    /// Reads all there is and gives the credit back.
    fn read(&mut self) {
        let now = self.now();
        for stream in &self.streams {
            let mut total = 0;
            while let Ok(ReadOutcome::Chunk(bytes)) = self.victim.read(self.session, *stream, 9_000)
            {
                total += bytes.len() as u64;
                self.victim.consumed(now, self.session, *stream, bytes.len() as u64);
            }
            // Credit is returned between reads, but the peer does not speak then.
            assert!(total <= WINDOWS[0], "{total} bytes of one stream at once");
        }
    }

    /// Lets the time go by, timer for timer.
    fn pass(&mut self, time: Duration) {
        let until = self.nanos + time.as_nanos() as u64;
        for turn in 0.. {
            let Some(at) = self.victim.poll_timeout().map(nanos_of).filter(|at| *at <= until)
            else {
                break;
            };
            assert!(turn < 20_000, "timers that come to no end");
            self.nanos = self.nanos.max(at);
            self.victim.handle_timeout(self.now());
            self.drain();
        }
        self.nanos = until;
        self.victim.handle_timeout(self.now());
    }

    /// Takes what the victim sends and tells.
    fn drain(&mut self) {
        let now = self.now();
        for count in 0.. {
            let Some(transmit) = self.victim.poll_transmit(now, 1, &mut self.buffer) else { break };
            assert!(count < 1_000, "the victim sends without end");
            self.peer.hear(&mut self.buffer[..transmit.len]);
        }
        while let Some(event) = self.victim.poll_event() {
            self.on_event(event);
        }
        let due = self.victim.poll_timeout().is_some_and(|at| at <= now.mono);
        assert!(!due || self.settles(), "a timer that is due and changes nothing");
    }

    /// Whether acting on a timer that is due leaves none that is.
    fn settles(&mut self) -> bool {
        let now = self.now();
        self.victim.handle_timeout(now);
        self.victim.poll_timeout().is_none_or(|at| at > now.mono)
            || self.victim.poll_transmit(now, 1, &mut self.buffer).is_some_and(|transmit| {
                self.peer.hear(&mut self.buffer[..transmit.len]);
                true
            })
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected { session, .. } if session == self.session => {
                assert_eq!(self.told, Told::Nothing, "connected");
                self.told = Told::Connected;
            }
            Event::ConnectFailed { session, .. } if session == self.session => {
                assert_eq!(self.told, Told::Nothing, "a connect failed");
                self.told = Told::Ended;
            }
            Event::SessionClosed { session, .. } if session == self.session => {
                assert_ne!(self.told, Told::Ended, "closed twice");
                self.told = Told::Ended;
            }
            Event::StreamOpened { session, stream, .. } if session == self.session => {
                self.streams.push(stream);
                assert!(self.told == Told::Connected, "{:?}: a stream opened", self.told);
            }
            Event::StreamReleased { session, stream, acked } if session == self.session => {
                let (written, before) = self.unacked.entry(stream).or_default();
                assert!((*before..=*written).contains(&acked), "{acked} of {written} released");
                *before = acked;
            }
            Event::StreamClosed { stream, .. } => {
                self.streams.retain(|other| *other != stream);
                self.unacked.remove(&stream);
            }
            _ => {}
        }
    }

    fn check(&mut self) {
        let held = heap::live() - self.heap;
        assert!(held <= MOST_HEAP, "{held} bytes on the heap");
        let queued = self.victim.queued_messages(self.session);
        assert!(queued <= MESSAGES, "{queued} bytes of messages wait");
        let stats = self.victim.stats();
        assert!(stats.sessions <= 1 && stats.half_open <= 1, "{stats:?}");
        let open = self.streams.len();
        assert!(open <= 4 * 8 + 1, "{open} streams open");
    }

    /// The peer says no more. The session must end, the application hear of it, and nothing remain.
    fn end(mut self) {
        self.read();
        let begin = self.nanos;
        let mut turns = 0;
        while self.victim.stats().sessions > 0 {
            turns += 1;
            assert!(turns < 20_000, "a session that never ends");
            let at = self.victim.poll_timeout().map(nanos_of).expect("a session has a timer");
            self.nanos = self.nanos.max(at);
            self.victim.handle_timeout(self.now());
            self.drain();
        }
        let took = Duration::from_nanos(self.nanos - begin);
        assert!(took <= Duration::from_secs(60), "silence for {took:?}");
        assert_ne!(self.told, Told::Connected, "the application was not told of the end");
        self.victim.release(self.session);
        // What was lingering goes; memory that lies around goes with it.
        self.pass(Duration::from_secs(60));
        assert!(self.victim.session_stats(self.session).is_none(), "the session is still there");
        let Self { victim, heap, .. } = self;
        let left = heap::live() - heap;
        assert!(left <= MOST_LEFT + 65_536, "{left} bytes left of a session");
        drop(victim);
    }
}

/// Two honest endpoints.
struct Handshake {
    ends: [Endpoint; 2],
    buffer: Vec<u8>,
    session: [Option<SessionHandle>; 2],
    told: Told,
}

impl Handshake {
    /// Carries at most so many datagrams, one of each side in turn, and listens to the events of `side`.
    fn carry(&mut self, side: usize, most: usize) -> Option<()> {
        let now = now(START);
        // As the victim sees it the peer is at 0, and the other way round the victim at 9.
        let there = if side == 0 { address(0) } else { address(9) };
        self.session[0] = self.ends[0].connect(now, there, ConnectOptions::default()).ok();
        let (mut count, mut quiet, mut from) = (0, 0, 1);
        while count < most && quiet < 2 {
            (quiet, from) = (quiet + 1, 1 - from);
            while count < most
                && let Some(sent) = self.ends[from].poll_transmit(now, 1, &mut self.buffer)
            {
                let at = if from == side { address(9) } else { address(0) };
                let datagram = &mut self.buffer[..sent.len];
                self.ends[1 - from].handle_datagram(now, at, None, datagram);
                (count, quiet) = (count + 1, 0);
            }
            while let Some(event) = self.ends[side].poll_event() {
                match event {
                    Event::Incoming { session, .. } => self.session[side] = Some(session),
                    Event::Connected { session, .. } => {
                        self.session[side] = Some(session);
                        self.told = Told::Connected;
                    }
                    _ => {}
                }
            }
        }
        self.session[side].map(|_| ())
    }
}

/// When every run begins.
const START: u64 = 1;

fn now(nanos: u64) -> Now {
    Now { mono: Instant::from_nanos(nanos), unix_ms: 1_800_000_000_000 }
}

fn nanos_of(at: Instant) -> u64 {
    at.as_nanos()
}

fn address(place: u8) -> PathAddress {
    PathAddress::udp(([10, 0, 0, place], 7788).into())
}
