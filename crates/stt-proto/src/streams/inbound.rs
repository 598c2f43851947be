//! What the peer's frames do to streams.

use stt_wire::{
    ErrorCode,
    frame::{MaxStreams, StreamOpen},
};

use super::event::{PeerFault, StreamEvent};
use super::id::{Direction, StreamId};
use super::recv::{Breach, RecvHalf};
use super::send::SendHalf;
use super::{MAX_NAMES, Streams};

/// STREAM_ID_CONFLICT as the code of a STREAM_CLOSE.
const NAME_CONFLICT: u64 = ErrorCode::StreamIdConflict as u64;

/// What a frame names.
enum Target {
    /// A stream that lives.
    Live,
    /// One that is over: a late frame, of no consequence.
    Past,
}

impl Streams {
    /// Finds, or makes, the stream that a frame of the peer names.
    fn target(&mut self, raw: u32) -> Result<(StreamId, Target), PeerFault> {
        let invalid = PeerFault::new(ErrorCode::InvalidFrame);
        let id = StreamId::from_wire(raw).ok_or(invalid)?;
        if self.streams.contains_key(&raw) {
            return Ok((id, Target::Live));
        }
        let (local, kind) = (self.is_local(id), id.direction() as usize);
        let opened = if local { self.local[kind] } else { self.remote[kind] };
        if id.index() < opened.count {
            return Ok((id, Target::Past));
        }
        if local {
            // A stream that this side never opened.
            return Err(invalid);
        }
        if id.index() >= opened.limit {
            return Err(PeerFault::limit(ErrorCode::TooManyStreams, opened.limit));
        }
        // Ids are opened in order, so those below exist as well: their STREAM_OPEN is on its way.
        for index in opened.count..=id.index() {
            let id = StreamId::new(index, !self.initiator, id.direction());
            let stream = self.stream(id, false);
            self.streams.insert(id.0, Box::new(stream));
        }
        self.remote[kind].count = id.index() + 1;
        Ok((id, Target::Live))
    }

    fn recv_of(&mut self, id: StreamId) -> Result<&mut RecvHalf, PeerFault> {
        let invalid = PeerFault::new(ErrorCode::InvalidFrame);
        self.streams.get_mut(&id.0).and_then(|stream| stream.recv.as_mut()).ok_or(invalid)
    }

    fn send_of(&mut self, id: StreamId) -> Result<&mut SendHalf, PeerFault> {
        let invalid = PeerFault::new(ErrorCode::InvalidFrame);
        self.streams.get_mut(&id.0).and_then(|stream| stream.send.as_mut()).ok_or(invalid)
    }

    fn breach(&self, breach: Breach) -> PeerFault {
        match breach {
            Breach::Credit => {
                PeerFault::limit(ErrorCode::FlowControlViolation, self.limits.stream_window)
            }
            Breach::FinalSize | Breach::Fragments => PeerFault::new(ErrorCode::InvalidFrame),
        }
    }

    /// Counts bytes above what was seen of a stream against the session's credit.
    fn account(&mut self, growth: u64) -> Result<(), PeerFault> {
        if self.received + growth > self.recv_limit {
            return Err(PeerFault::limit(
                ErrorCode::FlowControlViolation,
                self.limits.session_window,
            ));
        }
        self.received += growth;
        Ok(())
    }

    pub(crate) fn handle_data(
        &mut self,
        raw: u32,
        offset: u64,
        bytes: &[u8],
        fin: bool,
    ) -> Result<(), PeerFault> {
        let (id, Target::Live) = self.target(raw)? else { return Ok(()) };
        let recv = self.recv_of(id)?;
        let growth = recv.growth(offset, bytes.len() as u64);
        let (was, stopped) = (recv.unreadable(), recv.is_stopped());
        let news = match recv.on_data(offset, bytes, fin) {
            Ok(news) => news,
            Err(breach) => return Err(self.breach(breach)),
        };
        let given_up = recv.unreadable() - was;
        self.account(growth)?;
        if stopped || given_up > 0 {
            self.give_up(given_up);
            self.forget_if_done(id);
        }
        if news {
            self.tell_readable(id);
        }
        Ok(())
    }

    fn tell_readable(&mut self, id: StreamId) {
        if let Some(stream) =
            self.streams.get_mut(&id.0).filter(|stream| stream.announced && !stream.readable_told)
        {
            stream.readable_told = true;
            self.events.push_back(StreamEvent::Readable { stream: id });
        }
    }

