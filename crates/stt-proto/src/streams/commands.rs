//! What the application does with streams.

use core::time::Duration;

use bytes::Bytes;
use stt_wire::ErrorCode;

use super::Streams;
use super::event::{StreamEvent, own_code};
use super::id::{Direction, StreamId};
use super::limits::LimitReached;
use super::names::{MAX_NAMES, NameError};
use super::options::{MAX_PRIORITY, MAX_PURPOSE, OpenError, ReadError, StreamOptions, WriteError};
use super::recv::ReadOutcome;
use super::send::SendHalf;
use super::stream::{Opening, Owed, Stream};
use crate::memory::Memory;
use crate::time::Instant;

impl Streams {
    /// Opens a stream; its STREAM_OPEN goes out with the next packet.
    pub(crate) fn open(&mut self, options: StreamOptions) -> Result<StreamId, OpenError> {
        let StreamOptions { direction, mut purpose, name, priority, deadline } = options;
        if self.has_ended {
            return Err(OpenError::SessionClosed);
        }
        if let Some(Err(refusal)) = name.map(|name| self.names.check(name)) {
            return Err(match refusal {
                NameError::Taken(_) => OpenError::NameConflict,
                NameError::Exhausted => {
                    OpenError::TooManyStreams { limit: MAX_NAMES as u64, local: true }
                }
            });
        }
        let own = &mut self.own[direction as usize];
        own.reserve()
            .map_err(|LimitReached { limit, local }| OpenError::TooManyStreams { limit, local })?;
        self.room.take(Memory::STREAM).map_err(OpenError::OutOfMemory)?;
        let own = &mut self.own[direction as usize];
        let id = StreamId::new(self.initiator, direction, own.open());
        if let Some(name) = name {
            // Checked above; a claim that fails leaves the name to its owner.
            let _ = self.names.claim(name, id);
        }
        purpose.truncate(purpose.floor_char_boundary(MAX_PURPOSE));
        let recv = (direction == Direction::Bidirectional).then(|| self.new_recv_half());
        let mut stream = Stream::new(id, Some(SendHalf::new(self.peer_stream_window)), recv);
        stream.priority = priority.min(MAX_PRIORITY);
        stream.opening = Some(Box::new(Opening { purpose, name }));
        stream.is_told = true;
        if let Some(age) = deadline {
            Self::set_deadline(&mut stream, age);
        }
        self.table.insert(id.as_u32(), Box::new(stream));
        self.owe(id.as_u32(), Owed::OPEN);
        Ok(id)
    }

