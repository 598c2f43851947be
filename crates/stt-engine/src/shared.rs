//! What both threads see, and how the driver passes from one to the other.
//!
//! The engine's thread takes turns with the driver and sleeps between them. While it sleeps the
//! driver lies here, and the application's thread may take a short turn of its own with it.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::command::{CommandQueue, Waker};
use crate::driver::Driver;
use crate::event::{EngineEnd, Event};
use crate::ring::Ring;
use crate::snapshot::Snapshot;
use crate::stats::EngineStats;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};
use crate::{SessionNumber, StreamNumber};

/// A write up to this many bytes may be sent by the thread that made it: one packet, in most
/// networks. Sealing more takes longer than waking the engine.
const SHORT_WRITE: usize = 1024;

/// A write up to this many bytes waits for the end of the loop's turn that it is made in, and goes out with the
/// others of that turn. More is the engine's, which begins at once.
const LOOP_WRITE: usize = 16 * 1024;

/// Turns of the event loop that may find the driver in use, one after the other, before it stops
/// watching: each is over at once, and the next begins at once as long as nobody has read.
const MISSES: u32 = 4;

/// What follows a turn.
pub(crate) enum Turn {
    /// The next, at once.
    Again,
    /// Sleep, at most so long.
    Sleep(Option<Duration>),
    /// Nothing: the engine has ended.
    Over,
}

/// What is driven: all the work of an engine.
pub(crate) trait Turns {
    /// What a sleep finds out.
    type Ready;

    /// A turn of the engine's thread. It says [`Turn::Sleep`] only after
    /// [`CommandQueue::prepare_sleep`] said yes.
    fn turn(&mut self) -> Turn;

    /// A turn for a little that the application wrote, on its own thread while the engine's sleeps:
    /// it saves the way over another thread, most of what a round trip costs. True when the engine's
    /// thread has to look itself.
    fn short_turn(&mut self) -> bool;

    /// A turn because the application's event loop found the socket readable, on its thread: takes
    /// in a little, and hands over what that brings without ringing. What is to be sent for it goes
    /// with a [short turn](Self::short_turn) once the application has acted.
    ///
    /// `socket` says which socket the loop watches.
    fn loop_turn(&mut self, socket: u32) -> LoopTurn;

    /// Takes note of what ended a sleep.
    ///
    /// # Errors
    /// When the poller fails, which ends the engine.
    fn note(&mut self, ready: Self::Ready) -> io::Result<()>;

    /// Events that were not yet published when the engine ended.
    fn last_events(&mut self) -> Vec<Event>;
}

/// What a turn of the application's event loop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoopTurn {
    /// The loop is to go on watching the socket; if not, the engine's thread does.
    pub(crate) stay: bool,
    /// There is something to poll for.
    pub(crate) events: bool,
    /// The engine's thread has to look itself.
    pub(crate) call: bool,
}

/// What the engine's thread sleeps on while others may use everything else.
pub(crate) trait Sleep<R> {
    /// Sleeps until there is something to look at, the waker was called, or `timeout` has passed.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<R>;
}

/// A driver, and whether it can still be used.
struct Slot<D> {
    driver: D,
    /// A short turn panicked, and said this: the next turn is the last.
    panicked: Option<String>,
}

/// See the module.
pub(crate) struct Shared<D = Driver> {
    pub(crate) commands: CommandQueue,
    pub(crate) ring: Ring,
    /// `None` once the engine has ended.
    pub(crate) stats: Snapshot<Option<EngineStats>>,
    /// Locked for each turn; empty before the engine's thread has begun and after it has ended.
    slot: Mutex<Option<Slot<D>>>,
    /// The application's event loop has stopped watching the socket without the lock: the engine's
    /// thread is to watch it, whoever did so before.
    unwatched: AtomicBool,
    /// Traffic is so thin that the loop may watch the socket.
    thin: AtomicBool,
    /// A session's packets go by a connection that the application carries.
    carries: AtomicBool,
    /// Turns of the loop in a row that found the driver in use; only the application's thread counts.
    missed: AtomicU32,
    next_session: AtomicU32,
    next_stream: AtomicU32,
    polls: AtomicU64,
}

