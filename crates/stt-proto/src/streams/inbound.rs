//! What the peer's frames do to streams.
//!
//! Frames of one stream may come in any order, and more than once. What belongs to a stream whose
//! STREAM_OPEN has not come is kept within the stream's first credit, and the application hears of it
//! when it has; what belongs to a stream or half that is over changes nothing.

use core::time::Duration;

use stt_wire::ErrorCode;
use stt_wire::frame::{MaxStreams, Reliability, StreamOpen};

use super::blocks::{BLOCK, Blocks};
use super::event::{PeerFault, StreamEvent, own_code};
use super::id::{Direction, StreamId};
use super::limits::PeerStream;
use super::names::NameError;
use super::recv::Breach;
use super::send::{SendHalf, Stopped};
use super::stream::{Half, Owed, Stream};
use crate::memory::Memory;

use super::{MIN_RUNS, Streams, WINDOW_PER_RUN};

pub(super) const INVALID: PeerFault = PeerFault::new(ErrorCode::InvalidFrame);

impl From<Breach> for PeerFault {
    fn from(breach: Breach) -> Self {
        match breach {
            Breach::Credit(limit) => PeerFault::limit(ErrorCode::FlowControlViolation, limit),
            Breach::FinalSize => INVALID,
        }
    }
}

impl Streams {
    /// Finds the stream that a frame names, and begins it where the frame is its first. `None` where
    /// the stream is over.
    pub(super) fn admit(&mut self, raw: u32, half: Half) -> Result<Option<StreamId>, PeerFault> {
        let id = StreamId::from_u32(raw).ok_or(INVALID)?;
        let (direction, is_own) = (id.direction(), self.is_own(id));
        if !half.exists(direction, is_own) {
            return Err(INVALID);
        }
        if self.table.contains_key(&raw) {
            return Ok(Some(id));
        }
        if is_own {
            let known = self.own[direction as usize].was_opened(id.ordinal());
            return if known { Ok(None) } else { Err(INVALID) };
        }
        let peers = &mut self.peers[direction as usize];
        let admitted = peers
            .admit(id.ordinal())
            .map_err(|limit| PeerFault::limit(ErrorCode::TooManyStreams, limit))?;
        self.owes_max_streams[direction as usize] |= peers.is_due();
        if admitted == PeerStream::Closed {
            return Ok(None);
        }
        let send = (direction == Direction::Bidirectional).then(|| SendHalf::new(0));
        let stream = Stream::new(id, send, Some(self.new_recv_half()));
        self.table.insert(raw, Box::new(stream));
        Ok(Some(id))
    }

    /// DATA.
    pub(crate) fn handle_data(
        &mut self,
        blocks: &mut Blocks,
        raw: u32,
        offset: u64,
        bytes: &[u8],
        fin: bool,
    ) -> Result<(), PeerFault> {
        let Some(id) = self.admit(raw, Half::Receive)? else { return Ok(()) };
        let is_frugal = self.large_tails >= self.most_large_tails() || self.room.all < BLOCK as u64;
        let Some(stream) = self.table.get_mut(&raw) else { return Ok(()) };
        let Some(recv) = &mut stream.recv else { return Ok(()) };
        let (runs, large) = (recv.runs() as u64, u64::from(recv.has_large_tail()));
        let growth = recv.account(offset.saturating_add(bytes.len() as u64), fin)?;
        self.recv_credit.receive(growth).map_err(Breach::Credit)?;
        recv.be_frugal(is_frugal);
        recv.insert(blocks, offset, bytes);
        self.runs = self.runs + recv.runs() as u64 - runs;
        self.large_tails = self.large_tails + u64::from(recv.has_large_tail()) - large;
        if self.runs > MIN_RUNS.max(self.limits.max_session_window / WINDOW_PER_RUN) {
            return Err(INVALID);
        }
        if fin {
            stream.owed.remove(Owed::WINDOW);
        }
        if recv.stop_code().is_some() {
            self.release_credit(growth);
            if fin {
                self.end_receiving(raw);
            }
        } else {
            if growth > 0 && self.recv_credit.make_room_for_others(self.room.credit) {
                self.owes_session_window |= self.recv_credit.is_due(self.room.credit);
            }
            self.tell_readable(id);
        }
        Ok(())
    }

    /// Tells a reader that waits, if there is something to read.
    pub(super) fn tell_readable(&mut self, id: StreamId) {
        let Some(stream) = self.table.get_mut(&id.as_u32()).filter(|stream| stream.is_told) else {
            return;
        };
        if let Some(recv) = stream.recv.as_mut().filter(|recv| recv.is_awaited)
            && recv.is_readable()
        {
            recv.is_awaited = false;
            self.events.push_back(StreamEvent::Readable { stream: id });
        }
    }

