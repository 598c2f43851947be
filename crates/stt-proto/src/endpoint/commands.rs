//! What the application asks for.

use core::time::Duration;

use bytes::Bytes;
use stt_crypto::NodeId;
use stt_wire::{CloseReason, ErrorCode, FrameType};

use crate::config::ConnectOptions;
use crate::event::SessionHandle;
use crate::fault::Fault;
use crate::memory::Shortage;
use crate::messages::{Message, MessageError};
use crate::path::PathAddress;
use crate::session::{MoveError, Session, Words};
use crate::stats::SessionStats;
use crate::streams::{OpenError, ReadError, ReadOutcome, StreamId, StreamOptions, WriteError};
use crate::ticket::ResumptionTicket;
use crate::time::Now;

use super::{Endpoint, Entry};

/// Why a connect was refused on the spot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnectError {
    /// As many sessions live as the configuration allows (0x0203).
    #[error("too many sessions: the limit of this endpoint is {limit}")]
    TooManySessions {
        /// The limit.
        limit: usize,
    },
    /// The endpoint's memory is at its ceiling (0x0603).
    #[error("the memory is at its ceiling")]
    OutOfMemory(Shortage),
    /// More early data than fits into one RESUME with this ticket.
    #[error("{len} bytes of early data, but only {limit} fit beside the ticket")]
    EarlyDataTooLong {
        /// What was given.
        len: usize,
        /// What fits.
        limit: usize,
    },
}

/// How a session is to end.
#[derive(Clone, Copy, Debug)]
pub struct Close<'a> {
    /// Which of the four reasons.
    pub reason: CloseReason,
    /// An error code of the closed table, 0 for none.
    pub code: u16,
    /// For people; cut at 256 bytes.
    pub message: &'a str,
    /// How long to wait for the acknowledgement of what was written. Zero: not at all.
    pub drain: Duration,
}

impl Close<'_> {
    /// A graceful end that waits for `drain` at most.
    pub const fn graceful(drain: Duration) -> Self {
        Self { reason: CloseReason::Graceful, code: 0, message: "", drain }
    }
}

impl Endpoint {
    /// Begins a connect. It ends with `Event::Connected` or `Event::ConnectFailed`.
    ///
    /// # Errors
    /// [`ConnectError::TooManySessions`] when as many sessions live as the configuration allows,
    /// [`ConnectError::OutOfMemory`] when memory is at its ceiling,
    /// [`ConnectError::EarlyDataTooLong`] when early data does not fit beside the ticket.
    pub fn connect(
        &mut self,
        now: Now,
        path: PathAddress,
        options: ConnectOptions,
    ) -> Result<SessionHandle, ConnectError> {
        if self.live >= self.config.max_sessions {
            return Err(ConnectError::TooManySessions { limit: self.config.max_sessions });
        }
        let cost = self.session_cost();
        if self.memory.room() < cost {
            return Err(ConnectError::OutOfMemory(self.memory.refuse(cost)));
        }
        let limit = options.resume.as_ref().map_or(usize::MAX, ResumptionTicket::early_capacity);
        if options.early_data.len() > limit {
            let len = options.early_data.len();
            return Err(ConnectError::EarlyDataTooLong { len, limit });
        }
        Ok(self.start_connecting(now, path, options))
    }

    /// Ends a session, or a connect in progress. A session ends with `Event::SessionClosed`; a
    /// connect that was given up has no further event.
    pub fn close(&mut self, now: Now, session: SessionHandle, close: Close<'_>) {
        let Some(slot) = self.slot_of(session) else { return };
        if matches!(self.slots.get(slot), Some(Entry::Connecting(_))) {
            self.remove(slot);
            return;
        }
        let words =
            Words { reason: close.reason, code: close.code, message: close.message.to_owned() };
        self.with_session(now, slot, |session, cx| session.close(cx, words, close.drain));
    }