impl<D> Shared<D> {
    /// `credit`: what the smallest window of credit holds, in bytes.
    pub(crate) fn new(waker: Waker, credit: u64, ring: Ring) -> Self {
        Self {
            commands: CommandQueue::new(waker, credit),
            ring,
            stats: Snapshot::new(Some(EngineStats::default())),
            slot: Mutex::new(None),
            unwatched: AtomicBool::new(false),
            thin: AtomicBool::new(false),
            carries: AtomicBool::new(false),
            missed: AtomicU32::new(0),
            next_session: AtomicU32::new(1),
            next_stream: AtomicU32::new(1),
            polls: AtomicU64::new(0),
        }
    }

    pub(crate) fn session_number(&self) -> SessionNumber {
        SessionNumber(self.next_session.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn stream_number(&self) -> StreamNumber {
        StreamNumber(self.next_stream.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn count_poll(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counters as of the engine's last turn; `None` when it has ended.
    pub(crate) fn stats(&self) -> Option<EngineStats> {
        let stats = self.stats.read()?;
        let doorbells = self.ring.rings() as u64;
        let polls = self.polls.load(Ordering::Relaxed);
        Some(EngineStats { doorbells, polls, ..stats })
    }

    /// The application's event loop watches the socket no more: the engine's thread is called to.
    pub(crate) fn stop_watching(&self) {
        self.unwatched.store(true, Ordering::SeqCst);
        self.commands.wake_now();
    }

    /// Engine's side, after it took the commands: whether the loop has stopped watching.
    pub(crate) fn is_unwatched(&self) -> bool {
        self.unwatched.load(Ordering::SeqCst) && self.unwatched.swap(false, Ordering::SeqCst)
    }

    /// Whether the loop may watch the socket.
    pub(crate) fn is_thin(&self) -> bool {
        self.thin.load(Ordering::Relaxed)
    }

    /// Whoever has the driver: says whether it may. A hint, which nothing else hangs on.
    pub(crate) fn set_thin(&self, thin: bool) {
        if self.is_thin() != thin {
            self.thin.store(thin, Ordering::Relaxed);
        }
    }

    /// Whoever has the driver: whether packets go by a connection. A hint as well.
    pub(crate) fn set_carries(&self, carries: bool) {
        if self.carries.load(Ordering::Relaxed) != carries {
            self.carries.store(carries, Ordering::Relaxed);
        }
    }

    /// Whether the application's thread does itself what it asks for: it has to move the bytes of a connection
    /// anyway, and the socket leaves it the time.
    pub(crate) fn is_carrying(&self) -> bool {
        self.carries.load(Ordering::Relaxed) && self.is_thin()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Slot<D>>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Turns> Shared<D> {
    /// Sees to it that `bytes` of writes, left as commands, go out: a little is sent by this thread
    /// when the engine's would have to be woken for it, everything else by the engine's.
    pub(crate) fn see_to(&self, bytes: usize) {
        if bytes == 0 || (bytes <= LOOP_WRITE && self.commands.waits_for_loop()) {
            return;
        }
        let here = bytes <= SHORT_WRITE || self.is_carrying();
        if !(here && self.commands.is_sleeping() && self.help()) {
            self.commands.wake_now();
        }
    }

    /// Sees to commands that were left: on this thread while a connection carries what comes of them.
    pub(crate) fn see_to_commands(&self) {
        if self.commands.waits_for_loop() {
            return;
        }
        if !(self.is_carrying() && self.commands.is_sleeping() && self.help()) {
            self.commands.wake_now();
        }
    }

    /// What came by a connection goes in on this thread, in place, and what that brings to the ring without
    /// ringing. `None` when the engine's thread is at work, which is then to be given it.
    pub(crate) fn turn_of_connection(&self, take: impl FnOnce(&mut D) -> LoopTurn) -> Option<bool> {
        if !(self.is_carrying() && self.commands.is_sleeping()) {
            return None;
        }
        let mut slot = self.slot.try_lock().ok()?;
        let slot = slot.as_mut().filter(|slot| slot.panicked.is_none())?;
        let done = catch_unwind(AssertUnwindSafe(|| take(&mut slot.driver)));
        let turn = done.unwrap_or_else(|panic| {
            slot.panicked = Some(words(panic.as_ref()));
            LoopTurn { stay: false, events: false, call: true }
        });
        if turn.call {
            self.commands.wake_now();
        }
        Some(turn.events)
    }

    /// Does what the application just asked for on its own thread, if the engine's sleeps and
    /// nothing was left half done; false when the engine's thread is to be woken for it.
    fn help(&self) -> bool {
        // Held by the engine's thread for all of a turn, so this one never waits.
        let Ok(mut slot) = self.slot.try_lock() else { return false };
        let Some(slot) = slot.as_mut().filter(|slot| slot.panicked.is_none()) else {
            return false;
        };
        match catch_unwind(AssertUnwindSafe(|| slot.driver.short_turn())) {
            Ok(look) => !look,
            Err(panic) => {
                slot.panicked = Some(words(panic.as_ref()));
                false
            }
        }
    }

    /// A turn of the application's event loop, whose socket is readable. It never waits: when the
    /// engine's thread is at work it reads by itself, and a loop that finds it so a few times in a
    /// row is sent away.
    pub(crate) fn loop_turn(&self, socket: u32) -> LoopTurn {
        let away = LoopTurn { stay: false, events: false, call: false };
        let Ok(mut slot) = self.slot.try_lock() else {
            let missed = self.missed.fetch_add(1, Ordering::Relaxed) + 1;
            if missed < MISSES {
                return LoopTurn { stay: true, ..away };
            }
            self.missed.store(0, Ordering::Relaxed);
            self.stop_watching();
            return away;
        };
        self.missed.store(0, Ordering::Relaxed);
        let Some(slot) = slot.as_mut().filter(|slot| slot.panicked.is_none()) else {
            // Nothing is read any more, by anybody.
            return away;
        };
        let done = catch_unwind(AssertUnwindSafe(|| slot.driver.loop_turn(socket)));
        let turn = done.unwrap_or_else(|panic| {
            slot.panicked = Some(words(panic.as_ref()));
            LoopTurn { call: true, ..away }
        });
        if turn.call {
            self.commands.wake_now();
        }
        self.commands.set_in_loop_turn(turn.events);
        turn
    }

    /// Does what the application asked for since [`loop_turn`](Self::loop_turn), all at once, and
    /// sends what that turn left to be sent.
    pub(crate) fn end_loop_turn(&self) {
        self.commands.set_in_loop_turn(false);
        if !(self.commands.is_sleeping() && self.help()) {
            self.commands.wake_now();
        }
    }

    /// What `ask` says of the driver, if nobody uses it now.
    #[cfg(unix)]
    pub(crate) fn with_driver<T>(&self, ask: impl FnOnce(&D) -> T) -> Option<T> {
        let slot = self.slot.try_lock().ok()?;
        Some(ask(&slot.as_ref()?.driver))
    }

    /// One turn, or what a panic in it, or in a short one before it, said.
    fn turn(&self) -> Result<Turn, String> {
        let mut slot = self.slot();
        let Some(slot) = &mut *slot else { return Ok(Turn::Over) };
        if let Some(words) = slot.panicked.take() {
            return Err(words);
        }
        // The driver is not used again after a panic, so nobody sees what it left half done.
        catch_unwind(AssertUnwindSafe(|| slot.driver.turn())).map_err(|panic| words(panic.as_ref()))
    }
}

/// The engine's thread: runs the driver to its end, whatever that is, and tells the application of
/// it.
pub(crate) fn run<D: Turns>(driver: D, mut sleeper: impl Sleep<D::Ready>, shared: &Shared<D>) {
    *shared.slot() = Some(Slot { driver, panicked: None });
    let end = loop {
        match shared.turn() {
            Ok(Turn::Again) => {}
            Ok(Turn::Over) => break EngineEnd::Closed,
            Ok(Turn::Sleep(timeout)) => {
                let ready = sleeper.wait(timeout);
                shared.commands.woke();
                let noted = ready.and_then(|ready| match &mut *shared.slot() {
                    Some(slot) => slot.driver.note(ready),
                    None => Ok(()),
                });
                if let Err(error) = noted {
                    break EngineEnd::Poller(error.raw_os_error().unwrap_or(0));
                }
            }
            Err(words) => break EngineEnd::Panicked(words),
        }
    };
    let slot = shared.slot().take();
    let mut last = Vec::new();
    if let Some(Slot { mut driver, .. }) = slot {
        last = driver.last_events();
        // Sockets and sessions are gone by the time the application hears of it.
        drop(catch_unwind(AssertUnwindSafe(|| drop(driver))));
    }
    shared.stats.publish(None);
    last.push(Event::Closed(end));
    shared.ring.publish(&mut last);
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the engine thread panicked".to_owned())
}
