//! The hand-over between the two threads under a model checker (`docs/adr/0059`).
//!
//! What runs here is the code that ships: [`CommandQueue`], [`Ring`], [`SendCredit`],
//! [`Outbox`](crate::outbox::Outbox), [`Snapshot`](crate::snapshot::Snapshot), [`Local`] and the
//! engine's loop, [`run`]. Only what needs an operating system has a stand-in: the waker and the
//! poller are a [`Park`], the driver, with its core, is an [`Echo`], and its socket a [`Net`].
//!
//! The checker runs each test under many orders of events. A wake-up that gets lost leaves both
//! threads asleep, which it reports as a deadlock, with the schedule that led there.

mod broken;
mod net;
mod parts;
mod whole;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::sync::{Condvar, Mutex};
use shuttle::{Config, Runner};
use stt_proto::{FrameType, Instant, Memory, SessionConfig};

use crate::command::{Command, CommandQueue};
use crate::credit::{SendCredit, SessionCredit};
use crate::event::Event;
use crate::local::{Local, Writer};
use crate::ring::{Ring, data_len};
use crate::shared::{LoopTurn, Shared, Sleep, Turn, Turns, run};
use crate::stats::EngineStats;
use crate::watch::{CHECK, Watch};
use crate::{SessionNumber, StreamNumber};

use self::net::Net;

/// The one session.
const SESSION: SessionNumber = SessionNumber(1);
/// The one stream.
const STREAM: StreamNumber = StreamNumber(1);
/// What the ring holds.
const EVENTS: usize = 2;
/// Bytes that the stream may have outstanding.
const SEND_BUFFER: u64 = 2;
/// Where the random schedules begin: the same in each run.
const SEED: u64 = 0x5354_5421;
/// Changes of the running thread that the second kind of random schedule bets on.
const DEPTH: usize = 3;

/// Runs `test` under `count` random schedules, and as many that switch threads seldom, which find
/// what needs one long delay.
fn explore(count: usize, test: impl Fn() + Send + Sync + Clone + 'static) {
    let random = RandomScheduler::new_from_seed(SEED, count);
    Runner::new(random, Config::new()).run(test.clone());
    let seldom = PctScheduler::new_from_seed(SEED, DEPTH, count);
    Runner::new(seldom, Config::new()).run(test);
}

/// Runs `test` under every schedule there is, and answers how many these are.
fn exhaust(test: impl Fn() + Send + Sync + 'static) -> usize {
    Runner::new(DfsScheduler::new(None, false), Config::new()).run(test)
}

/// Wakes whoever waits, or the next who does: a waker and its poller, or a doorbell and the
/// application's loop.
#[derive(Default)]
struct Park {
    called: Mutex<bool>,
    changed: Condvar,
}

impl Park {
    fn call(&self) {
        *self.called.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut called = self.called.lock().unwrap();
        while !*called {
            called = self.changed.wait(called).unwrap();
        }
        *called = false;
    }
}

/// The poller of the engine's thread. It wakes by itself only while that checks the application's
/// loop, and then whenever it likes.
struct Poller(Arc<Park>);

impl Sleep<()> for Poller {
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match timeout {
            None => self.0.wait(),
            Some(timeout) => {
                assert!(timeout <= CHECK, "nothing else has a clock");
                shuttle::thread::yield_now();
            }
        }
        Ok(())
    }
}

/// A driver whose peer is a mirror: what is written comes back, and is acknowledged, as soon as the
/// ring has room. It keeps to the order of steps of [`Driver`](crate::driver::Driver).
struct Echo {
    shared: Arc<Shared<Self>>,
    credit: Arc<SendCredit>,
    session: Arc<SessionCredit>,
    /// What the core holds because the ring has no room.
    core: VecDeque<Event>,
    out: Vec<Event>,
    out_bytes: usize,
    commands: Vec<Command>,
    closing: bool,
    stats: EngineStats,
    net: Arc<Net>,
    /// What the poller said of the socket holds until it was found empty.
    readable: bool,
    watch: Watch,
    now: Instant,
}

impl Echo {
    fn run_commands(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        self.shared.commands.take(&mut commands);
        for command in commands.drain(..) {
            match command {
                Command::Write(stream, bytes) => {
                    let room = self.credit.release(bytes.len() as u64);
                    self.net.told.call();
                    self.core.push_back(Event::Data { stream, bytes: bytes.freeze(), fin: false });
                    self.core.extend(room.then_some(Event::Writable(stream)));
                }
                Command::Messages(session) => {
                    for message in self.session.outbox.take() {
                        let (frame_type, bytes) = (message.frame_type, message.bytes);
                        self.core.push_back(Event::Message { session, frame_type, bytes });
                    }
                    if self.session.outbox.settle(0) {
                        self.core.push_back(Event::MessagesWritable(session));
                    }
                }
                Command::Close(_) => self.closing = true,
                Command::Panic => panic!("asked for by a test"),
                _ => panic!("no test asks for this"),
            }
        }
        self.commands = commands;
    }

    /// Moves what the core has to the ring while it has room, and rings.
    fn collect(&mut self) {
        self.fill();
        self.shared.ring.publish(&mut self.out);
        self.check_bound();
    }

