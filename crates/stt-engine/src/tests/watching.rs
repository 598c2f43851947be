//! The application's own loop watches the socket.

use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::*;
use crate::WatchedSocket;

/// How long one look at the socket may last before the other things are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// An application's loop in small: it polls when the doorbell rings and when the socket is readable.
struct Loop {
    poll: Poll,
    events: Events,
    socket: WatchedSocket,
    watching: bool,
}

impl Loop {
    fn watch(node: &Node) -> Self {
        let end = Instant::now() + LIMIT;
        let socket = loop {
            // The engine's thread may be at work just now.
            match node.engine.watched_socket() {
                Some(socket) => break socket,
                None => assert!(Instant::now() < end, "no socket to watch"),
            }
        };
        let poll = Poll::new().unwrap();
        let descriptor = socket.descriptor.as_raw_fd();
        poll.registry().register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE).unwrap();
        Self { poll, events: Events::with_capacity(4), socket, watching: true }
    }

    /// One turn, if the socket is readable before long.
    fn turn(&mut self, node: &mut Node, act: impl FnOnce(&mut Node)) {
        self.poll.poll(&mut self.events, Some(LOOK)).unwrap();
        if self.events.is_empty() {
            return;
        }
        let turn = node.engine.turn_of_loop(self.socket.number);
        self.watching = turn.stay;
        if turn.events {
            act(node);
        }
        node.engine.end_turn_of_loop();
    }
}

/// Takes what has happened, without waiting for it.
fn take(node: &mut Node) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut read = Vec::new();
    node.engine.poll(|event| {
        if let Event::Data { stream, bytes: more, .. } = event {
            bytes.extend_from_slice(more);
            read.push((*stream, more.len() as u64));
        }
        Taken::Whole
    });
    node.engine.consumed(read.into_iter());
    bytes
}

fn stats(node: &Node) -> crate::EngineStats {
    node.engine.stats().expect("it lives")
}

/// A pair with one stream, on which pings go back and forth until the server's loop watches alone.
fn alone() -> (Node, StreamNumber, Node, StreamNumber, Loop) {
    let (mut client, session, mut server, _) = pair();
    let stream = client.engine.open_stream(session, StreamOptions::default());
    client.write_all(stream, b"first");
    let theirs = server.wait_opened();
    let mut event_loop = Loop::watch(&server);
    let end = Instant::now() + LIMIT;
    while stats(&server).loop_alone == stats(&server).loop_relieved {
        assert!(Instant::now() < end, "never left alone: {:?}", stats(&server));
        if !event_loop.watching {
            event_loop = Loop::watch(&server);
        }
        assert_eq!(client.engine.write(stream, b"ping"), Written::Taken(4));
        event_loop.turn(&mut server, |server| {
            take(server);
            assert_eq!(server.engine.write(theirs, b"pong"), Written::Taken(4));
        });
        take(&mut server);
        take(&mut client);
    }
    (client, stream, server, theirs, event_loop)
}

#[test]
fn a_loop_that_comes_answers_in_the_same_turn() {
    let (mut client, stream, mut server, theirs, mut event_loop) = alone();
    let end = Instant::now() + LIMIT;
    let mut answered = false;
    while !answered {
        assert!(Instant::now() < end, "no ping came in its turns: {:?}", stats(&server));
        assert_eq!(client.engine.write(stream, b"ping"), Written::Taken(4));
        event_loop.turn(&mut server, |server| {
            answered = !take(server).is_empty();
            if answered {
                assert_eq!(server.engine.write(theirs, b"answer"), Written::Taken(6));
            }
        });
        // On a busy machine the engine's thread may have been faster.
        take(&mut server);
        if !event_loop.watching {
            event_loop = Loop::watch(&server);
        }
    }
    let mut heard = Vec::new();
    while !heard.ends_with(b"answer") {
        heard.extend(client.wait(|event| match event {
            Event::Data { bytes, .. } => Some(bytes),
            _ => None,
        }));
    }
}

#[test]
fn a_loop_that_is_stuck_keeps_nothing_from_being_read_and_acknowledged() {
    let (mut client, stream, server, _, event_loop) = alone();
    // From here on nobody turns the server's loop, nor polls it.
    client.write_all(stream, b"is anybody there");
    client.engine.finish(stream);
    client.wait(|event| matches!(event, Event::Finished(of) if of == stream).then_some(()));
    assert_eq!(stats(&server).loop_relieved, stats(&server).loop_alone, "it was taken back");
    drop(event_loop);
}

#[test]
fn much_that_arrives_sends_the_loop_away_and_arrives_whole() {
    let (mut client, stream, mut server, theirs, mut event_loop) = alone();
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut arrived = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(stream, &bytes);
            client.engine.finish(stream);
        });
        let end = Instant::now() + LIMIT;
        // Pings of before come first, and what they were nobody counted.
        let mut fin = false;
        while !fin {
            assert!(Instant::now() < end, "{arrived} bytes came");
            if event_loop.watching {
                event_loop.turn(&mut server, |_| ());
            }
            server.engine.poll(|event| {
                if let Event::Data { stream, bytes, fin: last } = event {
                    assert_eq!(*stream, theirs);
                    arrived += bytes.len();
                    fin |= *last;
                }
                Taken::Whole
            });
            server.engine.consumed(std::iter::once((theirs, 1 << 20)));
        }
    });
    assert!(arrived >= bytes.len());
    assert!(!event_loop.watching, "it was sent away");
}

#[test]
fn another_socket_is_not_mistaken_for_the_one_that_is_watched() {
    let (mut client, stream, mut server, _, event_loop) = alone();
    let before = server.engine.address();
    server.engine.rebind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 7).unwrap();
    server.wait(|event| matches!(event, Event::Rebound { token: Some(7), .. }).then_some(()));
    // While the engine's thread is at work it is told to come again.
    let end = Instant::now() + LIMIT;
    let turn = loop {
        let turn = server.engine.turn_of_loop(event_loop.socket.number);
        if !turn.stay || Instant::now() > end {
            break turn;
        }
    };
    assert_eq!((turn.stay, turn.events), (false, false));
    assert!(UdpSocket::bind(before).is_err(), "the loop holds the port");
    drop(event_loop);
    UdpSocket::bind(before).unwrap();
    // And the new one is read, by the engine's thread.
    client.write_all(stream, b"hello");
    client.engine.finish(stream);
    client.wait(|event| matches!(event, Event::Finished(of) if of == stream).then_some(()));
}

#[test]
fn a_loop_that_watches_an_engine_that_has_ended_is_sent_away() {
    let (_client, _, mut server, _, event_loop) = alone();
    server.engine.destroy();
    assert_eq!(server.wait_end(), EngineEnd::Closed);
    let turn = server.engine.turn_of_loop(event_loop.socket.number);
    assert_eq!((turn.stay, turn.events), (false, false));
    server.engine.end_turn_of_loop();
    assert!(server.engine.watched_socket().is_none());
}
