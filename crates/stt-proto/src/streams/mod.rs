//! The streams of one session: what was written and read, credit both ways, and who sends next.

mod event;
mod id;
mod inbound;
mod options;
mod outbound;
mod ranges;
mod recv;
mod scheduler;
mod send;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use rustc_hash::FxHashMap;

pub use self::id::{Direction, StreamId};
pub use self::options::{OpenError, ReadError, StreamOptions, WriteError};
pub use self::recv::ReadOutcome;

pub(crate) use self::event::{PeerFault, StreamEvent};
pub(crate) use self::options::{LocalLimits, PeerLimits};
pub(crate) use self::outbound::DataWritten;

use self::recv::RecvHalf;
use self::scheduler::Scheduler;
use self::send::SendHalf;

/// Names that one session may use up (PROTOCOL.md section 1).
const MAX_NAMES: usize = 4096;

/// One stream; a half that a unidirectional stream does not have counts as done.
#[derive(Debug)]
struct Stream {
    send: Option<SendHalf>,
    recv: Option<RecvHalf>,
    priority: u8,
    /// Whether the application knows it: opened here, or its STREAM_OPEN has come.
    announced: bool,
    /// STREAM_OPEN that the peer may not have yet.
    open: Option<Box<Opening>>,
    stop: Stop,
    /// In the scheduler, in the queue of repeats, or neither.
    scheduled: bool,
    repeating: bool,
    window_due: bool,
    readable_told: bool,
    release_queued: bool,
    finish_told: bool,
    /// The application reset it or was told of the reset: its STREAM_CLOSE waits for a turn.
    control_queued: bool,
}

#[derive(Debug)]
struct Opening {
    purpose: String,
    name: Option<u32>,
    pending: bool,
}

/// How far a STREAM_STOP has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    None,
    Pending(u64),
    Sent(u64),
}

/// Streams of one kind that one side opens.
#[derive(Clone, Copy, Debug, Default)]
struct Opened {
    /// Opened so far: ids below are in use or spent.
    count: u64,
    /// May be opened in all.
    limit: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Streams {
    initiator: bool,
    limits: LocalLimits,
    peer_window: u64,
    streams: FxHashMap<u32, Box<Stream>>,
    /// By [`Direction`]: opened here, opened by the peer.
    local: [Opened; 2],
    remote: [Opened; 2],
    /// Opens that were refused, and wait to be told that there is room.
    refused: [bool; 2],
    max_streams_due: [bool; 2],
    names: BTreeMap<u32, Option<StreamId>>,
    scheduler: Scheduler,
    repeats: VecDeque<u32>,
    /// Streams with control frames to send.
    control: BTreeSet<u32>,
    events: VecDeque<StreamEvent>,
    /// Sending: bytes allowed by the peer and used, over all streams.
    send_limit: u64,
    sent: u64,
    /// Receiving: bytes allowed, seen, and taken or given up, over all streams.
    recv_limit: u64,
    received: u64,
    consumed: u64,
    session_window_due: bool,
}

impl Streams {
    pub(crate) fn new(initiator: bool, limits: LocalLimits) -> Self {
        let remote = [limits.max_bidi, limits.max_uni]
            .map(|limit| Opened { count: 0, limit: u64::from(limit).min(StreamId::MAX_PER_KIND) });
        Self {
            initiator,
            limits,
            peer_window: 0,
            streams: FxHashMap::default(),
            local: [Opened::default(); 2],
            remote,
            refused: [false; 2],
            max_streams_due: [false; 2],
            names: BTreeMap::new(),
            scheduler: Scheduler::default(),
            repeats: VecDeque::new(),
            control: BTreeSet::new(),
            events: VecDeque::new(),
            send_limit: 0,
            sent: 0,
            recv_limit: limits.session_window,
            received: 0,
            consumed: 0,
            session_window_due: false,
        }
    }

    pub(crate) fn set_peer_limits(&mut self, limits: PeerLimits) {
        self.local[0].limit = u64::from(limits.max_bidi).min(StreamId::MAX_PER_KIND);
        self.local[1].limit = u64::from(limits.max_uni).min(StreamId::MAX_PER_KIND);
        self.peer_window = limits.stream_window;
        self.send_limit = limits.session_window;
    }

