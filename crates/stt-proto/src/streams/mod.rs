//! The streams of one session: what was written and read, credit both ways, and who sends next.
//!
//! [`Streams`] is a table of [`stream::Stream`]s with three faces: the application's
//! ([`commands`]), the peer's frames ([`inbound`]), and what goes into packets and what becomes of it
//! ([`outbound`]). It has no clock and no timer, and knows neither packets nor paths: what a packet
//! carried comes back as [`Content`](crate::recovery::content::Content), acknowledged or lost, and
//! lost things are sent again in the form that holds by then.
//!
//! A stream is forgotten once both halves are done and both sides know of it. Of those that the peer
//! opened, the set of ended ordinals is kept, as ranges ([`limits::PeerStreams`]): its size is bounded
//! by the streams that may be open, not by how many ever were. A late frame of an ended stream is
//! thereby told from an early one of a new stream.

mod assembler;
mod blocks;
mod commands;
mod deadline;
mod event;
mod flow;
mod id;
mod inbound;
#[cfg(feature = "inspect")]
mod inspect;
mod limits;
mod names;
mod options;
mod outbound;
mod ranges;
mod recv;
mod scheduler;
mod send;
mod send_buffer;
mod skips;
mod stream;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

pub use self::id::{Direction, StreamId};
pub use self::options::{OpenError, ReadError, StreamOptions, WriteError};
pub use self::recv::ReadOutcome;

pub(crate) use self::blocks::Blocks;
pub(crate) use self::event::{PeerFault, StreamEvent};
pub(crate) use self::limits::{INITIAL_SESSION_WINDOW, LocalLimits, PeerLimits};
pub(crate) use self::outbound::DataWritten;

use crate::memory::{Memory, Room};

use self::blocks::BLOCK;
use self::flow::{RecvCredit, SendCredit};
use self::limits::{OwnStreams, PeerStreams};
use self::names::Names;
use self::recv::RecvHalf;
use self::scheduler::{Lane, Scheduler};
use self::send::SendHalf;
use self::skips::{SkipCounts, Skips};
use self::stream::{Owed, Stream};

/// Bytes of receive window for which a session keeps one run of bytes out of order. No sender with
/// packets in use comes near it; one that does wants to cost memory.
const WINDOW_PER_RUN: u64 = 256;
/// Runs out of order that a session always keeps.
const MIN_RUNS: u64 = 4096;
/// Room for so many events is kept while there are none, but streams.
const FEW_EVENTS: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Streams {
    initiator: bool,
    limits: LocalLimits,
    peer_stream_window: u64,
    /// Ordered, because the peer chooses ids within its limits.
    table: BTreeMap<u32, Box<Stream>>,
    /// By [`Direction`].
    own: [OwnStreams; 2],
    peers: [PeerStreams; 2],
    names: Names,
    scheduler: Scheduler,
    /// Streams that owe control frames.
    control: VecDeque<u32>,
    owes_session_window: bool,
    /// By [`Direction`].
    owes_max_streams: [bool; 2],
    events: VecDeque<StreamEvent>,
    send_credit: SendCredit,
    /// Data has used up credit, its stream's or the session's, since that was last asked about.
    ran_dry: bool,
    recv_credit: RecvCredit,
    /// Bytes that were read from streams whose half is done, and not consumed yet.
    orphaned: u64,
    /// Runs out of order, over all streams.
    runs: u64,
    /// Streams that fill a large block.
    large_tails: u64,
    /// Boxed, because few sessions have deadline streams.
    skips: Box<Skips>,
    /// How much more the endpoint may hold.
    room: Room,
    has_ended: bool,
}

impl Streams {
    /// The streams of a session that this side opened, if `initiator`, or the peer.
    pub(crate) fn new(initiator: bool, limits: LocalLimits) -> Self {
        Self {
            initiator,
            limits,
            peer_stream_window: 0,
            table: BTreeMap::new(),
            own: [OwnStreams::new(limits.max_bidi), OwnStreams::new(limits.max_uni)],
            peers: [PeerStreams::new(limits.max_bidi), PeerStreams::new(limits.max_uni)],
            names: Names::default(),
            scheduler: Scheduler::default(),
            control: VecDeque::new(),
            owes_session_window: false,
            owes_max_streams: [false; 2],
            events: VecDeque::new(),
            send_credit: SendCredit::default(),
            ran_dry: false,
            recv_credit: RecvCredit::new(limits.session_window, limits.max_session_window),
            orphaned: 0,
            runs: 0,
            large_tails: 0,
            skips: Box::default(),
            room: Room::UNBOUNDED,
            has_ended: false,
        }
    }

