//! Two endpoints face to face: hostile packets, rotation of keys, limits on what strangers cost.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use bytes::Bytes;
use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_wire::handshake::Hello;
use stt_wire::packet::seal_checksums;
use stt_wire::resumption::Resume;
use stt_wire::{AAD_LEN, CRC32_LEN, CloseReason, ErrorCode, FrameType, HEADER_LEN};

use super::{Endpoint, Entry};
use crate::config::{ConnectOptions, EndpointConfig, ListenConfig, SessionConfig};
use crate::event::{Event, SessionHandle};
use crate::path::{PathAddress, SendError};
use crate::session::Session;
use crate::streams::{ReadOutcome, StreamOptions};
use crate::ticket::ResumptionTicket;
use crate::time::{Instant, Now};

const SHARED: [u8; 32] = *b"\x8e\x11\x02\xc7\x5a\x93\xf4\x60\xb7\x2d\xe9\x14\x4f\xa8\x33\xdc\x01\x6b\x95\x7e\xf0\xc2\x48\x1a\xd6\x39\x87\xb4\x22\x5f\xeb\x70";

/// Client and server, joined by nothing but their order.
pub(super) struct Duo {
    pub(super) ends: [Endpoint; 2],
    pub(super) sessions: [SessionHandle; 2],
    pub(super) events: [Vec<Event>; 2],
    nanos: u64,
    /// What the client sent last.
    sent: Vec<Vec<u8>>,
}

fn endpoint(number: u8, config: EndpointConfig) -> Endpoint {
    let keys = NetworkKeys::new(&SharedSeed::new(&SHARED).unwrap());
    let seed = SHARED.map(|byte| byte.wrapping_mul(number | 1).wrapping_add(number));
    let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed).unwrap());
    Endpoint::new(config, identity, vec![keys], [number; 32])
}

pub(super) fn address(end: usize) -> PathAddress {
    PathAddress::udp(([10, 0, 0, end as u8 + 1], 7788).into())
}

impl Duo {
    pub(super) fn new(session: SessionConfig) -> Self {
        Self::within(session, [u64::MAX; 2])
    }

