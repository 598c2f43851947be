//! What the application's thread asks of the engine's.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use stt_proto::{
    CloseReason, ConnectOptions, Connection, FrameType, ListenConfig, NodeId, PathAddress,
    StreamOptions,
};
use stt_udp::UdpSocket;

use crate::credit::{SendCredit, SessionCredit};
use crate::inflow::Inflow;
use crate::sync::{AtomicBool, AtomicU8, AtomicU64, Mutex, Ordering, PoisonError};
use crate::{SessionNumber, StreamNumber};

/// How a session is to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOptions {
    /// Which of the four reasons the peer is told.
    pub reason: CloseReason,
    /// An error code of the closed table, 0 for none.
    pub code: u16,
    /// Words for the peer; what exceeds 256 bytes is cut off.
    pub message: String,
    /// How long written data may still be delivered before the session ends.
    pub drain: Duration,
}

/// Where a session is to go on from and to; what is not said stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveTarget {
    /// From another address of this host. The endpoint must be bound to all of them.
    Local(IpAddr),
    /// To another address of the peer, from whichever local address the system picks.
    Remote(SocketAddr),
    /// To a connection that is open, by its number.
    Connection(u32),
    /// Both.
    Both {
        /// The address of this host.
        local: IpAddr,
        /// The address of the peer.
        remote: SocketAddr,
    },
}

impl MoveTarget {
    /// The path that this names for a session whose packets go by `now`; `None` when that path has no
    /// addresses.
    pub(crate) fn path_from(self, now: &PathAddress) -> Option<PathAddress> {
        Some(match self {
            Self::Local(local) => PathAddress::Udp { remote: now.remote()?, local: Some(local) },
            Self::Remote(remote) => PathAddress::udp(remote),
            Self::Both { local, remote } => PathAddress::Udp { remote, local: Some(local) },
            // Which one has that number only the driver knows.
            Self::Connection(_) => return None,
        })
    }
}

/// Where a connect goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectTarget {
    /// To a UDP address.
    Udp(SocketAddr),
    /// By a connection that is open, by its number.
    Connection(u32),
}

impl From<SocketAddr> for ConnectTarget {
    fn from(remote: SocketAddr) -> Self {
        Self::Udp(remote)
    }
}

pub(crate) enum Command {
    Listen(Option<ListenConfig>),
    Connect {
        session: SessionNumber,
        to: ConnectTarget,
        options: Box<ConnectOptions>,
        credit: Arc<SessionCredit>,
    },
    Accept(SessionNumber),
    Refuse(SessionNumber, u16),
    CloseSession(SessionNumber, Box<CloseOptions>),
    Open {
        session: SessionNumber,
        stream: StreamNumber,
        options: Box<StreamOptions>,
        credit: Arc<SendCredit>,
    },
    Write(StreamNumber, BytesMut),
    Finish(StreamNumber),
    Reset(StreamNumber, u16),
    Stop(StreamNumber, u16),
    Consumed(StreamNumber, u64),
    Release(StreamNumber),
    /// The session's outbox has something.
    Messages(SessionNumber),
    /// How large the datagrams of the session's path may be is of interest.
    WantMtu(SessionNumber),
    HandleFrames(SessionNumber, FrameType, bool),
    Ping(SessionNumber, u64),
    CancelPing(SessionNumber, u64),
    AnnounceEnd(SessionNumber, Duration),
    /// A connection is open: its number, whom it counts to, and what it takes.
    OpenConnection(Connection, usize, Arc<Inflow>),
    /// A message came by a connection.
    Received(u32, BytesMut),
    /// A connection has passed on so many bytes.
    ConnectionWritable(u32, usize),
    CloseConnection(u32),
    Move {
        session: SessionNumber,
        token: u64,
        to: MoveTarget,
    },
    CancelMove(SessionNumber, u64),
    /// Whether another carrier is being looked for.
    Seek(SessionNumber, bool),
    /// Go on with this socket; the number is the application's for it.
    Rebind(u64, Box<UdpSocket>),
    Revoke(NodeId),
    Close(Duration),
    /// What a bug in the driver looks like.
    #[cfg(test)]
    Panic,
}

