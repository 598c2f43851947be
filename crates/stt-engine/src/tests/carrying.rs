//! Connections that the application carries, between two engines.

use super::*;

/// The number of the connection, at both sides.
const WIRE: u32 = 1;
const ROOM: usize = 512 * 1024;

/// Two engines and what carries messages between them, in order.
struct Carrier {
    nodes: [Node; 2],
    /// Messages carried from each side.
    carried: [u64; 2],
    /// Every other message finds the receiver's engine at work, as far as it knows.
    busy: bool,
}

impl Carrier {
    fn new() -> Self {
        let nodes = [Node::start(1), Node::start(2)];
        nodes[1].engine.listen(Some(ListenConfig::default()));
        for (node, other) in [(0, 1), (1, 0)] {
            let remote = nodes[other].engine.address();
            nodes[node].engine.open_connection(WIRE, remote, ROOM);
        }
        Self { nodes, carried: [0, 0], busy: false }
    }

    /// Polls a side, carries what it has for the other, and keeps the rest. True when there was anything.
    fn poll(&mut self, side: usize) -> bool {
        let mut messages = Vec::new();
        let node = &mut self.nodes[side];
        let before = node.inbox.len();
        let inbox = &mut node.inbox;
        node.engine.poll(|event| {
            match std::mem::replace(event, Event::Writable(StreamNumber(0))) {
                Event::Carry { bytes, .. } => messages.push(bytes),
                event => inbox.push_back(event),
            }
            Taken::Whole
        });
        let any = !messages.is_empty() || inbox.len() > before;
        for bytes in messages {
            self.carried[side] += 1;
            let other = &self.nodes[1 - side].engine;
            if self.busy {
                other.pretend_not_to_carry(self.carried[side].is_multiple_of(2));
            }
            let mut message = bytes.to_vec();
            // A transfer has less than is worth a pause.
            other.receive(WIRE, |take| take(&mut message));
            self.nodes[side].engine.connection_writable(WIRE, bytes.len());
        }
        any
    }

    /// The next event of a side that `find` takes; others are dropped.
    fn wait<T>(&mut self, side: usize, mut find: impl FnMut(Event) -> Option<T>) -> T {
        let end = Instant::now() + LIMIT;
        loop {
            while let Some(event) = self.nodes[side].inbox.pop_front() {
                if let Some(found) = find(event) {
                    return found;
                }
            }
            let any = [0, 1].map(|side| self.poll(side));
            assert!(Instant::now() < end, "nothing came");
            if any == [false, false] {
                // Either may ring; both are looked at again before long.
                let _ = self.nodes[side].bell.recv_timeout(Duration::from_millis(1));
            }
        }
    }

    fn connect(&mut self) -> [SessionNumber; 2] {
        let to = crate::ConnectTarget::Connection(WIRE);
        self.nodes[0].engine.connect(to, ConnectOptions::default());
        let connected = |event| match event {
            Event::Connected { session, .. } => Some(session),
            Event::ConnectFailed { fault, .. } => panic!("{fault}"),
            _ => None,
        };
        [0, 1].map(|side| self.wait(side, connected))
    }

    /// Carries a stream from one side to the other, and compares it.
    fn transfer(&mut self, from: usize, session: SessionNumber, len: usize) {
        let sent: Vec<u8> = (0..len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect();
        let stream = self.nodes[from].engine.open_stream(session, StreamOptions::default());
        let mut rest = &sent[..];
        let mut reading = None;
        let mut received = Vec::new();
        let mut ended = false;
        while !ended {
            if !rest.is_empty() {
                let Written::Taken(taken) = self.nodes[from].engine.write(stream, rest) else {
                    panic!("the stream takes no more");
                };
                rest = &rest[taken..];
                if rest.is_empty() {
                    self.nodes[from].engine.finish(stream);
                }
            }
            self.poll(from);
            let step = self.wait(1 - from, |event| match event {
                Event::StreamOpened { stream, .. } => Some((stream, None)),
                Event::Data { stream, bytes, fin } => Some((stream, Some((bytes, fin)))),
                _ => None,
            });
            match step {
                (stream, None) => reading = Some(stream),
                (stream, Some((bytes, fin))) => {
                    assert_eq!(Some(stream), reading);
                    received.extend_from_slice(&bytes);
                    ended = fin;
                    let consumed = std::iter::once((stream, bytes.len() as u64));
                    self.nodes[1 - from].engine.consumed(consumed);
                }
            }
        }
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    }
}

#[test]
fn the_application_takes_the_turns_of_what_it_carries() {
    let mut carrier = Carrier::new();
    let sessions = carrier.connect();
    for from in [0, 1] {
        carrier.transfer(from, sessions[from], 8 << 20);
    }
    for (node, other) in [(0, 1), (1, 0)] {
        let stats = carrier.nodes[node].engine.stats().unwrap();
        let came = carrier.carried[other];
        assert!(stats.connection_turns * 2 > came, "{stats:?} of {came} messages");
        assert_eq!(stats.send_calls, 0, "nothing went by UDP");
        let session = carrier.nodes[node].engine.session_stats(sessions[node]).unwrap();
        assert_eq!(session.packets_lost, 0);
    }
}

#[test]
fn what_the_thread_has_to_take_keeps_its_place_among_the_rest() {
    let mut carrier = Carrier::new();
    let sessions = carrier.connect();
    carrier.busy = true;
    for round in 0..6 {
        carrier.transfer(round % 2, sessions[round % 2], 4 << 20);
    }
    for node in [0, 1] {
        let stats = carrier.nodes[node].engine.stats().unwrap();
        assert!(stats.connection_turns > 0 && stats.turns > 0, "{stats:?}");
        // A connection keeps the order: what comes out of it would count as lost.
        let session = carrier.nodes[node].engine.session_stats(sessions[node]).unwrap();
        assert_eq!(session.packets_lost, 0);
    }
    // What waited was taken off as it was counted: of 24 MiB only what the core keeps by it.
    for node in &carrier.nodes {
        let used = node.engine.memory().used();
        assert!(used < 6 << 20, "{used} bytes");
    }
}

#[test]
fn a_connection_that_is_not_there_takes_nothing() {
    let carrier = Carrier::new();
    let engine = &carrier.nodes[0].engine;
    let received = engine.receive(WIRE + 1, |take| take(&mut [1, 2, 3]));
    assert_eq!(received, crate::Received { goes_on: true, events: false });
    engine.close_connection(WIRE);
    engine.pretend_not_to_carry(true);
    let mut calls = 0;
    engine.receive(WIRE, |_| calls += 1);
    assert_eq!((calls, engine.memory().used()), (0, 0));
}
