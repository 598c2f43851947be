//! The ceiling on memory: what is refused at it, what goes on, and that all of it comes back.

use bytes::Bytes;
use stt_wire::{CloseReason, ErrorCode};

use super::tests::{Duo, address};
use super::{Close, ConnectError};
use crate::config::{ConnectOptions, SessionConfig};
use crate::event::{Event, SessionHandle};
use crate::fault::{FaultDetail, Origin};
use crate::memory::Memory;
use crate::scratch::FEW;
use crate::streams::{OpenError, ReadOutcome, StreamId, StreamOptions};

const LIMIT: u64 = 1 << 20;
/// What a session costs that has done nothing, under so low a ceiling.
const SESSION: u64 = Memory::SESSION + Memory::SESSION_FLOOR;

impl Duo {
    fn used(&self, end: usize) -> u64 {
        self.ends[end].memory().used()
    }

    fn connect(&mut self) -> Result<SessionHandle, ConnectError> {
        let now = self.now();
        self.ends[0].connect(now, address(1), ConnectOptions::default())
    }

    fn open(&mut self, end: usize) -> Result<StreamId, OpenError> {
        let (now, session) = (self.now(), self.sessions[end]);
        self.ends[end].open_stream(now, session, StreamOptions::default())
    }

    /// Reads what has come on a stream of the first session, and consumes it.
    fn read(&mut self, end: usize, stream: StreamId) -> usize {
        let (now, session) = (self.now(), self.sessions[end]);
        let mut total = 0;
        while let Ok(ReadOutcome::Chunk(bytes)) = self.ends[end].read(session, stream, 1 << 20) {
            total += bytes.len();
            self.ends[end].consumed(now, session, stream, bytes.len() as u64);
        }
        total
    }

    fn close(&mut self, session: SessionHandle) {
        let now = self.now();
        let close = Close {
            reason: CloseReason::Graceful,
            code: 0,
            message: "",
            drain: core::time::Duration::ZERO,
        };
        self.ends[0].close(now, session, close);
        self.settle();
    }
}

fn within(client: u64, server: u64) -> Duo {
    // Larger than the ceiling, so that nothing but the ceiling is in the way.
    let session = SessionConfig {
        recv_buffer: 16 << 20,
        stream_recv_buffer: 16 << 20,
        ..SessionConfig::default()
    };
    Duo::within(session, [client, server])
}

#[test]
fn what_a_peer_sends_stays_below_three_quarters_however_much_it_has() {
    let mut duo = within(u64::MAX, LIMIT);
    assert_eq!(duo.used(1), SESSION);
    let stream = duo.open(0).unwrap();
    let (now, session) = (duo.now(), duo.sessions[0]);
    let total = 8 << 20;
    duo.ends[0].write(now, session, stream, Bytes::from(vec![7; total])).unwrap();
    // A fast reader, so that windows would grow to 16 MiB; then none at all.
    let (mut got, mut most) = (0, 0);
    while got < total / 2 {
        duo.step();
        got += duo.read(1, stream);
        most = most.max(duo.used(1));
        duo.pass(1);
    }
    assert!(most > LIMIT / 3, "{most} bytes: the window has grown");
    duo.settle();
    let held = duo.used(1);
    assert!(held <= LIMIT * 3 / 4 + 64 * 1024 + Memory::STREAM, "{held} bytes");
    // What it may send it has sent; more does not come before something is read.
    duo.pass(100);
    duo.settle();
    assert_eq!(duo.used(1), held);
    while got < total {
        duo.settle();
        got += duo.read(1, stream);
        duo.pass(1);
    }
    assert_eq!(got, total, "every byte came");
    duo.close(session);
    // Blocks that nobody needs any more go back after the last session did.
    for _ in 0..4 {
        duo.pass(60_000);
        duo.settle();
    }
    assert_eq!([duo.used(0), duo.used(1)], [0, 0]);
}

#[test]
fn the_window_narrows_while_others_need_the_memory_and_the_peer_still_goes_on() {
    let mut duo = within(u64::MAX, LIMIT);
    let stream = duo.open(0).unwrap();
    let (now, session) = (duo.now(), duo.sessions[0]);
    let total = 4 << 20;
    duo.ends[0].write(now, session, stream, Bytes::from(vec![7; total])).unwrap();
    let mut got = 0;
    while got < total / 2 {
        duo.step();
        got += duo.read(1, stream);
        duo.pass(1);
    }
    let before = duo.used(1);
    // The application of this side writes, or other sessions come: all that is left is gone.
    let rest = LIMIT - before;
    duo.ends[1].memory().add(rest);
    while got < total {
        duo.settle();
        let more = duo.read(1, stream);
        assert!(more > 0, "{got} of {total} bytes: the peer is stuck");
        got += more;
        assert!(duo.used(1) <= LIMIT, "{} bytes", duo.used(1));
        duo.pass(1);
    }
    // The floor, the block that the stream fills, and one that is kept for use again.
    let narrow = duo.used(1) - rest;
    assert!(narrow <= SESSION + Memory::STREAM + 128 * 1024, "{narrow} of {before} bytes");
    duo.ends[1].memory().sub(rest);
}