/// The share of a window that may have been consumed without the engine's being woken for it. Credit
/// is returned in quarters, so a peer has half a window left at the least.
const CONSUMED_SHARE: u64 = 4;

/// The engine's thread is looking around, or will.
const AWAKE: u8 = 0;
/// It sleeps, or is about to, and has to be woken.
const ASLEEP: u8 = 1;
/// It was called while it was looking around, or is just waking up: it will not sleep before it has
/// looked again.
const CALLED: u8 = 2;

/// Ends a sleep of the engine's thread, or its next one if it does not sleep yet.
pub(crate) type Waker = Box<dyn Fn() + Send + Sync>;

/// The way in: filled by the application's thread, swapped out whole by the engine's.
///
/// It needs no bound of its own: what it holds is bounded by what the application itself does.
/// Written bytes are limited by [`SendCredit`], and everything else is a few words for each call.
pub(crate) struct CommandQueue {
    list: Mutex<Vec<Command>>,
    /// Bytes told as consumed that the engine was not woken for.
    consumed: AtomicU64,
    /// From so many of them on it is.
    consumed_limit: u64,
    /// [`AWAKE`], [`ASLEEP`] or [`CALLED`].
    sleep: AtomicU8,
    stopping: AtomicBool,
    /// The application's loop is in the middle of a turn, at whose end it looks at all that is left.
    in_loop_turn: AtomicBool,
    /// The engine's thread looks around by itself at short intervals.
    checking: AtomicBool,
    waker: Waker,
}

impl CommandQueue {
    /// `credit`: what the smallest window of credit holds, in bytes.
    pub(crate) fn new(waker: Waker, credit: u64) -> Self {
        Self {
            list: Mutex::default(),
            consumed: AtomicU64::new(0),
            consumed_limit: credit / CONSUMED_SHARE,
            sleep: AtomicU8::new(AWAKE),
            stopping: AtomicBool::new(false),
            in_loop_turn: AtomicBool::new(false),
            checking: AtomicBool::new(false),
            waker,
        }
    }

    /// Appends one command and wakes the engine if it sleeps.
    pub(crate) fn push(&self, command: Command) {
        self.push_all(std::iter::once(command));
    }

    /// Appends several commands at the price of one.
    pub(crate) fn push_all(&self, commands: impl Iterator<Item = Command>) {
        self.leave(commands);
        self.wake();
    }

    /// Appends commands and wakes nobody: the caller sees to that.
    pub(crate) fn leave(&self, commands: impl Iterator<Item = Command>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        for command in commands {
            append(&mut list, command);
        }
    }

    /// Appends bytes that the application has read; true when they are to be seen to. A little of it waits
    /// until the engine wakes for something else, or has become enough: a quarter of a window is the least
    /// that is told the peer, and the rest of the window keeps it going.
    pub(crate) fn leave_consumed(
        &self,
        streams: impl Iterator<Item = (StreamNumber, u64)>,
    ) -> bool {
        let mut sum = 0;
        self.leave(streams.map(|(stream, bytes)| {
            sum += bytes;
            Command::Consumed(stream, bytes)
        }));
        self.consumed.fetch_add(sum, Ordering::SeqCst) + sum >= self.consumed_limit
    }

    /// Whether the engine sleeps, or is about to.
    pub(crate) fn is_sleeping(&self) -> bool {
        self.sleep.load(Ordering::SeqCst) == ASLEEP
    }

    /// Makes the engine look around, once more if it is just doing so; costs one atomic operation
    /// when it is awake.
    ///
    /// In a turn of the application's loop nobody is woken: that turn's end does what is to be done,
    /// and should it be long in coming, the engine's thread, which is not asleep for long. A thread
    /// that has stopped to check has declared so before it looked for commands a last time.
    pub(crate) fn wake(&self) {
        if !self.waits_for_loop() {
            self.wake_now();
        }
    }