    /// Takes bytes to send. It never refuses for want of space: the driver bounds what is written by
    /// what [`StreamEvent::Released`] has told.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        id: StreamId,
        bytes: Bytes,
    ) -> Result<(), WriteError> {
        let send = self.sending(id)?;
        if !send.is_open() {
            return Err(WriteError::Closed);
        }
        send.write(now, bytes);
        self.schedule(id.as_u32());
        self.arm_expiry(id.as_u32());
        Ok(())
    }

    /// Ends the sending half after what was written.
    pub(crate) fn finish(&mut self, id: StreamId) -> Result<(), WriteError> {
        let send = self.sending(id)?;
        if !send.is_open() {
            return Err(WriteError::Closed);
        }
        send.finish();
        self.schedule(id.as_u32());
        Ok(())
    }

    /// Gives up sending: what the peer does not have is discarded.
    pub(crate) fn reset(&mut self, id: StreamId, code: u64) -> Result<(), WriteError> {
        if !self.sending(id)?.reset(code) {
            return Err(WriteError::Closed);
        }
        self.schedule(id.as_u32());
        self.arm_expiry(id.as_u32());
        self.owe(id.as_u32(), Owed::CLOSE);
        Ok(())
    }

    fn sending(&mut self, id: StreamId) -> Result<&mut SendHalf, WriteError> {
        let ended =
            if self.has_ended { WriteError::SessionClosed } else { WriteError::UnknownStream };
        self.table.get_mut(&id.as_u32()).and_then(|stream| stream.send.as_mut()).ok_or(ended)
    }

    /// Discards what can be read, and asks the peer to send no more.
    pub(crate) fn stop(&mut self, id: StreamId, code: u64) -> Result<(), ReadError> {
        let raw = id.as_u32();
        let stream = self.table.get_mut(&raw).ok_or(ReadError::UnknownStream)?;
        let recv = stream.recv.as_mut().filter(|recv| recv.stop_code().is_none());
        let recv = recv.ok_or(ReadError::UnknownStream)?;
        if self.has_ended || recv.is_size_known() {
            // All that it could cost is known: the peer's further frames are late ones.
            self.end_receiving(raw);
            return Ok(());
        }
        let left = recv.unread();
        self.runs -= recv.runs() as u64;
        self.large_tails -= u64::from(recv.has_large_tail());
        recv.stop(code);
        stream.owed.remove(Owed::WINDOW);
        self.orphaned += left.unconsumed;
        self.release_credit(left.unread);
        self.owe(raw, Owed::STOP);
        Ok(())
    }

    /// Takes out the next bytes, at most `max` and at least one. Credit comes with
    /// [`Streams::consumed`].
    pub(crate) fn read(&mut self, id: StreamId, max: usize) -> Result<ReadOutcome, ReadError> {
        let raw = id.as_u32();
        let ended =
            if self.has_ended { ReadError::SessionClosed } else { ReadError::UnknownStream };
        let is_frugal = 2 * self.large_tails > self.most_large_tails();
        let stream = self.table.get_mut(&raw).ok_or(ended)?;
        if let Some(code) = stream.reset_code {
            return Ok(ReadOutcome::Reset(code));
        }
        let recv = stream.recv.as_mut().filter(|recv| recv.stop_code().is_none()).ok_or(ended)?;
        let outcome = recv.read(max.max(1));
        if is_frugal && recv.release_tail() {
            self.large_tails -= 1;
        }
        match outcome {
            ReadOutcome::Finished => {
                self.end_receiving(raw);
                Ok(ReadOutcome::Finished)
            }
            ReadOutcome::Blocked if self.has_ended => {
                self.table.remove(&raw);
                Err(ReadError::SessionClosed)
            }
            outcome => Ok(outcome),
        }
    }

    /// The application has consumed `bytes` that it had read: their credit goes back to the peer. Every
    /// byte that a read gave must be told here once, also where the stream ended or was stopped since.
    pub(crate) fn consumed(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
        id: StreamId,
        bytes: u64,
    ) {
        let raw = id.as_u32();
        let recv = self.table.get_mut(&raw).and_then(|stream| stream.recv.as_mut());
        let bytes = match recv.filter(|recv| recv.stop_code().is_none()) {
            Some(recv) => {
                let bytes = recv.consume(bytes);
                // What all streams of a session may send together is what memory is counted by.
                recv.credit.tune(now, rtt, u64::MAX);
                if recv.is_window_due() && !self.has_ended {
                    self.owe(raw, Owed::WINDOW);
                }
                bytes
            }
            None => {
                let bytes = bytes.min(self.orphaned);
                self.orphaned -= bytes;
                bytes
            }
        };
        self.recv_credit.consume(bytes);
        self.recv_credit.tune(now, rtt, self.room.credit);
        self.owes_session_window |= !self.has_ended && self.recv_credit.is_due(self.room.credit);
    }

    /// Ends a stream of ours, both halves, with an error of STT's own that the application is told.
    pub(super) fn fail(&mut self, id: StreamId, code: ErrorCode) {
        let own = own_code(code);
        let (stopped, reset) = (self.stop(id, own).is_ok(), self.reset(id, own).is_ok());
        if stopped || reset {
            self.events.push_back(StreamEvent::Failed { stream: id, code });
        }
    }
}