    /// Opens a stream; its STREAM_OPEN goes out with the next packet.
    pub(crate) fn open(&mut self, options: StreamOptions) -> Result<StreamId, OpenError> {
        let kind = options.direction as usize;
        if self.local[kind].count >= self.local[kind].limit {
            self.refused[kind] = true;
            return Err(OpenError::TooManyStreams { limit: self.local[kind].limit, local: false });
        }
        let id = StreamId::new(self.local[kind].count, self.initiator, options.direction);
        if let Some(name) = options.name {
            if self.names.contains_key(&name) {
                return Err(OpenError::NameConflict);
            }
            if self.names.len() >= MAX_NAMES {
                return Err(OpenError::TooManyStreams { limit: MAX_NAMES as u64, local: true });
            }
            self.names.insert(name, Some(id));
        }
        self.local[kind].count += 1;
        let mut stream = self.stream(id, true);
        stream.priority = options.priority.min(7);
        stream.announced = true;
        stream.control_queued = true;
        stream.open =
            Some(Box::new(Opening { purpose: options.purpose, name: options.name, pending: true }));
        self.streams.insert(id.0, Box::new(stream));
        self.control.insert(id.0);
        Ok(id)
    }

    /// A fresh stream with the halves that this side has.
    fn stream(&self, id: StreamId, local: bool) -> Stream {
        let both = id.direction() == Direction::Bidirectional;
        Stream {
            send: (both || local).then(|| SendHalf::new(self.peer_window)),
            recv: (both || !local).then(|| RecvHalf::new(self.limits.stream_window)),
            priority: 3,
            announced: false,
            open: None,
            stop: Stop::None,
            scheduled: false,
            repeating: false,
            window_due: false,
            readable_told: false,
            release_queued: false,
            finish_told: false,
            control_queued: false,
        }
    }

    fn is_local(&self, id: StreamId) -> bool {
        id.is_of_initiator() == self.initiator
    }

    /// Takes bytes. The driver bounds how many.
    pub(crate) fn write(&mut self, id: StreamId, bytes: Bytes) -> Result<(), WriteError> {
        let send = self.open_send(id)?;
        send.write(bytes);
        self.schedule(id.0);
        Ok(())
    }

    /// Ends the sending half after what was written.
    pub(crate) fn finish(&mut self, id: StreamId) -> Result<(), WriteError> {
        let send = self.open_send(id)?;
        send.finish();
        self.schedule(id.0);
        Ok(())
    }

    fn open_send(&mut self, id: StreamId) -> Result<&mut SendHalf, WriteError> {
        let stream = self.streams.get_mut(&id.0).ok_or(WriteError::UnknownStream)?;
        let send = stream.send.as_mut().ok_or(WriteError::UnknownStream)?;
        if send.is_open() { Ok(send) } else { Err(WriteError::Closed) }
    }

    /// Aborts sending: what the peer does not have is given up.
    pub(crate) fn reset(&mut self, id: StreamId, code: u64) -> Result<(), WriteError> {
        let stream = self.streams.get_mut(&id.0).ok_or(WriteError::UnknownStream)?;
        let send = stream.send.as_mut().ok_or(WriteError::UnknownStream)?;
        if send.abort(code) {
            self.control.insert(id.0);
        }
        Ok(())
    }

    /// Asks the peer to abort its sending; nothing more can be read.
    pub(crate) fn stop(&mut self, id: StreamId, code: u64) -> Result<(), ReadError> {
        let stream = self.streams.get_mut(&id.0).ok_or(ReadError::UnknownStream)?;
        let recv = stream.recv.as_mut().ok_or(ReadError::UnknownStream)?;
        let was = recv.unreadable();
        recv.stop();
        let given_up = recv.unreadable() - was;
        if recv.is_size_open() && stream.stop == Stop::None {
            stream.stop = Stop::Pending(code);
            self.control.insert(id.0);
        }
        self.give_up(given_up);
        self.forget_if_done(id);
        Ok(())
    }

