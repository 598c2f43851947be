//! The end of a session over a path that loses what says it.

use core::time::Duration;

use bytes::Bytes;
use stt_wire::{CloseReason, FrameType};

use super::Close;
use super::tests::{Duo, address};
use crate::config::SessionConfig;
use crate::event::Event;
use crate::streams::{ReadOutcome, StreamOptions};

/// A peer that has nothing to say: only what it is told can end its session before 30 s.
fn silent() -> SessionConfig {
    SessionConfig { keep_alive_interval: Duration::from_secs(25), ..SessionConfig::default() }
}

#[test]
fn the_end_to_come_is_told_once_and_again_where_it_was_lost() {
    let mut duo = Duo::new(SessionConfig::default());
    let (now, session) = (duo.now(), duo.sessions[0]);
    duo.ends[0].announce_end(now, session, Duration::from_secs(5));
    duo.ends[0].announce_end(now, session, Duration::from_secs(9));
    let mut buffer = vec![0; 65_536];
    assert!(duo.ends[0].poll_transmit(now, 1, &mut buffer).is_some(), "which is lost");
    for _ in 0..3_000 {
        duo.step();
        duo.pass(1);
    }
    let told = |end: usize, duo: &Duo| {
        let draining = |event: &Event| match event {
            Event::PeerDraining { within, .. } => Some(*within),
            _ => None,
        };
        duo.events[end].iter().filter_map(draining).collect::<Vec<_>>()
    };
    assert_eq!(told(1, &duo), [Duration::from_secs(5)]);
    assert!(told(0, &duo).is_empty());
    assert!(!closed(&duo.events[0]) && !closed(&duo.events[1]), "nothing ends by it");
    // The other side may say the same, and a peer that repeats itself is heard once.
    let session = duo.sessions[1];
    duo.ends[1].announce_end(duo.now(), session, Duration::ZERO);
    duo.settle();
    assert_eq!(told(0, &duo), [Duration::ZERO]);
}

#[test]
fn the_end_to_come_is_told_before_an_end_that_comes_at_once() {
    let mut duo = Duo::new(SessionConfig::default());
    let (now, session) = (duo.now(), duo.sessions[0]);
    duo.ends[0].announce_end(now, session, Duration::from_secs(5));
    let drain = Duration::from_secs(5);
    let close = Close { reason: CloseReason::Graceful, code: 0, message: "", drain };
    duo.ends[0].close(now, session, close);
    duo.settle();
    let place = |wanted: fn(&Event) -> bool| duo.events[1].iter().position(wanted);
    let told = place(|event| matches!(event, Event::PeerDraining { .. }));
    let ended = place(|event| matches!(event, Event::SessionClosed { .. }));
    assert!(told.is_some() && told < ended, "{told:?} {ended:?}");
}

#[test]
fn a_peer_that_says_it_again_and_again_is_told_of_once() {
    let mut duo = Duo::new(SessionConfig::default());
    for within in 0..200_u8 {
        duo.forge(FrameType::DRAIN, 0, &[within & 0x3f]);
    }
    duo.settle();
    let told = duo.events[1].iter().filter(|e| matches!(e, Event::PeerDraining { .. })).count();
    assert_eq!(told, 1);
}

fn closed(events: &[Event]) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::SessionClosed { reason: CloseReason::Graceful, .. }))
}

/// Closes at the client while its datagrams are lost for so long; how many of them that were.
fn close_into_the_dark(duo: &mut Duo, milliseconds: u64) -> usize {
    let (now, session) = (duo.now(), duo.sessions[0]);
    let close =
        Close { reason: CloseReason::Graceful, code: 0, message: "", drain: Duration::ZERO };
    duo.ends[0].close(now, session, close);
    let mut buffer = vec![0; 65_536];
    let mut lost = 0;
    for _ in 0..milliseconds {
        while duo.ends[0].poll_transmit(duo.now(), 1, &mut buffer).is_some() {
            lost += 1;
        }
        duo.pass(1);
    }
    lost
}

#[test]
fn a_peer_with_nothing_to_say_is_told_although_the_first_copies_were_lost() {
    let mut duo = Duo::new(silent());
    let lost = close_into_the_dark(&mut duo, 5_000);
    // Three in three probe timeouts, the one behind them, and each of the repetitions.
    assert!((5..20).contains(&lost), "{lost} datagrams in five seconds");
    for _ in 0..10_000 {
        duo.step();
        duo.pass(1);
    }
    assert!(closed(&duo.events[0]) && closed(&duo.events[1]), "{:?}", duo.events);
}

