//! A socket that the engine's thread and the application's loop watch, and what becomes of its
//! datagrams, whoever does.

use super::*;
use crate::event::EngineEnd;
use crate::watch::{Check, Next};

/// Random schedules of each kind.
const RUNS: usize = 500;

/// Of the application's thread, which is not told when it is.
const TURN: Duration = Duration::from_micros(100);

/// A socket. As the system does it, what is to be told is told in one with the change that it is of.
pub(super) struct Net {
    state: Mutex<State>,
    /// The poller of the engine's thread.
    poller: Arc<Park>,
    /// The application's loop.
    event_loop: Arc<Park>,
    /// Told of each datagram that was read.
    read: Park,
    /// Told of each write that the driver took.
    pub(super) told: Park,
}

struct State {
    datagrams: VecDeque<u8>,
    /// How many were read.
    received: usize,
    /// The poller has the socket, and the loop has it.
    polled: bool,
    watched: bool,
    /// The poller has something to tell: it does so once for each change.
    edge: bool,
}

impl Net {
    pub(super) fn new(poller: Arc<Park>, event_loop: Arc<Park>) -> Self {
        let state = State {
            datagrams: VecDeque::new(),
            received: 0,
            polled: true,
            watched: false,
            edge: false,
        };
        Self {
            state: Mutex::new(state),
            poller,
            event_loop,
            read: Park::default(),
            told: Park::default(),
        }
    }

    fn arrive(&self, datagram: u8) {
        let mut state = self.state.lock().unwrap();
        state.datagrams.push_back(datagram);
        if state.polled {
            state.edge = true;
            self.poller.call();
        }
        if state.watched {
            self.event_loop.call();
        }
    }

    fn receive(&self) -> Option<u8> {
        let mut state = self.state.lock().unwrap();
        let datagram = state.datagrams.pop_front();
        if datagram.is_some() {
            state.received += 1;
            self.read.call();
        }
        datagram
    }

    /// Waits, and does nothing else, until so many were read.
    fn wait_for(&self, received: usize) {
        while self.state.lock().unwrap().received < received {
            self.read.wait();
        }
    }

    fn poll(&self, polled: bool) {
        let mut state = self.state.lock().unwrap();
        state.polled = polled;
        state.edge = polled && !state.datagrams.is_empty();
        if state.edge {
            self.poller.call();
        }
    }

    pub(super) fn take_edge(&self) -> bool {
        std::mem::take(&mut self.state.lock().unwrap().edge)
    }

    fn watch(&self, watched: bool) {
        self.state.lock().unwrap().watched = watched;
    }

    /// What the loop is told, again and again.
    fn is_readable(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.watched && !state.datagrams.is_empty()
    }

    fn is_polled(&self) -> bool {
        self.state.lock().unwrap().polled
    }

    fn is_watched(&self) -> bool {
        self.state.lock().unwrap().watched
    }
}

/// The steps of `driver/watch.rs`.
impl Echo {
    pub(super) fn receive(&mut self) -> bool {
        let found = self.net.receive();
        self.readable = found.is_some();
        if let Some(datagram) = found {
            self.core.push_back(Event::Data {
                stream: STREAM,
                bytes: vec![datagram].into(),
                fin: false,
            });
            // One for each turn: the next follows at once.
            self.shared.commands.wake();
        }
        found.is_some()
    }

    pub(super) fn turn_of_loop(&mut self) -> LoopTurn {
        self.stats.turns += 1;
        self.now += TURN;
        self.run_commands();
        if let Some(datagram) = self.net.receive() {
            let bytes = vec![datagram].into();
            self.core.push_back(Event::Data { stream: STREAM, bytes, fin: false });
        }
        self.fill();
        let events = self.shared.ring.publish_here(&mut self.out);
        self.check_bound();
        let next = self.watch.on_loop_turn(self.now, events);
        match next {
            Next::Stay => {}
            Next::Alone => {
                self.net.poll(false);
                self.watch.look_away(self.now);
                self.shared.commands.set_checking(true);
                self.stats.loop_alone += 1;
            }
            Next::Leave => self.look_again(),
        }
        LoopTurn { stay: next != Next::Leave, events, call: next == Next::Alone }
    }

    pub(super) fn check_loop(&mut self) {
        if self.shared.is_unwatched() {
            self.readable = true;
            self.look_again();
        }
        if self.watch.check(self.now) == Check::Probe {
            let found = self.receive();
            if self.watch.probed(found) {
                self.look_again();
            }
        }
    }

    fn look_again(&mut self) {
        if self.watch.is_alone() {
            self.net.poll(true);
            self.watch.take_back();
            self.shared.commands.set_checking(false);
            self.stats.loop_relieved += 1;
        }
    }
}

impl Application {
    /// As `stt-node` does, until `done` says that enough has come.
    fn run_loop(&mut self, came: &mut Vec<u8>, done: impl Fn(&[u8]) -> bool) -> Option<EngineEnd> {
        loop {
            let end = self.take(came);
            if end.is_some() || done(came) {
                return end;
            }
            if !self.net.is_readable() {
                self.bell.wait();
            }
            if self.net.is_readable()
                && let Some(end) = self.turn_of_loop(came)
            {
                return Some(end);
            }
        }
    }

    fn turn_of_loop(&mut self, came: &mut Vec<u8>) -> Option<EngineEnd> {
        let turn = self.shared.loop_turn(0);
        if !turn.stay {
            self.net.watch(false);
        }
        let end = if turn.events { self.take(came) } else { None };
        self.shared.end_loop_turn();
        end
    }