    pub(crate) fn handle_open(&mut self, raw: u32, open: &StreamOpen<'_>) -> Result<(), PeerFault> {
        let (id, target) = self.target(raw)?;
        if self.is_local(id) {
            return Err(PeerFault::new(ErrorCode::InvalidFrame));
        }
        let (Target::Live, Some(stream)) = (target, self.streams.get_mut(&raw)) else {
            return Ok(());
        };
        if stream.announced {
            return Ok(());
        }
        stream.priority = open.priority;
        stream.announced = true;
        if let Some(send) = &mut stream.send {
            send.on_window(open.initial_credit);
        }
        if let Some(name) = open.name {
            if let Some(other) = self.names.get(&name).copied() {
                self.resolve_conflict(id, other);
                return Ok(());
            }
            if self.names.len() >= MAX_NAMES {
                return Err(PeerFault::limit(ErrorCode::TooManyStreams, MAX_NAMES as u64));
            }
            self.names.insert(name, None);
        }
        self.events.push_back(StreamEvent::Opened {
            stream: id,
            purpose: open.purpose.to_owned(),
            name: open.name,
            priority: open.priority,
        });
        let unread = self
            .streams
            .get(&raw)
            .and_then(|stream| stream.recv.as_ref())
            .is_some_and(RecvHalf::has_unread);
        if unread {
            self.tell_readable(id);
        }
        Ok(())
    }

    /// The peer's stream has a name that is in use: neither is silently taken for the other. The
    /// peer's is aborted, and so is ours of that name if it still lives; the peer does the same.
    fn resolve_conflict(&mut self, theirs: StreamId, ours: Option<StreamId>) {
        for id in [Some(theirs), ours].into_iter().flatten() {
            // Halves that a stream does not have cannot be aborted, and need not be.
            let _ = self.reset(id, NAME_CONFLICT);
            let _ = self.stop(id, NAME_CONFLICT);
        }
        if let Some(ours) = ours.filter(|ours| self.streams.contains_key(&ours.0)) {
            self.events.push_back(StreamEvent::Reset { stream: ours, code: NAME_CONFLICT });
        }
    }

    pub(crate) fn handle_window(&mut self, raw: u32, limit: u64) -> Result<(), PeerFault> {
        if raw == 0 {
            self.send_limit = self.send_limit.max(limit);
            return Ok(());
        }
        let (id, Target::Live) = self.target(raw)? else { return Ok(()) };
        if self.send_of(id)?.on_window(limit) {
            self.schedule(raw);
        }
        Ok(())
    }

    pub(crate) fn handle_max_streams(&mut self, max: &MaxStreams) -> Result<(), PeerFault> {
        let kind = max.kind as usize;
        let limit = max.limit.min(StreamId::MAX_PER_KIND);
        let grew = limit > self.local[kind].limit;
        self.local[kind].limit = self.local[kind].limit.max(limit);
        if grew && core::mem::take(&mut self.refused[kind]) {
            let direction = [Direction::Bidirectional, Direction::Unidirectional][kind];
            self.events.push_back(StreamEvent::Available { direction });
        }
        Ok(())
    }

    pub(crate) fn handle_close(
        &mut self,
        raw: u32,
        code: u64,
        final_size: u64,
    ) -> Result<(), PeerFault> {
        let (id, Target::Live) = self.target(raw)? else { return Ok(()) };
        let recv = self.recv_of(id)?;
        let growth = recv.growth(final_size, 0);
        let was = recv.unreadable();
        let tell = match recv.on_reset(code, final_size) {
            Ok(tell) => tell,
            Err(breach) => return Err(self.breach(breach)),
        };
        let given_up = recv.unreadable() - was;
        self.account(growth)?;
        self.give_up(given_up);
        if let Some(stream) = self.streams.get_mut(&raw) {
            // The peer has given up; there is nothing left to stop.
            stream.stop = super::Stop::None;
            if tell && stream.announced {
                self.events.push_back(StreamEvent::Reset { stream: id, code });
            }
        }
        self.tell_readable(id);
        self.forget_if_done(id);
        Ok(())
    }

    pub(crate) fn handle_stop(&mut self, raw: u32, code: u64) -> Result<(), PeerFault> {
        let (id, Target::Live) = self.target(raw)? else { return Ok(()) };
        let send = self.send_of(id)?;
        if send.abort(code) {
            self.control.insert(raw);
            self.events.push_back(StreamEvent::Stopped { stream: id, code });
        }
        Ok(())
    }
}