    fn fill(&mut self) {
        while !self.core.is_empty() && self.shared.ring.room(self.out.len(), self.out_bytes) {
            let Some(event) = self.core.pop_front() else { break };
            self.out_bytes += data_len(&event);
            self.out.push(event);
        }
        self.shared.stats.publish(Some(self.stats));
        self.out_bytes = 0;
    }

    fn check_bound(&self) {
        let (events, _) = self.shared.ring.held();
        assert!(events <= EVENTS, "{events} events in a ring for {EVENTS}");
    }
}

impl Turns for Echo {
    type Ready = ();

    fn turn(&mut self) -> Turn {
        self.stats.turns += 1;
        self.now += CHECK;
        self.run_commands();
        if self.shared.commands.is_stopping() {
            return Turn::Over;
        }
        self.check_loop();
        if self.readable {
            self.receive();
        }
        self.collect();
        self.shared.set_thin(true);
        if self.closing && self.core.is_empty() {
            return Turn::Over;
        }
        let more = !self.core.is_empty() && self.shared.ring.room(0, 0);
        if more || !self.shared.commands.prepare_sleep() {
            return Turn::Again;
        }
        Turn::Sleep(self.watch.next_check().map(|_| CHECK))
    }

    fn short_turn(&mut self) -> bool {
        self.stats.turns += 1;
        self.run_commands();
        self.collect();
        self.closing || !self.core.is_empty()
    }

    fn loop_turn(&mut self, _: u32) -> LoopTurn {
        self.turn_of_loop()
    }

    fn note(&mut self, (): ()) -> io::Result<()> {
        self.readable |= self.net.take_edge();
        Ok(())
    }

    fn last_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.out)
    }
}

/// The application's side of an engine that echoes.
struct Application {
    shared: Arc<Shared<Echo>>,
    local: Local,
    /// The doorbell.
    bell: Arc<Park>,
    waker: Arc<Park>,
    credit: Arc<SendCredit>,
    session: Arc<SessionCredit>,
    net: Arc<Net>,
    thread: shuttle::thread::JoinHandle<()>,
}

impl Application {
    fn start() -> Self {
        let (bell, waker) = (Arc::<Park>::default(), Arc::<Park>::default());
        let (ring_it, wake_it) = (Arc::clone(&bell), Arc::clone(&waker));
        let ring = Ring::with_bounds(Box::new(move || ring_it.call()), EVENTS, usize::MAX);
        let shared = Arc::new(Shared::new(Box::new(move || wake_it.call()), 4, ring));
        let config = SessionConfig {
            send_buffer: SEND_BUFFER,
            datagram_send_buffer: 2 * 65,
            ..SessionConfig::default()
        };
        let session = SessionCredit::new(&config, &Arc::new(Memory::new(u64::MAX)));
        session.outbox.set_max_size(1);
        let credit = SendCredit::new(&session, SEND_BUFFER);
        let mut local = Local::default();
        let writer = Writer::new(SESSION, Arc::clone(&credit));
        local.writers.insert(STREAM, writer);
        let net = Arc::new(Net::new(Arc::clone(&waker), Arc::clone(&bell)));
        let echo = Echo {
            net: Arc::clone(&net),
            readable: true,
            watch: Watch::default(),
            now: Instant::from_nanos(0),
            shared: Arc::clone(&shared),
            credit: Arc::clone(&credit),
            session: Arc::clone(&session),
            core: VecDeque::new(),
            out: Vec::new(),
            out_bytes: 0,
            commands: Vec::new(),
            closing: false,
            stats: EngineStats::default(),
        };
        let theirs = Arc::clone(&shared);
        let poller = Poller(Arc::clone(&waker));
        let thread = shuttle::thread::spawn(move || run(echo, poller, &theirs));
        Self { shared, local, bell, waker, credit, session, net, thread }
    }

    /// As [`Engine::write`](crate::Engine::write) does.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let pieces = std::iter::once(bytes);
        let (taken, cut) = self.local.write(&self.shared.commands, STREAM, pieces);
        assert_eq!(cut, None, "nobody ended the stream, and memory has no ceiling");
        let (stream, _) = self.credit.held();
        assert!(stream <= SEND_BUFFER, "{stream} bytes outstanding");
        self.shared.see_to(taken);
        taken
    }

    /// As [`Engine::send_message`](crate::Engine::send_message) does.
    fn send_message(&mut self, byte: u8) -> crate::Sent {
        let (sent, announce) = self.session.outbox.push(FrameType::DATAGRAM, &[byte]);
        if announce {
            self.shared.commands.push(Command::Messages(SESSION));
        }
        sent
    }

    /// The next events, at least one, in order.
    fn next(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            self.local.poll(&self.shared.commands, &self.shared.ring, |event| {
                events.push(std::mem::replace(event, Event::Writable(StreamNumber(0))));
                crate::Taken::Whole
            });
            if !events.is_empty() {
                return events;
            }
            self.bell.wait();
        }
    }
}

fn queue(waker: &Arc<Park>, credit: u64) -> Arc<CommandQueue> {
    let waker = Arc::clone(waker);
    Arc::new(CommandQueue::new(Box::new(move || waker.call()), credit))
}