    /// Takes out the next bytes, at most `max`. The credit comes with [`Streams::consumed`].
    pub(crate) fn read(&mut self, id: StreamId, max: usize) -> Result<ReadOutcome, ReadError> {
        let stream = self.streams.get_mut(&id.0).ok_or(ReadError::UnknownStream)?;
        let recv = stream.recv.as_mut().ok_or(ReadError::UnknownStream)?;
        let outcome = recv.read(max);
        if outcome == ReadOutcome::Blocked {
            stream.readable_told = false;
        }
        if matches!(outcome, ReadOutcome::Finished | ReadOutcome::Reset(_)) {
            self.forget_if_done(id);
        }
        Ok(outcome)
    }

    /// The application has taken `bytes`; works for streams that are forgotten already.
    pub(crate) fn consumed(&mut self, id: StreamId, bytes: u64) {
        if let Some(recv) = self.streams.get_mut(&id.0).and_then(|stream| {
            let due = stream.recv.as_mut().is_some_and(|recv| recv.on_consumed(bytes));
            due.then_some(stream)
        }) {
            recv.window_due = true;
            self.control.insert(id.0);
        }
        self.give_up(bytes);
    }

    /// Credit of the session that is free again.
    fn give_up(&mut self, bytes: u64) {
        self.consumed = (self.consumed + bytes).min(self.received);
        let window = self.limits.session_window;
        if self.consumed + window - self.recv_limit >= window / 2 && window > 0 {
            self.session_window_due |= self.consumed + window > self.recv_limit;
        }
    }

    /// Puts a stream where its next bytes are taken from, if it has any to send.
    fn schedule(&mut self, raw: u32) {
        let Some(stream) = self.streams.get_mut(&raw) else { return };
        let Some(send) = &stream.send else { return };
        if send.wants_repeat() && !stream.repeating {
            stream.repeating = true;
            self.repeats.push_back(raw);
        }
        if send.wants_fresh() && !stream.scheduled {
            stream.scheduled = true;
            self.scheduler.push(raw, stream.priority);
        }
    }

    /// Forgets a stream of which nothing matters any more, and lets the peer open another.
    fn forget_if_done(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id.0) else { return };
        let done = stream.send.as_ref().is_none_or(SendHalf::is_done)
            && stream.recv.as_ref().is_none_or(RecvHalf::is_done)
            && stream.open.is_none()
            && stream.announced;
        if !done {
            return;
        }
        self.streams.remove(&id.0);
        self.control.remove(&id.0);
        self.events.push_back(StreamEvent::Closed { stream: id });
        if !self.is_local(id) {
            let kind = id.direction() as usize;
            let opened = &mut self.remote[kind];
            opened.limit = (opened.limit + 1).min(StreamId::MAX_PER_KIND);
            self.max_streams_due[kind] = true;
        }
    }

    /// The next thing to tell, in order.
    pub(crate) fn poll_event(&mut self) -> Option<StreamEvent> {
        let mut event = self.events.pop_front()?;
        if let StreamEvent::Released { stream, acked } = &mut event
            && let Some(entry) = self.streams.get_mut(&stream.0)
        {
            // Acknowledgements since it was queued are told with it.
            entry.release_queued = false;
            *acked = entry.send.as_ref().map_or(*acked, SendHalf::acked_prefix);
        }
        Some(event)
    }

    /// Bytes written that the peer has not acknowledged.
    pub(crate) fn undelivered(&self) -> u64 {
        self.streams
            .values()
            .filter_map(|stream| stream.send.as_ref())
            .map(SendHalf::unacknowledged)
            .sum()
    }

    /// Whether nothing that was written, opened or ended is still on its way.
    pub(crate) fn is_drained(&self) -> bool {
        self.streams.values().all(|stream| {
            stream.open.is_none() && stream.send.as_ref().is_none_or(SendHalf::is_drained)
        })
    }

    /// Whether the application could still read something.
    pub(crate) fn has_unread(&self) -> bool {
        self.streams.values().any(|stream| {
            stream.announced && stream.recv.as_ref().is_some_and(RecvHalf::has_unread)
        })
    }

    /// Nothing is sent any more; what has arrived stays readable.
    pub(crate) fn on_session_end(&mut self) {
        for stream in self.streams.values_mut() {
            stream.send = None;
            stream.open = None;
        }
        self.scheduler = Scheduler::default();
        self.repeats = VecDeque::new();
        self.control = BTreeSet::new();
        self.session_window_due = false;
        self.max_streams_due = [false; 2];
    }
}