    /// Tells the peer that this side will close the session before long (PROTOCOL.md section 6.6), and how long it
    /// leaves for what is under way. Only the first call says anything, and nothing ends by it.
    pub fn announce_end(&mut self, now: Now, session: SessionHandle, within: Duration) {
        self.on(now, session, |session, _| session.announce_end(within));
    }

    /// Says that nothing more will be read of a session that has ended.
    pub fn release(&mut self, session: SessionHandle) {
        let Some(slot) = self.slot_of(session) else { return };
        let Some(Entry::Session(session)) = self.slots.get_mut(slot) else { return };
        if session.has_ended() {
            session.release();
            if session.is_gone() {
                self.remove(slot);
            }
        }
    }

    /// Admits a peer that `Event::Incoming` announced.
    pub fn accept(&mut self, now: Now, session: SessionHandle) {
        self.on(now, session, |session, cx| session.accept(cx));
    }

    /// Turns away a peer that `Event::Incoming` announced; it is told `code`.
    pub fn refuse(&mut self, now: Now, session: SessionHandle, code: ErrorCode) {
        self.on(now, session, |session, cx| session.refuse(cx, code, 0));
    }

    /// Ends every session with this peer (auth_failure, 0x0103) and refuses it from now on.
    pub fn revoke(&mut self, now: Now, peer: NodeId) {
        self.revoked.insert(peer);
        let slots: Vec<u32> = self.slots.indices().collect();
        for slot in slots {
            self.with_session(now, slot, |session, cx| {
                if session.peer() == peer {
                    session.revoke(cx, Fault::new(ErrorCode::AuthenticationFailed));
                }
            });
        }
    }

    /// Opens a stream; the peer learns of it at once.
    ///
    /// # Errors
    /// [`OpenError`] when a limit, a name or the state of the session forbids it.
    pub fn open_stream(
        &mut self,
        now: Now,
        session: SessionHandle,
        options: StreamOptions,
    ) -> Result<StreamId, OpenError> {
        let opened = self
            .on(now, session, |session, _| session.open_stream(options))
            .unwrap_or(Err(OpenError::SessionClosed));
        if let Err(OpenError::OutOfMemory(shortage)) = opened {
            return Err(OpenError::OutOfMemory(self.memory.refuse(shortage.asked)));
        }
        opened
    }

    /// Takes bytes to send. Space is the driver's business: it bounds what it writes by what
    /// `Event::StreamReleased` has set free.
    ///
    /// # Errors
    /// [`WriteError`] when the stream cannot take any more for ever.
    pub fn write(
        &mut self,
        now: Now,
        session: SessionHandle,
        stream: StreamId,
        bytes: Bytes,
    ) -> Result<(), WriteError> {
        self.on(now, session, |session, cx| session.write(cx.now.mono, stream, bytes))
            .unwrap_or(Err(WriteError::SessionClosed))
    }

    /// Ends the sending side of a stream after what was written.
    ///
    /// # Errors
    /// [`WriteError`] when there is no sending side to end.
    pub fn finish(
        &mut self,
        now: Now,
        session: SessionHandle,
        stream: StreamId,
    ) -> Result<(), WriteError> {
        self.on(now, session, |session, _| session.finish(stream))
            .unwrap_or(Err(WriteError::SessionClosed))
    }

    /// Aborts sending on a stream; what the peer has not received is given up.
    ///
    /// # Errors
    /// [`WriteError`] when there is nothing to abort.
    pub fn reset(
        &mut self,
        now: Now,
        session: SessionHandle,
        stream: StreamId,
        code: u16,
    ) -> Result<(), WriteError> {
        self.on(now, session, |session, _| session.reset(stream, u64::from(code)))
            .unwrap_or(Err(WriteError::SessionClosed))
    }

    /// Asks the peer to stop sending on a stream; what comes is thrown away.
    ///
    /// # Errors
    /// [`ReadError`] when there is nothing to stop.
    pub fn stop(
        &mut self,
        now: Now,
        session: SessionHandle,
        stream: StreamId,
        code: u16,
    ) -> Result<(), ReadError> {
        self.on(now, session, |session, _| session.stop(stream, u64::from(code)))
            .unwrap_or(Err(ReadError::SessionClosed))
    }