#[test]
fn sessions_are_refused_at_the_ceiling_on_either_side_and_admitted_below_it() {
    let mut duo = within(LIMIT, LIMIT);
    let mut sessions = vec![duo.sessions[0]];
    while let Ok(session) = duo.connect() {
        sessions.push(session);
        duo.settle();
        assert!(duo.used(0) <= LIMIT && duo.used(1) <= LIMIT);
    }
    assert_eq!(sessions.len() as u64, LIMIT / SESSION);
    let Err(ConnectError::OutOfMemory(shortage)) = duo.connect() else { panic!() };
    assert_eq!((shortage.limit, shortage.asked), (LIMIT, SESSION));
    assert_eq!(shortage.used, sessions.len() as u64 * SESSION);
    assert_eq!(duo.ends[0].stats().memory_refused, 2);

    // The responder's ceiling, told in FINAL.
    duo.close(sessions[0]);
    duo.ends[1].memory().add(SESSION);
    duo.events = [Vec::new(), Vec::new()];
    let refused = duo.connect().unwrap();
    duo.settle();
    let fault = duo.events[0].iter().find_map(|event| match event {
        Event::ConnectFailed { session, error } if *session == refused => Some(*error),
        _ => None,
    });
    let fault = fault.expect("refused");
    assert_eq!((fault.code, fault.origin), (ErrorCode::ResourceExhausted, Origin::Peer));
    assert_eq!(fault.detail, FaultDetail::Limit { limit: 0, local: false });
    assert_eq!(duo.ends[1].stats().memory_refused, 1);
    // What was refused costs nothing once it is gone, and room is for whoever comes next.
    duo.pass(120_000);
    duo.settle();
    duo.ends[1].memory().sub(SESSION);
    duo.events = [Vec::new(), Vec::new()];
    let session = duo.connect().unwrap();
    duo.settle();
    let connected =
        |event: &Event| matches!(event, Event::Connected { session: s, .. } if *s == session);
    assert!(duo.events[0].iter().any(connected), "{:?}", duo.events[0]);
}

#[test]
fn streams_are_refused_at_the_ceiling_on_either_side_and_open_below_it() {
    let mut duo = within(LIMIT, LIMIT);
    let rest = LIMIT - duo.used(0) - Memory::STREAM;
    duo.ends[0].memory().add(rest);
    let stream = duo.open(0).unwrap();
    let Err(OpenError::OutOfMemory(shortage)) = duo.open(0) else { panic!() };
    assert_eq!((shortage.limit, shortage.used, shortage.asked), (LIMIT, LIMIT, Memory::STREAM));
    duo.ends[0].memory().sub(rest);

    // The peer's ceiling: it refuses the stream, which fails here, and everything else goes on.
    duo.settle();
    let rest = LIMIT - duo.used(1);
    duo.ends[1].memory().add(rest);
    duo.events = [Vec::new(), Vec::new()];
    let refused = duo.open(0).unwrap();
    duo.settle();
    let fault = duo.events[0].iter().find_map(|event| match event {
        Event::StreamFailed { stream, error, .. } if *stream == refused => Some(*error),
        _ => None,
    });
    let fault = fault.expect("refused");
    assert_eq!((fault.code, fault.origin), (ErrorCode::ResourceExhausted, Origin::Peer));
    let opened = |event: &Event| matches!(event, Event::StreamOpened { .. });
    assert!(!duo.events[1].iter().any(opened), "{:?}", duo.events[1]);
    let (now, session) = (duo.now(), duo.sessions[0]);
    duo.ends[0].write(now, session, stream, Bytes::from(vec![7; 8 * 1024])).unwrap();
    duo.settle();
    assert_eq!(duo.read(1, stream), 8 * 1024, "what was open is as it was");
    assert!(duo.used(1) <= LIMIT + Memory::STREAM);
    duo.ends[1].memory().sub(rest);
    duo.open(0).unwrap();
    duo.settle();
    assert!(duo.events[1].iter().any(opened));
}

#[test]
fn working_memory_goes_back_after_a_busy_time() {
    let mut duo = Duo::new(SessionConfig::default());
    let streams: Vec<_> = (0..200).map(|_| duo.open(0).unwrap()).collect();
    let (now, session) = (duo.now(), duo.sessions[0]);
    for stream in &streams {
        duo.ends[0].write(now, session, *stream, Bytes::from(vec![7; 8_000])).unwrap();
    }
    // All streams open at once for the server, and an ACK settles many frames for the client.
    let mut most = [(0, 0); 2];
    for _ in 0..200 {
        duo.step();
        duo.pass(1);
        for (most, end) in most.iter_mut().zip(&duo.ends) {
            *most = (most.0.max(end.fates.capacity()), most.1.max(end.events.capacity()));
        }
    }
    assert!(most[0].0 > FEW && most[1].1 > FEW, "{most:?} entries");
    duo.settle();
    // The session goes on, but little happens in it.
    for stream in &streams[..5] {
        duo.settle();
        duo.pass(1_000);
        let now = duo.now();
        duo.ends[0].write(now, session, *stream, Bytes::from_static(b"still here")).unwrap();
    }
    duo.settle();
    for end in &duo.ends {
        let room = [end.fates.capacity(), end.contents.capacity(), end.events.capacity()];
        assert!(room.iter().all(|room| *room <= FEW), "{room:?} entries");
        assert!(!end.is_spare_due, "nothing to give back, so no timer for it");
    }
}