    /// How much more the endpoint may hold, from now on.
    pub(crate) fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// Bytes that the endpoint may hold beside what it does.
    pub(crate) const fn room(&self) -> u64 {
        self.room.all
    }

    fn floor(&self) -> u64 {
        Memory::SESSION_FLOOR.min(self.limits.session_window)
    }

    /// What memory is to be counted for the streams: what the peer may send, and has sent that nobody
    /// has consumed; the streams themselves; and the blocks that some of them fill.
    pub(crate) fn memory(&self, has_ended: bool) -> u64 {
        let promised = match has_ended {
            // What a session has in any case is kept for it.
            false => self.recv_credit.promised().max(self.floor()),
            // Nothing comes any more.
            true => self.recv_credit.received().saturating_sub(self.recv_credit.consumed()),
        };
        promised + self.table.len() as u64 * Memory::STREAM + self.large_tails * BLOCK as u64
    }

    /// What the peer's transport parameters allow. Before this call nothing can be opened.
    pub(crate) fn set_peer_limits(&mut self, limits: PeerLimits) {
        self.own[Direction::Bidirectional as usize].raise(u64::from(limits.max_bidi));
        self.own[Direction::Unidirectional as usize].raise(u64::from(limits.max_uni));
        self.peer_stream_window = limits.stream_window;
        self.send_credit.raise(limits.session_window);
    }

    /// What happened since, in order.
    pub(crate) fn poll_event(&mut self) -> Option<StreamEvent> {
        let Some(mut event) = self.events.pop_front() else {
            if self.table.is_empty() || self.events.capacity() > FEW_EVENTS {
                self.events = VecDeque::new();
            }
            return None;
        };
        if let StreamEvent::Released { stream, acked } = &mut event
            && let Some(entry) = self.table.get_mut(&stream.as_u32())
            && let Some(send) = &entry.send
        {
            // What was acknowledged while the event waited is told with it.
            entry.is_release_queued = false;
            *acked = send.released();
        }
        Some(event)
    }

    /// Bytes that were given up for their age.
    pub(crate) fn skip_counts(&self) -> SkipCounts {
        self.skips.counts
    }

    /// Bytes written that the peer has not acknowledged. Streams that were reset do not count.
    pub(crate) fn undelivered(&self) -> u64 {
        self.table
            .values()
            .filter_map(|stream| stream.send.as_ref())
            .map(SendHalf::undelivered)
            .sum()
    }

    /// Whether the peer has acknowledged all that it was to be given: bytes, FINs and resets.
    pub(crate) fn is_drained(&self) -> bool {
        self.table.values().all(|stream| stream.send.as_ref().is_none_or(SendHalf::is_drained))
    }

    /// Whether a read of any stream would find bytes or an end.
    pub(crate) fn has_unread(&self) -> bool {
        self.table
            .values()
            .any(|stream| stream.is_told && stream.recv.as_ref().is_some_and(RecvHalf::is_readable))
    }

    /// Whether the peer has begun something on a stream that is not all here yet.
    pub(crate) fn is_receiving(&self) -> bool {
        self.table.values().any(|stream| stream.recv.as_ref().is_some_and(RecvHalf::is_begun))
    }

    /// Whether data has used up credit since [`Streams::ask_for_credit`], so that more of it may wait.
    pub(crate) const fn has_run_dry(&self) -> bool {
        self.ran_dry
    }

    /// Whether data waits for the peer to give credit, and the peer was not asked about that yet: once it
    /// was, more data has to use up credit first.
    pub(crate) fn ask_for_credit(&mut self) -> bool {
        core::mem::take(&mut self.ran_dry)
            && !self.wants_data()
            && self.table.values().any(|s| s.send.as_ref().is_some_and(SendHalf::has_more))
    }