    /// Takes up to `max` bytes of what has arrived in order. Credit is returned only by
    /// [`Endpoint::consumed`]. What arrived before a session's end stays readable until
    /// [`Endpoint::release`]. A read that finds the end may bring events and packets, like the calls
    /// that take `now`.
    ///
    /// # Errors
    /// [`ReadError`] when the stream or its session is not known.
    pub fn read(
        &mut self,
        session: SessionHandle,
        stream: StreamId,
        max: usize,
    ) -> Result<ReadOutcome, ReadError> {
        let slot = self.slot_of(session).ok_or(ReadError::SessionClosed)?;
        let Some(Entry::Session(entry)) = self.slots.get_mut(slot) else {
            return Err(ReadError::SessionClosed);
        };
        let outcome = entry.read(stream, max);
        if outcome == Ok(ReadOutcome::Finished) {
            // The stream may be over with this: there is an event, and MAX_STREAMS for the peer.
            entry.publish_to(session, &mut self.events);
            self.wake(slot);
        }
        outcome
    }

    /// The application is done with `bytes` that it read: the peer may send as many more.
    pub fn consumed(&mut self, now: Now, session: SessionHandle, stream: StreamId, bytes: u64) {
        self.on(now, session, |session, cx| session.consumed(cx.now.mono, stream, bytes));
    }

    /// Takes a message to send: once, whole, in order with others, without a promise that it
    /// arrives. Where the queue is full, the session's configuration says which message goes.
    ///
    /// # Errors
    /// [`MessageError`] when it is not taken; it is counted as dropped then.
    pub fn send_message(
        &mut self,
        now: Now,
        session: SessionHandle,
        message: Message,
    ) -> Result<(), MessageError> {
        self.on(now, session, |session, cx| session.send_message(cx.now.mono, message))
            .unwrap_or(Err(MessageError::SessionClosed))
    }

    /// Looks for the largest datagram that the path carries, although nothing may be there to fill it:
    /// for who wants to know. Otherwise a session begins to look when it has stream data for more than one
    /// datagram, or a message. What is found is [`SessionStats::mtu`](crate::SessionStats::mtu), and as far as messages go by
    /// it, `Event::MessageSize`.
    pub fn want_mtu(&mut self, now: Now, session: SessionHandle) {
        self.on(now, session, |session, cx| session.want_mtu(cx.now.mono));
    }

    /// The longest message that the session would take now, in bytes; 0 where the peer takes none.
    pub fn max_message_size(&self, session: SessionHandle) -> usize {
        let entry = self.slot_of(session).and_then(|slot| self.slots.get(slot));
        match entry {
            Some(Entry::Session(session)) => session.max_message_size(),
            _ => 0,
        }
    }

    /// Bytes of messages that wait to be sent, 64 more counted for each; 0 for an unknown session.
    pub fn queued_messages(&self, session: SessionHandle) -> u64 {
        let entry = self.slot_of(session).and_then(|slot| self.slots.get(slot));
        match entry {
            Some(Entry::Session(session)) => session.queued_messages(),
            _ => 0,
        }
    }

    /// Takes out the next message that came; after a `None` there is an `Event::MessagesReadable`
    /// when there is one. What came before a session's end stays readable until
    /// [`Endpoint::release`].
    pub fn read_message(&mut self, session: SessionHandle) -> Option<Message> {
        let slot = self.slot_of(session)?;
        match self.slots.get_mut(slot)? {
            Entry::Session(session) => {
                let message = session.read_message();
                session.charge_memory(&self.memory);
                message
            }
            Entry::Connecting(_) => None,
        }
    }

    /// Says whether the application takes custom frames of this type (0x80 to 0xFE) on this session;
    /// those of any other type are dropped and counted with 0x0404.
    pub fn handle_frames(
        &mut self,
        now: Now,
        session: SessionHandle,
        frame_type: FrameType,
        held: bool,
    ) {
        self.on(now, session, |session, _| session.handle_frames(frame_type, held));
    }