    /// Whether what was just left waits for the end of a turn of the application's loop.
    pub(crate) fn waits_for_loop(&self) -> bool {
        self.in_loop_turn.load(Ordering::Relaxed) && self.checking.load(Ordering::SeqCst)
    }

    /// The same, whatever turn this is.
    pub(crate) fn wake_now(&self) {
        if self.sleep.swap(CALLED, Ordering::SeqCst) == ASLEEP {
            (self.waker)();
        }
    }

    /// Asks the engine to end at once.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake_now();
    }

    /// A turn of the application's loop begins or ends, on its thread.
    pub(crate) fn set_in_loop_turn(&self, begins: bool) {
        self.in_loop_turn.store(begins, Ordering::Relaxed);
    }

    /// Whoever has the driver: whether the engine's thread looks around by itself at short intervals.
    pub(crate) fn set_checking(&self, checking: bool) {
        self.checking.store(checking, Ordering::SeqCst);
    }

    /// Engine's side: whether it is to end at once.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Engine's side: begins to look around, and swaps the queued commands for the empty `into`.
    pub(crate) fn take(&self, into: &mut Vec<Command>) {
        // What it was called for until now it will see.
        let _ = self.sleep.compare_exchange(CALLED, AWAKE, Ordering::SeqCst, Ordering::SeqCst);
        self.consumed.store(0, Ordering::SeqCst);
        mem::swap(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner), into);
    }

    /// Engine's side: declares that it is about to sleep; false when there is something to do.
    pub(crate) fn prepare_sleep(&self) -> bool {
        // Called since it began to look: for commands, or for room in the ring.
        if self.sleep.compare_exchange(AWAKE, ASLEEP, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            self.woke();
            return false;
        }
        // Commands that are left without a call, and a stop, are looked for all the same.
        let empty = self.list.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if !empty || self.is_stopping() {
            self.woke();
            return false;
        }
        true
    }

    /// Engine's side: awake again.
    pub(crate) fn woke(&self) {
        self.sleep.store(AWAKE, Ordering::SeqCst);
    }
}

/// Small writes to one stream join while they still wait, and so do bytes that were read.
fn append(list: &mut Vec<Command>, command: Command) {
    let command = match (list.last_mut(), command) {
        (Some(Command::Write(last, waiting)), Command::Write(stream, bytes)) if *last == stream => {
            match join(waiting, bytes) {
                Ok(()) => return,
                Err(bytes) => Command::Write(stream, bytes),
            }
        }
        (Some(Command::Consumed(last, waiting)), Command::Consumed(stream, bytes))
            if *last == stream =>
        {
            *waiting += bytes;
            return;
        }
        (_, command) => command,
    };
    list.push(command);
}

/// Appends `next` to `first` if it lies right behind it in the arena, so that no byte moves;
/// otherwise gives it back.
pub(crate) fn join(first: &mut BytesMut, next: BytesMut) -> Result<(), BytesMut> {
    let adjacent = first.len() == first.capacity() && first.as_ptr_range().end == next.as_ptr();
    if first.is_empty() || adjacent {
        first.unsplit(next);
        return Ok(());
    }
    Err(next)
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;
    use crate::arena::Arena;

    #[test]
    fn small_writes_to_one_stream_join_while_they_wait() {
        let mut arena = Arena::default();
        let mut list = Vec::new();
        let (one, other) = (StreamNumber(1), StreamNumber(2));
        for _ in 0..100 {
            append(&mut list, Command::Write(one, arena.copy(b"0123456789")));
        }
        append(&mut list, Command::Write(other, arena.copy(b"x")));
        append(&mut list, Command::Write(one, arena.copy(b"y")));
        append(&mut list, Command::Finish(one));
        append(&mut list, Command::Write(one, arena.copy(b"z")));
        let sizes: Vec<_> = list
            .iter()
            .map(|command| match command {
                Command::Write(stream, bytes) => Some((*stream, bytes.len())),
                _ => None,
            })
            .collect();
        let expected = [Some((one, 1000)), Some((other, 1)), Some((one, 1)), None, Some((one, 1))];
        assert_eq!(sizes, expected);
    }
}