#[test]
fn a_peer_that_goes_on_is_told_at_once_and_ever_more_rarely() {
    let mut duo = Duo::new(silent());
    let mut told = close_into_the_dark(&mut duo, 1);
    assert_eq!(told, 1);
    let (now, session) = (duo.now(), duo.sessions[1]);
    let mut buffer = vec![0; 65_536];
    let mut each = Vec::new();
    for number in 1..=16 {
        duo.ends[1].ping(now, session);
        while let Some(transmit) = duo.ends[1].poll_transmit(now, 1, &mut buffer) {
            duo.ends[0].handle_datagram(now, address(1), None, &mut buffer[..transmit.len]);
        }
        // All are lost; no time passes.
        while duo.ends[0].poll_transmit(now, 1, &mut buffer).is_some() {
            told += 1;
            each.push(number);
        }
    }
    assert_eq!((each, told), (vec![1, 2, 4, 8, 16], 6));
}

#[test]
fn nobody_is_told_for_longer_than_a_peer_bears_silence() {
    let mut duo = Duo::new(silent());
    let lost = close_into_the_dark(&mut duo, 120_000);
    assert!((6..24).contains(&lost), "{lost} datagrams");
    assert_eq!(close_into_the_dark(&mut duo, 600_000), 0, "nothing is left that could send");
}

/// A client that has written to a stream and ended it, and then drains its session for five seconds, as an endpoint
/// that closes with `drain` does: the end is told, the session is closed.
fn draining(written: &'static [u8]) -> Duo {
    let mut duo = Duo::new(SessionConfig::default());
    let (now, session) = (duo.now(), duo.sessions[0]);
    let stream = duo.ends[0].open_stream(now, session, StreamOptions::default()).unwrap();
    duo.ends[0].write(now, session, stream, Bytes::from_static(written)).unwrap();
    duo.ends[0].finish(now, session, stream).unwrap();
    let drain = Duration::from_secs(5);
    duo.ends[0].announce_end(now, session, drain);
    duo.ends[0].close(now, session, Close::graceful(drain));
    duo
}

/// Loses all that the client sends for so long.
fn lose(duo: &mut Duo, milliseconds: u64) {
    let mut buffer = vec![0; 65_536];
    for _ in 0..milliseconds {
        while duo.ends[0].poll_transmit(duo.now(), 1, &mut buffer).is_some() {}
        duo.pass(1);
    }
}

/// How many bytes each end says to have left undelivered, once its session has ended.
fn undelivered(duo: &Duo) -> [Option<u64>; 2] {
    duo.events.each_ref().map(|events| {
        events.iter().find_map(|event| match event {
            Event::SessionClosed { reason: CloseReason::Graceful, undelivered, .. } => {
                Some(*undelivered)
            }
            _ => None,
        })
    })
}

/// What the server has of the client's stream, and whether that is all of it.
fn arrived(duo: &mut Duo) -> (usize, bool) {
    let session = duo.sessions[1];
    let opened = duo.events[1].iter().find_map(|event| match event {
        Event::StreamOpened { stream, .. } => Some(*stream),
        _ => None,
    });
    let Some(stream) = opened else { return (0, false) };
    let mut len = 0;
    loop {
        match duo.ends[1].read(session, stream, usize::MAX) {
            Ok(ReadOutcome::Chunk(bytes)) => len += bytes.len(),
            Ok(ReadOutcome::Finished) => return (len, true),
            _ => return (len, false),
        }
    }
}

#[test]
fn a_session_that_drains_ends_once_the_ends_of_its_streams_have_arrived() {
    const WRITTEN: &[u8] = &[7; 20_000];
    for lost in [0, 1, 1_500] {
        let mut duo = draining(WRITTEN);
        lose(&mut duo, lost);
        assert_eq!(undelivered(&duo), [None, None], "while the stream is under way");
        let before = duo.now().mono;
        while undelivered(&duo)[1].is_none() {
            // The end of a session comes behind that of its streams, and never before.
            duo.step();
            duo.pass(1);
            assert!(duo.now().mono < before + Duration::from_secs(4), "it is over by its time");
        }
        assert_eq!(arrived(&mut duo), (WRITTEN.len(), true), "after {lost} ms in the dark");
        duo.settle();
        assert_eq!(undelivered(&duo), [Some(0), Some(0)]);
    }
}

#[test]
fn a_session_that_drains_says_what_its_time_was_too_short_for() {
    const WRITTEN: &[u8] = &[7; 20_000];
    let mut duo = draining(WRITTEN);
    lose(&mut duo, 4_900);
    assert_eq!(undelivered(&duo), [None, None]);
    lose(&mut duo, 200);
    for _ in 0..3_000 {
        duo.step();
        duo.pass(1);
    }
    assert_eq!(undelivered(&duo), [Some(WRITTEN.len() as u64), Some(0)]);
}