    /// STREAM_OPEN.
    pub(crate) fn handle_open(&mut self, raw: u32, open: &StreamOpen<'_>) -> Result<(), PeerFault> {
        let Some(id) = self.admit(raw, Half::Receive)? else { return Ok(()) };
        if self.is_own(id) {
            return Err(INVALID);
        }
        let Some(stream) = self.table.get_mut(&raw) else { return Ok(()) };
        if stream.is_established {
            return Ok(());
        }
        stream.is_established = true;
        stream.priority = open.priority;
        match open.reliability {
            Reliability::Deadline { milliseconds } => {
                Self::set_deadline(stream, Duration::from_millis(milliseconds));
            }
            Reliability::Reliable if stream.is_skipped => return Err(INVALID),
            Reliability::Reliable => {}
        }
        let deadline = stream.deadline;
        if let Some(send) = &mut stream.send {
            send.on_window(open.initial_credit);
        }
        // A stream that already began counts already: one more is what is judged.
        if self.room.take(Memory::STREAM).is_err() {
            self.turn_away(id, own_code(ErrorCode::ResourceExhausted));
            return Ok(());
        }
        if let Some(Err(refusal)) = open.name.map(|name| self.names.claim(name, id)) {
            self.refuse(id, refusal);
            return Ok(());
        }
        stream.is_told = true;
        self.events.push_back(StreamEvent::Opened {
            stream: id,
            purpose: open.purpose.to_owned(),
            name: open.name,
            priority: open.priority,
            deadline,
        });
        // What came before its STREAM_OPEN.
        let (reset, stop) = (stream.reset_code, stream.early_stop);
        if let Some(code) = stop {
            self.events.push_back(StreamEvent::stopped(id, code));
        }
        if let Some(code) = reset {
            self.events.push_back(StreamEvent::reset(id, code));
        }
        self.tell_readable(id);
        self.forget_if_over(raw);
        Ok(())
    }

    /// The peer's stream has a name that it cannot have: it is given up on both halves without a word
    /// to the application. A stream of ours that bears the name was opened at the same time: it fails
    /// too, here as at the peer, so that neither is ever taken for the other.
    fn refuse(&mut self, theirs: StreamId, refusal: NameError) {
        let code = match refusal {
            NameError::Taken(owner) => {
                if self.is_own(owner) {
                    self.fail(owner, ErrorCode::StreamIdConflict);
                }
                own_code(ErrorCode::StreamIdConflict)
            }
            NameError::Exhausted => own_code(ErrorCode::TooManyStreams),
        };
        self.turn_away(theirs, code);
    }

    /// Gives up both halves of a stream of the peer's that the application never hears of.
    fn turn_away(&mut self, theirs: StreamId, code: u64) {
        // Halves that are not there, or over, need no end.
        let _ = self.stop(theirs, code);
        let _ = self.reset(theirs, code);
        self.forget_if_over(theirs.as_u32());
    }

    /// WINDOW: of the session where `raw` is 0, else of a stream.
    pub(crate) fn handle_window(&mut self, raw: u32, limit: u64) -> Result<(), PeerFault> {
        if raw == 0 {
            if self.send_credit.raise(limit) {
                self.resume_skips();
            }
            return Ok(());
        }
        if self.admit(raw, Half::Send)?.is_none() {
            return Ok(());
        }
        let send = self.table.get_mut(&raw).and_then(|stream| stream.send.as_mut());
        if send.is_some_and(|send| send.on_window(limit)) {
            self.schedule(raw);
            if self.skips.blocked.remove(&raw) {
                self.owe(raw, Owed::SKIP);
            }
        }
        Ok(())
    }

    /// MAX_STREAMS.
    pub(crate) fn handle_max_streams(&mut self, max: &MaxStreams) -> Result<(), PeerFault> {
        let direction = Direction::from(max.kind);
        if self.own[direction as usize].raise(max.limit) {
            self.events.push_back(StreamEvent::Available { direction });
        }
        Ok(())
    }

    /// STREAM_CLOSE: the peer has given up sending after `final_size` bytes.
    pub(crate) fn handle_close(
        &mut self,
        raw: u32,
        code: u64,
        final_size: u64,
    ) -> Result<(), PeerFault> {
        let Some(id) = self.admit(raw, Half::Receive)? else { return Ok(()) };
        let Some(stream) = self.table.get_mut(&raw) else { return Ok(()) };
        let Some(recv) = &mut stream.recv else { return Ok(()) };
        // With every byte and FIN here the stream has ended already. Without FIN it has not, even if
        // every byte is here: the peer says that it is cut.
        let is_complete = recv.is_complete();
        let growth = recv.account(final_size, true)?;
        self.recv_credit.receive(growth).map_err(Breach::Credit)?;
        if is_complete && recv.stop_code().is_none() {
            return Ok(());
        }
        if recv.stop_code().is_some() {
            self.release_credit(growth);
        } else {
            stream.reset_code = Some(code);
            if stream.is_told {
                self.events.push_back(StreamEvent::reset(id, code));
            }
        }
        self.end_receiving(raw);
        Ok(())
    }

    /// STREAM_STOP: the peer wants no more of what this side sends. The answer is STREAM_CLOSE, or
    /// FIN where only its acknowledgement is missing.
    pub(crate) fn handle_stop(&mut self, raw: u32, code: u64) -> Result<(), PeerFault> {
        let Some(id) = self.admit(raw, Half::Send)? else { return Ok(()) };
        let Some(stream) = self.table.get_mut(&raw) else { return Ok(()) };
        let Some(send) = &mut stream.send else { return Ok(()) };
        match send.on_stop(code) {
            Stopped::Reset => {
                if stream.is_told {
                    self.events.push_back(StreamEvent::stopped(id, code));
                } else {
                    stream.early_stop = Some(code);
                }
                self.schedule(raw);
                self.arm_expiry(raw);
                self.owe(raw, Owed::CLOSE);
            }
            Stopped::Delivered => {
                if stream.is_told && !core::mem::replace(&mut stream.is_finish_told, true) {
                    self.events.push_back(StreamEvent::Finished { stream: id });
                }
            }
            Stopped::Already => {}
        }
        Ok(())
    }
}