    /// Polls, and begins to watch where that is worth it.
    fn take(&mut self, came: &mut Vec<u8>) -> Option<EngineEnd> {
        let (mut end, before) = (None, came.len());
        self.local.poll(&self.shared.commands, &self.shared.ring, |event| {
            match event {
                Event::Data { bytes, .. } => came.extend_from_slice(bytes),
                Event::Closed(how) => end = Some(how.clone()),
                other => panic!("{other:?}"),
            }
            crate::Taken::Whole
        });
        if came.len() > before && !self.net.is_watched() && self.shared.is_thin() {
            self.net.watch(true);
        }
        end
    }

    fn end(mut self, came: &mut Vec<u8>) {
        self.shared.commands.push(Command::Close(Duration::ZERO));
        let end = self.run_loop(came, |_| false);
        assert_eq!(end, Some(EngineEnd::Closed));
        self.thread.join().unwrap();
    }
}

/// Sends so many datagrams, at any time.
fn peer(net: &Arc<Net>, datagrams: u8) -> shuttle::thread::JoinHandle<()> {
    let net = Arc::clone(net);
    shuttle::thread::spawn(move || (0..datagrams).for_each(|datagram| net.arrive(datagram)))
}

/// However the two threads come to share the socket: each datagram is read, once, in order.
#[test]
fn every_datagram_is_read_whoever_watches() {
    explore(RUNS, || {
        let mut application = Application::start();
        let peer = peer(&application.net, 8);
        let mut came = Vec::new();
        application.run_loop(&mut came, |came| came.len() == 8);
        peer.join().unwrap();
        application.end(&mut came);
        assert_eq!(came, (0..8).collect::<Vec<u8>>());
    });
}

/// One after the other, so that the loop comes to watch alone: what it does not read is read by the
/// engine's thread, in the end, although no datagram wakes that.
#[test]
fn what_a_loop_that_is_stuck_leaves_is_read_by_the_engine() {
    let alone = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let times = Arc::clone(&alone);
    explore(RUNS, move || {
        let mut application = Application::start();
        let (mut came, mut sent) = (Vec::new(), 0_u8);
        let mut alone = false;
        while sent < 16 && !alone {
            application.net.arrive(sent);
            sent += 1;
            application.run_loop(&mut came, |came| came.len() == usize::from(sent));
            alone = !application.net.is_polled();
        }
        times.fetch_add(usize::from(alone), std::sync::atomic::Ordering::Relaxed);
        // Whoever watches now: the application's thread waits for something else.
        application.net.arrive(sent);
        application.net.wait_for(usize::from(sent) + 1);
        application.run_loop(&mut came, |came| came.len() > usize::from(sent));
        application.end(&mut came);
        assert_eq!(came, (0..=sent).collect::<Vec<u8>>());
    });
    let alone = alone.load(std::sync::atomic::Ordering::Relaxed);
    assert!(alone > RUNS / 10, "the loop was left alone in {alone} runs only");
}

/// What is written in a turn of the loop waits for the turn's end, and yet is seen to when that does not come: the
/// engine's thread checks, or was woken.
#[test]
fn what_is_written_in_a_turn_that_is_stuck_is_seen_to_by_the_engine() {
    explore(RUNS, || {
        let mut application = Application::start();
        let peer = peer(&application.net, 6);
        let mut came = Vec::new();
        let mut written = 0;
        let datagrams = |came: &[u8]| came.iter().filter(|byte| **byte != 100).count();
        while datagrams(&came) < 6 {
            application.run_loop(&mut came, |_| true);
            if !application.net.is_readable() {
                if datagrams(&came) < 6 {
                    application.bell.wait();
                }
                continue;
            }
            let turn = application.shared.loop_turn(0);
            if !turn.stay {
                application.net.watch(false);
            }
            if turn.events {
                application.take(&mut came);
                application.write(&[100]);
                written += 1;
                while application.credit.held().0 > 0 {
                    application.net.told.wait();
                }
            }
            application.shared.end_loop_turn();
        }
        peer.join().unwrap();
        application.end(&mut came);
        let echoes = came.iter().filter(|byte| **byte == 100).count();
        assert_eq!(echoes, written);
        came.retain(|byte| *byte != 100);
        assert_eq!(came, (0..6).collect::<Vec<u8>>());
    });
}

/// A loop that stops watching for a reason of its own leaves nothing unread.
#[test]
fn a_loop_that_goes_leaves_the_socket_to_the_engine() {
    explore(RUNS, || {
        let mut application = Application::start();
        let peer = peer(&application.net, 6);
        let mut came = Vec::new();
        application.run_loop(&mut came, |came| came.len() >= 3);
        application.shared.stop_watching();
        application.net.watch(false);
        // And it is stuck from here on.
        peer.join().unwrap();
        application.net.wait_for(6);
        application.run_loop(&mut came, |came| came.len() == 6);
        application.end(&mut came);
        assert_eq!(came, (0..6).collect::<Vec<u8>>());
    });
}

/// An engine that is stopped ends while the loop watches alone.
#[test]
fn a_stop_reaches_an_engine_that_looked_away() {
    explore(RUNS, || {
        let mut application = Application::start();
        let peer = peer(&application.net, 4);
        let mut came = Vec::new();
        application.run_loop(&mut came, |came| came.len() == 4);
        application.shared.commands.stop();
        let end = application.run_loop(&mut came, |_| false);
        assert_eq!(end, Some(EngineEnd::Closed));
        application.thread.join().unwrap();
        peer.join().unwrap();
        let turn = application.shared.loop_turn(0);
        assert!(!turn.stay && !turn.events, "nothing is read any more");
    });
}