    /// Moves a session to another path: another local address, another address of the peer, or both.
    /// The path is tried first, under path ids that were not used elsewhere, and the session goes on
    /// where it is until the peer has answered. While the peer has given no such id, the move waits for
    /// one. `Event::Moved` with the token returned here follows, after an `Event::PathChange`; or
    /// `Event::MoveFailed` after three probe timeouts, of a second at least. A later call replaces an
    /// earlier one that is still being tried.
    ///
    /// # Errors
    /// [`MoveError`] when the session cannot move; nothing has changed then.
    pub fn move_session(
        &mut self,
        now: Now,
        session: SessionHandle,
        path: PathAddress,
    ) -> Result<u64, MoveError> {
        if let Some(connection) = path.connection() {
            if !self.connections.is_open(connection.id) {
                return Err(MoveError::NoConnection);
            }
            if let Some(slot) = self.slot_of(session) {
                self.connections.note_user(connection.id, slot);
            }
        }
        self.on(now, session, |session, cx| session.move_to(cx, path))
            .unwrap_or(Err(MoveError::SessionClosed))
    }

    /// Says whether the driver looks for another carrier of a session, such as a connection that is being
    /// opened. While it does, ICMP refusals do not end the session (PROTOCOL.md section 6.2): only
    /// silence for its whole timeout does.
    pub fn seek_path(&mut self, now: Now, session: SessionHandle, seeking: bool) {
        self.on(now, session, |session, cx| session.seek(cx, seeking));
    }

    /// Gives up a move, if it is still under way: `Event::MoveFailed` follows then.
    pub fn cancel_move(&mut self, now: Now, session: SessionHandle, token: u64) {
        self.on(now, session, |session, cx| session.cancel_move(cx, token));
    }

    /// Where a session's packets go; `None` when it is not known.
    pub fn path_of(&self, session: SessionHandle) -> Option<PathAddress> {
        self.remote_of(self.slot_of(session)?).copied()
    }

    /// Asks the peer for a sign of life. `Event::Pong` brings the token back; `None` when the
    /// session is not known, or 4096 pings of it are not answered yet. 256 are under way at a time; more wait until
    /// others are answered, and none is left out: one that is lost goes out again, until the session ends or
    /// [`Endpoint::cancel_ping`].
    pub fn ping(&mut self, now: Now, session: SessionHandle) -> Option<u64> {
        self.on(now, session, |session, _| session.ping())?
    }

    /// Gives a ping up: its token does not come back, and it holds nothing any more. Does nothing for one that is answered.
    pub fn cancel_ping(&mut self, now: Now, session: SessionHandle, token: u64) {
        self.on(now, session, |session, _| session.cancel_ping(token));
    }

    /// One session in numbers; `None` while it is not established or when it is not known.
    pub fn session_stats(&self, session: SessionHandle) -> Option<SessionStats> {
        match self.slots.get(self.slot_of(session)?)? {
            Entry::Session(session) => Some(session.stats()),
            Entry::Connecting(_) => None,
        }
    }

    /// Takes one session whose numbers may have changed since they were taken here, with the numbers;
    /// `None` when there is no other. For drivers that show them to another thread: polling is
    /// optional and costs nothing when it is not done.
    pub fn poll_stats(&mut self) -> Option<(SessionHandle, SessionStats)> {
        while let Some(slot) = self.changed.pop() {
            self.slots.set_changed(slot, false);
            let Some(handle) = self.slots.handle(slot) else { continue };
            if let Some(stats) = self.session_stats(handle) {
                return Some((handle, stats));
            }
        }
        None
    }

    fn on<R>(
        &mut self,
        now: Now,
        session: SessionHandle,
        act: impl FnOnce(&mut Session, &mut crate::session::Context<'_>) -> R,
    ) -> Option<R> {
        let slot = self.slot_of(session)?;
        self.with_session(now, slot, act)
    }
}