    /// Ends that may hold so much.
    pub(super) fn within(session: SessionConfig, max_memory: [u64; 2]) -> Self {
        let [client, server] = max_memory.map(|max_memory| {
            let session = session.clone();
            EndpointConfig { session, max_memory, ..EndpointConfig::default() }
        });
        let mut ends = [endpoint(3, client), endpoint(5, server)];
        ends[1].set_listening(Some(ListenConfig::default()));
        let now = Now { mono: Instant::from_nanos(1), unix_ms: 1_800_000_000_000 };
        let handle = ends[0].connect(now, address(1), ConnectOptions::default()).unwrap();
        let mut duo = Self {
            ends,
            sessions: [handle; 2],
            events: [Vec::new(), Vec::new()],
            nanos: 1,
            sent: Vec::new(),
        };
        duo.settle();
        let Some(Event::Connected { session, .. }) = duo.events[1].first() else {
            panic!("{:?}", duo.events)
        };
        duo.sessions[1] = *session;
        assert!(matches!(duo.events[0][..], [Event::Connected { .. }, Event::Ticket { .. }]));
        duo.events = [Vec::new(), Vec::new()];
        duo
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: Instant::from_nanos(self.nanos), unix_ms: 1_800_000_000_000 }
    }

    /// Carries datagrams both ways until neither side has any, a millisecond a turn.
    pub(super) fn settle(&mut self) {
        while !self.step() {
            self.pass(1);
        }
    }

    /// Carries what there is both ways; true when that was nothing.
    pub(super) fn step(&mut self) -> bool {
        let mut buffer = vec![0; 65_536];
        let mut quiet = true;
        for from in [0, 1] {
            let now = self.now();
            while let Some(transmit) = self.ends[from].poll_transmit(now, 1, &mut buffer) {
                quiet = false;
                let datagram = &mut buffer[..transmit.len];
                if from == 0 {
                    self.sent.push(datagram.to_vec());
                }
                self.ends[1 - from].handle_datagram(now, address(from), None, datagram);
            }
            while let Some(event) = self.ends[from].poll_event() {
                // The search for the path's datagram size is not what these tests are about.
                if !matches!(event, Event::MessageSize { .. }) {
                    self.events[from].push(event);
                }
            }
        }
        quiet
    }

    pub(super) fn pass(&mut self, milliseconds: u64) {
        self.nanos += milliseconds * 1_000_000;
        let now = self.now();
        for end in &mut self.ends {
            end.handle_timeout(now);
        }
    }

    fn session(&mut self, end: usize) -> &mut Session {
        match self.ends[end].slots.get_mut(self.sessions[end].index) {
            Some(Entry::Session(session)) => session,
            _ => panic!("no session"),
        }
    }

    /// Gives the server a packet that the client's keys have sealed.
    pub(super) fn forge(&mut self, frame_type: FrameType, stream: u32, plaintext: &[u8]) {
        let now = self.now();
        let mut packet = self.session(0).forge(now.mono, frame_type, stream, plaintext);
        self.ends[1].handle_datagram(now, address(0), None, &mut packet);
    }

    /// How the server's session ended.
    fn verdict(&mut self) -> Option<(CloseReason, ErrorCode)> {
        while let Some(event) = self.ends[1].poll_event() {
            self.events[1].push(event);
        }
        self.events[1].iter().find_map(|event| match event {
            Event::SessionClosed { reason, error, .. } => Some((*reason, error.unwrap().code)),
            _ => None,
        })
    }

    fn errors(&mut self) -> Vec<(ErrorCode, u64)> {
        while let Some(event) = self.ends[1].poll_event() {
            self.events[1].push(event);
        }
        self.events[1]
            .iter()
            .filter_map(|event| match event {
                Event::FrameError { session: Some(_), code, count, .. } => Some((*code, *count)),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn an_unknown_type_is_acknowledged_and_reported() {
    let mut duo = Duo::new(SessionConfig::default());
    duo.forge(FrameType(0x5C), 0, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(duo.session(1).owes_ack());
    assert_eq!(duo.errors(), [(ErrorCode::UnknownFrameType, 1)]);
    assert_eq!(duo.verdict(), None);
    // Those of the next second are told together, with the type of the newest.
    duo.forge(FrameType(0x5D), 0, &[1, 2, 3, 4, 5, 6, 7, 8]);
    duo.forge(FrameType(0x90), 0, &[1, 2, 3, 4, 5, 6, 7, 8]);
    duo.pass(1_100);
    duo.settle();
    assert_eq!(duo.errors(), [(ErrorCode::UnknownFrameType, 1), (ErrorCode::UnknownFrameType, 2)]);
    let types = duo.events[1].iter().filter_map(|event| match event {
        Event::FrameError { frame_type, .. } => *frame_type,
        _ => None,
    });
    assert_eq!(types.collect::<Vec<_>>(), [FrameType(0x5C), FrameType(0x90)]);
}

#[test]
fn malformed_packets_are_counted_not_acknowledged_and_sixteen_in_a_row_are_the_end() {
    let mut duo = Duo::new(SessionConfig::default());
    // What the handshake left to acknowledge goes first.
    duo.pass(100);
    duo.settle();
    assert!(!duo.session(1).owes_ack());
    for _ in 0..15 {
        duo.forge(FrameType::WINDOW, 4, &[]);
    }
    assert!(!duo.session(1).owes_ack());
    assert_eq!(duo.verdict(), None);
    // One good packet starts the count anew.
    duo.forge(FrameType::KEEP_ALIVE, 0, &[0; 9]);
    for _ in 0..15 {
        duo.forge(FrameType::WINDOW, 4, &[]);
    }
    assert_eq!(duo.verdict(), None);
    duo.forge(FrameType::WINDOW, 4, &[]);
    assert_eq!(duo.verdict(), Some((CloseReason::Error, ErrorCode::InvalidFrame)));
    assert_eq!(duo.errors()[0], (ErrorCode::InvalidFrame, 1), "told at once, then by the second");
    duo.settle();
    assert!(
        duo.events[0].iter().any(|event| matches!(
            event,
            Event::SessionClosed { reason: CloseReason::Error, error: Some(error), .. }
                if error.code == ErrorCode::InvalidFrame
        )),
        "the peer is told: {:?}",
        duo.events[0]
    );
}

#[test]
fn a_bundle_with_one_bad_part_acts_in_none() {
    let mut duo = Duo::new(SessionConfig::default());
    // A good STREAM_OPEN, and a WINDOW that lacks its body.
    let open = [0x20, 0, 4, 5, 0, 0, 0, 3, 0, 0];
    let bad = [0x15, 0, 4, 0, 0];
    duo.forge(FrameType::BUNDLE, 0, &[&open[..], &bad[..]].concat());
    assert_eq!(duo.errors(), [(ErrorCode::InvalidFrame, 1)]);
    assert!(!duo.events[1].iter().any(|event| matches!(event, Event::StreamOpened { .. })));
    duo.forge(FrameType::BUNDLE, 0, &open);
    duo.errors();
    assert!(duo.events[1].iter().any(|event| matches!(event, Event::StreamOpened { .. })));
}

#[test]
fn forgeries_are_counted_and_end_the_session_at_the_integrity_limit() {
    let session = SessionConfig { integrity_limit: 100, ..SessionConfig::default() };
    let mut duo = Duo::new(session);
    let now = duo.now();
    let mut genuine = duo.session(0).forge(now.mono, FrameType::KEEP_ALIVE, 0, &[0; 9]);
    genuine[30] ^= 1;
    seal_checksums(&mut genuine);
    for count in 1..=100 {
        assert_eq!(duo.verdict(), None, "after {count}");
        duo.ends[1].handle_datagram(now, address(0), None, &mut genuine.clone());
    }
    assert_eq!(duo.verdict(), Some((CloseReason::Error, ErrorCode::EncryptionError)));
    assert_eq!(duo.errors()[0], (ErrorCode::EncryptionError, 1));
}

#[test]
fn corrupted_packets_are_told_from_forged_ones() {
    let mut duo = Duo::new(SessionConfig::default());
    let now = duo.now();
    let genuine = duo.session(0).forge(now.mono, FrameType::KEEP_ALIVE, 0, &[0; 9]);
    for bit in 0..genuine.len() * 8 {
        let mut damaged = genuine.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        duo.ends[1].handle_datagram(now, address(0), None, &mut damaged);
    }
    let stats = duo.ends[1].session_stats(duo.sessions[1]).unwrap().frame_errors;
    // Damage to the path id itself cannot be put down to the session.
    assert_eq!(stats.checksum, (genuine.len() * 8 - 64) as u64);
    assert_eq!((stats.invalid, stats.encryption, stats.unknown), (0, 0, 0));
}

#[test]
fn replayed_packets_act_once() {
    let mut duo = Duo::new(SessionConfig::default());
    let (now, session) = (duo.now(), duo.sessions[0]);
    let stream = duo.ends[0].open_stream(now, session, StreamOptions::default()).unwrap();
    duo.ends[0].write(now, session, stream, Bytes::from_static(b"once")).unwrap();
    duo.sent.clear();
    duo.settle();
    for mut copy in duo.sent.clone() {
        let now = duo.now();
        duo.ends[1].handle_datagram(now, address(0), None, &mut copy);
    }
    let stats = duo.ends[1].session_stats(duo.sessions[1]).unwrap();
    assert!(stats.packets_duplicate > 0);
    let read = duo.ends[1].read(duo.sessions[1], stream, 99).unwrap();
    assert_eq!(read, ReadOutcome::Chunk(Bytes::from_static(b"once")));
    assert_eq!(duo.ends[1].read(duo.sessions[1], stream, 99), Ok(ReadOutcome::Blocked));
}

#[test]
fn credit_and_stream_limits_hold_against_a_peer_that_ignores_them() {
    let window = SessionConfig::default().stream_recv_buffer;
    let mut duo = Duo::new(SessionConfig::default());
    let past = [&(0x8000_0000_u32 | window as u32).to_be_bytes()[..], b"xxxxxxxx"].concat();
    duo.forge(FrameType::DATA, 4, &past);
    assert_eq!(duo.verdict(), Some((CloseReason::Error, ErrorCode::FlowControlViolation)));

    let session = SessionConfig { max_concurrent_streams: 2, ..SessionConfig::default() };
    let mut duo = Duo::new(session);
    duo.forge(FrameType::DATA, 8, b"\0xxxxxxxx");
    assert_eq!(duo.verdict(), None);
    duo.forge(FrameType::DATA, 12, b"\0xxxxxxxx");
    assert_eq!(duo.verdict(), Some((CloseReason::Error, ErrorCode::TooManyStreams)));
}

#[test]
fn an_ack_of_what_was_never_sent_ends_the_session() {
    let mut duo = Duo::new(SessionConfig::default());
    duo.forge(FrameType::ACK, 0, &[0x7F, 0xFF, 0, 0, 0, 0]);
    assert_eq!(duo.verdict(), Some((CloseReason::Error, ErrorCode::InvalidFrame)));
}

#[test]
fn keys_rotate_under_traffic_in_both_directions() {
    let session = SessionConfig { key_update_packets: 50, ..SessionConfig::default() };
    let mut duo = Duo::new(session);
    let (now, session) = (duo.now(), duo.sessions[0]);
    let stream = duo.ends[0].open_stream(now, session, StreamOptions::default()).unwrap();
    duo.settle();
    let (mut flips, mut phases, mut received) = ([0, 0], [false, false], [0, 0]);
    for _ in 0..400 {
        let now = duo.now();
        for end in [0, 1] {
            let bytes = Bytes::from(vec![end as u8; 5000]);
            let session = duo.sessions[end];
            duo.ends[end].write(now, session, stream, bytes).unwrap();
        }
        duo.settle();
        duo.pass(20);
        for end in [0, 1] {
            let (now, session) = (duo.now(), duo.sessions[end]);
            while let ReadOutcome::Chunk(bytes) =
                duo.ends[end].read(session, stream, 1 << 20).unwrap()
            {
                assert!(bytes.iter().all(|byte| *byte == 1 - end as u8));
                received[end] += bytes.len();
                duo.ends[end].consumed(now, session, stream, bytes.len() as u64);
            }
            let phase = duo.session(end).phase();
            flips[end] += u32::from(phase != phases[end]);
            phases[end] = phase;
        }
    }
    duo.settle();
    assert_eq!(received, [2_000_000; 2]);
    assert!(flips[0] > 10 && flips[1] > 10, "{flips:?}");
    for end in [0, 1] {
        let stats = duo.ends[end].session_stats(duo.sessions[end]).unwrap();
        assert_eq!(stats.frame_errors.encryption, 0);
    }
}

#[test]
fn clear_packets_do_not_touch_a_session() {
    let mut duo = Duo::new(SessionConfig::default());
    // The handshake's own packets once more: HELLO and AUTH_PROOF.
    for mut copy in duo.sent.clone() {
        let now = duo.now();
        duo.ends[1].handle_datagram(now, address(0), None, &mut copy);
    }
    duo.settle();
    assert_eq!(duo.verdict(), None);
    assert_eq!(duo.ends[1].stats().sessions, 1);
    assert_eq!(duo.ends[1].stats().half_open, 0);
}

/// The first datagram of a connect that resumes, from a node like the client.
fn resume(seed: u64, ticket: &ResumptionTicket, now: Now) -> Vec<u8> {
    let mut client = endpoint(3, EndpointConfig::default());
    client.rng = rand_core::SeedableRng::seed_from_u64(seed);
    let options = ConnectOptions {
        resume: Some(ticket.clone()),
        early_data: Bytes::from_static(b"early"),
        ..ConnectOptions::default()
    };
    client.connect(now, address(1), options).unwrap();
    let mut buffer = vec![0; 65_536];
    let transmit = client.poll_transmit(now, 1, &mut buffer).unwrap();
    buffer.truncate(transmit.len);
    buffer
}

/// Changes a RESUME as another holder of the seed can: mac1 is right again.
fn tamper(datagram: &mut [u8], change: impl FnOnce(&mut [u8], usize)) {
    let keys = NetworkKeys::new(&SharedSeed::new(&SHARED).unwrap());
    let end = datagram.len() - CRC32_LEN;
    let (head, payload) = datagram[..end].split_at_mut(HEADER_LEN);
    let parsed = Resume::parse(payload).unwrap();
    let (covered, ticket_len) = (parsed.mac1_input.len(), parsed.ticket.len());
    change(&mut payload[..covered], ticket_len);
    let mac = keys.mac1(&[&head[..AAD_LEN], &payload[..covered]]);
    payload[covered..covered + 16].copy_from_slice(&mac);
    seal_checksums(datagram);
}

/// What every table that a RESUME could grow holds.
fn tables(end: &Endpoint) -> [usize; 6] {
    let [slots, routes, remotes] = [end.slots.len(), end.routes.len(), end.remotes.len()];
    [slots, routes, remotes, end.resuming.len(), end.half_open.len(), end.live]
}

#[test]
fn a_flood_of_resumes_grows_nothing_and_spends_nobodys_ticket() {
    let mut duo = Duo::new(SessionConfig::default());
    let listen = ListenConfig { early_data: true, ..ListenConfig::default() };
    duo.ends[1].set_listening(Some(listen));
    // `new` has taken the events, so another session brings the ticket.
    let now = duo.now();
    duo.ends[0].connect(now, address(1), ConnectOptions::default()).unwrap();
    duo.settle();
    let ticket = duo.events[0].iter().find_map(|event| match event {
        Event::Ticket { ticket, .. } => Some((**ticket).clone()),
        _ => None,
    });
    let ticket = ticket.unwrap();
    let now = duo.now();
    let before = tables(&duo.ends[1]);
    let mut buffer = vec![0; 65_536];
    let mut answers = 0;
    for number in 0..300 {
        let mut datagram = resume(number, &ticket, now);
        match number % 3 {
            // A stranger: no valid mac1.
            0 => datagram[HEADER_LEN + 30] ^= 1,
            // A holder of the seed, with a ticket that was never given out.
            1 => tamper(&mut datagram, |payload, _| payload[30] ^= 1),
            // A holder of the seed who saw the ticket on the wire, and knows no secret.
            _ => tamper(&mut datagram, |payload, ticket_len| payload[24 + ticket_len + 40] ^= 1),
        }
        seal_checksums(&mut datagram);
        duo.ends[1].handle_datagram(now, address(7), None, &mut datagram);
        while let Some(transmit) = duo.ends[1].poll_transmit(now, 1, &mut buffer) {
            answers += 1;
            assert_eq!(buffer[1], FrameType::ERROR.0);
            assert!(transmit.len < 100);
        }
    }
    assert_eq!(tables(&duo.ends[1]), before);
    let stats = duo.ends[1].stats();
    assert_eq!((stats.tickets_refused, stats.proof_failed), (100, 100));
    assert_eq!((stats.sessions_resumed, stats.hello_unknown_seed), (0, 100));
    assert_eq!(answers, 32, "the rate of one source");
    // Its owner can still use it, once, whatever is replayed: the tables grow by one session.
    let genuine = resume(1000, &ticket, now);
    for source in [0, 7, 8, 0, 7] {
        duo.ends[1].handle_datagram(now, address(source), None, &mut genuine.clone());
    }
    for seed in 0..50 {
        duo.ends[1].handle_datagram(now, address(0), None, &mut resume(seed, &ticket, now));
    }
    let grown: Vec<usize> =
        tables(&duo.ends[1]).iter().zip(before).map(|(after, before)| after - before).collect();
    // Its path id and two spare ones.
    assert_eq!(grown, [1, 3, 1, 1, 0, 1]);
    assert_eq!(duo.ends[1].stats().sessions_resumed, 1);
    // And none of it stays once nobody answers.
    for _ in 0..100 {
        duo.nanos += 1_000_000_000;
        let now = duo.now();
        duo.ends[1].handle_timeout(now);
        while duo.ends[1].poll_transmit(now, 1, &mut buffer).is_some() {}
        while let Some(event) = duo.ends[1].poll_event() {
            if let Event::SessionClosed { session, .. } = event {
                duo.ends[1].release(session);
            }
        }
    }
    assert_eq!(tables(&duo.ends[1])[..3], [0, 0, 0]);
}

#[test]
fn a_session_keeps_nothing_of_its_beginning() {
    let mut duo = Duo::new(SessionConfig::default());
    duo.pass(100);
    duo.settle();
    for end in [0, 1] {
        assert!(duo.session(end).has_begun(), "end {end}");
    }
}

/// The HELLO of another node each time, under the shared seed or, for a stranger, with a bad mac1.
fn hello(number: u64, now: Now, stranger: bool) -> Vec<u8> {
    let mut client = endpoint(7, EndpointConfig::default());
    client.rng = rand_core::SeedableRng::seed_from_u64(number);
    client.connect(now, address(1), ConnectOptions::default()).unwrap();
    let mut buffer = vec![0; 65_536];
    let transmit = client.poll_transmit(now, 1, &mut buffer).unwrap();
    buffer.truncate(transmit.len);
    buffer[HEADER_LEN + Hello::MAC1.start] ^= u8::from(stranger);
    seal_checksums(&mut buffer);
    buffer
}

/// The types of what an endpoint sends now, and how much of it.
fn answers(end: &mut Endpoint, now: Now) -> BTreeMap<u8, usize> {
    let mut buffer = vec![0; 65_536];
    let mut kinds = BTreeMap::new();
    while end.poll_transmit(now, 1, &mut buffer).is_some() {
        *kinds.entry(buffer[1]).or_default() += 1;
    }
    kinds
}

#[test]
fn one_network_cannot_take_every_half_open_handshake() {
    let mut server = endpoint(5, EndpointConfig::default());
    server.set_listening(Some(ListenConfig {
        max_half_open: 100,
        retry_threshold: 100,
        max_half_open_per_source: 20,
        retry_threshold_per_source: 30,
        ..ListenConfig::default()
    }));
    let now = Now { mono: Instant::from_nanos(1), unix_ms: 1_800_000_000_000 };
    let from = |host: u64| {
        let ip = Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(host));
        PathAddress::udp((ip, 7788).into())
    };
    for number in 0..50 {
        server.handle_datagram(now, from(number), None, &mut hello(number, now, false));
    }
    assert_eq!((server.stats().half_open, server.stats().hello_shed), (20, 30));
    server.handle_datagram(now, address(0), None, &mut hello(99, now, false));
    assert_eq!(server.stats().half_open, 21, "others still find room");
    assert_eq!(answers(&mut server, now), BTreeMap::from([(FrameType::CHALLENGE.0, 21)]));
    // All of it ends by itself, the count of sources with it.
    let later = Now { mono: Instant::from_nanos(20_000_000_000), ..now };
    server.handle_timeout(later);
    assert_eq!(server.stats().half_open, 0);
    server.handle_datagram(later, from(0), None, &mut hello(100, later, false));
    assert_eq!(server.stats().half_open, 1);
}

#[test]
fn a_busy_source_must_show_a_cookie_while_others_need_none() {
    let mut server = endpoint(5, EndpointConfig::default());
    let listen = ListenConfig { retry_threshold_per_source: 3, ..ListenConfig::default() };
    server.set_listening(Some(listen));
    let now = Now { mono: Instant::from_nanos(1), unix_ms: 1_800_000_000_000 };
    for number in 0..5 {
        server.handle_datagram(now, address(0), None, &mut hello(number, now, false));
    }
    server.handle_datagram(now, address(7), None, &mut hello(5, now, false));
    let expected = BTreeMap::from([(FrameType::CHALLENGE.0, 4), (FrameType::RETRY.0, 2)]);
    assert_eq!(answers(&mut server, now), expected);
    // However often it asks: RETRYs of one source have a rate, too.
    for number in 6..600 {
        server.handle_datagram(now, address(0), None, &mut hello(number, now, false));
        answers(&mut server, now);
    }
    assert_eq!(server.stats().retries_sent, 256);
}

#[test]
fn one_stranger_cannot_use_up_the_decoys_of_all() {
    let mut server = endpoint(5, EndpointConfig::default());
    server.set_listening(Some(ListenConfig::default()));
    let now = Now { mono: Instant::from_nanos(1), unix_ms: 1_800_000_000_000 };
    for number in 0..200 {
        server.handle_datagram(now, address(0), None, &mut hello(number, now, true));
    }
    assert_eq!(answers(&mut server, now), BTreeMap::from([(FrameType::CHALLENGE.0, 16)]));
    server.handle_datagram(now, address(7), None, &mut hello(200, now, true));
    assert_eq!(answers(&mut server, now), BTreeMap::from([(FrameType::CHALLENGE.0, 1)]));
    assert_eq!(server.stats().half_open, 0);
}

#[test]
fn strangers_cannot_make_more_wait_than_the_pools_hold() {
    let mut server = endpoint(5, EndpointConfig::default());
    server.set_listening(Some(ListenConfig {
        max_half_open: 10,
        retry_threshold: 20,
        ..ListenConfig::default()
    }));
    let now = Now { mono: Instant::from_nanos(1), unix_ms: 1_800_000_000_000 };
    let mut buffer = vec![0; 65_536];
    for number in 0..400 {
        let mut client = endpoint(7, EndpointConfig::default());
        client.rng = rand_core::SeedableRng::seed_from_u64(number);
        client.connect(now, address(1), ConnectOptions::default()).unwrap();
        let transmit = client.poll_transmit(now, 1, &mut buffer).unwrap();
        server.handle_datagram(now, address(0), None, &mut buffer[..transmit.len]);
    }
    let stats = server.stats();
    assert_eq!((stats.half_open, stats.hello_shed), (10, 390));
    let mut answers = 0;
    while server.poll_transmit(now, 1, &mut buffer).is_some() {
        answers += 1;
    }
    assert_eq!(answers, 10);
}

#[test]
fn a_proof_for_other_path_ids_is_told_to_both_sides() {
    let mut ends = [endpoint(3, EndpointConfig::default()), endpoint(5, EndpointConfig::default())];
    ends[1].set_listening(Some(ListenConfig::default()));
    let now = Now { mono: Instant::from_nanos(1), unix_ms: 1_800_000_000_000 };
    ends[0].connect(now, address(1), ConnectOptions::default()).unwrap();
    let mut buffer = vec![0; 65_536];
    let mut carry = |ends: &mut [Endpoint; 2], from: usize| {
        while let Some(transmit) = ends[from].poll_transmit(now, 1, &mut buffer) {
            let datagram = &mut buffer[..transmit.len];
            ends[1 - from].handle_datagram(now, address(from), None, datagram);
        }
    };
    carry(&mut ends, 0);
    // The CHALLENGE is on its way with the real id; the proof will name it, and not what the responder has.
    let index = ends[1].routes.values().find_map(|route| match route {
        super::Route::HalfOpen(index) => Some(*index),
        super::Route::Slot(_) => None,
    });
    carry(&mut ends, 1);
    ends[1].half_open.get_mut(index.unwrap()).unwrap().local_id = stt_wire::PathId([9; 8]);
    carry(&mut ends, 0);
    carry(&mut ends, 1);

    let expected = |fault: &crate::Fault| (fault.code, fault.subcode);
    let told: Vec<_> = core::iter::from_fn(|| ends[1].poll_event())
        .filter_map(|event| match event {
            Event::HandshakeError { remote, error } => Some((remote, expected(&error))),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(address(0), (ErrorCode::HandshakeFailure, 4))]);
    let failed: Vec<_> = core::iter::from_fn(|| ends[0].poll_event())
        .filter_map(|event| match event {
            Event::ConnectFailed { error, .. } => Some((expected(&error), error.origin)),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [((ErrorCode::HandshakeFailure, 4), crate::Origin::Peer)]);
    assert_eq!((ends[1].stats().sessions, ends[1].stats().proof_failed), (0, 1));
}

#[test]
fn a_probe_of_the_datagram_size_that_the_system_refuses_is_no_lost_packet() {
    let mut ends = [endpoint(3, EndpointConfig::default()), endpoint(5, EndpointConfig::default())];
    ends[1].set_listening(Some(ListenConfig::default()));
    let mut nanos = 1;
    let at = |nanos| Now { mono: Instant::from_nanos(nanos), unix_ms: 1_800_000_000_000 };
    let session = ends[0].connect(at(nanos), address(1), ConnectOptions::default()).unwrap();
    let (mut refused, mut buffer) = (0, vec![0; 65_536]);
    for _ in 0..1_000 {
        nanos += 5_000_000;
        let now = at(nanos);
        for from in [0, 1] {
            ends[from].handle_timeout(now);
            while let Some(transmit) = ends[from].poll_transmit(now, 1, &mut buffer) {
                if from == 0 && transmit.len > 1_400 {
                    refused += 1;
                    let error = SendError::MessageTooLong(90);
                    ends[0].handle_send_error(now, address(1), error);
                } else {
                    let datagram = &mut buffer[..transmit.len];
                    ends[1 - from].handle_datagram(now, address(from), None, datagram);
                }
            }
            while ends[from].poll_event().is_some() {}
        }
        // Something is acknowledged again and again, behind the numbers of the probes.
        ends[0].ping(now, session);
        ends[0].want_mtu(now, session);
    }
    let stats = ends[0].session_stats(session).unwrap();
    assert!(refused > 1 && stats.mtu > 1_200, "{refused} probes refused: {stats:?}");
    assert_eq!((stats.packets_lost, stats.congestion_events, stats.probe_timeouts), (0, 0, 0));
}