    /// The session is over: nothing is sent or received any more. What stands in order stays readable,
    /// up to FIN where it came.
    pub(crate) fn on_session_end(&mut self) {
        self.has_ended = true;
        self.table.retain(|_, stream| {
            stream.send = None;
            stream.opening = None;
            stream.owed = Owed::NOTHING;
            match &mut stream.recv {
                Some(recv) if stream.is_told && recv.is_readable() => recv.discard_early(),
                _ => return false,
            }
            true
        });
        let halves = self.table.values().filter_map(|stream| stream.recv.as_ref());
        self.large_tails = halves.filter(|recv| recv.has_large_tail()).count() as u64;
        self.skips.forget();
        self.scheduler = Scheduler::default();
        self.control = VecDeque::new();
        self.owes_session_window = false;
        self.owes_max_streams = [false; 2];
    }

    /// Streams that may fill a large block at a time: what such a block holds is counted by credit, the
    /// block is not, so together they take what the largest window of the session would
    /// (`docs/adr/0074`).
    fn most_large_tails(&self) -> u64 {
        (self.limits.max_session_window / BLOCK as u64).max(1)
    }

    fn is_own(&self, id: StreamId) -> bool {
        id.is_by_initiator() == self.initiator
    }

    fn new_recv_half(&self) -> RecvHalf {
        let LocalLimits { stream_window, max_stream_window, .. } = self.limits;
        RecvHalf::new(RecvCredit::new(stream_window, max_stream_window))
    }

    /// Notes that a stream owes the peer a control frame.
    fn owe(&mut self, raw: u32, what: Owed) {
        let Some(stream) = self.table.get_mut(&raw) else { return };
        stream.owed.add(what);
        if !stream.is_in_control {
            stream.is_in_control = true;
            self.control.push_back(raw);
        }
    }

    /// Lets a stream wait for its turn where it has something to send, and only there: whoever has
    /// the turn can send.
    fn schedule(&mut self, raw: u32) {
        let Some(stream) = self.table.get_mut(&raw) else { return };
        // The peer would hold data that comes before STREAM_OPEN, but why make it.
        let may_send = stream.opening.is_none() || stream.is_open_sent;
        let send = stream.send.as_ref().filter(|_| may_send);
        for (lane, is_in) in
            [(Lane::Repeat, &mut stream.is_in_repeat), (Lane::Fresh, &mut stream.is_in_fresh)]
        {
            let wants = send.is_some_and(|send| send.wants(lane));
            if wants && !*is_in {
                self.scheduler.push(raw, stream.priority, lane);
            } else if *is_in && !wants {
                self.scheduler.remove(raw, stream.priority, lane);
            }
            *is_in = wants;
        }
    }

    /// Bytes of the session's credit are free again.
    fn release_credit(&mut self, bytes: u64) {
        self.recv_credit.consume(bytes);
        self.owes_session_window |= self.recv_credit.is_due(self.room.credit);
    }

    /// The receiving half of a stream is done: its memory and what it holds of the session's credit
    /// go back.
    fn end_receiving(&mut self, raw: u32) {
        let Some(stream) = self.table.get_mut(&raw) else { return };
        let Some(recv) = stream.recv.take() else { return };
        stream.owed.remove(Owed::STOP);
        stream.owed.remove(Owed::WINDOW);
        let left = recv.unread();
        self.runs -= recv.runs() as u64;
        self.large_tails -= u64::from(recv.has_large_tail());
        self.orphaned += left.unconsumed;
        self.release_credit(left.unread);
        self.forget_if_over(raw);
    }

    /// Forgets a stream of which nothing matters any more; that makes room for another.
    fn forget_if_over(&mut self, raw: u32) {
        if self.has_ended || !self.table.get(&raw).is_some_and(|stream| stream.is_over()) {
            return;
        }
        let Some(stream) = self.table.remove(&raw) else { return };
        if self.table.is_empty() {
            // Nobody waits for anything: what an idle session holds is to be little.
            self.table = BTreeMap::new();
            self.scheduler = Scheduler::default();
            self.control = VecDeque::new();
        }
        if let Some(at) = stream.expiry {
            self.skips.expiries.remove(&(at, raw));
        }
        self.skips.blocked.remove(&raw);
        if stream.is_in_control {
            self.control.retain(|other| *other != raw);
        }
        let (id, direction) = (stream.id, stream.id.direction());
        if stream.is_told {
            self.events.push_back(StreamEvent::Closed { stream: id });
        }
        if !self.is_own(id) {
            self.peers[direction as usize].close(id.ordinal());
            self.owes_max_streams[direction as usize] |= self.peers[direction as usize].is_due();
        } else if self.own[direction as usize].close() {
            self.events.push_back(StreamEvent::Available { direction });
        }
    }
}
